//! Probes and lifecycle hooks.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{int, items, text};
use crate::{check, names};

pub(super) fn probe(probe: &Value, kind: &str, path: &Path, errors: &mut FieldErrors) {
    if !probe.is_object() {
        return;
    }
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], path, errors);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        check::not_negative(&probe[field], &path.child(field), errors);
    }
    if kind != "readinessProbe" && probe["successThreshold"].as_i64().is_some_and(|n| n != 1) {
        let at = path.child("successThreshold");
        errors.push(FieldError::invalid(at, probe["successThreshold"].clone(), "must be 1"));
    }
    let grace = &probe["terminationGracePeriodSeconds"];
    let at = path.child("terminationGracePeriodSeconds");
    if kind == "readinessProbe" && !grace.is_null() {
        errors.push(FieldError::invalid(at, grace.clone(), "must not be set for readinessProbes"));
    } else {
        check::at_least(grace, 1, "must be greater than 0", &at, errors);
    }
}

pub(super) fn lifecycle(lifecycle: &Value, path: &Path, errors: &mut FieldErrors) {
    for hook in ["postStart", "preStop"].iter().filter(|hook| lifecycle[**hook].is_object()) {
        handler(&lifecycle[*hook], &["exec", "httpGet", "tcpSocket", "sleep"], &path.child(hook), errors);
    }
}

fn handler(holder: &Value, kinds: &[&str], path: &Path, errors: &mut FieldErrors) {
    let given = kinds.iter().filter(|kind| holder[**kind].is_object());
    for (index, kind) in given.clone().enumerate() {
        let (action, path) = (&holder[*kind], path.child(kind));
        if index > 0 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" if items(&action["command"]).is_empty() => {
                errors.push(FieldError::required(path.child("command"), ""));
            }
            "httpGet" => http_get(action, &path, errors),
            "tcpSocket" => check::port_or_name(&action["port"], &path.child("port"), errors),
            "grpc" => check::port(&int(&action["port"]).into(), &path.child("port"), errors),
            "sleep" => check::not_negative(&action["seconds"], &path.child("seconds"), errors),
            _ => {}
        }
    }
    if given.count() == 0 {
        errors.push(FieldError::required(path.clone(), "must specify a handler type"));
    }
}

fn http_get(action: &Value, path: &Path, errors: &mut FieldErrors) {
    check::required(&action["path"], &path.child("path"), errors);
    check::port_or_name(&action["port"], &path.child("port"), errors);
    check::one_of(&action["scheme"], &["HTTP", "HTTPS"], &path.child("scheme"), errors);
    for header in items(&action["httpHeaders"]) {
        check::syntax(text(&header["name"]), header_name, &path.child("httpHeaders"), errors);
    }
}

fn header_name(name: &str) -> names::Faults {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return names::Faults::new();
    }
    let words = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used \
                 for validation is '[-A-Za-z0-9]+')";
    vec![words.into()]
}
