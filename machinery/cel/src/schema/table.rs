//! The declared types of built-in kinds. Types are recursive, so each is made when it is first looked into, and kept.

use std::collections::HashMap;
use std::sync::OnceLock;

use oarlock_api::table::ListType as ListRule;
use oarlock_api::{FieldKind, Table, TypeId};

use super::escape;
use crate::types::{Decl, FieldDecl, Object, ObjectDecl, Type};

impl Decl {
    /// A type of the built-in table, with the formats of upstream's OpenAPI: times are timestamps, quantities strings,
    /// int-or-string dyn.
    pub fn of(id: TypeId) -> Self {
        Type::Object(Object::Table(id)).into()
    }
}

/// The fields of a type of the table.
pub(crate) fn fields_of(id: TypeId) -> &'static ObjectDecl {
    static TYPES: OnceLock<HashMap<TypeId, OnceLock<ObjectDecl>>> = OnceLock::new();
    let types = TYPES.get_or_init(|| Table::builtin().types().map(|(id, _)| (id, OnceLock::new())).collect());
    types.get(&id).expect("an id is of the one table").get_or_init(|| build(id))
}

fn build(id: TypeId) -> ObjectDecl {
    let ty = Table::builtin().ty(id);
    let mut fields = Vec::with_capacity(ty.fields.len());
    for field in &ty.fields {
        let decl = declare(&field.kind, field.list_type(), field.list_map_keys());
        if let (Some(decl), Some(name)) = (decl, escape(field.json_name)) {
            fields.push(FieldDecl { name: name.into(), json: field.json_name.into(), decl });
        }
    }
    ObjectDecl::new(ty.name.into(), fields, true)
}

/// None for what OpenAPI gives no type.
fn declare(kind: &FieldKind, rule: Option<ListRule>, keys: &[&str]) -> Option<Decl> {
    Some(match kind {
        FieldKind::Bool => Type::Bool.into(),
        FieldKind::Int32 | FieldKind::Int64 => Type::Int.into(),
        FieldKind::Float => Type::Double.into(),
        FieldKind::String | FieldKind::Enum(_) | FieldKind::Quantity | FieldKind::Duration => {
            Type::String.into()
        }
        FieldKind::Bytes => Type::Bytes.into(),
        FieldKind::Struct(id) => Decl::of(*id),
        FieldKind::List(element) => {
            let keys = keys.iter().map(|k| (*k).into()).collect();
            Type::list_of(declare(element, None, &[])?, rule.unwrap_or(ListRule::Atomic), keys).into()
        }
        FieldKind::WrappedStrings => Type::list(Type::String).into(),
        FieldKind::Map(value) => Type::map(Type::String, declare(value, None, &[])?).into(),
        FieldKind::IntOrString | FieldKind::RawExtension | FieldKind::FieldsV1 => Type::Dyn.into(),
        FieldKind::Time | FieldKind::MicroTime => Type::Timestamp.into(),
        FieldKind::Json
        | FieldKind::Any
        | FieldKind::SchemaOrArray(_)
        | FieldKind::SchemaOrBool(_)
        | FieldKind::SchemaOrStrings(_) => return None,
    })
}
