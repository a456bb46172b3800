//! HorizontalPodAutoscalers.

use jiff::Timestamp;
use serde_json::Value;

use crate::kind::Kind;
use crate::print::{NONE, UNKNOWN, UNSET, age, int_or_string, name_of, or};
use crate::value::{int, items, text};

pub(super) static AUTOSCALER: Kind = Kind {
    validate: super::scaling::validate,
    validate_version: super::scaling::versions,
    changes: super::scaling::changes,
    cells: Some(cells),
    ..Kind::PLAIN
};

fn cells(scaler: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&scaler["spec"], &scaler["status"]);
    let target = &spec["scaleTargetRef"];
    vec![
        name_of(scaler),
        format!("{}/{}", text(&target["kind"]), text(&target["name"])).into(),
        targets(items(&spec["metrics"]), items(&status["currentMetrics"])).into(),
        int_or_string(&spec["minReplicas"], UNSET).into(),
        int(&spec["maxReplicas"]).into(),
        int(&status["currentReplicas"]).into(),
        age(scaler, now),
    ]
}

fn targets(specs: &[Value], statuses: &[Value]) -> String {
    const MAX: usize = 2;
    if specs.is_empty() {
        return NONE.into();
    }
    let all: Vec<String> = specs.iter().enumerate().map(|(i, spec)| target(spec, statuses.get(i))).collect();
    let shown = all[..all.len().min(MAX)].join(", ");
    if all.len() > MAX { format!("{shown} + {} more...", all.len() - MAX) } else { shown }
}

/// `cpu: 10%/80%`, `<unknown>/5 (avg)`.
fn target(spec: &Value, status: Option<&Value>) -> String {
    let (source, averaged) = match text(&spec["type"]) {
        "External" => ("external", true),
        "Object" => ("object", true),
        "Pods" => ("pods", false),
        "Resource" => ("resource", false),
        "ContainerResource" => ("containerResource", false),
        _ => return "<unknown type>".into(),
    };
    let (wanted, current) = (&spec[source]["target"], status.map_or(&Value::Null, |s| &s[source]["current"]));
    let now = |field: &str| or(&int_or_string(&current[field], ""), UNKNOWN).to_string();
    let name = match source {
        "resource" | "containerResource" => format!("{}: ", text(&spec[source]["name"])),
        _ => String::new(),
    };
    if let Some(average) = wanted["averageValue"].as_str() {
        return format!("{name}{}/{average}{}", now("averageValue"), if averaged { " (avg)" } else { "" });
    }
    if name.is_empty() {
        return format!("{}/{}", now("value"), text(&wanted["value"]));
    }
    let percent =
        |value: &Value, absent: &str| value.as_i64().map_or_else(|| absent.into(), |n| format!("{n}%"));
    let (has, wants) =
        (percent(&current["averageUtilization"], UNKNOWN), percent(&wanted["averageUtilization"], "<auto>"));
    format!("{name}{has}/{wants}")
}
