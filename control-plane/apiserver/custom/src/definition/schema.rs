//! Validation of a schema in a definition: what it may say, and where.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::expressions::{Budget, Scope};
use super::layout::{DEPTH_MAX, Place};
use super::spec::Options;
use super::{defaults, rules, standard};
use crate::value::{flag, items, strings, text};

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
        self.extensions(schema, path, &mut found.schema);
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

    fn extensions(&self, schema: &Value, path: &Path, errors: &mut FieldErrors) {
        if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let at = path.child("x-kubernetes-preserve-unknown-fields");
            errors.push(FieldError::invalid(at, false, "must be true or undefined"));
        }
        map_type(schema, path, errors);
        self.list_type(schema, path, errors);
        if text(&schema["x-kubernetes-list-type"]) == "map" {
            map_list(schema, path, errors);
        }
        if self.options.map_keys {
            map_keys(schema, path, errors);
        }
    }

    fn list_type(&self, schema: &Value, path: &Path, errors: &mut FieldErrors) {
        let (kind, at) = (text(&schema["x-kubernetes-list-type"]), path.child("x-kubernetes-list-type"));
        if !kind.is_empty() && text(&schema["type"]) != "array" {
            wants_type(schema, "array", "must be array if x-kubernetes-list-type is specified", path, errors);
        } else if self.options.atomic_sets && has_loose_set(schema) {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let of_items = &schema["items"];
            let field = if text(&of_items["type"]) == "array" {
                "x-kubernetes-list-type"
            } else {
                "x-kubernetes-map-type"
            };
            let value = of_items["x-kubernetes-list-type"].clone();
            errors.push(FieldError::invalid(path.child("items").child(field), value, detail));
        }
        if !kind.is_empty() && !["atomic", "set", "map"].contains(&kind) {
            errors.push(FieldError::not_supported(at.clone(), kind, &["atomic", "set", "map"]));
        }
        if !items(&schema["x-kubernetes-list-map-keys"]).is_empty() {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            if kind.is_empty() {
                errors.push(FieldError::required(at, detail));
            } else if kind != "map" {
                errors.push(FieldError::invalid(at, kind, detail));
            }
        }
    }
}

fn wants_type(schema: &Value, wanted: &str, detail: &str, path: &Path, errors: &mut FieldErrors) {
    let (kind, at) = (text(&schema["type"]), path.child("type"));
    if kind.is_empty() {
        errors.push(FieldError::required(at, detail));
    } else if kind != wanted {
        errors.push(FieldError::invalid(at, kind, detail));
    }
}

fn map_type(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let kind = text(&schema["x-kubernetes-map-type"]);
    if kind.is_empty() {
        return;
    }
    wants_type(schema, "object", "must be object if x-kubernetes-map-type is specified", path, errors);
    if !["atomic", "granular"].contains(&kind) {
        let at = path.child("x-kubernetes-map-type");
        errors.push(FieldError::not_supported(at, kind, &["atomic", "granular"]));
    }
}

/// A list of type map has keys, and items that have them.
fn map_list(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let keys_at = path.child("x-kubernetes-list-map-keys");
    let keys = strings(&schema["x-kubernetes-list-map-keys"]);
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(keys_at.clone(), detail));
    }
    let of_items = &schema["items"];
    if !of_items.is_object() {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(path.child("items"), detail));
        return;
    }
    if text(&of_items["type"]) != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(path.child("items").child("type"), text(&of_items["type"]), detail));
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        let listed = schema["x-kubernetes-list-map-keys"].clone();
        match of_items["properties"].get(key) {
            Some(property) if matches!(text(&property["type"]), "array" | "object") => {
                let at = path.child("items").child("properties").key(key).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(at, text(&of_items["type"]), detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(keys_at.clone(), listed.clone(), detail));
            }
        }
        if keys[..index].contains(key) {
            errors.push(FieldError::invalid(keys_at.clone(), listed, "must not contain duplicate entries"));
        }
    }
}

/// Items of sets and maps are not null, and keys are always there.
fn map_keys(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let (kind, of_items) = (text(&schema["x-kubernetes-list-type"]), &schema["items"]);
    if !of_items.is_object() || !matches!(kind, "set" | "map") {
        return;
    }
    let at = path.child("items");
    if flag(&of_items["nullable"]) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.push(FieldError::forbidden(at.child("nullable"), detail));
    }
    if kind != "map" {
        return;
    }
    let required = strings(&of_items["required"]);
    for key in strings(&schema["x-kubernetes-list-map-keys"]) {
        let Some(property) = of_items["properties"].get(&key) else { continue };
        let at = at.child("properties").key(&key);
        if !required.contains(&key) && property.get("default").is_none_or(Value::is_null) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(at.child("default"), detail));
        }
        if flag(&property["nullable"]) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(at.child("nullable"), detail));
        }
    }
}

/// A set whose items are not compared as wholes.
pub(super) fn has_loose_set(schema: &Value) -> bool {
    let of_items = &schema["items"];
    if text(&schema["x-kubernetes-list-type"]) != "set" {
        return false;
    }
    match text(&of_items["type"]) {
        "array" => !matches!(text(&of_items["x-kubernetes-list-type"]), "" | "atomic"),
        "object" => text(&of_items["x-kubernetes-map-type"]) != "atomic",
        _ => false,
    }
}

pub(super) fn has_loose_keys(schema: &Value) -> bool {
    let mut errors = FieldErrors::new();
    map_keys(schema, &Path::root(), &mut errors);
    !errors.is_empty()
}

pub(super) fn has_extensions(schema: &Value) -> bool {
    flag(&schema["x-kubernetes-embedded-resource"])
        || schema.get("x-kubernetes-preserve-unknown-fields").is_some_and(|value| !value.is_null())
        || flag(&schema["x-kubernetes-int-or-string"])
        || !items(&schema["x-kubernetes-list-map-keys"]).is_empty()
        || !text(&schema["x-kubernetes-list-type"]).is_empty()
        || !items(&schema["x-kubernetes-validations"]).is_empty()
}
