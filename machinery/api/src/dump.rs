//! Objects as Go's `encoding/json` prints upstream's structs of them: messages of validation tell values so.
//!
//! Upstream validates internal structs. They have no JSON tags, so every field is printed under its Go name, in the order of
//! its declaration; that is the order of protobuf's numbers but for a few types. What internal structs borrow from
//! `apimachinery` (selectors, times) keeps its JSON names and leaves out what is empty.

use serde_json::Value;

use crate::codec::empty;
use crate::go;
use crate::table::{Field, FieldKind, Member, Table, Type, TypeId};

/// Types whose fields are declared in another order than they are numbered.
const ORDERS: [(&str, &[&str]); 2] = [
    ("ServicePort", &["name", "protocol", "appProtocol", "port", "targetPort", "nodePort"]),
    (
        "CustomResourceDefinitionVersion",
        &[
            "name",
            "served",
            "storage",
            "deprecated",
            "deprecationWarning",
            "schema",
            "subresources",
            "additionalPrinterColumns",
            "selectableFields",
        ],
    ),
];
/// Names that Go writes in capitals.
const INITIALISMS: [&str; 9] = ["ip", "uid", "iqn", "lun", "url", "cel", "csi", "nfs", "fc"];
const BORROWED: &str = "io.k8s.apimachinery.";

/// An object of a type, by its full name: `io.k8s.api.core.v1.Taint`.
pub fn object(type_name: &str, value: &Value) -> String {
    printed(type_name, |table, id, out| structure(table, id, value, out))
}

/// A list of such objects; a list that is not there is null.
pub fn list(type_name: &str, value: &Value) -> String {
    printed(type_name, |table, id, out| {
        any(table, &FieldKind::List(Box::new(FieldKind::Struct(id))), value, out);
    })
}

fn printed(type_name: &str, print: impl FnOnce(&Table, TypeId, &mut String)) -> String {
    let table = Table::builtin();
    let mut out = String::new();
    if let Some(id) = table.type_named(type_name) {
        print(table, id, &mut out);
    }
    out
}

fn structure(table: &Table, id: TypeId, value: &Value, out: &mut String) {
    let ty = table.ty(id);
    out.push('{');
    let start = out.len();
    match ORDERS.iter().find(|(name, _)| *name == ty.short_name()) {
        Some((_, order)) => {
            let fields = order.iter().filter_map(|name| ty.field(name));
            fields.for_each(|field| member(table, ty, field, value, start, out));
        }
        None => members(table, ty, value, start, out),
    }
    out.push('}');
}

/// The fields of a type and of what it inlines.
fn members(table: &Table, ty: &Type, value: &Value, start: usize, out: &mut String) {
    for at in &ty.members {
        match at {
            Member::Field(index) => member(table, ty, &ty.fields[usize::from(*index)], value, start, out),
            Member::Inline { ty, .. } => members(table, table.ty(*ty), value, start, out),
        }
    }
}

fn member(table: &Table, ty: &Type, field: &Field, object: &Value, start: usize, out: &mut String) {
    let (value, borrowed) = (&object[field.json_name], ty.name.starts_with(BORROWED));
    let may_be_absent = field.omitempty() || field.omitzero();
    if borrowed && may_be_absent && empty::omitted(field, value) {
        return;
    }
    if out.len() > start {
        out.push(',');
    }
    let name = if borrowed { field.json_name.to_string() } else { go_name(field.json_name) };
    out.push_str(&format!("\"{name}\":"));
    if field.pointer() && value.is_null() {
        out.push_str("null")
    } else {
        any(table, &field.kind, value, out)
    }
}

fn go_name(json_name: &str) -> String {
    if INITIALISMS.contains(&json_name) {
        return json_name.to_uppercase();
    }
    let mut letters = json_name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn any(table: &Table, kind: &FieldKind, value: &Value, out: &mut String) {
    match (kind, value) {
        (FieldKind::Struct(id), _) => structure(table, *id, value, out),
        (FieldKind::List(element), Value::Array(items)) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                any(table, element, item, out);
            }
            out.push(']');
        }
        (FieldKind::Map(inner), Value::Object(fields)) => {
            out.push('{');
            for (at, (key, value)) in fields.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&format!("{}:", go::json(&Value::from(key.as_str()))));
                any(table, inner, value, out);
            }
            out.push('}');
        }
        (_, Value::Null) => out.push_str(zero(kind)),
        (_, value) => out.push_str(&go::json(value)),
    }
}

/// What Go prints of a value that was never set.
fn zero(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Bool => "false",
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float | FieldKind::IntOrString => "0",
        FieldKind::String | FieldKind::Enum(_) => "\"\"",
        FieldKind::Quantity => "\"0\"",
        FieldKind::Duration => "\"0s\"",
        _ => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_read_as_gos_structs() {
        for (ty, value, want) in [
            (
                "io.k8s.api.core.v1.Taint",
                json!({"key": "k", "effect": "NoSchedule"}),
                r#"{"Key":"k","Value":"","Effect":"NoSchedule","TimeAdded":null}"#,
            ),
            (
                "io.k8s.api.core.v1.ServicePort",
                json!({"port": 80, "protocol": "TCP", "targetPort": "http"}),
                r#"{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":"http","NodePort":0}"#,
            ),
            (
                "io.k8s.api.batch.v1.SuccessPolicy",
                json!({"rules": [{"succeededIndexes": "<1"}]}),
                r#"{"Rules":[{"SucceededIndexes":"\u003c1","SucceededCount":null}]}"#,
            ),
            (
                "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
                json!({"matchExpressions": [{"operator": "In", "values": ["x"]}], "matchLabels": {"a": "b"}}),
                r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"","operator":"In","values":["x"]}]}"#,
            ),
        ] {
            assert_eq!(object(ty, &value), want);
        }
        assert_eq!(list("io.k8s.api.core.v1.Taint", &Value::Null), "null");
    }
}
