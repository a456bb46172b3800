//! Owners that wrote in one version of an object, when it is written in another.

mod common;

use common::{TestServer, eventually, start};
use http::Method;
use oarlock_apiserver_webhook::testing::{Answer, Received, TestServer as Hook};
use serde_json::{Value, json};

const V1: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
const V2: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const CORE: &str = "/api/v1/namespaces/default/events";
const NEWER: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

async fn post(server: &TestServer, path: &str, manager: &str, object: &Value) -> Value {
    let path = format!("{path}?fieldManager={manager}");
    let (code, made) = server.ask(Method::POST, &path, object.clone()).await;
    assert_eq!(code, 201, "{made}");
    made
}

async fn apply(server: &TestServer, path: &str, query: &str, config: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/apply-patch+yaml")];
    server.ask_with(Method::PATCH, &format!("{path}?{query}"), &headers, config.to_string().into()).await
}

async fn merge(server: &TestServer, path: &str, manager: &str, patch: &Value) -> Value {
    let headers = [("content-type", "application/merge-patch+json")];
    let path = format!("{path}?fieldManager={manager}");
    let (code, merged) = server.ask_with(Method::PATCH, &path, &headers, patch.to_string().into()).await;
    assert_eq!(code, 200, "{merged}");
    merged
}

/// `manager operation version: fields of the spec`, sorted.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let told = entries.map(|entry| {
        let spec = entry["fieldsV1"]["f:spec"].as_object();
        let fields: Vec<&str> = spec
            .into_iter()
            .flatten()
            .map(|(name, _)| name.trim_start_matches("f:"))
            .filter(|n| *n != ".")
            .collect();
        let (operation, version) = (text(&entry["operation"]), text(&entry["apiVersion"]));
        format!("{} {operation} {version}: {}", text(&entry["manager"]), fields.join(" "))
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

fn conflict(answer: &(u16, Value)) -> &str {
    assert_eq!(answer.0, 409, "{}", answer.1);
    answer.1["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_was_written_in_v1_is_owned_in_v2() {
    let server = start().await;
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let old = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "h" },
        "spec": { "scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70 },
    });
    let made = post(&server, V1, "old", &old).await;
    let all =
        "old Update autoscaling/v1: maxReplicas minReplicas scaleTargetRef targetCPUUtilizationPercentage";
    assert_eq!(owners(&made), [all]);
    let percent = |percent: i64| {
        json!([{ "type": "Resource", "resource": {
            "name": "cpu", "target": { "type": "Utilization", "averageUtilization": percent },
        } }])
    };
    let new = |max: i64, cpu: i64| {
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "h" },
            "spec": { "maxReplicas": max, "metrics": percent(cpu) },
        })
    };
    let path = format!("{V2}/h");
    let refused = apply(&server, &path, "fieldManager=new", &new(5, 70)).await;
    let want = "Apply failed with 1 conflict: conflict with \"old\" using autoscaling/v1: .spec.maxReplicas";
    assert_eq!(conflict(&refused), want);
    let refused = apply(&server, &path, "fieldManager=new", &new(3, 80)).await;
    let want = "Apply failed with 1 conflict: conflict with \"old\" using autoscaling/v1: .spec.targetCPUUtilizationPercentage";
    assert_eq!(conflict(&refused), want);
    // The same values are shared.
    let (code, shared) = apply(&server, &path, "fieldManager=new", &new(3, 70)).await;
    assert_eq!(
        (code, owners(&shared)),
        (200, vec!["new Apply autoscaling/v2: maxReplicas metrics".into(), all.into()])
    );
    let (code, taken) = apply(&server, &path, "fieldManager=new&force=true", &new(5, 80)).await;
    let rest = "old Update autoscaling/v1: minReplicas scaleTargetRef";
    assert_eq!(
        (code, owners(&taken)),
        (200, vec!["new Apply autoscaling/v2: maxReplicas metrics".into(), rest.into()])
    );
    // And the other way round: v1 takes from who applied in v2.
    let changed = merge(
        &server,
        &format!("{V1}/h"),
        "old",
        &json!({ "spec": { "targetCPUUtilizationPercentage": 60 } }),
    )
    .await;
    let now = "old Update autoscaling/v1: minReplicas scaleTargetRef targetCPUUtilizationPercentage";
    assert_eq!(owners(&changed), ["new Apply autoscaling/v2: maxReplicas", now]);
    // An applier is one, in whatever version; what it applies no longer goes.
    let mut less = old.clone();
    less["spec"] = json!({ "scaleTargetRef": target, "maxReplicas": 5 });
    let (code, applied) = apply(&server, &format!("{V1}/h"), "fieldManager=new", &less).await;
    let want = vec!["new Apply autoscaling/v1: maxReplicas scaleTargetRef".into(), now.into()];
    assert_eq!((code, owners(&applied)), (200, want), "{applied}");
    server.stop().await;
}

