//! Drops what a schema does not know.

use serde_json::Value;

use super::{Additional, Structural};

/// What every object has, whatever its schema says.
pub(super) const OBJECT_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

struct Pruner {
    path: String,
    dropped: Vec<String>,
}

impl Structural {
    /// Drops unknown fields and gives their paths (`spec.x`), sorted. The object's own `apiVersion`, `kind` and
    /// `metadata` stay if it is one (`root`).
    pub fn prune(&self, object: &mut Value, root: bool) -> Vec<String> {
        let mut pruner = Pruner { path: String::new(), dropped: Vec::new() };
        pruner.visit(object, Some(self), root || self.embedded, false);
        pruner.dropped.sort();
        pruner.dropped
    }

    /// Drops from every default what the schema beside it does not know: defaults written before that was checked.
    pub fn prune_defaults(&mut self) {
        if let Some(mut default) = self.default.take() {
            self.prune(&mut default, self.embedded);
            self.default = Some(default);
        }
        self.properties.values_mut().for_each(Self::prune_defaults);
        if let Additional::Schema(schema) = &mut self.additional {
            schema.prune_defaults();
        }
        if let Some(items) = &mut self.items {
            items.prune_defaults();
        }
    }

    /// The schema of a field, by name: a property's, else that of all others.
    pub fn field(&self, name: &str) -> Option<&Structural> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(schema) => Some(schema),
            _ => None,
        })
    }

    pub fn additional_schema(&self) -> Option<&Structural> {
        match &self.additional {
            Additional::Schema(schema) => Some(schema),
            _ => None,
        }
    }
}

impl Pruner {
    /// `object`: the value is an API object. `kept`: it stands in a list that keeps what is unknown.
    fn visit(&mut self, value: &mut Value, schema: Option<&Structural>, object: bool, kept: bool) {
        let kept = kept || schema.is_some_and(|schema| schema.preserve_unknown);
        match value {
            Value::Object(fields) => {
                let length = self.path.len();
                fields.retain(|name, value| {
                    if object && OBJECT_FIELDS.contains(&name.as_str()) {
                        return true;
                    }
                    if !self.path.is_empty() {
                        self.path.push('.');
                    }
                    self.path.push_str(name);
                    let known = self.field(name, value, schema, kept);
                    let is_own = length == 0 && OBJECT_FIELDS.contains(&name.as_str());
                    if !known && !is_own {
                        self.dropped.push(self.path.clone());
                    }
                    self.path.truncate(length);
                    known
                });
            }
            Value::Array(items) => {
                let schema_of_items = schema.and_then(|schema| schema.items.as_deref());
                if kept && schema_of_items.is_none() {
                    return;
                }
                let length = self.path.len();
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    self.visit(item, schema_of_items, schema_of_items.is_some_and(|s| s.embedded), kept);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Whether a field stays; what is below it is pruned.
    fn field(&mut self, name: &str, value: &mut Value, schema: Option<&Structural>, kept: bool) -> bool {
        let Some(schema) = schema else { return false };
        let below = schema.properties.get(name);
        let below = match (below, &schema.additional) {
            (Some(property), _) => Some(property),
            (None, Additional::Schema(schema)) => Some(&**schema),
            (None, Additional::Any) => None,
            (None, Additional::None) => return kept,
        };
        self.visit(value, below, below.is_some_and(|schema| schema.embedded), false);
        true
    }
}
