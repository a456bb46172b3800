//! Parameters of lists and watches, asked of a whole API server in memory: limit, continue, resourceVersion and its match,
//! selectors, initial events, bookmarks, timeouts, tables. An input is a query, an Accept header and a path, a line each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::header::ACCEPT;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use oarlock_apiserver::{
    Admission, ApiServer, AuthenticationConfig, AuthorizationConfig, Config, Encryption, FrontProxy,
    KubeletTls, RequestLimits, Running, RuntimeConfig, ServiceAccountKeys, StorageMediaType, User,
};
use oarlock_pki::{Authority, Profile, SigningKey, SubjectName};
use oarlock_store::MemoryStore;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    "&",
    "=",
    "%2C",
    "%3D",
    "limit=",
    "limit=2",
    "continue=",
    "CONTINUED",
    "PAST",
    "resourceVersion=",
    "resourceVersion=0",
    "resourceVersionMatch=",
    "Exact",
    "NotOlderThan",
    "watch=true",
    "watch=1",
    "allowWatchBookmarks=true",
    "sendInitialEvents=true",
    "timeoutSeconds=1",
    "timeout=1s",
    "fieldSelector=metadata.name%3Da0",
    "fieldSelector=status.phase!%3DRunning",
    "labelSelector=n%20in%20(1,2)",
    "labelSelector=!n",
    "includeObject=Metadata",
    "pretty=true",
    "\napplication/json;as=Table;v=v1;g=meta.k8s.io",
    "\napplication/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "\napplication/vnd.kubernetes.protobuf",
    "\napplication/yaml",
    "\napplication/json;stream=watch",
];

const PATHS: [&str; 6] = [
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/configmaps",
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/api/v1/watch/namespaces/default/configmaps/a0",
    "/api/v1/namespaces/default/configmaps/a0",
];

/// How many objects there are to list.
const OBJECTS: usize = 9;
/// Codes that parameters may lead to.
const CODES: [u16; 8] = [200, 400, 404, 406, 410, 413, 422, 504];
/// What upstream's watch says with 500, and ours therefore.
const NO_REVISION: &str = "resourceVersion: Invalid value";
/// A request that waits (for a revision to come, say) is left alone after this.
const PATIENCE: Duration = Duration::from_millis(50);
/// So long the beginning of a watch is listened to.
const LISTENING: Duration = Duration::from_millis(2);
const BODY_MAX: usize = 1 << 20;

/// A server that nobody reaches but this target.
struct World {
    runtime: Runtime,
    client: kube::Client,
    _server: Mutex<ApiServer>,
    _folder: tempfile::TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        oarlock_pki::install_crypto_provider();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = config(folder.path());
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let (server, client) = runtime.block_on(async {
            let server = ApiServer::new(config).await.expect("the server starts");
            server.ready().wait_for(|ready| *ready).await.expect("the server lives");
            let groups = vec!["system:masters".to_string()];
            let client = server.client(User { name: "fuzz".into(), groups, ..User::default() });
            for n in 0..OBJECTS {
                let name = format!("a{n}");
                let object = json!({ "metadata": { "name": name, "labels": { "n": n.to_string() } } });
                let request = Request::post(PATHS[0]).header("content-type", "application/json");
                let request = request.body(object.to_string().into_bytes().into()).expect("a request");
                let made = client.send(request).await.expect("an answer");
                assert_eq!(made.status(), 201, "an object to list");
            }
            (server, client)
        });
        Self { runtime, client, _server: Mutex::new(server), _folder: folder }
    }
}

fn config(folder: &std::path::Path) -> Config {
    let path = |name: &str| folder.join(name);
    let authority = Authority::load_or_create(&path("ca.crt"), &path("ca.key"), "ca").expect("an authority");
    let names = vec![SubjectName::Dns("localhost".into())];
    let key = SigningKey::load_or_create(&path("sa.key")).expect("a key");
    Config {
        store: Arc::new(MemoryStore::new()),
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        advertise: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        serving: authority.issue(&Profile::server("kube-apiserver", names)).expect("an identity"),
        client_ca_pem: None,
        service_accounts: ServiceAccountKeys {
            signing_pem: key.private_pem,
            verification_pem: vec![],
            issuer: "https://kubernetes.default.svc".into(),
            audiences: vec![],
        },
        service_cidr: "10.96.0.0/16".into(),
        node_ports: 30000..=32767,
        cluster_domain: "cluster.local".into(),
        kubelet: KubeletTls::default(),
        front_proxy: FrontProxy::default(),
        encryption: Encryption::default(),
        admission: Admission::default(),
        in_flight: RequestLimits::default(),
        audit: None,
        storage_media_type: StorageMediaType::Json,
        runtime_config: RuntimeConfig::default(),
        authentication: AuthenticationConfig::default(),
        authorization: AuthorizationConfig::default(),
        running: Running::default(),
    }
}

