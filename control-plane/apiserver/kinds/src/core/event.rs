//! Events, of both groups.

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::SelectableField;
use crate::value::text;

pub(crate) static EVENT: Kind = Kind {
    create_on_update: true,
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
