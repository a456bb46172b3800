//! A CustomResourceDefinition as the server uses it: what discovery tells, and for each version its schema and strategy.

use std::sync::{Arc, OnceLock};

use oarlock_api::codec::DecodeError;
use oarlock_api::structural::{Malformed, Structural, coerce_metadata};
use oarlock_api::{GroupVersionKind, Status};
use oarlock_apiserver_kinds::Strategy;
use serde_json::Value;

use crate::columns::{self, Column};
use crate::convert::Conversion;
use crate::jsonpath::JsonPath;
use crate::rules::Rules;
use crate::scale::Scale;
use crate::source::Packed;
use crate::strategy::CustomStrategy;
use crate::validate::{Patterns, has_lists};
use crate::value::{condition_is_true, flag, items, strings, text};

/// Why a definition cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("the definition has no {0}")]
    Missing(&'static str),
    #[error("no version of the definition is marked as storage version")]
    NoStorageVersion,
}

/// A resource that a CustomResourceDefinition adds.
#[derive(Debug)]
pub struct CustomResource {
    /// Of the definition.
    pub name: String,
    pub uid: String,
    pub group: String,
    /// The names that were accepted.
    pub names: Names,
    pub namespaced: bool,
    /// In the order of the definition, those that are not served too.
    pub versions: Vec<Arc<CustomVersion>>,
    /// Which of the versions objects are stored in.
    pub storage: usize,
    pub conversion: Conversion,
    /// Requests are answered.
    pub established: bool,
    /// The definition is being deleted: nothing may be created.
    pub terminating: bool,
}

/// The names under which discovery tells a resource: those that were accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub kind: String,
    pub list_kind: String,
    pub categories: Vec<String>,
}

/// One version of a custom resource.
#[derive(Debug)]
pub struct CustomVersion {
    pub gvk: GroupVersionKind,
    /// `example.com/v1`
    pub api_version: String,
    pub list_kind: String,
    pub plural: String,
    pub namespaced: bool,
    pub served: bool,
    pub storage: bool,
    /// The text of a `Warning:` header on every request, where the version is deprecated.
    pub deprecation: Option<String>,
    /// It has a status subresource.
    pub status: bool,
    pub scale: Option<Scale>,
    /// After the name.
    pub columns: Vec<Column>,
    pub selectable: Vec<Selectable>,
    /// `spec.preserveUnknownFields`: nothing is pruned.
    pub preserve_unknown: bool,
    /// Of the CustomResourceDefinition's `schema.openAPIV3Schema`.
    pub(crate) source: Option<Packed>,
    compiled: OnceLock<Arc<Compiled>>,
}

/// A field that selectors may name.
#[derive(Debug, Clone, PartialEq)]
pub struct Selectable {
    /// `spec.color`
    pub name: Arc<str>,
    pub path: JsonPath,
}

/// What is made of a schema when it is first used.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) schema: Arc<Structural>,
    pub(crate) patterns: Patterns,
    pub(crate) rules: Option<Rules>,
    pub(crate) has_schema: bool,
    pub(crate) has_embedded: bool,
    /// Lists of type set or map.
    pub(crate) has_lists: bool,
    has_defaults: bool,
}

/// Reads a definition. Cheap: schemas are packed away until they are used.
pub fn compile(crd: &Value) -> Result<CustomResource, CompileError> {
    let spec = &crd["spec"];
    let accepted = &crd["status"]["acceptedNames"];
    let names = Names::read(if text(&accepted["kind"]).is_empty() { &spec["names"] } else { accepted });
    let plural = text(&spec["names"]["plural"]);
    let group = text(&spec["group"]);
    for (what, missing) in
        [("group", group.is_empty()), ("plural name", plural.is_empty()), ("kind", names.kind.is_empty())]
    {
        if missing {
            return Err(CompileError::Missing(what));
        }
    }
    let versions: Vec<Arc<CustomVersion>> =
        items(&spec["versions"]).iter().map(|version| Arc::new(version_of(spec, &names, version))).collect();
    let storage = versions.iter().position(|v| v.storage).ok_or(CompileError::NoStorageVersion)?;
    Ok(CustomResource {
        name: text(&crd["metadata"]["name"]).into(),
        uid: text(&crd["metadata"]["uid"]).into(),
        group: group.into(),
        names: Names { plural: plural.into(), ..names },
        namespaced: text(&spec["scope"]) == "Namespaced",
        versions,
        storage,
        conversion: Conversion::read(crd),
        established: condition_is_true(crd, "Established"),
        terminating: condition_is_true(crd, "Terminating"),
    })
}

