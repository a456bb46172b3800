//! kube-apiserver: the one door to the cluster's memory.
//!
//! A request passes the folders in this order: `listen → request_info → authenticate → audit → impersonate → flow_control →
//! authorise → (aggregate) → endpoints → decode → registry (default, own, mutate, validate, admit, store) → cache → encode`. In
//! one process the same chain is called in memory ([`ApiServer::client`]).

mod access;
mod admission;
mod aggregate;
mod audit;
mod authenticate;
mod authorise;
mod authorities;
mod body;
mod bootstrap;
mod cache;
mod chain;
mod config;
mod custom;
mod decode;
mod discovery;
mod duration;
mod encode;
mod encryption;
mod endpoints;
mod flow_control;
mod follow;
mod health;
mod impersonate;
mod kubelet;
mod legacy_tokens;
mod listen;
mod manners;
mod metrics;
mod policies;
mod registry;
mod request_info;
mod server;
mod start;
mod zpages;

pub use aggregate::FrontProxy;
pub use config::{
    Admission, Audit, AuditLog, AuditWebhook, AuthorityFile, CertificateFiles, Config, Encryption, Error,
    Manners, RequestLimits, Running, SWITCHES, ServiceAccountKeys, ServingFiles, SocketSettings,
    StorageMediaType, TokenLimits,
};
pub use duration::{DurationError, parse_duration};
pub use kubelet::KubeletTls;
pub use listen::{curve_is_known, suite_of};
pub use oarlock_apiserver_access::User;
pub use oarlock_apiserver_access::authentication::{
    Anonymous, AuthenticationConfig, OidcFlags, RequestHeaderConfig, SigningKey as TokenSigningKey,
    TokenWebhook, VerifyingKey as TokenVerifyingKey,
};
pub use oarlock_apiserver_access::authorization::{AuthorizationConfig, WebhookAuthorizerConfig};
pub use oarlock_apiserver_audit::{
    BatchOptions as AuditBatch, Mode as AuditMode, SinkOptions as AuditSink, Truncation as AuditTruncation,
};
pub use oarlock_apiserver_webhook::{Resolver, from_kubeconfig};
pub use registry::RuntimeConfig;
pub use server::{ApiServer, Connector};
