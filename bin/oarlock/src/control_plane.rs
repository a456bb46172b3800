//! The control plane of this process: store, API server, controllers, scheduler.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use oarlock_apiserver::{
    ApiServer, AuthenticationConfig, AuthorityFile, CertificateFiles, Connector, FrontProxy,
    ServiceAccountKeys, User,
};
use oarlock_base::{Shutdown, Tasks};
use oarlock_pki::Identity;
use oarlock_store::Store;

use crate::api_flags::{Accounts, ApiFlags, OpenStore, Told};
use crate::identities::{ClusterKeys, SCHEDULER, ServerNames};
use crate::layout::Layout;
use crate::preflight;
use crate::settings::{Common, ServerFlags};

const AUTHENTICATED: &str = "system:authenticated";
const MASTERS: &str = "system:masters";

/// A control plane that serves.
pub(crate) struct ControlPlane {
    pub keys: Arc<ClusterKeys>,
    pub connector: Connector,
    /// The API server as this machine's clients reach it.
    pub url: String,
    pub kubeconfig: PathBuf,
    store: OpenStore,
    api: Tasks,
    loops: Option<Tasks>,
    api_stop: Shutdown,
    loops_stop: Shutdown,
}

impl ControlPlane {
    /// Opens the store and serves the API; returns when `/readyz` is ok.
    pub(crate) async fn start(
        layout: &Layout,
        common: &Common,
        flags: &ServerFlags,
        stop: &Shutdown,
    ) -> Result<Self> {
        let told = flags.api.read()?;
        let keys = Arc::new(ClusterKeys::load_or_create(layout)?);
        let advertise = match flags.advertise_address {
            Some(address) => address,
            None => default_advertise(flags.bind_address)?,
        };
        let first_service_ip =
            common.service_cidr.v4.nth(1).context("the service range has no second address")?;
        let serving = Serving {
            keys: keys.clone(),
            names: ServerNames {
                cluster_domain: common.cluster_domain.clone(),
                first_service_ip,
                advertise: advertise.into(),
                host: preflight::host_name()?,
                further: further_names(common, flags),
                kept_in: flags.cert_dir.clone(),
            },
        };
        let api_stop = Shutdown::new();
        // The store ends after everything that uses it, not with it.
        let store = flags.api.open_store(layout, &Shutdown::new())?;
        let identity = serving.identity()?;
        let mut config = api_config(layout, common, flags, &keys, store.shared(), identity, told)?;
        config.advertise = advertise.into();
        let server = tokio::select! {
            started = ApiServer::new(config) => started?,
            () = stop.wait() => anyhow::bail!("stopped before the API server was ready"),
        };
        let url = format!("https://127.0.0.1:{}", server.address().port());
        let connector = server.connector();
        let mut ready = server.ready();
        let mut api = Tasks::new("control-plane", &api_stop);
        api.spawn("kube-apiserver", |stop| server.run(stop));
        api.spawn("certificates", |stop| serving.renew(stop));
        tokio::select! {
            waited = ready.wait_for(|ready| *ready) => { waited.context("the API server ended while it started")?; }
            ended = join_early(&mut api) => ended?,
            () = stop.wait() => {
                api_stop.trigger();
                let ended = api.join().await;
                store.close().await;
                ended?;
                anyhow::bail!("stopped before the API server was ready");
            }
        }
        let kubeconfig = write_kubeconfig(layout, flags, &keys, &url)?;
        let loops_stop = Shutdown::new();
        Ok(Self { keys, connector, url, kubeconfig, store, api, loops: None, api_stop, loops_stop })
    }

    /// Starts controllers and scheduler.
    pub(crate) fn start_loops(&mut self, common: &Common) {
        let mut loops = Tasks::new("control-loops", &self.loops_stop);
        let controllers = oarlock_controllers::Config {
            cluster_cidr: Some(common.cluster_cidr),
            ..oarlock_controllers::Config::new(
                component_clients(self.connector.clone()),
                self.keys.authority.cert_pem().to_string(),
            )
        };
        loops.spawn("kube-controller-manager", |stop| oarlock_controllers::run(controllers, stop));
        let scheduler = oarlock_scheduler::Config::new(self.client(SCHEDULER, &[]));
        loops.spawn("kube-scheduler", |stop| oarlock_scheduler::run(scheduler, stop));
        self.loops = Some(loops);
    }

