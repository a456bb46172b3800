//! Requests from beginning to end, into a file.

use expect_test::expect;
use oarlock_api::{GroupResource, Status, User};
use oarlock_base::Shutdown;
use serde_json::{Value, json};

use super::*;
use crate::sink::{BatchOptions, Mode, Truncation};

struct World {
    audit: Arc<Audit>,
    path: std::path::PathBuf,
    root: Shutdown,
    tasks: Tasks,
    _directory: tempfile::TempDir,
}

fn world(rules: &str, format: Format, mode: Mode, truncation: Option<Truncation>) -> World {
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {rules}");
    let policy = Policy::parse(text.as_bytes()).expect("valid");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.log");
    let root = Shutdown::new();
    let mut tasks = Tasks::new("test", &root);
    let sink = SinkOptions { mode, batch: BatchOptions::LOG, truncation };
    let log =
        LogOptions { path: path.to_string_lossy().into_owned(), rotation: Rotation::default(), format, sink };
    let options = Options { policy, log: Some(log), webhook: None };
    let audit = Audit::start(options, &mut tasks).expect("the log opens");
    World { audit, path, root, tasks, _directory: directory }
}

impl World {
    /// The lines of the log, after everything has been written.
    async fn lines(self) -> Vec<String> {
        drop(self.audit);
        self.root.trigger();
        self.tasks.join().await.expect("it ends well");
        let text = std::fs::read_to_string(&self.path).expect("the log is there");
        text.lines().map(str::to_string).collect()
    }

    async fn events(self) -> Vec<Value> {
        self.lines().await.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn ann() -> User {
    User { name: "ann".into(), groups: vec!["devs".into()], ..User::default() }
}

fn headers() -> HeaderMap {
    let pairs = [("user-agent", "kubectl/v1.36"), ("x-forwarded-for", "1.2.3.4"), ("audit-id", "the-id")];
    pairs
        .iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect()
}

fn request<'a>(user: &'a User, headers: &'a HeaderMap, verb: &'a str, long_running: bool) -> Request<'a> {
    let subject = Subject {
        user: Some(user),
        verb,
        resource_request: true,
        group: "apps",
        resource: "deployments",
        subresource: "",
        namespace: "a",
        name: "",
        path: "/apis/apps/v1/namespaces/a/deployments",
    };
    let uri = "/apis/apps/v1/namespaces/a/deployments?x=y";
    let received = "2026-01-02T03:04:05.678901Z".parse().expect("a time");
    let remote = Some([10, 0, 0, 1].into());
    Request { subject, version: "v1", uri, headers, remote, received, long_running }
}

/// What differs from run to run is blotted out.
fn blot(mut event: Value) -> String {
    event["stageTimestamp"] = "…".into();
    if event["annotations"]["apiserver.latency.k8s.io/total"].is_string() {
        event["annotations"]["apiserver.latency.k8s.io/total"] = "…".into();
    }
    serde_json::to_string_pretty(&event).expect("it prints")
}

