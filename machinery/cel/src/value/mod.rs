//! Values. JSON is not converted: a value that came from an object is a reference into it, beside the type against which
//! it is read, and its parts are looked at when an expression asks for them.

mod compare;
mod equal;
mod json;
mod list;
mod map;

use std::sync::Arc;

use oarlock_api::quantity::Quantity;
use std::net::IpAddr;

use crate::authorizer::{Decision, ResourceCheck, Subject};
use crate::error::EvalError;
use crate::time::Instant;
use crate::types::{Library, Object, Type};

pub(crate) use compare::compare;
pub(crate) use equal::equal;
pub(crate) use json::read;
pub use list::List;
pub use map::{Key, Map};

/// A CEL value. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Value<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    Timestamp(Instant),
    /// Nanoseconds.
    Duration(i64),
    List(List<'a>),
    Map(Map<'a>),
    Type(Type),
    Optional(Option<Arc<Value<'a>>>),
    /// What an expression made with `Object{}` or `JSONPatch{}`.
    Object(Arc<Made<'a>>),
    Library(Opaque),
}

/// A string: of an object or an expression, or made while evaluating.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

/// An object that an expression made.
#[derive(Debug, Clone)]
pub struct Made<'a> {
    pub ty: Object,
    /// Sorted by name.
    pub fields: Vec<(Arc<str>, Value<'a>)>,
}

/// A value of a library.
#[derive(Debug, Clone)]
pub enum Opaque {
    Url(Arc<UrlValue>),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Quantity(Quantity),
    Semver(Arc<crate::functions::Semver>),
    Format(&'static crate::functions::NamedFormat),
    Authorizer(Arc<Subject>),
    PathCheck(Arc<(Subject, String)>),
    GroupCheck(Arc<(Subject, String)>),
    ResourceCheck(Arc<(Subject, ResourceCheck)>),
    Decision(Arc<Decision>),
}

/// A URL as it was written and as it was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct UrlValue {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) hostname: String,
    pub(crate) port: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) text: String,
}

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(Text::Shared(text.into()))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Text::Borrowed(text))
    }
}

impl<'a> Value<'a> {
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn as_list(&self) -> Option<&List<'a>> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// What is inside an optional; the outer none: it is no optional.
    pub fn as_optional(&self) -> Option<Option<&Value<'a>>> {
        match self {
            Self::Optional(inside) => Some(inside.as_deref()),
            _ => None,
        }
    }

    /// An optional with this value, or without one.
    pub fn optional(inside: Option<Value<'a>>) -> Self {
        Self::Optional(inside.map(Arc::new))
    }

    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A list of values.
    pub fn list(values: Vec<Value<'a>>) -> Self {
        Self::List(List::from(values))
    }

    /// The type as `type(x)` gives it.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Type(_) => Type::Type(None),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Object(made) => Type::Object(made.ty.clone()),
            Self::Library(opaque) => Type::Library(opaque.library()),
        }
    }

    /// The number of code points, bytes, elements or entries, where it has one.
    pub(crate) fn size(&self) -> Option<usize> {
        match self {
            Self::String(text) => Some(text.chars().count()),
            Self::Bytes(bytes) => Some(bytes.len()),
            Self::List(list) => Some(list.len()),
            Self::Map(map) => Some(map.len()),
            Self::Library(Opaque::Ip(ip)) => Some(if ip.is_ipv4() { 4 } else { 16 }),
            Self::Library(Opaque::Cidr(_, prefix)) => Some(usize::from(prefix.div_ceil(8))),
            _ => None,
        }
    }

    /// The size by which costs are reckoned.
    pub(crate) fn cost_size(&self) -> u64 {
        match self {
            Self::Optional(Some(inside)) => inside.cost_size(),
            other => other.size().unwrap_or(1) as u64,
        }
    }

    /// Zero, empty or nothing.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(b) => !b,
            Self::Int(i) => *i == 0,
            Self::Uint(u) => *u == 0,
            Self::Double(d) => *d == 0.0,
            Self::String(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Duration(d) => *d == 0,
            Self::Timestamp(t) => t.is_first(),
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Optional(inside) => inside.is_none(),
            Self::Object(made) => made.fields.is_empty(),
            Self::Type(_) | Self::Library(_) => false,
        }
    }

    /// The type names of what was made with `Object{}` must follow the fields it is put into: under `spec` of an `Object`
    /// stands an `Object.spec`. Of a JSONPatch, and of each of a list of them, the value is looked at; it may be of any
    /// name, from which its own fields go on.
    pub fn check_object_names(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        match self {
            Self::Object(made) if matches!(made.ty, Object::Patch) => match made.field("value") {
                Some(value @ Self::Object(_)) => return value.check_object_names(),
                _ => return Ok(()),
            },
            Self::Object(made) => check_names(self, &mut vec![made.ty.name()], &mut wrong),
            Self::List(list) => list
                .made()
                .iter()
                .filter_map(|item| item.check_object_names().err())
                .for_each(|e| wrong.push(e)),
            _ => {}
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

fn check_names<'v>(value: &'v Value<'_>, path: &mut Vec<&'v str>, wrong: &mut Vec<String>) {
    match value {
        Value::Object(made) => {
            let (name, expected) = (made.ty.name(), path.join("."));
            if name != expected {
                wrong.push(format!(
                    "unexpected type name {name:?}, expected {expected:?}, which matches field name path from root Object type"
                ));
            }
            for (name, field) in &made.fields {
                path.push(name);
                check_names(field, path, wrong);
                path.pop();
            }
        }
        Value::List(list) => list.made().iter().for_each(|item| check_names(item, path, wrong)),
        Value::Map(map) => map.made().for_each(|item| check_names(item, path, wrong)),
        _ => {}
    }
}

impl Opaque {
    pub(crate) fn library(&self) -> Library {
        match self {
            Self::Url(_) => Library::Url,
            Self::Ip(_) => Library::Ip,
            Self::Cidr(..) => Library::Cidr,
            Self::Quantity(_) => Library::Quantity,
            Self::Semver(_) => Library::Semver,
            Self::Format(_) => Library::Format,
            Self::Authorizer(_) => Library::Authorizer,
            Self::PathCheck(_) => Library::PathCheck,
            Self::GroupCheck(_) => Library::GroupCheck,
            Self::ResourceCheck(_) => Library::ResourceCheck,
            Self::Decision(_) => Library::Decision,
        }
    }
}

/// A value as error texts show it.
pub(crate) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Uint(u) => u.to_string(),
        Value::Double(d) => crate::text::double(*d),
        Value::String(text) => text.to_string(),
        Value::Type(ty) => ty.runtime_name().into_owned(),
        other => other.type_of().runtime_name().into_owned(),
    }
}

/// No such key.
pub(crate) fn key_error(key: &Value<'_>) -> EvalError {
    EvalError::NoSuchKey(shown(key))
}
