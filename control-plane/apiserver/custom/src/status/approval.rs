//! Groups of the Kubernetes community (`*.k8s.io`, `*.kubernetes.io`) want their API's approval named.

use serde_json::Value;

use super::conditions::Condition;
use crate::value::text;

pub(crate) const ANNOTATION: &str = "api-approved.kubernetes.io";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approval {
    Missing,
    Invalid,
    Bypassed,
    Approved,
}

pub(crate) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.strip_suffix(domain).is_some_and(|head| head.ends_with('.')))
}

/// What the annotation says, and how that is told.
pub(crate) fn state(crd: &Value) -> (Approval, String) {
    let annotation = text(&crd["metadata"]["annotations"][ANNOTATION]);
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    if annotation.is_empty() {
        let told = format!("protected groups must have approval annotation {ANNOTATION:?}, {see}");
        return (Approval::Missing, told);
    }
    if annotation.starts_with("unapproved") {
        return (Approval::Bypassed, format!("not approved: {annotation:?}"));
    }
    let is_url = annotation.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && !host.is_empty()
            && !annotation.contains(char::is_whitespace)
    });
    if is_url {
        return (Approval::Approved, format!("approved in {annotation}"));
    }
    let told = format!(
        "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting with \
         \"unapproved\", {see}"
    );
    (Approval::Invalid, told)
}

/// The condition of a definition in a protected group.
pub(super) fn condition(crd: &Value) -> Option<Condition> {
    if !is_protected(text(&crd["spec"]["group"])) {
        return None;
    }
    let (state, message) = state(crd);
    let (status, reason) = match state {
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Invalid => ("False", "InvalidAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
        Approval::Approved => ("True", "ApprovedAnnotation"),
    };
    Some(Condition { kind: "KubernetesAPIApprovalPolicyConformant", status, reason, message })
}
