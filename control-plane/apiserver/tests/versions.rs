//! One object in several versions: what webhooks, policies, validation and owners see of it is the version of the
//! request, or the one that they ask for.

mod common;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{TestServer, eventually, start};
use http::Method;
use oarlock_apiserver_webhook::testing::{Answer, Received, TestServer as Hook};
use parking_lot::Mutex;
use serde_json::{Value, json};

const V1: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
const V2: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const CORE: &str = "/api/v1/namespaces/default/events";
const NEWER: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const MERGE: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];
const APPLY: [(&str, &str); 1] = [("content-type", "application/apply-patch+yaml")];

fn scaler(name: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "maxReplicas": 3,
            "targetCPUUtilizationPercentage": 70,
        },
    })
}

fn event(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": name },
        "eventTime": "2026-01-02T03:04:05.000006Z", "reason": "Tested", "action": "Test", "note": "so",
        "type": "Normal", "reportingController": "example.com/test", "reportingInstance": "test-0",
        "regarding": { "kind": "Pod", "name": "p", "namespace": "default" },
    })
}

fn rule(group: &str, version: &str, resource: &str) -> Value {
    json!({
        "apiGroups": [group], "apiVersions": [version], "operations": ["*"], "resources": [resource, format!("{resource}/*")],
    })
}

async fn made(server: &TestServer, path: &str, object: Value) -> Value {
    let (code, answer) = server.ask(Method::POST, path, object).await;
    assert_eq!(code, 201, "{path}: {answer}");
    answer
}

/// Registers webhooks of one kind (`validating`, `mutating`); they are in force when this returns.
async fn register(server: &TestServer, kind: &str, webhooks: Vec<Value>) {
    let path = format!("{ADMISSION}/{kind}webhookconfigurations");
    made(server, &path, json!({ "metadata": { "name": "versions" }, "webhooks": webhooks })).await;
    let cached = format!("{path}/versions?resourceVersion=0");
    eventually("it is known", async || (server.get(&cached).await.0 == 200).then_some(())).await;
}

fn webhook(hook: &Hook, path: &str, rule: &Value, policy: &str) -> Value {
    json!({
        "name": format!("{}.example.com", path.trim_start_matches('/')), "clientConfig": hook.client_config(path),
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule], "matchPolicy": policy,
    })
}

fn allowed(received: &Received) -> Value {
    let uid = &received.body["request"]["uid"];
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": { "uid": uid, "allowed": true },
    })
}

fn group_version(value: &Value) -> String {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    if text("group").is_empty() {
        text("version").into()
    } else {
        format!("{}/{}", text("group"), text("version"))
    }
}

/// What a webhook was shown: its path, the operation, the versions of `kind`, `resource`, `requestKind` and
/// `requestResource`, and those of the two objects.
fn sight(received: &Received) -> String {
    let request = &received.body["request"];
    let version = |object: &Value| object["apiVersion"].as_str().unwrap_or("-").to_string();
    let fields =
        ["kind", "resource", "requestKind", "requestResource"].map(|field| group_version(&request[field]));
    format!(
        "{} {}{} {} objects {} {}",
        received.path.split('?').next().unwrap_or_default().trim_start_matches('/'),
        request["operation"].as_str().unwrap_or_default(),
        if request["subResource"].is_null() { "" } else { "/status" },
        fields.join(" "),
        version(&request["object"]),
        version(&request["oldObject"]),
    )
}

/// A hook that allows everything and writes down what it saw.
async fn recorder() -> (Hook, Arc<Mutex<Vec<(String, Value)>>>) {
    let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let kept = seen.clone();
    let hook = Hook::start(&[], move |received| {
        kept.lock().push((sight(received), received.body["request"].clone()));
        Answer::json(&allowed(received))
    })
    .await;
    (hook, seen)
}

