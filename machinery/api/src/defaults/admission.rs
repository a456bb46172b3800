//! admissionregistration.k8s.io.

use super::Constant;

pub(super) const CONSTANTS: &[Constant] = &[
    ("admissionregistration.v1.ValidatingWebhook", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1.ValidatingWebhook", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1.ValidatingWebhook", "namespaceSelector", "{}"),
    ("admissionregistration.v1.ValidatingWebhook", "objectSelector", "{}"),
    ("admissionregistration.v1.ValidatingWebhook", "timeoutSeconds", "10"),
    ("admissionregistration.v1.MutatingWebhook", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1.MutatingWebhook", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1.MutatingWebhook", "namespaceSelector", "{}"),
    ("admissionregistration.v1.MutatingWebhook", "objectSelector", "{}"),
    ("admissionregistration.v1.MutatingWebhook", "timeoutSeconds", "10"),
    ("admissionregistration.v1.MutatingWebhook", "reinvocationPolicy", r#""Never""#),
    ("admissionregistration.v1.Rule", "scope", r#""*""#),
    ("admissionregistration.v1.ServiceReference", "port", "443"),
    ("admissionregistration.v1.MatchResources", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1.MatchResources", "namespaceSelector", "{}"),
    ("admissionregistration.v1.MatchResources", "objectSelector", "{}"),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1.MutatingAdmissionPolicySpec", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1beta1.MatchResources", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1beta1.MatchResources", "namespaceSelector", "{}"),
    ("admissionregistration.v1beta1.MatchResources", "objectSelector", "{}"),
    ("admissionregistration.v1beta1.MutatingAdmissionPolicySpec", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1alpha1.ParamRef", "parameterNotFoundAction", r#""Deny""#),
    ("admissionregistration.v1alpha1.MatchResources", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1alpha1.MatchResources", "namespaceSelector", "{}"),
    ("admissionregistration.v1alpha1.MatchResources", "objectSelector", "{}"),
    ("admissionregistration.v1alpha1.MutatingAdmissionPolicySpec", "failurePolicy", r#""Fail""#),
];
