//! Tables: an object with one thing changed, and what is said of it.

use serde_json::{Value, json};

use super::for_kind;

fn told(kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let validate = for_kind(kind).expect("a kind of the group");
    validate(new, old).iter().map(ToString::to_string).collect()
}

/// `object` with the value at `pointer` replaced, or removed for null.
fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    let parent = object.pointer_mut(parent).expect("the parent is there");
    match (parent, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(field)),
        (Value::Array(list), value) => list[field.parse::<usize>().expect("an index")] = value,
        (parent, value) => parent[field] = value,
    }
    object
}

fn webhook() -> Value {
    json!({"metadata": {"name": "c"}, "webhooks": [{
        "name": "a.b.c",
        "clientConfig": {"url": "https://a/b"},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "timeoutSeconds": 10,
    }]})
}

fn check_webhook(pointer: &str, value: Value, want: &[&str]) {
    let object = with(&webhook(), &format!("/webhooks/0{pointer}"), value);
    assert_eq!(told("ValidatingWebhookConfiguration", &object, None), want, "{pointer}");
}

#[test]
fn rules_of_webhooks_are_checked() {
    let check = check_webhook;
    check("/name", json!("a.b.c"), &[]);
    check(
        "/name",
        json!("a.b"),
        &[
            "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
        ],
    );
    check("/name", Value::Null, &["webhooks[0].name: Required value"]);
    check(
        "/rules/0/operations",
        json!(["*", "CREATE"]),
        &[
            "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations",
        ],
    );
    check(
        "/rules/0/operations",
        json!(["PATCH"]),
        &[
            "webhooks[0].rules[0].operations[0]: Unsupported value: \"PATCH\": supported values: \"*\", \"CONNECT\", \
           \"CREATE\", \"DELETE\", \"UPDATE\"",
        ],
    );
    check("/rules/0/apiVersions", json!([]), &["webhooks[0].rules[0].apiVersions: Required value"]);
    check(
        "/rules/0/resources",
        json!(["pods/*", "pods/log"]),
        &[
            "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
        ],
    );
    check(
        "/rules/0/resources",
        json!(["*", "pods"]),
        &[
            "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other \
           resources without subresources",
        ],
    );
    check(
        "/rules/0/scope",
        json!("Pod"),
        &[
            "webhooks[0].rules[0].scope: Unsupported value: \"Pod\": supported values: \"*\", \"Cluster\", \"Namespaced\"",
        ],
    );
}

#[test]
fn webhooks_are_checked() {
    let check = check_webhook;
    check(
        "/sideEffects",
        json!("Some"),
        &[
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ],
    );
    check(
        "/sideEffects",
        Value::Null,
        &["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"],
    );
    check(
        "/timeoutSeconds",
        json!(31),
        &[
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ],
    );
    check(
        "/clientConfig",
        json!({}),
        &["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
    );
    check(
        "/clientConfig",
        json!({"service": {"name": "s", "port": 0}}),
        &[
            "webhooks[0].clientConfig.service.name: Required value",
            "webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, \
             inclusive",
        ],
    );
    check(
        "/admissionReviewVersions",
        json!(["v2", "v2"]),
        &[
            "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, v1beta1",
        ],
    );
    check(
        "/admissionReviewVersions",
        json!([]),
        &["webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
    );
    check(
        "/objectSelector",
        json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
        &[
            "webhooks[0].objectSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' \
           or 'NotIn'",
        ],
    );
    check(
        "/matchConditions",
        json!([{"name": "", "expression": ""}]),
        &[
            "webhooks[0].matchConditions[0].expression: Required value",
            "webhooks[0].matchConditions[0].name: Required value",
        ],
    );
    // Only of mutating webhooks.
    check("/reinvocationPolicy", json!("Always"), &[]);
    let mutating = with(&webhook(), "/webhooks/0/reinvocationPolicy", json!("Always"));
    assert_eq!(
        told("MutatingWebhookConfiguration", &mutating, None),
        [
            "webhooks[0].reinvocationPolicy: Unsupported value: \"Always\": supported values: \"IfNeeded\", \"Never\""
        ]
    );
}

#[test]
fn what_was_stored_before_a_rule_may_stay() {
    let check = |pointer: &str, value: Value, refused: usize| {
        let object = with(&webhook(), &format!("/webhooks/0{pointer}"), value);
        assert_eq!(told("ValidatingWebhookConfiguration", &object, Some(&object)), [""; 0], "{pointer}");
        assert_eq!(told("ValidatingWebhookConfiguration", &object, Some(&webhook())).len(), refused);
    };
    check("/sideEffects", json!("Some"), 1);
    check("/admissionReviewVersions", json!(["v2"]), 1);
    let bad = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]});
    check("/objectSelector", bad, 1);
    check("/matchConditions", json!([{"name": "x", "expression": "not CEL("}]), 1);
    let mut twice = webhook();
    let hook = twice["webhooks"][0].clone();
    twice["webhooks"].as_array_mut().expect("a list").push(hook);
    assert_eq!(
        told("ValidatingWebhookConfiguration", &twice, None),
        ["webhooks[1].name: Duplicate value: \"a.b.c\""]
    );
    assert_eq!(told("ValidatingWebhookConfiguration", &twice, Some(&twice)), [""; 0]);
}