#[tokio::test]
async fn entries_of_versions_that_nobody_knows_are_forgotten() {
    let server = start().await;
    let old = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "h" },
        "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "maxReplicas": 3 },
    });
    let mut made = post(&server, V1, "me", &old).await;
    for version in ["autoscaling/v2beta2", "apps/v1", "v1"] {
        let entry = json!({
            "manager": "ghost", "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1",
            "fieldsV1": { "f:spec": { "f:maxReplicas": {} } },
        });
        made["metadata"]["managedFields"].as_array_mut().expect("entries").push(entry);
    }
    made["metadata"]["labels"] = json!({ "a": "b" });
    let (code, put) = server.ask(Method::PUT, &format!("{V1}/h?fieldManager=me"), made).await;
    assert_eq!(code, 200, "{put}");
    let told = owners(&put);
    assert!(told.len() == 1 && told[0].starts_with("me Update autoscaling/v1: "), "{told:?}");

    // Events forget who wrote in the other group: neither root knows the schemas of the other.
    let event = json!({
        "metadata": { "name": "e" }, "reason": "Tested", "type": "Normal",
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" },
    });
    let made = post(&server, CORE, "recorder", &event).await;
    assert_eq!(owners(&made), ["recorder Update v1: "]);
    let labelled =
        merge(&server, &format!("{NEWER}/e"), "other", &json!({ "metadata": { "labels": { "a": "b" } } }))
            .await;
    assert_eq!(owners(&labelled), ["other Update events.k8s.io/v1: "]);
    server.stop().await;
}

/// `v1` counts oars, `v2` pairs of them.
fn converted(received: &Received) -> Answer {
    let request = &received.body["request"];
    let objects = request["objects"].as_array().into_iter().flatten().cloned().map(|mut object| {
        let (oars, pairs) = (object["spec"]["oars"].as_i64(), object["spec"]["pairs"].as_i64());
        let spec = object["spec"].as_object_mut().expect("a spec");
        match (oars, pairs) {
            (Some(oars), _) => drop((spec.remove("oars"), spec.insert("pairs".into(), (oars / 2).into()))),
            (_, Some(pairs)) => drop((spec.remove("pairs"), spec.insert("oars".into(), (pairs * 2).into()))),
            _ => {}
        }
        object["apiVersion"] = request["desiredAPIVersion"].clone();
        object
    });
    Answer::json(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {
            "uid": request["uid"], "result": { "status": "Success" }, "convertedObjects": objects.collect::<Vec<_>>(),
        },
    }))
}

fn version(name: &str, field: &str, served: bool) -> Value {
    json!({
        "name": name, "served": served, "storage": name == "v2",
        "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": { "type": "object", "properties": {
            field: { "type": "integer" }, "name": { "type": "string" },
        } } } } },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_of_custom_resources_are_found_through_the_webhook() {
    let server = start().await;
    let hook = Hook::start(&[], converted).await;
    let definition = json!({
        "metadata": { "name": "boats.sea.example.com" },
        "spec": {
            "group": "sea.example.com", "scope": "Namespaced", "names": { "plural": "boats", "kind": "Boat" },
            "versions": [version("v1", "oars", true), version("v2", "pairs", true)],
            "conversion": { "strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"], "clientConfig": hook.client_config("/convert"),
            } },
        },
    });
    let (code, made) = server.ask(Method::POST, DEFINITIONS, definition).await;
    assert_eq!(code, 201, "{made}");
    let path = |version: &str| format!("/apis/sea.example.com/{version}/namespaces/default/boats");
    for version in ["v1", "v2"] {
        eventually("served", async || (server.get(&path(version)).await.0 == 200).then_some(())).await;
    }
    let boat = |version: &str, spec: Value| json!({ "apiVersion": format!("sea.example.com/{version}"), "kind": "Boat", "metadata": { "name": "b" }, "spec": spec });
    let made = post(&server, &path("v1"), "old", &boat("v1", json!({ "oars": 8, "name": "Argo" }))).await;
    assert_eq!(owners(&made), ["old Update sea.example.com/v1: name oars"]);
    let live = format!("{}/b", path("v2"));
    let refused = apply(&server, &live, "fieldManager=new", &boat("v2", json!({ "pairs": 6 }))).await;
    let want = "Apply failed with 1 conflict: conflict with \"old\" using sea.example.com/v1: .spec.oars";
    assert_eq!(conflict(&refused), want);
    let (code, shared) = apply(&server, &live, "fieldManager=new", &boat("v2", json!({ "pairs": 4 }))).await;
    let both = ["new Apply sea.example.com/v2: pairs", "old Update sea.example.com/v1: name oars"];
    assert_eq!((code, owners(&shared)), (200, both.map(String::from).to_vec()), "{shared}");

    // Not served any more, v1 is still a version.
    let versions = |versions: Value| json!({ "spec": { "versions": versions } });
    let definition = format!("{DEFINITIONS}/boats.sea.example.com");
    let gone = versions(json!([version("v1", "oars", false), version("v2", "pairs", true)]));
    merge(&server, &definition, "admin", &gone).await;
    eventually("not served", async || (server.get(&path("v1")).await.0 == 404).then_some(())).await;
    let refused = apply(&server, &live, "fieldManager=new", &boat("v2", json!({ "pairs": 7 }))).await;
    assert_eq!(conflict(&refused), want);

    // Taken out of the definition, it is forgotten.
    merge(&server, &definition, "admin", &versions(json!([version("v2", "pairs", true)]))).await;
    eventually("forgotten", async || {
        let (code, applied) =
            apply(&server, &live, "fieldManager=new", &boat("v2", json!({ "pairs": 7 }))).await;
        (code == 200).then(|| assert_eq!(owners(&applied), ["new Apply sea.example.com/v2: pairs"]))
    })
    .await;
    server.stop().await;
}
