//! The declared type of a custom resource's schema.

use oarlock_api::structural::{Additional, JsonType, Structural};
use oarlock_api::table::ListType as ListRule;
use serde_json::Value as Json;

use super::{REQUEST_BYTES_MAX, escape};
use crate::types::{Decl, FieldDecl, Object, ObjectDecl, Type};

/// `0`, `""`, `true`, `2020-01-01` and their like in JSON, at least.
const MIN_NUMBER: u64 = 1;
const MIN_STRING: u64 = 2;
const MIN_BOOL: u64 = 4;
const MIN_DURATION: u64 = 3;
const MAX_DURATION: u64 = 32;
const DATE: u64 = 12;
const MIN_DATE_TIME: u64 = 21;
const MAX_DATE_TIME: u64 = 32;
/// What is nested deeper is not declared; a schema of that depth does not fit a request anyway.
const DEPTH_MAX: usize = 128;

impl Decl {
    /// What CEL sees of a schema; none where it sees nothing (no type, lists without items …). `resource_root`: the root
    /// of a custom resource; embedded resources inside are found by their mark.
    pub fn from_structural(schema: &Structural, resource_root: bool) -> Option<Self> {
        declare(schema, resource_root, "selfType", 0)
    }
}

fn declare(schema: &Structural, root: bool, name: &str, depth: usize) -> Option<Decl> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut decl = if schema.int_or_string {
        let max = length(schema, "maxLength").map_or(REQUEST_BYTES_MAX - 2, |l| l.saturating_mul(4));
        Decl::sized(Type::Dyn, max, MIN_NUMBER)
    } else {
        match schema.kind? {
            JsonType::Array => array(schema, name, depth)?,
            JsonType::Object => object(schema, root, name, depth)?,
            JsonType::String => string(schema),
            JsonType::Boolean => Decl::sized(Type::Bool, 0, MIN_BOOL),
            JsonType::Number => Decl::sized(Type::Double, 0, MIN_NUMBER),
            JsonType::Integer => Decl::sized(Type::Int, 0, MIN_NUMBER),
        }
    };
    decl.nullable = schema.nullable;
    Some(decl)
}

fn array(schema: &Structural, name: &str, depth: usize) -> Option<Decl> {
    let items = schema.items.as_deref()?;
    let element = declare(items, items.embedded, &format!("{name}.@idx"), depth + 1)?;
    let max = length(schema, "maxItems").unwrap_or((REQUEST_BYTES_MAX - 2) / (element.min_size + 1));
    let keys = schema.list_map_keys.iter().map(|k| k.as_str().into()).collect();
    let ty = Type::list_of(element, schema.list_type.unwrap_or(ListRule::Atomic), keys);
    Some(Decl::sized(ty, max, MIN_STRING))
}

fn object(schema: &Structural, root: bool, name: &str, depth: usize) -> Option<Decl> {
    if let Additional::Schema(values) = &schema.additional
        && !root
        && schema.properties.is_empty()
    {
        let value = declare(values, values.embedded, &format!("{name}.@elem"), depth + 1)?;
        let max = length(schema, "maxProperties").unwrap_or((REQUEST_BYTES_MAX - 2) / (value.min_size + 6));
        return Some(Decl::sized(Type::map(Decl::sized(Type::String, 0, 0), value), max, MIN_STRING));
    }
    let required: Vec<&str> = schema
        .validation
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let mut fields = Vec::new();
    let mut min_size = 2;
    let mut add = |json: &str, decl: Decl, defaulted: bool| {
        if required.contains(&json) && !defaulted {
            min_size += json.len() as u64 + decl.min_size + 4;
        }
        if let Some(escaped) = escape(json) {
            fields.retain(|f: &FieldDecl| &*f.json != json);
            fields.push(FieldDecl { name: escaped.into(), json: json.into(), decl });
        }
    };
    for (json, property) in &schema.properties {
        let inner = format!("{name}.{}", escape(json).as_deref().unwrap_or(json));
        if let Some(decl) = declare(property, property.embedded, &inner, depth + 1) {
            add(json, decl, property.default.is_some());
        }
    }
    if root && !has_type_and_meta(schema) {
        let string = || Decl::sized(Type::String, REQUEST_BYTES_MAX - 2, MIN_STRING);
        add("kind", string(), false);
        add("apiVersion", string(), false);
        let meta =
            ["name", "generateName"].map(|n| FieldDecl { name: n.into(), json: n.into(), decl: string() });
        add("metadata", declared(format!("{name}.metadata"), meta.into(), 2), false);
    }
    Some(declared(name.to_owned(), fields, min_size))
}

fn declared(name: String, fields: Vec<FieldDecl>, min_size: u64) -> Decl {
    let object = ObjectDecl::new(name.into(), fields, true);
    Decl { min_size, ..Decl::sized(Type::Object(Object::Shared(object.into())), 0, 2) }
}

/// The schema itself says what `apiVersion`, `kind` and the names in `metadata` are.
fn has_type_and_meta(schema: &Structural) -> bool {
    let is = |s: &Structural, name: &str, kind| s.properties.get(name).is_some_and(|p| p.kind == Some(kind));
    is(schema, "kind", JsonType::String)
        && is(schema, "apiVersion", JsonType::String)
        && schema.properties.get("metadata").is_some_and(|meta| {
            meta.kind == Some(JsonType::Object)
                && is(meta, "name", JsonType::String)
                && is(meta, "generateName", JsonType::String)
        })
}

fn string(schema: &Structural) -> Decl {
    let max_length = length(schema, "maxLength");
    match schema.validation.get("format").and_then(Json::as_str).unwrap_or_default() {
        "byte" => Decl::sized(Type::Bytes, max_length.unwrap_or(REQUEST_BYTES_MAX - 2), MIN_STRING),
        "duration" => Decl::sized(Type::Duration, MAX_DURATION, MIN_DURATION),
        "date" => Decl::sized(Type::Timestamp, DATE, DATE),
        "date-time" => Decl::sized(Type::Timestamp, MAX_DATE_TIME, MIN_DATE_TIME),
        _ => {
            let longest =
                schema.validation.get("enum").and_then(Json::as_array).filter(|values| !values.is_empty());
            let longest = longest.map(|values| {
                values.iter().filter_map(Json::as_str).map(|v| v.len() as u64).max().unwrap_or_default()
            });
            // A code point is at most four bytes, and sizes are told in bytes.
            let max = max_length.map(|l| l.saturating_mul(4)).or(longest).unwrap_or(REQUEST_BYTES_MAX - 2);
            Decl::sized(Type::String, max, MIN_STRING)
        }
    }
}

/// A whole number of the schema's value validation; negative is zero.
fn length(schema: &Structural, key: &str) -> Option<u64> {
    let value = schema.validation.get(key)?;
    value.as_u64().or_else(|| value.as_f64().map(|f| f.max(0.0) as u64))
}