/// Every way of writing `name` in the version of `collection`, with the operation that admission sees.
async fn write_every_way(server: &TestServer, collection: &str, object: &Value, status: bool) {
    let path = format!("{collection}/{}", object["metadata"]["name"].as_str().expect("a name"));
    let dry = format!("{collection}?dryRun=All");
    made(server, &dry, object.clone()).await;
    let mut current = made(server, collection, object.clone()).await;
    current["metadata"]["labels"] = json!({ "by": "put" });
    let ok = |(code, answer): (u16, Value)| assert_eq!(code, 200, "{answer}");
    ok(server.ask(Method::PUT, &path, current).await);
    let labels = |by: &str| json!({ "metadata": { "labels": { "by": by } } });
    ok(server.ask_with(Method::PATCH, &path, &MERGE, labels("patch").to_string().into()).await);
    let mut applied = object.clone();
    applied["metadata"]["annotations"] = json!({ "by": "apply" });
    let apply = format!("{path}?fieldManager=test&force=true");
    ok(server.ask_with(Method::PATCH, &apply, &APPLY, applied.to_string().into()).await);
    if status {
        let told = json!({ "status": { "currentReplicas": 2 } }).to_string();
        ok(server.ask_with(Method::PATCH, &format!("{path}/status"), &MERGE, told.into()).await);
    }
    ok(server.ask_with(Method::DELETE, &path, &[], Vec::new()).await);
}

/// `old` and `object` stand for the two objects' versions where the operation has them.
fn operations(status: bool) -> Vec<(&'static str, bool, bool)> {
    let mut all = vec![("CREATE", true, false); 2];
    all.extend([("UPDATE", true, true); 3]);
    all.extend(status.then_some(("UPDATE/status", true, true)));
    all.push(("DELETE", false, true));
    all
}

fn expected(path: &str, matched: &str, requested: &str, status: bool) -> Vec<String> {
    let version = |there: bool| if there { matched } else { "-" };
    let told = |(operation, object, old): (&str, bool, bool)| {
        format!(
            "{path} {operation} {matched} {matched} {requested} {requested} objects {} {}",
            version(object),
            version(old)
        )
    };
    operations(status).into_iter().map(told).collect()
}

#[tokio::test]
async fn webhooks_see_the_version_of_the_request_or_the_one_they_name() {
    let server = start().await;
    let (hook, seen) = recorder().await;
    let any = [rule("*", "*", "horizontalpodautoscalers"), rule("*", "*", "events")];
    let other = [rule("autoscaling", "v2", "horizontalpodautoscalers"), rule("", "v1", "events")];
    let webhooks = ["scaler", "event"].iter().zip(any.iter().zip(&other)).flat_map(|(name, (any, other))| {
        [
            webhook(&hook, &format!("/{name}-any"), any, "Exact"),
            webhook(&hook, &format!("/{name}-equivalent"), other, "Equivalent"),
            webhook(&hook, &format!("/{name}-exact"), other, "Exact"),
        ]
    });
    register(&server, "validating", webhooks.collect()).await;
    let cases = [
        ("scaler", V1, scaler("h"), "autoscaling/v1", "autoscaling/v2", true),
        ("event", NEWER, event("e"), "events.k8s.io/v1", "v1", false),
    ];
    for (name, collection, object, own, stored, status) in cases {
        seen.lock().clear();
        write_every_way(&server, collection, &object, status).await;
        let of = |path: &str| -> Vec<String> {
            let seen = seen.lock();
            let mine = seen.iter().filter(|(sight, _)| sight.starts_with(&format!("{path} ")));
            mine.map(|(sight, _)| sight.clone()).collect()
        };
        let (any, equivalent) = (format!("{name}-any"), format!("{name}-equivalent"));
        assert_eq!(of(&any), expected(&any, own, own, status), "{name}");
        assert_eq!(of(&equivalent), expected(&equivalent, stored, own, status), "{name}");
        assert_eq!(of(&format!("{name}-exact")), Vec::<String>::new(), "{name}: of no other version");
    }
    let created = |path: &str| {
        let seen = seen.lock();
        let first = seen.iter().find(|(sight, _)| sight.starts_with(&format!("{path} CREATE")));
        first.expect("it was created").1["object"].clone()
    };
    let (own, other) = (created("event-any"), created("event-equivalent"));
    assert_eq!((&own["note"], &own["regarding"]["name"]), (&json!("so"), &json!("p")));
    assert_eq!((&other["message"], &other["involvedObject"]["name"]), (&json!("so"), &json!("p")));
    server.stop().await;
}

