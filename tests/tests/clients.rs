//! Programs written for Kubernetes: kube-rs.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{
    Api, AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use oarlock_testkit::{Cluster, Settings};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn named(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"test": "yes"}}, "data": {"n": "0"}}))
        .expect("a ConfigMap")
}

#[test]
fn kube_rs_creates_lists_watches_and_deletes() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = cluster.client().await.expect("a client");
        objects(&client).await.expect("objects");
        pages(&client).await.expect("pages");
        conflicts(&client).await.expect("conflicts");
    });
}

#[test]
fn kube_rs_streams_over_web_sockets() {
    let cluster = Cluster::with_busybox().expect("a cluster");
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: box}}, spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: main, \
         image: {}, imagePullPolicy: Never, command: [sh, -c, 'echo one; echo two; echo page > /www/index.html; exec httpd -f -p 8080 -h /www']}}]}}}}",
        cluster.busybox()
    ));
    cluster.wait_ready("box");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = cluster.client().await.expect("a client");
        let pods: Api<Pod> = Api::default_namespaced(client);
        logs(&pods).await.expect("logs");
        exec(&pods).await.expect("exec");
        forward(&pods).await.expect("port-forward");
    });
}

async fn logs(pods: &Api<Pod>) -> anyhow::Result<()> {
    use futures::AsyncBufReadExt as _;
    let followed = pods.log_stream("box", &LogParams { follow: true, ..LogParams::default() }).await?;
    let lines: Vec<String> = followed.lines().take(2).try_collect().await?;
    assert_eq!(lines, ["one", "two"]);
    assert_eq!(pods.logs("box", &LogParams { tail_lines: Some(1), ..LogParams::default() }).await?, "two\n");
    Ok(())
}

async fn exec(pods: &Api<Pod>) -> anyhow::Result<()> {
    let params = AttachParams::default().stdin(true).stderr(true);
    let mut process =
        pods.exec("box", ["sh", "-c", "read line; echo got $line; echo err >&2; exit 5"], &params).await?;
    let mut stdin = process.stdin().expect("asked for");
    let (mut stdout, mut stderr) =
        (process.stdout().expect("asked for"), process.stderr().expect("asked for"));
    let status = process.take_status().expect("once");
    stdin.write_all(b"this\n").await?;
    let (mut out, mut err) = (String::new(), String::new());
    stdout.read_to_string(&mut out).await?;
    stderr.read_to_string(&mut err).await?;
    assert_eq!((out.as_str(), err.as_str()), ("got this\n", "err\n"));
    let status = status.await.expect("a status");
    assert_eq!(
        (status.status.as_deref(), status.reason.as_deref()),
        (Some("Failure"), Some("NonZeroExitCode"))
    );
    let cause = status.details.and_then(|details| details.causes?.pop()).expect("a cause");
    assert_eq!((cause.reason.as_deref(), cause.message.as_deref()), (Some("ExitCode"), Some("5")));
    drop(stdin);
    process.join().await?;
    Ok(())
}

async fn forward(pods: &Api<Pod>) -> anyhow::Result<()> {
    let mut forwarder = pods.portforward("box", &[8080]).await?;
    let mut stream = forwarder.take_stream(8080).expect("asked for");
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await?;
    let mut page = Vec::new();
    while !page.ends_with(b"page\n") {
        assert!(stream.read_buf(&mut page).await? > 0, "ended early: {}", String::from_utf8_lossy(&page));
    }
    assert!(page.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&page));
    Ok(())
}

async fn objects(client: &kube::Client) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let start = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    let watch = api.watch(&WatchParams::default().labels("test=yes").timeout(60), &start).await?;
    let created = api.create(&PostParams::default(), &named("one")).await?;
    assert!(created.metadata.uid.is_some());
    let patch = Patch::Merge(json!({"data": {"n": "1"}}));
    api.patch("one", &PatchParams::default(), &patch).await?;
    api.delete("one", &DeleteParams::default()).await?;
    let events: Vec<String> = watch
        .try_filter_map(async |event| {
            let told = |word: &str, object: &ConfigMap| {
                Some(format!(
                    "{word} {}",
                    object.data.iter().flatten().map(|(_, v)| v.as_str()).collect::<String>()
                ))
            };
            Ok(match &event {
                WatchEvent::Added(object) => told("added", object),
                WatchEvent::Modified(object) => told("modified", object),
                WatchEvent::Deleted(object) => told("deleted", object),
                _ => None,
            })
        })
        .take(3)
        .try_collect()
        .await?;
    assert_eq!(events, ["added 0", "modified 1", "deleted 1"]);
    Ok(())
}

async fn pages(client: &kube::Client) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    for number in 0..25 {
        api.create(&PostParams::default(), &named(&format!("page-{number:02}"))).await?;
    }
    let mut names = Vec::new();
    let mut params = ListParams::default().labels("test=yes").limit(10);
    loop {
        let page = api.list(&params).await?;
        names.extend(page.items.iter().filter_map(|item| item.metadata.name.clone()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let want: Vec<String> = (0..25).map(|number| format!("page-{number:02}")).collect();
    assert_eq!(names, want);
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("test=yes")).await?;
    assert!(api.list(&ListParams::default().labels("test=yes")).await?.items.is_empty());
    Ok(())
}

async fn conflicts(client: &kube::Client) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let old = api.create(&PostParams::default(), &named("raced")).await?;
    api.replace("raced", &PostParams::default(), &old).await?;
    api.patch("raced", &PatchParams::default(), &Patch::Merge(json!({"data": {"n": "9"}}))).await?;
    let refused = api.replace("raced", &PostParams::default(), &old).await.expect_err("an old version");
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"));
    let twice = api.create(&PostParams::default(), &named("raced")).await.expect_err("there is one");
    assert!(
        matches!(twice, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
    );
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let missing = namespaces.get("nowhere").await.expect_err("there is none");
    assert!(
        matches!(missing, kube::Error::Api(status) if status.message == "namespaces \"nowhere\" not found")
    );
    Ok(())
}
