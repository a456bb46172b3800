//! What a request may say, and how it is refused: tables of requests and upstream's answers.

mod common;

use http::Method;
use oarlock_store::Revision;
use serde_json::{Value, json};

use common::{TestServer, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

/// One request and what its answer says: `code reason: start of the message`.
struct Case {
    method: Method,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    want: &'static str,
}

fn get(path: impl Into<String>, want: &'static str) -> Case {
    Case { method: Method::GET, path: path.into(), headers: vec![], body: vec![], want }
}

fn send(
    method: Method,
    path: impl Into<String>,
    kind: &'static str,
    body: impl ToString,
    want: &'static str,
) -> Case {
    let body = body.to_string().into_bytes();
    Case { method, path: path.into(), headers: vec![("content-type", kind)], body, want }
}

async fn check(server: &TestServer, cases: Vec<Case>) {
    for case in cases {
        let told = format!("{} {}", case.method, case.path);
        let (code, answer) = server.ask_with(case.method, &case.path, &case.headers, case.body).await;
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_string();
        let got = format!("{code} {}: {}", text("reason"), text("message"));
        assert!(got.starts_with(case.want), "{told}\n got {got}\nwant {}", case.want);
    }
}

#[tokio::test]
async fn lists_refuse_what_upstream_refuses() {
    let server = start().await;
    let maps = |query: &str| format!("{MAPS}?{query}");
    let cases = vec![
        get(
            maps("resourceVersionMatch=Exact"),
            "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden unless resourceVersion is provided",
        ),
        get(
            maps("resourceVersionMatch=Exact&resourceVersion=0"),
            "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \
             \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        get(
            maps("resourceVersionMatch=Newest&resourceVersion=1"),
            "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Newest\"",
        ),
        get(
            maps("sendInitialEvents=true"),
            "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is \
             forbidden for list",
        ),
        get(
            maps("watch=1&resourceVersionMatch=NotOlderThan"),
            "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden for watch unless sendInitialEvents is provided",
        ),
        get(
            maps("watch=1&sendInitialEvents=true"),
            "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents \
             requires setting resourceVersionMatch to NotOlderThan",
        ),
        get(
            maps("fieldSelector=data.k%3Dv"),
            "400 BadRequest: \"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
        get(
            "/api/v1/pods?fieldSelector=spec.nope%3Dv",
            "400 BadRequest: field label not supported: spec.nope",
        ),
        get(
            "/apis/batch/v1/jobs?fieldSelector=spec.nope%3Dv",
            "400 BadRequest: field label \"spec.nope\" not supported for Job",
        ),
        get(
            "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nope%3Dv",
            "400 BadRequest: field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.nope",
        ),
        get(
            maps("fieldSelector=nonsense"),
            "400 BadRequest: invalid selector: 'nonsense'; can't understand 'nonsense'",
        ),
        get(
            maps("labelSelector=a%20in%20b"),
            "400 BadRequest: unable to parse requirement: found 'b' expected: '('",
        ),
        get(maps("continue=%21%21"), "400 BadRequest: invalid continue token: continue key is not valid: "),
        get(
            maps("resourceVersion=99999&resourceVersionMatch=Exact"),
            "504 Timeout: Timeout: Too large resource version: 99999, current: ",
        ),
        get("/api/v1/configmaps/a", "404 NotFound: the server could not find the requested resource"),
        get(
            "/api/v1/namespaces/default/nodes",
            "404 NotFound: the server could not find the requested resource",
        ),
        send(
            Method::POST,
            "/api/v1/configmaps",
            JSON,
            map("a"),
            "405 MethodNotAllowed: the server does not allow this",
        ),
        send(
            Method::DELETE,
            "/api/v1/configmaps",
            JSON,
            "",
            "405 MethodNotAllowed: the server does not allow this",
        ),
        send(
            Method::PUT,
            MAPS,
            JSON,
            map("a"),
            "405 MethodNotAllowed: the server does not allow this method",
        ),
    ];
    check(&server, cases).await;
    server.stop().await;
}

/// The ConfigMap that is there.
const ONE: &str = "/api/v1/namespaces/default/configmaps/a";
const MERGE: &str = "application/merge-patch+json";

/// It, with a field of its metadata.
fn map_with(field: &str, value: Value) -> Value {
    let mut object = map("a");
    object["metadata"][field] = value;
    object
}

fn creations() -> Vec<Case> {
    vec![
        send(
            Method::POST,
            MAPS,
            JSON,
            "",
            "400 BadRequest: the object provided is unrecognized (must be of type ConfigMap): \
             couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
        ),
        send(
            Method::POST,
            MAPS,
            JSON,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}),
            "400 BadRequest: Pod in version \"v1\" cannot be handled as a ConfigMap: \
             converting (v1.Pod) to (core.ConfigMap): unknown conversion",
        ),
        send(
            Method::POST,
            MAPS,
            JSON,
            json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}}),
            "400 BadRequest: ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered \
             for version \"v2\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        ),
        send(
            Method::POST,
            "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
            JSON,
            json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"}}),
            "400 BadRequest: the API version in the data (autoscaling/v1) does not match the expected API version \
             (autoscaling/v2)",
        ),
        send(
            Method::POST,
            MAPS,
            JSON,
            map_with("namespace", "other".into()),
            "400 BadRequest: the namespace of the provided \
             object does not match the namespace sent on the request",
        ),
        send(
            Method::POST,
            MAPS,
            JSON,
            json!({"metadata": {"name": "r", "resourceVersion": "7"}}),
            "500 : resourceVersion should not be set on objects to be created",
        ),
        send(
            Method::POST,
            MAPS,
            JSON,
            json!({"metadata": {}}),
            "422 Invalid: ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        send(
            Method::POST,
            MAPS,
            JSON,
            json!({"metadata": {"name": "n".repeat(254)}}),
            "422 Invalid: ConfigMap \"nnn",
        ),
    ]
}

