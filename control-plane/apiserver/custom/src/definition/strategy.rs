//! The strategy of CustomResourceDefinitions.

use jiff::Timestamp;
use oarlock_api::{FieldErrors, meta};
use oarlock_apiserver_kinds::{Context, Strategy};
use serde_json::{Value, json};

use super::layout::{every_schema, visit};
use super::{spec, update};
use crate::status::mark_deleted;
use crate::validate::format_check;
use crate::value::{flag, items, text};

struct DefinitionStrategy;

/// The strategy of `customresourcedefinitions.apiextensions.k8s.io`; the one in the kinds crate does not know schemas.
pub fn definition_strategy() -> &'static dyn Strategy {
    &DefinitionStrategy
}

/// Every version that objects may have been stored in is remembered.
fn remember_storage_version(crd: &mut Value) {
    let storage = items(&crd["spec"]["versions"]).iter().find(|version| flag(&version["storage"]));
    let Some(storage) = storage.map(|version| text(&version["name"]).to_string()) else { return };
    if !crd["status"].is_object() {
        crd["status"] = json!({});
    }
    let stored = &mut crd["status"]["storedVersions"];
    match stored {
        Value::Array(all) if all.iter().any(|version| *version == storage.as_str()) => {}
        Value::Array(all) => all.push(storage.into()),
        other => *other = json!([storage]),
    }
}

/// Formats that mean nothing for their type.
fn unknown_formats(crd: &Value) -> Vec<String> {
    let mut found = Vec::new();
    every_schema(crd, |schema| {
        visit(schema, &mut |schema| {
            let (kind, format) = (text(&schema["type"]), text(&schema["format"]));
            let known = match kind {
                "" | "string" => format_check(format).is_some(),
                "integer" => matches!(format, "int32" | "int64"),
                "number" => matches!(format, "float" | "double"),
                _ => false,
            };
            if !format.is_empty() && !known {
                found.push(format!("unrecognized format {format:?}"));
            }
        });
    });
    found
}

/// Sets of what is no scalar.
fn odd_sets(crd: &Value) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    every_schema(crd, |schema| {
        visit(schema, &mut |schema| {
            let kind = text(&schema["items"]["type"]);
            if text(&schema["x-kubernetes-list-type"]) == "set" && matches!(kind, "object" | "array") {
                found.insert(format!(
                    "x-kubernetes-list-type: set for items of type {kind:?} is not supported by server-side apply or CEL \
                     validation rules"
                ));
            }
        });
    });
    found.into_iter().collect()
}

impl Strategy for DefinitionStrategy {
    fn prepare_for_create(&self, _context: &Context<'_>, crd: &mut Value) {
        if let Value::Object(fields) = crd {
            fields.insert("status".into(), json!({}));
        }
        remember_storage_version(crd);
    }

    fn prepare_for_delete(&self, crd: &mut Value, now: Timestamp) {
        if !meta::is_deleting(crd) {
            mark_deleted(crd, now);
        }
    }

    fn prepare_for_update(&self, context: &Context<'_>, new: &mut Value, _old: &Value) {
        if context.subresource.is_empty() {
            remember_storage_version(new);
        }
    }

    fn validate_create(&self, _context: &Context<'_>, crd: &Value) -> FieldErrors {
        spec::validate_create(crd)
    }

    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value) -> FieldErrors {
        if context.subresource == "status" {
            return spec::validate_status(new);
        }
        update::validate_update(new, old)
    }

    fn warnings(&self, context: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        if context.subresource == "status" {
            return Vec::new();
        }
        let before = old.map(|old| (unknown_formats(old), odd_sets(old))).unwrap_or_default();
        let formats = unknown_formats(new).into_iter().filter(|told| !before.0.contains(told));
        let sets = odd_sets(new).into_iter().filter(|told| !before.1.contains(told));
        formats.chain(sets).collect()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn table_cells(&self, crd: &Value, _now: Timestamp) -> Option<Vec<Value>> {
        Some(vec![meta::name(crd).into(), crd["metadata"]["creationTimestamp"].clone()])
    }
}