#[tokio::test]
async fn a_creation_is_told_whole() {
    let w = world("[{level: RequestResponse, omitManagedFields: true}]", Format::Json, Mode::Blocking, None);
    let (user, headers) = (ann(), headers());
    let record = w.audit.begin(&request(&user, &headers, "create", false)).expect("it is told");
    assert_eq!(record.id(), "the-id");
    record.request_received().await.expect("stored");
    let other = User { name: "bob".into(), ..User::default() };
    record.impersonated(&other);
    record.authorized(true, "RBAC: allowed");
    record.authorized(false, "said once");
    record.request_object(&json!({ "metadata": { "name": "d", "managedFields": [1] } }));
    record.response_object(&json!({ "metadata": { "name": "d", "uid": "u", "managedFields": [1] } }));
    record.response_complete(201).await;
    record.response_complete(500).await;
    drop(record);
    let events = w.events().await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0]["stage"], "RequestReceived");
    assert_eq!(events[0]["stageTimestamp"], "2026-01-02T03:04:05.678901Z");
    assert_eq!(events[0].get("responseStatus"), None);
    expect![[r#"
        {
          "annotations": {
            "apiserver.latency.k8s.io/total": "…",
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "RBAC: allowed"
          },
          "apiVersion": "audit.k8s.io/v1",
          "auditID": "the-id",
          "impersonatedUser": {
            "username": "bob"
          },
          "kind": "Event",
          "level": "RequestResponse",
          "objectRef": {
            "apiGroup": "apps",
            "apiVersion": "v1",
            "name": "d",
            "namespace": "a",
            "resource": "deployments"
          },
          "requestObject": {
            "metadata": {
              "name": "d"
            }
          },
          "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z",
          "requestURI": "/apis/apps/v1/namespaces/a/deployments?x=y",
          "responseObject": {
            "metadata": {
              "name": "d",
              "uid": "u"
            }
          },
          "responseStatus": {
            "code": 201,
            "metadata": {}
          },
          "sourceIPs": [
            "1.2.3.4",
            "10.0.0.1"
          ],
          "stage": "ResponseComplete",
          "stageTimestamp": "…",
          "user": {
            "groups": [
              "devs"
            ],
            "username": "ann"
          },
          "userAgent": "kubectl/v1.36",
          "verb": "create"
        }"#]]
    .assert_eq(&blot(events[1].clone()));
}

#[tokio::test]
async fn the_level_bounds_what_is_told() {
    let check = async |level: &str, want: [bool; 2]| {
        let w = world(&format!("[{{level: {level}}}]"), Format::Json, Mode::Batch, None);
        let (user, headers) = (ann(), headers());
        let record = w.audit.begin(&request(&user, &headers, "patch", false)).expect("it is told");
        record.request_patch(br#"{"spec":{}}"#);
        let said = [
            "patch.webhook.admission.k8s.io/round_0_index_0",
            "mutation.webhook.admission.k8s.io/round_0_index_0",
        ];
        record.annotations(said.map(|key| (key.to_string(), "x".to_string())).into());
        record.response_json(br#"{"kind":"Deployment"}"#);
        record.response_complete(200).await;
        drop(record);
        let events = w.events().await;
        let told = said.map(|key| events[0]["annotations"][key] == "x");
        assert_eq!(told, [want[0], true], "{level}: what was changed is told where the object is");
        let told = ["requestObject", "responseObject"].map(|field| events[0].get(field).is_some());
        assert_eq!((events.len(), told), (1, want), "{level}");
    };
    check("Metadata", [false, false]).await;
    check("Request", [true, false]).await;
    check("RequestResponse", [true, true]).await;
    let w = world("[{level: None}]", Format::Json, Mode::Batch, None);
    assert!(w.audit.begin(&request(&ann(), &headers(), "get", false)).is_none());
}

#[tokio::test]
async fn stages_are_told_in_order_and_what_is_dropped_is_complete() {
    let w = world("[{level: Metadata}]", Format::Json, Mode::Batch, None);
    let (user, headers) = (ann(), headers());
    let begin = |long| w.audit.begin(&request(&user, &headers, "watch", long)).expect("it is told");
    let watch = begin(true);
    watch.request_received().await.expect("stored");
    watch.response_started(200).await;
    watch.response_started(200).await;
    drop(watch);
    let get = begin(false);
    get.response_started(200).await;
    drop(get);
    let gone = begin(true);
    gone.request_received().await.expect("stored");
    drop(gone);
    let deleted = begin(false);
    deleted.response_json(br#"{"kind":"Status","apiVersion":"v1","status":"Success","message":"gone"}"#);
    deleted.response_complete(200).await;
    drop(deleted);
    let failed = begin(false);
    failed.response_status(&Status::not_found(&GroupResource::new("apps", "deployments"), "d"));
    failed.response_complete(404).await;
    drop(failed);
    let panicked = begin(false);
    panicked.panicked("boom").await;
    drop(panicked);
    let stranger = begin(false);
    stranger.authentication_failed("Authentication failed, attempted: bearer", 401).await;
    drop(stranger);
    let told = w.events().await.into_iter().map(|event| {
        let status = &event["responseStatus"];
        format!("{} {} {} {}", event["stage"], status["code"], status["reason"], status["message"])
    });
    expect![[r#"
        "RequestReceived" null null null
        "ResponseStarted" 200 null null
        "ResponseComplete" 200 null null
        "ResponseComplete" 200 null "Connection closed early"
        "RequestReceived" null null null
        "ResponseStarted" 200 null "Connection closed early"
        "ResponseComplete" 200 null "Connection closed early"
        "ResponseComplete" 200 null "gone"
        "ResponseComplete" 404 "NotFound" "deployments.apps \"d\" not found"
        "Panic" 500 "InternalError" "APIServer panic'd: boom"
        "ResponseStarted" 401 null "Authentication failed, attempted: bearer"
    "#]]
    .assert_eq(&told.map(|line| line + "\n").collect::<String>());
}

#[tokio::test]
async fn omitted_stages_are_not_told() {
    let rules = "[{level: Metadata, omitStages: [RequestReceived]}]";
    let w = world(rules, Format::Json, Mode::Blocking, None);
    let record = w.audit.begin(&request(&ann(), &headers(), "get", false)).expect("it is told");
    record.request_received().await.expect("nothing to store");
    record.response_complete(200).await;
    drop(record);
    assert_eq!(w.audit.metrics.counts(), (1, 0));
    assert_eq!(w.events().await.len(), 1);
}

#[tokio::test]
async fn the_old_format_is_one_line() {
    let w = world("[{level: Metadata}]", Format::Legacy, Mode::Batch, None);
    let record = w.audit.begin(&request(&ann(), &headers(), "list", false)).expect("it is told");
    record.response_complete(200).await;
    drop(record);
    expect![[r#"2026-01-02T03:04:05.678901Z AUDIT: id="the-id" stage="ResponseComplete" ip="1.2.3.4" method="list" user="ann" groups="\"devs\"" as="<self>" asgroups="<lookup>" user-agent="kubectl/v1.36" namespace="a" uri="/apis/apps/v1/namespaces/a/deployments?x=y" response="200""#]]
    .assert_eq(&w.lines().await.join("\n"));
}

#[tokio::test]
async fn large_events_lose_their_objects_or_are_lost() {
    let truncation = Some(Truncation { max_event_size: 1000, max_batch_size: 10_000 });
    let w = world("[{level: RequestResponse}]", Format::Json, Mode::Batch, truncation);
    let (user, headers) = (ann(), headers());
    let large = json!({ "data": "x".repeat(2000) });
    let record = w.audit.begin(&request(&user, &headers, "create", false)).expect("it is told");
    record.request_object(&large);
    record.response_complete(200).await;
    drop(record);
    let record = w.audit.begin(&request(&user, &headers, "create", false)).expect("it is told");
    record.annotate("large", &"x".repeat(2000));
    record.response_complete(200).await;
    drop(record);
    assert_eq!(w.audit.metrics.counts(), (2, 1));
    let events = w.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["annotations"]["audit.k8s.io/truncated"], "true");
    assert_eq!(events[0].get("requestObject"), None);
}

#[tokio::test]
async fn a_strict_log_that_cannot_be_written_fails_the_request() {
    let check = async |mode, want: bool| {
        let w = world("[{level: Metadata}]", Format::Json, mode, None);
        w.root.trigger();
        w.tasks.join().await.expect("the backend has ended");
        let record = w.audit.begin(&request(&ann(), &headers(), "get", false)).expect("it is told");
        assert_eq!(record.request_received().await.is_ok(), want, "{mode:?}");
        assert_eq!(w.audit.metrics.counts().1, 1, "the loss is counted");
    };
    check(Mode::BlockingStrict, false).await;
    check(Mode::Blocking, true).await;
    check(Mode::Batch, true).await;
}
