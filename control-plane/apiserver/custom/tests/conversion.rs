//! Versions are converted by a real webhook, over TLS.

use std::sync::Arc;

use oarlock_apiserver_custom::{CustomResource, compile, convert};
use oarlock_apiserver_webhook::NoServices;
use oarlock_apiserver_webhook::testing::{Answer, TestServer, clients};
use serde_json::{Value, json};

fn resource(client_config: Value) -> CustomResource {
    let schema = |field: &str| json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {field: {"type": "string"}}}}}});
    let crd = json!({"metadata": {"name": "foos.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
        "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": client_config, "conversionReviewVersions": ["v1"]}},
        "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": schema("host")},
            {"name": "v2", "served": true, "schema": schema("address")},
        ],
    }});
    compile(&crd).expect("the definition is whole")
}

fn foo() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a", "uid": "u"}, "spec": {"host": "x"}})
}

/// Renames `host` to `address`.
fn renamed(review: &Value) -> Value {
    let request = &review["request"];
    let objects = request["objects"].as_array().cloned().unwrap_or_default().into_iter().map(|mut object| {
        object["apiVersion"] = request["desiredAPIVersion"].clone();
        object["spec"] = json!({"address": object["spec"]["host"], "surplus": 1});
        object
    });
    json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": {
        "uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects.collect::<Vec<_>>()}})
}

#[tokio::test]
async fn a_webhook_converts_and_its_answer_is_pruned() {
    let server = TestServer::start(&[], |asked| Answer::json(&renamed(&asked.body))).await;
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let resource = resource(server.client_config("/convert"));
    let done = convert(&resource, vec![foo(), foo()], "v2", &clients).await.expect("the webhook is good");
    assert_eq!(done[1]["spec"], json!({"address": "x"}));
    assert_eq!(done[0]["apiVersion"], "example.com/v2");
    let asked = server.requests();
    assert_eq!((asked.len(), asked[0].path.as_str()), (1, "/convert?timeout=30s"));
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let server = TestServer::start(&[], |_| Answer::text(500, "broken")).await;
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let resource = resource(server.client_config("/convert"));
    let told = convert(&resource, vec![foo()], "v2", &clients).await.expect_err("it answers 500");
    assert_eq!(told.code, 500);
    let head = "Internal error occurred: conversion webhook for example.com/v1, Kind=Foo failed: ";
    assert!(told.message.starts_with(head), "{}", told.message);
}
