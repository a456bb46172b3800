//! Pods.

mod cells;
mod prepare;
mod qos;
mod resize;
mod status;
mod update;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::{GracefulDelete, SelectableField};
use crate::value::{int, is_true, items, name, text};
use crate::{podspec, template};

pub(crate) static POD: Kind = Kind {
    generation: true,
    generation_changes: Some(|new, old| new["spec"] != old["spec"]),
    prepare_create: prepare::create,
    prepare_update: prepare::update,
    validate,
    validate_new,
    changes: update::validate,
    warn,
    delete: graceful_delete,
    fields: selectable_fields,
    cells: Some(cells::cells),
    ..Kind::PLAIN
};

fn validate(pod: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&pod["spec"], Path::new("spec"));
    let annotations = &pod["metadata"]["annotations"];
    if annotations.is_object() {
        podspec::annotations(annotations, spec, &Path::new("metadata").child("annotations"), errors);
    }
    podspec::validate(spec, Some(name(pod)), &path, errors);
    if text(&spec["serviceAccountName"]).is_empty() {
        unowned_tokens(&spec["volumes"], &path.child("volumes"), errors);
    }
}

/// A token is some account's.
fn unowned_tokens(volumes: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, volume) in items(volumes).iter().enumerate() {
        for (part, source) in items(&volume["projected"]["sources"]).iter().enumerate() {
            if source["serviceAccountToken"].is_object() {
                let at = path.index(index).child("projected").child("sources").index(part);
                let words = "must not be specified when serviceAccountName is not set";
                errors.push(FieldError::forbidden(at.child("serviceAccountToken"), words));
            }
        }
    }
}

fn validate_new(pod: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&pod["spec"], Path::new("spec"));
    if !items(&spec[podspec::EPHEMERAL]).is_empty() {
        errors.push(FieldError::forbidden(path.child(podspec::EPHEMERAL), "cannot be set on create"));
    }
    if !text(&spec["nodeName"]).is_empty() && !items(&spec["schedulingGates"]).is_empty() {
        let words = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(path.child("nodeName"), words));
    }
}

/// Only for new pods: people do not change pods, machines do, and often.
fn warn(pod: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_some() {
        return;
    }
    template::hostname_warning(pod, "the Pod's hostname", warnings);
    podspec::warnings::pod(pod, &Path::root(), warnings);
}

/// What no kubelet runs goes at once. (`podStrategy.CheckGracefulDelete`)
fn graceful_delete(pod: &Value, grace: Option<i64>) -> GracefulDelete {
    let unscheduled = text(&pod["spec"]["nodeName"]).is_empty();
    let over = matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed");
    if unscheduled || over {
        return GracefulDelete::Immediate;
    }
    match grace.unwrap_or_else(|| int(&pod["spec"]["terminationGracePeriodSeconds"])) {
        0 => GracefulDelete::Immediate,
        seconds @ 1.. => GracefulDelete::Grace { seconds },
        _ => GracefulDelete::Grace { seconds: 1 },
    }
}

fn selectable_fields(pod: &Value) -> Vec<SelectableField> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let address = items(&status["podIPs"]).first().map_or(&status["podIP"], |ip| &ip["ip"]);
    let field = |value: &Value| text(value).to_string();
    vec![
        ("spec.nodeName", field(&spec["nodeName"])),
        ("spec.restartPolicy", field(&spec["restartPolicy"])),
        ("spec.schedulerName", field(&spec["schedulerName"])),
        ("spec.serviceAccountName", field(&spec["serviceAccountName"])),
        ("spec.hostNetwork", is_true(&spec["hostNetwork"]).to_string()),
        ("status.phase", field(&status["phase"])),
        ("status.podIP", field(address)),
        ("status.podIPs", field(address)),
        ("status.nominatedNodeName", field(&status["nominatedNodeName"])),
    ]
}
