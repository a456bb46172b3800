//! Who is believed, what is stored how, and when too much is asked: the server as it is run.

mod common;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::{TestServer, eventually, start_on, start_with};
use http::Method;
use http_body_util::BodyExt as _;
use oarlock_apiserver::{Encryption, RequestLimits};
use oarlock_apiserver_webhook::testing::{Answer, TestServer as Hook};
use oarlock_base::Shutdown;
use oarlock_store::{MemoryStore, Store, etcd};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn made(server: &TestServer, path: &str, object: Value) -> Value {
    let (code, answer) = server.ask(Method::POST, path, object).await;
    assert_eq!(code, 201, "{path}: {answer}");
    answer
}

/// Whom the server takes the bearer of this token for.
async fn bearer(server: &TestServer, token: &str) -> (u16, Value) {
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let connection = server.connection().await;
    let (code, answer) =
        connection.ask(Some(token), Method::POST, path, "application/json", b"{}".to_vec()).await;
    let user = &answer["status"]["userInfo"];
    (code, json!([user["username"], user["groups"]]))
}

#[tokio::test]
async fn tokens_of_files_and_of_secrets_are_believed() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.authentication.token_file = Some("t0ken,alice,1,\"rowers,coxes\"\n".into());
        config.authentication.bootstrap_tokens = true;
    })
    .await;
    let secret = |id: &str, further: Value| {
        let mut data = json!({
            "token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:crew",
        });
        for (key, value) in further.as_object().into_iter().flatten() {
            data[key] = value.clone();
        }
        json!({
            "metadata": { "name": format!("bootstrap-token-{id}") }, "type": "bootstrap.kubernetes.io/token",
            "stringData": data,
        })
    };
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    made(&server, secrets, secret("abcdef", json!({}))).await;
    made(&server, secrets, secret("expire", json!({ "expiration": "2020-01-01T00:00:00Z" }))).await;
    made(&server, secrets, secret("nousag", json!({ "usage-bootstrap-authentication": "false" }))).await;
    eventually("the secrets are known", async || {
        (bearer(&server, "abcdef.0123456789abcdef").await.0 == 201).then_some(())
    })
    .await;
    let bootstrap = json!([
        "system:bootstrap:abcdef",
        ["system:bootstrappers", "system:bootstrappers:crew", "system:authenticated"]
    ]);
    let cases = [
        ("t0ken", 201, json!(["alice", ["rowers", "coxes", "system:authenticated"]])),
        ("abcdef.0123456789abcdef", 201, bootstrap),
        ("abcdef.0123456789abcdee", 401, json!([null, null])),
        ("expire.0123456789abcdef", 401, json!([null, null])),
        ("nousag.0123456789abcdef", 401, json!([null, null])),
        ("t0ke", 401, json!([null, null])),
    ];
    for (token, code, user) in cases {
        assert_eq!(bearer(&server, token).await, (code, user), "{token}");
    }
    server.stop().await;
}

#[tokio::test]
async fn secrets_are_stored_encrypted() {
    let store = Arc::new(MemoryStore::new());
    let server = start_with(store.clone(), |config, dir| {
        config.encryption = Encryption::Default { directory: dir.to_path_buf() };
    })
    .await;
    let secret = json!({ "metadata": { "name": "s" }, "stringData": { "k": "hush" } });
    made(&server, "/api/v1/namespaces/default/secrets", secret).await;
    made(&server, MAPS, json!({ "metadata": { "name": "m" }, "data": { "k": "aloud" } })).await;
    for (key, encrypted, word) in
        [("secrets/default/s", true, "aHVzaA=="), ("configmaps/default/m", false, "aloud")]
    {
        let stored = store.get(format!("/registry/{key}").as_bytes(), None).await.expect("read").0;
        let bytes = stored.expect("it is there").value;
        assert_eq!(bytes.starts_with(b"k8s:enc:"), encrypted, "{key}");
        let holds = bytes.windows(word.len()).any(|window| window == word.as_bytes());
        assert_eq!(holds, !encrypted, "{key}");
    }
    let (_, read) = server.get("/api/v1/namespaces/default/secrets/s").await;
    assert_eq!(read["data"], json!({ "k": "aHVzaA==" }));
    server.stop().await;
}

