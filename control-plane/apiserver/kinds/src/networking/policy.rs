//! Validation of NetworkPolicies. (`pkg/apis/networking/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{int, items, text, texts};
use crate::{check, names};

pub(super) fn validate(policy: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    check::selector(&spec["podSelector"], &path.child("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(&spec[direction]).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, given) in items(&rule["ports"]).iter().enumerate() {
                port(given, &path.child("ports").index(index), errors);
            }
            for (index, given) in items(&rule[peers]).iter().enumerate() {
                peer(given, &path.child(peers).index(index), errors);
            }
        }
    }
    let types = items(&spec["policyTypes"]);
    if types.len() > 2 {
        let words = "may not specify more than two policyTypes";
        return errors.push(FieldError::invalid(path.child("policyTypes"), types.to_vec(), words));
    }
    for (index, given) in types.iter().enumerate() {
        check::given_one_of(given, &["Ingress", "Egress"], &path.child("policyTypes").index(index), errors);
    }
}

fn port(port: &Value, path: &Path, errors: &mut FieldErrors) {
    check::given_one_of(&port["protocol"], &["TCP", "UDP", "SCTP"], &path.child("protocol"), errors);
    if !port["port"].is_null() {
        check::port_or_name(&port["port"], &path.child("port"), errors);
    }
    let (end, at) = (&port["endPort"], path.child("endPort"));
    if end.is_null() {
        return;
    }
    if port["port"].is_null() {
        errors.push(FieldError::invalid(
            at,
            end.clone(),
            "may not be specified when `port` is not specified",
        ));
    } else if port["port"].is_string() {
        errors.push(FieldError::invalid(at, end.clone(), "may not be specified when `port` is non-numeric"));
    } else {
        if int(end) < int(&port["port"]) {
            let words = "must be greater than or equal to `port`";
            errors.push(FieldError::invalid(at.clone(), port["port"].clone(), words));
        }
        check::port(end, &at, errors);
    }
}

fn peer(peer: &Value, path: &Path, errors: &mut FieldErrors) {
    let selects = ["podSelector", "namespaceSelector"];
    for field in selects.iter().filter(|field| peer[**field].is_object()) {
        check::selector(&peer[*field], &path.child(field), errors);
    }
    let selecting = selects.iter().any(|field| peer[*field].is_object());
    if peer["ipBlock"].is_object() {
        if selecting {
            errors.push(FieldError::forbidden(path.clone(), "may not specify both ipBlock and another peer"));
        }
        block(&peer["ipBlock"], &path.child("ipBlock"), errors);
    } else if !selecting {
        errors.push(FieldError::required(path.clone(), "must specify a peer"));
    }
}

fn block(block: &Value, path: &Path, errors: &mut FieldErrors) {
    let whole = text(&block["cidr"]);
    check::named(&block["cidr"], names::cidr, &path.child("cidr"), errors);
    for (index, except) in texts(&block["except"]).enumerate() {
        let at = path.child("except").index(index);
        let before = errors.len();
        check::syntax(except, names::cidr, &at, errors);
        if errors.len() == before && names::cidr(whole).is_empty() && !names::strictly_within(except, whole) {
            errors.push(FieldError::invalid(at, except, "must be a strict subset of `cidr`"));
        }
    }
}

pub(super) fn warn(policy: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(&policy["spec"][direction]).iter().enumerate() {
            for (at, given) in items(&rule[peers]).iter().enumerate() {
                let (block, path) = (&given["ipBlock"], Path::new("spec").child(direction).index(index));
                let path = path.child(peers).index(at).child("ipBlock");
                check::cidr_warning(text(&block["cidr"]), &path.child("cidr"), warnings);
                for (at, except) in texts(&block["except"]).enumerate() {
                    check::cidr_warning(except, &path.child("except").index(at), warnings);
                }
            }
        }
    }
}
