//! Both plugins against real webhook servers.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_apiserver_access::admission::AdmissionChain;
use oarlock_apiserver_access::{AdmissionPlugin, Operation, Phase};
use oarlock_apiserver_webhook::NoServices;
use oarlock_apiserver_webhook::testing::{Answer, TestServer, clients};
use serde_json::{Value, json};

use super::{MutatingAdmissionWebhook, ValidatingAdmissionWebhook};
use crate::testing::{FakeObjects, Sent, config_map, put, widget_v1, world};

/// A configuration with one webhook for all resources; `extra` overrides.
fn configuration(kind: &str, name: &str, client: &Value, extra: Value) -> Value {
    let mut hook = json!({
        "name": format!("{name}.test"),
        "clientConfig": client,
        "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 10,
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        hook[field] = value.clone();
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": name}, "webhooks": [hook],
    })
}

fn validating(objects: &FakeObjects, name: &str, client: &Value, extra: Value) {
    let object = configuration("ValidatingWebhookConfiguration", name, client, extra);
    put(objects, "validatingwebhookconfigurations", object);
}

fn mutating(objects: &FakeObjects, name: &str, client: &Value, extra: Value) {
    let object = configuration("MutatingWebhookConfiguration", name, client, extra);
    put(objects, "mutatingwebhookconfigurations", object);
}

fn answer(review: &Value, mut response: Value) -> Answer {
    response["uid"] = review["request"]["uid"].clone();
    Answer::json(
        &json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
    )
}

fn patch(review: &Value, operations: &Value) -> Answer {
    let patch = STANDARD.encode(operations.to_string());
    answer(review, json!({"allowed": true, "patch": patch, "patchType": "JSONPatch"}))
}

/// Answers by path: `/allow`, `/deny`, `/label/<x>` …
async fn server() -> TestServer {
    TestServer::start(&[], |received| {
        let review = &received.body;
        let path = received.path.split('?').next().unwrap_or_default();
        match path.split('/').collect::<Vec<_>>()[1..] {
            ["allow"] => answer(review, json!({
                "allowed": true, "warnings": ["mind the gap"], "auditAnnotations": {"key": "value"},
            })),
            ["deny"] => answer(review, json!({
                "allowed": false, "status": {"code": 403, "reason": "Forbidden", "message": "no entry"},
            })),
            ["label", value] => patch(review, &json!([
                {"op": "add", "path": "/metadata/labels", "value": {"seen": value}},
            ])),
            ["data", key] => patch(review, &json!([
                {"op": "add", "path": format!("/data/{key}"), "value": "x"},
            ])),
            ["length"] => patch(review, &json!([{"op": "replace", "path": "/spec/length", "value": 9}])),
            ["kind"] => patch(review, &json!([{"op": "replace", "path": "/kind", "value": "Secret"}])),
            ["nothing"] => patch(review, &json!([{"op": "replace", "path": "", "value": 5}])),
            ["wrong-type"] => patch(review, &json!([{"op": "add", "path": "/data", "value": 5}])),
            ["bad-patch"] => patch(review, &json!([{"op": "remove", "path": "/spec/nothing"}])),
            ["wrong-uid"] => Answer::json(&json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "x", "allowed": true},
            })),
            ["never"] => Answer::never(),
            _ => Answer::text(404, "no such path"),
        }
    })
    .await
}

async fn validate(plugin: &ValidatingAdmissionWebhook, sent: &mut Sent) -> Result<(), (u16, String)> {
    plugin.validate(&sent.request()).await.map_err(|status| (status.code, status.message))
}

#[tokio::test]
async fn without_configuration_nothing_happens() {
    let (world, _) = world();
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let plugin = ValidatingAdmissionWebhook::new(world, clients);
    let mut sent = config_map("a", json!({}));
    assert!(!plugin.concerns(Phase::Validate, &sent.request()));
    assert_eq!(validate(&plugin, &mut sent).await, Ok(()));
}

