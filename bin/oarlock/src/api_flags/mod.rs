//! The API server's own settings, under kube-apiserver's flag names, and what is made of them.

mod accounts;
mod audit;
mod authentication;
mod authorization;
mod faults;
mod further;
mod kubelets;
mod serving;
mod socket;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgAction, Args};
use oarlock_apiserver::{
    Admission, Audit, AuthenticationConfig, AuthorizationConfig, Encryption, RequestLimits, Running,
    RuntimeConfig, SWITCHES, StorageMediaType, TokenLimits, parse_duration,
};
use oarlock_base::{Features, Shutdown};
use oarlock_pki::Identity;
use oarlock_store::{Embedded, EmbeddedOptions, Etcd, Store, etcd, open_embedded};

use accounts::AccountFlags;
pub(crate) use accounts::Accounts;
use audit::AuditFlags;
use authentication::AuthenticationFlags;
use authorization::AuthorizationFlags;
use faults::Faults;
use further::FurtherFlags;
use kubelets::KubeletFlags;
pub(crate) use kubelets::ToldKubelets;
use serving::{ServingFlags, port_range};
use socket::SocketFlags;

use crate::etcd_flags::EtcdFlags;
use crate::layout::Layout;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const NO_SEATS: &str = "invalid configuration: MaxRequestsInFlight=0 and MaxMutatingRequestsInFlight=0; they must add up to something positive";

/// Where the cluster's state is, and how requests are let in.
#[derive(Args, Debug, Clone)]
pub(crate) struct ApiFlags {
    /// etcd's client addresses, instead of the embedded store: https://host:2379
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    #[command(flatten)]
    pub etcd: EtcdFlags,
    /// How often old revisions are compacted; 0 leaves it to others
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub etcd_compaction_interval: Duration,
    /// What is encrypted at rest, and how (EncryptionConfiguration) [default: Secrets in the embedded store, with a key made at the first start]
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Read it again when it changes
    #[arg(long, value_name = "BOOL", requires = "encryption_provider_config", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub encryption_provider_config_automatic_reload: bool,
    /// Admission plugins beside those that run by default
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins that do not run
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// Settings of admission plugins (AdmissionConfiguration)
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
    /// Whether requests share the server fairly, by their priority level
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_priority_and_fairness: bool,
    /// Reads that priority levels share out at a time; without them, reads at a time, and 0 is any number
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_requests_inflight: u32,
    /// Writes; the same
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_mutating_requests_inflight: u32,
    /// APIs to serve or not: GROUP/VERSION=true|false, GROUP/VERSION/RESOURCE=…, and api/all, api/ga, api/beta, api/alpha for all such versions
    #[arg(long, value_name = "PAIRS")]
    pub runtime_config: Vec<String>,
    /// Features to turn on or off: NAME=true|false
    #[arg(long, value_name = "PAIRS")]
    pub feature_gates: Vec<String>,
    #[command(flatten)]
    pub audit: AuditFlags,
    /// The form in which objects of built-in kinds are stored; both are always read [default: application/json in the embedded store, application/vnd.kubernetes.protobuf in etcd]
    #[arg(long, value_name = "TYPE", value_parser = [JSON, PROTOBUF])]
    pub storage_media_type: Option<String>,
    /// Ports of Services of type NodePort
    #[arg(long, value_name = "RANGE", default_value = "30000-32767", value_parser = port_range)]
    pub service_node_port_range: RangeInclusive<u16>,
    /// Seconds that a pod stays on a node that is not ready, where the pod does not say
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub default_not_ready_toleration_seconds: i64,
    /// Seconds that a pod stays on a node that cannot be reached, where the pod does not say
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub default_unreachable_toleration_seconds: i64,
    #[command(flatten)]
    pub serving: ServingFlags,
    #[command(flatten)]
    pub socket: SocketFlags,
    #[command(flatten)]
    pub kubelets: KubeletFlags,
    #[command(flatten)]
    pub further: FurtherFlags,
    #[command(flatten)]
    pub accounts: AccountFlags,
    #[command(flatten)]
    pub authentication: AuthenticationFlags,
    #[command(flatten)]
    pub authorization: AuthorizationFlags,
    /// All flags and their values.
    #[arg(skip)]
    pub shown: BTreeMap<String, String>,
}

/// What the flags and the files that they name say, checked.
pub(crate) struct Told {
    pub authentication: AuthenticationConfig,
    pub authorization: AuthorizationConfig,
    pub accounts: Accounts,
    /// Who this server is to those that it proxies to, if it is not what it makes itself.
    pub proxy_client: Option<Identity>,
    pub running: Running,
    pub kubelets: ToldKubelets,
    pub runtime_config: RuntimeConfig,
}

impl ApiFlags {
    /// Reads and checks everything before anything is made; all faults are told together.
    pub(crate) fn read(&self) -> Result<Told> {
        let mut faults = Faults::default();
        let audiences = &self.accounts.api_audiences;
        let authentication = self.authentication.read(audiences, &mut faults);
        let authorization = self.authorization.read(&mut faults);
        let accounts = self.accounts.read(&mut faults);
        let proxy_client = self.authentication.proxy.identity(&mut faults);
        let kubelets = self.kubelets.read(&mut faults);
        self.serving.check(&mut faults);
        self.audit.check(&mut faults);
        self.further.check(&mut faults);
        let running = self.running(accounts.limits.clone(), &mut faults);
        for (flag, file) in self.further_files() {
            faults.bytes(flag, file.as_deref());
        }
        let RequestLimits { fair, reads, writes } = self.in_flight();
        if fair && (reads, writes) == (0, 0) {
            faults.add(NO_SEATS);
        }
        let runtime_config = RuntimeConfig::parse(&self.runtime_config);
        let runtime_config = runtime_config.map_err(|all| faults.all(Err(all))).unwrap_or_default();
        faults.finish()?;
        Ok(Told { authentication, authorization, accounts, proxy_client, running, kubelets, runtime_config })
    }

