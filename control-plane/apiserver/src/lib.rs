//! kube-apiserver: the one door to the cluster's memory.
//!
//! A request passes the folders in this order: `listen → request_info → flow_control → authenticate → impersonate →
//! authorise → endpoints → decode → registry (default, mutate, validate, admit, store) → cache → encode`. In one process
//! the same chain is called in memory ([`ApiServer::client`]).

mod admission;
mod aggregate;
mod audit;
mod authenticate;
mod authorise;
mod body;
mod bootstrap;
mod cache;
mod chain;
mod config;
mod custom;
mod decode;
mod discovery;
mod encode;
mod encryption;
mod endpoints;
mod flow_control;
mod impersonate;
mod kubelet;
mod listen;
mod metrics;
mod policies;
mod registry;
mod request_info;
mod server;
mod start;

pub use aggregate::FrontProxy;
pub use config::{
    Admission, Audit, AuditLog, Config, Encryption, Error, ServiceAccountKeys, StorageMediaType,
};
pub use kubelet::KubeletTls;
pub use oarlock_apiserver_access::User;
pub use oarlock_apiserver_access::authentication::{Anonymous, AuthenticationConfig};
pub use oarlock_apiserver_access::authorization::AuthorizationConfig;
pub use server::{ApiServer, Connector};