fn constraints() -> Value {
    json!({
        "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
        "resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
    })
}

fn policy() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": constraints(),
        "validations": [{"expression": "object.metadata.name != 'x'"}],
    }})
}

fn check_policy(pointer: &str, value: Value, want: &[&str]) {
    let object = with(&policy(), &format!("/spec{pointer}"), value);
    let told = told("ValidatingAdmissionPolicy", &object, None);
    assert_eq!(told.len(), want.len(), "{pointer}: {told:#?}");
    for (told, want) in told.iter().zip(want) {
        assert!(told.starts_with(want), "{told}\nis not\n{want}");
    }
}

#[test]
fn constraints_of_policies_are_checked() {
    let check = check_policy;
    check("/failurePolicy", json!("Fail"), &[]);
    check("/failurePolicy", Value::Null, &["spec.failurePolicy: Required value"]);
    check("/matchConstraints", Value::Null, &["spec.matchConstraints: Required value"]);
    check(
        "/matchConstraints/resourceRules",
        json!([]),
        &["spec.matchConstraints.resourceRules: Required value"],
    );
    check(
        "/matchConstraints/namespaceSelector",
        Value::Null,
        &["spec.matchConstraints.namespaceSelector: Required value"],
    );
    check(
        "/matchConstraints/resourceRules/0/resourceNames",
        json!(["a/b", "c", "c"]),
        &[
            "spec.matchConstraints.resourceRules[0].resourceNames[0]: Invalid value: \"a/b\": may not contain '/'",
            "spec.matchConstraints.resourceRules[0].resourceNames[2]: Duplicate value: \"c\"",
        ],
    );
    check(
        "/paramKind",
        json!({"apiVersion": "a/b/c", "kind": ""}),
        &[
            "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "spec.paramKind.kind: Required value",
        ],
    );
}

