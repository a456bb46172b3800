//! A schema as the validator sees it: a node of the structural tree, or a schema of `allOf`, `anyOf`, `oneOf` or `not`
//! below one, which stays as it is written.

use oarlock_api::structural::{Additional, Structural};
use serde_json::{Map, Value};

#[derive(Clone, Copy)]
pub(crate) enum Node<'s> {
    Structure(&'s Structural),
    Nested(&'s Map<String, Value>),
}

/// What `additionalProperties` says.
pub(super) enum Others<'s> {
    Anything,
    Nothing,
    Schema(Node<'s>),
}

impl<'s> Node<'s> {
    fn nested(value: &'s Value) -> Option<Self> {
        value.as_object().map(Node::Nested)
    }

    /// A member of the value validation: `maxLength`, `enum`, …
    pub(super) fn says(self, name: &str) -> Option<&'s Value> {
        match self {
            Node::Structure(schema) => schema.validation.get(name),
            Node::Nested(schema) => schema.get(name),
        }
    }

    pub(super) fn number(self, name: &str) -> Option<f64> {
        self.says(name)?.as_f64()
    }

    pub(super) fn count(self, name: &str) -> Option<i64> {
        self.says(name)?.as_i64()
    }

    pub(super) fn flag(self, name: &str) -> bool {
        self.says(name) == Some(&Value::Bool(true))
    }

    pub(super) fn list(self, name: &str) -> &'s [Value] {
        self.says(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The alternatives under `anyOf`, `allOf` or `oneOf`.
    pub(super) fn alternatives(self, name: &str) -> impl Iterator<Item = Node<'s>> + use<'s> {
        self.list(name).iter().filter_map(Node::nested)
    }

    pub(super) fn not(self) -> Option<Node<'s>> {
        Node::nested(self.says("not")?)
    }

    /// The types that are allowed, none for any; several only for int-or-string.
    pub(super) fn types(self) -> &'s [&'s str] {
        let named = |name: &str| -> &'static [&'static str] {
            match name {
                "object" => &["object"],
                "array" => &["array"],
                "string" => &["string"],
                "integer" => &["integer"],
                "number" => &["number"],
                "boolean" => &["boolean"],
                _ => &[],
            }
        };
        match self {
            Node::Structure(schema) if schema.int_or_string => &["integer", "string"],
            Node::Structure(schema) => schema.kind.map_or(&[], |kind| named(kind.name())),
            Node::Nested(schema) => named(schema.get("type").and_then(Value::as_str).unwrap_or_default()),
        }
    }

    pub(super) fn nullable(self) -> bool {
        match self {
            Node::Structure(schema) => schema.nullable,
            Node::Nested(schema) => schema.get("nullable") == Some(&Value::Bool(true)),
        }
    }

    /// The format, where it is known for the type.
    pub(super) fn format(self) -> Option<&'s str> {
        let format = self.says("format")?.as_str()?;
        let known = match self.types() {
            [] | ["string"] => super::formats::check_of(format).is_some(),
            ["integer"] => matches!(format, "int32" | "int64"),
            ["number"] => matches!(format, "float" | "double"),
            _ => false,
        };
        known.then_some(format)
    }

    pub(super) fn property(self, name: &str) -> Option<Node<'s>> {
        match self {
            Node::Structure(schema) => schema.properties.get(name).map(Node::Structure),
            Node::Nested(schema) => Node::nested(schema.get("properties")?.get(name)?),
        }
    }

    pub(super) fn others(self) -> Others<'s> {
        if self.says("additionalProperties") == Some(&Value::Bool(false)) {
            return Others::Nothing;
        }
        match self {
            Node::Structure(schema) => match &schema.additional {
                Additional::Schema(schema) => Others::Schema(Node::Structure(schema)),
                _ => Others::Anything,
            },
            Node::Nested(schema) => {
                let schema = schema.get("additionalProperties").and_then(Node::nested);
                schema.map_or(Others::Anything, Others::Schema)
            }
        }
    }

    pub(super) fn items(self) -> Option<Node<'s>> {
        match self {
            Node::Structure(schema) => schema.items.as_deref().map(Node::Structure),
            Node::Nested(schema) => Node::nested(schema.get("items")?),
        }
    }
}
