//! The control plane of this process: store, API server, controllers, scheduler.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use oarlock_apiserver::{ApiServer, Connector, KubeletTls, ServiceAccountKeys, User};
use oarlock_base::{Shutdown, Tasks};
use oarlock_pki::Identity;
use oarlock_store::Store;

use crate::api_flags::OpenStore;
use crate::identities::{ClusterKeys, SCHEDULER, ServerNames};
use crate::layout::Layout;
use crate::preflight;
use crate::settings::{Common, ServerFlags};

const AUTHENTICATED: &str = "system:authenticated";
const MASTERS: &str = "system:masters";

/// A control plane that serves.
pub(crate) struct ControlPlane {
    pub keys: ClusterKeys,
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
    pub(crate) async fn start(layout: &Layout, common: &Common, flags: &ServerFlags) -> Result<Self> {
        let keys = ClusterKeys::load_or_create(layout)?;
        let advertise = match flags.advertise_address {
            Some(address) => address,
            None => preflight::own_address()?,
        };
        let first_service_ip =
            common.service_cidr.nth(1).context("the service range has no second address")?;
        let host = preflight::host_name()?;
        let serving = keys.api_server(&ServerNames {
            cluster_domain: &common.cluster_domain,
            first_service_ip,
            advertise: advertise.into(),
            host: &host,
            further: &flags.tls_san,
        })?;
        let api_stop = Shutdown::new();
        // The store ends after everything that uses it, not with it.
        let store = flags.api.open_store(layout, &Shutdown::new())?;
        let config = api_config(layout, common, flags, &keys, store.shared(), serving, advertise.into())?;
        let server = ApiServer::new(config).await?;
        let url = format!("https://127.0.0.1:{}", server.address().port());
        let connector = server.connector();
        let mut ready = server.ready();
        let mut api = Tasks::new("control-plane", &api_stop);
        api.spawn("kube-apiserver", |stop| server.run(stop));
        tokio::select! {
            waited = ready.wait_for(|ready| *ready) => { waited.context("the API server ended while it started")?; }
            ended = join_early(&mut api) => ended?,
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

    /// Ends the loops first, then the API server, then the store.
    pub(crate) async fn stop(mut self) -> Result<()> {
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

fn api_config(
    layout: &Layout,
    common: &Common,
    flags: &ServerFlags,
    keys: &ClusterKeys,
    store: Arc<dyn Store>,
    serving: Identity,
    advertise: IpAddr,
) -> Result<oarlock_apiserver::Config> {
    Ok(oarlock_apiserver::Config {
        store,
        bind: SocketAddr::new(flags.bind_address, flags.https_port),
        advertise,
        serving,
        client_ca_pem: Some(keys.authority.cert_pem().to_string()),
        service_accounts: ServiceAccountKeys {
            signing_pem: keys.service_accounts.private_pem.clone(),
            verification_pem: vec![],
            issuer: format!("https://kubernetes.default.svc.{}", common.cluster_domain),
            audiences: vec![],
        },
        service_cidr: common.service_cidr.to_string(),
        node_ports: 30000..=32767,
        cluster_domain: common.cluster_domain.clone(),
        kubelet: KubeletTls {
            identity: Some(keys.kubelet_client()?),
            ca_pem: Some(keys.authority.cert_pem().to_string()),
        },
        front_proxy: keys.front_proxy()?,
        encryption: flags.api.encryption(layout),
        admission: flags.api.admission(),
        requests_in_flight: flags.api.requests_in_flight(),
        audit: flags.api.audit(),
        storage_media_type: match flags.api.etcd_servers.as_slice() {
            [] => oarlock_apiserver::StorageMediaType::Json,
            _ => oarlock_apiserver::StorageMediaType::Protobuf,
        },
        authentication: flags.api.authentication()?,
        authorization: flags.api.authorization()?,
    })
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