#[test]
fn validations_are_checked() {
    let check = check_policy;
    check(
        "/validations",
        json!([]),
        &[
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ],
    );
    check(
        "/validations/0/expression",
        json!("object.metadata.name"),
        &[
            "spec.validations[0].expression: Invalid value: \"object.metadata.name\": must evaluate to bool but got dyn",
        ],
    );
    check(
        "/validations/0/expression",
        json!("missing == 1"),
        &[
            "spec.validations[0].expression: Invalid value: \"missing == 1\": compilation failed: ERROR: <input>:1:1: \
           undeclared reference to 'missing' (in container '')",
        ],
    );
    check(
        "/validations/0/expression",
        json!("params.x == 1"),
        &[
            "spec.validations[0].expression: Invalid value: \"params.x == 1\": compilation failed: ERROR: <input>:1:1: \
           undeclared reference to 'params' (in container '')",
        ],
    );
    check(
        "/validations/0/message",
        json!("a\nb"),
        &["spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks"],
    );
    check(
        "/validations/0/messageExpression",
        json!("1"),
        &["spec.validations[0].messageExpression: Invalid value: \"1\": must evaluate to string but got int"],
    );
    check(
        "/validations/0/reason",
        json!("Gone"),
        &["spec.validations[0].reason: Unsupported value: \"Gone\""],
    );
    check(
        "/auditAnnotations",
        json!([{"key": "a b", "valueExpression": "1"}]),
        &[
            "spec.auditAnnotations[0].key: Invalid value: \"p/a b\": name part must consist of",
            "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type] but \
             got int",
        ],
    );
    check(
        "/variables",
        json!([{"name": "in", "expression": "1"}, {"name": "b", "expression": ""}]),
        &[
            "spec.variables[0].name: Invalid value: \"in\": must be a valid CEL identifier",
            "spec.variables[1].expression: Required value: expression is not specified",
        ],
    );
    check(
        "/matchConditions",
        json!([{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]),
        &["spec.matchConditions[1].name: Duplicate value: \"a\""],
    );
    let composed = with(&policy(), "/spec/variables", json!([{"name": "a", "expression": "1"}]));
    let composed = with(&composed, "/spec/validations/0/expression", json!("variables.a == 1"));
    assert_eq!(told("ValidatingAdmissionPolicy", &composed, None), [""; 0]);
}

#[test]
fn mutating_policies_are_checked() {
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": constraints(),
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}",
        }}],
    }});
    let check = |pointer: &str, value: Value, want: &[&str]| {
        let object = with(&policy, &format!("/spec{pointer}"), value);
        let told = told("MutatingAdmissionPolicy", &object, None);
        assert_eq!(told.len(), want.len(), "{pointer}: {told:#?}");
        for (told, want) in told.iter().zip(want) {
            assert!(told.starts_with(want), "{told}\nis not\n{want}");
        }
    };
    check("/reinvocationPolicy", json!("IfNeeded"), &[]);
    check("/reinvocationPolicy", Value::Null, &["spec.reinvocationPolicy: Required value"]);
    check(
        "/mutations",
        json!([]),
        &["spec.mutations: Required value: mutations must contain at least one item"],
    );
    check(
        "/matchConstraints/resourceRules/0/operations",
        json!(["DELETE"]),
        &[
            "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \
           \"CONNECT\", \"CREATE\", \"UPDATE\"",
        ],
    );
    check(
        "/mutations/0",
        json!({"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}}),
        &[
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when \
             patchType is JSONPatch",
        ],
    );
    check(
        "/mutations/0",
        json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/a', value: 1}]"}}),
        &[],
    );
    check(
        "/mutations/0/applyConfiguration/expression",
        json!("1"),
        &[
            "spec.mutations[0].applyConfiguration.expression: Invalid value: \"1\": must evaluate to Object but got int",
        ],
    );
}

#[test]
fn bindings_are_checked() {
    let binding = json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}});
    let check = |pointer: &str, value: Value, want: &[&str]| {
        let object = with(&binding, &format!("/spec{pointer}"), value);
        assert_eq!(told("ValidatingAdmissionPolicyBinding", &object, None), want, "{pointer}");
    };
    check("/policyName", Value::Null, &["spec.policyName: Required value"]);
    check(
        "/validationActions",
        Value::Null,
        &["spec.validationActions: Required value: at least one validation action is required"],
    );
    check(
        "/validationActions",
        json!(["Deny", "Warn"]),
        &[
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating the \
           same validation failure information in the API response and headers serves no purpose)",
        ],
    );
    check(
        "/paramRef",
        json!({"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"}),
        &[
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
        ],
    );
    check(
        "/paramRef",
        json!({}),
        &[
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
        ],
    );
    check(
        "/matchResources",
        json!({"namespaceSelector": {}, "objectSelector": {}}),
        &["spec.matchResources.matchPolicy: Required value"],
    );
}