#[tokio::test]
async fn what_a_webhook_changes_in_one_version_is_there_in_the_other() {
    let server = start().await;
    let hook = Hook::start(&[], |received| {
        let mut answer = allowed(received);
        let patch = match received.path.split('?').next().unwrap_or_default() {
            "/percent" => {
                json!([{ "op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 55 }])
            }
            "/behavior" => json!([{ "op": "add", "path": "/spec/behavior", "value": {
                "scaleDown": { "selectPolicy": "Disabled" },
            } }]),
            _ => json!([{ "op": "add", "path": "/message", "value": "changed" }]),
        };
        answer["response"]["patchType"] = "JSONPatch".into();
        answer["response"]["patch"] = STANDARD.encode(patch.to_string()).into();
        Answer::json(&answer)
    })
    .await;
    let only = |mut rule: Value| {
        rule["operations"] = json!(["CREATE"]);
        rule
    };
    let webhooks = vec![
        webhook(&hook, "/percent", &only(rule("autoscaling", "v1", "horizontalpodautoscalers")), "Exact"),
        webhook(
            &hook,
            "/behavior",
            &only(rule("autoscaling", "v2", "horizontalpodautoscalers")),
            "Equivalent",
        ),
        webhook(&hook, "/message", &only(rule("", "v1", "events")), "Equivalent"),
    ];
    register(&server, "mutating", webhooks).await;
    let answer = made(&server, V1, scaler("h")).await;
    assert_eq!(
        (&answer["apiVersion"], &answer["spec"]["targetCPUUtilizationPercentage"]),
        (&json!("autoscaling/v1"), &json!(55)),
        "{answer}"
    );
    let (_, stored) = server.get(&format!("{V2}/h")).await;
    assert_eq!(stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 55, "{stored}");
    let down = &stored["spec"]["behavior"]["scaleDown"];
    assert_eq!(down["selectPolicy"], "Disabled", "{stored}");
    assert_eq!(down["policies"][0]["periodSeconds"], 15, "with the defaults of its version: {stored}");
    assert!(stored["metadata"]["annotations"].is_null(), "v2 keeps nothing aside: {stored}");
    let answer = made(&server, NEWER, event("e")).await;
    assert_eq!((&answer["note"], &answer["message"]), (&json!("changed"), &Value::Null), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_webhook_cannot_change_what_its_endpoint_keeps() {
    let server = start().await;
    let hook = Hook::start(&[], |received| {
        let mut answer = allowed(received);
        let patch = json!([{ "op": "add", "path": "/status", "value": { "currentReplicas": 9, "desiredReplicas": 9 } }]);
        answer["response"]["patchType"] = "JSONPatch".into();
        answer["response"]["patch"] = STANDARD.encode(patch.to_string()).into();
        Answer::json(&answer)
    })
    .await;
    made(&server, V1, scaler("h")).await;
    let mut updates = rule("autoscaling", "v2", "horizontalpodautoscalers");
    updates["operations"] = json!(["UPDATE"]);
    register(&server, "mutating", vec![webhook(&hook, "/status", &updates, "Equivalent")]).await;
    let patch = json!({ "spec": { "maxReplicas": 4 } }).to_string();
    let (code, kept) = server.ask_with(Method::PATCH, &format!("{V1}/h"), &MERGE, patch.clone().into()).await;
    assert_eq!((code, &kept["spec"]["maxReplicas"]), (200, &json!(4)), "{kept}");
    assert_eq!(kept["status"]["currentReplicas"], 0, "{kept}");
    let status = format!("{V1}/h/status");
    let (code, told) = server.ask_with(Method::PATCH, &status, &MERGE, patch.into()).await;
    assert_eq!((code, &told["status"]["currentReplicas"]), (200, &json!(9)), "{told}");
    server.stop().await;
}

/// Binds a policy and returns once it denies `refused`.
async fn enforce(server: &TestServer, name: &str, spec: Value) {
    made(
        server,
        &format!("{ADMISSION}/validatingadmissionpolicies"),
        json!({ "metadata": { "name": name }, "spec": spec }),
    )
    .await;
    let binding = json!({ "metadata": { "name": name }, "spec": { "policyName": name, "validationActions": ["Deny"] } });
    made(server, &format!("{ADMISSION}/validatingadmissionpolicybindings"), binding).await;
}

/// How a dry creation is answered, once it is refused.
async fn refusal(server: &TestServer, collection: &str, object: &Value) -> String {
    let dry = format!("{collection}?dryRun=All");
    eventually("it is refused", async || {
        let (code, answer) = server.ask(Method::POST, &dry, object.clone()).await;
        (code == 422).then(|| answer["message"].as_str().unwrap_or_default().to_string())
    })
    .await
}

#[tokio::test]
async fn policies_see_the_version_that_they_name() {
    let server = start().await;
    let shown = "request.kind.group + '/' + request.kind.version + ' of ' + request.requestKind.group + '/' + \
                 request.requestKind.version + ': ' + object.apiVersion";
    let policy = |rule: Value, condition: &str, matching: &str| {
        json!({
            "matchConstraints": { "resourceRules": [rule], "matchPolicy": matching }, "failurePolicy": "Fail",
            "validations": [{ "expression": condition, "messageExpression": shown }],
        })
    };
    let scalers = |version: &str| rule("autoscaling", version, "horizontalpodautoscalers");
    let few =
        "!has(object.spec.metrics) || object.spec.metrics.all(m, m.resource.target.averageUtilization < 80)";
    enforce(&server, "stored", policy(scalers("v2"), few, "Equivalent")).await;
    let long = "object.message.size() < 5";
    enforce(&server, "events", policy(rule("", "v1", "events"), long, "Equivalent")).await;
    let mut high = scaler("high");
    high["spec"]["targetCPUUtilizationPercentage"] = 95.into();
    let told = |name: &str, text: &str| {
        format!("ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {text}")
    };
    let message = refusal(&server, V1, &high).await;
    assert!(
        message.ends_with(&told("stored", "autoscaling/v2 of autoscaling/v1: autoscaling/v2")),
        "{message}"
    );
    let mut wordy = event("wordy");
    wordy["note"] = "a long story".into();
    let message = refusal(&server, NEWER, &wordy).await;
    assert!(message.ends_with(&told("events", "/v1 of events.k8s.io/v1: v1")), "{message}");

    // Exact: of no version but its own, in the words of its own.
    let own = "object.spec.targetCPUUtilizationPercentage != 42";
    enforce(&server, "own", policy(scalers("v1"), own, "Exact")).await;
    let mut answer = scaler("answer");
    answer["spec"]["targetCPUUtilizationPercentage"] = 42.into();
    let message = refusal(&server, V1, &answer).await;
    assert!(message.ends_with(&told("own", "autoscaling/v1 of autoscaling/v1: autoscaling/v1")), "{message}");
    let mut newer = scaler("answer");
    newer["apiVersion"] = "autoscaling/v2".into();
    newer["spec"].as_object_mut().expect("fields").remove("targetCPUUtilizationPercentage");
    newer["spec"]["metrics"] = json!([{ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 42 },
    } }]);
    made(&server, &format!("{V2}?dryRun=All"), newer).await;
    server.stop().await;
}

#[tokio::test]
async fn a_mutating_policy_changes_the_version_that_it_names() {
    let server = start().await;
    let mutations = json!([{ "patchType": "ApplyConfiguration", "applyConfiguration": {
        "expression": "Object{message: object.involvedObject.name + ' did it'}",
    } }]);
    let policy = json!({
        "metadata": { "name": "retell" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["events"],
            }] },
            "reinvocationPolicy": "Never", "mutations": mutations,
        },
    });
    made(&server, &format!("{ADMISSION}/mutatingadmissionpolicies"), policy).await;
    let binding = json!({ "metadata": { "name": "retell" }, "spec": { "policyName": "retell" } });
    made(&server, &format!("{ADMISSION}/mutatingadmissionpolicybindings"), binding).await;
    let dry = format!("{NEWER}?dryRun=All");
    let retold = eventually("in force", async || {
        let answer = made(&server, &dry, event("e")).await;
        (answer["note"] != "so").then_some(answer)
    })
    .await;
    assert_eq!((&retold["apiVersion"], &retold["note"]), (&json!("events.k8s.io/v1"), &json!("p did it")));
    server.stop().await;
}

