//! ResourceClaims, their templates, and DeviceClasses.

use std::collections::HashMap;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::parts::{at_most, configuration, fully_qualified, named, toleration, unique};
use super::selector;
use crate::podspec;
use crate::value::{int, is_set, items, text};
use crate::{check, names};

const REQUESTS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const CONSTRAINTS_MAX: usize = 32;
pub(super) const CONFIGS_MAX: usize = 32;
const REFERENCE: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// Requests by name, and the names of each one's alternatives.
pub(super) type Requests<'a> = HashMap<&'a str, Vec<&'a str>>;

pub(super) fn requests_of(spec: &Value) -> Requests<'_> {
    fn names_in(list: &Value) -> Vec<&str> {
        items(list).iter().map(|item| text(&item["name"])).collect()
    }
    let requests = items(&spec["devices"]["requests"]).iter();
    requests.map(|request| (text(&request["name"]), names_in(&request["firstAvailable"]))).collect()
}

pub(super) fn class(class: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&class["spec"], Path::new("spec"));
    selector::all(&spec["selectors"], &path.child("selectors"), errors);
    for (at, config) in
        at_most(&spec["config"], CONFIGS_MAX, &path.child("config"), errors).collect::<Vec<_>>()
    {
        configuration(config, &at, errors);
    }
    if let Some(name) = spec["extendedResourceName"].as_str().filter(|name| !podspec::is_extended(name)) {
        let at = path.child("extendedResourceName");
        errors.push(FieldError::invalid(at, name, "must be a valid extended resource name"));
    }
}

pub(super) fn claim(claim: &Value, errors: &mut FieldErrors) {
    spec(&claim["spec"], &Path::new("spec"), errors);
}

pub(super) fn template(template: &Value, errors: &mut FieldErrors) {
    let (inner, path) = (&template["spec"], Path::new("spec"));
    let at = path.child("metadata");
    check::labels(&inner["metadata"]["labels"], &at.child("labels"), errors);
    check::annotations(&inner["metadata"]["annotations"], &at.child("annotations"), errors);
    spec(&inner["spec"], &path.child("spec"), errors);
}

fn spec(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (devices, path) = (&spec["devices"], path.child("devices"));
    let known = requests_of(spec);
    let at = path.child("requests");
    for (at, given) in at_most(&devices["requests"], REQUESTS_MAX, &at, errors).collect::<Vec<_>>() {
        request(given, &at, errors);
    }
    unique(&devices["requests"], named, &at, errors);
    let at = path.child("constraints");
    for (at, given) in at_most(&devices["constraints"], CONSTRAINTS_MAX, &at, errors).collect::<Vec<_>>() {
        constraint(given, &known, &at, errors);
    }
    let at = path.child("config");
    for (at, given) in at_most(&devices["config"], CONFIGS_MAX, &at, errors).collect::<Vec<_>>() {
        references(&given["requests"], &known, &at.child("requests"), errors);
        configuration(given, &at, errors);
    }
}

fn request(request: &Value, path: &Path, errors: &mut FieldErrors) {
    check::syntax(text(&request["name"]), names::dns_label, &path.child("name"), errors);
    match (request["exactly"].is_object(), is_set(&request["firstAvailable"])) {
        (false, false) => {
            let words = "exactly one of `exactly` or `firstAvailable` is required";
            errors.push(FieldError::required(path.clone(), words));
        }
        (true, true) => {
            let words =
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid(path.clone(), Value::Null, words));
        }
        (true, false) => exact(&request["exactly"], &path.child("exactly"), errors),
        (false, true) => {
            let at = path.child("firstAvailable");
            let list = &request["firstAvailable"];
            for (at, sub) in at_most(list, ALTERNATIVES_MAX, &at, errors).collect::<Vec<_>>() {
                check::syntax(text(&sub["name"]), names::dns_label, &at.child("name"), errors);
                exact(sub, &at, errors);
            }
            unique(list, named, &at, errors);
        }
    }
}

fn exact(request: &Value, path: &Path, errors: &mut FieldErrors) {
    check::named(&request["deviceClassName"], names::subdomain, &path.child("deviceClassName"), errors);
    selector::all(&request["selectors"], &path.child("selectors"), errors);
    let (count, at) = (int(&request["count"]), path.child("count"));
    match text(&request["allocationMode"]) {
        "All" => {
            if count != 0 {
                let words = "must not be specified when allocationMode is 'All'";
                errors.push(FieldError::invalid(at, count, words));
            }
        }
        "ExactCount" => {
            if count <= 0 {
                errors.push(FieldError::invalid(at, count, "must be greater than zero"));
            }
        }
        other => {
            let at = path.child("allocationMode");
            errors.push(FieldError::not_supported(at, other, &["All", "ExactCount"]));
        }
    }
    for (index, given) in items(&request["tolerations"]).iter().enumerate() {
        toleration(given, &path.child("tolerations").index(index), errors);
    }
}

fn constraint(constraint: &Value, known: &Requests<'_>, path: &Path, errors: &mut FieldErrors) {
    references(&constraint["requests"], known, &path.child("requests"), errors);
    let given =
        ["matchAttribute", "distinctAttribute"].into_iter().find(|field| constraint[*field].is_string());
    match given {
        Some(field) => fully_qualified(text(&constraint[field]), &path.child(field), errors),
        None => {
            let words = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
            errors.push(FieldError::required(path.clone(), words));
        }
    }
}

pub(super) fn references(list: &Value, known: &Requests<'_>, path: &Path, errors: &mut FieldErrors) {
    for (at, name) in at_most(list, REQUESTS_MAX, path, errors).collect::<Vec<_>>() {
        reference(text(name), known, &at, errors);
    }
    unique(list, Value::clone, path, errors);
}

/// A request of the claim, or one of its alternatives.
pub(super) fn reference(name: &str, known: &Requests<'_>, path: &Path, errors: &mut FieldErrors) {
    let segments: Vec<&str> = name.split('/').collect();
    let exists = match segments[..] {
        [request] => known.contains_key(request),
        [request, sub] => known.get(request).is_some_and(|subs| subs.contains(&sub)),
        _ => return errors.push(FieldError::invalid(path.clone(), name, REFERENCE)),
    };
    segments.iter().for_each(|segment| check::syntax(segment, names::dns_label, path, errors));
    if !exists {
        errors.push(FieldError::invalid(path.clone(), name, REFERENCE));
    }
}
