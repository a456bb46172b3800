//! What a server is told before it starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oarlock_api::Status;
use oarlock_apiserver_access::authentication::{AuthenticationConfig, RequestHeaderConfig};
use oarlock_apiserver_access::authorization::AuthorizationConfig;
use oarlock_apiserver_audit::{BatchOptions, Mode, SinkOptions};
use oarlock_base::Features;
use oarlock_pki::{Identity, PkiError};
use oarlock_store::{Store, StoreError};

use crate::aggregate::FrontProxy;
use crate::kubelet::KubeletTls;
use crate::registry::RuntimeConfig;

/// Plain data, but for the store, which the binary has opened.
pub struct Config {
    pub store: Arc<dyn Store>,
    /// `--bind-address`, `--secure-port`. Port 0 takes any.
    pub bind: SocketAddr,
    /// Where others reach this server: the endpoint of the `kubernetes` Service.
    pub advertise: IpAddr,
    pub serving: Identity,
    /// Who signs client certificates; without it they prove nothing.
    pub client_ca_pem: Option<String>,
    pub service_accounts: ServiceAccountKeys,
    /// One range, or two of different families with a comma.
    pub service_cidr: String,
    pub node_ports: RangeInclusive<u16>,
    pub cluster_domain: String,
    pub kubelet: KubeletTls,
    pub front_proxy: FrontProxy,
    pub encryption: Encryption,
    pub admission: Admission,
    pub in_flight: RequestLimits,
    pub audit: Option<Audit>,
    /// `--storage-media-type`, of built-in kinds. Both are always read.
    pub storage_media_type: StorageMediaType,
    /// `--runtime-config`
    pub runtime_config: RuntimeConfig,
    /// Beside client certificates, service account tokens and the front proxy, which the server knows of itself.
    pub authentication: AuthenticationConfig,
    pub authorization: AuthorizationConfig,
    pub running: Running,
}

impl Config {
    /// Who may speak for others: as configured, else the own front proxy.
    pub(crate) fn request_header(&self) -> Option<RequestHeaderConfig> {
        let own = || {
            let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            Some(RequestHeaderConfig {
                client_ca_pem: self.front_proxy.ca_pem.clone()?,
                allowed_names: self.front_proxy.allowed_names.clone(),
                username_headers: names(&["X-Remote-User"]),
                uid_headers: names(&["X-Remote-Uid"]),
                group_headers: names(&["X-Remote-Group"]),
                extra_headers_prefixes: names(&["X-Remote-Extra-"]),
            })
        };
        self.authentication.request_header.clone().or_else(own)
    }
}

/// How many requests are under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// `--enable-priority-and-fairness`: priority levels share what follows; otherwise each is a limit, and 0 is none.
    pub fair: bool,
    /// `--max-requests-inflight`
    pub reads: u32,
    /// `--max-mutating-requests-inflight`
    pub writes: u32,
}

impl Default for RequestLimits {
    /// Upstream's.
    fn default() -> Self {
        Self { fair: true, reads: 400, writes: 200 }
    }
}

/// Features that this server can do with and without.
pub const SWITCHES: [&str; 8] = [
    "APIResponseCompression",
    "APIServerIdentity",
    "AuthorizePodWebsocketUpgradeCreatePermission",
    "ComponentFlagz",
    "ComponentStatusz",
    "OpenAPIEnums",
    "PodTopologyLabelsAdmission",
    "WatchList",
];

/// How the socket serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketSettings {
    /// `--tls-min-version`: TLS 1.3 alone; otherwise 1.2 as well.
    pub tls13_only: bool,
    /// `--tls-cipher-suites`, of TLS 1.2; all where it is empty. Those of 1.3 are always on.
    pub ciphers: Vec<String>,
    /// `--tls-curve-preferences`, as numbers of IANA's registry, the best first; those of the library where it is empty.
    pub curves: Vec<u16>,
    /// `--disable-http2-serving`
    pub without_http2: bool,
    /// `--http2-max-streams-per-connection`; 0 is the default.
    pub streams_max: u32,
    /// `--permit-port-sharing`
    pub shares_port: bool,
}

/// What is said to clients beside their answers, and how the server ends.
#[derive(Debug, Clone)]
pub struct Manners {
    /// `--strict-transport-security-directives`, as the header's value.
    pub transport_security: Option<http::HeaderValue>,
    /// `--cors-allowed-origins`
    pub origins: Vec<regex::Regex>,
    /// `--send-retry-after-while-not-ready-once`
    pub retry_while_starting: bool,
    /// `--shutdown-send-retry-after`
    pub retry_while_stopping: bool,
    /// `--shutdown-watch-termination-grace-period`: over which watches end when the server stops.
    pub watch_grace: Duration,
    /// `--livez-grace-period`: how long what is done at the start may take before `/livez` fails for it.
    pub livez_grace: Duration,
    /// `--disabled-metrics`
    pub disabled_metrics: Vec<String>,
    /// `--etcd-db-metric-poll-interval`: how old the size of the store may be that is told; zero tells none.
    pub size_every: Duration,
}