#[tokio::test]
async fn validation_speaks_of_the_fields_that_upstream_validates() {
    let server = start().await;
    let with = |mut object: Value, pointer: &str, value: Value| {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        object.pointer_mut(parent).expect("a parent")[field] = value;
        object
    };
    let core = || {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": "c" }, "reason": "R", "type": "odd",
            "involvedObject": { "namespace": "default" }, "eventTime": "2026-01-02T03:04:05.000006Z", "action": "A",
            "reportingInstance": "i",
        })
    };
    let cases = [
        (
            V1,
            with(scaler("h"), "/spec/targetCPUUtilizationPercentage", 0.into()),
            "HorizontalPodAutoscaler.autoscaling \"h\" is invalid: \
             spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        ),
        (
            NEWER,
            with(event("e"), "/type", "odd".into()),
            "Event \"e\" is invalid: type: Invalid value: \"\": has invalid value: odd",
        ),
        (
            NEWER,
            with(event("e"), "/deprecatedCount", 3.into()),
            "Event \"e\" is invalid: count: Invalid value: \"\": needs to be unset",
        ),
        (
            NEWER,
            with(
                event("e"),
                "/series",
                json!({ "count": 1, "lastObservedTime": "2026-01-02T03:04:05.000006Z" }),
            ),
            "Event \"e\" is invalid: series.count: Invalid value: \"\": should be at least 2",
        ),
        (NEWER, with(event("e"), "/action", "".into()), "Event \"e\" is invalid: action: Required value"),
        (CORE, with(core(), "/reportingComponent", "a/b/c".into()), ""),
    ];
    for (path, object, want) in cases {
        let (code, refused) = server.ask(Method::POST, path, object).await;
        assert_eq!(code, 422, "{refused}");
        let message = refused["message"].as_str().unwrap_or_default();
        if want.is_empty() {
            // Who asks the core group is told of the core group's field.
            let start = "Event \"c\" is invalid: reportingComponent: Invalid value: \"a/b/c\": a valid label key must";
            assert!(message.starts_with(start), "{message}");
        } else {
            assert_eq!(message, want);
        }
    }
    let mut stored = made(&server, NEWER, event("e")).await;
    stored["note"] = "else".into();
    let (code, refused) = server.ask(Method::PUT, &format!("{NEWER}/e"), stored).await;
    assert_eq!(
        (code, &refused["message"]),
        (422, &json!("Event \"e\" is invalid: message: Invalid value: \"else\": field is immutable"))
    );
    let (code, mut core) = server.get(&format!("{CORE}/e")).await;
    core["message"] = "else".into();
    assert_eq!((code, server.ask(Method::PUT, &format!("{CORE}/e"), core).await.0), (200, 200), "as ever");
    let (code, missing) = server.get(&format!("{NEWER}/nobody")).await;
    assert_eq!((code, &missing["message"]), (404, &json!("events \"nobody\" not found")));
    server.stop().await;
}