impl Names {
    fn read(names: &Value) -> Self {
        let name = |field: &str| text(&names[field]).to_string();
        Self {
            plural: name("plural"),
            singular: name("singular"),
            short_names: strings(&names["shortNames"]),
            kind: name("kind"),
            list_kind: name("listKind"),
            categories: strings(&names["categories"]),
        }
    }
}

/// What is told of a deprecated version that does not say it itself: the newest to use instead, where there is a newer.
fn deprecated(spec: &Value, gvk: &GroupVersionKind) -> String {
    let all = spec["versions"].as_array().into_iter().flatten();
    let newest = all
        .filter(|other| flag(&other["served"]) && !flag(&other["deprecated"]))
        .map(|other| text(&other["name"]))
        .filter(|other| crate::order::compare(other, &gvk.version).is_gt())
        .max_by(|a, b| crate::order::compare(a, b));
    let (group, kind) = (&gvk.group, &gvk.kind);
    let instead = newest.map(|newest| format!("; use {group}/{newest} {kind}")).unwrap_or_default();
    format!("{} {kind} is deprecated{instead}", gvk.api_version())
}

fn version_of(spec: &Value, names: &Names, version: &Value) -> CustomVersion {
    let gvk = GroupVersionKind::new(text(&spec["group"]), text(&version["name"]), &names.kind);
    let api_version = gvk.api_version();
    let schema = version["schema"].get("openAPIV3Schema").filter(|schema| schema.is_object());
    let deprecation = flag(&version["deprecated"]).then(|| match version["deprecationWarning"].as_str() {
        Some(told) => told.to_string(),
        None => deprecated(spec, &gvk),
    });
    CustomVersion {
        api_version,
        list_kind: names.list_kind.clone(),
        plural: text(&spec["names"]["plural"]).into(),
        namespaced: text(&spec["scope"]) == "Namespaced",
        served: flag(&version["served"]),
        storage: flag(&version["storage"]),
        deprecation,
        status: version["subresources"].get("status").is_some_and(Value::is_object),
        scale: Scale::read(&version["subresources"]),
        columns: columns::read(version),
        selectable: items(&version["selectableFields"]).iter().filter_map(selectable).collect(),
        preserve_unknown: flag(&spec["preserveUnknownFields"]),
        source: schema.map(Packed::new),
        compiled: OnceLock::new(),
        gvk,
    }
}

fn selectable(field: &Value) -> Option<Selectable> {
    let path = text(&field["jsonPath"]);
    let name = path.strip_prefix('.').unwrap_or(path);
    Some(Selectable { name: name.into(), path: JsonPath::parse(path).ok()? })
}

impl CustomResource {
    /// The version in which objects are stored now.
    pub fn storage_version(&self) -> &Arc<CustomVersion> {
        &self.versions[self.storage]
    }

    /// The version of this name, served or not.
    pub fn version(&self, name: &str) -> Option<&Arc<CustomVersion>> {
        self.versions.iter().find(|version| &*version.gvk.version == name)
    }

    /// The versions that are served, in the order of discovery: releases before betas before alphas, newest first.
    pub fn served(&self) -> Vec<&Arc<CustomVersion>> {
        let mut served: Vec<&Arc<CustomVersion>> =
            self.versions.iter().filter(|version| version.served).collect();
        served.sort_by(|a, b| crate::order::compare(&b.gvk.version, &a.gvk.version));
        served
    }
}

impl Compiled {
    fn of(source: Option<&Packed>) -> Self {
        let mut schema = source.map(|source| Structural::read(&source.value())).unwrap_or_default();
        schema.prune_defaults();
        Self {
            patterns: Patterns::of(&schema),
            rules: Rules::compile(&schema),
            has_schema: source.is_some(),
            has_defaults: schema.has_defaults(),
            has_embedded: schema.has_embedded(),
            has_lists: has_lists(&schema),
            schema: Arc::new(schema),
        }
    }
}

impl CustomVersion {
    pub(crate) fn compiled(&self) -> &Arc<Compiled> {
        self.compiled.get_or_init(|| Arc::new(Compiled::of(self.source.as_ref())))
    }

