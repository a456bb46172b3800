//! What the server sets on a pod, and what each endpoint may not change.

use serde_json::{Value, json};

use super::qos;
use crate::strategy::Context;
use crate::value::{items, items_mut, keep, text};

pub(super) fn create(_context: &Context<'_>, pod: &mut Value) {
    let class = qos::class(&pod["spec"]);
    pod["status"] = json!({ "phase": "Pending", "qosClass": class });
    set_scheduling_gated(pod);
}

/// A gated pod says so from the start.
fn set_scheduling_gated(pod: &mut Value) {
    if items(&pod["spec"]["schedulingGates"]).is_empty() {
        return;
    }
    pod["status"]["conditions"] = json!([{
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }]);
}

pub(super) fn update(context: &Context<'_>, new: &mut Value, old: &Value) {
    match context.subresource {
        "status" => status(new, old),
        "ephemeralcontainers" => {
            let asked = new["spec"].get("ephemeralContainers").cloned();
            keep(new, old, "spec");
            if let Some(containers) = asked {
                new["spec"]["ephemeralContainers"] = containers;
            }
            keep(new, old, "status");
        }
        "resize" => resize(new, old),
        _ => keep(new, old, "status"),
    }
}

fn status(new: &mut Value, old: &Value) {
    if !new["status"].is_object() {
        new["status"] = json!({});
    }
    if text(&new["status"]["qosClass"]).is_empty() && !old["status"]["qosClass"].is_null() {
        new["status"]["qosClass"] = old["status"]["qosClass"].clone();
    }
    keep(&mut new["metadata"], &old["metadata"], "ownerReferences");
}

/// Of the spec, only the resources and the resize policy of containers are taken over.
fn resize(new: &mut Value, old: &Value) {
    let asked = std::mem::take(&mut new["spec"]);
    keep(new, old, "spec");
    keep(new, old, "status");
    keep(new, old, "metadata");
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
