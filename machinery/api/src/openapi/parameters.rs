//! The parameters that requests take, in both forms.

use serde_json::{Map, Value, json};

use super::Version;
use crate::table::{FieldKind, Table, TypeId};

/// Name, type, description.
type Query = (&'static str, &'static str, &'static str);

const PRETTY: Query = ("pretty", "string", "If 'true', then the output is pretty printed.");
const DRY_RUN: Query = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: All.",
);
const FIELD_MANAGER: Query = (
    "fieldManager",
    "string",
    "The name of the actor or entity that makes these changes; at most 128 characters.",
);
const FIELD_VALIDATION: Query = (
    "fieldValidation",
    "string",
    "How the server handles unknown or duplicate fields in the request: Ignore, Warn or Strict.",
);
const FORCE: Query =
    ("force", "boolean", "Take over fields that other managers own. Only for apply patches.");

const WRITE: &[Query] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const PATCH: &[Query] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
const DELETE: &[Query] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds before the object is deleted; zero means at once."),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Delete the object even if it cannot be read from the store.",
    ),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "How dependents are collected: Orphan, Background or Foreground."),
];
const LIST: &[Query] = &[
    ("allowWatchBookmarks", "boolean", "Ask for watch events of type BOOKMARK."),
    ("continue", "string", "The token of an earlier page; the list continues there."),
    ("fieldSelector", "string", "Restrict the objects by their fields."),
    ("labelSelector", "string", "Restrict the objects by their labels."),
    ("limit", "integer", "The greatest number of objects in one page."),
    ("resourceVersion", "string", "Which versions the request may be served from."),
    ("resourceVersionMatch", "string", "How resourceVersion is applied to lists."),
    ("sendInitialEvents", "boolean", "Begin a watch with events for all existing objects."),
    ("shardSelector", "string", "Restrict the objects to a share of them; only where sharding is on."),
    ("timeoutSeconds", "integer", "Limits the duration of the call."),
    ("watch", "boolean", "Watch for changes and return them as a stream of events."),
];

/// What an operation does to its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    List,
    Get,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    Connect,
}

impl Action {
    /// The value of `x-kubernetes-action`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Get => "get",
            Self::Create => "post",
            Self::Update => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Connect => "connect",
        }
    }

    /// The query parameters of the operation.
    pub(super) fn query(self, version: Version) -> Vec<Value> {
        let groups: &[&[Query]] = match self {
            Self::List => &[LIST],
            Self::Get | Self::Connect => &[],
            Self::Create | Self::Update => &[WRITE],
            Self::Patch => &[PATCH],
            Self::Delete => &[DELETE],
            Self::DeleteCollection => &[LIST, DELETE],
        };
        let skip =
            |name: &str| self == Self::DeleteCollection && matches!(name, "watch" | "allowWatchBookmarks");
        groups
            .iter()
            .copied()
            .flatten()
            .filter(|(name, ..)| !skip(name))
            .map(|query| parameter(query, version))
            .collect()
    }
}

fn reference_name((name, ..): &Query) -> String {
    format!("{name}-query")
}

fn parameter(query: &Query, version: Version) -> Value {
    if version == Version::V2 {
        return json!({"$ref": format!("#/parameters/{}", reference_name(query))});
    }
    let (name, kind, description) = query;
    json!({"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true}})
}

pub(super) fn pretty(version: Version) -> Value {
    parameter(&PRETTY, version)
}

/// A required part of the path.
pub(super) fn in_path(name: &str, description: &str, version: Version) -> Value {
    let mut parameter = json!({"name": name, "in": "path", "required": true, "description": description});
    match version {
        Version::V2 => {
            parameter["type"] = "string".into();
            parameter["uniqueItems"] = true.into();
        }
        Version::V3 => parameter["schema"] = json!({"type": "string", "uniqueItems": true}),
    }
    parameter
}

/// What v2 operations refer to.
pub(super) fn v2_definitions() -> Value {
    let all = [&[PRETTY], WRITE, PATCH, DELETE, LIST];
    let mut definitions = Map::new();
    for query in all.into_iter().flatten() {
        let (name, kind, description) = query;
        let told = json!({"name": name, "in": "query", "type": kind, "uniqueItems": true, "description": description});
        definitions.insert(reference_name(query), told);
    }
    Value::Object(definitions)
}

/// The fields of an options kind (`PodExecOptions`) as query parameters.
pub(super) fn of_options(table: &Table, options: TypeId, version: Version) -> Vec<Value> {
    let fields = table.ty(options).fields.iter().filter(|f| !matches!(f.json_name, "apiVersion" | "kind"));
    let mut parameters = Vec::new();
    for field in fields {
        let kind = match &field.kind {
            FieldKind::Bool => "boolean",
            FieldKind::Int32 | FieldKind::Int64 => "integer",
            _ => "string",
        };
        let mut parameter = json!({"name": field.json_name, "in": "query"});
        match version {
            Version::V2 => {
                parameter["type"] = kind.into();
                parameter["uniqueItems"] = true.into();
            }
            Version::V3 => parameter["schema"] = json!({"type": kind, "uniqueItems": true}),
        }
        parameters.push(parameter);
    }
    parameters
}
