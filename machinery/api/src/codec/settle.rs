//! An object as it will be when it is read back: with the empty values that upstream prints though nobody gave them.
//!
//! What a client sends leaves `resources` or `status` out; what the store gives has `"resources":{}`. Two such trees are the same
//! object, so before the new one is compared with the old one it is settled.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::empty;
use super::json::printed_absent;
use crate::table::{Field, FieldKind, Table, TypeId};

/// Fills in what reading the printed object would find. The type is of the builtin table.
pub fn settle(ty: TypeId, object: &mut Value) {
    if let Value::Object(object) = object {
        structure(Table::builtin(), ty, object);
    }
}

fn structure(table: &Table, id: TypeId, object: &mut Map<String, Value>) {
    let ty = table.ty(id);
    for at in &always()[usize::from(id.0)] {
        let field = &ty.fields[usize::from(*at)];
        if object.get(field.json_name).is_none_or(Value::is_null) {
            object.insert(field.json_name.into(), empty::zero(&field.kind));
        }
    }
    for (name, value) in object.iter_mut() {
        if matches!(value, Value::Object(_) | Value::Array(_))
            && let Some(field) = ty.field(name)
        {
            inner(table, &field.kind, value);
        }
    }
}

fn inner(table: &Table, kind: &FieldKind, value: &mut Value) {
    match (kind, value) {
        (FieldKind::Struct(id), Value::Object(object)) => structure(table, *id, object),
        (FieldKind::List(element), Value::Array(items)) if holds_structs(element) => {
            items.iter_mut().for_each(|item| inner(table, element, item));
        }
        (FieldKind::Map(element), Value::Object(entries)) if holds_structs(element) => {
            entries.values_mut().for_each(|value| inner(table, element, value));
        }
        _ => {}
    }
}

fn holds_structs(kind: &FieldKind) -> bool {
    kind.struct_type().is_some()
}

/// Of every type, the fields that are printed though they are absent, and read as something.
fn always() -> &'static [Vec<u16>] {
    static ALWAYS: OnceLock<Vec<Vec<u16>>> = OnceLock::new();
    ALWAYS.get_or_init(|| {
        let of = |fields: &[Field]| {
            (0_u16..).zip(fields).filter(|(_, f)| is_always(f)).map(|(at, _)| at).collect()
        };
        Table::builtin().types().map(|(_, ty)| of(&ty.fields)).collect()
    })
}

fn is_always(field: &Field) -> bool {
    let read = matches!(
        field.kind,
        FieldKind::Struct(_)
            | FieldKind::Quantity
            | FieldKind::IntOrString
            | FieldKind::Duration
            | FieldKind::Bool
            | FieldKind::Int32
            | FieldKind::Int64
            | FieldKind::Float
            | FieldKind::String
            | FieldKind::Enum(_)
    );
    read && !field.pointer() && printed_absent(field)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::codec;

    #[test]
    fn a_settled_object_is_as_it_reads() {
        let table = Table::builtin();
        let pod = json!({"containers": [{"name": "c", "env": [{"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}}]}],
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}],
            "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}});
        for (group, kind, object) in [
            ("", "Pod", json!({"spec": pod})),
            ("", "ConfigMap", json!({"data": {"a": ""}})),
            (
                "apps",
                "StatefulSet",
                json!({"spec": {"template": {"spec": pod}, "volumeClaimTemplates": [{"metadata": {"name": "d"}}]}}),
            ),
            ("", "Service", json!({"spec": {"ports": [{"port": 80}]}})),
            ("batch", "Job", json!({})),
            ("apps", "ReplicaSet", json!({"spec": {"replicas": 1}})),
            (
                "networking.k8s.io",
                "Ingress",
                json!({"spec": {"rules": [{"http": {"paths": [{"path": "/"}]}}]}}),
            ),
            ("storage.k8s.io", "CSINode", json!({"metadata": {"name": "n"}})),
        ] {
            let ty = table.type_of(group, "v1", kind).expect("the kind exists");
            let mut settled = codec::json::decode_value(table, ty, &object).expect("it is valid").value;
            let printed = codec::json::encode(table, ty, &settled);
            let read = codec::json::decode(table, ty, &printed).expect("what is printed is read").value;
            settle(ty, &mut settled);
            assert_eq!(settled, read, "{kind}");
            let message = codec::protobuf::decode(table, ty, &codec::protobuf::encode(table, ty, &settled));
            assert_eq!(settled, message.expect("what is written is read"), "{kind} in protobuf");
        }
    }
}