fn replacements() -> Vec<Case> {
    vec![
        send(
            Method::PUT,
            ONE,
            JSON,
            map("b"),
            "400 BadRequest: the name of the object (b) does not match the name on the \
             URL (a)",
        ),
        send(
            Method::PUT,
            ONE,
            JSON,
            json!({"data": {}}),
            "400 BadRequest: the name of the object (a based on URL) was \
             undeterminable: name must be provided",
        ),
        send(
            Method::PUT,
            format!("{MAPS}/none"),
            JSON,
            map("none"),
            "404 NotFound: configmaps \"none\" not found",
        ),
        send(
            Method::PUT,
            ONE,
            JSON,
            map_with("uid", "other".into()),
            "409 Conflict: Operation cannot be fulfilled on configmaps \
             \"a\": StorageError: invalid object, Code: 4, Key: /configmaps/default/a, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: other, UID in object meta: ",
        ),
        send(
            Method::PUT,
            ONE,
            JSON,
            map_with("resourceVersion", "1".into()),
            "409 Conflict: Operation cannot be fulfilled on \
             configmaps \"a\": the object has been modified",
        ),
    ]
}

fn patches() -> Vec<Case> {
    vec![
        send(
            Method::PATCH,
            format!("{MAPS}/none"),
            MERGE,
            "{}",
            "404 NotFound: configmaps \"none\" not found",
        ),
        send(
            Method::PATCH,
            ONE,
            MERGE,
            json!({"metadata": {"name": "b"}}),
            "400 BadRequest: the name of the object (b) does \
             not match the name on the URL (a)",
        ),
        send(
            Method::PATCH,
            ONE,
            MERGE,
            json!({"metadata": {"resourceVersion": "1"}}),
            "409 Conflict: Operation cannot be",
        ),
        send(
            Method::PATCH,
            ONE,
            MERGE,
            json!({"data": 7}),
            "422 Invalid:  \"\" is invalid: patch: Invalid value: ",
        ),
        send(
            Method::PATCH,
            format!("{ONE}?fieldValidation=Strict"),
            MERGE,
            json!({"foo": 1}),
            "422 Invalid:  \"\" is invalid: patch: Invalid value: ",
        ),
        send(Method::PATCH, ONE, "text/plain", "{}", "415 UnsupportedMediaType: "),
    ]
}

