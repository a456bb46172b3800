//! JSON read as CEL values, against a type or as it is; and values written as JSON.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::quantity::Quantity;
use serde_json::{Map as JsonMap, Number, Value as Json};

use super::{List, Made, Map, Opaque, Value, list, map};
use crate::error::EvalError;
use crate::eval::Meter;
use crate::functions::Semver;
use crate::time;
use crate::types::{Decl, Library, Object, Type};

/// The JSON as a value of the declared type. Lists and maps are not read further than that they are such.
pub(crate) fn read<'a>(json: &'a Json, decl: &'a Decl) -> Result<Value<'a>, EvalError> {
    if json.is_null() {
        return match &decl.ty {
            Type::Optional(_) => Ok(Value::Optional(None)),
            _ if decl.nullable => Ok(Value::Null),
            _ => Err(EvalError::message("invalid data, got null for schema with nullable=false")),
        };
    }
    match (&decl.ty, json) {
        (Type::List(ty), Json::Array(items)) => Ok(Value::List(List::Json { items, ty })),
        (Type::Map(ty), Json::Object(entries)) => Ok(Value::Map(Map::Json { entries, value: &ty.value })),
        (Type::Object(object), Json::Object(entries)) => match object.decl() {
            Some(decl) => Ok(Value::Map(Map::Object { entries, decl })),
            None => Ok(natural(json)),
        },
        (Type::String, Json::String(text)) => Ok(text.as_str().into()),
        (Type::Bool, Json::Bool(b)) => Ok(Value::Bool(*b)),
        (Type::Int, Json::Number(n)) => n.as_i64().map(Value::Int).ok_or_else(|| invalid("int", json)),
        (Type::Uint, Json::Number(n)) => n.as_u64().map(Value::Uint).ok_or_else(|| invalid("uint", json)),
        (Type::Double, Json::Number(n)) => {
            n.as_f64().map(Value::Double).ok_or_else(|| invalid("float", json))
        }
        (Type::Timestamp, Json::String(text)) => timestamp(text, decl),
        (Type::Duration, Json::String(text)) => time::parse_loose_duration(text)
            .map(Value::Duration)
            .map_err(|error| EvalError::Message(format!("Invalid duration {text}: {error}"))),
        (Type::Bytes, Json::String(text)) => STANDARD
            .decode(text)
            .map(|bytes| Value::Bytes(bytes.into()))
            .map_err(|error| EvalError::Message(format!("Invalid byte formatted string {text}: {error}"))),
        (Type::Library(Library::Quantity), Json::String(text)) => Quantity::parse(text)
            .map(|quantity| Value::Library(Opaque::Quantity(quantity)))
            .map_err(|error| EvalError::Message(error.to_string())),
        (Type::Library(Library::Semver), Json::String(text)) => Semver::parse(text)
            .map(|version| Value::Library(Opaque::Semver(Arc::new(version))))
            .map_err(EvalError::Message),
        // Nothing but int-or-string is declared with a size and without a type.
        (Type::Dyn, Json::String(_)) => Ok(natural(json)),
        (Type::Dyn, Json::Number(n)) if n.is_i64() => Ok(natural(json)),
        (Type::Dyn, _) if decl.max_elements.is_some() => Err(EvalError::message(
            "invalid data, expected XIntOrString value to be either a string or integer",
        )),
        (Type::Optional(of), _) => inside_optional(json, of, decl),
        (Type::List(_), _) => {
            Err(EvalError::message("invalid data, expected an array for the provided schema with type=array"))
        }
        (Type::Map(_) | Type::Object(_), _) => {
            Err(EvalError::message("invalid data, expected a map for the provided schema with type=object"))
        }
        (Type::String | Type::Timestamp | Type::Duration | Type::Bytes, _) => Err(invalid("string", json)),
        (Type::Bool, _) => Err(invalid("bool", json)),
        (Type::Int, _) => Err(invalid("int", json)),
        (Type::Uint, _) => Err(invalid("uint", json)),
        (Type::Double, _) => Err(invalid("float", json)),
        _ => Ok(natural(json)),
    }
}

/// An optional that is there. Its inside is typed through the same declaration, so only the outermost may be optional.
fn inside_optional<'a>(json: &'a Json, of: &'a Type, decl: &Decl) -> Result<Value<'a>, EvalError> {
    let inside = match (of, json) {
        (Type::Object(object), Json::Object(entries)) if object.decl().is_some() => {
            Value::Map(Map::Object { entries, decl: object.decl().expect("it was just found") })
        }
        (Type::List(ty), Json::Array(items)) => Value::List(List::Json { items, ty }),
        (Type::Map(ty), Json::Object(entries)) => Value::Map(Map::Json { entries, value: &ty.value }),
        (Type::Timestamp, Json::String(text)) => timestamp(text, decl)?,
        (Type::Duration, Json::String(text)) => Value::Duration(
            time::parse_loose_duration(text)
                .map_err(|error| EvalError::Message(format!("Invalid duration {text}: {error}")))?,
        ),
        (Type::Bytes, Json::String(text)) => Value::Bytes(
            STANDARD
                .decode(text)
                .map_err(|error| {
                    EvalError::Message(format!("Invalid byte formatted string {text}: {error}"))
                })?
                .into(),
        ),
        (Type::Double, Json::Number(n)) => Value::Double(n.as_f64().unwrap_or_default()),
        _ => natural(json),
    };
    Ok(Value::optional(Some(inside)))
}