/// A level of one seat that queues nobody, for user `slow`, who may do anything.
async fn one_seat(server: &TestServer) {
    let flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let level = json!({ "metadata": { "name": "one" }, "spec": { "type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
        "limitResponse": { "type": "Reject" },
    } } });
    made(server, &format!("{flow}/prioritylevelconfigurations"), level).await;
    let schema = json!({ "metadata": { "name": "one" }, "spec": {
        "matchingPrecedence": 2, "priorityLevelConfiguration": { "name": "one" },
        "rules": [{
            "subjects": [{ "kind": "User", "user": { "name": "slow" } }],
            "resourceRules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
            }],
        }],
    } });
    let schema = made(server, &format!("{flow}/flowschemas"), schema).await;
    let binding = json!({
        "metadata": { "name": "slow" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "slow" }],
    });
    made(server, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await;
    let connection = server.connection().await;
    eventually("in force", async || {
        let answer = connection.open(Some("slow"), Method::GET, MAPS, "", Vec::new()).await;
        let by = answer.headers().get("x-kubernetes-pf-flowschema-uid")?.to_str().ok()?.to_string();
        (answer.status() == 200 && schema["metadata"]["uid"] == by).then_some(())
    })
    .await;
}

/// New config maps wait for this hook.
async fn hold(server: &TestServer, hook: &Hook) {
    let webhook = json!({ "metadata": { "name": "holds" }, "webhooks": [{
        "name": "holds.example.com", "clientConfig": hook.client_config("/"), "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 10, "failurePolicy": "Ignore",
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"] }],
    }] });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    made(server, path, webhook).await;
    let cached = format!("{path}/holds?resourceVersion=0");
    eventually("it is known", async || (server.get(&cached).await.0 == 200).then_some(())).await;
}

#[tokio::test]
async fn who_asks_too_much_is_told_to_come_back() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.authentication.token_file = Some("slow,slow,1\n".into());
        config.in_flight = RequestLimits { fair: true, reads: 10, writes: 10 };
    })
    .await;
    one_seat(&server).await;
    let hook = Hook::start(&[], |_| Answer::never()).await;
    hold(&server, &hook).await;

    let connection = server.connection().await;
    let body = json!({ "metadata": { "name": "held" } }).to_string().into_bytes();
    let held = connection.ask(Some("slow"), Method::POST, MAPS, "application/json", body);
    let meanwhile = async {
        eventually("it is held", async || (!hook.requests().is_empty()).then_some(())).await;
        connection.open(Some("slow"), Method::GET, MAPS, "", Vec::new()).await
    };
    let answer = tokio::select! {
        answer = meanwhile => answer,
        held = held => panic!("it was not held: {held:?}"),
    };
    let retry = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    assert_eq!((answer.status().as_u16(), retry), (429, Some("1")));
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
    assert_eq!(body, "Too many requests, please try again later.\n");
    assert_eq!(server.get(MAPS).await.0, 200, "others go on");
    server.stop().await;
}

