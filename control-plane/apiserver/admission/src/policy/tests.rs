//! Policies, from their objects to what becomes of requests.

use std::sync::Arc;

use oarlock_api::GroupResource;
use oarlock_apiserver_access::admission::AdmissionChain;
use oarlock_apiserver_access::{AdmissionPlugin, Phase, User};
use serde_json::{Value, json};

use super::{MutatingAdmissionPolicy, ValidatingAdmissionPolicy, type_check};
use crate::testing::{FakeObjects, FakeSurface, Sent, config_map, put, widget_v1, world};

fn constraints() -> Value {
    json!({"matchPolicy": "Equivalent", "resourceRules": [
        {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]},
    ]})
}

fn spec(base: Value, extra: &Value) -> Value {
    let mut spec = base;
    for (field, value) in extra.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

/// A policy `p` with a binding `b`.
fn validating(objects: &FakeObjects, policy: &Value, binding: &Value) {
    let policy = spec(json!({"failurePolicy": "Fail", "matchConstraints": constraints()}), policy);
    let binding = spec(json!({"policyName": "p", "validationActions": ["Deny"]}), binding);
    put(objects, "validatingadmissionpolicies", json!({"metadata": {"name": "p"}, "spec": policy}));
    put(objects, "validatingadmissionpolicybindings", json!({"metadata": {"name": "b"}, "spec": binding}));
}

fn mutating(objects: &FakeObjects, name: &str, policy: &Value) {
    let base =
        json!({"failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": constraints()});
    put(
        objects,
        "mutatingadmissionpolicies",
        json!({"metadata": {"name": name}, "spec": spec(base, policy)}),
    );
    put(
        objects,
        "mutatingadmissionpolicybindings",
        json!({"metadata": {"name": name}, "spec": {"policyName": name}}),
    );
}

type Told = Result<(), (u16, String, String)>;

async fn validate(policy: Value, binding: Value, sent: &mut Sent) -> Told {
    let (world, objects) = world();
    let limits = json!({"metadata": {"name": "limits", "namespace": "default", "labels": {"for": "p"}}, "data": {"max": "3"}});
    objects.put(&GroupResource::new("", "configmaps"), limits);
    validating(&objects, &policy, &binding);
    let plugin = ValidatingAdmissionPolicy::new(world);
    assert!(plugin.concerns(Phase::Validate, &sent.request()));
    let result = plugin.validate(&sent.request()).await;
    result.map_err(|status| (status.code, status.reason, status.message))
}

async fn check(policy: Value, binding: Value, want: Result<(), &str>) {
    let got = validate(policy.clone(), binding, &mut config_map("a", json!({"size": "4"}))).await;
    let got = got.map_err(|(_, _, message)| message);
    let want = want.map_err(|why| {
        format!("configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {why}")
    });
    assert_eq!(got, want, "{policy}");
}

#[tokio::test]
async fn rules_refuse_with_their_messages() {
    let rule = |rule: Value| json!({"validations": [rule]});
    let none = json!({});
    check(rule(json!({"expression": "object.data.size == '4'"})), none.clone(), Ok(())).await;
    let small = "int(object.data.size) < 4";
    check(
        rule(json!({"expression": small})),
        none.clone(),
        Err("failed expression: int(object.data.size) < 4"),
    )
    .await;
    check(rule(json!({"expression": small, "message": " too large "})), none.clone(), Err("too large")).await;
    let told = json!({"expression": small, "message": "m", "messageExpression": "'is ' + object.data.size"});
    check(rule(told), none.clone(), Err("is 4")).await;
    let broken = json!({"expression": small, "message": "m", "messageExpression": "object.data.nothing"});
    check(rule(broken), none.clone(), Err("m")).await;
    let missing = json!({"expression": "object.data.nothing == '1'"});
    check(
        rule(missing.clone()),
        none.clone(),
        Err("expression 'object.data.nothing == '1'' resulted in error: no such key: nothing"),
    )
    .await;
    check(json!({"validations": [missing], "failurePolicy": "Ignore"}), none, Ok(())).await;
}

#[tokio::test]
async fn a_reason_is_a_code() {
    let check = async |reason: Value, want: (u16, &str)| {
        let policy = json!({"validations": [spec(json!({"expression": "false"}), &reason)]});
        let (code, reason, _) =
            validate(policy, json!({}), &mut config_map("a", json!({}))).await.expect_err("refused");
        assert_eq!((code, reason.as_str()), want);
    };
    check(json!({}), (422, "Invalid")).await;
    check(json!({"reason": "Forbidden"}), (403, "Forbidden")).await;
    check(json!({"reason": "RequestEntityTooLarge"}), (413, "RequestEntityTooLarge")).await;
}

#[tokio::test]
async fn expressions_see_what_upstream_shows_them() {
    let holds = async |expression: &str| {
        check(json!({"validations": [{"expression": expression}]}), json!({}), Ok(())).await;
    };
    holds("oldObject == null").await;
    holds("request.operation == 'CREATE' && request.name == 'a' && request.namespace == 'default'").await;
    holds("request.userInfo.username == 'alice' && request.userInfo.groups == ['staff']").await;
    holds("request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps' && !request.dryRun")
        .await;
    holds("namespaceObject.metadata.labels.team == 'a'").await;
    holds("!has(request.subResource)").await;
    holds("!authorizer.requestResource.check('delete').allowed()").await;
    holds("!authorizer.group('').resource('pods').namespace('x').check('get').allowed()").await;
}

#[tokio::test]
async fn the_authorizer_is_asked_and_answers() {
    let mut sent = config_map("a", json!({}));
    sent.user = Arc::new(User { name: "admin".into(), ..User::default() });
    // Each question costs a third of what one expression may cost.
    let policy = json!({"validations": [
        {"expression": "authorizer.requestResource.check('delete').allowed() && authorizer.path('/x').check('get').allowed()"},
        {"expression": "authorizer.requestResource.check('list').allowed() && authorizer.path('/y').check('list').allowed()"},
        {"expression": "!authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('get').allowed()"},
    ]});
    assert_eq!(validate(policy, json!({}), &mut sent).await, Ok(()));
}

#[tokio::test]
async fn variables_are_evaluated_when_they_are_used() {
    let policy = json!({
        "variables": [
            {"name": "size", "expression": "int(object.data.size)"},
            {"name": "double", "expression": "variables.size * 2"},
            {"name": "broken", "expression": "int(object.data.nothing)"},
        ],
        "validations": [{"expression": "variables.double == 8"}],
    });
    check(policy, json!({}), Ok(())).await;
}

#[tokio::test]
async fn params_come_by_name_or_by_labels() {
    let policy = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "params == null || int(object.data.size) <= int(params.data.max)"}],
    });
    let denied = Err("failed expression: params == null || int(object.data.size) <= int(params.data.max)");
    let by = |param: Value| json!({"paramRef": param});
    check(policy.clone(), json!({}), Ok(())).await;
    let name = json!({"name": "limits", "parameterNotFoundAction": "Deny"});
    check(policy.clone(), by(name), denied).await;
    let labels = json!({"selector": {"matchLabels": {"for": "p"}}, "parameterNotFoundAction": "Deny"});
    check(policy.clone(), by(labels), denied).await;
    let elsewhere = json!({"name": "limits", "namespace": "x", "parameterNotFoundAction": "Allow"});
    check(policy.clone(), by(elsewhere), Ok(())).await;
    let lost = json!({"name": "lost", "parameterNotFoundAction": "Deny"});
    let told =
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    check(policy, by(lost), Err(told)).await;
    let unknown = json!({"paramKind": {"apiVersion": "no/v1", "kind": "No"}, "validations": []});
    let (_, _, message) =
        validate(unknown, json!({}), &mut config_map("a", json!({}))).await.expect_err("unknown");
    assert!(
        message.ends_with(
            "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced \
             by paramKind: 'no/v1, Kind=No'"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn conditions_exclude_before_they_fail() {
    let policy =
        |conditions: Value| json!({"matchConditions": conditions, "validations": [{"expression": "false"}]});
    let (no, broken) =
        (json!({"name": "n", "expression": "false"}), json!({"name": "b", "expression": "object.x == 1"}));
    check(policy(json!([broken, no])), json!({}), Ok(())).await;
    let why = "expression 'object.x == 1' resulted in error: no such key: x";
    check(policy(json!([broken])), json!({}), Err(why)).await;
}

#[tokio::test]
async fn warnings_and_audit_are_told_instead_of_refusals() {
    let policy = json!({
        "validations": [{"expression": "true"}, {"expression": "false", "message": "no"}],
        "auditAnnotations": [
            {"key": "size", "valueExpression": "'size ' + object.data.size"},
            {"key": "none", "valueExpression": "null"},
        ],
    });
    let mut sent = config_map("a", json!({"size": "4"}));
    assert_eq!(validate(policy, json!({"validationActions": ["Warn", "Audit"]}), &mut sent).await, Ok(()));
    assert_eq!(
        sent.annotations.take_warnings(),
        ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"]
    );
    let audit = sent.annotations.all();
    assert_eq!(audit["p/size"], "size 4");
    assert!(!audit.contains_key("p/none"));
    let failures: Value =
        serde_json::from_str(&audit["validation.policy.admission.k8s.io/validation_failure"]).expect("JSON");
    assert_eq!(
        failures,
        json!([{"message": "no", "policy": "p", "binding": "b", "expressionIndex": 1, "validationActions": ["Warn", "Audit"]}])
    );
}

#[tokio::test]
async fn a_policy_sees_the_version_that_it_names() {
    let mut sent = widget_v1("w");
    let constraints = json!({"matchPolicy": "Equivalent", "resourceRules": [
        {"operations": ["*"], "apiGroups": ["example.com"], "apiVersions": ["v2"], "resources": ["widgets"]},
    ]});
    let policy = json!({"matchConstraints": constraints, "validations": [
        {"expression": "object.spec.length == 3 && request.kind.version == 'v2' && request.requestKind.version == 'v1'"},
    ]});
    assert_eq!(validate(policy, json!({}), &mut sent).await, Ok(()));
}

#[tokio::test]
async fn dear_expressions_are_stopped() {
    let digits = "[0,1,2,3,4,5,6,7,8,9]";
    let mut dear = "x1 == x1".to_string();
    for depth in (1..=8).rev() {
        dear = format!("{digits}.all(x{depth}, {dear})");
    }
    let policy = json!({"validations": [{"expression": dear}]});
    let (_, _, message) =
        validate(policy, json!({}), &mut config_map("a", json!({}))).await.expect_err("too dear");
    assert!(message.ends_with("operation cancelled: actual cost limit exceeded"), "{message}");
}

fn apply(expression: &str) -> Value {
    json!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]})
}

