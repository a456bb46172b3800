//! Validation of a schema in a definition: what it may say, and where.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::expressions::{Budget, Scope};
use super::layout::{DEPTH_MAX, Place};
use super::spec::Options;
use super::{defaults, rules, standard, topology};
use crate::value::{flag, items, text};

/// The fields of the schema's root that a definition with a status subresource may use: its status is checked alone.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Where in a schema we are, as far as it decides what is allowed.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    /// Why there may be no defaults.
    pub(super) no_defaults: Option<String>,
    /// Inside `metadata`, `kind` or `apiVersion` of an object.
    pub(super) inside_metadata: bool,
    /// The first part of the schema on the way here whose old and new values cannot be told to be the same.
    pub(super) uncorrelated: Option<Path>,
}

impl Context {
    fn uncorrelated(&self, path: &Path) -> Self {
        let uncorrelated = self.uncorrelated.clone().or_else(|| Some(path.clone()));
        Self { uncorrelated, ..self.clone() }
    }
}

/// Faults of the schema, and of the expressions in it: expressions are not looked at where the schema is wrong.
#[derive(Default)]
pub(super) struct Found {
    pub(super) schema: FieldErrors,
    pub(super) rules: FieldErrors,
}

/// Checks the schema of one version, or the one that all versions have.
pub(super) fn validate(place: &Place<'_>, spec: &Value, options: &Options, errors: &mut FieldErrors) {
    let schema = &place.value["openAPIV3Schema"];
    if !schema.is_object() {
        return;
    }
    let path = place.path.child("openAPIV3Schema");
    let has_status = |version: &Value| version["subresources"]["status"].is_object();
    let status = if place.shared {
        items(&spec["versions"]).iter().any(has_status)
    } else {
        has_status(place.version)
    };
    if status {
        root(schema, &path, errors);
    }
    if flag(&schema["nullable"]) {
        errors.push(FieldError::forbidden(path.child("nullable"), "nullable cannot be true at the root"));
    }
    let structural = Structural::read(schema);
    let mut sound = true;
    if options.structural {
        let before = errors.len();
        errors.extend(Structural::parse_at(schema, &path).err().into_iter().flatten());
        if errors.len() == before {
            defaults::validate(&structural, options.pruned_defaults, &path, errors);
        }
        sound = errors.len() == before;
    }
    let unchanged = options.unchanged.iter().any(|name| name == text(&place.version["name"]));
    let mut walk = Walk { options, unchanged, budget: Budget::default() };
    let scope = (options.structural && sound).then(|| Scope::root(&structural));
    let found =
        walk.schema(schema, &path, &Context::default(), Level { root: true, depth: 0 }, scope.as_ref());
    errors.extend(found.schema);
    errors.extend(found.rules);
    walk.budget.tell(&path, errors);
}

