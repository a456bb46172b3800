//! Validation of services. (`ValidateService`)

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::{Value, json};

use super::{addresses, is_headless};
use crate::check::Seen;
use crate::value::{int, is_set, items, text, texts};
use crate::{check, names};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
pub(super) const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
pub(super) const MODE: &str = "service.kubernetes.io/topology-mode";
const ONLY_BALANCED: &str = "may only be used when `type` is 'LoadBalancer'";

pub(super) fn service(service: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    // Addresses are looked at before anything else is, and alone if they are wrong.
    let before = errors.len();
    if spec["type"] != "ExternalName" {
        addresses::validate(spec, &path, errors);
    }
    if errors.len() > before {
        return;
    }
    let annotations = &service["metadata"]["annotations"];
    if let (Some(hints), Some(mode)) = (annotations[HINTS].as_str(), annotations[MODE].as_str())
        && hints != mode
    {
        let at = Path::new("metadata").child("annotations").key(MODE);
        let words = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(FieldError::invalid(at, mode, words));
    }
    let (headless, kind) = (is_headless(spec), text(&spec["type"]));
    if items(&spec["ports"]).is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if spec["clusterIP"] == "None" => {
            let words = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(path.child("clusterIPs").index(0), "None", words));
        }
        "ExternalName" => external_name(spec, &path, errors),
        _ => {}
    }
    ports(&spec["ports"], &path.child("ports"), errors);
    check::labels(&spec["selector"], &path.child("selector"), errors);
    let at = path.child("sessionAffinity");
    check::must_be_one_of(&spec["sessionAffinity"], &["ClientIP", "None"], &at, errors);
    affinity_config(spec, &path.child("sessionAffinityConfig"), errors);
    for (index, ip) in texts(&spec["externalIPs"]).enumerate() {
        let at = path.child("externalIPs").index(index);
        let before = errors.len();
        check::syntax(ip, names::ip, &at, errors);
        if errors.len() == before {
            check::ordinary_ip(ip, &at, errors);
        }
    }
    check::must_be_one_of(&spec["type"], &TYPES, &path.child("type"), errors);
    same_ports(spec, &path.child("ports"), errors);
    source_ranges(service, errors);
    balancer(spec, &path, errors);
    traffic(spec, &path, errors);
}

fn external_name(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"].iter().filter(|f| is_set(&spec[**f])) {
        errors.push(FieldError::forbidden(path.child(field), "may not be set for ExternalName services"));
    }
    let name = text(&spec["externalName"]);
    let at = path.child("externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.push(FieldError::required(at, "")),
        name => check::syntax(name, names::subdomain, &at, errors),
    }
}

fn ports(ports: &Value, path: &Path, errors: &mut FieldErrors) {
    let several = items(ports).len() > 1;
    let mut seen = Seen::new();
    for (index, port) in items(ports).iter().enumerate() {
        let path = path.index(index);
        if several && text(&port["name"]).is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        check::optional(&port["name"], names::dns_label, &path.child("name"), errors);
        seen.add(text(&port["name"]), &path.child("name"), errors);
        check::port(&int(&port["port"]).into(), &path.child("port"), errors);
        check::must_be_one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
        check::port_or_name(&port["targetPort"], &path.child("targetPort"), errors);
        if let Some(protocol) = port["appProtocol"].as_str() {
            check::syntax(protocol, names::qualified, &path.child("appProtocol"), errors);
        }
    }
}

fn same_ports(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let list = items(&spec["ports"]);
    if spec["type"] == "ClusterIP" {
        for (index, _) in list.iter().enumerate().filter(|(_, port)| int(&port["nodePort"]) != 0) {
            let words = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(path.index(index).child("nodePort"), words));
        }
    }
    let (mut pairs, mut node_ports) = (HashSet::new(), HashSet::new());
    for (index, port) in list.iter().enumerate() {
        let (protocol, number) = (text(&port["protocol"]), int(&port["nodePort"]));
        if number != 0 && !node_ports.insert((protocol, number)) {
            errors.push(FieldError::duplicate(path.index(index).child("nodePort"), number));
        }
    }
    for (index, port) in list.iter().enumerate() {
        let (protocol, number) = (text(&port["protocol"]), int(&port["port"]));
        if !pairs.insert((protocol, number)) {
            let told = json!({"protocol": protocol, "port": number});
            let told = dump::object("io.k8s.api.core.v1.ServicePort", &told);
            errors.push(FieldError::duplicate_of(path.index(index), &told, ""));
        }
    }
}

