use std::collections::BTreeSet;

use super::*;

fn served() -> OpenApi {
    OpenApi::new(|resource| resource.served_by_default)
}

fn v3(path: &str) -> Value {
    let bytes = served().v3_document(path).expect("the group version is served");
    serde_json::from_slice(&bytes).expect("the document is JSON")
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                found.insert(target.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_v3_document_is_closed() {
    let api = served();
    let index = api.v3_index();
    let paths = index["paths"].as_object().expect("the index has paths");
    assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"));
    for (path, entry) in paths {
        let url = entry["serverRelativeURL"].as_str().expect("an address");
        assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")), "{url}");
        let document = v3(path);
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for target in found {
            let pointer = target.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{path}: {target}");
        }
    }
    assert_eq!(api.v3_document("apis/nothing/v1"), None);
}

#[test]
fn the_v2_document_is_closed() {
    let document: Value = serde_json::from_slice(&served().v2_document()).expect("the document is JSON");
    assert_eq!(document["swagger"], "2.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in found {
        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
    let pod = &document["definitions"]["io.k8s.api.core.v1.Pod"];
    assert_eq!(
        pod["x-kubernetes-group-version-kind"],
        json!([{"group": "", "kind": "Pod", "version": "v1"}])
    );
}

/// What kubectl looks for: `--validate`, strategic merge in apply, explain.
#[test]
fn kubectl_finds_what_it_looks_for() {
    let apps = v3("apis/apps/v1");
    let item = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let patch = &item["patch"];
    let names: Vec<&str> =
        patch["parameters"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str()).collect();
    assert!(
        names.contains(&"fieldValidation") && names.contains(&"dryRun") && names.contains(&"force"),
        "{names:?}"
    );
    let gvk = json!({"group": "apps", "kind": "Deployment", "version": "v1"});
    assert_eq!(patch["x-kubernetes-group-version-kind"], gvk);
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
    let list = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["get"];
    assert_eq!(list["x-kubernetes-group-version-kind"], gvk);
    assert_eq!(list["operationId"], "listAppsV1NamespacedDeployment");

    let schemas = &apps["components"]["schemas"];
    assert_eq!(schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"], json!([gvk]));
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(
        containers["items"],
        json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}], "default": {}})
    );
    let options =
        &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"];
    let wanted = json!({"group": "apps", "kind": "DeleteOptions", "version": "v1"});
    assert!(options.as_array().is_some_and(|kinds| kinds.contains(&wanted)));
}

#[test]
fn schemas_carry_types_and_prose() {
    let core = v3("api/v1");
    let schemas = &core["components"]["schemas"];
    let port = &schemas["io.k8s.api.core.v1.ContainerPort"];
    assert_eq!(port["required"], json!(["containerPort"]));
    let number = &port["properties"]["containerPort"];
    assert_eq!(
        (&number["type"], &number["format"], &number["default"]),
        (&json!("integer"), &json!("int32"), &json!(0))
    );
    assert_eq!(port["properties"]["protocol"]["default"], "TCP");
    assert_eq!(port["properties"]["protocol"]["enum"], json!(["SCTP", "TCP", "UDP"]));
    let told = port["description"].as_str().expect("types are described");
    assert_eq!(told, "ContainerPort represents a network port in a single container.");
    assert!(number["description"].as_str().is_some_and(|text| text.contains("0 < x < 65536")), "{number}");
    let spec = &schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"];
    assert_eq!(spec["allOf"], json!([{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]));
    assert!(
        core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/exec"]["post"]["operationId"]
            == "connectCoreV1PostNamespacedPodExec"
    );
}

#[test]
fn the_fingerprint_tells_what_is_served() {
    assert_eq!(served().fingerprint(), served().fingerprint());
    assert_ne!(served().fingerprint(), OpenApi::new(|_| true).fingerprint());
}