fn root(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let given = |value: &Value| {
        !(value.is_null() || value == false || value == "" || value == &serde_json::json!([]))
    };
    for (name, value) in schema.as_object().into_iter().flatten().filter(|(_, value)| given(value)) {
        if name == "type" && value != "object" {
            let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is \
                          enabled";
            errors.push(FieldError::invalid(path.child("type"), text(value), detail));
            return;
        }
        if !AT_ROOT.iter().any(|(field, _)| field == name) {
            let allowed: Vec<&str> = AT_ROOT.iter().map(|(_, upstream)| *upstream).collect();
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                allowed.join(" ")
            );
            errors.push(FieldError::invalid(path.clone(), schema.clone(), detail));
            return;
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Level {
    root: bool,
    depth: usize,
}

impl Level {
    fn below(self) -> Self {
        Self { root: false, depth: self.depth + 1 }
    }
}

struct Walk<'o> {
    options: &'o Options,
    unchanged: bool,
    budget: Budget,
}

impl Walk<'_> {
    fn schema(
        &mut self,
        schema: &Value,
        path: &Path,
        context: &Context,
        level: Level,
        scope: Option<&Scope<'_>>,
    ) -> Found {
        let mut found = Found::default();
        if !schema.is_object() || level.depth > DEPTH_MAX {
            return found;
        }
        standard::validate(schema, path, context, self.options.known_types, &mut found.schema);
        if flag(&schema["uniqueItems"]) {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            found.schema.push(FieldError::forbidden(path.child("uniqueItems"), detail));
        }
        self.fields(schema, path, context, level, scope, &mut found);
        self.junctors(schema, path, context, level, &mut found);
        if schema["items"].is_object() {
            let correlated = text(&schema["x-kubernetes-list-type"]) == "map";
            let context = if correlated { context.clone() } else { context.uncorrelated(path) };
            let scope = scope.and_then(Scope::items);
            self.below(&schema["items"], &path.child("items"), &context, level, scope.as_ref(), &mut found);
        }
        topology::validate(schema, path, self.options, &mut found.schema);
        rules::validate(schema, path, &mut found.schema);
        if found.schema.is_empty()
            && let Some(scope) = scope
        {
            scope.check(path, context, self.unchanged, &mut self.budget, &mut found.rules);
        }
        found
    }

    fn below(
        &mut self,
        schema: &Value,
        path: &Path,
        context: &Context,
        level: Level,
        scope: Option<&Scope<'_>>,
        found: &mut Found,
    ) {
        let below = self.schema(schema, path, context, level.below(), scope);
        found.schema.extend(below.schema);
        found.rules.extend(below.rules);
    }

    fn fields(
        &mut self,
        schema: &Value,
        path: &Path,
        context: &Context,
        level: Level,
        scope: Option<&Scope<'_>>,
        found: &mut Found,
    ) {
        let properties = schema["properties"].as_object();
        let additional = &schema["additionalProperties"];
        if additional.is_object() || additional.is_boolean() {
            if properties.is_some_and(|all| !all.is_empty()) && *additional != true {
                let detail = "additionalProperties and properties are mutual exclusive";
                found.schema.push(FieldError::forbidden(path.child("additionalProperties"), detail));
            }
            let mut context = context.clone();
            if context.inside_metadata {
                context.no_defaults =
                    Some("inside additionalProperties applying to object metadata".to_string());
            }
            let scope = scope.and_then(Scope::values);
            self.below(
                additional,
                &path.child("additionalProperties"),
                &context,
                level,
                scope.as_ref(),
                found,
            );
        }
        let is_object = level.root || flag(&schema["x-kubernetes-embedded-resource"]);
        for (name, property) in properties.into_iter().flatten() {
            let mut context = context.clone();
            if is_object && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
                context.inside_metadata = true;
                if level.root {
                    context.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            let scope = scope.and_then(|scope| scope.property(name));
            self.below(property, &path.child("properties").key(name), &context, level, scope.as_ref(), found);
        }
    }

    /// Expressions are not allowed in these; the check of structure has told.
    fn junctors(&mut self, schema: &Value, path: &Path, context: &Context, level: Level, found: &mut Found) {
        self.below(&schema["not"], &path.child("not"), context, level, None, found);
        for name in ["allOf", "oneOf", "anyOf"] {
            for (index, nested) in items(&schema[name]).iter().enumerate() {
                self.below(nested, &path.child(name).index(index), context, level, None, found);
            }
        }
    }
}

pub(super) fn has_extensions(schema: &Value) -> bool {
    flag(&schema["x-kubernetes-embedded-resource"])
        || schema.get("x-kubernetes-preserve-unknown-fields").is_some_and(|value| !value.is_null())
        || flag(&schema["x-kubernetes-int-or-string"])
        || !items(&schema["x-kubernetes-list-map-keys"]).is_empty()
        || !text(&schema["x-kubernetes-list-type"]).is_empty()
        || !items(&schema["x-kubernetes-validations"]).is_empty()
}