fn deletions() -> Vec<Case> {
    vec![
        send(
            Method::DELETE,
            ONE,
            JSON,
            json!({"preconditions": {"uid": "other"}}),
            "409 Conflict: Operation cannot be \
             fulfilled on ConfigMap \"a\": the UID in the precondition (other) does not match the UID in record (",
        ),
        send(
            Method::DELETE,
            ONE,
            JSON,
            json!({"preconditions": {"resourceVersion": "1"}}),
            "409 Conflict: Operation cannot \
             be fulfilled on ConfigMap \"a\": the ResourceVersion in the precondition (1) does not match the ResourceVersion \
             in record (",
        ),
        send(
            Method::DELETE,
            ONE,
            JSON,
            json!({"propagationPolicy": "Sideways"}),
            "422 Invalid: DeleteOptions",
        ),
        send(Method::DELETE, format!("{ONE}?dryRun=Some"), JSON, "", "422 Invalid: DeleteOptions"),
        send(Method::DELETE, format!("{MAPS}/none"), JSON, "", "404 NotFound: configmaps \"none\" not found"),
    ]
}

#[tokio::test]
async fn objects_that_do_not_fit_their_request_are_refused() {
    let server = start().await;
    assert_eq!(server.ask(Method::POST, MAPS, map("a")).await.0, 201);
    for cases in [creations(), replacements(), patches(), deletions()] {
        check(&server, cases).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn bodies_and_answers_come_in_the_formats_that_headers_name() {
    let server = start().await;
    let content = [
        ("application/json; charset=utf-8", r#"{"metadata": {"name": "a"}}"#),
        ("application/yaml;x=y", "metadata:\n  name: b\n"),
    ];
    for (kind, body) in content {
        let (code, made) =
            server.ask_with(Method::POST, MAPS, &[("content-type", kind)], body.as_bytes().to_vec()).await;
        assert_eq!(code, 201, "{kind}: {made}");
    }
    let accepted = [
        ("text/html, application/json;q=0.5, application/yaml;q=0.9", "application/yaml"),
        ("application/vnd.kubernetes.protobuf;q=0.1, */*;q=0.8", "application/json"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io, application/yaml", "application/yaml"),
    ];
    for (accept, want) in accepted {
        let answer = server.raw(Method::GET, &format!("{MAPS}/a"), &[("accept", accept)], vec![]).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &want.parse().expect("ascii"))
        );
    }
    let all = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
               application/vnd.kubernetes.protobuf, application/json;stream=watch, \
               application/vnd.kubernetes.protobuf;stream=watch";
    let refused = [(MAPS.to_string(), all), (format!("{MAPS}?watch=1"), all)];
    for (path, want) in refused {
        let (code, told) = server.ask_with(Method::GET, &path, &[("accept", "text/html")], vec![]).await;
        assert_eq!((code, told["message"].as_str()), (406, Some(want)), "{told}");
    }
    server.stop().await;
}

#[tokio::test]
async fn dry_runs_of_every_verb_change_nothing() {
    let server = start().await;
    let (_, made) = server.ask(Method::POST, MAPS, map("a")).await;
    let one = format!("{MAPS}/a?dryRun=All");
    let mut changed = map("a");
    changed["data"]["k"] = "w".into();
    let merge = [("content-type", "application/merge-patch+json")];
    let (code, told) = server.ask(Method::PUT, &one, changed.clone()).await;
    assert_eq!((code, &told["data"]["k"]), (200, &json!("w")));
    let (code, told) = server.ask_with(Method::PATCH, &one, &merge, changed.to_string().into_bytes()).await;
    assert_eq!((code, &told["data"]["k"]), (200, &json!("w")));
    assert_eq!(server.ask_with(Method::DELETE, &one, &[], vec![]).await.0, 200);
    assert_eq!(server.ask(Method::DELETE, &format!("{MAPS}/a"), json!({"dryRun": ["All"]})).await.0, 200);
    assert_eq!(server.ask_with(Method::DELETE, &format!("{MAPS}?dryRun=All"), &[], vec![]).await.0, 200);
    let (code, again) = server.ask(Method::POST, &format!("{MAPS}?dryRun=All"), map("a")).await;
    assert_eq!((code, again["reason"].as_str()), (409, Some("AlreadyExists")));
    assert_eq!(server.get(&format!("{MAPS}/a")).await.1, made);
    server.stop().await;
}

#[tokio::test]
async fn a_page_goes_on_while_others_write_and_after_compaction() {
    let server = start().await;
    for index in 0..6 {
        assert_eq!(server.ask(Method::POST, MAPS, map(&format!("m{index}"))).await.0, 201);
    }
    let (_, page) = server.get(&format!("{MAPS}?limit=2")).await;
    let token = page["metadata"]["continue"].as_str().expect("there is more").to_string();
    let (_, deleted) = server.ask(Method::DELETE, &format!("{MAPS}/m2"), json!({})).await;
    assert_eq!(deleted["status"], "Success");
    let (_, next) = server.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!(
        (&next["items"][0]["metadata"]["name"], &next["metadata"]["remainingItemCount"]),
        (&json!("m2"), &json!(2))
    );

    let revision: u64 =
        page["metadata"]["resourceVersion"].as_str().and_then(|t| t.parse().ok()).expect("a number");
    server.store.compact(Revision(revision + 1)).await.expect("it is past");
    let (code, expired) = server.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((code, expired["reason"].as_str()), (410, Some("Expired")), "{expired}");
    let token = expired["metadata"]["continue"].as_str().expect("a token that goes on inconsistently");
    let (code, rest) = server.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((code, &rest["items"][0]["metadata"]["name"]), (200, &json!("m3")), "{rest}");
    let (code, old) =
        server.get(&format!("{MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact")).await;
    assert_eq!(
        (code, &old["message"]),
        (410, &json!("The resourceVersion for the provided list is too old."))
    );
    server.stop().await;
}

#[tokio::test]
async fn health_tells_what_was_checked() {
    let server = start().await;
    let (code, verbose) = server.get("/readyz?verbose").await;
    let told = verbose.as_str().expect("text");
    for check in ["ping", "etcd", "etcd-readiness", "informer-sync", "autoregister-completion", "shutdown"] {
        assert!(told.contains(&format!("[+]{check} ok\n")), "{told}");
    }
    assert!(!told.contains("kms") && !told.contains("max-in-flight"), "only what is in use: {told}");
    assert!(code == 200 && told.ends_with("readyz check passed\n"), "{told}");
    assert_eq!(server.get("/readyz/etcd").await, (200, json!("ok")));
    let hook = "poststarthook/priority-and-fairness-filter";
    for path in ["/livez/ping", "/healthz/etcd", &format!("/healthz/{hook}"), &format!("/readyz/{hook}")] {
        assert_eq!(server.get(path).await, (200, json!("ok")), "{path}");
    }
    for path in ["/livez/nothing", "/livez/shutdown", "/healthz/informer-sync", "/livez/etcd-readiness"] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    let (code, excluded) = server.get("/livez?verbose&exclude=etcd&exclude=zero&exclude=nothing").await;
    let told = excluded.as_str().expect("text");
    assert!(code == 200 && told.contains("[+]etcd excluded: ok\n"), "{told}");
    let unknown = "warn: some health checks cannot be excluded: no matches for \"nothing\",\"zero\"\nlivez check passed\n";
    assert!(told.ends_with(unknown), "{told}");
    let (_, root) = server.get("/").await;
    let paths = root["paths"].as_array().expect("paths");
    for path in ["/healthz", "/livez/ping", "/readyz/shutdown", "/healthz/poststarthook/rbac/bootstrap-roles"]
    {
        assert!(paths.iter().any(|known| known == path), "{path}: {root}");
    }
    let (_, list) = server.get("/api/v1/componentstatuses").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "only the store can be asked: {list}");
    let answer = server.raw(Method::GET, "/api/v1/componentstatuses/etcd-0", &[], vec![]).await;
    assert_eq!(answer.headers()["warning"], "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    let (code, none) = server.get("/api/v1/componentstatuses/scheduler").await;
    assert_eq!((code, &none["message"]), (404, &json!("componentstatus \"scheduler\" not found")));
    server.stop().await;
}