impl Default for Manners {
    /// Upstream's.
    fn default() -> Self {
        Self {
            transport_security: None,
            origins: Vec::new(),
            retry_while_starting: false,
            retry_while_stopping: false,
            watch_grace: Duration::ZERO,
            livez_grace: Duration::ZERO,
            disabled_metrics: Vec::new(),
            size_every: Duration::from_secs(30),
        }
    }
}

/// How the server goes about requests, and which files it follows while it runs.
#[derive(Debug, Clone)]
pub struct Running {
    pub serving: ServingFiles,
    /// `--client-ca-file`, which is in [`Config::client_ca_pem`]; read again when it changes.
    pub client_ca: Option<AuthorityFile>,
    /// `--requestheader-client-ca-file`; the same of the front proxies in [`Config::authentication`].
    pub proxy_ca: Option<AuthorityFile>,
    /// `--proxy-client-cert-file` and `--proxy-client-key-file`, which are in [`Config::front_proxy`]; the same.
    pub proxy_client: Option<CertificateFiles>,
    /// `--authentication-config`, whose contents are in [`Config::authentication`]; read again when it changes.
    pub authentication_file: Option<PathBuf>,
    /// `--authorization-config`; the same.
    pub authorization_file: Option<PathBuf>,
    /// `--request-timeout`: a request that is not meant to last ends by then; `?timeout=` asks for less.
    pub request_timeout: Duration,
    /// `--min-request-timeout`: a watch that does not say how long lasts one to two times this.
    pub min_request_timeout: Duration,
    /// `--shutdown-delay-duration`: how long requests are still taken after `/readyz` began to fail.
    pub shutdown_delay: Duration,
    /// `--goaway-chance`: the share of HTTP/2 requests after which a client is sent to another server; 0 to 0.02.
    pub goaway_chance: f64,
    /// `--event-ttl`
    pub event_ttl: Duration,
    pub tokens: TokenLimits,
    /// `--service-account-issuer` after the first: their tokens are believed, too.
    pub further_issuers: Vec<String>,
    /// `--service-account-jwks-uri`, where it is not at this server's own address.
    pub jwks_uri: Option<String>,
    /// `--feature-gates`, of those in [`SWITCHES`].
    pub features: Features,
    pub socket: SocketSettings,
    pub manners: Manners,
    /// `--external-hostname`: where clients reach this server, if not at [`Config::advertise`].
    pub external_host: Option<String>,
    /// `--kubernetes-service-node-port`; 0 is none.
    pub kubernetes_node_port: u16,
    /// `--endpoint-reconciler-type`: `none` leaves the endpoints of the `kubernetes` Service to others.
    pub keeps_endpoints: bool,
    /// `--etcd-healthcheck-timeout` and `--etcd-readycheck-timeout`
    pub store_patience: (Duration, Duration),
    /// `--lease-reuse-duration-seconds`
    pub lease_reuse: Duration,
    /// `--allow-privileged`
    pub allow_privileged: bool,
    /// `--enable-garbage-collector`: deletions ask the garbage collector for what their options say.
    pub collects_garbage: bool,
    /// `--delete-collection-workers`
    pub delete_workers: usize,
    /// `--service-account-lookup`
    pub accounts_must_live: bool,
    /// Flags and their values, as `/flagz` tells them.
    pub flags: BTreeMap<String, String>,
}

impl Default for Running {
    /// Upstream's defaults.
    fn default() -> Self {
        Self {
            serving: ServingFiles::default(),
            client_ca: None,
            proxy_ca: None,
            proxy_client: None,
            authentication_file: None,
            authorization_file: None,
            request_timeout: Duration::from_secs(60),
            min_request_timeout: Duration::from_secs(1800),
            shutdown_delay: Duration::ZERO,
            goaway_chance: 0.0,
            event_ttl: Duration::from_secs(3600),
            tokens: TokenLimits::default(),
            further_issuers: Vec::new(),
            jwks_uri: None,
            features: Features::default(),
            socket: SocketSettings::default(),
            manners: Manners::default(),
            external_host: None,
            kubernetes_node_port: 0,
            keeps_endpoints: true,
            store_patience: (Duration::from_secs(2), Duration::from_secs(2)),
            lease_reuse: Duration::from_secs(60),
            allow_privileged: true,
            collects_garbage: true,
            delete_workers: 1,
            accounts_must_live: true,
            flags: BTreeMap::new(),
        }
    }
}

