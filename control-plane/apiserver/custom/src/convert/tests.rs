use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::compile::compile;

/// Answers what `change` makes of the request, and remembers it.
struct Fake<F>(F, Mutex<Vec<Value>>);

#[async_trait]
impl<F: Fn(&Value) -> Value + Send + Sync> ConversionWebhook for Fake<F> {
    async fn call(&self, _config: &Value, review: &Value) -> Result<Value, String> {
        self.1.lock().expect("no test panics with it").push(review.clone());
        Ok((self.0)(review))
    }
}

fn resource(review_version: &str) -> CustomResource {
    let crd = json!({"metadata": {"name": "foos.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
        "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://x"}, "conversionReviewVersions": ["v9", review_version]}},
        "versions": [{"name": "v1", "served": true, "storage": true}, {"name": "v2", "served": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
    }});
    compile(&crd).expect("the definition is whole")
}

fn foo(version: &str, name: &str) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Foo",
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"a": "b"}, "resourceVersion": "7"}})
}

/// What a good webhook answers.
fn good(review: &Value) -> Value {
    let request = &review["request"];
    let objects: Vec<Value> = request["objects"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|object| {
            let mut new = object.clone();
            new["apiVersion"] = request["desiredAPIVersion"].clone();
            new["metadata"]["labels"] = json!({"c": "d"});
            new["metadata"]["resourceVersion"] = "8".into();
            new["spec"] = json!({"converted": true});
            new
        })
        .collect();
    json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response":
        {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}})
}

fn run<F: Fn(&Value) -> Value + Send + Sync>(
    version: &str,
    objects: Vec<Value>,
    answer: F,
) -> (Result<Vec<Value>, String>, Vec<Value>) {
    let fake = Fake(answer, Mutex::default());
    let resource = resource(version);
    let done = futures::executor::block_on(convert(&resource, objects, "v2", &fake));
    (done.map_err(|status| status.message), fake.1.into_inner().expect("no test panics with it"))
}

#[test]
fn only_what_differs_is_sent_in_one_request() {
    for version in ["v1", "v1beta1"] {
        let objects = vec![foo("v1", "a"), foo("v2", "b"), foo("v1", "c")];
        let (done, asked) = run(version, objects, good);
        let done = done.expect("the webhook is good");
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0]["apiVersion"], format!("apiextensions.k8s.io/{version}"));
        assert_eq!(asked[0]["request"]["objects"], json!([foo("v1", "a"), foo("v1", "c")]));
        assert_eq!(done[1], foo("v2", "b"));
        assert_eq!(done[2]["spec"]["converted"], true);
        // Labels may change, the rest of the metadata may not.
        let metadata = &done[0]["metadata"];
        assert_eq!((&metadata["labels"], &metadata["resourceVersion"]), (&json!({"c": "d"}), &json!("7")));
    }
    let (done, asked) = run("v1", vec![foo("v2", "a")], good);
    assert_eq!((done, asked.len()), (Ok(vec![foo("v2", "a")]), 0));
}

#[test]
fn bad_answers_are_told() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 9] = [
        (
            |a| a["kind"] = "X".into(),
            "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=X",
        ),
        (|a| a["response"] = Value::Null, "failed: no response provided"),
        (|a| a["response"]["uid"] = "x".into(), "failed: expected response.uid="),
        (|a| a["response"]["result"] = json!({"status": "Failure", "message": "no way"}), "failed: no way"),
        (|a| a["response"]["result"] = json!({}), "failed: response.result.status was '', not 'Success'"),
        (|a| a["response"]["convertedObjects"] = json!([]), "returned 0 objects, expected 1"),
        (
            |a| a["response"]["convertedObjects"][0]["apiVersion"] = "example.com/v3".into(),
            "returned invalid converted object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)",
        ),
        (
            |a| a["response"]["convertedObjects"][0]["metadata"]["name"] = "z".into(),
            "returned invalid converted object at index 0: must have the same name: a != z",
        ),
        (
            |a| a["response"]["convertedObjects"][0]["metadata"]["labels"]["n"] = 3.into(),
            "returned invalid metadata in object at index 0: metadata.labels[n] must be a string, but is int64 in converted object",
        ),
    ];
    for (change, want) in cases {
        let (done, _) = run("v1", vec![foo("v1", "a")], |review| {
            let mut answer = good(review);
            change(&mut answer);
            answer
        });
        let told = done.expect_err(want);
        let want = format!("Internal error occurred: conversion webhook for example.com/v1, Kind=Foo {want}");
        assert!(told.starts_with(&want), "{told}\n{want}");
    }
    let (done, asked) = run("v9", vec![foo("v1", "a")], good);
    assert_eq!(
        (done.expect_err("no version fits"), asked.len()),
        ("Internal error occurred: no supported conversion review versions".into(), 0)
    );
}