#[tokio::test]
async fn a_validating_webhook_is_asked_with_all_that_upstream_tells() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    validating(&objects, "a", &server.client_config("/allow"), json!({}));
    let plugin = ValidatingAdmissionWebhook::new(world, clients);
    let mut sent = config_map("a", json!({"k": "v"}));
    sent.operation = Operation::Update;
    sent.old = config_map("a", json!({"k": "old"})).object;
    sent.options = json!({"fieldManager": "kubectl", "force": true, "kind": "PatchOptions"});
    assert!(plugin.concerns(Phase::Validate, &sent.request()));
    assert_eq!(validate(&plugin, &mut sent).await, Ok(()));
    let mut review = server.requests()[0].body.clone();
    assert_eq!(server.requests()[0].path, "/allow?timeout=10s");
    assert_eq!(review["request"]["uid"].as_str().map(str::len), Some(36));
    review["request"]["uid"] = Value::Null;
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    assert_eq!(
        review,
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": null, "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "a", "namespace": "default", "operation": "UPDATE",
            "userInfo": {"username": "alice", "groups": ["staff"]},
            "object": sent.object, "oldObject": sent.old, "dryRun": false,
            "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl"},
        }})
    );
    assert_eq!(sent.annotations.take_warnings(), ["mind the gap"]);
    assert_eq!(sent.annotations.all()["a.test/key"], "value");
}

#[tokio::test]
async fn refusals_and_failures_are_told_as_upstream_tells_them() {
    let server = server().await;
    let check = async |path: &str, extra: Value, want: Result<(), (u16, String)>| {
        let (world, objects) = world();
        let (clients, _tasks) = clients(Arc::new(NoServices));
        validating(&objects, "h", &server.client_config(path), extra);
        let plugin = ValidatingAdmissionWebhook::new(world, clients);
        assert_eq!(validate(&plugin, &mut config_map("a", json!({}))).await, want, "{path}");
    };
    let failed =
        |why: &str| Err((500, format!("Internal error occurred: failed calling webhook \"h.test\": {why}")));
    let denied = "admission webhook \"h.test\" denied the request: no entry".to_string();
    check("/deny", json!({}), Err((403, denied))).await;
    let lost = failed("failed to call webhook: the server could not find the requested resource");
    check("/lost", json!({}), lost).await;
    check("/lost", json!({"failurePolicy": "Ignore"}), Ok(())).await;
    let uid = server.requests().len();
    let (world, objects) = world();
    let (clients, _tasks) = clients(Arc::new(NoServices));
    validating(&objects, "h", &server.client_config("/wrong-uid"), json!({}));
    let plugin = ValidatingAdmissionWebhook::new(world, clients);
    let (_, told) = validate(&plugin, &mut config_map("a", json!({}))).await.expect_err("not its answer");
    let asked = server.requests()[uid].body["request"]["uid"].as_str().unwrap_or_default().to_string();
    let want = format!("received invalid webhook response: expected response.uid=\"{asked}\", got \"x\"");
    assert!(told.ends_with(&want), "{told}");
    let old = json!({"admissionReviewVersions": ["v0"]});
    let none = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
    check("/allow", old, failed(none)).await;
    let timeout = format!(
        "failed to call webhook: Post \"{}?timeout=1s\": context deadline exceeded",
        server.url("/never")
    );
    check("/never", json!({"timeoutSeconds": 1}), failed(&timeout)).await;
}