/// Certificates of the socket that are read again when their files change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServingFiles {
    /// `--tls-cert-file` and `--tls-private-key-file`, instead of [`Config::serving`].
    pub main: Option<CertificateFiles>,
    /// `--tls-sni-cert-key`: for clients that ask for these names; the certificate's own where none are told.
    pub by_name: Vec<(CertificateFiles, Vec<String>)>,
}

/// PEM of authorities in a file, and of those that are believed whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityFile {
    pub path: PathBuf,
    pub beside: Option<String>,
}

/// PEM files of a certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// `--service-account-max-token-expiration` and `--service-account-extend-token-expiration`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLimits {
    pub max_seconds: Option<i64>,
    pub extends: bool,
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self { max_seconds: None, extends: true }
    }
}

/// `--audit-policy-file` and where the events go.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    pub policy_file: PathBuf,
    pub log: Option<AuditLog>,
    pub webhook: Option<AuditWebhook>,
}

/// `--audit-webhook-config-file` and its like.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditWebhook {
    pub config_file: PathBuf,
    pub initial_backoff: Duration,
    pub sink: SinkOptions,
}

/// `--audit-log-path` and its like; 0 is without a bound.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditLog {
    /// `-` is standard output.
    pub path: String,
    pub max_size_mib: u64,
    pub max_age_days: u32,
    pub max_backups: usize,
    pub compress: bool,
    pub legacy: bool,
    pub sink: SinkOptions,
}

impl AuditLog {
    /// As upstream's without further flags.
    pub fn at(path: String) -> Self {
        let sink = SinkOptions { mode: Mode::Blocking, batch: BatchOptions::LOG, truncation: None };
        Self { path, max_size_mib: 0, max_age_days: 0, max_backups: 0, compress: false, legacy: false, sink }
    }
}

/// How built-in objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StorageMediaType {
    /// `application/json`: what the cache sends, ready to send.
    #[default]
    Json,
    /// `application/vnd.kubernetes.protobuf`: what upstream writes.
    Protobuf,
}

/// Which admission plugins run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// `--enable-admission-plugins`, beside those that run by default.
    pub enable: Vec<String>,
    /// `--disable-admission-plugins`
    pub disable: Vec<String>,
    /// `--admission-control-config-file`
    pub config_file: Option<PathBuf>,
    /// `--default-not-ready-toleration-seconds`
    pub not_ready_toleration_seconds: i64,
    /// `--default-unreachable-toleration-seconds`
    pub unreachable_toleration_seconds: i64,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            enable: Vec::new(),
            disable: Vec::new(),
            config_file: None,
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
        }
    }
}

/// Which resources are encrypted at rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Encryption {
    /// Everything is stored as it is.
    #[default]
    None,
    /// Secrets are, with a key of this directory that is made at the first start.
    Default { directory: PathBuf },
    /// `--encryption-provider-config`, and whether it is read again when it changes.
    File { path: PathBuf, reload: bool },
}

/// Keys and names of service account tokens.
#[derive(Debug, Clone)]
pub struct ServiceAccountKeys {
    /// The key that signs.
    pub signing_pem: String,
    /// Keys (public or private, any number) whose tokens are believed; the signing key is always one of them.
    pub verification_pem: Vec<String>,
    /// `https://kubernetes.default.svc.cluster.local`.
    pub issuer: String,
    /// The server's own audiences; the issuer where it is empty.
    pub audiences: Vec<String>,
}

/// Why a server does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("read the store")]
    Store(#[from] StoreError),
    #[error("set up TLS")]
    Tls(#[from] PkiError),
    #[error("set up TLS: {0}")]
    Rustls(String),
    #[error("serve with the certificate {path}: {why}")]
    Certificate { path: PathBuf, why: String },
    #[error("watch {what}: {source}")]
    Watch { what: &'static str, source: std::io::Error },
    #[error("read the service account keys: {0}")]
    Keys(String),
    #[error("--service-cluster-ip-range {0:?} is not a range of addresses")]
    ServiceRange(String),
    #[error("serve custom resources: {0}")]
    Custom(Box<Status>),
    #[error("create {what}: {status}")]
    Bootstrap { what: String, status: Box<Status> },
    #[error("read the encryption configuration")]
    Encryption(#[from] oarlock_apiserver_encryption::ConfigError),
    #[error("set up the audit: {0}")]
    Audit(String),
    #[error("register metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("configure authentication and authorisation: {0}")]
    Access(String),
    #[error("configure admission: {0}")]
    Admission(String),
    #[error(transparent)]
    Task(#[from] oarlock_base::TaskError),
}

impl Error {
    pub(crate) fn access(faults: Vec<String>) -> Self {
        Self::Access(faults.join("; "))
    }

    pub(crate) fn custom(status: Status) -> Self {
        Self::Custom(Box::new(status))
    }
}
