//! One LimitRange applied to one object: pure.

use std::collections::BTreeMap;

use oarlock_api::quantity::Quantity;
use serde_json::Value;

use crate::value::{items, map_mut, text};
use oarlock_quota::amounts::{Amounts, amounts};
use oarlock_quota::pod_amounts::{self, Reading};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives every container the requests and limits that it does not tell itself, and notes it in an annotation.
pub(super) fn apply_defaults(range: &Value, pod: &mut Value) {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for limit in items(range, &["spec", "limits"]) {
        if text(limit, &["type"]) == "Container" {
            requests.extend(limit["defaultRequest"].as_object().cloned().into_iter().flatten());
            limits.extend(limit["default"].as_object().cloned().into_iter().flatten());
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return;
    }
    let mut notes = Vec::new();
    for (list, called) in [("containers", "container"), ("initContainers", "init container")] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let set_limits = fill(container, "limits", &limits);
            let set_requests = fill(container, "requests", &requests);
            for (set, what) in [(set_requests, "request"), (set_limits, "limit")] {
                if !set.is_empty() {
                    let name = text(container, &["name"]);
                    notes.push(format!("{} {what} for {called} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        map_mut(map_mut_in(pod, "metadata"), "annotations").insert(ANNOTATION.into(), note.into());
    }
}

fn map_mut_in<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    map_mut(object, field);
    &mut object[field]
}

/// Puts in what is missing, and gives its names in order.
fn fill(container: &mut Value, field: &str, defaults: &BTreeMap<String, Value>) -> Vec<String> {
    let had = &container["resources"][field];
    let missing: Vec<String> =
        defaults.keys().filter(|name| had.get(name.as_str()).is_none()).cloned().collect();
    if !missing.is_empty() {
        let target = map_mut(map_mut_in(container, "resources"), field);
        for name in &missing {
            target.insert(name.clone(), defaults[name].clone());
        }
    }
    missing
}

/// What an amount is held against.
struct Asked<'a> {
    kind: &'a str,
    requests: Amounts,
    limits: Amounts,
}

pub(super) fn pod_faults(range: &Value, pod: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for limit in items(range, &["spec", "limits"]) {
        match text(limit, &["type"]) {
            "Container" => {
                for list in ["containers", "initContainers"] {
                    for container in items(pod, &["spec", list]) {
                        let resources = &container["resources"];
                        let (requests, limits) =
                            (amounts(&resources["requests"]), amounts(&resources["limits"]));
                        check(limit, &Asked { kind: "Container", requests, limits }, &mut faults);
                    }
                }
            }
            "Pod" => {
                let reading = Reading { status: false, overhead: false };
                let requests = pod_amounts::requests(pod, reading);
                let limits = pod_amounts::limits(pod, reading);
                check(limit, &Asked { kind: "Pod", requests, limits }, &mut faults);
            }
            _ => {}
        }
    }
    faults
}

pub(super) fn claim_faults(range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let mut faults = Vec::new();
    let requests = amounts(&claim["spec"]["resources"]["requests"]);
    let asked = Asked { kind: KIND, requests, limits: Amounts::new() };
    for limit in items(range, &["spec", "limits"]).iter().filter(|l| text(l, &["type"]) == KIND) {
        for (name, bound) in amounts(&limit["min"]) {
            faults.extend(asked.under(&name, bound));
        }
        for (name, bound) in amounts(&limit["max"]) {
            faults.extend(asked.request_over(&name, bound));
        }
    }
    faults
}

fn check(limit: &Value, asked: &Asked<'_>, faults: &mut Vec<String>) {
    for (name, bound) in amounts(&limit["min"]) {
        faults.extend(asked.under(&name, bound));
    }
    for (name, bound) in amounts(&limit["max"]) {
        faults.extend(asked.over(&name, bound));
    }
    for (name, bound) in amounts(&limit["maxLimitRequestRatio"]) {
        faults.extend(asked.too_far_apart(&name, bound));
    }
}

impl Asked<'_> {
    fn under(&self, name: &str, bound: Quantity) -> Option<String> {
        let told = format!("minimum {name} usage per {} is {bound}", self.kind);
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{told}.  No request is specified")),
            (Some(request), _) if *request < bound => Some(format!("{told}, but request is {request}")),
            (_, Some(limit)) if *limit < bound => Some(format!("{told}, but limit is {limit}")),
            _ => None,
        }
    }

    fn request_over(&self, name: &str, bound: Quantity) -> Option<String> {
        let told = format!("maximum {name} usage per {} is {bound}", self.kind);
        match self.requests.get(name) {
            None => Some(format!("{told}.  No request is specified")),
            Some(request) if *request > bound => Some(format!("{told}, but request is {request}")),
            Some(_) => None,
        }
    }

    fn over(&self, name: &str, bound: Quantity) -> Option<String> {
        let told = format!("maximum {name} usage per {} is {bound}", self.kind);
        match (self.requests.get(name), self.limits.get(name)) {
            (_, None) => Some(format!("{told}.  No limit is specified")),
            (_, Some(limit)) if *limit > bound => Some(format!("{told}, but limit is {limit}")),
            (Some(request), _) if *request > bound => Some(format!("{told}, but request is {request}")),
            _ => None,
        }
    }

    fn too_far_apart(&self, name: &str, bound: Quantity) -> Option<String> {
        let told = format!("{name} max limit to request ratio per {} is {bound}", self.kind);
        let given = |amounts: &Amounts| amounts.get(name).filter(|quantity| !quantity.is_zero()).copied();
        let Some(request) = given(&self.requests) else {
            return Some(format!("{told}, but no request is specified or request is 0"));
        };
        let Some(limit) = given(&self.limits) else {
            return Some(format!("{told}, but no limit is specified or limit is 0"));
        };
        let ratio = limit.as_f64() / request.as_f64();
        (ratio > bound.as_f64()).then(|| format!("{told}, but provided ratio is {ratio:.6}"))
    }
}
