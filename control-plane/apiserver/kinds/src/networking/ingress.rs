//! Validation of Ingresses and their classes. (`pkg/apis/networking/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{int, items, text, texts};
use crate::{check, names};

const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const NOT_IN_PATH: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const CLASS: &str = "kubernetes.io/ingress.class";
const CONTROLLER_MAX: usize = 250;
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
    check::given(&spec["ingressClassName"], names::subdomain, &path.child("ingressClassName"), errors);
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
    if given["pathType"].is_null() {
        let words = "pathType must be specified";
        return errors.push(FieldError::required(path.child("pathType"), words));
    }
    check::given_one_of(&given["pathType"], &PATH_TYPES, &path.child("pathType"), errors);
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
            let words = "resource or service backend is required";
            errors.push(FieldError::invalid(path.clone(), "", words));
        }
        (false, true) => reference(resource, &path.child("resource"), errors),
        (true, false) => service_backend(service, path, errors),
    }
}

/// An object of the same namespace.
fn reference(reference: &Value, path: &Path, errors: &mut FieldErrors) {
    check::given(&reference["apiGroup"], names::subdomain, &path.child("apiGroup"), errors);
    for field in ["kind", "name"] {
        check::named(&reference[field], names::path_segment, &path.child(field), errors);
    }
}

fn service_backend(service: &Value, path: &Path, errors: &mut FieldErrors) {
    let at = path.child("service");
    check::named(&service["name"], names::dns_label, &at.child("name"), errors);
    let (name, number) = (text(&service["port"]["name"]), int(&service["port"]["number"]));
    let at = at.child("port");
    match (name.is_empty(), number == 0) {
        (false, false) => {
            errors.push(FieldError::invalid(path.clone(), "", "cannot set both port name & port number"));
        }
        (true, true) => errors.push(FieldError::required(path.clone(), "port name or number is required")),
        (false, true) => check::syntax(name, names::port_name, &at.child("name"), errors),
        (true, false) => check::port(&number.into(), &at.child("number"), errors),
    }
}

/// A class named in two ways is the same class.
pub(super) fn new(ingress: &Value, errors: &mut FieldErrors) {
    let annotation = ingress["metadata"]["annotations"][CLASS].as_str();
    if let (Some(annotation), Some(class)) = (annotation, ingress["spec"]["ingressClassName"].as_str())
        && annotation != class
    {
        let words = "must match `ingressClassName` when both are specified";
        let at = Path::new("metadata").child("annotations").child(CLASS);
        errors.push(FieldError::invalid(at, annotation, words));
    }
}

pub(super) fn changes(context: &Context<'_>, new: &Value, _old: &Value, errors: &mut FieldErrors) {
    if context.subresource != "status" {
        return;
    }
    let path = Path::new("status").child("loadBalancer").child("ingress");
    for (index, given) in items(&new["status"]["loadBalancer"]["ingress"]).iter().enumerate() {
        check::load_balancer_ingress(given, &path.index(index), errors);
    }
}

pub(super) fn warn(ingress: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none() && !ingress["metadata"]["annotations"][CLASS].is_null() {
        warnings
            .push(format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"));
    }
}

pub(super) fn class(class: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&class["spec"], Path::new("spec"));
    let (controller, at) = (text(&spec["controller"]), path.child("controller"));
    if controller.len() > CONTROLLER_MAX {
        errors.push(FieldError::too_long(at.clone(), CONTROLLER_MAX));
    }
    check::domain_path(controller, &at, errors);
    let (parameters, at) = (&spec["parameters"], path.child("parameters"));
    if !parameters.is_object() {
        return;
    }
    reference(parameters, &at, errors);
    let (namespace, namespace_at) = (&parameters["namespace"], at.child("namespace"));
    match text(&parameters["scope"]) {
        "Namespace" => match namespace.as_str() {
            None => {
                let words = "`parameters.scope` is set to 'Namespace'";
                errors.push(FieldError::required(namespace_at, words));
            }
            Some(namespace) => check::syntax(namespace, names::dns_label, &namespace_at, errors),
        },
        "Cluster" => {
            if !namespace.is_null() {
                let words = "`parameters.scope` is set to 'Cluster'";
                errors.push(FieldError::forbidden(namespace_at, words));
            }
        }
        other => {
            errors.push(FieldError::not_supported(at.child("scope"), other, &["Cluster", "Namespace"]));
        }
    }
}

pub(super) fn class_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let at = Path::new("spec").child("controller");
    check::immutable(&new["spec"]["controller"], &old["spec"]["controller"], &at, errors);
}