    /// Files that others read; they are only looked for here.
    fn further_files(&self) -> [(&'static str, &Option<PathBuf>); 6] {
        [
            ("etcd-cafile", &self.etcd.etcd_cafile),
            ("etcd-certfile", &self.etcd.etcd_certfile),
            ("etcd-keyfile", &self.etcd.etcd_keyfile),
            ("encryption-provider-config", &self.encryption_provider_config),
            ("admission-control-config-file", &self.admission_control_config_file),
            ("audit-policy-file", &self.audit.audit_policy_file),
        ]
    }

    fn running(&self, tokens: TokenLimits, faults: &mut Faults) -> Running {
        let (serving, further) = (&self.serving, &self.further);
        Running {
            serving: serving.files(faults),
            // Beside the cluster's own, which is not known here.
            client_ca: None,
            proxy_ca: None,
            proxy_client: self.authentication.proxy.files(),
            authentication_file: self.authentication.authentication_config.clone(),
            authorization_file: self.authorization.authorization_config.clone(),
            request_timeout: serving.request_timeout,
            min_request_timeout: Duration::from_secs(serving.min_request_timeout.into()),
            shutdown_delay: serving.shutdown_delay_duration,
            goaway_chance: serving.goaway_chance,
            event_ttl: serving.event_ttl,
            tokens,
            further_issuers: self.accounts.service_account_issuer.iter().skip(1).cloned().collect(),
            jwks_uri: self.accounts.service_account_jwks_uri.clone(),
            features: self.features(faults),
            socket: self.socket.read(faults),
            manners: further.manners(faults),
            external_host: further.external_hostname.clone().filter(|host| !host.is_empty()),
            kubernetes_node_port: further.kubernetes_service_node_port,
            keeps_endpoints: further.endpoint_reconciler_type != "none",
            store_patience: (further.etcd_healthcheck_timeout, further.etcd_readycheck_timeout),
            lease_reuse: Duration::from_secs(further.lease_reuse_duration_seconds.into()),
            allow_privileged: further.allow_privileged,
            collects_garbage: further.enable_garbage_collector,
            delete_workers: further.delete_collection_workers,
            accounts_must_live: self.accounts.service_account_lookup,
            flags: self.shown.clone(),
        }
    }

    fn features(&self, faults: &mut Faults) -> Features {
        let read = Features::parse(&self.feature_gates, &SWITCHES);
        read.map_err(|all| all.iter().for_each(|fault| faults.add(fault))).unwrap_or_default()
    }

    pub(crate) fn storage_media_type(&self) -> StorageMediaType {
        match self.storage_media_type.as_deref() {
            Some(PROTOBUF) => StorageMediaType::Protobuf,
            // Others may read etcd, and expect what upstream writes.
            None if !self.etcd_servers.is_empty() => StorageMediaType::Protobuf,
            _ => StorageMediaType::Json,
        }
    }

    /// Opens the store, or connects to it.
    pub(crate) fn open_store(&self, layout: &Layout, stop: &Shutdown) -> Result<OpenStore> {
        if self.etcd_servers.is_empty() {
            let options =
                EmbeddedOptions { control: Some(layout.store_socket()), ..EmbeddedOptions::default() };
            let embedded = open_embedded(&layout.store(), options)
                .with_context(|| format!("open the store {}", layout.store().display()))?;
            return Ok(OpenStore::Embedded(embedded));
        }
        let every = self.etcd_compaction_interval;
        let config = etcd::Config {
            compaction_interval: (!every.is_zero()).then_some(every),
            ..self.etcd.config(self.etcd_servers.clone())
        };
        Ok(OpenStore::Etcd(etcd::connect(config, stop).context("use etcd")?))
    }

    /// A key of this machine encrypts the embedded store alone: servers that share an etcd must be given one file.
    pub(crate) fn encryption(&self, layout: &Layout) -> Encryption {
        match &self.encryption_provider_config {
            Some(path) => Encryption::File {
                path: path.clone(),
                reload: self.encryption_provider_config_automatic_reload,
            },
            None if self.etcd_servers.is_empty() => {
                Encryption::Default { directory: layout.data().to_path_buf() }
            }
            None => Encryption::None,
        }
    }

    pub(crate) fn admission(&self) -> Admission {
        Admission {
            enable: self.enable_admission_plugins.clone(),
            disable: self.disable_admission_plugins.clone(),
            config_file: self.admission_control_config_file.clone(),
            not_ready_toleration_seconds: self.default_not_ready_toleration_seconds,
            unreachable_toleration_seconds: self.default_unreachable_toleration_seconds,
        }
    }

    pub(crate) fn in_flight(&self) -> RequestLimits {
        RequestLimits {
            fair: self.enable_priority_and_fairness,
            reads: self.max_requests_inflight,
            writes: self.max_mutating_requests_inflight,
        }
    }

    pub(crate) fn audit(&self) -> Option<Audit> {
        self.audit.read()
    }
}

/// The store of this process.
pub(crate) enum OpenStore {
    Embedded(Arc<Embedded>),
    Etcd(Arc<Etcd>),
}

impl OpenStore {
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Etcd(store) => store.clone(),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(store) => store.close(),
            Self::Etcd(store) => store.close().await,
        }
    }
}

#[cfg(test)]
mod tests;