fn affinity_config(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    const SECONDS_MAX: i64 = 86_400;
    const WORDS: &str = "when session affinity type is ClientIP";
    let config = &spec["sessionAffinityConfig"];
    match text(&spec["sessionAffinity"]) {
        "None" if config.is_object() => {
            errors.push(FieldError::forbidden(path.clone(), "must not be set when session affinity is None"));
        }
        "ClientIP" => {
            let at = path.child("clientIP");
            if config.is_null() {
                return errors.push(FieldError::required(path.clone(), WORDS));
            }
            if config["clientIP"].is_null() {
                return errors.push(FieldError::required(at, WORDS));
            }
            let at = at.child("timeoutSeconds");
            match config["clientIP"]["timeoutSeconds"].as_i64() {
                None => errors.push(FieldError::required(at, WORDS)),
                Some(seconds) if !(1..=SECONDS_MAX).contains(&seconds) => {
                    let words = format!("must be greater than 0 and less than {SECONDS_MAX}");
                    errors.push(FieldError::invalid(at, seconds, words));
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}

fn source_ranges(service: &Value, errors: &mut FieldErrors) {
    let balanced = service["spec"]["type"] == "LoadBalancer";
    let (ranges, annotation) =
        (&service["spec"]["loadBalancerSourceRanges"], &service["metadata"]["annotations"][SOURCE_RANGES]);
    if is_set(ranges) {
        let at = Path::new("spec").child("LoadBalancerSourceRanges");
        if !balanced {
            errors.push(FieldError::forbidden(at.clone(), ONLY_BALANCED));
        }
        for (index, range) in texts(ranges).enumerate() {
            check::syntax(range.trim(), names::cidr, &at.index(index), errors);
        }
    } else if let Some(ranges) = annotation.as_str() {
        let at = Path::new("metadata").child("annotations").key(SOURCE_RANGES);
        if !balanced {
            errors.push(FieldError::forbidden(at.clone(), ONLY_BALANCED));
        }
        if !ranges.trim().is_empty() {
            ranges.trim().split(',').for_each(|range| check::syntax(range.trim(), names::cidr, &at, errors));
        }
    }
}

fn balancer(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let balanced = spec["type"] == "LoadBalancer";
    let (allocate, at) =
        (&spec["allocateLoadBalancerNodePorts"], path.child("allocateLoadBalancerNodePorts"));
    if balanced && allocate.is_null() {
        errors.push(FieldError::required(at, ""));
    } else if !balanced && !allocate.is_null() {
        errors.push(FieldError::forbidden(at, ONLY_BALANCED));
    }
    if let Some(class) = spec["loadBalancerClass"].as_str() {
        let at = path.child("loadBalancerClass");
        if balanced {
            check::syntax(class, names::qualified, &at, errors);
        } else {
            errors.push(FieldError::forbidden(at, ONLY_BALANCED));
        }
    }
}

fn traffic(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (external, at) = (&spec["externalTrafficPolicy"], path.child("externalTrafficPolicy"));
    if super::externally_reached_spec(spec) {
        check::must_be_one_of(external, &POLICIES, &at, errors);
    } else if !text(external).is_empty() {
        let words = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(at, external.clone(), words));
    }
    let (port, at) = (int(&spec["healthCheckNodePort"]), path.child("healthCheckNodePort"));
    let checked = spec["type"] == "LoadBalancer" && external == "Local";
    if checked && port == 0 {
        errors.push(FieldError::required(at, ""));
    } else if checked {
        check::port(&port.into(), &at, errors);
    } else if port != 0 {
        let words = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(at, port, words));
    }
    let (internal, at) = (&spec["internalTrafficPolicy"], path.child("internalTrafficPolicy"));
    if internal.is_null() && matches!(text(&spec["type"]), "NodePort" | "LoadBalancer" | "ClusterIP") {
        errors.push(FieldError::required(at.clone(), ""));
    }
    check::given_one_of(internal, &POLICIES, &at, errors);
    if let Some(distribution) = spec["trafficDistribution"].as_str()
        && !DISTRIBUTIONS.contains(&distribution)
    {
        let at = path.child("trafficDistribution");
        errors.push(FieldError::not_supported(at, distribution, &DISTRIBUTIONS));
    }
}
