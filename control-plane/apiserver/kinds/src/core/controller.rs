//! ReplicationControllers and PodTemplates.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::{entries, int};
use crate::{check, podspec, template};

pub(crate) static REPLICATION_CONTROLLER: Kind = Kind {
    propagation: "Orphan",
    name: crate::names::long_name,
    validate,
    changes,
    prepare_create: |_, controller| template::drop_disabled(controller, None, &["spec", "template"]),
    prepare_update: |_, new, old| template::drop_disabled(new, Some(old), &["spec", "template"]),
    warn: |controller, old, warnings| {
        template::warn(controller, old, &["spec", "template"], true, warnings);
    },
    fields: |controller| vec![("status.replicas", int(&controller["status"]["replicas"]).to_string())],
    cells: Some(super::cells::replication_controller),
    ..Kind::COUNTED
};

pub(crate) static POD_TEMPLATE: Kind = Kind {
    validate: |object, errors| {
        podspec::validate_template(&object["template"], &Path::new("template"), errors);
    },
    prepare_create: |_, object| template::drop_disabled(object, None, &["template"]),
    prepare_update: |_, new, old| template::drop_disabled(new, Some(old), &["template"]),
    warn: |object, old, warnings| template::warn(object, old, &["template"], false, warnings),
    cells: Some(super::cells::pod_template),
    ..Kind::COUNTED
};

fn validate(controller: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&controller["spec"], Path::new("spec"));
    check::not_negative(&spec["replicas"], &path.child("replicas"), errors);
    check::not_negative(&spec["minReadySeconds"], &path.child("minReadySeconds"), errors);
    if entries(&spec["selector"]).next().is_none() {
        errors.push(FieldError::required(path.child("selector"), ""));
    }
    let (template, at) = (&spec["template"], path.child("template"));
    if template.is_null() {
        return errors.push(FieldError::required(at, ""));
    }
    let labels = &template["metadata"]["labels"];
    if !podspec::holds(labels, &spec["selector"]) {
        let words = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(at.child("metadata").child("labels"), labels.clone(), words));
    }
    podspec::validate_template(template, &at, errors);
    podspec::always_restarts(template, "ReplicationController", &at, errors);
}

/// What is counted is not less than nothing, and no part is greater than the whole.
fn changes(context: &Context<'_>, new: &Value, _old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        check::replica_counts(&new["status"], errors);
    }
}
