//! The request surface beside a live kube-apiserver 1.36: what each row says, the real one answered.

mod common;

use common::{TestServer, start, start_with};
use http::Method;
use oarlock_base::Features;
use oarlock_store::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

async fn with_map() -> TestServer {
    let server = start().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}});
    assert_eq!(server.ask(Method::POST, CONFIG_MAPS, map).await.0, 201);
    server
}

/// Method, path, headers, body; code, and what the message begins with.
type Case<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

async fn check(server: &TestServer, cases: &[Case<'_>]) {
    for (method, path, headers, body, code, message) in cases {
        let (got, told) = server.ask_with(method.clone(), path, headers, body.as_bytes().to_vec()).await;
        let said = told["message"].as_str().unwrap_or_default();
        assert!(got == *code && said.starts_with(message), "{method} {path} {body}: {got} {told}");
    }
}

#[tokio::test]
async fn odd_reads_are_answered_as_upstream_answers_them() {
    let server = with_map().await;
    let get = Method::GET;
    let one = format!("{CONFIG_MAPS}/c");
    let not_one =
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)";
    let no_list =
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)";
    let token = "invalid continue token: continue key is not valid: invalid character";
    let proxy = "/api/v1/namespaces/default/services/a:b:c:d/proxy/";
    let (xx, both) =
        (format!("{CONFIG_MAPS}?continue=xx"), format!("{CONFIG_MAPS}?continue=xx&resourceVersion=1"));
    let none = format!("{CONFIG_MAPS}?fieldSelector==");
    check(
        &server,
        &[
            (get.clone(), CONFIG_MAPS, &[("accept", PARTIAL)], "", 406, not_one),
            (get.clone(), &one, &[("accept", PARTIAL_LIST)], "", 406, no_list),
            (get.clone(), CONFIG_MAPS, &[("accept", PARTIAL_LIST)], "", 200, ""),
            (get.clone(), &one, &[("accept", PARTIAL)], "", 200, ""),
            (get.clone(), &xx, &[], "", 400, token),
            (get.clone(), &both, &[], "", 400, token),
            (get.clone(), &none, &[], "", 200, ""),
            (
                get.clone(),
                "/api/v1/namespaces/default/pods/..",
                &[],
                "",
                400,
                "Name parameter invalid: \"..\": may not be '..'",
            ),
            (
                get.clone(),
                "/api/v1/namespaces/default/pods/a%2Fb",
                &[],
                "",
                404,
                "the server could not find the requested resource",
            ),
            (get.clone(), proxy, &[], "", 400, "invalid service request \"a:b:c:d\""),
            (Method::POST, "/version", &[], "{}", 405, "the server does not allow this method"),
            (Method::POST, "/apis", &[], "{}", 200, ""),
            (
                get.clone(),
                "/openid/v1/jwks",
                &[("accept", "application/json")],
                "",
                406,
                "406: Not Acceptable\n\nAvailable representations: application/jwk-set+json",
            ),
            (get.clone(), "/openid/v1/jwks", &[("accept", "*/*")], "", 200, ""),
            (
                get,
                "/statusz",
                &[("accept", "application/json")],
                "",
                406,
                "only the following media types are accepted: application/json, application/yaml, text/plain",
            ),
        ],
    )
    .await;
    for (path, code) in
        [(CONFIG_MAPS, 405), (one.as_str(), 405), ("/api", 405), ("/version", 405), ("/healthz", 200)]
    {
        assert_eq!(server.raw(Method::HEAD, path, &[], Vec::new()).await.status().as_u16(), code, "{path}");
    }
    server.stop().await;
}

/// A document comes in the first form that a client names and we have.
#[tokio::test]
async fn openapi_comes_as_json_or_protobuf() {
    const JSON: &str = "application/json";
    const V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    const V2_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    const V3: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    const V3_ASKED: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    let server = start().await;
    let (second, third) = ("/openapi/v2", "/openapi/v3/apis/policy/v1");
    for (path, accept, code, kind, begins) in [
        (second, "*/*", 200, JSON, "{\"swagger\":\"2.0\""),
        (second, V2_ASKED, 200, V2, "\x0a\x032.0"),
        (second, V2, 200, V2, "\x0a\x032.0"),
        (second, &format!("text/html, {V2_ASKED};q=0.9, {JSON}"), 200, V2, "\x0a\x032.0"),
        (second, "text/html", 406, JSON, "{"),
        (third, JSON, 200, JSON, "{\"openapi\":\"3.0.0\""),
        (third, V3_ASKED, 200, V3, "\x0a\x053.0.0"),
        (third, V3, 200, V3, "\x0a\x053.0.0"),
        (third, &format!("{JSON};a=b, {V3_ASKED}"), 200, JSON, "{"),
        (third, "text/html", 406, "", ""),
        (third, V2_ASKED, 406, "", ""),
    ] {
        let answer = server.raw(Method::GET, path, &[("accept", accept)], Vec::new()).await;
        let said = answer.headers().get("content-type").map_or("", |kind| kind.to_str().expect("text"));
        assert_eq!((answer.status().as_u16(), said), (code, kind), "{path} {accept}");
        assert!(answer.body().starts_with(begins.as_bytes()), "{path} {accept}");
    }
    server.stop().await;
}

