//! Pods.

mod cells;
mod prepare;
mod qos;
mod update;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::podspec;
use crate::strategy::{GracefulDelete, SelectableField};
use crate::value::{int, is_true, items, text};

pub(crate) static POD: Kind = Kind {
    generation: true,
    generation_changes: Some(|new, old| new["spec"] != old["spec"]),
    prepare_create: prepare::create,
    prepare_update: prepare::update,
    validate,
    validate_new,
    changes: update::validate,
    delete: graceful_delete,
    fields: selectable_fields,
    cells: Some(cells::cells),
    ..Kind::PLAIN
};

fn validate(pod: &Value, errors: &mut FieldErrors) {
    podspec::validate(&pod["spec"], &Path::new("spec"), errors);
}

fn validate_new(pod: &Value, errors: &mut FieldErrors) {
    if !items(&pod["spec"][podspec::EPHEMERAL]).is_empty() {
        let at = Path::new("spec").child(podspec::EPHEMERAL);
        errors.push(FieldError::forbidden(at, "cannot be set on create"));
    }
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