pub(super) fn run(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let query = expanded(lines.next().unwrap_or_default());
    let accept = lines.next().unwrap_or_default().to_string();
    let at = usize::from(lines.next().and_then(|line| line.bytes().next()).unwrap_or_default());
    let path = PATHS[at % PATHS.len()];
    let world = &*WORLD;
    world.runtime.block_on(async {
        let asked = ask(&world.client, path, &query, &accept);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(response)) => look(&world.client, path, response).await,
            Ok(None) => Seen::NOTHING.and("request", "cannot be sent"),
            Err(_) => Seen::NOTHING.and("request", "waits"),
        }
    })
}

/// Tokens that mutation would take long to find, in the place of their names.
fn expanded(query: &str) -> String {
    query.replace("CONTINUED", CONTINUED).replace("PAST", PAST)
}

/// After the third object, of the newest revision and of one that is long gone.
const CONTINUED: &str = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiZGVmYXVsdC9hMiJ9";
const PAST: &str = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJkZWZhdWx0L2EyIn0";

async fn ask(client: &kube::Client, path: &str, query: &str, accept: &str) -> Option<Response<Body>> {
    let uri = format!("{path}?{}", written(query));
    let mut request = Request::get(uri);
    if !accept.is_empty() {
        request = request.header(ACCEPT, accept);
    }
    let request = request.body(Body::empty()).ok()?;
    Some(client.send(request).await.expect("a server in memory answers"))
}

/// As a client writes it: what a URI may not hold is escaped.
fn written(query: &str) -> String {
    let mut text = String::with_capacity(query.len());
    for byte in query.bytes() {
        match byte {
            b'!'
            | b'$'
            | b'%'
            | b'&'..=b';'
            | b'='
            | b'?'
            | b'@'
            | b'A'..=b'Z'
            | b'_'
            | b'a'..=b'z'
            | b'~' => {
                text.push(char::from(byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

async fn look(client: &kube::Client, path: &str, response: Response<Body>) -> Seen {
    let (head, body) = response.into_parts();
    let code = head.status.as_u16();
    assert!(CODES.contains(&code) || code == 500, "{code} is no answer to parameters");
    let kind =
        head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_string();
    let seen = Seen::NOTHING.and("code", format!("{code:x}")).and("kind", &kind);
    let Some(body) = collected(body).await else { return seen.and("body", "goes on") };
    if !kind.starts_with("application/json") {
        return seen;
    }
    if kind.contains("stream=watch") || serde_json::from_slice::<Value>(&body).is_err() {
        return watched(seen, &body);
    }
    let value: Value = serde_json::from_slice(&body).expect("it was read above");
    if code != 200 {
        assert_eq!((value["kind"].as_str(), value["code"].as_u64()), (Some("Status"), Some(code.into())));
        let message = value["message"].as_str().unwrap_or_default();
        assert!(code != 500 || message.starts_with(NO_REVISION), "500 is no answer to parameters: {message}");
        return seen.and("message", message);
    }
    let next = value["metadata"]["continue"].as_str().unwrap_or_default();
    if !next.is_empty() {
        let more =
            ask(client, path, &format!("limit=1&continue={next}"), "").await.expect("a token can be sent");
        assert!(
            [200, 410].contains(&more.status().as_u16()),
            "a token that was given is taken: {}",
            more.status()
        );
    }
    let count = value["items"].as_array().or_else(|| value["rows"].as_array()).map_or(0, Vec::len);
    seen.and("items", count.min(3)).and("next", next.is_empty())
}

/// The events that came so far; the last one may not be whole.
fn watched(seen: Seen, body: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(body);
    let mut seen = seen;
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')).take(3) {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let kind = event["type"].as_str().unwrap_or_default();
        assert!(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"].contains(&kind), "{line}");
        seen =
            seen.and("event", kind).and("message", event["object"]["message"].as_str().unwrap_or_default());
    }
    seen
}

/// A body to its end, or what came of it while it was listened to; none where nothing came.
async fn collected(mut body: Body) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < BODY_MAX {
        match tokio::time::timeout(LISTENING, body.frame()).await {
            Ok(Some(frame)) => {
                bytes.extend_from_slice(
                    &frame.expect("a body in memory does not break").into_data().unwrap_or_default(),
                );
            }
            Ok(None) => return Some(bytes),
            Err(_) => break,
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}
