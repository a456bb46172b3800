//! The scale subresource: `autoscaling/v1` Scale out of a custom resource, and its replicas back into one.

use oarlock_api::{FieldError, FieldErrors, Path, Status, go};
use serde_json::{Map, Value, json};

/// Where a custom resource keeps what a Scale shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    pub spec_replicas: String,
    pub status_replicas: String,
    pub label_selector: Option<String>,
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('.').unwrap_or(path).split('.')
}

/// What an accessor of the wrong type is told, as Go's `unstructured` tells it.
fn mistyped(path: &str, value: &Value, expected: &str) -> String {
    let printed = value.as_str().map_or_else(|| value.to_string(), str::to_string);
    format!("{path} accessor error: {printed} is of the type {}, expected {expected}", go::type_of(value))
}

/// The value at a path of fields; an error where something else stands on the way.
fn nested<'v>(object: &'v Value, path: &str) -> Result<Option<&'v Value>, String> {
    let mut at = object;
    let mut gone = String::new();
    for step in steps(path) {
        gone.push('.');
        gone.push_str(step);
        let Value::Object(fields) = at else {
            return Err(mistyped(&gone, at, "map[string]interface{}"));
        };
        let Some(below) = fields.get(step) else { return Ok(None) };
        at = below;
    }
    Ok(Some(at))
}

fn nested_int(object: &Value, path: &str) -> Result<Option<i64>, String> {
    let Some(value) = nested(object, path)? else { return Ok(None) };
    value.as_i64().map(Some).ok_or_else(|| mistyped(path, value, "int64"))
}

fn nested_text<'v>(object: &'v Value, path: &str) -> Result<Option<&'v str>, String> {
    let Some(value) = nested(object, path)? else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| mistyped(path, value, "string"))
}

impl Scale {
    /// From `subresources` of a version.
    pub(crate) fn read(subresources: &Value) -> Option<Self> {
        let scale = subresources.get("scale").filter(|scale| scale.is_object())?;
        let text = |name: &str| scale[name].as_str().map(str::to_string);
        Some(Self {
            spec_replicas: text("specReplicasPath").unwrap_or_default(),
            status_replicas: text("statusReplicasPath").unwrap_or_default(),
            label_selector: text("labelSelectorPath").filter(|path| !path.is_empty()),
        })
    }

    /// The Scale of an object, as GET `/scale` answers: 500 where the object does not say its replicas.
    pub fn get(&self, object: &Value) -> Result<Value, Status> {
        let (scale, found) = self.of(object).map_err(|why| Status::new(500, "", why))?;
        if !found {
            let why = format!("the spec replicas field {:?} does not exist", self.spec_replicas);
            return Err(Status::internal(why));
        }
        Ok(scale)
    }

    /// The Scale, and whether the object says its replicas.
    pub fn of(&self, object: &Value) -> Result<(Value, bool), String> {
        let wanted = nested_int(object, &self.spec_replicas)?;
        let running = nested_int(object, &self.status_replicas)?.unwrap_or_default();
        let selector = match &self.label_selector {
            Some(path) => nested_text(object, path)?.unwrap_or_default(),
            None => "",
        };
        let mut metadata = Map::new();
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object["metadata"].get(field) {
                metadata.insert(field.into(), value.clone());
            }
        }
        let mut spec = json!({});
        if let Some(replicas) = wanted.filter(|n| *n != 0) {
            spec["replicas"] = replicas.into();
        }
        let mut status = json!({ "replicas": running });
        if !selector.is_empty() {
            status["selector"] = selector.into();
        }
        let scale = json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec, "status": status,
        });
        Ok((scale, wanted.is_some()))
    }

    /// Puts the replicas of a Scale into an object. The Scale's resourceVersion, where it has one, becomes the object's.
    pub fn apply(&self, scale: &Value, object: &mut Value) -> Result<(), Status> {
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        let mut at = &mut *object;
        let mut steps = steps(&self.spec_replicas).peekable();
        while let Some(step) = steps.next() {
            let Value::Object(fields) = at else {
                return Err(Status::bad_request(format!("{} is not inside of objects", self.spec_replicas)));
            };
            if steps.peek().is_none() {
                fields.insert(step.into(), replicas.into());
                break;
            }
            at = fields.entry(step).or_insert_with(|| json!({}));
        }
        if let Some(version) = scale["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty()) {
            object["metadata"]["resourceVersion"] = version.into();
        }
        Ok(())
    }

    /// What is wrong with a Scale that a client sends. (`autoscaling` validation)
    pub fn validate(scale: &Value) -> FieldErrors {
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas >= 0 {
            return FieldErrors::new();
        }
        let path = Path::new("spec").child("replicas");
        vec![FieldError::invalid(path, replicas, "must be greater than or equal to 0")]
    }

    pub(crate) fn check_spec(&self, object: &Value, errors: &mut FieldErrors) {
        check_replicas(object, &self.spec_replicas, errors);
    }

    pub(crate) fn check_status(&self, object: &Value, errors: &mut FieldErrors) {
        check_replicas(object, &self.status_replicas, errors);
        if let Some(path) = &self.label_selector
            && let Err(fault) = nested_text(object, path)
        {
            errors.push(FieldError::invalid(Path::new(path), "", fault));
        }
    }
}

fn check_replicas(object: &Value, path: &str, errors: &mut FieldErrors) {
    let at = Path::new(path);
    match nested_int(object, path) {
        Err(fault) => errors.push(FieldError::invalid(at, 0, fault)),
        Ok(Some(n)) if n < 0 => {
            errors.push(FieldError::invalid(at, n, "should be a non-negative integer"));
        }
        Ok(Some(n)) if n > i64::from(i32::MAX) => {
            let detail = format!("should be less than or equal to {}", i32::MAX);
            errors.push(FieldError::invalid(at, n, detail));
        }
        Ok(_) => {}
    }
}
