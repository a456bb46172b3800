//! Fields of which one is the first of a list: the ranges of a node, the addresses of a pod. Whatever a client says, they agree;
//! the single one decides. (`Convert_v1_NodeSpec_To_core_NodeSpec`, `Convert_v1_PodStatus_To_core_PodStatus`)

use serde_json::{Map, Value, json};

use super::object_at;

/// `podCIDR` and `podCIDRs` of a node.
pub(super) fn node(node: &mut Map<String, Value>) {
    if let Some(spec) = object_at(node, "spec") {
        same_ranges(spec);
    }
}

/// `podIP` and `podIPs` of a pod.
pub(super) fn pod(pod: &mut Map<String, Value>) {
    if let Some(status) = object_at(pod, "status") {
        same_addresses(status);
    }
}

/// The same of a node's spec.
pub fn same_ranges(spec: &mut Map<String, Value>) {
    agree(spec, ("podCIDR", "podCIDRs"), |item| item.as_str(), |single| json!(single));
}

/// The same of a pod's status.
pub fn same_addresses(status: &mut Map<String, Value>) {
    agree(status, ("podIP", "podIPs"), |item| item["ip"].as_str(), |single| json!({ "ip": single }));
}

fn agree(
    fields: &mut Map<String, Value>,
    (one, all): (&str, &str),
    text: fn(&Value) -> Option<&str>,
    item: fn(&str) -> Value,
) {
    let first = fields.get(all).and_then(|list| text(list.get(0)?)).unwrap_or_default();
    let single = fields.get(one).and_then(Value::as_str).unwrap_or_default();
    if single == first {
        return;
    }
    if single.is_empty() {
        let first = first.into();
        fields.insert(one.into(), first);
    } else {
        let list = Value::Array(vec![item(single)]);
        fields.insert(all.into(), list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_single_one_decides() {
        let cases = [
            (json!({}), json!({})),
            (json!({"podIP": "1"}), json!({"podIP": "1", "podIPs": [{"ip": "1"}]})),
            (
                json!({"podIPs": [{"ip": "1"}, {"ip": "2"}]}),
                json!({"podIP": "1", "podIPs": [{"ip": "1"}, {"ip": "2"}]}),
            ),
            (json!({"podIP": "2", "podIPs": [{"ip": "1"}]}), json!({"podIP": "2", "podIPs": [{"ip": "2"}]})),
            (json!({"podIPs": [{}]}), json!({"podIPs": [{}]})),
        ];
        for (status, want) in cases {
            let mut object = json!({ "status": status });
            pod(object.as_object_mut().expect("an object"));
            assert_eq!(object, json!({ "status": want }));
        }
        let mut object = json!({"spec": {"podCIDR": "a", "podCIDRs": ["b", "c"]}});
        node(object.as_object_mut().expect("an object"));
        assert_eq!(object, json!({"spec": {"podCIDR": "a", "podCIDRs": ["a"]}}));
    }
}
