//! Server-side apply and what every write records of who owns what, over the wire.

mod common;

use common::{TestServer, eventually, start};
use http::Method;
use serde_json::{Value, json};

const MAP: &str = "/api/v1/namespaces/default/configmaps/settings";

async fn apply(server: &TestServer, path: &str, manager: &str, config: &Value) -> (u16, Value) {
    let path = format!("{path}{}fieldManager={manager}", if path.contains('?') { '&' } else { '?' });
    let headers = [("content-type", "application/apply-patch+yaml")];
    server.ask_with(Method::PATCH, &path, &headers, config.to_string().into_bytes()).await
}

fn settings(data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": data })
}

fn managers(object: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.map(|entry| (text(&entry["manager"]), text(&entry["operation"]))).collect()
}

#[tokio::test]
async fn appliers_share_an_object_and_conflict_over_a_field() {
    let server = start().await;
    let (code, created) = apply(&server, MAP, "alice", &settings(json!({ "a": "1" }))).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(managers(&created), [("alice".to_string(), "Apply".to_string())]);
    let (code, both) = apply(&server, MAP, "bob", &settings(json!({ "b": "2" }))).await;
    assert_eq!((code, &both["data"]), (200, &json!({ "a": "1", "b": "2" })));

    let (code, refused) = apply(&server, MAP, "bob", &settings(json!({ "a": "9", "b": "2" }))).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("Conflict")));
    assert_eq!(refused["message"], "Apply failed with 1 conflict: conflict with \"alice\": .data.a");
    assert_eq!(refused["details"]["causes"][0]["reason"], "FieldManagerConflict");

    let forced = format!("{MAP}?force=true");
    let (code, taken) = apply(&server, &forced, "bob", &settings(json!({ "a": "9", "b": "2" }))).await;
    assert_eq!((code, &taken["data"]["a"]), (200, &json!("9")));
    let (_, emptied) = apply(&server, MAP, "bob", &settings(json!({ "a": "9" }))).await;
    assert_eq!(emptied["data"], json!({ "a": "9" }), "what nobody else owns goes with its owner");
    server.stop().await;
}

#[tokio::test]
async fn updates_are_recorded_and_what_changes_nothing_is_not() {
    let server = start().await;
    let agent = [("content-type", "application/json"), ("user-agent", "kubectl/v1.36.0 (linux/amd64)")];
    let body = settings(json!({ "a": "1" })).to_string().into_bytes();
    let maps = "/api/v1/namespaces/default/configmaps";
    let (code, created) = server.ask_with(Method::POST, maps, &agent, body).await;
    assert_eq!(code, 201);
    assert_eq!(managers(&created), [("kubectl".to_string(), "Update".to_string())]);
    assert_eq!(
        created["metadata"]["managedFields"][0]["fieldsV1"],
        json!({ "f:data": { ".": {}, "f:a": {} } })
    );

    let merge = [("content-type", "application/merge-patch+json"), ("user-agent", "kubectl/v1.36.0")];
    let same = json!({ "data": { "a": "1" } }).to_string().into_bytes();
    let (_, again) = server.ask_with(Method::PATCH, MAP, &merge, same).await;
    assert_eq!(again["metadata"], created["metadata"], "nothing was written");

    let (code, applied) = apply(&server, MAP, "alice", &settings(json!({ "a": "1" }))).await;
    assert_eq!((code, managers(&applied).len()), (200, 2), "the same value is shared: {applied}");
    let other = json!({ "data": { "a": "2" } }).to_string().into_bytes();
    let (_, taken) = server.ask_with(Method::PATCH, MAP, &merge, other).await;
    assert_eq!(managers(&taken), [("kubectl".to_string(), "Update".to_string())], "{taken}");
    server.stop().await;
}

#[tokio::test]
async fn an_apply_says_who_it_is() {
    let server = start().await;
    let headers = [("content-type", "application/apply-patch+yaml")];
    let body = settings(json!({})).to_string().into_bytes();
    let (code, refused) = server.ask_with(Method::PATCH, MAP, &headers, body.clone()).await;
    assert_eq!(code, 422);
    assert_eq!(
        refused["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    let merge = [("content-type", "application/merge-patch+json")];
    let (code, refused) = server.ask_with(Method::PATCH, &format!("{MAP}?force=true"), &merge, body).await;
    assert_eq!(code, 422);
    assert_eq!(
        refused["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
    let (code, unknown) =
        apply(&server, MAP, "x", &json!({ "apiVersion": "v1", "kind": "ConfigMap", "nope": 1 })).await;
    assert_eq!(code, 500, "as upstream");
    assert_eq!(
        unknown["message"],
        "failed to create typed patch object (/; /v1, Kind=ConfigMap): .nope: field not declared in schema"
    );
    server.stop().await;
}

#[tokio::test]
async fn dry_runs_and_status_are_apart() {
    let server = start().await;
    let dry = format!("{MAP}?dryRun=All");
    let (code, _) = apply(&server, &dry, "alice", &settings(json!({ "a": "1" }))).await;
    assert_eq!(code, 201);
    assert_eq!(server.get(MAP).await.0, 404);

    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    });
    let web = "/apis/apps/v1/namespaces/default/deployments/web";
    assert_eq!(apply(&server, web, "alice", &deployment).await.0, 201);
    let status = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "status": { "replicas": 1 } });
    let (code, object) = apply(&server, &format!("{web}/status"), "controller", &{
        let mut status = status.clone();
        status["metadata"] = json!({ "name": "web" });
        status
    })
    .await;
    assert_eq!((code, &object["status"]["replicas"]), (200, &json!(1)), "{object}");
    let entry = object["metadata"]["managedFields"]
        .as_array()
        .expect("entries")
        .iter()
        .find(|e| e["manager"] == "controller");
    assert_eq!(entry.expect("it is recorded")["subresource"], "status");

    let scale = format!("{web}/scale");
    let merge = [("content-type", "application/merge-patch+json"), ("user-agent", "autoscaler/1")];
    let (code, scaled) = server
        .ask_with(
            Method::PATCH,
            &scale,
            &merge,
            json!({ "spec": { "replicas": 5 } }).to_string().into_bytes(),
        )
        .await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(5)), "{scaled}");
    let (_, object) = server.get(web).await;
    let scaler = object["metadata"]["managedFields"]
        .as_array()
        .expect("entries")
        .iter()
        .find(|e| e["subresource"] == "scale");
    assert_eq!(scaler.expect("it is recorded")["manager"], "autoscaler", "{object}");
    let (code, refused) = apply(&server, web, "alice", &deployment).await;
    assert_eq!(code, 409, "{refused}");
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"autoscaler\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    server.stop().await;
}

