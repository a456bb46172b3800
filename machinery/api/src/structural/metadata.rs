//! The metadata of custom resources and of objects embedded in them, brought into the form that all metadata has.

use serde_json::{Map, Value};

use super::Structural;
use crate::codec::{DecodeError, json};
use crate::field::{FieldError, Path};
use crate::table::{Table, TypeId};

/// What to do with metadata that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Tell: the request is at fault.
    Refuse,
    /// Leave out the fields: the store may hold what an older schema allowed.
    Drop,
}

fn object_meta() -> TypeId {
    let found = Table::builtin().type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    found.expect("the table has the metadata that every object has")
}

/// Reads the metadata of `object` as an `ObjectMeta`; unknown fields are dropped, and their paths given under `path`.
pub fn coerce_metadata(
    object: &mut Map<String, Value>,
    path: &str,
    malformed: Malformed,
) -> Result<Vec<String>, DecodeError> {
    let Some(metadata) = object.get_mut("metadata") else { return Ok(Vec::new()) };
    let (table, ty) = (Table::builtin(), object_meta());
    let decoded = match json::decode_value(table, ty, metadata) {
        Ok(decoded) => decoded,
        Err(error) if malformed == Malformed::Refuse => return Err(error),
        Err(error) => {
            let Value::Object(fields) = metadata else { return Err(error) };
            fields.retain(|name, value| {
                let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
                json::decode_value(table, ty, &alone).is_ok()
            });
            json::decode_value(table, ty, metadata)?
        }
    };
    *metadata = decoded.value;
    let prefix = if path.is_empty() { "metadata".to_string() } else { format!("{path}.metadata") };
    let unknown = decoded.strict.iter().filter_map(|told| told.strip_prefix("unknown field \""));
    Ok(unknown.map(|field| format!("{prefix}.{}", field.trim_end_matches('"'))).collect())
}

impl Structural {
    /// Checks the types of `apiVersion`, `kind` and `metadata` of embedded objects and prunes their metadata. Gives the
    /// paths of what was dropped, sorted.
    pub fn coerce_embedded(
        &self,
        value: &mut Value,
        malformed: Malformed,
    ) -> Result<Vec<String>, Box<FieldError>> {
        let mut dropped = Vec::new();
        if self.has_embedded() {
            self.coerce(value, &Path::root(), malformed, &mut dropped)?;
            dropped.sort();
        }
        Ok(dropped)
    }

    /// Whether there is an embedded object anywhere.
    pub fn has_embedded(&self) -> bool {
        self.embedded
            || self.properties.values().any(Self::has_embedded)
            || self.additional_schema().is_some_and(Self::has_embedded)
            || self.items.as_ref().is_some_and(|items| items.has_embedded())
    }

    fn coerce(
        &self,
        value: &mut Value,
        path: &Path,
        malformed: Malformed,
        dropped: &mut Vec<String>,
    ) -> Result<(), Box<FieldError>> {
        match value {
            Value::Object(fields) => {
                if self.embedded {
                    coerce_object(fields, path, malformed, dropped)?;
                }
                for (name, value) in fields {
                    if let Some(property) = self.properties.get(name) {
                        property.coerce(value, &path.child(name), malformed, dropped)?;
                    } else if let Some(schema) = self.additional_schema() {
                        schema.coerce(value, &path.key(name), malformed, dropped)?;
                    }
                }
                Ok(())
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return Ok(()) };
                let mut items = items.iter_mut().enumerate();
                items
                    .try_for_each(|(index, item)| schema.coerce(item, &path.index(index), malformed, dropped))
            }
            _ => Ok(()),
        }
    }
}

fn coerce_object(
    fields: &mut Map<String, Value>,
    path: &Path,
    malformed: Malformed,
    dropped: &mut Vec<String>,
) -> Result<(), Box<FieldError>> {
    for name in ["apiVersion", "kind"] {
        match fields.get(name) {
            None | Some(Value::String(_)) => {}
            Some(_) if malformed == Malformed::Drop => {
                fields.remove(name);
            }
            Some(value) => {
                return Err(FieldError::invalid(path.child(name), value.clone(), "must be a string").into());
            }
        }
    }
    match coerce_metadata(fields, path.as_str(), malformed) {
        Ok(unknown) => dropped.extend(unknown),
        Err(_) if malformed == Malformed::Drop => {}
        Err(error) => {
            let value = fields.get("metadata").cloned().unwrap_or_default();
            return Err(FieldError::invalid(path.child("metadata"), value, error.to_string()).into());
        }
    }
    Ok(())
}