#[tokio::test]
async fn events_are_selected_and_shown_in_either_group() {
    let server = start().await;
    made(&server, NEWER, event("e")).await;
    let cases = [
        (NEWER, "regarding.name=p,reportingController=example.com/test,reason=Tested", 1),
        (NEWER, "regarding.name=q", 0),
        (NEWER, "regarding.namespace!=default", 0),
        (CORE, "involvedObject.name=p,reportingComponent=example.com/test,source=example.com/test", 1),
    ];
    for (path, selector, want) in cases {
        let (code, list) = server.get(&format!("{path}?fieldSelector={selector}")).await;
        assert_eq!((code, list["items"].as_array().map(Vec::len)), (200, Some(want)), "{selector}: {list}");
    }
    let table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let rows = async |path: &str| {
        let (_, table) = server.ask_with(Method::GET, path, &table, Vec::new()).await;
        table["rows"][0]["cells"].clone()
    };
    let (newer, core) = (rows(NEWER).await, rows(CORE).await);
    assert_eq!((&newer[3], &newer[6]), (&json!("pod/p"), &json!("so")), "{newer}");
    assert_eq!(newer, core, "the columns are the same in both");
    for (path, selector) in
        [(NEWER, "involvedObject.name=p"), (CORE, "regarding.name=p"), (NEWER, "source=x")]
    {
        let (code, refused) = server.get(&format!("{path}?fieldSelector={selector}")).await;
        let field = selector.split('=').next().unwrap_or_default();
        assert_eq!((code, &refused["message"]), (400, &json!(format!("field label not supported: {field}"))));
    }
    server.stop().await;
}
