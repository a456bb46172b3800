//! `FieldsV1`: a set of fields as JSON, as a tree or as text in upstream's canonical order.

use serde_json::{Map, Value};

use super::element::{Element, ElementError};
use super::fields::{Entry, FieldSet};

/// Deeper sets are refused; no object that can be stored is as deep.
const DEPTH_MAX: usize = 512;

/// Why a `fieldsV1` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    #[error("expected an object in fieldsV1")]
    NotAnObject,
    #[error("fieldsV1 is nested too deeply")]
    TooDeep,
    #[error("parsing key as path element: {0}")]
    Element(#[source] ElementError),
    #[error("{0}")]
    Json(String),
}

impl<'a> FieldSet<'a> {
    /// Reads the tree of a `fieldsV1`.
    pub fn from_value(value: &'a Value) -> Result<Self, FieldsError> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Object(members) => read(members, 0).map(|(_, set)| set),
            _ => Err(FieldsError::NotAnObject),
        }
    }

    /// Reads the text of a `fieldsV1`.
    pub fn from_json(text: &[u8]) -> Result<FieldSet<'static>, FieldsError> {
        let tree: Value =
            serde_json::from_slice(text).map_err(|error| FieldsError::Json(error.to_string()))?;
        FieldSet::from_value(&tree).map(FieldSet::into_owned)
    }

    /// The tree of a `fieldsV1`.
    pub fn to_value(&self) -> Value {
        Value::Object(self.tree(false))
    }

    pub(super) fn tree(&self, with_self: bool) -> Map<String, Value> {
        let mut members = Map::new();
        if with_self && !self.entries.is_empty() {
            members.insert(".".to_string(), Value::Object(Map::new()));
        }
        for entry in &self.entries {
            let mut key = match &entry.element {
                Element::Field(name) => String::with_capacity(name.len() + 2),
                _ => String::with_capacity(32),
            };
            entry.element.print(&mut key);
            members.insert(key, Value::Object(entry.below.tree(entry.member)));
        }
        members
    }

    /// The text of a `fieldsV1`: members in the order of their elements, as upstream writes them.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64);
        let mut key = String::new();
        self.print(false, &mut out, &mut key);
        out
    }

    fn print(&self, with_self: bool, out: &mut String, key: &mut String) {
        out.push('{');
        if with_self && !self.entries.is_empty() {
            out.push_str("\".\":{}");
        }
        for entry in &self.entries {
            if !out.ends_with('{') {
                out.push(',');
            }
            key.clear();
            entry.element.print(key);
            out.push_str(&serde_json::to_string(&key).expect("a string always prints"));
            out.push(':');
            entry.below.print(entry.member, out, key);
        }
        out.push('}');
    }
}

/// Whether the object itself is a member, and the set below it.
fn read(members: &Map<String, Value>, depth: usize) -> Result<(bool, FieldSet<'_>), FieldsError> {
    if depth > DEPTH_MAX {
        return Err(FieldsError::TooDeep);
    }
    let mut set = FieldSet { entries: Vec::with_capacity(members.len()) };
    let mut is_member = false;
    for (key, value) in members {
        if key == "." {
            is_member = true;
            continue;
        }
        let element = match Element::parse(key) {
            Ok(element) => element,
            Err(ElementError::Unknown) => continue,
            Err(error) => return Err(FieldsError::Element(error)),
        };
        let (member, below) = match value {
            Value::Object(inner) => read(inner, depth + 1)?,
            Value::Null => (true, FieldSet::new()),
            _ => return Err(FieldsError::NotAnObject),
        };
        set.put(Entry { element, member, below });
    }
    Ok((is_member || set.entries.is_empty(), set))
}
