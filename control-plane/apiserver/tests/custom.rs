//! Custom resources over the wire: from the definition to its end.

mod common;

use common::{TestServer, eventually, start};
use http::Method;
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BOATS: &str = "/apis/water.example.com/v1/namespaces/default/boats";

fn definition() -> Value {
    let schema = json!({
        "type": "object", "required": ["spec"], "properties": {
            "spec": {
                "type": "object", "required": ["oars"], "properties": {
                    "oars": { "type": "integer", "minimum": 1 },
                    "colour": { "type": "string", "default": "red" },
                    "crew": { "type": "integer" },
                },
                "x-kubernetes-validations": [{ "rule": "self.oars % 2 == 0", "message": "oars come in pairs" }],
            },
            "status": { "type": "object", "properties": {
                "afloat": { "type": "boolean" }, "crew": { "type": "integer" }, "selector": { "type": "string" },
            } },
        },
    });
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": { "openAPIV3Schema": schema },
            "subresources": {
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew",
                    "labelSelectorPath": ".status.selector",
                },
            },
            "selectableFields": [{ "jsonPath": if storage { ".spec.colour" } else { ".spec.oars" } }],
            "additionalPrinterColumns": [{ "name": "Oars", "type": "integer", "jsonPath": ".spec.oars" }],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "boats.water.example.com" },
        "spec": {
            "group": "water.example.com", "scope": "Namespaced",
            "names": { "plural": "boats", "singular": "boat", "kind": "Boat", "shortNames": ["bt"], "categories": ["all"] },
            "versions": [version("v1", true), version("v2", false)],
        },
    })
}

fn boat(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "water.example.com/v1", "kind": "Boat", "metadata": { "name": name }, "spec": spec })
}

async fn define(server: &TestServer) {
    let (code, created) = server.ask(Method::POST, DEFINITIONS, definition()).await;
    assert_eq!(code, 201, "{created}");
    let path = format!("{DEFINITIONS}/boats.water.example.com");
    eventually("Established", async || {
        let (_, object) = server.get(&path).await;
        let conditions = object["status"]["conditions"].as_array()?.clone();
        conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True").then_some(())
    })
    .await;
    eventually("served", async || (server.get(BOATS).await.0 == 200).then_some(())).await;
}

