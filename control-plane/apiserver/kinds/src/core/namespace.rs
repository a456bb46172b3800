//! Namespaces.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::{items, keep, name, object_mut, text, texts};
use crate::{check, names};

pub(crate) static NAMESPACE: Kind = Kind {
    name: crate::names::dns_label,
    prepare_create: create,
    prepare_update: update,
    validate,
    changes,
    canonicalize: label_with_name,
    fields: |namespace| vec![("status.phase", text(&namespace["status"]["phase"]).to_string())],
    cells: Some(super::cells::namespace),
    ..Kind::PLAIN
};

fn create(_context: &Context<'_>, namespace: &mut Value) {
    namespace["status"] = json!({ "phase": "Active" });
    let mut finalizers = items(&namespace["spec"]["finalizers"]).to_vec();
    if !finalizers.iter().any(|f| f == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
    object_mut(namespace, "spec").insert("finalizers".into(), finalizers.into());
}

/// Only `/finalize` changes the finalizers of the spec, and only `/status` the status.
fn update(context: &Context<'_>, new: &mut Value, old: &Value) {
    if context.subresource != "finalize" {
        let spec = object_mut(new, "spec");
        match old["spec"].get("finalizers") {
            Some(finalizers) => spec.insert("finalizers".into(), finalizers.clone()),
            None => spec.remove("finalizers"),
        };
    }
    if context.subresource != "status" {
        keep(new, old, "status");
    }
}

fn label_with_name(namespace: &mut Value) {
    let label = name(namespace).to_string();
    object_mut(&mut namespace["metadata"], "labels")
        .insert("kubernetes.io/metadata.name".into(), label.into());
}

const STANDARD_FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

fn validate(namespace: &Value, errors: &mut FieldErrors) {
    let path = Path::new("spec").child("finalizers");
    for finalizer in texts(&namespace["spec"]["finalizers"]) {
        check::syntax(finalizer, names::qualified, &path, errors);
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
            let words = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path.clone(), finalizer, words));
        }
    }
}

/// A namespace is terminating as soon as it is deleted, and not before.
fn changes(context: &Context<'_>, new: &Value, _old: &Value, errors: &mut FieldErrors) {
    if context.subresource != "status" {
        return;
    }
    let (phase, at) = (text(&new["status"]["phase"]), Path::new("status").child("Phase"));
    let deleted = !new["metadata"]["deletionTimestamp"].is_null();
    if !deleted && phase != "Active" {
        let words = "may only be 'Active' if `deletionTimestamp` is empty";
        errors.push(FieldError::invalid(at, phase, words));
    } else if deleted && phase != "Terminating" {
        let words = "may only be 'Terminating' if `deletionTimestamp` is not empty";
        errors.push(FieldError::invalid(at, phase, words));
    }
}
