//! The regular expressions of one schema: found when the schema is compiled, built when first matched, never again.

use std::collections::HashMap;
use std::sync::OnceLock;

use oarlock_api::structural::pattern::{PatternFault, compile};
use oarlock_api::structural::{Additional, Structural};
use regex::Regex;
use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub(crate) struct Patterns(HashMap<String, OnceLock<Result<Regex, PatternFault>>>);

impl Patterns {
    pub(crate) fn of(schema: &Structural) -> Self {
        let mut all = Self::default();
        all.gather(schema);
        all
    }

    fn gather(&mut self, schema: &Structural) {
        self.gather_validation(&schema.validation);
        schema.properties.values().for_each(|property| self.gather(property));
        if let Additional::Schema(schema) = &schema.additional {
            self.gather(schema);
        }
        if let Some(items) = &schema.items {
            self.gather(items);
        }
    }

    fn gather_validation(&mut self, schema: &Map<String, Value>) {
        for (name, value) in schema {
            match (name.as_str(), value) {
                ("pattern", Value::String(pattern)) => {
                    self.0.entry(pattern.clone()).or_default();
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                    all.iter().filter_map(Value::as_object).for_each(|schema| self.gather_validation(schema));
                }
                ("properties", Value::Object(all)) => {
                    all.values()
                        .filter_map(Value::as_object)
                        .for_each(|schema| self.gather_validation(schema));
                }
                ("not" | "items" | "additionalProperties", Value::Object(schema)) => {
                    self.gather_validation(schema);
                }
                _ => {}
            }
        }
    }

    pub(super) fn find(&self, pattern: &str) -> Result<&Regex, &PatternFault> {
        let slot = self.0.get(pattern).expect("every pattern of the schema was gathered");
        slot.get_or_init(|| compile(pattern)).as_ref()
    }
}
