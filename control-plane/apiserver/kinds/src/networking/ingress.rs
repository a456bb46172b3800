//! Validation of Ingresses and their classes. (`pkg/apis/networking/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{int, items, text, texts};
use crate::{check, names};

const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const NOT_IN_PATH: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const NOT_AT_END: [&str; 2] = ["/..", "/."];

pub(super) fn validate(ingress: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&ingress["spec"], Path::new("spec"));
    if items(&spec["rules"]).is_empty() && spec["defaultBackend"].is_null() {
        let words = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(path.clone(), Value::Null, words));
    }
    if spec["defaultBackend"].is_object() {
        backend(&spec["defaultBackend"], &path.child("defaultBackend"), errors);
    }
    for (index, tls) in items(&spec["tls"]).iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, given) in texts(&tls["hosts"]).enumerate() {
            check::syntax(given, host, &path.child("hosts").index(index), errors);
        }
        check::optional(&tls["secretName"], names::subdomain, &path.child("secretName"), errors);
    }
    for (index, rule) in items(&spec["rules"]).iter().enumerate() {
        rule_of(rule, &path.child("rules").index(index), errors);
    }
    check::optional(&spec["ingressClassName"], names::subdomain, &path.child("ingressClassName"), errors);
}

fn host(host: &str) -> names::Faults {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return vec!["must be a DNS name, not an IP address".into()];
    }
    let Some(rest) = host.strip_prefix("*.") else { return names::subdomain(host) };
    if names::subdomain(rest).is_empty() {
        return names::Faults::new();
    }
    let words = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                 consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character \
                 (e.g. '*.example.com', regex used for validation is \
                 '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    vec![words.into()]
}

fn rule_of(rule: &Value, path: &Path, errors: &mut FieldErrors) {
    check::optional(&rule["host"], host, &path.child("host"), errors);
    if !rule["http"].is_object() {
        return;
    }
    let at = path.child("http").child("paths");
    if items(&rule["http"]["paths"]).is_empty() {
        errors.push(FieldError::required(at.clone(), ""));
    }
    for (index, given) in items(&rule["http"]["paths"]).iter().enumerate() {
        path_of(given, &at.index(index), errors);
    }
}

fn path_of(given: &Value, path: &Path, errors: &mut FieldErrors) {
    let (kind, value, at) = (text(&given["pathType"]), text(&given["path"]), path.child("path"));
    if kind.is_empty() {
        errors.push(FieldError::required(path.child("pathType"), "pathType must be specified"));
    }
    check::one_of(&given["pathType"], &PATH_TYPES, &path.child("pathType"), errors);
    let absolute = value.starts_with('/');
    if matches!(kind, "Exact" | "Prefix") {
        if !absolute {
            errors.push(FieldError::invalid(at.clone(), value, "must be an absolute path"));
        }
        for bad in NOT_IN_PATH.iter().filter(|bad| value.contains(**bad)) {
            errors.push(FieldError::invalid(at.clone(), value, format!("must not contain '{bad}'")));
        }
        for bad in NOT_AT_END.iter().filter(|bad| value.ends_with(**bad)) {
            errors.push(FieldError::invalid(at.clone(), value, format!("cannot end with '{bad}'")));
        }
    } else if kind == "ImplementationSpecific" && !value.is_empty() && !absolute {
        errors.push(FieldError::invalid(at, value, "must be an absolute path"));
    }
    backend(&given["backend"], &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &Path, errors: &mut FieldErrors) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    match (service.is_object(), resource.is_object()) {
        (true, true) => {
            let words = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(path.clone(), "", words));
        }
        (false, false) => {
            errors.push(FieldError::required(path.clone(), "resource or service backend is required"));
        }
        (false, true) => {
            check::required(&resource["kind"], &path.child("resource").child("kind"), errors);
            check::required(&resource["name"], &path.child("resource").child("name"), errors);
        }
        (true, false) => service_backend(service, &path.child("service"), errors),
    }
}

fn service_backend(service: &Value, path: &Path, errors: &mut FieldErrors) {
    check::named(&service["name"], names::dns_1035, &path.child("name"), errors);
    let (name, number) = (text(&service["port"]["name"]), int(&service["port"]["number"]));
    let at = path.child("port");
    match (name.is_empty(), number == 0) {
        (false, false) => {
            errors.push(FieldError::invalid(path.clone(), "", "cannot set both port name & port number"))
        }
        (true, true) => errors.push(FieldError::required(path.clone(), "port name or number is required")),
        (false, true) => check::syntax(name, names::port_name, &at.child("name"), errors),
        (true, false) => check::port(&number.into(), &at.child("number"), errors),
    }
}

pub(super) fn class(class: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&class["spec"], Path::new("spec"));
    let (controller, at) = (text(&spec["controller"]), path.child("controller"));
    if controller.len() > 250 {
        errors.push(FieldError::too_long(at, 250));
    } else if !controller.is_empty() && (!controller.contains('/') || controller.starts_with('/')) {
        let words = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid(at, controller, words));
    }
    if spec["parameters"].is_object() {
        for field in ["kind", "name"] {
            check::required(&spec["parameters"][field], &path.child("parameters").child(field), errors);
        }
    }
}

pub(super) fn class_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let at = Path::new("spec").child("controller");
    check::immutable(&new["spec"]["controller"], &old["spec"]["controller"], &at, errors);
}
