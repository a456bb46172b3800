//! Whether somebody may do something. (SubjectAccessReview, LocalSubjectAccessReview, SelfSubjectAccessReview)

use std::collections::BTreeMap;
use std::sync::Arc;

use oarlock_api::selector::{FieldRequirement, FieldSelector, LabelSelector};
use oarlock_api::{FieldError, FieldErrors, Path, Status};
use serde_json::{Value, json};

use super::valid;
use crate::types::{Attributes, Authorizer, Decision, User};
use crate::value::{at, items, namespace as namespace_of, text, texts};

pub(super) async fn subject(authorizer: &dyn Authorizer, request: &Value) -> Result<Value, Status> {
    let mut errors = validate_spec(&request["spec"]);
    errors.extend(validate_subject(&request["spec"]));
    valid("SubjectAccessReview", &errors)?;
    Ok(decide(authorizer, &request["spec"], Arc::new(subject_of(&request["spec"]))).await)
}

pub(super) async fn own(
    authorizer: &dyn Authorizer,
    request: &Value,
    user: &Arc<User>,
) -> Result<Value, Status> {
    valid("SelfSubjectAccessReview", &validate_spec(&request["spec"]))?;
    Ok(decide(authorizer, &request["spec"], user.clone()).await)
}

pub(super) async fn local(
    authorizer: &dyn Authorizer,
    request: &mut Value,
    namespace: &str,
) -> Result<Value, Status> {
    if namespace.is_empty() {
        return Err(Status::bad_request("namespace is required on this type: "));
    }
    if namespace_of(request).is_empty() {
        request["metadata"]["namespace"] = namespace.into();
    }
    if namespace_of(request) != namespace {
        return Err(Status::bad_request(format!(
            "spec.resourceAttributes.namespace must match namespace: {namespace}"
        )));
    }
    let spec = &request["spec"];
    let mut errors = validate_spec(spec);
    errors.extend(validate_subject(spec));
    let path = Path::new("spec");
    let asked = text(spec, &["resourceAttributes", "namespace"]);
    if spec["resourceAttributes"].is_object() && asked != namespace {
        let path = path.child("resourceAttributes").child("namespace");
        errors.push(FieldError::invalid(path, asked, "must match metadata.namespace"));
    }
    if spec["nonResourceAttributes"].is_object() {
        let given = spec["nonResourceAttributes"].clone();
        let path = path.child("nonResourceAttributes");
        errors.push(FieldError::invalid(path, given, "disallowed on this kind of request"));
    }
    valid("LocalSubjectAccessReview", &errors)?;
    Ok(decide(authorizer, spec, Arc::new(subject_of(spec))).await)
}

async fn decide(authorizer: &dyn Authorizer, spec: &Value, user: Arc<User>) -> Value {
    let mut errors = Vec::new();
    let asked = attributes(spec, user, &mut errors);
    let decision = authorizer.authorize(&asked).await;
    let mut status = json!({"allowed": matches!(decision, Decision::Allow(_))});
    if matches!(decision, Decision::Deny(_)) {
        status["denied"] = true.into();
    }
    let (Decision::Allow(reason) | Decision::Deny(reason) | Decision::NoOpinion(reason)) = decision;
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    if !errors.is_empty() {
        status["evaluationError"] = crate::authorization::aggregated(&errors).into();
    }
    status
}

fn subject_of(spec: &Value) -> User {
    let extra: BTreeMap<String, Vec<String>> = at(spec, &["extra"])
        .and_then(Value::as_object)
        .map(|extra| extra.iter().map(|(key, values)| (key.clone(), texts(values, &[]))).collect())
        .unwrap_or_default();
    User {
        name: text(spec, &["user"]).into(),
        uid: text(spec, &["uid"]).into(),
        groups: texts(spec, &["groups"]),
        extra,
    }
}

fn attributes(spec: &Value, user: Arc<User>, errors: &mut Vec<String>) -> Attributes {
    let resource = &spec["resourceAttributes"];
    let is_resource = resource.is_object();
    let asked = if is_resource { resource } else { &spec["nonResourceAttributes"] };
    let of = |field: &str| text(asked, &[field]).to_string();
    Attributes {
        user,
        verb: of("verb"),
        resource_request: is_resource,
        group: of("group"),
        version: of("version"),
        resource: of("resource"),
        subresource: of("subresource"),
        namespace: of("namespace"),
        name: of("name"),
        path: of("path"),
        field_selector: field_selector(&asked["fieldSelector"], errors).map(Arc::new),
        label_selector: label_selector(&asked["labelSelector"], errors).map(Arc::new),
    }
}

/// A selector that cannot be read is left out (which asks for more, so never allows more), and is told.
fn field_selector(given: &Value, errors: &mut Vec<String>) -> Option<FieldSelector> {
    let raw = text(given, &["rawSelector"]);
    if !raw.is_empty() {
        return FieldSelector::parse(raw).map_err(|e| errors.push(e.to_string())).ok();
    }
    let mut requirements = Vec::new();
    for requirement in items(given, &["requirements"]) {
        let values = texts(requirement, &["values"]);
        let negated = match (text(requirement, &["operator"]), values.len()) {
            ("In", 1) => false,
            ("NotIn", 1) => true,
            (operator, _) => {
                errors.push(format!(
                    "fieldSelector operator {operator:?} can not be evaluated with these values"
                ));
                continue;
            }
        };
        let field = text(requirement, &["key"]).to_string();
        requirements.extend(values.into_iter().map(|value| FieldRequirement {
            field: field.clone(),
            value,
            negated,
        }));
    }
    (!requirements.is_empty()).then(|| FieldSelector::from_requirements(requirements))
}

fn label_selector(given: &Value, errors: &mut Vec<String>) -> Option<LabelSelector> {
    let raw = text(given, &["rawSelector"]);
    let parsed = if !raw.is_empty() {
        LabelSelector::parse(raw)
    } else if !items(given, &["requirements"]).is_empty() {
        LabelSelector::from_value(&json!({"matchExpressions": given["requirements"]}))
    } else {
        return None;
    };
    parsed.map_err(|e| errors.push(e.to_string())).ok()
}

fn validate_spec(spec: &Value) -> FieldErrors {
    let path = Path::new("spec");
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut errors = match (resource.is_object(), other.is_object()) {
        (true, true) => vec![FieldError::invalid(
            path.child("nonResourceAttributes"),
            other.clone(),
            "cannot be specified in combination with resourceAttributes",
        )],
        (false, false) => vec![FieldError::invalid(
            path.child("resourceAttributes"),
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )],
        _ => FieldErrors::new(),
    };
    for selector in ["fieldSelector", "labelSelector"] {
        let given = &resource[selector];
        let raw = text(given, &["rawSelector"]);
        let path = path.child("resourceAttributes").child(selector);
        let listed = !items(given, &["requirements"]).is_empty();
        if !raw.is_empty() && listed {
            let path = path.child("rawSelector");
            errors.push(FieldError::invalid(path, raw, "may not specified at the same time as requirements"));
        } else if given.is_object() && raw.is_empty() && !listed {
            let detail = "when fieldSelector is specified, requirements or rawSelector is required";
            let detail = detail.replace("fieldSelector", selector);
            errors.push(FieldError::required(path.child("requirements"), detail));
        }
    }
    errors
}

fn validate_subject(spec: &Value) -> FieldErrors {
    if text(spec, &["user"]).is_empty() && items(spec, &["groups"]).is_empty() {
        let path = Path::new("spec").child("user");
        return vec![FieldError::invalid(path, "", "at least one of user or group must be specified")];
    }
    FieldErrors::new()
}
