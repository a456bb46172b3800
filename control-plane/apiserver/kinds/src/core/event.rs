//! Events, of both groups.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::SelectableField;
use crate::value::text;
use crate::{check, names};

pub(crate) static EVENT: Kind = Kind {
    create_on_update: true,
    name: names::anything,
    validate,
    fields: selectable_fields,
    cells: Some(super::cells::event),
    ..Kind::PLAIN
};

/// By the names of both groups, which share what is stored.
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
        ("regarding.kind", field(&about["kind"])),
        ("regarding.namespace", field(&about["namespace"])),
        ("regarding.name", field(&about["name"])),
        ("regarding.uid", field(&about["uid"])),
        ("regarding.apiVersion", field(&about["apiVersion"])),
        ("regarding.resourceVersion", field(&about["resourceVersion"])),
        ("regarding.fieldPath", field(&about["fieldPath"])),
        ("reportingController", field(&event["reportingComponent"])),
    ]
}

const SHORT_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// An event stands in the namespace of what it is about. One of the newer group, which has a time in microseconds, says
/// who reports it. (`legacyValidateEvent`)
fn validate(event: &Value, errors: &mut FieldErrors) {
    let about = text(&event["involvedObject"]["namespace"]);
    let namespace = text(&event["metadata"]["namespace"]);
    let of_cluster = about.is_empty() && matches!(namespace, "" | "default");
    if !of_cluster && about != namespace {
        let at = Path::new("involvedObject").child("namespace");
        errors.push(FieldError::invalid(at, about, "does not match event.namespace"));
    }
    check::syntax(namespace, names::subdomain, &Path::new("namespace"), errors);
    if text(&event["eventTime"]).is_empty() {
        return;
    }
    check::named(&event["reportingComponent"], names::qualified, &Path::new("reportingComponent"), errors);
    for field in ["reportingInstance", "action", "reason"] {
        check::required(&event[field], &Path::new(field), errors);
        at_most(event, field, SHORT_MAX, errors);
    }
    at_most(event, "message", NOTE_MAX, errors);
}

fn at_most(event: &Value, field: &str, max: usize, errors: &mut FieldErrors) {
    if text(&event[field]).len() > max {
        let words = format!("can have at most {max} characters");
        errors.push(FieldError::invalid(Path::new(field), "", words));
    }
}
