//! Where a Service is reached: the seam to whoever knows Services and their endpoints.

use std::net::SocketAddr;

/// Where to connect for a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Address(SocketAddr),
    /// An ExternalName service.
    Name {
        host: String,
        port: u16,
    },
}

/// Why a Service cannot be reached; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("service \"{0}\" not found")]
    NotFound(String),
    #[error("no service port {port} found for service \"{name}\"")]
    NoPort { name: String, port: u16 },
    #[error("no endpoints available for service \"{0}\"")]
    NoEndpoints(String),
    #[error("unsupported service type \"{0}\"")]
    UnsupportedType(String),
}

/// Finds an endpoint of a Service, out of a cache: it is asked for every new connection, not for every call. Which of several
/// endpoints it gives is its own choice (upstream takes one by chance).
pub trait ServiceResolver: Send + Sync {
    fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<Endpoint, ServiceError>;
}

/// For servers that know no Services.
pub struct NoServices;

impl ServiceResolver for NoServices {
    fn resolve(&self, _namespace: &str, name: &str, _port: u16) -> Result<Endpoint, ServiceError> {
        Err(ServiceError::NotFound(name.into()))
    }
}