#[tokio::test]
async fn odd_writes_are_answered_as_upstream_answers_them() {
    let server = with_map().await;
    let json = [("content-type", "application/json")];
    let dry = format!("{CONFIG_MAPS}?dryRun=All");
    let one = format!("{CONFIG_MAPS}/c?dryRun=All");
    let go = "the object provided is unrecognized (must be of type ConfigMap): ";
    let list = format!("{go}couldn't get version/kind; json parse error: json: cannot unmarshal array");
    let proto = format!("{go}provided data does not appear to be a protobuf message, expected prefix");
    let manager = "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\x01b\"";
    let managed = format!("{CONFIG_MAPS}?fieldManager=a%01b");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}).to_string();
    let foreign =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "x"}}).to_string();
    let absent = format!("{CONFIG_MAPS}/nope?fieldManager=m");
    let apply = [("content-type", "application/apply-patch+yaml")];
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let pod = r#"{"kind":"Pod","apiVersion":"v1"}"#;
    check(
        &server,
        &[
            (
                Method::POST,
                &dry,
                &json,
                "null",
                422,
                "ConfigMap \"\" is invalid: metadata.name: Required value",
            ),
            (Method::POST, &dry, &json, "[]", 400, &list),
            (Method::POST, &dry, &[("content-type", "application/yaml")], "[]", 400, &list),
            (
                Method::POST,
                &dry,
                &[("content-type", "application/vnd.kubernetes.protobuf")],
                &map,
                400,
                &proto,
            ),
            (Method::POST, &managed, &json, &map, 422, manager),
            (Method::PATCH, &one, &[("content-type", "text/plain")], "x", 415, "415: Unsupported Media Type"),
            (
                Method::PATCH,
                &one,
                &strategic,
                r#"{"data":{"n":1}}"#,
                422,
                " \"\" is invalid: patch: Invalid value: \"map[data:map[n:1]]\"",
            ),
            (
                Method::PATCH,
                &absent,
                &apply,
                &foreign,
                409,
                "Operation cannot be fulfilled on configmaps \"nope\": uid mismatch",
            ),
            (
                Method::DELETE,
                &one,
                &json,
                "{",
                400,
                "couldn't get version/kind; json parse error: unexpected end of JSON input",
            ),
            (
                Method::DELETE,
                &one,
                &json,
                pod,
                400,
                "no kind \"Pod\" is registered for version \"v1\" in scheme",
            ),
        ],
    )
    .await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other"},"bogus":1}"#;
    let refused = server.raw(Method::PUT, &one, &json, body.into()).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.headers()["warning"], "299 - \"unknown field \\\"bogus\\\"\"");
    let patch = r#"{"metadata":{"labels":{"bad key":"x"}},"bogus":1}"#;
    let merge = [("content-type", "application/merge-patch+json")];
    let refused = server.raw(Method::PATCH, &one, &merge, patch.into()).await;
    assert_eq!(refused.status(), 422);
    assert_eq!(refused.headers()["warning"], "299 - \"unknown field \\\"bogus\\\"\"");
    let dying = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "x", "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 4}});
    let (_, made) = server.ask(Method::POST, &dry, dying).await;
    assert!(made["metadata"].get("managedFields").is_none(), "{made}");
    server.stop().await;
}

