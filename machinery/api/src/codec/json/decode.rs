//! The visitor that reads any self-describing input against a type.
//!
//! What is known about a field is looked up once per field; keys of known fields cost nothing but the one allocation
//! that the tree needs. Paths are links on the stack, printed only when something is wrong.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::super::{Decoded, empty, text};
use super::go;
use super::trail::{Step, Trail};
use crate::table::{FieldKind, Table, Type};

/// No more strict complaints than this are collected, as upstream.
const MAX_STRICT: usize = 100;

/// Why decoding ended early.
pub(super) enum Failure {
    /// The input is well-formed and of another type.
    Type(String),
    /// The reader's own complaint.
    Reader(String),
}

pub(super) fn run<'de, D>(table: &Table, kind: &FieldKind, input: D) -> Result<Decoded, Failure>
where
    D: Deserializer<'de>,
    D::Error: fmt::Display,
{
    let untyped = *kind == FieldKind::Any;
    let context = Context { table, untyped, strict: RefCell::default(), failure: RefCell::default() };
    let seed = Seed { context: &context, kind, trail: &Trail::root() };
    match seed.deserialize(input) {
        Ok(value) => {
            let value = if value.is_null() { Value::Object(Map::new()) } else { value };
            Ok(Decoded { value, strict: context.strict.into_inner() })
        }
        Err(error) => Err(match context.failure.into_inner() {
            Some(message) => Failure::Type(message),
            None => Failure::Reader(error.to_string()),
        }),
    }
}

struct Context<'t> {
    table: &'t Table,
    /// Nothing is known of the whole input; duplicates in it are still worth a complaint.
    untyped: bool,
    strict: RefCell<Vec<String>>,
    failure: RefCell<Option<String>>,
}

