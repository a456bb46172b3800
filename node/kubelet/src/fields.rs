//! The downward API: a pod's own fields and resources as text.

use k8s_openapi::api::core::v1::{Container, Node, Pod, ResourceFieldSelector};

use crate::context::Context;
use crate::observed::Observed;
use crate::pod::{PodExt as _, limit, milli_value, request, value};

/// What a field may say that the pod does not know of itself.
pub(crate) struct NodeFacts {
    pub(crate) host_ip: String,
    pub(crate) pod_ips: Vec<String>,
}

impl NodeFacts {
    pub(crate) fn of(ctx: &Context, pod: &Pod, observed: &Observed) -> Self {
        let host_ip = ctx.host_ip();
        let pod_ips = if pod.host_network() { vec![host_ip.clone()] } else { observed.ips() };
        Self { host_ip, pod_ips }
    }
}

/// The value at a field path.
pub(crate) fn field(pod: &Pod, path: &str, facts: &NodeFacts) -> Result<String, String> {
    let meta = &pod.metadata;
    let text = |text: Option<&String>| Ok(text.cloned().unwrap_or_default());
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        return match map {
            "metadata.annotations" => text(meta.annotations.as_ref().and_then(|map| map.get(key))),
            "metadata.labels" => text(meta.labels.as_ref().and_then(|map| map.get(key))),
            _ => Err(format!("fieldPath {path:?} does not support subscript")),
        };
    }
    match path {
        "metadata.annotations" => Ok(lines(meta.annotations.as_ref())),
        "metadata.labels" => Ok(lines(meta.labels.as_ref())),
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "spec.nodeName" => text(pod.spec().node_name.as_ref()),
        "spec.serviceAccountName" => text(pod.spec().service_account_name.as_ref()),
        "status.hostIP" | "status.hostIPs" => Ok(facts.host_ip.clone()),
        "status.podIP" => text(facts.pod_ips.first()),
        "status.podIPs" => Ok(facts.pod_ips.join(",")),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// A map as the downward API writes it: sorted lines `key="value"`.
fn lines(map: Option<&std::collections::BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// A request or limit, divided and rounded up; what is not set is what the node has.
pub(crate) fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    node: &Node,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let found = named.and_then(|name| pod.find_container(name)).map(|(_, container)| container.into_owned());
    let container = match (named, found, own) {
        (Some(_), Some(container), _) => container,
        (None, _, Some(own)) => own.clone(),
        (Some(name), ..) => return Err(format!("container {name} not found")),
        (None, ..) => return Err("no container is named".into()),
    };
    let (kind, resource) = selector.resource.split_once('.').unwrap_or(("", &selector.resource));
    let quantity = match kind {
        "limits" => limit(&container, resource),
        "requests" => request(&container, resource),
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref()?.get(resource));
    let quantity = match kind {
        "limits" => quantity.or(allocatable),
        _ => quantity,
    };
    let divisor = selector.divisor.as_ref().filter(|divisor| milli_value(divisor) > 0);
    let units = |of: fn(&k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> i64, one: i64| {
        let value = quantity.map_or(0, of);
        let divisor = divisor.map_or(one, of).max(1);
        (value + divisor - 1) / divisor
    };
    let number = if resource == "cpu" { units(milli_value, 1000) } else { units(value, 1) };
    Ok(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_resources() {
        let pod = serde_json::json!({
            "metadata": { "name": "p", "namespace": "n", "uid": "u", "labels": { "b": "2", "a": "x\"y" } },
            "spec": { "nodeName": "node", "containers": [{ "name": "c", "image": "i",
                "resources": { "requests": { "cpu": "250m" }, "limits": { "memory": "64Mi" } } }] },
        });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        let facts =
            NodeFacts { host_ip: "10.0.0.1".into(), pod_ips: vec!["10.1.0.1".into(), "fd::1".into()] };
        for (path, expected) in [
            ("metadata.name", "p"),
            ("metadata.labels", "a=\"x\\\"y\"\nb=\"2\""),
            ("metadata.labels['b']", "2"),
            ("status.podIPs", "10.1.0.1,fd::1"),
            ("status.hostIP", "10.0.0.1"),
        ] {
            assert_eq!(field(&pod, path, &facts).as_deref(), Ok(expected), "{path}");
        }
        let node: Node = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "node" }, "status": { "allocatable": { "cpu": "4" } },
        }))
        .expect("a node");
        for (name, divisor, expected) in [
            ("requests.cpu", None, "1"),
            ("requests.cpu", Some("1m"), "250"),
            ("limits.cpu", None, "4"),
            ("limits.memory", Some("1Mi"), "64"),
            ("requests.memory", None, "67108864"),
        ] {
            let selector = serde_json::json!({ "resource": name, "divisor": divisor, "containerName": "c" });
            let selector = serde_json::from_value(selector).expect("a selector");
            assert_eq!(resource(&pod, None, &selector, &node).as_deref(), Ok(expected), "{name} {divisor:?}");
        }
    }
}
