//! Reads a `JSONSchemaProps` into a [`Structural`].

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Additional, JsonType, Rule, Structural, violations};
use crate::field::{FieldErrors, Path};
use crate::table::{ListType, MapType};

/// Schemas nest no deeper than this; JSON itself is not read deeper either.
pub(super) const DEPTH_MAX: usize = 200;

/// What a node of the tree says in fields of its own, or what says nothing of values. Everything else is validation.
const NOT_VALIDATION: [&str; 20] = [
    "type",
    "nullable",
    "default",
    "properties",
    "additionalProperties",
    "items",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "description",
    "title",
    "example",
    "externalDocs",
    "$schema",
    "id",
    "definitions",
];

impl Structural {
    /// Reads a schema that keeps the rules of structural schemas; else everything that is wrong with it, under `path`.
    pub fn parse_at(schema: &Value, path: &Path) -> Result<Self, FieldErrors> {
        let found = violations::of(schema, path);
        if found.is_empty() { Ok(Self::read(schema)) } else { Err(found) }
    }

    /// As [`Structural::parse_at`] with paths that begin at the schema.
    pub fn parse(schema: &Value) -> Result<Self, FieldErrors> {
        Self::parse_at(schema, &Path::root())
    }

    /// Reads any schema as far as it can be understood.
    pub fn read(schema: &Value) -> Self {
        read(schema, 0)
    }
}

fn read(schema: &Value, depth: usize) -> Structural {
    let Value::Object(fields) = schema else { return Structural::default() };
    if depth > DEPTH_MAX {
        return Structural { preserve_unknown: true, ..Structural::default() };
    }
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let flag = |name: &str| fields.get(name) == Some(&Value::Bool(true));
    let below = |schema: &Value| read(schema, depth + 1);
    Structural {
        kind: text("type").and_then(JsonType::named),
        nullable: flag("nullable"),
        default: fields.get("default").filter(|value| !value.is_null()).cloned(),
        properties: properties(fields, depth),
        additional: match fields.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(below(schema))),
            _ => Additional::None,
        },
        items: fields.get("items").filter(|items| items.is_object()).map(|items| Box::new(below(items))),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        list_type: match text("x-kubernetes-list-type") {
            Some("atomic") => Some(ListType::Atomic),
            Some("set") => Some(ListType::Set),
            Some("map") => Some(ListType::Map),
            _ => None,
        },
        list_map_keys: strings(fields.get("x-kubernetes-list-map-keys")),
        map_type: match text("x-kubernetes-map-type") {
            Some("atomic") => Some(MapType::Atomic),
            Some("granular") => Some(MapType::Granular),
            _ => None,
        },
        rules: list(fields.get("x-kubernetes-validations")).iter().map(rule).collect(),
        validation: validation(fields),
    }
}

fn properties(fields: &Map<String, Value>, depth: usize) -> BTreeMap<String, Structural> {
    let all = fields.get("properties").and_then(Value::as_object).into_iter().flatten();
    all.map(|(name, schema)| (name.clone(), read(schema, depth + 1))).collect()
}

fn validation(fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, value)| !value.is_null() && !NOT_VALIDATION.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn rule(value: &Value) -> Rule {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_string();
    Rule {
        rule: text("rule"),
        message: text("message"),
        message_expression: text("messageExpression"),
        reason: text("reason"),
        field_path: text("fieldPath"),
        optional_old_self: value["optionalOldSelf"].as_bool(),
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    list(value).iter().filter_map(Value::as_str).map(str::to_string).collect()
}

impl JsonType {
    /// `integer` → [`JsonType::Integer`].
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}