    /// A client in memory, as this user.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> kube::Client {
        client(&self.connector, user, groups)
    }

    pub(crate) fn admin(&self) -> kube::Client {
        self.client("system:admin", &[MASTERS])
    }

    /// Returns when a part of the control plane has failed; never otherwise.
    pub(crate) async fn failed(&mut self) -> Result<()> {
        match &mut self.loops {
            Some(loops) => tokio::select! {
                ended = join_early(&mut self.api) => ended,
                ended = join_early(loops) => ended,
            },
            None => join_early(&mut self.api).await,
        }
    }

    /// `/readyz` fails from now on, so that nobody new is sent here; everything goes on until [`stop`](Self::stop).
    pub(crate) fn announce_stop(&self) {
        self.connector.announce_stop();
    }

    /// Ends the loops first, then the API server, then the store.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.announce_stop();
        self.loops_stop.trigger();
        let loops = match self.loops.take() {
            Some(loops) => loops.join().await,
            None => Ok(()),
        };
        self.api_stop.trigger();
        let api = self.api.join().await;
        self.store.close().await;
        loops.and(api).map_err(Into::into)
    }
}

/// Names and addresses of the server beside those that it always has.
fn further_names(common: &Common, flags: &ServerFlags) -> Vec<String> {
    let first_v6 = common.service_cidr.v6_first.map(|address| address.to_string());
    let host = flags.api.further.external_hostname.clone().filter(|host| !host.is_empty());
    flags.tls_san.iter().cloned().chain(first_v6).chain(host).collect()
}

/// The one address that the server listens on, if others can reach it.
fn default_advertise(bind: IpAddr) -> Result<Ipv4Addr> {
    match bind {
        IpAddr::V4(one) if !one.is_unspecified() && !one.is_loopback() => Ok(one),
        _ => preflight::own_address(),
    }
}

/// Waits for the first task to fail, without taking the tasks apart.
async fn join_early(tasks: &mut Tasks) -> Result<()> {
    tasks.failed().await.map_err(Into::into)
}

pub(crate) fn client(connector: &Connector, user: &str, groups: &[&str]) -> kube::Client {
    let groups = groups.iter().copied().chain([AUTHENTICATED]).map(str::to_string).collect();
    connector.client(User { name: user.to_string(), groups, ..User::default() })
}

/// Components and controllers by their user names; service accounts are in the groups that their tokens would give.
fn component_clients(connector: Connector) -> oarlock_controllers::ClientFactory {
    Arc::new(move |user: &str| {
        let groups: &[&str] = if user.starts_with("system:serviceaccount:") {
            &["system:serviceaccounts", "system:serviceaccounts:kube-system"]
        } else {
            &[]
        };
        client(&connector, user, groups)
    })
}

/// The certificate of the API server, of the cluster's authority.
struct Serving {
    keys: Arc<ClusterKeys>,
    names: ServerNames,
}

/// How often it is looked whether it is to be renewed; it is long before it ends.
const RENEWAL_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

impl Serving {
    /// From its files, or new.
    fn identity(&self) -> Result<Identity> {
        self.keys.api_server(&self.names)
    }

    /// Renews the files, and those of the front proxy, while the server runs; it takes changed files over by itself.
    async fn renew(self, stop: Shutdown) -> Result<(), Infallible> {
        while stop.or(tokio::time::sleep(RENEWAL_PERIOD)).await.is_some() {
            if let Err(error) = self.identity().and_then(|_| self.keys.front_proxy()) {
                tracing::error!(%error, "the API server's certificates could not be renewed");
            }
        }
        Ok(())
    }
}