#[tokio::test]
async fn validating_webhooks_are_asked_at_the_same_time_and_share_one_body() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    for name in ["a", "b", "c"] {
        let extra = json!({"timeoutSeconds": 1, "failurePolicy": "Ignore"});
        validating(&objects, name, &server.client_config("/never"), extra);
    }
    validating(&objects, "d", &server.client_config("/deny"), json!({}));
    let plugin = ValidatingAdmissionWebhook::new(world, clients);
    let mut sent = config_map("a", json!({}));
    let begun = tokio::time::Instant::now();
    let told = validate(&plugin, &mut sent).await.expect_err("the last refuses");
    assert!(begun.elapsed() < Duration::from_millis(2500), "one after the other would take three seconds");
    assert_eq!(told.0, 403);
    let key = "failed-open.validating.webhook.admission.k8s.io/round_0_index_2";
    assert_eq!(sent.annotations.all()[key], "c.test");
    let mut bodies: Vec<Value> = server.requests().into_iter().map(|received| received.body).collect();
    let uids: std::collections::BTreeSet<String> =
        bodies.iter().map(|body| body["request"]["uid"].to_string()).collect();
    assert_eq!(uids.len(), 4, "each call has its own uid");
    bodies.iter_mut().for_each(|body| body["request"]["uid"] = Value::Null);
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn dry_runs_reach_only_webhooks_without_side_effects() {
    let server = server().await;
    let check = async |class: &str, want: Result<(), (u16, String)>| {
        let (world, objects) = world();
        let (clients, _tasks) = clients(Arc::new(NoServices));
        validating(&objects, "h", &server.client_config("/allow"), json!({"sideEffects": class}));
        let plugin = ValidatingAdmissionWebhook::new(world, clients);
        let mut sent = config_map("a", json!({}));
        sent.dry_run = true;
        assert_eq!(validate(&plugin, &mut sent).await, want, "{class}");
    };
    check("NoneOnDryRun", Ok(())).await;
    let refused = "admission webhook \"h.test\" does not support dry run".to_string();
    check("Some", Err((400, refused))).await;
}

#[tokio::test]
async fn an_equivalent_version_is_what_the_webhook_sees_and_patches() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let v2 = json!({"rules": [{
        "operations": ["*"], "apiGroups": ["example.com"], "apiVersions": ["v2"], "resources": ["widgets"],
    }]});
    mutating(&objects, "m", &server.client_config("/length"), v2);
    let plugin = MutatingAdmissionWebhook::new(world, clients);
    let mut sent = widget_v1("w");
    plugin.mutate(&mut sent.request()).await.expect("patched");
    let request = &server.requests()[0].body["request"];
    assert_eq!(request["kind"]["version"], "v2");
    assert_eq!(request["requestKind"]["version"], "v1");
    assert_eq!(request["object"]["spec"], json!({"length": 3}));
    let object = sent.object.expect("still there");
    assert_eq!((&object["apiVersion"], &object["spec"]), (&json!("example.com/v1"), &json!({"size": 9})));
}

#[tokio::test]
async fn mutating_webhooks_run_in_order_and_tell_the_audit() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    mutating(&objects, "2", &server.client_config("/data/second"), json!({}));
    mutating(&objects, "1", &server.client_config("/label/first"), json!({}));
    mutating(&objects, "3", &server.client_config("/lost"), json!({"failurePolicy": "Ignore"}));
    let plugin = MutatingAdmissionWebhook::new(world, clients);
    let mut sent = config_map("a", json!({"k": "v"}));
    plugin.mutate(&mut sent.request()).await.expect("patched");
    let requests = server.requests();
    assert_eq!(requests[1].body["request"]["object"]["metadata"]["labels"], json!({"seen": "first"}));
    let object = sent.object.as_ref().expect("still there");
    assert_eq!(object["data"], json!({"k": "v", "second": "x"}));
    let audit = sent.annotations.all();
    let told = |key: &str| audit[key].as_str();
    assert_eq!(
        told("mutation.webhook.admission.k8s.io/round_0_index_0"),
        r#"{"configuration":"1","webhook":"1.test","mutated":true}"#
    );
    assert_eq!(
        told("patch.webhook.admission.k8s.io/round_0_index_1"),
        r#"{"configuration":"2","webhook":"2.test","patch":[{"op":"add","path":"/data/second","value":"x"}],"patchType":"JSONPatch"}"#
    );
    assert_eq!(
        told("mutation.webhook.admission.k8s.io/round_0_index_2"),
        r#"{"configuration":"3","webhook":"3.test","mutated":false}"#
    );
    assert_eq!(told("failed-open.mutation.webhook.admission.k8s.io/round_0_index_2"), "3.test");
}