fn timestamp<'a>(text: &str, decl: &Decl) -> Result<Value<'a>, EvalError> {
    // Declared dates are as long as dates are.
    if decl.max_elements == Some(12) {
        return time::parse_date(text)
            .map(Value::Timestamp)
            .map_err(|error| EvalError::Message(format!("Invalid date formatted string {text}: {error}")));
    }
    time::parse_date_time(text)
        .map(Value::Timestamp)
        .map_err(|error| EvalError::Message(format!("Invalid date-time formatted string {text}: {error}")))
}

fn invalid(expected: &str, json: &Json) -> EvalError {
    let got = match json {
        Json::Null => "nil",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    };
    EvalError::Message(format!("invalid data, expected {expected}, got {got}"))
}

/// The JSON as it is.
pub(crate) fn natural(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => {
            n.as_i64().map_or_else(|| Value::Double(n.as_f64().unwrap_or_default()), Value::Int)
        }
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::List(List::Json { items, ty: list::any() }),
        Json::Object(entries) => Value::Map(Map::Json { entries, value: map::any() }),
    }
}

/// Integers beyond this are strings in JSON, as protobuf's JSON has them.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

impl Value<'_> {
    /// The value as JSON. What was read is given back as it was.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        write(self, &Meter::unlimited(), false)
    }
}

/// `patch`: within the value of a JSONPatch, which upstream hands through protobuf's JSON.
fn write(value: &Value<'_>, meter: &Meter, patch: bool) -> Result<Json, EvalError> {
    meter.step(1)?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(i) if patch && i.unsigned_abs() > SAFE_INTEGER => Json::String(i.to_string()),
        Value::Int(i) => Json::from(*i),
        Value::Uint(u) if patch && *u > SAFE_INTEGER => Json::String(u.to_string()),
        Value::Uint(u) => Json::from(*u),
        Value::Double(d) => Number::from_f64(*d)
            .map(Json::Number)
            .ok_or_else(|| EvalError::message("a number that is not finite has no JSON form"))?,
        Value::String(text) => {
            meter.step(text.len() / 64)?;
            Json::String(text.to_string())
        }
        Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::Timestamp(t) => Json::String(time::format_timestamp(*t)),
        Value::Duration(d) => Json::String(time::format_duration(*d)),
        Value::Type(ty) => Json::String(ty.runtime_name().into_owned()),
        Value::Optional(None) => Json::Null,
        Value::Optional(Some(inside)) => meter.deeper(|| write(inside, meter, patch))?,
        Value::List(List::Json { items, .. }) => Json::Array(items.to_vec()),
        Value::List(list) => Json::Array(
            list.iter().map(|item| meter.deeper(|| write(&item?, meter, patch))).collect::<Result<_, _>>()?,
        ),
        Value::Map(Map::Json { entries, .. } | Map::Object { entries, .. }) => {
            Json::Object((*entries).clone())
        }
        Value::Map(map) => {
            let mut object = JsonMap::new();
            for key in map.keys(meter)? {
                let value = map.require(&key)?;
                object.insert(super::shown(&key), meter.deeper(|| write(&value, meter, patch))?);
            }
            Json::Object(object)
        }
        Value::Object(made) => write_made(made, meter, patch)?,
        Value::Library(opaque) => {
            let name = opaque.library().name();
            return Err(EvalError::Message(format!("a value of type {name} has no JSON form")));
        }
    })
}

fn write_made(made: &Made<'_>, meter: &Meter, patch: bool) -> Result<Json, EvalError> {
    let mut object = JsonMap::new();
    let patch = patch || matches!(made.ty, Object::Patch);
    for (name, value) in &made.fields {
        let json = meter.deeper(|| write(value, meter, patch))?;
        // An empty `from` of a patch is no `from`.
        if matches!(made.ty, Object::Patch) && &**name == "from" && json.as_str() == Some("") {
            continue;
        }
        object.insert(name.to_string(), json);
    }
    Ok(Json::Object(object))
}

impl<'a> Made<'a> {
    /// An object with these fields.
    pub(crate) fn new(ty: Object, mut fields: Vec<(Arc<str>, Value<'a>)>) -> Self {
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { ty, fields }
    }

    pub(crate) fn field(&self, name: &str) -> Option<Value<'a>> {
        let at = self.fields.binary_search_by(|(field, _)| (**field).cmp(name)).ok()?;
        Some(self.fields[at].1.clone())
    }
}
