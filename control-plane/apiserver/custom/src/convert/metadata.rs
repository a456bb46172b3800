//! Of its metadata, a webhook may change labels and annotations only.

use oarlock_api::go;
use oarlock_api::selector::{label_value_faults, qualified_name_faults};
use serde_json::{Map, Value};

/// Gives the converted object the metadata it had, with the labels and annotations of the answer.
pub(super) fn restore(old: &Value, new: &mut Value) -> Result<(), String> {
    let Some(answered) = new.get_mut("metadata").map(Value::take) else {
        return Err("missing metadata in converted object".into());
    };
    let Value::Object(mut answered) = answered else {
        return Err(format!("invalid metadata of type {} in converted object", go::type_of(&answered)));
    };
    let mut metadata = match old.get("metadata") {
        Some(Value::Object(fields)) => fields.clone(),
        None => Map::new(),
        Some(other) => {
            return Err(format!("invalid metadata of type {} in input object", go::type_of(other)));
        }
    };
    for field in ["labels", "annotations"] {
        match answered.remove(field) {
            None | Some(Value::Null) => {
                metadata.remove(field);
            }
            Some(Value::Object(map)) => {
                check(field, &map, metadata.get(field))?;
                metadata.insert(field.into(), Value::Object(map));
            }
            Some(other) => {
                return Err(format!(
                    "invalid metadata.{field} of type {} in converted object",
                    go::type_of(&other)
                ));
            }
        }
    }
    new["metadata"] = Value::Object(metadata);
    Ok(())
}

/// What changed must be valid.
fn check(field: &str, map: &Map<String, Value>, before: Option<&Value>) -> Result<(), String> {
    for (key, value) in map {
        if !value.is_string() {
            let found = go::type_of(value);
            return Err(format!(
                "metadata.{field}[{key}] must be a string, but is {found} in converted object"
            ));
        }
    }
    if before.and_then(Value::as_object) == Some(map) {
        return Ok(());
    }
    let mut faults = Vec::new();
    for (key, value) in map {
        let (path, name) = match field {
            "labels" => ("metadata.labels", key.clone()),
            _ => ("metadata.annotation", key.to_lowercase()),
        };
        let told = |value: &str, fault: String| format!("{path}: Invalid value: {value:?}: {fault}");
        faults.extend(qualified_name_faults(&name).into_iter().map(|fault| told(key, fault)));
        if field == "labels" {
            let value = value.as_str().unwrap_or_default();
            faults.extend(label_value_faults(value).into_iter().map(|fault| told(value, fault)));
        }
    }
    match faults.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}