/// Which deletions answer with the object; the others answer with a Status.
#[tokio::test]
async fn deletions_answer_with_what_upstream_answers_with() {
    let server = start().await;
    for (path, kind, version, more, answer) in [
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            "StorageClass",
            "storage.k8s.io/v1",
            json!({"provisioner": "a/b"}),
            "StorageClass",
        ),
        (
            "/apis/storage.k8s.io/v1/csidrivers",
            "CSIDriver",
            "storage.k8s.io/v1",
            json!({"spec": {}}),
            "CSIDriver",
        ),
        (
            "/apis/resource.k8s.io/v1/deviceclasses",
            "DeviceClass",
            "resource.k8s.io/v1",
            json!({"spec": {}}),
            "DeviceClass",
        ),
        (
            "/api/v1/namespaces/default/podtemplates",
            "PodTemplate",
            "v1",
            json!({"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}),
            "PodTemplate",
        ),
        (CONFIG_MAPS, "ConfigMap", "v1", json!({}), "Status"),
        (
            "/apis/coordination.k8s.io/v1/namespaces/default/leases",
            "Lease",
            "coordination.k8s.io/v1",
            json!({"spec": {}}),
            "Status",
        ),
    ] {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
        object.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (code, made) = server.ask(Method::POST, path, object).await;
        assert_eq!(code, 201, "{made}");
        let (code, gone) = server.ask_with(Method::DELETE, &format!("{path}/x"), &[], Vec::new()).await;
        assert_eq!((code, &gone["kind"]), (200, &json!(answer)), "{gone}");
    }
    server.stop().await;
}

#[tokio::test]
async fn tables_tell_their_version_and_their_columns() {
    let server = with_map().await;
    for version in ["v1", "v1beta1"] {
        let accept = format!("application/json;as=Table;v={version};g=meta.k8s.io");
        let (_, table) = server.ask_with(Method::GET, CONFIG_MAPS, &[("accept", &accept)], Vec::new()).await;
        let meta = json!(format!("meta.k8s.io/{version}"));
        assert_eq!((&table["apiVersion"], &table["rows"][0]["object"]["apiVersion"]), (&meta, &meta));
        let described = table["columnDefinitions"][1]["description"].as_str().unwrap_or_default();
        assert!(described.starts_with("Data contains the configuration data."), "{table}");
    }
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let (_, table) = server.ask_with(Method::GET, "/api/v1/componentstatuses", &accept, Vec::new()).await;
    assert_eq!(table["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]));
    let warned = server.raw(Method::GET, "/api/v1/componentstatuses/nope", &[], Vec::new()).await;
    assert_eq!(warned.headers()["warning"], "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    server.stop().await;
}

#[tokio::test]
async fn what_the_server_makes_is_its_own() {
    let server = start().await;
    for path in [
        "/api/v1/namespaces/default",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/view",
        "/api/v1/namespaces/default/services/kubernetes",
        "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking",
    ] {
        let (_, object) = server.get(path).await;
        assert_eq!(object["metadata"]["managedFields"][0]["manager"], "kube-apiserver", "{object}");
    }
    let (_, namespace) = server.get("/api/v1/namespaces/default").await;
    let owned = &namespace["metadata"]["managedFields"][0]["fieldsV1"];
    assert!(owned.get("f:spec").is_none() && owned.get("f:status").is_none(), "{namespace}");
    assert_eq!(
        (&namespace["spec"]["finalizers"], &namespace["status"]["phase"]),
        (&json!(["kubernetes"]), &json!("Active"))
    );
    server.stop().await;
}

#[tokio::test]
async fn status_and_flags_are_told() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.running.flags = [("event-ttl".to_string(), "1h".to_string())].into();
    })
    .await;
    let text = server.raw(Method::GET, "/flagz", &[], Vec::new()).await;
    assert!(String::from_utf8_lossy(text.body()).ends_with("purposes only.\nevent-ttl=1h\n"), "{text:?}");
    let accept = [("accept", "application/json;as=Flagz;v=v1alpha1;g=config.k8s.io")];
    let response = server.raw(Method::GET, "/flagz", &accept, Vec::new()).await;
    assert_eq!(response.headers()["content-type"], "application/json;g=config.k8s.io;v=v1alpha1;as=Flagz");
    assert!(response.headers()["warning"].to_str().is_ok_and(|w| w.contains("flagz endpoint is deprecated")));
    let flags: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(flags["flags"], json!({"event-ttl": "1h"}));
    let accept = [("accept", "application/json;as=Statusz;v=v1beta1;g=config.k8s.io")];
    let (_, status) = server.ask_with(Method::GET, "/statusz", &accept, Vec::new()).await;
    assert_eq!((&status["emulationVersion"], &status["paths"][0]), (&json!("1.36"), &json!("/flagz")));
    server.stop().await;
}

#[tokio::test]
async fn features_switch() {
    let gates = "ComponentStatusz=false,ComponentFlagz=false,WatchList=false,OpenAPIEnums=false";
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        let read = Features::parse(&[gates.to_string()], &oarlock_apiserver::SWITCHES);
        config.running.features = read.expect("known features");
    })
    .await;
    for page in ["/statusz", "/flagz"] {
        assert_eq!(server.raw(Method::GET, page, &[], Vec::new()).await.status(), 404, "{page}");
    }
    let watch = format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    let (code, told) = server.get(&watch).await;
    let why = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
               for watch unless the WatchList feature gate is enabled";
    assert_eq!((code, told["message"].as_str()), (422, Some(why)));
    let (_, document) = server.get("/openapi/v3/apis/apps/v1").await;
    assert!(!document.to_string().contains("\"enum\""));
    let text = server.raw(Method::GET, "/metrics", &[], Vec::new()).await;
    let text = String::from_utf8_lossy(text.body()).into_owned();
    assert!(text.contains("kubernetes_feature_enabled{name=\"WatchList\",stage=\"BETA\"} 0"));
    server.stop().await;
}

