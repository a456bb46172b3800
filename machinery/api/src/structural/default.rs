//! Fills in what a schema says of absent values, and drops nulls that it does not allow.

use serde_json::Value;

use super::Structural;

impl Structural {
    /// Fills in defaults, also where a null stands that may not.
    pub fn fill_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, property) in &self.properties {
                    if let Some(default) = &property.default
                        && fields.get(name).is_none_or(|found| found.is_null() && !property.nullable)
                    {
                        fields.insert(name.clone(), default.clone());
                    }
                }
                for (name, value) in fields.iter_mut() {
                    if let Some(property) = self.properties.get(name) {
                        property.fill_defaults(value);
                    } else if let Some(schema) = self.additional_schema() {
                        schema.default_element(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.default_element(item));
                }
            }
            _ => {}
        }
    }

    /// An item of a list or a value of a map: there is nothing absent, but a null may stand for it.
    fn default_element(&self, value: &mut Value) {
        if value.is_null()
            && !self.nullable
            && let Some(default) = &self.default
        {
            *value = default.clone();
        }
        self.fill_defaults(value);
    }

    /// Drops the nulls of fields that may not be null and have no default.
    pub fn prune_nulls(&self, value: &mut Value) {
        prune_nulls(value, Some(self));
    }

    /// Whether there is a default anywhere.
    pub fn has_defaults(&self) -> bool {
        self.default.is_some()
            || self.properties.values().any(Self::has_defaults)
            || self.additional_schema().is_some_and(Self::has_defaults)
            || self.items.as_ref().is_some_and(|items| items.has_defaults())
    }
}

fn prune_nulls(value: &mut Value, schema: Option<&Structural>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let below = schema.and_then(|schema| schema.field(name));
            if value.is_null() && below.is_some_and(|schema| !schema.nullable && schema.default.is_none()) {
                return false;
            }
            prune_nulls(value, below);
            true
        }),
        Value::Array(items) => {
            let below = schema.and_then(|schema| schema.items.as_deref());
            items.iter_mut().for_each(|item| prune_nulls(item, below));
        }
        _ => {}
    }
}
