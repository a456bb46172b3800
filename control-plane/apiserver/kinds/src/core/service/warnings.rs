//! What is allowed in a service but unwise. (`pkg/api/service/warnings.go`)

use oarlock_api::Path;
use serde_json::Value;

use super::is_headless;
use super::validate::{HINTS, MODE};
use crate::check;
use crate::value::{is_set, text, texts};

pub(super) fn service(service: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    if !service["metadata"]["annotations"][HINTS].is_null() {
        warnings.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    let (headless, external) = (is_headless(spec), spec["type"] == "ExternalName");
    if !headless {
        addresses(spec, "clusterIPs", &path, warnings);
    } else {
        if is_set(&spec["loadBalancerIP"]) {
            warnings.push("spec.loadBalancerIP is ignored for headless services".into());
        }
        if is_set(&spec["externalIPs"]) {
            warnings.push("spec.externalIPs is ignored for headless services".into());
        }
        if spec["sessionAffinity"] != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".into());
        }
    }
    addresses(spec, "externalIPs", &path, warnings);
    if is_set(&spec["externalIPs"]) && !headless && !external {
        warnings
            .push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    check::ip_warning(text(&spec["loadBalancerIP"]), &path.child("loadBalancerIP"), warnings);
    for (index, range) in texts(&spec["loadBalancerSourceRanges"]).enumerate() {
        check::cidr_warning(range, &path.child("loadBalancerSourceRanges").index(index), warnings);
    }
    if external && is_set(&spec["externalIPs"]) {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if !external && is_set(&spec["externalName"]) {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if spec["trafficDistribution"] == "PreferClose" {
        warnings
            .push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".into());
    }
}

fn addresses(spec: &Value, field: &str, path: &Path, warnings: &mut Vec<String>) {
    for (index, ip) in texts(&spec[field]).enumerate() {
        check::ip_warning(ip, &path.child(field).index(index), warnings);
    }
}