    /// Unpacked when it is first asked for.
    pub fn schema(&self) -> Arc<Structural> {
        self.compiled().schema.clone()
    }

    /// Make it once for each served version: its warnings have state.
    pub fn strategy(self: &Arc<Self>) -> Arc<dyn Strategy> {
        Arc::new(CustomStrategy::new(self.clone()))
    }

    /// What a request's body goes through after it was parsed: metadata takes its common form, unknown fields and
    /// nulls that may not be are dropped, defaults are filled in. Gives what a strict reader objects to:
    /// `unknown field "spec.x"`.
    pub fn intake(&self, object: &mut Value) -> Result<Vec<String>, IntakeError> {
        self.take(object, Malformed::Refuse)
    }

    /// What an applied object goes through: it fits the schema already, and its nulls were meant.
    pub fn take_applied(&self, object: &mut Value) -> Result<(), IntakeError> {
        if let Value::Object(fields) = object {
            coerce_metadata(fields, "", Malformed::Refuse)?;
        }
        self.default(object);
        Ok(())
    }

    /// Whether who reads an object finds a status that nobody wrote.
    pub fn has_default_status(&self, object: &Value) -> bool {
        let default =
            || self.schema().properties.get("status").is_some_and(|schema| schema.default.is_some());
        self.status && object.get("status").is_none() && self.compiled().has_defaults && default()
    }

    /// As [`CustomVersion::intake`] for what the store holds: what an older schema allowed is dropped, not refused.
    pub fn from_store(&self, object: &mut Value) {
        // What cannot be read at all is left as it is: it must stay possible to delete it.
        let _ = self.take(object, Malformed::Drop);
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.entry("generation").or_insert_with(|| 1.into());
        }
    }

    fn take(&self, object: &mut Value, malformed: Malformed) -> Result<Vec<String>, IntakeError> {
        let unknown = self.coerce(object, malformed)?;
        self.default(object);
        Ok(unknown.into_iter().map(|path| format!("unknown field {path:?}")).collect())
    }

    /// Drops what the schema does not know, and gives the paths.
    pub(crate) fn coerce(
        &self,
        object: &mut Value,
        malformed: Malformed,
    ) -> Result<Vec<String>, IntakeError> {
        let compiled = self.compiled();
        let Value::Object(fields) = object else { return Ok(Vec::new()) };
        let mut unknown = coerce_metadata(fields, "", malformed)?;
        if !self.preserve_unknown {
            unknown.extend(compiled.schema.prune(object, true));
            compiled.schema.prune_nulls(object);
        }
        if compiled.has_embedded {
            let dropped = compiled.schema.coerce_embedded(object, malformed);
            unknown.extend(dropped.map_err(IntakeError::Embedded)?);
        }
        Ok(unknown)
    }

    /// Drops unknown fields and gives their paths, sorted: `spec.x`.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        if self.preserve_unknown { Vec::new() } else { self.compiled().schema.prune(object, true) }
    }

    /// Fills in the defaults of the schema.
    pub fn default(&self, object: &mut Value) {
        let compiled = self.compiled();
        if compiled.has_defaults {
            compiled.schema.fill_defaults(object);
        }
    }

    /// The cells of `kubectl get`: the name and one for each of the columns.
    pub fn table_cells(&self, object: &Value, now: jiff::Timestamp) -> Vec<Value> {
        let name = object["metadata"]["name"].clone();
        std::iter::once(name).chain(self.columns.iter().map(|column| column.cell(object, now))).collect()
    }

    /// Name and value of every selectable field, beside those of the metadata.
    pub fn selectable_fields(&self, object: &Value) -> Vec<(Arc<str>, String)> {
        let printed = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let field = |field: &Selectable| {
            (field.name.clone(), field.path.first(object).map(printed).unwrap_or_default())
        };
        self.selectable.iter().map(field).collect()
    }

    /// The schema as it stands in the definition, with its prose.
    pub fn schema_source(&self) -> Option<Value> {
        self.source.as_ref().map(Packed::value)
    }
}

/// Why a body cannot be an object of a version.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Metadata(#[from] DecodeError),
    #[error("{0}")]
    Embedded(Box<oarlock_api::FieldError>),
}

impl IntakeError {
    /// 400
    pub fn status(&self) -> Status {
        Status::bad_request(self.to_string())
    }
}
