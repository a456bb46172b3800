//! A changed definition: what is served cannot change its names, and old faults are not held against it.

use oarlock_api::structural::Structural;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::layout::{any_schema, every_schema};
use super::spec::{self, Options};
use super::{conversion, standard, topology};
use crate::value::{condition_is_true, items, text};

const IMMUTABLE: &str = "field is immutable";

pub(super) fn validate_update(new: &Value, old: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    spec::spec(new, &options(new, old), &mut errors);
    immutable(new, old, &mut errors);
    errors.extend(spec::validate_status(new));
    spec::stored_versions(new, &mut errors);
    spec::approval(new, Some(old), &mut errors);
    spec::preserve_unknown_fields(new, Some(old), &mut errors);
    errors
}

fn immutable(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (new, was) = (&new["spec"], &old["spec"]);
    let path = Path::new("spec");
    let mut check = |now: &Value, was: &Value, path: Path| {
        if text(now) != text(was) {
            errors.push(FieldError::invalid(path, text(now), IMMUTABLE));
        }
    };
    if condition_is_true(old, "Established") {
        check(&new["scope"], &was["scope"], path.child("scope"));
        check(&new["names"]["kind"], &was["names"]["kind"], path.child("names").child("kind"));
    }
    check(&new["group"], &was["group"], path.child("group"));
    check(&new["names"]["plural"], &was["names"]["plural"], path.child("names").child("plural"));
}

/// What the old definition does already is not refused of the new one.
fn options(new: &Value, old: &Value) -> Options {
    let mut structural = true;
    let mut pruned = true;
    every_schema(old, |schema| match Structural::parse(schema) {
        Ok(read) => {
            let mut tidy = read.clone();
            tidy.prune_defaults();
            pruned &= tidy == read;
        }
        Err(_) => structural = false,
    });
    let versions = |crd: &Value| items(&crd["spec"]["versions"]).to_vec();
    let was = versions(old);
    let before = |name: &str| was.iter().find(|version| text(&version["name"]) == name);
    let mut options = Options {
        schema_required: was.iter().all(|version| version["schema"]["openAPIV3Schema"].is_object()),
        known_types: !any_schema(old, standard::has_unknown_type),
        structural,
        pruned_defaults: pruned,
        atomic_sets: !any_schema(old, topology::has_loose_set),
        map_keys: !any_schema(old, topology::has_loose_keys),
        known_review_version: conversion::knows_review_version(&old["spec"]["conversion"]),
        any_ca_bundle: conversion::may_have_any_bundle(old),
        unchanged: Vec::new(),
        many_selectable: Vec::new(),
    };
    for version in versions(new) {
        let name = text(&version["name"]);
        let Some(was) = before(name) else { continue };
        if was["schema"] == version["schema"] {
            options.unchanged.push(name.into());
        }
        if was["selectableFields"] == version["selectableFields"] {
            options.many_selectable.push(name.into());
        }
    }
    options
}
