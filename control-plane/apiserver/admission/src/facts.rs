//! What a request says of itself, apart from its object: what matching, reviews and expressions read.

use std::borrow::Cow;
use std::sync::Arc;

use oarlock_api::{GroupVersionKind, GroupVersionResource};
use oarlock_apiserver_access::{AdmissionRequest, Operation, User};
use serde_json::{Map, Value, json};

use crate::value::{name, text};

/// Kinds whose own requests no webhook and no policy sees: a wrong one could not be mended.
const EXEMPT: &[&str] = &[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// Resources that are asked, not stored: policies do not see them (webhooks do, in 1.36).
const VIRTUAL: &[(&str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// A request without its objects.
#[derive(Clone)]
pub(crate) struct Facts<'a> {
    pub(crate) operation: Operation,
    pub(crate) kind: &'a GroupVersionKind,
    pub(crate) resource: &'a GroupVersionResource,
    pub(crate) subresource: &'a str,
    /// Of a namespace's own request, its name.
    pub(crate) namespace: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) user: &'a Arc<User>,
    pub(crate) options: &'a Value,
    pub(crate) dry_run: bool,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(request: &AdmissionRequest<'a>) -> Self {
        let name = match (request.name, request.object.as_deref()) {
            ("", Some(object)) => Cow::Owned(name(object).to_string()),
            (name, _) => Cow::Borrowed(name),
        };
        let namespace = if request.namespace.is_empty() && is_namespaces(request.resource) {
            name.clone()
        } else {
            Cow::Borrowed(request.namespace)
        };
        Self {
            operation: request.operation,
            kind: request.kind,
            resource: request.resource,
            subresource: request.subresource,
            namespace,
            name,
            user: request.user,
            options: request.options,
            dry_run: request.dry_run,
        }
    }

    pub(crate) fn operation_text(&self) -> &'static str {
        crate::metrics::operation_text(self.operation)
    }

    /// A namespace itself, as any version of it.
    pub(crate) fn is_namespace(&self) -> bool {
        is_namespaces(self.resource)
    }

    /// The `AdmissionRequest` of `admission.k8s.io/v1` but for its uid and objects, as `resource` and `kind` were matched.
    pub(crate) fn to_value(
        &self,
        resource: &GroupVersionResource,
        kind: &GroupVersionKind,
    ) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("kind".into(), kind_value(kind));
        map.insert("resource".into(), resource_value(resource));
        if !self.subresource.is_empty() {
            map.insert("subResource".into(), self.subresource.into());
        }
        map.insert("requestKind".into(), kind_value(self.kind));
        map.insert("requestResource".into(), resource_value(self.resource));
        if !self.subresource.is_empty() {
            map.insert("requestSubResource".into(), self.subresource.into());
        }
        for (field, text) in [("name", &self.name), ("namespace", &self.namespace)] {
            if !text.is_empty() {
                map.insert(field.into(), text.as_ref().into());
            }
        }
        map.insert("operation".into(), self.operation_text().into());
        map.insert("userInfo".into(), self.user.to_value());
        map.insert("dryRun".into(), self.dry_run.into());
        map.insert("options".into(), self.options.clone());
        map
    }
}

/// Whether the request is about the configuration of admission itself.
pub(crate) fn is_exempt(kind: &GroupVersionKind) -> bool {
    *kind.group == *"admissionregistration.k8s.io" && EXEMPT.contains(&&*kind.kind)
}

pub(crate) fn is_virtual(resource: &GroupVersionResource) -> bool {
    VIRTUAL.iter().any(|(group, name)| *resource.group == **group && *resource.resource == **name)
}

fn is_namespaces(resource: &GroupVersionResource) -> bool {
    resource.group.is_empty() && *resource.resource == *"namespaces"
}

fn kind_value(kind: &GroupVersionKind) -> Value {
    json!({"group": *kind.group, "version": *kind.version, "kind": *kind.kind})
}

fn resource_value(resource: &GroupVersionResource) -> Value {
    json!({"group": *resource.group, "version": *resource.version, "resource": *resource.resource})
}

/// `pods "x" is forbidden: why`. Before a name is generated, its prefix stands for it.
pub(crate) fn forbidden(facts: &Facts<'_>, object: Option<&Value>, why: &str) -> oarlock_api::Status {
    let prefix = object.map(|object| text(object, &["metadata", "generateName"])).unwrap_or_default();
    let name = match (facts.name.as_ref(), prefix) {
        ("", "") => "Unknown",
        ("", prefix) => prefix,
        (name, _) => name,
    };
    oarlock_api::Status::forbidden(&facts.resource.group_resource(), name, why)
}