fn json_patch(expression: &str) -> Value {
    json!({"mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]})
}

async fn mutate(policy: Value) -> Result<Value, (u16, String, String)> {
    let (world, objects) = world();
    mutating(&objects, "p", &policy);
    let plugin = MutatingAdmissionPolicy::new(world);
    let mut sent = config_map("a", json!({"size": "4"}));
    match plugin.mutate(&mut sent.request()).await {
        Ok(()) => Ok(sent.object.expect("still there")),
        Err(status) => Err((status.code, status.reason, status.message)),
    }
}

#[tokio::test]
async fn objects_are_merged_and_patched() {
    let object = mutate(apply("Object{metadata: Object.metadata{labels: {'x': object.data.size}}}")).await;
    let object = object.expect("merged");
    assert_eq!(object["metadata"]["labels"], json!({"x": "4"}));
    assert_eq!(object["data"], json!({"size": "4"}), "nothing is lost");
    let patch = "[JSONPatch{op: 'test', path: '/data/size', value: '4'}, \
                 JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('a/b'), value: 'c'}]";
    let object = mutate(json_patch(patch)).await.expect("patched");
    assert_eq!(object["data"], json!({"size": "4", "a/b": "c"}));
    let other =
        "[JSONPatch{op: 'test', path: '/data/size', value: '5'}, JSONPatch{op: 'remove', path: '/data'}]";
    let object = mutate(json_patch(other)).await.expect("not meant for it");
    assert_eq!(object["data"], json!({"size": "4"}));
}

#[tokio::test]
async fn mutations_that_fail_refuse_or_not() {
    let broken = "Object{metadata: Object.metadata{labels: {'x': string(object.data.nothing)}}}";
    let (code, reason, message) = mutate(apply(broken)).await.expect_err("no such key");
    assert_eq!((code, reason.as_str()), (403, "Invalid"));
    assert_eq!(
        message,
        format!(
            "policy 'p' with binding 'p' denied request: expression '{broken}' resulted in error: no such key: nothing"
        )
    );
    let unknown = "[JSONPatch{op: 'add', path: '/spec', value: 1}]";
    let mut policy = json_patch(unknown);
    policy["failurePolicy"] = "Ignore".into();
    let (code, _, message) = mutate(policy).await.expect_err("whatever the failure policy");
    let told = "Internal error occurred: strict decoding error: unknown field \"spec\"";
    assert_eq!((code, message.as_str()), (500, told));
    let misnamed = "[JSONPatch{op: 'add', path: '/data', value: Object.spec{template: Object.spec.other{}}}]";
    let (code, _, message) = mutate(json_patch(misnamed)).await.expect_err("a name that does not follow");
    let told = "type mismatch: unexpected type name \"Object.spec.other\", expected \"Object.spec.template\"";
    assert!(code == 403 && message.contains(told), "{message}");
    let mut ignored = apply(broken);
    ignored["failurePolicy"] = "Ignore".into();
    mutate(ignored).await.expect("ignored");
}

#[tokio::test]
async fn policies_that_wish_it_see_later_changes() {
    let (world, objects) = world();
    let mut first = apply(
        "Object{metadata: Object.metadata{labels: {'late': string(has(object.metadata.annotations))}}}",
    );
    first["reinvocationPolicy"] = "IfNeeded".into();
    mutating(&objects, "1", &first);
    mutating(&objects, "2", &apply("Object{metadata: Object.metadata{annotations: {'x': 'y'}}}"));
    let chain = AdmissionChain::new(vec![Arc::new(MutatingAdmissionPolicy::new(world))]);
    let mut sent = config_map("a", json!({}));
    crate::mutate(&chain, &mut sent.request()).await.expect("merged");
    let object = sent.object.expect("still there");
    assert_eq!(object["metadata"]["labels"], json!({"late": "true"}));
}

#[test]
fn types_are_checked_against_what_is_served() {
    let check = |rules: Value, expression: &str, want: Value| {
        let policy = json!({"metadata": {"generation": 7}, "spec": {
            "matchConstraints": {"resourceRules": rules}, "validations": [{"expression": expression}],
        }});
        let want = json!({"observedGeneration": 7, "typeChecking": want});
        assert_eq!(type_check(&policy, &FakeSurface), want, "{expression}");
    };
    let deployments = json!([{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}]);
    check(deployments.clone(), "object.spec.replicas > 1", json!({}));
    let warning = "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'\n | object.spec.replica > 1\n | ...........^\n";
    check(
        deployments,
        "object.spec.replica > 1",
        json!({"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning": warning}]}),
    );
    let all = json!([{"apiGroups": ["*"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}]);
    check(all, "object.spec.replica > 1", json!({}));
}

#[tokio::test]
async fn empty_values_that_are_always_written_are_seen() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let resource = oarlock_api::GroupVersionResource::new("", "v1", "pods");
    let policy = json!({"validations": [
        {"expression": "!object.spec.containers.exists(c, has(c.resources.limits)) && has(object.status)"},
    ]});
    let mut sent = Sent::create(resource, pod);
    assert_eq!(validate(policy, json!({}), &mut sent).await, Ok(()));
}
