//! Where faults of a definition are told to be. What all versions say alike is told at the top of the spec, where the
//! first version of the API had it: `spec.validation.openAPIV3Schema`, `spec.subresources`.

use oarlock_api::Path;
use serde_json::Value;

use crate::value::items;

/// Schemas nest no deeper than this.
pub(super) const DEPTH_MAX: usize = 200;

/// One place of a definition, and which versions it stands for.
pub(super) struct Place<'c> {
    pub(super) value: &'c Value,
    pub(super) path: Path,
    /// The version; the first where all say the same.
    pub(super) version: &'c Value,
    pub(super) shared: bool,
}

/// A field of the versions: once at the top (`shared`) if all have the same, else for each version that has it.
pub(super) fn places<'c>(spec: &'c Value, field: &str, shared: &str) -> Vec<Place<'c>> {
    let path = Path::new("spec");
    let versions = items(&spec["versions"]);
    let Some(first) = versions.first() else { return Vec::new() };
    let same = versions.iter().all(|version| version.get(field) == first.get(field));
    let given = |version: &'c Value| version.get(field).filter(|value| !value.is_null());
    if same {
        let place = |value| Place { value, path: path.child(shared), version: first, shared: true };
        return given(first).map(place).into_iter().collect();
    }
    let place = |(index, version): (usize, &'c Value)| {
        let path = path.child("versions").index(index).child(field);
        Some(Place { value: given(version)?, path, version, shared: false })
    };
    versions.iter().enumerate().filter_map(place).collect()
}

/// The schemas of all versions that have one.
pub(super) fn every_schema<'c>(crd: &'c Value, mut look: impl FnMut(&'c Value)) {
    let versions = items(&crd["spec"]["versions"]).iter();
    versions
        .map(|version| &version["schema"]["openAPIV3Schema"])
        .filter(|schema| schema.is_object())
        .for_each(&mut look);
}

/// Shows every schema in a schema, itself included.
pub(super) fn visit<'c>(schema: &'c Value, look: &mut dyn FnMut(&'c Value)) {
    visit_below(schema, look, 0);
}

fn visit_below<'c>(schema: &'c Value, look: &mut dyn FnMut(&'c Value), depth: usize) {
    let Value::Object(fields) = schema else { return };
    if depth > DEPTH_MAX {
        return;
    }
    look(schema);
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("not" | "items" | "additionalProperties" | "additionalItems", Value::Object(_)) => {
                visit_below(value, look, depth + 1);
            }
            ("allOf" | "anyOf" | "oneOf" | "items", Value::Array(all)) => {
                all.iter().for_each(|schema| visit_below(schema, look, depth + 1));
            }
            ("properties" | "patternProperties" | "definitions" | "dependencies", Value::Object(all)) => {
                all.values().for_each(|schema| visit_below(schema, look, depth + 1));
            }
            _ => {}
        }
    }
}

/// Whether any schema of the definition is such a one.
pub(super) fn any_schema(crd: &Value, is_one: impl Fn(&Value) -> bool) -> bool {
    let mut found = false;
    every_schema(crd, |schema| visit(schema, &mut |schema| found = found || is_one(schema)));
    found
}
