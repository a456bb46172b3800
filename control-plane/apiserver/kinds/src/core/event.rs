//! Events, of both groups.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::{Context, SelectableField};
use crate::value::{int, text};
use crate::{check, names};

pub(crate) static EVENT: Kind = Kind {
    create_on_update: true,
    name: names::anything,
    validate_version: validate,
    fields: selectable_fields,
    cells: Some(super::cells::event),
    ..Kind::PLAIN
};

fn selectable_fields(event: &Value) -> Vec<SelectableField> {
    let about = &event["involvedObject"];
    let field = |value: &Value| text(value).to_string();
    let component = text(&event["source"]["component"]);
    let source = if component.is_empty() { text(&event["reportingComponent"]) } else { component };
    vec![
        ("involvedObject.kind", field(&about["kind"])),
        ("involvedObject.namespace", field(&about["namespace"])),
        ("involvedObject.name", field(&about["name"])),
        ("involvedObject.uid", field(&about["uid"])),
        ("involvedObject.apiVersion", field(&about["apiVersion"])),
        ("involvedObject.resourceVersion", field(&about["resourceVersion"])),
        ("involvedObject.fieldPath", field(&about["fieldPath"])),
        ("reason", field(&event["reason"])),
        ("reportingComponent", field(&event["reportingComponent"])),
        ("source", source.to_string()),
        ("type", field(&event["type"])),
    ]
}

const SHORT_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// Who writes in the core group is judged as ever; every other version is strict. Fields have the names of the core
/// group in both, but for the reporter's.
fn validate(context: &Context<'_>, new: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let core = context.api_version == "v1";
    as_ever(new, if core { "reportingComponent" } else { "reportingController" }, errors);
    match old {
        _ if core => {}
        None => {
            check::optional(
                &new["metadata"]["name"],
                names::subdomain,
                &Path::new("metadata").child("name"),
                errors,
            );
            strict(new, errors);
        }
        Some(old) => unchanged(new, old, errors),
    }
}

/// An event stands in the namespace of what it is about. One that has a time in microseconds says who reports it.
/// (`legacyValidateEvent`)
fn as_ever(event: &Value, reporter: &str, errors: &mut FieldErrors) {
    let about = text(&event["involvedObject"]["namespace"]);
    let namespace = text(&event["metadata"]["namespace"]);
    let timed = !text(&event["eventTime"]).is_empty();
    let agrees = match (about, timed) {
        ("", true) => matches!(namespace, "default" | "kube-system"),
        ("", false) => matches!(namespace, "" | "default"),
        (_, timed) => timed || about == namespace,
    };
    if !agrees {
        let at = Path::new("involvedObject").child("namespace");
        errors.push(FieldError::invalid(at, about, "does not match event.namespace"));
    }
    if timed {
        let path = Path::new(reporter);
        check::required(&event["reportingComponent"], &path, errors);
        check::syntax(text(&event["reportingComponent"]), names::qualified, &path, errors);
        for field in ["reportingInstance", "action", "reason"] {
            check::required(&event[field], &Path::new(field), errors);
            at_most(event, field, SHORT_MAX, errors);
        }
        at_most(event, "message", NOTE_MAX, errors);
    }
    check::syntax(namespace, names::subdomain, &Path::new("namespace"), errors);
}

fn at_most(event: &Value, field: &str, max: usize, errors: &mut FieldErrors) {
    if text(&event[field]).len() > max {
        let words = format!("can have at most {max} characters");
        errors.push(FieldError::invalid(Path::new(field), "", words));
    }
}

/// (`ValidateEventCreate`)
fn strict(event: &Value, errors: &mut FieldErrors) {
    series(event, errors);
    check::required(&event["eventTime"], &Path::new("eventTime"), errors);
    let kind = text(&event["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(Path::new("type"), "", format!("has invalid value: {kind}")));
    }
    let source = &event["source"];
    let old_fields = [
        ("firstTimestamp", !text(&event["firstTimestamp"]).is_empty()),
        ("lastTimestamp", !text(&event["lastTimestamp"]).is_empty()),
        ("count", int(&event["count"]) != 0),
        ("source", !text(&source["component"]).is_empty() || !text(&source["host"]).is_empty()),
    ];
    for (field, _) in old_fields.iter().filter(|(_, set)| *set) {
        errors.push(FieldError::invalid(Path::new(field), "", "needs to be unset"));
    }
}

fn series(event: &Value, errors: &mut FieldErrors) {
    let series = &event["series"];
    if !series.is_object() {
        return;
    }
    if int(&series["count"]) < 2 {
        errors.push(FieldError::invalid(Path::new("series.count"), "", "should be at least 2"));
    }
    check::required(&series["lastObservedTime"], &Path::new("series.lastObservedTime"), errors);
}

/// Upstream asks twice after the reason.
const IMMUTABLE: [&str; 14] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

/// Of an event only its series goes on. (`ValidateEventUpdate`)
fn unchanged(new: &Value, old: &Value, errors: &mut FieldErrors) {
    if new["series"] != old["series"] {
        series(new, errors);
    }
    for field in IMMUTABLE {
        let told = if field == "reportingComponent" { "reportingController" } else { field };
        let empty = |value: &Value| match value {
            Value::Object(fields) => fields.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0),
            other => other.is_null(),
        };
        if !(empty(&new[field]) && empty(&old[field])) {
            check::immutable(&new[field], &old[field], &Path::new(told), errors);
        }
    }
}
