//! What goes wrong with a call, in the words of upstream's (Go's) clients: they reach users in Statuses and conditions.

use std::io;

use oarlock_api::Status;

use crate::{ResolveError, ServiceError};

/// A configuration that no client can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("webhook configuration must have either service or URL")]
    NoTarget,
    #[error("Unparsable URL: {0}")]
    Url(String),
    #[error("port {0} is not valid: must be between 1 and 65535, inclusive")]
    Port(u64),
    #[error("unable to load root certificates: unable to parse bytes as PEM block")]
    CaBundle,
    #[error("unable to load the client certificate: {0}")]
    Certificate(String),
    #[error("{path}: {why}")]
    File { path: String, why: String },
    #[error("{path} is not a kubeconfig: {why}")]
    Kubeconfig { path: String, why: String },
}

/// A connection that did not come to be.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{0}")]
    Service(ServiceError),
    #[error("dial tcp: {0}")]
    Resolve(ResolveError),
    #[error("dial tcp {address}: {why}")]
    Connect { address: String, why: String },
    /// The handshake: certificates, names, protocols.
    #[error("{0}")]
    Tls(String),
    #[error("no such server name: {0:?}")]
    ServerName(String),
}

impl DialError {
    pub(crate) fn connect(address: &str, error: &io::Error) -> Self {
        Self::Connect { address: address.into(), why: connect_text(error) }
    }
}

/// `connect: connection refused`
fn connect_text(error: &io::Error) -> String {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        ConnectionRefused => "connect: connection refused".into(),
        ConnectionReset => "connect: connection reset by peer".into(),
        HostUnreachable => "connect: no route to host".into(),
        NetworkUnreachable => "connect: network is unreachable".into(),
        TimedOut => "i/o timeout".into(),
        _ => format!("connect: {error}"),
    }
}

/// A call that gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing came back: `Post "https://…": why`.
    #[error("Post \"{url}\": {why}")]
    Transport { url: String, why: String, retriable: bool },
    #[error("Post \"{url}\": context deadline exceeded")]
    Deadline { url: String },
    /// Something other than success came back.
    #[error("{0}")]
    Status(Box<Status>),
    #[error("response body from \"{url}\" is larger than {max} bytes")]
    TooLarge { url: String, max: usize },
    /// The token file cannot be read.
    #[error("Post \"{url}\": failed to read token file \"{path}\": {why}")]
    Token { url: String, path: String, why: String },
}

impl CallError {
    /// What the server answered, where it answered.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the timeout ended the call.
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Deadline { .. })
    }
}
