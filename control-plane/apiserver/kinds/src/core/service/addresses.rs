//! The addresses of services: how many, of which families, and how they may change.

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::is_headless;
use crate::check::Seen;
use crate::strategy::Context;
use crate::value::{items, text};
use crate::{check, names};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const FAMILY_POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const ADDRESSES_MAX: usize = 2;
const SET_ONCE: &str = "may not change once set";

fn is_v4(ip: &Value) -> bool {
    text(ip).parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
}

pub(super) fn validate(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (all, single) = (items(&spec["clusterIPs"]), text(&spec["clusterIP"]));
    let at = path.child("clusterIPs");
    match (single, all.first()) {
        ("", Some(_)) => {
            let words = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(at.clone(), all.to_vec(), words));
        }
        ("", None) => {}
        (_, None) => errors.push(FieldError::required(at.clone(), "")),
        (single, Some(first)) if first != single => {
            errors.push(FieldError::invalid(at.clone(), all.to_vec(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    families(spec, path, errors);
    let before = errors.len();
    for (index, ip) in all.iter().enumerate() {
        match text(ip) {
            "None" if index == 0 => {
                if all.len() > 1 {
                    let words = "'None' must be the first and only value";
                    errors.push(FieldError::invalid(at.clone(), all.to_vec(), words));
                }
            }
            ip => check::syntax(ip, names::ip, &at.index(index), errors),
        }
    }
    if all.len() > ADDRESSES_MAX {
        errors.push(FieldError::invalid(at.clone(), all.to_vec(), "may only hold up to 2 values"));
    }
    if errors.len() > before {
        return;
    }
    if all.len() == 2 && is_v4(&all[0]) == is_v4(&all[1]) {
        let words = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(at.clone(), all.to_vec(), words));
    }
    if is_headless(spec) {
        return;
    }
    for (index, (family, ip)) in items(&spec["ipFamilies"]).iter().zip(all).enumerate() {
        let family = text(family);
        if FAMILIES.contains(&family) && (family == "IPv4") != is_v4(ip) {
            let words = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(at.index(index), ip.clone(), words));
        }
    }
}

fn families(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let at = path.child("ipFamilies");
    let mut seen = Seen::new();
    for (index, family) in items(&spec["ipFamilies"]).iter().map(text).enumerate() {
        if !FAMILIES.contains(&family) {
            errors.push(FieldError::not_supported(at.index(index), family, &FAMILIES));
        }
        seen.add(family, &at.index(index), errors);
    }
    check::given_one_of(&spec["ipFamilyPolicy"], &FAMILY_POLICIES, &path.child("ipFamilyPolicy"), errors);
}

/// The first address and family stay while the type needs one; the second comes and goes with the policy.
pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return balancer_status(new, errors);
    }
    let (now, was, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let mut wrong = FieldErrors::new();
    validate(now, &path, &mut wrong);
    if !wrong.is_empty() {
        return;
    }
    let external = |spec: &Value| spec["type"] == "ExternalName";
    if !external(now) && !external(was) {
        if !(is_headless(now) && is_headless(was)) {
            list(now, was, "clusterIPs", "clusterIP", &path.child("clusterIPs"), errors);
        }
        list(now, was, "ipFamilies", "ipFamily", &path.child("ipFamilies"), errors);
    }
    let balanced = |spec: &Value| spec["type"] == "LoadBalancer";
    if balanced(now) && balanced(was) && now["loadBalancerClass"] != was["loadBalancerClass"] {
        let told = now["loadBalancerClass"].clone();
        errors.push(FieldError::invalid(path.child("loadBalancerClass"), told, SET_ONCE));
    }
}

fn list(now: &Value, was: &Value, field: &str, told: &str, path: &Path, errors: &mut FieldErrors) {
    let (new, old) = (items(&now[field]), items(&was[field]));
    let mut refuse = |index: usize, words: &str| {
        errors.push(FieldError::invalid(path.index(index), new.to_vec(), words));
    };
    if new.len() == old.len() {
        for (index, _) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old) {
            refuse(index, SET_ONCE);
        }
        return;
    }
    if new.is_empty() {
        return refuse(0, &format!("primary {told} can not be unset"));
    }
    if !old.is_empty() && new[0] != old[0] {
        refuse(0, SET_ONCE);
    }
    if new.len() == 1 && old.len() > 1 && now["ipFamilyPolicy"] != "SingleStack" {
        refuse(
            0,
            &format!("`ipFamilyPolicy` must be set to 'SingleStack' when releasing the secondary {told}"),
        );
    }
}

fn balancer_status(service: &Value, errors: &mut FieldErrors) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = items(&service["status"]["loadBalancer"]["ingress"]);
    if !ingress.is_empty() && service["spec"]["type"] != "LoadBalancer" {
        let words = "may only be used when `spec.type` is 'LoadBalancer'";
        return errors.push(FieldError::forbidden(path, words));
    }
    for (index, given) in ingress.iter().enumerate() {
        check::load_balancer_ingress(given, &path.index(index), errors);
        let (mode, at) = (&given["ipMode"], path.index(index).child("ipMode"));
        match (text(&given["ip"]).is_empty(), mode.is_null()) {
            (false, true) => errors.push(FieldError::required(at, "must be specified when `ip` is set")),
            (true, false) => {
                errors.push(FieldError::forbidden(at, "may not be specified when `ip` is not set"));
            }
            _ => check::given_one_of(mode, &["Proxy", "VIP"], &at, errors),
        }
    }
}