#[tokio::test]
async fn patches_that_do_not_apply_refuse() {
    let server = server().await;
    let check = async |path: &str, mut sent: Sent, want: &str| {
        let (world, objects) = world();
        let (clients, _tasks) = clients(Arc::new(NoServices));
        mutating(&objects, "m", &server.client_config(path), json!({}));
        let plugin = MutatingAdmissionWebhook::new(world, clients);
        let status = plugin.mutate(&mut sent.request()).await.expect_err(want);
        assert_eq!((status.code, status.message.as_str()), (500, want));
    };
    let wrong = "Internal error occurred: remove operation does not apply: doc is missing path: \"/spec/nothing\": missing value";
    check("/bad-patch", config_map("a", json!({})), wrong).await;
    let other =
        "Internal error occurred: unable to convert the object from v1, Kind=Secret to v1, Kind=ConfigMap";
    check("/kind", config_map("a", json!({})), other).await;
    let mut delete = config_map("a", json!({}));
    delete.operation = Operation::Delete;
    delete.old = delete.object.take();
    let gone = "Internal error occurred: admission webhook \"m.test\" attempted to modify the object, which is not supported \
                for this operation";
    check("/label/x", delete, gone).await;
}

#[tokio::test]
async fn patches_that_leave_no_object_of_the_kind_refuse() {
    let server = server().await;
    for path in ["/nothing", "/wrong-type"] {
        let (world, objects) = world();
        let (clients, _tasks) = clients(Arc::new(NoServices));
        mutating(&objects, "m", &server.client_config(path), json!({}));
        let plugin = MutatingAdmissionWebhook::new(world, clients);
        let mut sent = config_map("a", json!({"k": "v"}));
        let before = sent.object.clone();
        let status = plugin.mutate(&mut sent.request()).await.expect_err(path);
        assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"), "{}", status.message);
        assert_eq!(sent.object, before);
    }
}

#[tokio::test]
async fn webhooks_that_wish_it_see_later_changes_once() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    mutating(&objects, "1", &server.client_config("/allow"), again);
    mutating(&objects, "2", &server.client_config("/allow"), json!({}));
    mutating(&objects, "3", &server.client_config("/data/new"), json!({}));
    let chain = AdmissionChain::new(vec![Arc::new(MutatingAdmissionWebhook::new(world, clients))]);
    let mut sent = config_map("a", json!({}));
    sent.object.as_mut().expect("an object")["data"] = json!({"k": "v"});
    crate::mutate(&chain, &mut sent.request()).await.expect("patched");
    let seen: Vec<bool> = server
        .requests()
        .iter()
        .filter(|received| received.path.starts_with("/allow"))
        .map(|received| received.body["request"]["object"]["data"]["new"] == "x")
        .collect();
    assert_eq!(seen, [false, false, true], "the first of them again, the second not");
    let audit = sent.annotations.all();
    assert!(audit.contains_key("mutation.webhook.admission.k8s.io/round_1_index_0"), "{audit:?}");
    assert!(!audit.contains_key("mutation.webhook.admission.k8s.io/round_1_index_2"));
}

#[tokio::test]
async fn configurations_of_admission_are_exempt() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    validating(&objects, "a", &server.client_config("/deny"), json!({}));
    let plugin = ValidatingAdmissionWebhook::new(world, clients);
    let object = configuration("ValidatingWebhookConfiguration", "b", &Value::Null, json!({}));
    let resource = oarlock_api::GroupVersionResource::new(
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
    );
    let mut sent = Sent::create(resource, object);
    assert!(!plugin.concerns(Phase::Validate, &sent.request()));
    assert_eq!(validate(&plugin, &mut sent).await, Ok(()));
}

