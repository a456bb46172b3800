//! Defaults are values that the schema allows: pruned, valid, and good by its rules.

use std::borrow::Cow;

use oarlock_api::structural::{Malformed, Structural};
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::{Value, json};

use crate::embedded;
use crate::rules::{RUNTIME_BUDGET, Rules};
use crate::status::aggregate;
use crate::validate::{self, Patterns};

/// Adds what is wrong with the defaults in a schema.
pub(super) fn validate(schema: &Structural, pruned: bool, path: &Path, errors: &mut FieldErrors) {
    if !schema.has_defaults() {
        return;
    }
    let mut check = Check { pruned, budget: RUNTIME_BUDGET, errors };
    check.schema(schema, Inside { root: schema, steps: Vec::new(), metadata: false }, path);
}

/// The object that a default would be part of.
#[derive(Clone)]
struct Inside<'s> {
    root: &'s Structural,
    /// From the root: a name, or an item of a list.
    steps: Vec<Option<Cow<'s, str>>>,
    metadata: bool,
}

struct Check<'e> {
    pruned: bool,
    budget: u64,
    errors: &'e mut FieldErrors,
}

impl<'s> Inside<'s> {
    fn then(&self, step: Option<&'s str>, metadata: bool) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step.map(Cow::Borrowed));
        Self { root: self.root, steps, metadata }
    }

    /// An object that holds the default in its place, and nothing else.
    fn object(&self, default: &Value) -> Value {
        let mut value = default.clone();
        for step in self.steps.iter().rev() {
            value = match step {
                Some(name) => Value::Object([(name.to_string(), value)].into_iter().collect()),
                None => json!([value]),
            };
        }
        for (name, constant) in [("apiVersion", "validation/v1"), ("kind", "Validation")] {
            if value.is_object() && value.get(name).is_none() {
                value[name] = constant.into();
            }
        }
        value
    }
}

impl Check<'_> {
    fn schema<'s>(&mut self, schema: &'s Structural, inside: Inside<'s>, path: &Path) {
        let is_object = schema.embedded || inside.steps.is_empty();
        let inside = if schema.embedded {
            Inside { root: schema, steps: Vec::new(), metadata: false }
        } else {
            inside
        };
        if let Some(default) = &schema.default {
            self.default(schema, default, &inside, &path.child("default"));
        }
        if let Some(items) = &schema.items {
            self.schema(items, inside.then(None, inside.metadata), &path.child("items"));
        }
        for (name, property) in &schema.properties {
            let metadata =
                inside.metadata || (is_object && matches!(name.as_str(), "metadata" | "apiVersion" | "kind"));
            let path = path.child("properties").key(name);
            self.schema(property, inside.then(Some(name), metadata), &path);
        }
    }

    fn default(&mut self, schema: &Structural, default: &Value, inside: &Inside<'_>, path: &Path) {
        let sound = if inside.metadata {
            self.metadata(default, inside, path)
        } else {
            self.value(schema, default, path)
        };
        if !sound {
            return;
        }
        let wrong = validate::validate(schema, &Patterns::of(schema), default, None, path);
        if !wrong.is_empty() {
            self.errors.extend(wrong);
            return;
        }
        self.rules(schema, default, path);
    }

    fn metadata(&mut self, default: &Value, inside: &Inside<'_>, path: &Path) -> bool {
        let mut root = inside.root.clone();
        root.embedded = true;
        let mut object = inside.object(default);
        let told = match root.coerce_embedded(&mut object, Malformed::Refuse) {
            Err(error) => error.to_string(),
            Ok(_) => {
                let mut wrong = FieldErrors::new();
                embedded::check(&root, &object, true, &Path::root(), &mut wrong);
                if wrong.is_empty() {
                    return true;
                }
                aggregate(&wrong)
            }
        };
        let detail = format!("must result in valid metadata: {told}");
        self.errors.push(FieldError::invalid(path.clone(), default.clone(), detail));
        false
    }

    fn value(&mut self, schema: &Structural, default: &Value, path: &Path) -> bool {
        let mut tidy = default.clone();
        if self.pruned && !schema.prune(&mut tidy, schema.embedded).is_empty() {
            let detail = "must not have unknown fields";
            self.errors.push(FieldError::invalid(path.clone(), default.clone(), detail));
        }
        let before = self.errors.len();
        match schema.coerce_embedded(&mut tidy, Malformed::Refuse) {
            Err(error) => {
                let FieldError { path: at, fault } = *error;
                let path = if at.as_str().is_empty() { path.clone() } else { path.child(at.as_str()) };
                self.errors.push(FieldError { path, fault });
            }
            Ok(_) => embedded::check(schema, &tidy, schema.embedded, path, self.errors),
        }
        self.errors.len() == before
    }

    /// As a value that stays and as one that is new.
    fn rules(&mut self, schema: &Structural, default: &Value, path: &Path) {
        let Some(rules) = Rules::compile(schema) else { return };
        let same = rules.check(path, default, Some(default), None, self.budget);
        let mut left = same.left;
        if same.errors.is_empty() {
            let new = rules.check(path, default, None, None, self.budget);
            left = left.min(new.left);
            self.errors.extend(new.errors);
        }
        self.errors.extend(same.errors);
        self.budget = left;
    }
}
