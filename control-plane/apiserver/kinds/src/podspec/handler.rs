//! Probes and lifecycle hooks.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{int, items, text};
use crate::{check, names};

const PROBE_NUMBERS: [&str; 5] =
    ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
const WINDOWS_SIGNALS: [&str; 2] = ["SIGKILL", "SIGTERM"];

pub(super) fn probe(probe: &Value, kind: &str, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    if !probe.is_object() {
        return;
    }
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], spec, path, errors);
    for field in PROBE_NUMBERS {
        check::not_negative(&probe[field], &path.child(field), errors);
    }
    let grace = &probe["terminationGracePeriodSeconds"];
    let at = path.child("terminationGracePeriodSeconds");
    check::at_least(grace, 1, "must be greater than 0", &at, errors);
    if kind == "readinessProbe" {
        if !grace.is_null() {
            errors.push(FieldError::invalid(at, grace.clone(), "must not be set for readinessProbes"));
        }
    } else if probe["successThreshold"].as_i64() != Some(1) {
        let at = path.child("successThreshold");
        errors.push(FieldError::invalid(at, int(&probe["successThreshold"]), "must be 1"));
    }
}

pub(super) fn lifecycle(lifecycle: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    for hook in ["postStart", "preStop"].iter().filter(|hook| lifecycle[**hook].is_object()) {
        let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
        handler(&lifecycle[*hook], &kinds, spec, &path.child(hook), errors);
    }
    let (signal, at) = (&lifecycle["stopSignal"], path.child("stopSignal"));
    match text(&spec["os"]["name"]) {
        _ if signal.is_null() => {}
        "" => {
            let words = "may not be set for containers with empty `spec.os.name`";
            errors.push(FieldError::forbidden(at, words));
        }
        "windows" => check::given_one_of(signal, &WINDOWS_SIGNALS, &at, errors),
        _ => {}
    }
}

fn handler(holder: &Value, kinds: &[&str], spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut given = 0;
    for kind in kinds.iter().filter(|kind| holder[**kind].is_object()) {
        let (action, path) = (&holder[*kind], path.child(kind));
        given += 1;
        if given > 1 {
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
            "sleep" => sleep(action, spec, &path, errors),
            _ => {}
        }
    }
    if given == 0 {
        errors.push(FieldError::required(path.clone(), "must specify a handler type"));
    }
}

fn sleep(action: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (seconds, Some(grace)) = (int(&action["seconds"]), spec["terminationGracePeriodSeconds"].as_i64())
    else {
        return;
    };
    // A negative grace is treated as one second.
    let grace = if grace < 0 { 1 } else { grace };
    if seconds < 0 || seconds > grace {
        let words = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(path.clone(), seconds, words));
    }
}

fn http_get(action: &Value, path: &Path, errors: &mut FieldErrors) {
    check::required(&action["path"], &path.child("path"), errors);
    check::port_or_name(&action["port"], &path.child("port"), errors);
    let scheme = text(&action["scheme"]);
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.push(FieldError::not_supported(path.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
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
