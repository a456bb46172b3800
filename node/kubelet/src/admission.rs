//! Whether the node takes a pod that was given to it: resources, selectors, taints, ports. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Container, Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration,
};

use crate::cgroups::total;
use crate::pod::{PodExt as _, is_sidecar, milli_value, request, value};
use crate::status::Verdict;

pub(crate) fn admit(pod: &Pod, others: &[Arc<Pod>], node: &Node) -> Option<Verdict> {
    fits(pod, others, node)
        .or_else(|| selected(pod, node))
        .or_else(|| tolerated(pod, node))
        .or_else(|| ports(pod, others))
}

fn refuse(reason: &str, message: String) -> Option<Verdict> {
    Some(Verdict { reason: reason.into(), message: format!("Pod was rejected: {message}") })
}

fn fits(pod: &Pod, others: &[Arc<Pod>], node: &Node) -> Option<Verdict> {
    let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
    if let Some(max) = allocatable.get("pods").map(value) {
        let used = i64::try_from(others.len()).unwrap_or(i64::MAX);
        if used + 1 > max {
            let message = format!(
                "Node didn't have enough resource: pods, requested: 1, used: {used}, capacity: {max}"
            );
            return refuse("OutOfpods", message);
        }
    }
    for (resource, quantity) in allocatable.iter().filter(|(resource, _)| resource.as_str() != "pods") {
        let unit = if resource == "cpu" { milli_value } else { value };
        let asked =
            |pod: &Pod| total(pod, |c: &Container| Some(request(c, resource).map_or(0, unit))).unwrap_or(0);
        let (wanted, capacity) = (asked(pod), unit(quantity));
        let used: i64 = others.iter().map(|other| asked(other)).sum();
        if wanted > 0 && used + wanted > capacity {
            let message = format!(
                "Node didn't have enough resource: {resource}, requested: {wanted}, used: {used}, capacity: {capacity}"
            );
            return refuse(&format!("OutOf{resource}"), message);
        }
    }
    None
}

fn selected(pod: &Pod, node: &Node) -> Option<Verdict> {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let by_labels =
        pod.spec().node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = pod.spec().affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let by_affinity = required.is_none_or(|required| {
        required
            .node_selector_terms
            .iter()
            .any(|term| term_matches(term, name, |key| labels.get(key).cloned()))
    });
    if by_labels && by_affinity {
        return None;
    }
    refuse(
        "NodeAffinity",
        "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into(),
    )
}

fn term_matches(term: &NodeSelectorTerm, name: &str, label: impl Fn(&str) -> Option<String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|wanted| requirement_holds(wanted, label(&wanted.key)))
        && fields
            .iter()
            .all(|wanted| requirement_holds(wanted, (wanted.key == "metadata.name").then(|| name.to_owned())))
}

fn requirement_holds(wanted: &NodeSelectorRequirement, value: Option<String>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = |ordering| {
        let (Some(have), Some(bound)) =
            (value.as_deref().and_then(number), values.first().and_then(|v| number(v)))
        else {
            return false;
        };
        have.cmp(&bound) == ordering
    };
    match wanted.operator.as_str() {
        "In" => value.as_ref().is_some_and(|value| values.contains(value)),
        "NotIn" => !value.as_ref().is_some_and(|value| values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(std::cmp::Ordering::Greater),
        "Lt" => compare(std::cmp::Ordering::Less),
        _ => false,
    }
}

/// A pod that does not tolerate a `NoExecute` taint would be evicted at once. Static pods stay.
fn tolerated(pod: &Pod, node: &Node) -> Option<Verdict> {
    if pod.is_static() {
        return None;
    }
    let taints = node.spec.as_ref()?.taints.as_deref().unwrap_or_default();
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    let untolerated = taints
        .iter()
        .filter(|taint| taint.effect == "NoExecute")
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))?;
    let value = untolerated.value.as_deref().unwrap_or_default();
    refuse(
        "TaintToleration",
        format!(
            "Predicate TaintToleration failed: node(s) had untolerated taint {{{}: {value}}}",
            untolerated.key
        ),
    )
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is = |text: &Option<String>, wanted: &str| {
        text.as_deref().is_none_or(|text| text.is_empty() || text == wanted)
    };
    let value = toleration.value.as_deref().unwrap_or_default();
    is(&toleration.effect, &taint.effect)
        && is(&toleration.key, &taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            _ => value == taint.value.as_deref().unwrap_or_default(),
        }
}

type Port = (String, String, i32);

fn host_ports(pod: &Pod) -> HashSet<Port> {
    let sidecars = pod.init_containers().iter().filter(|c| is_sidecar(c));
    let ports = sidecars.chain(&pod.spec().containers).flat_map(|c| c.ports.iter().flatten());
    let wanted = ports.filter_map(|port| {
        let number = port.host_port.filter(|&number| number > 0)?;
        let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into());
        Some((ip, port.protocol.clone().unwrap_or_else(|| "TCP".into()), number))
    });
    wanted.collect()
}

fn ports(pod: &Pod, others: &[Arc<Pod>]) -> Option<Verdict> {
    let wanted = host_ports(pod);
    if wanted.is_empty() {
        return None;
    }
    let clash = |(ip, protocol, number): &Port, (other_ip, other_protocol, other): &Port| {
        let same_ip = ip == other_ip || ip == "0.0.0.0" || other_ip == "0.0.0.0";
        same_ip && protocol == other_protocol && number == other
    };
    let taken: Vec<Port> = others.iter().flat_map(|other| host_ports(other)).collect();
    let clashes = wanted.iter().any(|port| taken.iter().any(|other| clash(port, other)));
    if !clashes {
        return None;
    }
    refuse(
        "NodePorts",
        "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        if spec.get("containers").is_none() {
            spec["containers"] = json!([{ "name": "c", "image": "i" }]);
        }
        serde_json::from_value(json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": spec }))
            .expect("a pod")
    }

    #[test]
    fn reasons() {
        let node: Node = serde_json::from_value(json!({
            "metadata": { "name": "node", "labels": { "disk": "ssd" } },
            "spec": { "taints": [{ "key": "k", "value": "v", "effect": "NoExecute" }] },
            "status": { "allocatable": { "cpu": "2", "memory": "1Gi", "pods": "3" } },
        }))
        .expect("a node");
        let tolerate = json!([{ "operator": "Exists" }]);
        let cpu =
            |cpu: &str| json!([{ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } }]);
        let port = json!([{ "name": "c", "image": "i", "ports": [{ "containerPort": 80, "hostPort": 80 }] }]);
        let others = vec![
            Arc::new(pod(json!({ "containers": cpu("1500m") }))),
            Arc::new(pod(json!({ "containers": port }))),
        ];
        for (spec, expected) in [
            (json!({ "tolerations": tolerate }), None),
            (json!({ "tolerations": tolerate, "containers": cpu("600m") }), Some("OutOfcpu")),
            (json!({ "tolerations": tolerate, "containers": port }), Some("NodePorts")),
            (json!({ "tolerations": tolerate, "nodeSelector": { "disk": "hdd" } }), Some("NodeAffinity")),
            (json!({}), Some("TaintToleration")),
        ] {
            let verdict = admit(&pod(spec.clone()), &others, &node);
            assert_eq!(verdict.map(|verdict| verdict.reason).as_deref(), expected, "{spec}");
        }
        let full: Vec<_> = (0..3).map(|_| Arc::new(pod(json!({})))).collect();
        let verdict = admit(&pod(json!({})), &full, &node).expect("refused");
        assert_eq!(
            verdict.message,
            "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"
        );
    }
}
