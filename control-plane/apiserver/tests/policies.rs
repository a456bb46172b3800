//! Admission policies through the whole server: parameters from a definition, bindings, warnings, mutations.

mod common;

use common::{TestServer, eventually, start};
use http::Method;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";
const CAPS: &str = "/apis/policy.example.com/v1/namespaces/default/caps";

async fn made(server: &TestServer, path: &str, object: Value) {
    let (code, answer) = server.ask(Method::POST, path, object).await;
    assert_eq!(code, 201, "{path}: {answer}");
}

fn on_config_maps() -> Value {
    json!({ "resourceRules": [{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"],
    }] })
}

fn map(name: &str, data: Value) -> Value {
    json!({ "metadata": { "name": name }, "data": data })
}

/// A definition whose instances say how many keys a ConfigMap may have.
async fn define_caps(server: &TestServer) {
    let definition = json!({
        "metadata": { "name": "caps.policy.example.com" },
        "spec": {
            "group": "policy.example.com", "scope": "Namespaced", "names": { "plural": "caps", "kind": "Cap" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "most": { "type": "integer" } },
            } } }],
        },
    });
    made(server, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    eventually("caps", async || (server.get(CAPS).await.0 == 200).then_some(())).await;
}

/// How creating this ConfigMap, without doing it, is answered.
async fn dry(server: &TestServer, data: &Value) -> (u16, String) {
    let path = format!("{MAPS}?dryRun=All");
    let (code, answer) = server.ask(Method::POST, &path, map("m", data.clone())).await;
    (code, answer["message"].as_str().unwrap_or_default().into())
}

#[tokio::test]
async fn a_policy_denies_by_its_parameters() {
    let server = start().await;
    define_caps(&server).await;
    let policy = json!({
        "metadata": { "name": "few-keys" },
        "spec": {
            "matchConstraints": on_config_maps(), "failurePolicy": "Fail",
            "paramKind": { "apiVersion": "policy.example.com/v1", "kind": "Cap" },
            "variables": [{ "name": "size", "expression": "has(object.data) ? object.data.size() : 0" }],
            "matchConditions": [{ "name": "not-free", "expression": "!object.metadata.name.startsWith('free')" }],
            "validations": [{
                "expression": "variables.size <= params.most",
                "messageExpression": "string(variables.size) + ' keys, ' + string(params.most) + ' at most'",
            }],
            "auditAnnotations": [{ "key": "size", "valueExpression": "string(variables.size)" }],
        },
    });
    made(&server, &format!("{POLICIES}/validatingadmissionpolicies"), policy).await;
    let two = json!({ "a": "1", "b": "2" });
    assert_eq!(dry(&server, &two).await.0, 201, "a policy without a binding does nothing");
    let binding = json!({
        "metadata": { "name": "bound" },
        "spec": {
            "policyName": "few-keys", "validationActions": ["Deny"],
            "paramRef": { "name": "cap", "parameterNotFoundAction": "Deny" },
        },
    });
    made(&server, &format!("{POLICIES}/validatingadmissionpolicybindings"), binding).await;
    let message = eventually("bound", async || {
        let (code, message) = dry(&server, &two).await;
        (code != 201).then_some(message)
    })
    .await;
    assert!(
        message.contains("no params found for policy binding with `Deny` parameterNotFoundAction"),
        "{message}"
    );
    let cap = json!({ "apiVersion": "policy.example.com/v1", "kind": "Cap", "metadata": { "name": "cap" }, "most": 1 });
    made(&server, CAPS, cap).await;
    let denied = "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'few-keys' with binding 'bound' denied request: \
                  2 keys, 1 at most";
    eventually("with params", async || (dry(&server, &two).await == (422, denied.into())).then_some(()))
        .await;
    assert_eq!(dry(&server, &json!({ "a": "1" })).await.0, 201);
    assert_eq!(
        server.ask(Method::POST, MAPS, map("free", two.clone())).await.0,
        201,
        "its conditions exclude it"
    );

    let merge = [("content-type", "application/merge-patch+json")];
    let more = json!({ "most": 2 }).to_string();
    assert_eq!(server.ask_with(Method::PATCH, &format!("{CAPS}/cap"), &merge, more.into()).await.0, 200);
    eventually("new params", async || (dry(&server, &two).await.0 == 201).then_some(())).await;
    let warn = json!({ "spec": { "validationActions": ["Warn"] } }).to_string();
    let path = format!("{POLICIES}/validatingadmissionpolicybindings/bound");
    assert_eq!(server.ask_with(Method::PATCH, &path, &merge, warn.into()).await.0, 200);
    let three = map("m", json!({ "a": "1", "b": "2", "c": "3" })).to_string();
    let warning = eventually("a warning", async || {
        let path = format!("{MAPS}?dryRun=All");
        let answer = server.raw(Method::POST, &path, &[], three.clone().into()).await;
        let warning =
            answer.headers().get("warning").and_then(|value| value.to_str().ok()).map(str::to_string);
        (answer.status() == 201).then_some(warning)?
    })
    .await;
    let want = "299 - \"Validation failed for ValidatingAdmissionPolicy 'few-keys' with binding 'bound': 3 keys, 2 at most\"";
    assert_eq!(warning, want);
    server.stop().await;
}

#[tokio::test]
async fn expressions_are_checked_when_written_and_typed_in_the_status() {
    let server = start().await;
    let policy = |name: &str, expression: &str| {
        json!({
            "metadata": { "name": name },
            "spec": { "matchConstraints": on_config_maps(), "validations": [{ "expression": expression }] },
        })
    };
    let path = format!("{POLICIES}/validatingadmissionpolicies");
    let (code, refused) = server.ask(Method::POST, &path, policy("broken", "object.")).await;
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(code == 422 && message.contains("spec.validations[0].expression: Invalid value: "), "{refused}");
    made(&server, &path, policy("typo", "object.dat.size() > 0")).await;
    let warning = eventually("type checked", async || {
        let (_, policy) = server.get(&format!("{path}/typo")).await;
        policy["status"]["typeChecking"]["expressionWarnings"][0].as_object().cloned()
    })
    .await;
    assert_eq!(warning["fieldRef"], "spec.validations[0].expression");
    assert!(
        warning["warning"].as_str().is_some_and(|text| text.contains("undefined field 'dat'")),
        "{warning:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn policies_change_objects() {
    let server = start().await;
    let mutations = [
        json!({ "patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'by': request.userInfo.username}}}",
        } }),
        json!({ "patchType": "JSONPatch", "jsonPatch": {
            "expression": "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]",
        } }),
    ];
    let policy = json!({
        "metadata": { "name": "mark" },
        "spec": { "matchConstraints": on_config_maps(), "reinvocationPolicy": "Never", "mutations": mutations },
    });
    made(&server, &format!("{POLICIES}/mutatingadmissionpolicies"), policy).await;
    let binding = json!({ "metadata": { "name": "mark" }, "spec": { "policyName": "mark" } });
    made(&server, &format!("{POLICIES}/mutatingadmissionpolicybindings"), binding).await;
    let changed = eventually("in force", async || {
        let path = format!("{MAPS}?dryRun=All");
        let (code, made) = server.ask(Method::POST, &path, map("m", json!({ "k": "v" }))).await;
        assert_eq!(code, 201, "{made}");
        (!made["metadata"]["labels"].is_null()).then_some(made)
    })
    .await;
    assert_eq!(changed["metadata"]["labels"], json!({ "by": "admin", "a/b": "c" }));
    server.stop().await;
}