/// An etcd, ended when dropped.
struct Etcd {
    child: Child,
    folder: tempfile::TempDir,
    endpoint: String,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Etcd {
    /// None only where that is said to be wanted.
    fn start() -> Option<Self> {
        let binary = std::env::var_os("OARLOCK_ETCD").unwrap_or_else(|| "etcd".into());
        let ports = [0; 2].map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [endpoint, peer] =
            ports.each_ref().map(|held| format!("http://{}", held.local_addr().expect("bound")));
        drop(ports);
        let folder = tempfile::tempdir().expect("a folder");
        let started = Command::new(binary)
            .args(["--name", "m", "--log-level", "error", "--data-dir"])
            .arg(folder.path())
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("m={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => Some(Self { child, folder, endpoint }),
            Err(error) => {
                let waived = std::env::var_os("OARLOCK_WITHOUT_ETCD").is_some_and(|v| v == "1");
                assert!(
                    waived,
                    "no etcd ({error}): run tests/setup or waive this with OARLOCK_WITHOUT_ETCD=1"
                );
                None
            }
        }
    }

    async fn store(&self) -> Arc<dyn Store> {
        let config = etcd::Config { endpoints: vec![self.endpoint.clone()], ..etcd::Config::default() };
        let store = etcd::connect(config, &Shutdown::new()).expect("it is sound");
        for _ in 0..5 {
            if store.revision().await.is_ok() {
                return store;
            }
        }
        panic!("etcd does not answer; its folder: {}", self.folder.path().display());
    }
}

#[tokio::test]
async fn two_servers_on_one_etcd_see_the_same() {
    let Some(etcd) = Etcd::start() else { return };
    let (one, two) = (start_on(etcd.store().await).await, start_on(etcd.store().await).await);
    let map = made(&one, MAPS, json!({ "metadata": { "name": "m" }, "data": { "n": "0" } })).await;
    assert_eq!(two.get(&format!("{MAPS}/m")).await.1, map, "a read is consistent whatever server is asked");
    let mut answers = Vec::new();
    for (server, n) in [(&one, "1"), (&two, "2")] {
        let mut changed = map.clone();
        changed["data"]["n"] = n.into();
        answers.push(server.ask(Method::PUT, &format!("{MAPS}/m"), changed).await.0);
    }
    assert_eq!(answers, [200, 409], "the second is told that it was changed");
    let (_, list) = two.get(MAPS).await;
    let found = list["items"].as_array().expect("items").iter().find(|item| item["metadata"]["name"] == "m");
    assert_eq!(found.expect("it is listed")["data"]["n"], "1");
    let since = map["metadata"]["resourceVersion"].as_str().expect("a version");
    assert_eq!(one.ask_with(Method::DELETE, &format!("{MAPS}/m"), &[], Vec::new()).await.0, 200);
    let watch = format!("{MAPS}?watch=true&timeoutSeconds=1&resourceVersion={since}");
    let events = two.raw(Method::GET, &watch, &[], Vec::new()).await;
    let events = String::from_utf8_lossy(events.body()).into_owned();
    let kinds: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an event")["type"].clone())
        .collect();
    assert_eq!(kinds, ["MODIFIED", "DELETED"]);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn without_fairness_so_many_writes_are_under_way_and_no_more() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.authentication.token_file = Some("slow,slow,1\n".into());
        config.in_flight = RequestLimits { fair: false, reads: 0, writes: 1 };
    })
    .await;
    let role =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" });
    let binding = json!({ "metadata": { "name": "slow" }, "roleRef": role, "subjects": [
        { "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "slow" },
    ] });
    made(&server, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await;
    let hook = Hook::start(&[], |_| Answer::never()).await;
    hold(&server, &hook).await;
    let connection = server.connection().await;
    let write = async |name: &str| {
        let body = json!({ "metadata": { "name": name } }).to_string().into_bytes();
        connection.open(Some("slow"), Method::POST, MAPS, "application/json", body).await
    };
    let meanwhile = async {
        eventually("it is held", async || (!hook.requests().is_empty()).then_some(())).await;
        write("other").await
    };
    let answer = tokio::select! {
        answer = meanwhile => answer,
        held = write("held") => panic!("it was not held: {held:?}"),
    };
    let told = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!((answer.status().as_u16(), told("retry-after")), (429, Some("1")));
    assert_eq!(told("x-kubernetes-pf-flowschema-uid"), None, "no flow was asked for");
    let read = connection.open(Some("slow"), Method::GET, MAPS, "", Vec::new()).await;
    assert_eq!(read.status(), 200, "reads have no limit here");
    assert_eq!(server.get("/debug/api_priority_and_fairness/dump_queues").await.0, 404);
    assert_eq!(server.get("/readyz/poststarthook/max-in-flight-filter").await.0, 200);
    server.stop().await;
}

/// A user who may do this with `pods/exec`, `pods/attach` and `pods/portforward`, and nothing else.
async fn who_may(server: &TestServer, name: &str, verbs: &[&str]) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let resources = ["pods/exec", "pods/attach", "pods/portforward"];
    let role = json!({ "metadata": { "name": name }, "rules": [
        { "apiGroups": [""], "resources": resources, "verbs": verbs },
    ] });
    made(server, &format!("{rbac}/clusterroles"), role).await;
    let binding = json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }],
    });
    made(server, &format!("{rbac}/clusterrolebindings"), binding).await;
}

#[tokio::test]
async fn who_opens_a_websocket_to_a_pod_needs_what_a_post_needs() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.authentication.token_file = Some("getter,getter,1\nmaker,maker,2\nboth,both,3\n".into());
    })
    .await;
    who_may(&server, "getter", &["get"]).await;
    who_may(&server, "maker", &["create"]).await;
    who_may(&server, "both", &["get", "create"]).await;
    let connection = server.connection().await;
    let ask = async |who: &str, method: Method, sub: &str| {
        let path = format!("/api/v1/namespaces/default/pods/p/{sub}");
        let (code, said) = connection.ask(Some(who), method, &path, "", Vec::new()).await;
        (code, said["message"].as_str().unwrap_or_default().to_string())
    };
    eventually("the last of them is known", async || {
        (ask("both", Method::GET, "exec").await.0 == 404).then_some(())
    })
    .await;
    for sub in ["exec", "attach", "portforward"] {
        let refused = |who: &str, verb: &str| {
            let may_not = format!(
                "pods \"p\" is forbidden: User \"{who}\" cannot {verb} resource \"pods/{sub}\" in API group \"\" in the namespace \
                 \"default\""
            );
            (403, may_not)
        };
        let gone = (404, "pods \"p\" not found".to_string());
        let further = (403, "pods \"p\" is forbidden: ".to_string());
        assert_eq!(ask("getter", Method::GET, sub).await, further, "{sub}");
        assert_eq!(ask("getter", Method::POST, sub).await, refused("getter", "create"), "{sub}");
        assert_eq!(ask("maker", Method::GET, sub).await, refused("maker", "get"), "{sub}");
        assert_eq!(ask("maker", Method::POST, sub).await, gone, "{sub}");
        assert_eq!(ask("both", Method::GET, sub).await, gone, "{sub}");
    }
    server.stop().await;
}
