//! What is to be listed for a service: one endpoint per pod and address family, grouped by the ports they serve on.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};

use crate::common::addresses::{hostname_in, is_headless, pod_ips, should_be_listed, target_port};
use crate::common::pods;

/// Endpoints of one address family that share their ports.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) family: &'static str,
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// `zone` gives the zone of a node. Every family of the service has at least one group, if an empty one.
pub(super) fn wanted(
    service: &Service,
    pods: &[Arc<Pod>],
    zone: &impl Fn(&str) -> Option<String>,
) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    for family in families(service) {
        let before = groups.len();
        for pod in pods.iter().filter(|pod| should_be_listed(pod, true)) {
            let ips: Vec<&str> = pod_ips(pod).filter(|ip| family_of(ip) == family).collect();
            if ips.is_empty() {
                continue;
            }
            let ports = ports(service, pod);
            let endpoint = endpoint(service, pod, ips[0], zone);
            match groups[before..].iter_mut().find(|group| group.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { family, ports, endpoints: vec![endpoint] }),
            }
        }
        if groups.len() == before {
            groups.push(Group { family, ports: vec![], endpoints: vec![] });
        }
    }
    groups
}

fn family_of(ip: &str) -> &'static str {
    if ip.contains(':') { "IPv6" } else { "IPv4" }
}

fn families(service: &Service) -> Vec<&'static str> {
    let spec = service.spec.as_ref();
    let stated = spec.and_then(|spec| spec.ip_families.as_ref()).into_iter().flatten();
    let stated: Vec<_> = stated.map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" }).collect();
    if !stated.is_empty() {
        return stated;
    }
    let ip = spec.and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    vec![family_of(ip)]
}

/// The service's ports as this pod serves them; a named port that the pod lacks is left out.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let served = ports.filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(target_port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    let mut served: Vec<EndpointPort> = served.collect();
    served.sort_by(|a, b| (&a.name, &a.protocol, a.port).cmp(&(&b.name, &b.protocol, b.port)));
    served
}

fn endpoint(service: &Service, pod: &Pod, ip: &str, zone: &impl Fn(&str) -> Option<String>) -> Endpoint {
    let publish_all =
        service.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true));
    let serving = pods::is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let node = Some(pods::node_name(pod)).filter(|node| !node.is_empty());
    Endpoint {
        addresses: vec![ip.into()],
        conditions: Some(EndpointConditions {
            ready: Some(publish_all || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        node_name: node.map(String::from),
        zone: node.and_then(zone),
        hostname: hostname_in(pod, service).map(String::from),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

/// The labels of a slice: the service's own, and ours.
pub(super) fn labels(service: &Service) -> std::collections::BTreeMap<String, String> {
    use super::{MANAGED_BY, MANAGER, SERVICE_NAME};
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove("service.kubernetes.io/headless");
    if is_headless(service) {
        labels.insert("service.kubernetes.io/headless".into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}
