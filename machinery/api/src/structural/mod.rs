//! A structural schema (KEP-1693): what the schema of a custom resource says, as a tree that pruning, defaulting,
//! validation, server-side apply and CEL walk. Built from a `JSONSchemaProps` that was found structural.

mod default;
mod metadata;
mod parse;
pub mod pattern;
mod prune;
#[cfg(test)]
mod tests;
mod violations;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use metadata::{Malformed, coerce_metadata};

use crate::table::{ListType, MapType};

/// One node of a structural schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Structural {
    /// `type`; none for int-or-string and for what preserves unknown fields without a type.
    pub kind: Option<JsonType>,
    pub nullable: bool,
    pub default: Option<Value>,
    pub properties: BTreeMap<String, Structural>,
    pub additional: Additional,
    pub items: Option<Box<Structural>>,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    pub list_type: Option<ListType>,
    pub list_map_keys: Vec<String>,
    pub map_type: Option<MapType>,
    pub rules: Vec<Rule>,
    /// Value validation (`format`, `maxLength`, `enum`, `required`, `allOf` …) as it stands in the schema, without the
    /// fields above; empty where there is none.
    pub validation: Map<String, Value>,
}

/// The `type` of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// `additionalProperties`.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Additional {
    #[default]
    None,
    /// `true`
    Any,
    Schema(Box<Structural>),
}

/// One of `x-kubernetes-validations`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    /// `FieldValueInvalid` where it is empty.
    pub reason: String,
    pub field_path: String,
    pub optional_old_self: Option<bool>,
}
