//! ReplicationControllers and PodTemplates.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::value::{entries, int};
use crate::{check, podspec};

pub(crate) static REPLICATION_CONTROLLER: Kind = Kind {
    propagation: "Orphan",
    validate,
    fields: |controller| vec![("status.replicas", int(&controller["status"]["replicas"]).to_string())],
    cells: Some(super::cells::replication_controller),
    ..Kind::COUNTED
};

pub(crate) static POD_TEMPLATE: Kind = Kind {
    validate: |template, errors| {
        crate::podspec::validate_template(&template["template"], &Path::new("template"), errors);
    },
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
