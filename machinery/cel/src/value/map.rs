//! Maps: of JSON, of an object with declared fields, or made.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map as JsonMap, Value as Json};

use super::{Text, Value, equal, key_error, read};
use crate::error::EvalError;
use crate::eval::Meter;
use crate::schema::escape;
use crate::types::{Decl, ObjectDecl, Type};

#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Any keys, values of one type.
    Json {
        entries: &'a JsonMap<String, Json>,
        value: &'a Decl,
    },
    /// What its type does not declare is not seen.
    Object {
        entries: &'a JsonMap<String, Json>,
        decl: &'a ObjectDecl,
    },
    Made(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

/// What can be a key. Equal numbers are equal keys.
#[derive(Debug, Clone)]
pub enum Key<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Text(Text<'a>),
}

/// The type of a value of which nothing is known.
pub(super) fn any() -> &'static Decl {
    static ANY: LazyLock<Decl> = LazyLock::new(|| Type::Dyn.into());
    &ANY
}

impl<'a> Key<'a> {
    /// None for what cannot be a key of any map.
    pub(crate) fn of(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Uint(u) => Self::Uint(*u),
            Value::String(text) => Self::Text(text.clone()),
            Value::Double(d) if d.trunc() == *d && d.abs() < 9e18 => Self::Int(*d as i64),
            _ => return None,
        })
    }

    pub(crate) fn value(&self) -> Value<'a> {
        match self {
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => Value::Int(*i),
            Self::Uint(u) => Value::Uint(*u),
            Self::Text(text) => Value::String(text.clone()),
        }
    }

    fn number(&self) -> Option<i128> {
        match self {
            Self::Int(i) => Some(i128::from(*i)),
            Self::Uint(u) => Some(i128::from(*u)),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Uint(_) => 1,
            Self::Text(_) => 2,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => (**a).cmp(&**b),
            _ => self.number().cmp(&other.number()).then(self.rank().cmp(&other.rank())),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Json { entries, .. } | Self::Object { entries, .. } => entries.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under a key, if there is one.
    pub(crate) fn get(&self, key: &Value<'a>) -> Result<Option<Value<'a>>, EvalError> {
        match self {
            Self::Made(entries) => {
                let Some(key) = Key::of(key) else { return Ok(None) };
                Ok(entries.get(&key).cloned())
            }
            Self::Json { .. } | Self::Object { .. } => match key {
                Value::String(name) => self.field(name),
                _ => Ok(None),
            },
        }
    }

    /// The value of a field, as expressions call it.
    pub(crate) fn field(&self, name: &str) -> Result<Option<Value<'a>>, EvalError> {
        match self {
            Self::Json { entries, value } => entries.get(name).map(|json| read(json, value)).transpose(),
            Self::Object { entries, decl } => {
                let Some(field) = decl.field(name) else { return Ok(None) };
                // A field that is null is a field that is not set.
                let json = entries.get(&*field.json).filter(|json| !json.is_null());
                json.map(|json| read(json, &field.decl)).transpose()
            }
            Self::Made(entries) => Ok(entries.get(&Key::Text(Text::Shared(name.into()))).cloned()),
        }
    }

    /// The value of a field, by its name in JSON.
    pub(super) fn json_field(&self, json: &str) -> Result<Option<Value<'a>>, EvalError> {
        match self {
            Self::Object { .. } => match escape(json) {
                Some(name) => self.field(&name),
                None => Ok(None),
            },
            other => other.field(json),
        }
    }

    /// The keys, as expressions see them.
    pub(crate) fn keys(&self, meter: &Meter) -> Result<Vec<Value<'a>>, EvalError> {
        meter.step(self.len())?;
        Ok(match self {
            Self::Json { entries, .. } => entries.keys().map(|key| key.as_str().into()).collect(),
            Self::Object { entries, decl } => decl
                .fields()
                .iter()
                .filter(|field| entries.get(&*field.json).is_some_and(|json| !json.is_null()))
                .map(|field| Value::String(Text::Borrowed(&field.name)))
                .collect(),
            Self::Made(entries) => entries.keys().map(Key::value).collect(),
        })
    }

    /// The values of a map that was made; nothing of one that was read.
    pub(super) fn made(&self) -> impl Iterator<Item = &Value<'a>> {
        let entries = match self {
            Self::Made(entries) => Some(entries),
            _ => None,
        };
        entries.into_iter().flat_map(|entries| entries.values())
    }

    /// With one entry more; the map itself grows where nobody else holds it.
    pub(crate) fn insert(
        self,
        key: &Value<'a>,
        value: Value<'a>,
        meter: &Meter,
    ) -> Result<Map<'a>, EvalError> {
        let mut entries = match self {
            Self::Made(entries) => entries,
            read => {
                let mut entries = BTreeMap::new();
                for key in read.keys(meter)? {
                    if let (Some(k), Some(v)) = (Key::of(&key), read.get(&key)?) {
                        entries.insert(k, v);
                    }
                }
                Arc::new(entries)
            }
        };
        let Some(name) = Key::of(key) else { return Err(EvalError::message("unsupported key type")) };
        if Arc::get_mut(&mut entries).is_none() {
            meter.step(entries.len())?;
        }
        meter.hold(entries.len())?;
        match Arc::make_mut(&mut entries).entry(name) {
            std::collections::btree_map::Entry::Occupied(_) => {
                Err(EvalError::Message(format!("insert failed: key {} already exists", super::shown(key))))
            }
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(value);
                Ok(Self::Made(entries))
            }
        }
    }

    pub(super) fn equals(&self, other: &Map<'a>, meter: &Meter) -> Result<bool, EvalError> {
        if self.len() != other.len() {
            return Ok(false);
        }
        if let (Self::Object { entries: a, .. }, Self::Object { entries: b, .. }) = (self, other) {
            if std::ptr::eq(*a, *b) {
                return Ok(true);
            }
            // What the type does not declare is compared as it stands.
            let unknown = |name: &String| !self.declares(name);
            meter.step(a.len())?;
            if a.iter().any(|(name, value)| unknown(name) && b.get(name).is_some_and(|other| other != value))
            {
                return Ok(false);
            }
        }
        for key in self.keys(meter)? {
            let (Some(a), Some(b)) = (self.get(&key)?, other.get(&key)?) else { return Ok(false) };
            if !equal(&a, &b, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn declares(&self, json: &str) -> bool {
        match self {
            Self::Object { decl, .. } => escape(json).is_some_and(|name| decl.field(&name).is_some()),
            _ => true,
        }
    }

    /// The value under a key that must be there.
    pub(crate) fn require(&self, key: &Value<'a>) -> Result<Value<'a>, EvalError> {
        self.get(key)?.ok_or_else(|| key_error(key))
    }
}
