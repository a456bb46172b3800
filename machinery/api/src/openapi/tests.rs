use std::collections::BTreeSet;
use std::sync::Arc;

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
    for path in ["api", "apis", "api/v1", "apis/apps", "apis/apps/v1", "version", "openid/v1/jwks"] {
        assert!(paths.contains_key(path), "{path}");
    }
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
    assert_eq!(containers["items"], json!({"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}));
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

/// A custom resource as a definition would tell it.
struct CronTab(Value, &'static str);

impl CustomApi for CronTab {
    fn group(&self) -> &str {
        "stable.example.com"
    }
    fn version(&self) -> &str {
        "v1"
    }
    fn plural(&self) -> &str {
        "crontabs"
    }
    fn kind(&self) -> &str {
        "CronTab"
    }
    fn list_kind(&self) -> &str {
        self.1
    }
    fn namespaced(&self) -> bool {
        true
    }
    fn has_status(&self) -> bool {
        true
    }
    fn has_scale(&self) -> bool {
        true
    }
    fn preserves_unknown(&self) -> bool {
        false
    }
    fn selectable_fields(&self) -> Vec<String> {
        vec!["spec.color".into()]
    }
    fn schema(&self) -> Option<Value> {
        (!self.0.is_null()).then(|| self.0.clone())
    }
    fn fingerprint(&self) -> u64 {
        self.0.to_string().len() as u64
    }
}

fn with_crontabs(schema: Value) -> OpenApi {
    served().with_custom([Arc::new(CronTab(schema, "CronTabList")) as Arc<dyn CustomApi>])
}

fn crontab_schema() -> Value {
    json!({"type": "object", "description": "A table.", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["schedule", "empty"], "x-kubernetes-validations": [{"rule": "true"}], "properties": {
            "schedule": {"type": "string", "pattern": "^x$", "default": "x", "description": "When."},
            "empty": {"type": "string", "nullable": true},
            "port": {"x-kubernetes-int-or-string": true},
            "either": {"type": "string", "oneOf": [{"minLength": 1}, {"maxLength": 3}]},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
                "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
        }},
    }})
}

const CRONTAB: &str = "com.example.stable.v1.CronTab";

#[test]
fn custom_resources_are_told_in_v3() {
    let api = with_crontabs(crontab_schema());
    let path = "apis/stable.example.com/v1";
    let document: Value =
        serde_json::from_slice(&api.v3_document(path).expect("it is served")).expect("JSON");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in found {
        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
    let paths = &document["paths"];
    let item = &paths["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}"];
    assert_eq!(item["patch"]["operationId"], "patchStableExampleComV1NamespacedCronTab");
    assert!(item["patch"]["requestBody"]["content"]["application/strategic-merge-patch+json"].is_null());
    let gvk = json!({"group": "stable.example.com", "kind": "CronTab", "version": "v1"});
    assert_eq!(item["get"]["x-kubernetes-group-version-kind"], gvk);
    for sub in ["status", "scale"] {
        let path = format!("/apis/stable.example.com/v1/namespaces/{{namespace}}/crontabs/{{name}}/{sub}");
        assert!(paths[&path]["put"].is_object(), "{sub}");
    }
    assert!(paths["/apis/stable.example.com/v1/crontabs"]["get"].is_object());

    let schema = &document["components"]["schemas"][CRONTAB];
    assert_eq!(schema["x-kubernetes-group-version-kind"], json!([gvk]));
    assert_eq!(schema["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.color"}]));
    assert_eq!(schema["description"], "A table.");
    let spec = &schema["properties"]["spec"]["properties"];
    assert_eq!(spec["port"]["anyOf"], json!([{"type": "integer"}, {"type": "string"}]));
    assert_eq!((&spec["empty"]["nullable"], &spec["schedule"]["default"]), (&json!(true), &json!("x")));
    assert_eq!(spec["either"]["oneOf"][0]["minLength"], 1);
    assert_eq!(spec["list"]["x-kubernetes-list-map-keys"], json!(["a"]));
    assert_eq!(spec["pod"]["required"], json!(["kind", "apiVersion"]));
    let metadata = &schema["properties"]["metadata"]["allOf"][0]["$ref"];
    assert_eq!(metadata, "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let list = &document["components"]["schemas"]["com.example.stable.v1.CronTabList"];
    assert_eq!(list["properties"]["items"]["items"]["$ref"], format!("#/components/schemas/{CRONTAB}"));
}

#[test]
fn groups_become_words_of_names() {
    for (group, name) in [
        ("", "core"),
        ("apps", "apps"),
        ("rbac.authorization.k8s.io", "rbacAuthorization"),
        ("cert-manager.io", "certManagerIo"),
    ] {
        assert_eq!(super::operations::group_name(group), name);
    }
}

#[test]
fn version_2_leaves_out_what_it_cannot_say() {
    let document: Value =
        serde_json::from_slice(&with_crontabs(crontab_schema()).v2_document()).expect("the document is JSON");
    let schema = &document["definitions"][CRONTAB];
    let spec = &schema["properties"]["spec"];
    // A field that may be null has no type there, and so cannot be required.
    assert_eq!(spec["required"], json!(["schedule"]));
    assert_eq!(spec["properties"]["empty"], json!({}));
    assert_eq!(spec["properties"]["either"], json!({"type": "string"}));
    assert_eq!(spec["properties"]["any"], json!({"x-kubernetes-preserve-unknown-fields": true}));
    assert_eq!(spec["properties"]["port"], json!({"x-kubernetes-int-or-string": true}));
    assert!(spec["x-kubernetes-validations"].is_array());
    assert!(spec["properties"]["schedule"]["default"].is_null(), "readers of version 2 know no defaults");
    let metadata = &schema["properties"]["metadata"]["$ref"];
    assert_eq!(metadata, "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let without = with_crontabs(Value::Null);
    let document: Value = serde_json::from_slice(&without.v2_document()).expect("the document is JSON");
    assert_eq!(document["definitions"][CRONTAB]["type"], "object");
}

#[test]
fn addresses_change_with_what_is_told() {
    let (one, other) = (with_crontabs(json!({"type": "object"})), with_crontabs(crontab_schema()));
    let address = |api: &OpenApi, path: &str| api.v3_index()["paths"][path]["serverRelativeURL"].to_string();
    let custom = "apis/stable.example.com/v1";
    assert_ne!(address(&one, custom), address(&other, custom));
    assert_eq!(address(&one, "apis/apps/v1"), address(&other, "apis/apps/v1"));
    assert_ne!(one.fingerprint(), other.fingerprint());
    let hash = one.v3_fingerprint(custom).expect("it is served");
    assert!(address(&one, custom).contains(&hash));
}

#[test]
fn discovery_is_told_of_too() {
    let check = |path: &str, operation: &str, answer: &str| {
        let document = v3(path);
        let get = &document["paths"][format!("/{path}/")]["get"];
        assert_eq!(get["operationId"], operation, "{path}");
        let schema = &get["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(schema, &format!("#/components/schemas/{answer}"), "{path}");
    };
    check("api", "getCoreAPIVersions", &format!("{}APIVersions", schema::META));
    check("apis/apps", "getAppsAPIGroup", &format!("{}APIGroup", schema::META));
    check(
        "apis/rbac.authorization.k8s.io",
        "getRbacAuthorizationAPIGroup",
        &format!("{}APIGroup", schema::META),
    );
    check("apis/apps/v1", "getAppsV1APIResources", &format!("{}APIResourceList", schema::META));
    check("version", "getCodeVersion", schema::VERSION_INFO);
    let keys = v3("openid/v1/jwks");
    let answer = &keys["paths"]["/openid/v1/jwks/"]["get"]["responses"]["200"]["content"];
    assert_eq!(answer["application/jwk-set+json"]["schema"], json!({"type": "string"}));
}

#[test]
fn closed_sets_can_be_left_out() {
    let api = served().with_enums(false);
    let document = api.v3_document("api/v1").expect("it is served");
    assert!(!String::from_utf8(document).expect("text").contains("\"enum\":"));
    assert_ne!(api.v3_fingerprint("api/v1"), served().v3_fingerprint("api/v1"));
}

/// What kubectl explains: the prose of what every object has, and what values mean where that is known.
#[test]
fn values_and_what_every_object_has_are_explained() {
    for (path, ty, field, begins, ends) in [
        (
            "api/v1",
            "io.k8s.api.core.v1.Pod",
            "apiVersion",
            "APIVersion defines the versioned schema of",
            "#resources",
        ),
        (
            "api/v1",
            "io.k8s.api.core.v1.Pod",
            "kind",
            "Kind is a string value representing the REST",
            "#types-kinds",
        ),
        (
            "api/v1",
            "io.k8s.api.core.v1.PodList",
            "metadata",
            "Standard list metadata. More info:",
            "#types-kinds",
        ),
        ("apis/apps/v1", "io.k8s.api.apps.v1.DeploymentStrategy", "type", "Type of deployment.", "one."),
        (
            "api/v1",
            "io.k8s.api.core.v1.Container",
            "imagePullPolicy",
            "Image pull policy. One of Always",
            "Container will fail if the image isn't present",
        ),
        (
            "apis/batch/v1",
            "io.k8s.api.batch.v1.JobSpec",
            "podReplacementPolicy",
            "podReplacementPolicy specifies",
            "Possible enum values:\n - `\"Failed\"`\n - `\"TerminatingOrFailed\"`",
        ),
    ] {
        let document = v3(path);
        let told = &document["components"]["schemas"][ty]["properties"][field]["description"];
        let told = told.as_str().expect("it is described");
        assert!(told.starts_with(begins) && told.ends_with(ends), "{ty} {field}: {told}");
        let values = document["components"]["schemas"][ty]["properties"][field]["enum"].is_array();
        assert_eq!(told.contains("\n\nPossible enum values:\n - `\""), values, "{ty} {field}: {told}");
    }
    let bare = OpenApi::new(|resource| resource.served_by_default).with_enums(false);
    let bare =
        String::from_utf8(bare.v3_document("apis/apps/v1").expect("it is served")).expect("it is text");
    assert!(!bare.contains("Possible enum values"));
}
