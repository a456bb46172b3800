//! Namespaces.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::{items, keep, name, object_mut, text};

pub(crate) static NAMESPACE: Kind = Kind {
    name: crate::names::dns_label,
    prepare_create: create,
    prepare_update: update,
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