#[tokio::test]
async fn a_definition_is_served_until_it_is_deleted() {
    let server = start().await;
    define(&server).await;
    let (_, list) = server.get("/apis/water.example.com/v1").await;
    let names: Vec<&str> =
        list["resources"].as_array().expect("a list").iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(names, ["boats", "boats/scale", "boats/status"]);
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let (_, groups) = server.ask_with(Method::GET, "/apis", &accept, Vec::new()).await;
    let mut group = groups["items"].as_array().expect("a list").iter();
    let group = group.find(|g| g["metadata"]["name"] == "water.example.com").expect("the group");
    let kind = json!({ "group": "water.example.com", "version": "v2", "kind": "Boat" });
    assert_eq!(group["versions"][0]["resources"][0]["responseKind"], kind, "custom kinds are told whole");
    eventually("its APIService", async || {
        let (code, service) =
            server.get("/apis/apiregistration.k8s.io/v1/apiservices/v1.water.example.com").await;
        (code == 200 && service["status"]["conditions"][0]["status"] == "True").then_some(())
    })
    .await;
    let mut held = boat("held", json!({ "oars": 2 }));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(server.ask(Method::POST, BOATS, held).await.0, 201);
    assert_eq!(server.ask(Method::POST, BOATS, boat("free", json!({ "oars": 4 }))).await.0, 201);

    let path = format!("{DEFINITIONS}/boats.water.example.com");
    assert_eq!(server.ask(Method::DELETE, &path, Value::Null).await.0, 200);
    eventually("the free one is gone", async || {
        (server.get(&format!("{BOATS}/free")).await.0 == 404).then_some(())
    })
    .await;
    assert_eq!(server.get(&path).await.0, 200, "an instance still holds it");
    let (code, refused) = server.ask(Method::POST, BOATS, boat("late", json!({ "oars": 2 }))).await;
    assert_eq!(code, 405, "{refused}");
    let merge = [("content-type", "application/merge-patch+json")];
    let body = json!({ "metadata": { "finalizers": null } }).to_string().into_bytes();
    assert_eq!(server.ask_with(Method::PATCH, &format!("{BOATS}/held"), &merge, body).await.0, 200);
    eventually("the definition is gone", async || (server.get(&path).await.0 == 404).then_some(())).await;
    eventually("its paths are gone", async || (server.get(BOATS).await.0 == 404).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn instances_are_pruned_defaulted_and_validated() {
    let server = start().await;
    define(&server).await;
    let (code, created) = server.ask(Method::POST, BOATS, boat("a", json!({ "oars": 2, "wings": 1 }))).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["spec"], json!({ "oars": 2, "colour": "red" }));
    assert_eq!(created["metadata"]["generation"], 1);
    let strict = format!("{BOATS}?fieldValidation=Strict");
    let (code, refused) =
        server.ask(Method::POST, &strict, boat("b", json!({ "oars": 2, "wings": 1 }))).await;
    assert_eq!(code, 400, "{refused}");
    assert!(
        refused["message"]
            .as_str()
            .is_some_and(|m| m.ends_with("strict decoding error: unknown field \"spec.wings\"")),
        "{refused}"
    );
    let (code, refused) = server.ask(Method::POST, BOATS, boat("c", json!({ "oars": 3 }))).await;
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")), "{refused}");
    assert_eq!(
        refused["message"],
        "Boat.water.example.com \"c\" is invalid: spec: Invalid value: oars come in pairs"
    );
    let (code, refused) = server.ask(Method::POST, BOATS, boat("d", json!({ "oars": "two" }))).await;
    assert_eq!(code, 422, "{refused}");
    let (code, refused) = server
        .ask(
            Method::POST,
            BOATS,
            json!({ "apiVersion": "water.example.com/v1", "kind": "Ship", "metadata": { "name": "e" } }),
        )
        .await;
    assert_eq!(code, 400, "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn subresources_versions_tables_and_selectors() {
    let server = start().await;
    define(&server).await;
    assert_eq!(server.ask(Method::POST, BOATS, boat("a", json!({ "oars": 2, "crew": 1 }))).await.0, 201);
    assert_eq!(
        server.ask(Method::POST, BOATS, boat("b", json!({ "oars": 4, "colour": "blue" }))).await.0,
        201
    );

    let merge = [("content-type", "application/merge-patch+json")];
    let patch = |path: String, body: Value| {
        let server = &server;
        async move { server.ask_with(Method::PATCH, &path, &merge, body.to_string().into_bytes()).await }
    };
    let (code, status) =
        patch(format!("{BOATS}/a/status"), json!({ "status": { "afloat": true }, "spec": { "oars": 8 } }))
            .await;
    assert_eq!(
        (code, &status["status"]["afloat"], &status["spec"]["oars"]),
        (200, &json!(true), &json!(2)),
        "{status}"
    );
    assert_eq!(status["metadata"]["generation"], 1);
    let (code, scale) = patch(format!("{BOATS}/a/scale"), json!({ "spec": { "replicas": 7 } })).await;
    assert_eq!(
        (code, &scale["spec"]["replicas"], &scale["kind"]),
        (200, &json!(7), &json!("Scale")),
        "{scale}"
    );
    let (_, scaled) = server.get(&format!("{BOATS}/a")).await;
    assert_eq!((&scaled["spec"]["crew"], &scaled["metadata"]["generation"]), (&json!(7), &json!(2)));

    let v2 = "/apis/water.example.com/v2/namespaces/default/boats";
    let (_, other) = server.get(&format!("{v2}/a")).await;
    assert_eq!(
        (&other["apiVersion"], &other["spec"]["oars"]),
        (&json!("water.example.com/v2"), &json!(2)),
        "{other}"
    );
    let mut third = boat("c", json!({ "oars": 6 }));
    third["apiVersion"] = "water.example.com/v2".into();
    assert_eq!(server.ask(Method::POST, v2, third).await.0, 201);
    let (_, list) = server.get(BOATS).await;
    let versions: Vec<&Value> =
        list["items"].as_array().expect("items").iter().map(|b| &b["apiVersion"]).collect();
    assert_eq!(versions, ["water.example.com/v1"; 3], "{list}");
    assert_eq!(list["kind"], "BoatList");

    let (_, blue) = server.get(&format!("{BOATS}?fieldSelector=spec.colour%3Dblue")).await;
    assert_eq!(blue["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(blue["items"][0]["metadata"]["name"], "b");
    let (_, six) = server.get(&format!("{v2}?fieldSelector=spec.oars%3D6")).await;
    assert_eq!(six["items"].as_array().map(Vec::len), Some(1), "a field of the version that is asked: {six}");
    assert_eq!(
        (&six["items"][0]["metadata"]["name"], &six["items"][0]["apiVersion"]),
        (&json!("c"), &json!("water.example.com/v2"))
    );
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let (_, table) = server.ask_with(Method::GET, BOATS, &accept, Vec::new()).await;
    assert_eq!(table["columnDefinitions"][1]["name"], "Oars");
    assert_eq!(table["rows"][0]["cells"], json!(["a", 2]));

    let apply = [("content-type", "application/apply-patch+yaml")];
    let config = boat("a", json!({ "oars": 2, "colour": "green" })).to_string().into_bytes();
    let (code, refused) =
        server.ask_with(Method::PATCH, &format!("{BOATS}/a?fieldManager=me"), &apply, config.clone()).await;
    assert_eq!(code, 409, "{refused}");
    let (code, applied) = server
        .ask_with(Method::PATCH, &format!("{BOATS}/a?fieldManager=me&force=true"), &apply, config)
        .await;
    assert_eq!(
        (code, &applied["spec"]["colour"], &applied["spec"]["crew"]),
        (200, &json!("green"), &json!(7)),
        "{applied}"
    );
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let (code, _) = server.ask_with(Method::PATCH, &format!("{BOATS}/a"), &strategic, b"{}".to_vec()).await;
    assert_eq!(code, 415);
    let (code, gone) =
        server.ask(Method::DELETE, &format!("{v2}?fieldSelector=spec.oars%3D6"), Value::Null).await;
    assert_eq!((code, &gone["items"][0]["metadata"]["name"]), (200, &json!("c")), "{gone}");
    assert_eq!(gone["items"].as_array().map(Vec::len), Some(1), "{gone}");
    let (_, left) = server.get(BOATS).await;
    let names: Vec<&Value> =
        left["items"].as_array().expect("items").iter().map(|b| &b["metadata"]["name"]).collect();
    assert_eq!(names, ["a", "b"], "{left}");
    server.stop().await;
}

/// Upstream fills in the defaults of the version that the store keeps when it reads, and those of a request's version
/// when it reads the request: an answer is what the next reader sees.
#[tokio::test]
async fn an_answer_is_what_will_be_read() {
    let server = start().await;
    let mut crd = definition();
    let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status";
    crd.pointer_mut(status).expect("a status")["default"] = json!({ "afloat": false });
    let spec = "/spec/versions/1/schema/openAPIV3Schema/properties/spec/properties";
    let newer = crd.pointer_mut(spec).expect("a spec");
    newer["colour"] = json!({ "type": "string" });
    newer["sails"] = json!({ "type": "integer", "default": 1 });
    let (code, created) = server.ask(Method::POST, DEFINITIONS, crd).await;
    assert_eq!(code, 201, "{created}");
    eventually("served", async || (server.get(BOATS).await.0 == 200).then_some(())).await;

    let v2 = "/apis/water.example.com/v2/namespaces/default/boats";
    let mut other = boat("other", json!({ "oars": 2 }));
    other["apiVersion"] = "water.example.com/v2".into();
    let read = json!({ "oars": 2, "colour": "red" });
    for (at, name) in [(format!("{v2}?dryRun=All"), "dry"), (v2.to_string(), "other")] {
        other["metadata"]["name"] = name.into();
        let (code, created) = server.ask(Method::POST, &at, other.clone()).await;
        assert_eq!(
            (code, &created["spec"]),
            (201, &read),
            "the other version's default, not this one's: {created}"
        );
        assert_eq!(created["metadata"]["resourceVersion"].is_null(), name == "dry");
    }
    let (_, found) = server.get(&format!("{v2}/other")).await;
    assert_eq!(found["spec"], read);

    let (_, created) = server.ask(Method::POST, BOATS, boat("a", json!({ "oars": 2 }))).await;
    assert_eq!(created["status"], json!({ "afloat": false }), "{created}");
    let (_, found) = server.get(&format!("{BOATS}/a")).await;
    assert_eq!(found, created);

    let apply = [("content-type", "application/apply-patch+yaml")];
    let config = boat("null", Value::Null).to_string().into_bytes();
    let path = format!("{BOATS}/null?fieldManager=me");
    let (code, refused) = server.ask_with(Method::PATCH, &path, &apply, config).await;
    let why = r#"Invalid value: "null": spec in body must be of type object: "null""#;
    let told = &refused["details"]["causes"][0]["message"];
    assert_eq!((code, told), (422, &json!(why)), "the null of an apply is meant: {refused}");

    let (code, gone) =
        server.ask(Method::DELETE, &format!("{DEFINITIONS}/boats.water.example.com"), Value::Null).await;
    let metadata = &gone["metadata"];
    assert_eq!((code, &metadata["generation"]), (200, &json!(1)), "{gone}");
    assert!(metadata["deletionTimestamp"].is_string() && metadata["deletionGracePeriodSeconds"].is_null());
    let mut owners = metadata["managedFields"].as_array().expect("owners").iter();
    let of_status =
        owners.find(|owner| owner["manager"] == "kube-apiserver").expect("the server wrote of it");
    assert_eq!(of_status["subresource"], "status");
    server.stop().await;
}

#[tokio::test]
async fn a_scale_and_what_is_not_there_are_told_as_upstream_tells_them() {
    let server = start().await;
    define(&server).await;
    for (name, spec) in [("a", json!({ "oars": 2, "crew": 1 })), ("b", json!({ "oars": 4 }))] {
        assert_eq!(server.ask(Method::POST, BOATS, boat(name, spec)).await.0, 201);
    }
    let merge = [("content-type", "application/merge-patch+json")];
    let (code, scale) = server
        .ask_with(Method::PATCH, &format!("{BOATS}/a/scale"), &merge, br#"{"spec":{"replicas":7}}"#.to_vec())
        .await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(7)), "{scale}");
    assert!(scale["metadata"]["managedFields"].is_null(), "{scale}");
    let unsaid = format!("{BOATS}/b/scale");
    let (code, refused) = server.get(&unsaid).await;
    let why = r#"Internal error occurred: the spec replicas field ".spec.crew" does not exist"#;
    assert_eq!((code, &refused["message"]), (500, &json!(why)));
    let (code, refused) =
        server.ask_with(Method::PATCH, &unsaid, &merge, br#"{"metadata":{}}"#.to_vec()).await;
    let why = r#"the spec replicas field ".spec.crew" cannot be empty"#;
    assert_eq!((code, &refused["message"]), (400, &json!(why)));
    let (code, nothing) = server.get(&format!("{BOATS}/a/paint")).await;
    let why = r#"boats.water.example.com "a" not found"#;
    assert_eq!((code, &nothing["message"]), (404, &json!(why)), "a subresource is missed like an object");
    server.stop().await;
}
