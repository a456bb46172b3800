//! Who stands behind a Service now: its ready endpoints, as a client in the cluster would reach them. (Upstream's
//! `--enable-aggregator-routing`: no packet filter is needed on this machine.)

use std::net::SocketAddr;
use std::sync::Arc;

use oarlock_api::GroupResource;
use oarlock_apiserver_access::Objects;
use oarlock_apiserver_webhook::{Endpoint, ServiceError, ServiceResolver};
use serde_json::Value;

use crate::kubelet::Target;

/// Endpoints for whoever calls a Service from this server: webhooks of all sorts.
pub(crate) struct ServiceEnds(pub(crate) Arc<dyn Objects>);

impl ServiceResolver for ServiceEnds {
    fn resolve(&self, namespace: &str, name: &str, port: u16) -> Result<Endpoint, ServiceError> {
        let end =
            end_of(&*self.0, (namespace, name), &port.to_string(), true).map_err(|fault| match fault {
                NoEnd::Service(name) => ServiceError::NotFound(name),
                NoEnd::Port { service, .. } => ServiceError::NoPort { name: service, port },
                NoEnd::Endpoints(name) => ServiceError::NoEndpoints(name),
            })?;
        Ok(match end.host.parse() {
            Ok(ip) => Endpoint::Address(SocketAddr::new(ip, end.port)),
            Err(_) => Endpoint::Name { host: end.host, port: end.port },
        })
    }
}

/// Why nobody can be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEnd {
    #[error("service {0:?} not found")]
    Service(String),
    #[error("no service port {port:?} found for service {service:?}")]
    Port { service: String, port: String },
    #[error("no endpoints available for service {0:?}")]
    Endpoints(String),
}

/// A ready endpoint of a Service's port (by number or name; any where it is empty), picked at random.
pub(crate) fn end_of(
    objects: &dyn Objects,
    (namespace, name): (&str, &str),
    port: &str,
    tls: bool,
) -> Result<Target, NoEnd> {
    let service = objects.get(&GroupResource::new("", "services"), namespace, name);
    let service = service.ok_or_else(|| NoEnd::Service(name.to_string()))?;
    if service["spec"]["type"] == "ExternalName" {
        let host = service["spec"]["externalName"].as_str().unwrap_or_default().to_string();
        let port = port.parse().unwrap_or(if tls { 443 } else { 80 });
        return Ok(Target { host, port, tls });
    }
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let wanted = ports.into_iter().find(|p| {
        port.is_empty() || p["name"] == port || p["port"].as_u64().is_some_and(|n| n.to_string() == port)
    });
    let missing = || NoEnd::Port { service: name.to_string(), port: port.to_string() };
    let wanted = wanted.ok_or_else(missing)?;
    let slices = objects.list(&GroupResource::new("discovery.k8s.io", "endpointslices"), namespace);
    let of_service =
        slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name);
    let mut ends: Vec<Target> = Vec::new();
    for slice in of_service {
        ends.extend(ready_ends(slice, wanted, tls));
    }
    let index = rand::random_range(0..ends.len().max(1));
    ends.into_iter().nth(index).ok_or_else(|| NoEnd::Endpoints(name.to_string()))
}

/// The addresses of a slice that take traffic for a service's port.
fn ready_ends<'a>(slice: &'a Value, wanted: &'a Value, tls: bool) -> impl Iterator<Item = Target> + 'a {
    let same = |port: &&Value| {
        port["name"].as_str().unwrap_or_default() == wanted["name"].as_str().unwrap_or_default()
    };
    let ports = slice["ports"].as_array().into_iter().flatten();
    let port =
        ports.into_iter().find(same).and_then(|p| p["port"].as_u64()).and_then(|p| u16::try_from(p).ok());
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    endpoints
        .filter(|end| end["conditions"]["ready"] != false)
        .filter_map(|end| end["addresses"][0].as_str())
        .filter_map(move |host| Some(Target { host: host.to_string(), port: port?, tls }))
}
