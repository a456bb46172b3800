//! APIServices.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::value::{int, is_set, is_true, name, text};
use crate::{check, names};

pub(super) static API_SERVICE: Kind = Kind {
    name: crate::names::anything,
    // One that this server answers itself is available from the start.
    prepare_create: |context, service| {
        if service["spec"]["service"].is_null() {
            service["status"] = json!({ "conditions": [{
                "type": "Available", "status": "True", "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": oarlock_api::meta::print_time(context.now),
            }]});
        }
    },
    validate,
    cells: Some(super::cells::api_service),
    ..Kind::CONDITIONAL
};

const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1_000;

/// (`pkg/apis/apiregistration/validation`)
fn validate(service: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    let (group, version) = (text(&spec["group"]), text(&spec["version"]));
    // A name that is none of any kind is told so alone.
    if !name(service).is_empty()
        && names::path_segment(name(service)).is_empty()
        && name(service).strip_prefix(version).and_then(|rest| rest.strip_prefix('.')) != Some(group)
    {
        let words = format!("must be `spec.version+\".\"+spec.group`: {:?}", format!("{version}.{group}"));
        errors.push(FieldError::invalid(Path::new("metadata").child("name"), name(service), words));
    }
    if group.is_empty() && version != "v1" {
        let words = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(path.child("group"), words));
    }
    check::optional(&spec["group"], names::subdomain, &path.child("group"), errors);
    check::syntax(version, names::dns_1035, &path.child("version"), errors);
    for (field, max) in
        [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)]
    {
        let number = int(&spec[field]);
        if !(1..=max).contains(&number) {
            let words = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(path.child(field), number, words));
        }
    }
    let (bundle, insecure) = (text(&spec["caBundle"]), is_true(&spec["insecureSkipTLSVerify"]));
    if !is_set(&spec["service"]) {
        if !bundle.is_empty() {
            let told = format!("{} bytes", STANDARD.decode(bundle).map_or(0, |bytes| bytes.len()));
            let words = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(path.child("caBundle"), told, words));
        }
        if insecure {
            let words = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(path.child("insecureSkipTLSVerify"), true, words));
        }
        return;
    }
    let at = path.child("service");
    check::required(&spec["service"]["namespace"], &at.child("namespace"), errors);
    check::required(&spec["service"]["name"], &at.child("name"), errors);
    if let Some(port) = spec["service"]["port"].as_i64()
        && let Some(fault) = names::port_number(port)
    {
        let words = format!("port is not valid: {fault}");
        errors.push(FieldError::invalid(at.child("port"), port, words));
    }
    if insecure && !bundle.is_empty() {
        let words = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(path.child("insecureSkipTLSVerify"), true, words));
    }
}
