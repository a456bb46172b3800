//! What a kubelet may not say of a pod.

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::value::{items, text};
use crate::{check, names};

const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (status, path) = (&new["status"], Path::new("status"));
    for (index, condition) in items(&status["conditions"]).iter().enumerate() {
        let kind = text(&condition["type"]);
        if !SYSTEM_CONDITIONS.contains(&kind) {
            let at = path.child("conditions").index(index).child("Type");
            check::syntax(kind, names::qualified, &at, errors);
        }
    }
    let words = "must be a non-negative integer";
    check::at_least(&status["observedGeneration"], 0, words, &path.child("observedGeneration"), errors);
    if new["spec"]["nodeName"] != old["spec"]["nodeName"] {
        errors.push(FieldError::forbidden(path.child("nodeName"), "may not be changed directly"));
    }
    if status["nominatedNodeName"] != old["status"]["nominatedNodeName"] {
        let at = path.child("nominatedNodeName");
        check::optional(&status["nominatedNodeName"], names::subdomain, &at, errors);
    }
    if !old["status"]["qosClass"].is_null() {
        let at = path.child("qosClass");
        check::immutable(&status["qosClass"], &old["status"]["qosClass"], &at, errors);
    }
    let restarts = text(&old["spec"]["restartPolicy"]);
    for (list, policy) in [
        ("containerStatuses", restarts),
        ("initContainerStatuses", restarts),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        transitions(&status[list], old, list, policy, &path.child(list), errors);
    }
    claims(status, &new["spec"], &path.child("resourceClaimStatuses"), errors);
    addresses(&status["podIPs"], "io.k8s.api.core.v1.PodIP", &path.child("podIPs"), errors);
    let (first, at) = (&status["hostIPs"][0]["ip"], path.child("hostIPs"));
    if !first.is_null() && *first != status["hostIP"] {
        errors.push(FieldError::invalid(at.index(0).child("ip"), first.clone(), "must be equal to `hostIP`"));
    }
    addresses(&status["hostIPs"], "io.k8s.api.core.v1.HostIP", &at, errors);
}

/// What has ended runs again only where it may restart.
fn transitions(new: &Value, pod: &Value, list: &str, policy: &str, path: &Path, errors: &mut FieldErrors) {
    if policy == "Always" {
        return;
    }
    let has_rules = |name: &Value| {
        ["containers", "initContainers"].iter().any(|containers| {
            items(&pod["spec"][*containers]).iter().any(|c| {
                c["name"] == *name && (!c["restartPolicy"].is_null() || !c["restartPolicyRules"].is_null())
            })
        })
    };
    for (index, was) in items(&pod["status"][list]).iter().enumerate() {
        let ended = &was["state"]["terminated"];
        let failed = ended["exitCode"].as_i64().is_some_and(|code| code != 0);
        if ended.is_null() || failed && policy == "OnFailure" || has_rules(&was["name"]) {
            continue;
        }
        let runs = |now: &&Value| now["name"] == was["name"] && now["state"]["terminated"].is_null();
        if items(new).iter().any(|now| runs(&now)) {
            let words = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(path.index(index).child("state"), words));
        }
    }
}

fn claims(status: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let list = items(&status["resourceClaimStatuses"]);
    for index in check::repeats(list, |claim| [&claim["name"]]) {
        errors.push(FieldError::duplicate(path.index(index).child("name"), list[index]["name"].clone()));
    }
    for (index, claim) in list.iter().enumerate() {
        let (at, name) = (path.index(index).child("name"), text(&claim["name"]));
        if !items(&spec["resourceClaims"]).iter().any(|of_pod| of_pod["name"] == claim["name"]) {
            let words = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(at.clone(), name, words));
        }
        check::optional(&claim["resourceClaimName"], names::subdomain, &at, errors);
    }
}

/// At most one address of each family.
fn addresses(list: &Value, told_as: &str, path: &Path, errors: &mut FieldErrors) {
    let all = items(list);
    for (index, address) in all.iter().enumerate() {
        check::syntax(text(&address["ip"]), names::ip, &path.index(index), errors);
    }
    let unread = all.iter().position(|address| !names::ip(text(&address["ip"])).is_empty());
    if let Some(index) = unread.filter(|_| all.len() > 1) {
        let fault = format!("invalid IP[{index}]: {}", text(&all[index]["ip"]));
        let words = format!("failed to check for dual stack with error:{fault}");
        errors.push(FieldError::internal(path.clone(), words));
    }
    let of_v4 = |address: &Value| text(&address["ip"]).parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4());
    let v4 = all.iter().filter(|address| of_v4(address)).count();
    if all.len() > 2 || all.len() == 2 && (v4 != 1 || unread.is_some()) {
        let words = "may specify no more than one IP for each IP family";
        let told = dump::list(told_as, list);
        errors.push(FieldError::invalid(path.clone(), "", words).told_as(&told));
    }
}
