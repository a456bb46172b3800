//! The API server's own settings, under kube-apiserver's flag names, and what is made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use oarlock_apiserver::{
    Admission, Anonymous, Audit, AuditLog, AuthenticationConfig, AuthorizationConfig, Encryption,
};
use oarlock_base::Shutdown;
use oarlock_store::{Embedded, EmbeddedOptions, Etcd, Store, etcd, open_embedded};

use crate::layout::Layout;

/// Where the cluster's state is, and how requests are let in.
#[derive(Args, Debug, Clone)]
pub(crate) struct ApiFlags {
    /// etcd's client addresses, instead of the embedded store: https://host:2379
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    /// The authority of etcd's members
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// The certificate to show to etcd
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// What all keys in etcd begin with
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub etcd_prefix: String,
    /// How often old revisions are compacted, in seconds; 0 leaves it to others
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub etcd_compaction_interval: u64,
    /// What is encrypted at rest, and how (EncryptionConfiguration) [default: Secrets in the embedded store, with a key made at the first start]
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Read it again when it changes
    #[arg(long, requires = "encryption_provider_config")]
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
    /// Reads that priority levels share out at a time
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_requests_inflight: u32,
    /// Writes that they share out at a time
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_mutating_requests_inflight: u32,
    /// What the audit writes down (Policy); without it there is none
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// Where it writes it; - is standard output
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_log_path: Option<String>,
    /// Size at which the audit log is rotated, in megabytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audit_log_maxsize: u64,
    /// Days that rotated audit logs are kept
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audit_log_maxage: u32,
    /// Rotated audit logs that are kept
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audit_log_maxbackup: usize,
    /// Form of the audit log: json or legacy
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = ["json", "legacy"])]
    pub audit_log_format: String,
    /// The webhook that gets audit events, as a kubeconfig
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_webhook_config_file: Option<PathBuf>,
    /// Whether requests without credentials are let through to authorisation [default: health and version only]
    #[arg(long, value_name = "BOOL")]
    pub anonymous_auth: Option<bool>,
    /// Who is believed, and how (AuthenticationConfiguration)
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// Whether bootstrap tokens in kube-system are believed
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub enable_bootstrap_token_auth: bool,
    /// Static tokens: token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// Who authorises, in order: Node, RBAC, ABAC, Webhook, AlwaysAllow, AlwaysDeny
    #[arg(long, value_name = "MODES", value_delimiter = ',', default_value = "Node,RBAC")]
    pub authorization_mode: Vec<String>,
    /// Who authorises, and how (AuthorizationConfiguration)
    #[arg(long, value_name = "FILE", conflicts_with = "authorization_mode")]
    pub authorization_config: Option<PathBuf>,
    /// The policy of ABAC
    #[arg(long, value_name = "FILE")]
    pub authorization_policy_file: Option<PathBuf>,
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

impl ApiFlags {
    /// Opens the store, or connects to it.
    pub(crate) fn open_store(&self, layout: &Layout, stop: &Shutdown) -> Result<OpenStore> {
        if self.etcd_servers.is_empty() {
            let options =
                EmbeddedOptions { control: Some(layout.store_socket()), ..EmbeddedOptions::default() };
            let embedded = open_embedded(&layout.store(), options)
                .with_context(|| format!("open the store {}", layout.store().display()))?;
            return Ok(OpenStore::Embedded(embedded));
        }
        let every = Duration::from_secs(self.etcd_compaction_interval);
        let config = etcd::Config {
            endpoints: self.etcd_servers.clone(),
            ca: self.etcd_cafile.clone(),
            cert: self.etcd_certfile.clone(),
            key: self.etcd_keyfile.clone(),
            prefix: self.etcd_prefix.clone(),
            compaction_interval: (!every.is_zero()).then_some(every),
            ..etcd::Config::default()
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
            ..Admission::default()
        }
    }

    pub(crate) fn requests_in_flight(&self) -> u32 {
        self.max_requests_inflight.saturating_add(self.max_mutating_requests_inflight)
    }

    pub(crate) fn audit(&self) -> Option<Audit> {
        let log = |path: &String| AuditLog {
            path: path.clone(),
            max_size_mib: self.audit_log_maxsize,
            max_age_days: self.audit_log_maxage,
            max_backups: self.audit_log_maxbackup,
            legacy: self.audit_log_format == "legacy",
        };
        Some(Audit {
            policy_file: self.audit_policy_file.clone()?,
            log: self.audit_log_path.as_ref().map(log),
            webhook: self.audit_webhook_config_file.clone(),
        })
    }

    pub(crate) fn authentication(&self) -> Result<AuthenticationConfig> {
        Ok(AuthenticationConfig {
            token_file: self.token_auth_file.as_deref().map(read_text).transpose()?,
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            anonymous: match self.anonymous_auth {
                None => Anonymous::Health,
                Some(true) => Anonymous::Everywhere,
                Some(false) => Anonymous::Never,
            },
            file: self.authentication_config.as_deref().map(read_bytes).transpose()?,
            ..AuthenticationConfig::default()
        })
    }

    pub(crate) fn authorization(&self) -> Result<AuthorizationConfig> {
        Ok(AuthorizationConfig {
            modes: self.authorization_mode.clone(),
            policy_file: self.authorization_policy_file.as_deref().map(read_text).transpose()?,
            webhook: None,
            file: self.authorization_config.as_deref().map(read_bytes).transpose()?,
        })
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
