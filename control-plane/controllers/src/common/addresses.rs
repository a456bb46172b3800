//! What both endpoint controllers read of services and pods: which pods belong, and on which port.

use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pods;

/// Whether a pod of the service may be listed at all: it has an address and has not ended; terminating ones only where
/// they are asked for.
pub(crate) fn should_be_listed(pod: &Pod, with_terminating: bool) -> bool {
    if pods::is_terminal(pod) || pod_ips(pod).next().is_none() {
        return false;
    }
    with_terminating || pod.metadata.deletion_timestamp.is_none()
}

/// The pod's addresses, the first one first.
pub(crate) fn pod_ips(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pod.status.as_ref();
    let many =
        status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten().map(|ip| ip.ip.as_str());
    let one = status.and_then(|status| status.pod_ip.as_deref());
    let has_many = status.and_then(|status| status.pod_ips.as_ref()).is_some_and(|ips| !ips.is_empty());
    one.filter(|_| !has_many).into_iter().chain(many).filter(|ip| !ip.is_empty())
}

/// The port of the pod that a service's port leads to; `None` when it has no container port of that name.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = pod.spec.as_ref()?;
    // Sidecars serve too: init containers that restart always.
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars).find_map(|container| named_port(container, name, protocol))
}

fn named_port(container: &Container, name: &str, protocol: &str) -> Option<i32> {
    let ports = container.ports.iter().flatten();
    let found = ports.into_iter().find(|port| {
        port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol
    });
    found.map(|port| port.container_port)
}

/// The pod's own DNS name within the service: its hostname, where its subdomain is the service.
pub(crate) fn hostname_in<'a>(pod: &'a Pod, service: &Service) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.as_deref().filter(|hostname| !hostname.is_empty())?;
    let here =
        spec.subdomain == service.metadata.name && pod.metadata.namespace == service.metadata.namespace;
    here.then_some(hostname)
}

/// Whether the service has no cluster address (`clusterIP: None`).
pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None"))
}

/// The service's selector, if its endpoints are ours to make.
pub(crate) fn selector(service: &Service) -> Option<&std::collections::BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref()
}

/// Whether a pod's labels satisfy a service's selector. An empty selector selects all, as upstream's does.
pub(crate) fn selects(selector: &std::collections::BTreeMap<String, String>, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether a change of a pod can change what is listed of it.
pub(crate) fn endpoint_changed(old: &Pod, new: &Pod) -> bool {
    let part = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        (
            pods::is_ready(pod),
            pods::is_terminal(pod),
            pod.metadata.deletion_timestamp.is_some(),
            pod_ips(pod).map(String::from).collect::<Vec<_>>(),
            pods::node_name(pod).to_string(),
            spec.and_then(|spec| spec.hostname.clone()),
            spec.and_then(|spec| spec.subdomain.clone()),
        )
    };
    old.metadata.labels != new.metadata.labels || part(old) != part(new)
}