/// Reads one value of a kind.
#[derive(Clone, Copy)]
struct Seed<'a> {
    context: &'a Context<'a>,
    kind: &'a FieldKind,
    trail: &'a Trail<'a>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn complain(&self, what: &str, name: &str) {
        let mut strict = self.context.strict.borrow_mut();
        if strict.len() < MAX_STRICT && !self.trail.lenient() {
            let message = format!("{what} field \"{}\"", self.trail.strict_path(name));
            if !strict.contains(&message) {
                strict.push(message);
            }
        }
    }

    fn fail<E: serde::de::Error>(&self, message: String) -> E {
        self.context.failure.borrow_mut().get_or_insert(message);
        E::custom("wrong type")
    }

    /// `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`.
    fn mismatch<E: serde::de::Error>(&self, found: &str) -> E {
        let table = self.context.table;
        let name = match self.kind {
            // Types that read themselves upstream speak of what they read.
            FieldKind::Time | FieldKind::MicroTime | FieldKind::Duration => "string".to_string(),
            FieldKind::IntOrString => "int32".to_string(),
            kind => self.trail.go_name().map_or_else(|| go::type_name(table, kind), str::to_string),
        };
        match self.trail.go_path(table) {
            (path, Some(owner)) => self.fail(format!(
                "json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {name}"
            )),
            (_, None) => self.fail(format!("json: cannot unmarshal {found} into Go value of type {name}")),
        }
    }

    fn canonical<E: serde::de::Error>(&self, result: Result<String, String>) -> Result<Value, E> {
        result.map(Value::String).map_err(|message| self.fail(message))
    }

    fn free(&self) -> bool {
        matches!(self.kind, FieldKind::RawExtension | FieldKind::FieldsV1 | FieldKind::Json | FieldKind::Any)
    }

    fn integer<E: serde::de::Error>(&self, n: i64) -> Result<Value, E> {
        match self.kind {
            FieldKind::Int32 | FieldKind::IntOrString if i32::try_from(n).is_err() => {
                Err(self.mismatch(&format!("number {n}")))
            }
            FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float | FieldKind::IntOrString => Ok(n.into()),
            FieldKind::Quantity => self.canonical(text::quantity(&n.to_string())),
            _ if self.free() => Ok(n.into()),
            _ => Err(self.mismatch("number")),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&go::type_name(self.context.table, self.kind))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }

    fn visit_bool<E: serde::de::Error>(self, set: bool) -> Result<Value, E> {
        match self.kind {
            FieldKind::Bool | FieldKind::SchemaOrBool(_) => Ok(Value::Bool(set)),
            FieldKind::Quantity => self.canonical(text::quantity(if set { "true" } else { "false" })),
            _ if self.free() => Ok(Value::Bool(set)),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Value, E> {
        self.integer(n)
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Value, E> {
        match i64::try_from(n) {
            Ok(n) => self.integer(n),
            Err(_) => match self.kind {
                FieldKind::Quantity => self.canonical(text::quantity(&n.to_string())),
                FieldKind::Float => Ok(n.into()),
                _ if self.free() => Ok(n.into()),
                FieldKind::Int32 | FieldKind::Int64 | FieldKind::IntOrString => {
                    Err(self.mismatch(&format!("number {n}")))
                }
                _ => Err(self.mismatch("number")),
            },
        }
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Value, E> {
        let number = || Number::from_f64(n).map_or(Value::Null, Value::Number);
        match self.kind {
            // Go prints whole floats without a point, so they are whole numbers in normal form.
            FieldKind::Float if n.fract() == 0.0 && n.abs() < 9e15 => Ok(Value::from(n as i64)),
            FieldKind::Float => Ok(number()),
            FieldKind::Quantity => self.canonical(text::quantity(&n.to_string())),
            FieldKind::Int32 | FieldKind::Int64 | FieldKind::IntOrString => {
                Err(self.mismatch(&format!("number {}", number())))
            }
            _ if self.free() => Ok(number()),
            _ => Err(self.mismatch("number")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, found: &str) -> Result<Value, E> {
        match self.kind {
            FieldKind::String | FieldKind::Enum(_) | FieldKind::IntOrString => Ok(Value::from(found)),
            FieldKind::Bytes => self.canonical(text::base64(found)),
            FieldKind::Quantity => self.canonical(text::quantity(found)),
            FieldKind::Time => self.canonical(text::time(found)),
            FieldKind::MicroTime => self.canonical(text::micro_time(found)),
            FieldKind::Duration => self.canonical(text::duration(found)),
            _ if self.free() => Ok(Value::from(found)),
            _ => Err(self.mismatch("string")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let owned;
        let element = match self.kind {
            FieldKind::List(element) => &**element,
            FieldKind::WrappedStrings | FieldKind::SchemaOrStrings(_) => &FieldKind::String,
            FieldKind::SchemaOrArray(id) => {
                owned = FieldKind::Struct(*id);
                &owned
            }
            _ if self.free() => &FieldKind::Any,
            _ => return Err(self.mismatch("array")),
        };
        let mut list = Vec::new();
        loop {
            let trail = self.trail.then(Step::Index(list.len()));
            let seed = Seed { context: self.context, kind: element, trail: &trail };
            match items.next_element_seed(seed)? {
                Some(Value::Null) => list.push(empty::zero(element)),
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        match self.kind {
            FieldKind::Struct(id)
            | FieldKind::SchemaOrArray(id)
            | FieldKind::SchemaOrBool(id)
            | FieldKind::SchemaOrStrings(id) => self.structure(self.context.table.ty(*id), entries),
            FieldKind::Map(value) => self.map(value, entries),
            _ if self.free() => self.free_map(entries),
            _ => Err(self.mismatch("object")),
        }
    }
}

impl Seed<'_> {
    fn structure<'de, A: MapAccess<'de>>(&self, ty: &Type, mut entries: A) -> Result<Value, A::Error> {
        let mut seen = [0_u64; 4];
        let mut object = Map::new();
        while let Some(key) = entries.next_key_seed(FieldName(ty))? {
            let at = match key {
                Key::Known(at) => at,
                Key::Unknown(name) => {
                    self.complain("unknown", &name);
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let field = &ty.fields[at];
            let (word, bit) = (at / 64 % 4, 1 << (at % 64));
            if seen[word] & bit != 0 {
                self.complain("duplicate", field.json_name);
            }
            seen[word] |= bit;
            let trail = self.trail.then(Step::Field(field.json_name, ty));
            let value =
                entries.next_value_seed(Seed { context: self.context, kind: &field.kind, trail: &trail })?;
            let dropped = empty::omitted(field, &value) || empty::lost(field, &value);
            if dropped && (value.is_null() || !empty::means_something(ty, field)) {
                object.remove(field.json_name);
            } else {
                object.insert(field.json_name.to_string(), value);
            }
        }
        Ok(Value::Object(object))
    }

    fn map<'de, A: MapAccess<'de>>(&self, kind: &FieldKind, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                self.complain("duplicate", &key);
            }
            let trail = self.trail.then(Step::Key(&key));
            let value = entries.next_value_seed(Seed { context: self.context, kind, trail: &trail })?;
            let value = if value.is_null() { empty::zero(kind) } else { value };
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }

    /// Objects inside free-form values keep everything, nulls included.
    fn free_map<'de, A: MapAccess<'de>>(&self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !self.context.untyped {
                let seed = Seed { context: self.context, kind: &FieldKind::Any, trail: self.trail };
                let value = entries.next_value_seed(seed)?;
                object.insert(key, value);
                continue;
            }
            if object.contains_key(&key) {
                self.complain("duplicate", &key);
            }
            let trail = self.trail.then(Step::Key(&key));
            let seed = Seed { context: self.context, kind: &FieldKind::Any, trail: &trail };
            let value = entries.next_value_seed(seed)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

enum Key {
    /// The index of the field in its type.
    Known(usize),
    Unknown(String),
}

/// Looks a key up without keeping it.
struct FieldName<'a>(&'a Type);

impl<'de> DeserializeSeed<'de> for FieldName<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Key, D::Error> {
        input.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
        Ok(match self.0.fields.binary_search_by(|field| field.json_name.cmp(name)) {
            Ok(at) => Key::Known(at),
            Err(_) => Key::Unknown(name.to_string()),
        })
    }
}
