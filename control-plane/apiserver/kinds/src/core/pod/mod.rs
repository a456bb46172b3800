//! Pods.

mod cells;
mod prepare;
mod qos;

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::{GracefulDelete, SelectableField};
use crate::value::{int, is_true, items, text};

pub(crate) static POD: Kind = Kind {
    generation: true,
    generation_changes: Some(|new, old| new["spec"] != old["spec"]),
    prepare_create: prepare::create,
    prepare_update: prepare::update,
    delete: graceful_delete,
    fields: selectable_fields,
    cells: Some(cells::cells),
    ..Kind::PLAIN
};

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