/// Upstream's stable and beta metrics, with their labels in order, after the requests that make them.
#[tokio::test]
async fn metrics_have_upstreams_names_and_labels() {
    let server = with_map().await;
    server.get(&format!("{CONFIG_MAPS}/c")).await;
    server.get("/api/v1/endpoints").await;
    server.get("/livez?verbose").await;
    let text = server.raw(Method::GET, "/metrics", &[], Vec::new()).await;
    let text = String::from_utf8_lossy(text.body()).into_owned();
    for series in [
        "apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",\
         scope=\"resource\",subresource=\"\",system_client=\"\",verb=\"POST\",version=\"v1\"} 1",
        "apiserver_request_duration_seconds_count{component=\"apiserver\",dry_run=\"\",group=\"\",\
         resource=\"configmaps\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 1",
        "apiserver_response_sizes_count{component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"resource\",\
         subresource=\"\",verb=\"GET\",version=\"v1\"} 1",
        "apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\",subresource=\"\",\
         version=\"v1\"} 1",
        "apiserver_admission_step_admission_duration_seconds_count{operation=\"CREATE\",rejected=\"false\",\
         type=\"validate\"}",
        "apiserver_admission_controller_admission_duration_seconds_count{name=\"NamespaceLifecycle\",\
         operation=\"CREATE\",rejected=\"false\",type=\"admit\"}",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"}",
        "apiserver_resource_objects{group=\"\",resource=\"configmaps\"}",
        "apiserver_storage_objects{resource=\"configmaps\"}",
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"exempt\"}",
        "kubernetes_build_info{build_date=",
        "apiserver_storage_events_received_total{group=\"\",resource=\"configmaps\"}",
        "apiserver_cel_compilation_duration_seconds_count",
        "apiserver_cel_evaluation_duration_seconds_count",
        "kubernetes_feature_enabled{name=\"AllAlpha\",stage=\"ALPHA\"} 0",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(text.contains(series), "{series}");
    }
    let slis = server.raw(Method::GET, "/metrics/slis", &[], Vec::new()).await;
    let slis = String::from_utf8_lossy(slis.body()).into_owned();
    assert!(slis.contains("kubernetes_healthcheck{name=\"etcd\",type=\"livez\"} 1"), "{slis}");
    server.stop().await;
}

/// Cells that a live server showed to be wrong here.
#[tokio::test]
async fn cells_are_upstreams() {
    let server = start().await;
    let binding = |name: &str, reference: Value| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": "p", "validationActions": ["Deny"], "paramRef": reference}})
    };
    let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]});
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    for (path, object, cell, want) in [
        (
            bindings,
            binding("x", json!({"selector": selector, "parameterNotFoundAction": "Deny"})),
            2,
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{\
             LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
        ),
        (bindings, binding("y", json!({"name": "n", "parameterNotFoundAction": "Deny"})), 2, "*/n"),
        (
            "/api/v1/nodes",
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"}, "status": {"nodeInfo": {
                "kernelVersion": "6.1", "architecture": "amd64", "machineID": "", "systemUUID": "", "bootID": "",
                "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "",
                "operatingSystem": "linux"}}}),
            8,
            "6.1 (amd64)",
        ),
    ] {
        let (code, made) = server.ask(Method::POST, path, object).await;
        assert_eq!(code, 201, "{made}");
        let one = format!("{path}/{}", made["metadata"]["name"].as_str().expect("a name"));
        let (_, table) = server.ask_with(Method::GET, &one, &accept, Vec::new()).await;
        assert_eq!(table["rows"][0]["cells"][cell], want, "{table}");
    }
    let schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let (_, table) = server.ask_with(Method::GET, schemas, &accept, Vec::new()).await;
    assert_eq!(table["rows"][0]["cells"][0], "exempt", "{table}");
    let own = "/apis/apiregistration.k8s.io/v1/apiservices/v1.apiregistration.k8s.io";
    assert_eq!(server.get(own).await.0, 404);
    server.stop().await;
}