/// What a part of the server writes is recorded as upstream's part of that name would record it.
#[tokio::test]
async fn the_servers_own_writes_are_recorded() {
    let server = start().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "boats.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "plural": "boats", "kind": "Boat" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } } }],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(server.ask(Method::POST, definitions, definition).await.0, 201);
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": "v1.away.example.com" },
        "spec": {
            "group": "away.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "service": { "namespace": "default", "name": "nowhere" },
        },
    });
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    assert_eq!(server.ask(Method::POST, services, service).await.0, 201);
    let flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let producer = "api-priority-and-fairness-config-producer-v1 Update ";
    let consumer = "api-priority-and-fairness-config-consumer-v1 Apply status";
    let condition = "/f:status/f:conditions/k:{\"type\":\"Dangling\"}/f:lastTransitionTime";
    for (path, who, field) in [
        (format!("{flow}/flowschemas/catch-all"), producer, "/f:spec/f:matchingPrecedence"),
        (format!("{flow}/flowschemas/catch-all"), consumer, condition),
        (format!("{flow}/prioritylevelconfigurations/catch-all"), producer, "/f:spec/f:type"),
        (
            "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1".into(),
            "kube-apiserver Update ",
            "/f:spec/f:parentRef/f:name",
        ),
        (
            "/apis/networking.k8s.io/v1/servicecidrs/kubernetes".into(),
            "kubernetes-service-cidr-controller Apply status",
            "/f:status/f:conditions/k:{\"type\":\"Ready\"}/f:status",
        ),
        (
            format!("{definitions}/boats.example.com"),
            "kube-apiserver Update status",
            "/f:status/f:acceptedNames/f:kind",
        ),
        (format!("{services}/v1.example.com"), "kube-apiserver Update ", "/f:spec/f:groupPriorityMinimum"),
        (
            format!("{services}/v1.away.example.com"),
            "kube-apiserver Update status",
            "/f:status/f:conditions/k:{\"type\":\"Available\"}/f:reason",
        ),
    ] {
        eventually("the part of the server has written", async || {
            let (_, object) = server.get(&path).await;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            let mut entries = object["metadata"]["managedFields"].as_array()?.iter();
            let entry = entries.find(|entry| {
                let parts = [&entry["manager"], &entry["operation"], &entry["subresource"]].map(text);
                parts.join(" ") == who
            });
            let owned = entry?["fieldsV1"].pointer(&field.replace("~", "~0"));
            owned.map(drop)
        })
        .await;
    }
    server.stop().await;
}

/// Where of two fields one is the first of the other, who writes one of them owns both.
#[tokio::test]
async fn a_nodes_range_is_owned_both_ways() {
    let server = start().await;
    let node = |spec: Value| json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" }, "spec": spec });
    for (spec, fields) in [
        (json!({ "podCIDR": "10.3.0.0/24" }), ["f:podCIDR", "f:podCIDRs"]),
        (json!({ "podCIDRs": ["10.3.0.0/24"] }), ["f:podCIDR", "f:podCIDRs"]),
    ] {
        let (code, made) = server.ask(Method::POST, "/api/v1/nodes?dryRun=All", node(spec)).await;
        let owned = &made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
        assert_eq!(code, 201);
        assert!(fields.iter().all(|field| !owned[*field].is_null()), "{owned}");
    }
    server.stop().await;
}

/// Items of lists are known by fields that are printed though a client leaves them out.
#[tokio::test]
async fn items_without_their_key_are_owned() {
    let server = start().await;
    let node =
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n", "labels": { "a": "b" } } });
    let (_, mut node) = server.ask(Method::POST, "/api/v1/nodes", node).await;
    node["status"]["addresses"] = json!([{ "address": "10.0.0.1" }]);
    let (code, told) = server.ask(Method::PUT, "/api/v1/nodes/n/status", node).await;
    let owned = &told["metadata"]["managedFields"][1]["fieldsV1"]["f:status"]["f:addresses"];
    assert_eq!((code, &owned["k:{\"type\":\"\"}"]["f:address"]), (200, &json!({})), "{told}");
    server.stop().await;
}

/// A range that nobody named gets a name, as upstream's. (`limitrangeStrategy.PrepareForCreate`)
#[tokio::test]
async fn a_limit_range_names_itself() {
    let server = start().await;
    let range = json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": {}, "spec": { "limits": [] } });
    let ranges = "/api/v1/namespaces/default/limitranges";
    let (code, made) = server.ask(Method::POST, ranges, range).await;
    let name = made["metadata"]["name"].as_str().unwrap_or_default();
    assert_eq!((code, name.len()), (201, 36), "{made}");
    assert_eq!(server.get(&format!("{ranges}/{name}")).await.0, 200);
    server.stop().await;
}