fn api_config(
    layout: &Layout,
    common: &Common,
    flags: &ServerFlags,
    keys: &ClusterKeys,
    store: Arc<dyn Store>,
    serving: Identity,
    told: Told,
) -> Result<oarlock_apiserver::Config> {
    let api = &flags.api;
    let Told {
        mut authentication,
        authorization,
        accounts,
        proxy_client,
        mut running,
        kubelets,
        runtime_config,
    } = told;
    let own_files = || {
        let (cert, key) = keys.api_server_files(flags.cert_dir.as_deref());
        CertificateFiles { cert, key }
    };
    running.serving.main.get_or_insert_with(own_files);
    running.proxy_client.get_or_insert_with(|| CertificateFiles {
        cert: layout.pki("front-proxy-client.crt"),
        key: layout.pki("front-proxy-client.key"),
    });
    let proxy_file = api.authentication.proxy.requestheader_client_ca_file.clone();
    let (front_proxy, beside) = front_proxy(keys.front_proxy()?, proxy_client, &mut authentication);
    running.proxy_ca = proxy_file.map(|path| AuthorityFile { path, beside });
    let ca = keys.authority.cert_pem();
    let client_file = api.authentication.client_ca_file.clone();
    running.client_ca = client_file.map(|path| AuthorityFile { path, beside: Some(ca.to_string()) });
    Ok(oarlock_apiserver::Config {
        store,
        bind: SocketAddr::new(flags.bind_address, flags.https_port),
        advertise: flags.bind_address,
        serving,
        client_ca_pem: Some(joined(ca, authentication.client_ca_pem.as_deref())),
        service_accounts: service_accounts(common, api, keys, accounts),
        service_cidr: common.service_cidr.to_string(),
        node_ports: api.service_node_port_range.clone(),
        cluster_domain: common.cluster_domain.clone(),
        kubelet: kubelets.or(keys.kubelet_client()?, ca),
        front_proxy,
        encryption: api.encryption(layout),
        admission: api.admission(),
        in_flight: api.in_flight(),
        audit: api.audit(),
        storage_media_type: api.storage_media_type(),
        runtime_config,
        authentication,
        authorization,
        running,
    })
}

fn service_accounts(
    common: &Common,
    api: &ApiFlags,
    keys: &ClusterKeys,
    told: Accounts,
) -> ServiceAccountKeys {
    let own_issuer = || format!("https://kubernetes.default.svc.{}", common.cluster_domain);
    ServiceAccountKeys {
        signing_pem: told.signing_pem.unwrap_or_else(|| keys.service_accounts.private_pem.clone()),
        verification_pem: told.verification_pem,
        issuer: api.accounts.service_account_issuer.first().cloned().unwrap_or_else(own_issuer),
        audiences: api.accounts.api_audiences.clone(),
    }
}

/// Who this server is to those that it proxies to, and the authorities that are believed beside the told ones. Where only authorities of other front proxies are told, the own one
/// stays, and is believed beside them.
fn front_proxy(
    own: FrontProxy,
    told: Option<Identity>,
    authentication: &mut AuthenticationConfig,
) -> (FrontProxy, Option<String>) {
    let Some(header) = &mut authentication.request_header else { return (own, None) };
    let mut beside = None;
    let identity = match told {
        Some(identity) => Some(identity),
        None => {
            if let Some(ca) = &own.ca_pem {
                header.client_ca_pem = joined(ca, Some(&header.client_ca_pem));
            }
            beside = own.ca_pem;
            // Without names any will do.
            if !header.allowed_names.is_empty() {
                header.allowed_names.extend(own.allowed_names);
            }
            own.identity
        }
    };
    let allowed_names = header.allowed_names.clone();
    (FrontProxy { identity, ca_pem: Some(header.client_ca_pem.clone()), allowed_names }, beside)
}

fn joined(one: &str, other: Option<&str>) -> String {
    other.map_or_else(|| one.to_string(), |other| format!("{}\n{other}", one.trim_end()))
}

fn write_kubeconfig(layout: &Layout, flags: &ServerFlags, keys: &ClusterKeys, url: &str) -> Result<PathBuf> {
    let text = keys.kubeconfig(url, "kubernetes-admin", &keys.admin()?);
    let own = layout.kubeconfig();
    oarlock_pki::write_private(&own, text.as_bytes())?;
    match &flags.kubeconfig {
        Some(path) if *path != own => {
            oarlock_pki::write_private(path, text.as_bytes())?;
            Ok(path.clone())
        }
        _ => Ok(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_told_to_others_is_one_that_they_can_reach() {
        let told = |bind: &str| default_advertise(bind.parse().expect("an address")).expect("an address");
        assert_eq!(told("192.0.2.7"), Ipv4Addr::new(192, 0, 2, 7));
        for bind in ["127.0.0.1", "0.0.0.0", "::"] {
            assert!(!told(bind).is_loopback() && !told(bind).is_unspecified(), "{bind}");
        }
    }
}
