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
    let found = walk.schema(&Here {
        schema,
        path: path.clone(),
        context: Context::default(),
        level: Level { root: true, depth: 0 },
        scope: (options.structural && sound).then(|| Scope::root(&structural)),
    });
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

/// A schema on the way, and what its place says of it.
struct Here<'a> {
    schema: &'a Value,
    path: Path,
    context: Context,
    level: Level,
    /// None where expressions are not looked at.
    scope: Option<Scope<'a>>,
}

impl<'a> Here<'a> {
    /// A schema inside this one, of which expressions see nothing and the context is the same.
    fn inside(&self, schema: &'a Value, path: Path) -> Self {
        Self { schema, path, context: self.context.clone(), level: self.level.below(), scope: None }
    }
}

struct Walk<'o> {
    options: &'o Options,
    unchanged: bool,
    budget: Budget,
}

impl Walk<'_> {
    fn schema(&mut self, here: &Here<'_>) -> Found {
        let mut found = Found::default();
        let Here { schema, path, context, level, scope } = here;
        if !schema.is_object() || level.depth > DEPTH_MAX {
            return found;
        }
        standard::validate(schema, path, context, self.options.known_types, &mut found.schema);
        if flag(&schema["uniqueItems"]) {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            found.schema.push(FieldError::forbidden(path.child("uniqueItems"), detail));
        }
        for below in values(here, &mut found.schema)
            .into_iter()
            .chain(properties(here))
            .chain(junctors(here))
            .chain(list_items(here))
        {
            let below = self.schema(&below);
            found.schema.extend(below.schema);
            found.rules.extend(below.rules);
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
}

/// What maps hold.
fn values<'a>(here: &Here<'a>, errors: &mut FieldErrors) -> Option<Here<'a>> {
    let (schema, path) = (here.schema, here.path.child("additionalProperties"));
    let additional = &schema["additionalProperties"];
    let has_properties = schema["properties"].as_object().is_some_and(|all| !all.is_empty());
    if has_properties && (additional.is_object() || *additional == false) {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
    let mut below = here.inside(Some(additional).filter(|it| it.is_object())?, path);
    if below.context.inside_metadata {
        let reason = "inside additionalProperties applying to object metadata";
        below.context.no_defaults = Some(reason.to_string());
    }
    below.scope = here.scope.as_ref().and_then(Scope::values);
    Some(below)
}

fn properties<'a>(here: &Here<'a>) -> impl Iterator<Item = Here<'a>> {
    let is_object = here.level.root || flag(&here.schema["x-kubernetes-embedded-resource"]);
    let all = here.schema["properties"].as_object().into_iter().flatten();
    all.map(move |(name, property)| {
        let mut below = here.inside(property, here.path.child("properties").key(name));
        if is_object && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            below.context.inside_metadata = true;
            if here.level.root {
                below.context.no_defaults = Some(format!("in top-level {name}"));
            }
        }
        below.scope = here.scope.as_ref().and_then(|scope| scope.property(name));
        below
    })
}

/// Expressions are not allowed in these; the check of structure has told.
fn junctors<'a>(here: &Here<'a>) -> impl Iterator<Item = Here<'a>> {
    let not = here.inside(&here.schema["not"], here.path.child("not"));
    let several = ["allOf", "oneOf", "anyOf"].into_iter().flat_map(move |name| {
        let path = here.path.child(name);
        let all = items(&here.schema[name]).iter().enumerate();
        all.map(move |(index, nested)| here.inside(nested, path.index(index)))
    });
    std::iter::once(not).chain(several)
}

fn list_items<'a>(here: &Here<'a>) -> Option<Here<'a>> {
    let of_items = Some(&here.schema["items"]).filter(|items| items.is_object())?;
    let mut below = here.inside(of_items, here.path.child("items"));
    if text(&here.schema["x-kubernetes-list-type"]) != "map" {
        below.context = here.context.uncorrelated(&here.path);
    }
    below.scope = here.scope.as_ref().and_then(Scope::items);
    Some(below)
}

pub(super) fn has_extensions(schema: &Value) -> bool {
    flag(&schema["x-kubernetes-embedded-resource"])
        || schema.get("x-kubernetes-preserve-unknown-fields").is_some_and(|value| !value.is_null())
        || flag(&schema["x-kubernetes-int-or-string"])
        || !items(&schema["x-kubernetes-list-map-keys"]).is_empty()
        || !text(&schema["x-kubernetes-list-type"]).is_empty()
        || !items(&schema["x-kubernetes-validations"]).is_empty()
}
