//! Validation of services.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::strategy::Context;
use crate::value::{int, items, text, texts};
use crate::{check, names};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(super) fn service(service: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    check::must_be_one_of(&spec["type"], &TYPES, &path.child("type"), errors);
    let headless = spec["clusterIP"] == "None";
    let external = spec["type"] == "ExternalName";
    if items(&spec["ports"]).is_empty() && !headless && !external {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    if external {
        external_name(spec, &path, errors);
    }
    if spec["type"] == "LoadBalancer" && headless {
        let words = "may not be set to 'None' for LoadBalancer services";
        errors.push(FieldError::invalid(path.child("clusterIPs").index(0), "None", words));
    }
    ports(&spec["ports"], headless, &path.child("ports"), errors);
    check::labels(&spec["selector"], &path.child("selector"), errors);
    check::must_be_one_of(
        &spec["sessionAffinity"],
        &["ClientIP", "None"],
        &path.child("sessionAffinity"),
        errors,
    );
    affinity_config(spec, &path, errors);
    for (index, ip) in texts(&spec["externalIPs"]).enumerate() {
        check::syntax(ip, names::ip, &path.child("externalIPs").index(index), errors);
    }
    traffic(spec, &path, errors);
    addresses(spec, &path, errors);
}

fn external_name(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let name = text(&spec["externalName"]);
    let at = path.child("externalName");
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else {
        let faults = names::subdomain(name.strip_suffix('.').unwrap_or(name)).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(at.clone(), name, fault)));
    }
}

fn ports(ports: &Value, headless: bool, path: &Path, errors: &mut FieldErrors) {
    let several = items(ports).len() > 1;
    let (mut seen, mut pairs, mut node_ports) = (Seen::new(), HashSet::new(), HashSet::new());
    for (index, port) in items(ports).iter().enumerate() {
        let path = path.index(index);
        if several && text(&port["name"]).is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        check::optional(&port["name"], names::dns_label, &path.child("name"), errors);
        seen.add(text(&port["name"]), &path.child("name"), errors);
        check::port(&int(&port["port"]).into(), &path.child("port"), errors);
        check::must_be_one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
        if !port["targetPort"].is_null() {
            check::port_or_name(&port["targetPort"], &path.child("targetPort"), errors);
        }
        check::optional(&port["appProtocol"], names::qualified, &path.child("appProtocol"), errors);
        if headless && int(&port["nodePort"]) != 0 {
            let words = "may not be used when `clusterIP` is 'None'";
            errors.push(FieldError::forbidden(path.child("nodePort"), words));
        }
        let protocol = text(&port["protocol"]);
        if !pairs.insert((protocol, int(&port["port"]))) {
            let mut told = serde_json::Map::new();
            told.insert("protocol".into(), protocol.into());
            told.insert("port".into(), port["port"].clone());
            errors.push(FieldError::duplicate(path.clone(), Value::Object(told)));
        }
        let node_port = int(&port["nodePort"]);
        if node_port != 0 && !node_ports.insert((protocol, node_port)) {
            errors.push(FieldError::duplicate(path.child("nodePort"), node_port));
        }
    }
}

fn affinity_config(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    const SECONDS_MAX: i64 = 86_400;
    let (config, at) = (&spec["sessionAffinityConfig"], path.child("sessionAffinityConfig"));
    if spec["sessionAffinity"] == "None" && config.is_object() {
        errors.push(FieldError::forbidden(at, "must not be set when session affinity is None"));
    } else if let Some(seconds) = config["clientIP"]["timeoutSeconds"].as_i64()
        && !(1..=SECONDS_MAX).contains(&seconds)
    {
        let words = format!("must be greater than 0 and less than {SECONDS_MAX}");
        errors.push(FieldError::invalid(at.child("clientIP").child("timeoutSeconds"), seconds, words));
    }
}

fn traffic(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let policies = ["Cluster", "Local"];
    let (external, at) = (&spec["externalTrafficPolicy"], path.child("externalTrafficPolicy"));
    if super::externally_reached_spec(spec) {
        check::must_be_one_of(external, &policies, &at, errors);
    } else if !text(external).is_empty() {
        let words = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(at, external.clone(), words));
    }
    check::one_of(&spec["internalTrafficPolicy"], &policies, &path.child("internalTrafficPolicy"), errors);
    let balanced = spec["type"] == "LoadBalancer";
    if !balanced && !spec["allocateLoadBalancerNodePorts"].is_null() {
        let words = "may only be used when `type` is 'LoadBalancer'";
        errors.push(FieldError::forbidden(path.child("allocateLoadBalancerNodePorts"), words));
    }
    if !balanced && !text(&spec["loadBalancerClass"]).is_empty() {
        let words = "may only be used when `type` is 'LoadBalancer'";
        errors.push(FieldError::forbidden(path.child("loadBalancerClass"), words));
    }
    for (index, range) in texts(&spec["loadBalancerSourceRanges"]).enumerate() {
        check::syntax(
            range.trim(),
            names::cidr,
            &path.child("loadBalancerSourceRanges").index(index),
            errors,
        );
    }
}

fn addresses(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let all: Vec<&str> = texts(&spec["clusterIPs"]).collect();
    let at = path.child("clusterIPs");
    if let (Some(first), Some(single)) = (all.first(), spec["clusterIP"].as_str())
        && *first != single
    {
        errors.push(FieldError::invalid(
            at.clone(),
            spec["clusterIPs"].clone(),
            "first value must match `clusterIP`",
        ));
    }
    if spec["type"] == "ExternalName" {
        if !all.is_empty() {
            errors.push(FieldError::forbidden(at, "may not be set when `type` is 'ExternalName'"));
        }
        return;
    }
    for (index, ip) in all.iter().enumerate().filter(|(_, ip)| !ip.is_empty()) {
        if *ip == "None" {
            if all.len() > 1 {
                let words = "must be the only value when set to 'None'";
                errors.push(FieldError::invalid(at.index(index), *ip, words));
            }
        } else {
            check::syntax(ip, names::ip, &at.index(index), errors);
        }
    }
}

/// The first address stays while the type needs one.
pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (now, was) = (&new["spec"], &old["spec"]);
    let needs = |spec: &Value| spec["type"] != "ExternalName";
    if context.subresource == "status" || !needs(now) || !needs(was) {
        return;
    }
    let first = |spec: &Value| spec["clusterIPs"][0].clone();
    if !first(was).is_null() && first(was) != "" && first(now) != first(was) {
        let words = "may not change once set";
        errors.push(FieldError::invalid(Path::new("spec").child("clusterIPs").index(0), first(now), words));
    }
    let same_type = now["type"] == "LoadBalancer" && was["type"] == "LoadBalancer";
    if same_type && now["loadBalancerClass"] != was["loadBalancerClass"] {
        let at = Path::new("spec").child("loadBalancerClass");
        errors.push(FieldError::invalid(at, now["loadBalancerClass"].clone(), "may not change once set"));
    }
}
