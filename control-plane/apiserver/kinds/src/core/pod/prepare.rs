//! What the server sets on a pod, and what each endpoint may not change.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::qos;
use crate::podspec::{EPHEMERAL, drop_disabled};
use crate::strategy::Context;
use crate::value::{int, items, items_mut, keep, remove, text};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn create(context: &Context<'_>, pod: &mut Value) {
    if let Some(spec) = pod.get_mut("spec") {
        drop_disabled(spec, None);
    }
    let class = qos::class(&pod["spec"]);
    pod["status"] = json!({ "phase": "Pending", "qosClass": class });
    set_scheduling_gated(context, pod);
    narrow_selectors(pod);
}

/// A gated pod says so from the start.
fn set_scheduling_gated(context: &Context<'_>, pod: &mut Value) {
    if items(&pod["spec"]["schedulingGates"]).is_empty() {
        return;
    }
    pod["status"]["conditions"] = json!([{
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastTransitionTime": context.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }]);
}

/// `matchLabelKeys` and `mismatchLabelKeys` mean the values that the pod's own labels have now. (KEP-3633, KEP-3243)
fn narrow_selectors(pod: &mut Value) {
    let labels = pod["metadata"]["labels"].clone();
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    for constraint in items_mut(spec, "topologySpreadConstraints") {
        narrow(constraint, &labels);
    }
    let Some(affinity) = spec.get_mut("affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(kind) = affinity.get_mut(kind) else { continue };
        items_mut(kind, REQUIRED).iter_mut().for_each(|term| narrow(term, &labels));
        for preferred in items_mut(kind, PREFERRED) {
            if let Some(term) = preferred.get_mut("podAffinityTerm") {
                narrow(term, &labels);
            }
        }
    }
}

fn narrow(term: &mut Value, labels: &Value) {
    if !term["labelSelector"].is_object() {
        return;
    }
    let mut more = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in items(&term[field]).iter().map(text) {
            if let Some(value) = labels[key].as_str() {
                more.push(json!({ "key": key, "operator": operator, "values": [value] }));
            }
        }
    }
    if more.is_empty() {
        return;
    }
    let mut all = items(&term["labelSelector"]["matchExpressions"]).to_vec();
    all.extend(more);
    term["labelSelector"]["matchExpressions"] = all.into();
}

pub(super) fn update(context: &Context<'_>, new: &mut Value, old: &Value) {
    match context.subresource {
        "status" => status(new, old),
        "ephemeralcontainers" => {
            let asked = new["spec"].get(EPHEMERAL).cloned();
            keep_all(new, old);
            match asked {
                Some(containers) => new["spec"][EPHEMERAL] = containers,
                None => {
                    remove(&mut new["spec"], EPHEMERAL);
                }
            }
        }
        "resize" => resize(new, old),
        _ => {
            if let Some(spec) = new.get_mut("spec") {
                drop_disabled(spec, Some(&old["spec"]));
            }
            keep(new, old, "status");
        }
    }
}

/// Everything but the resourceVersion, which says what the client saw.
fn keep_all(new: &mut Value, old: &Value) {
    keep(new, old, "spec");
    keep(new, old, "status");
    let version = new["metadata"]["resourceVersion"].take();
    keep(new, old, "metadata");
    if !version.is_null() {
        new["metadata"]["resourceVersion"] = version;
    }
}

/// Who does not know of observed generations does not clear them; conditions of one type are taken in their order.
fn keep_generations(new: &mut Value, old: &Value) {
    const FIELD: &str = "observedGeneration";
    if int(&new[FIELD]) == 0 && int(&old[FIELD]) != 0 {
        new[FIELD] = old[FIELD].clone();
    }
    let mut before: HashMap<&str, VecDeque<i64>> = HashMap::new();
    for condition in items(&old["conditions"]) {
        before.entry(text(&condition["type"])).or_default().push_back(int(&condition[FIELD]));
    }
    for condition in items_mut(new, "conditions").iter_mut().filter(|condition| condition.is_object()) {
        let of_type = before.get_mut(text(&condition["type"]));
        let seen = of_type.and_then(VecDeque::pop_front).unwrap_or_default();
        if int(&condition[FIELD]) == 0 && seen != 0 {
            condition[FIELD] = seen.into();
        }
    }
}

fn status(new: &mut Value, old: &Value) {
    if !new["status"].is_object() {
        new["status"] = json!({});
    }
    if text(&new["status"]["qosClass"]).is_empty() && !old["status"]["qosClass"].is_null() {
        new["status"]["qosClass"] = old["status"]["qosClass"].clone();
    }
    keep_generations(&mut new["status"], &old["status"]);
    keep(&mut new["metadata"], &old["metadata"], "ownerReferences");
    same_addresses(&mut new["status"]);
}

/// The one address and the first of the list are the same; the one decides where they differ.
fn same_addresses(status: &mut Value) {
    if let Some(status) = status.as_object_mut() {
        oarlock_api::conversion::same_addresses(status);
    }
}

/// Of the spec, only the resources and the resize policy of containers are taken over.
fn resize(new: &mut Value, old: &Value) {
    let asked = std::mem::take(&mut new["spec"]);
    keep_all(new, old);
    for list in ["initContainers", "containers"] {
        for container in items_mut(&mut new["spec"], list) {
            let Some(wanted) = items(&asked[list]).iter().find(|w| w["name"] == container["name"]) else {
                continue;
            };
            keep(container, wanted, "resources");
            keep(container, wanted, "resizePolicy");
        }
    }
    if let Some(resources) = asked.get("resources") {
        new["spec"]["resources"] = resources.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_narrow_the_selectors() {
        let mut pod = json!({
            "metadata": {"labels": {"app": "a", "hash": "1"}},
            "spec": {
                "topologySpreadConstraints": [{"labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["hash", "none"]}],
                "affinity": {"podAntiAffinity": {REQUIRED: [{"labelSelector": {}, "mismatchLabelKeys": ["app"]}]}},
            },
        });
        narrow_selectors(&mut pod);
        assert_eq!(
            pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"],
            json!([{"key": "hash", "operator": "In", "values": ["1"]}])
        );
        assert_eq!(
            pod["spec"]["affinity"]["podAntiAffinity"][REQUIRED][0]["labelSelector"],
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]})
        );
    }

    #[test]
    fn one_address_decides() {
        let cases = [
            (json!({"podIP": "1"}), json!({"podIP": "1", "podIPs": [{"ip": "1"}]})),
            (
                json!({"podIPs": [{"ip": "1"}, {"ip": "2"}]}),
                json!({"podIP": "1", "podIPs": [{"ip": "1"}, {"ip": "2"}]}),
            ),
            (json!({"podIP": "2", "podIPs": [{"ip": "1"}]}), json!({"podIP": "2", "podIPs": [{"ip": "2"}]})),
            (json!({}), json!({})),
        ];
        for (mut given, want) in cases {
            same_addresses(&mut given);
            assert_eq!(given, want);
        }
    }
}
