use serde_json::{Value, json};

use super::*;
use crate::value::{condition, text};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

fn crd(plural: &str, kind: &str) -> Value {
    json!({"metadata": {"name": format!("{plural}.example.com")}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"), "shortNames": ["sh"]},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
    }})
}

/// Plans until nothing changes.
fn settle(mut crd: Value, all: &[Value]) -> Value {
    for _ in 0..4 {
        match plan_status(&crd, all, now()) {
            Some(status) => crd["status"] = status,
            None => return crd,
        }
    }
    panic!("the plan does not come to rest");
}

fn told(crd: &Value, kind: &str) -> String {
    let Some(found) = condition(crd, kind) else { return "none".into() };
    format!("{} {}: {}", text(&found["status"]), text(&found["reason"]), text(&found["message"]))
}

#[test]
fn names_are_accepted_and_the_definition_established() {
    let done = settle(crd("foos", "Foo"), &[]);
    assert_eq!(told(&done, "NamesAccepted"), "True NoConflicts: no conflicts found");
    assert_eq!(told(&done, "Established"), "True InitialNamesAccepted: the initial names have been accepted");
    assert_eq!(done["status"]["acceptedNames"], done["spec"]["names"]);
    assert_eq!(told(&done, "NonStructuralSchema"), "none");
    assert_eq!(told(&done, "KubernetesAPIApprovalPolicyConformant"), "none");
}

#[test]
fn a_name_belongs_to_who_had_it_first() {
    let first = settle(crd("foos", "Foo"), &[]);
    let mut second = crd("bars", "Bar");
    second["spec"]["names"]["kind"] = "Foo".into();
    let done = settle(second, std::slice::from_ref(&first));
    assert_eq!(told(&done, "NamesAccepted"), "False KindConflict: \"Foo\" is already in use");
    assert_eq!(told(&done, "Established"), "False NotAccepted: not all names are accepted");
    assert_eq!(text(&done["status"]["acceptedNames"]["plural"]), "bars");
    assert_eq!(text(&done["status"]["acceptedNames"]["kind"]), "");
    assert!(waits_for_names(&done) && !waits_for_names(&first));
    // The names are free again.
    let freed = settle(done, &[]);
    assert_eq!(
        told(&freed, "Established"),
        "True InitialNamesAccepted: the initial names have been accepted"
    );
    let mut short = crd("bazs", "Baz");
    short["spec"]["names"]["singular"] = "baz".into();
    let done = settle(short, &[first]);
    assert_eq!(told(&done, "NamesAccepted"), "False ShortNamesConflict: \"sh\" is already in use");
}

#[test]
fn schemas_that_are_not_structural_are_told() {
    let mut bad = crd("foos", "Foo");
    bad["spec"]["preserveUnknownFields"] = true.into();
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"properties": {"a": {}}});
    let done = settle(bad, &[]);
    assert_eq!(
        told(&done, "NonStructuralSchema"),
        "True Violations: [spec.preserveUnknownFields: Invalid value: true: must be false, \
         spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified \
         object fields, spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root]"
    );
    let mut mended = done;
    mended["spec"] = crd("foos", "Foo")["spec"].clone();
    assert_eq!(told(&settle(mended, &[]), "NonStructuralSchema"), "none");
}

#[test]
fn protected_groups_want_approval() {
    let approved = |annotation: &str| {
        let mut one = crd("foos", "Foo");
        one["spec"]["group"] = "sigs.k8s.io".into();
        one["metadata"]["annotations"] = json!({ANNOTATION: annotation});
        told(&settle(one, &[]), "KubernetesAPIApprovalPolicyConformant")
    };
    assert!(approved("").starts_with("False MissingAnnotation: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https"));
    let mut one = crd("foos", "Foo");
    one["spec"]["group"] = "sigs.k8s.io".into();
    let first = &settle(one, &[])["status"]["conditions"][0]["type"];
    assert_eq!(first, "KubernetesAPIApprovalPolicyConformant", "it is judged before its names");
    assert_eq!(approved("unapproved, toy"), "False UnapprovedAnnotation: not approved: \"unapproved, toy\"");
    assert_eq!(approved("https://x/1"), "True ApprovedAnnotation: approved in https://x/1");
    assert!(approved("maybe").starts_with("False InvalidAnnotation: "));
}

#[test]
fn a_bad_bundle_keeps_a_definition_from_being_served() {
    let mut one = crd("foos", "Foo");
    one["spec"]["conversion"] =
        json!({"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": "eA=="}}});
    let done = settle(one, &[]);
    assert_eq!(
        told(&done, "Established"),
        "False InvalidCABundle: The conversion webhook CABundle is invalid"
    );
}

#[test]
fn a_definition_goes_after_its_instances() {
    let mut one = settle(crd("foos", "Foo"), &[]);
    assert!(!needs_cleanup(&one));
    mark_deleted(&mut one, now());
    let told_then = told(&one, "Terminating");
    assert!(
        told_then.starts_with("True InstanceDeletionPending: CustomResourceDefinition marked for deletion")
    );
    one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert!(needs_cleanup(&one));
    let begun = begin_cleanup(&one, now()).expect("it is told");
    assert_eq!(
        told(&begun, "Terminating"),
        "True InstanceDeletionInProgress: CustomResource deletion is in progress"
    );
    assert_eq!(begin_cleanup(&begun, now()), None);
    let cases = [
        (Cleanup::Done, "False InstanceDeletionCompleted: removed all instances", true),
        (Cleanup::NeverEstablished, "False NeverEstablished: resource was never established", true),
        (Cleanup::ListFailed("x".into()), "True InstanceDeletionFailed: could not list instances: x", false),
        (
            Cleanup::DeleteFailed(vec!["x".into()]),
            "True InstanceDeletionFailed: could not issue all deletes: x",
            false,
        ),
        (
            Cleanup::Remain("x".into()),
            "True InstanceDeletionCheck: could not confirm zero CustomResources remaining: x",
            false,
        ),
        (
            Cleanup::Builtin,
            "False OverlappingBuiltInResource: instances overlap with built-in resources in storage",
            true,
        ),
    ];
    for (outcome, want, gone) in cases {
        let after = after_cleanup(&begun, &outcome, now());
        assert_eq!(
            (told(&after, "Terminating").as_str(), !needs_cleanup(&after)),
            (want, gone),
            "{outcome:?}"
        );
    }
}
