//! What a pod asks for as a whole: containers together, the greatest of the init containers, what the pod level says
//! instead, and the sandbox's own overhead.

use oarlock_api::value::{at, items, text};
use serde_json::Value;

use crate::amounts::{Amounts, add, amounts, raise};

/// How a pod is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// What the node has already granted counts where it is more (a resize under way).
    pub status: bool,
    pub overhead: bool,
}

pub fn requests(pod: &Value, reading: Reading) -> Amounts {
    let mut total = total(pod, "requests", reading);
    if reading.overhead {
        add(&mut total, &amounts(&pod["spec"]["overhead"]));
    }
    total
}

pub fn limits(pod: &Value, reading: Reading) -> Amounts {
    let mut total = total(pod, "limits", reading);
    if reading.overhead {
        // No limit stays no limit.
        for (name, quantity) in amounts(&pod["spec"]["overhead"]) {
            if let Some(had) = total.get_mut(&name).filter(|had| !had.is_zero()) {
                *had += quantity;
            }
        }
    }
    total
}

fn total(pod: &Value, which: &str, reading: Reading) -> Amounts {
    let spec = &pod["spec"];
    let mut sum = Amounts::new();
    for container in items(spec, &["containers"]) {
        add(&mut sum, &of_container(pod, "containerStatuses", container, which, reading));
    }
    // A sidecar goes on running beside what starts after it.
    let (mut sidecars, mut initial) = (Amounts::new(), Amounts::new());
    for container in items(spec, &["initContainers"]) {
        let own = of_container(pod, "initContainerStatuses", container, which, reading);
        if text(container, &["restartPolicy"]) == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut initial, &sidecars);
        } else {
            let mut with_sidecars = own;
            add(&mut with_sidecars, &sidecars);
            raise(&mut initial, &with_sidecars);
        }
    }
    raise(&mut sum, &initial);
    for (name, quantity) in pod_level(pod, which) {
        sum.insert(name, quantity);
    }
    sum
}

/// The amounts told for the pod as a whole, of the resources that may be told so.
pub fn pod_level(pod: &Value, which: &str) -> Amounts {
    let told = amounts(&pod["spec"]["resources"][which]);
    told.into_iter()
        .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-"))
        .collect()
}

fn of_container(pod: &Value, statuses: &str, container: &Value, which: &str, reading: Reading) -> Amounts {
    let mut own = amounts(&container["resources"][which]);
    if !reading.status {
        return own;
    }
    let name = text(container, &["name"]);
    let all = items(pod, &["status", statuses]);
    let Some(status) = all.iter().find(|status| text(status, &["name"]) == name) else { return own };
    if is_infeasible(pod) {
        own.clear();
    }
    if let Some(granted) = at(status, &["resources", which]) {
        raise(&mut own, &amounts(granted));
    }
    if which == "requests" {
        raise(&mut own, &amounts(&status["allocatedResources"]));
    }
    own
}

/// The node has said that it can never grant what the pod now asks for.
fn is_infeasible(pod: &Value) -> bool {
    items(pod, &["status", "conditions"]).iter().any(|condition| {
        text(condition, &["type"]) == "PodResizePending" && text(condition, &["reason"]) == "Infeasible"
    })
}