#[tokio::test]
async fn match_conditions_decide_before_the_call() {
    let server = server().await;
    let check = async |expression: &str, fails: &str, want: Result<(), (u16, String)>, calls: usize| {
        let (world, objects) = world();
        let (clients, _tasks) = clients(Arc::new(NoServices));
        let before = server.requests().len();
        let conditions = json!([{"name": "c", "expression": expression}]);
        let extra = json!({"matchConditions": conditions, "failurePolicy": fails});
        validating(&objects, "h", &server.client_config("/allow"), extra);
        let plugin = ValidatingAdmissionWebhook::new(world, clients);
        let got = validate(&plugin, &mut config_map("a", json!({"k": "v"}))).await;
        assert_eq!((got, server.requests().len() - before), (want, calls), "{expression}");
    };
    check("object.data.k == 'v' && oldObject == null", "Fail", Ok(()), 1).await;
    check("request.userInfo.username == 'bob'", "Fail", Ok(()), 0).await;
    check("!authorizer.requestResource.check('delete').allowed()", "Fail", Ok(()), 1).await;
    let broken = "object.data.nothing == 'v'";
    let told = format!(
        "configmaps \"a\" is forbidden: expression '{broken}' resulted in error: no such key: nothing"
    );
    check(broken, "Fail", Err((403, told)), 0).await;
    check(broken, "Ignore", Ok(()), 0).await;
}

#[tokio::test]
async fn a_second_round_is_the_last() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    // Each undoes what the other does.
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    mutating(&objects, "1", &server.client_config("/label/one"), again.clone());
    mutating(&objects, "2", &server.client_config("/label/two"), again);
    let chain = AdmissionChain::new(vec![Arc::new(MutatingAdmissionWebhook::new(world, clients))]);
    let mut sent = config_map("a", json!({}));
    crate::mutate(&chain, &mut sent.request()).await.expect("patched");
    assert_eq!(server.requests().len(), 4);
    assert_eq!(sent.object.expect("still there")["metadata"]["labels"], json!({"seen": "two"}));
}

#[tokio::test]
async fn a_webhook_that_speaks_only_the_old_version_is_asked_in_it() {
    let (world, objects) = world();
    let server = TestServer::start(&[], |received| {
        let patch = STANDARD.encode(r#"[{"op":"add","path":"/data","value":{"old":"way"}}]"#);
        // The old version need not say what it is, nor whose.
        let old = received.body["apiVersion"] == "admission.k8s.io/v1beta1";
        Answer::json(&json!({"response": {"allowed": old, "patch": patch}}))
    })
    .await;
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let extra = json!({"admissionReviewVersions": ["v7", "v1beta1"]});
    mutating(&objects, "m", &server.client_config("/x"), extra);
    let plugin = MutatingAdmissionWebhook::new(world, clients);
    let mut sent = config_map("a", json!({}));
    plugin.mutate(&mut sent.request()).await.expect("patched");
    assert_eq!(sent.object.expect("still there")["data"], json!({"old": "way"}));
}

#[tokio::test]
async fn a_changed_configuration_is_seen_and_keeps_its_connections() {
    let ((world, objects), server) = (world(), server().await);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let plugin = ValidatingAdmissionWebhook::new(world, clients);
    let mut sent = config_map("a", json!({}));
    validating(&objects, "h", &server.client_config("/allow"), json!({}));
    assert_eq!(validate(&plugin, &mut sent).await, Ok(()));
    // Another timeout, the same target.
    validating(&objects, "h", &server.client_config("/allow"), json!({"timeoutSeconds": 5}));
    assert_eq!(validate(&plugin, &mut sent).await, Ok(()));
    assert_eq!(server.requests()[1].path, "/allow?timeout=5s");
    assert_eq!(server.connections(), 1);
    validating(&objects, "h", &server.client_config("/deny"), json!({}));
    assert_eq!(validate(&plugin, &mut sent).await.map_err(|(code, _)| code), Err(403));
}
