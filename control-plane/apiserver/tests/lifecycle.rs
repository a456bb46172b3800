//! A server while it runs and when it ends: files that change, patience, and clients that ask for too much.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use oarlock_apiserver::{Audit, AuditLog, CertificateFiles, TokenLimits};
use oarlock_pki::{Authority, Identity, Profile, SubjectName};
use oarlock_store::MemoryStore;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use common::{TestServer, start_with};

/// How long anything here may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is this one; every question is a connection of its own.
async fn until<T: PartialEq + std::fmt::Debug>(wanted: T, ask: impl AsyncFn() -> T) {
    let asked = async { while ask().await != wanted {} };
    let came = tokio::time::timeout(PATIENCE, asked).await;
    assert!(came.is_ok(), "{wanted:?} never came");
}

fn serving(dir: &Path, name: &str) -> Identity {
    let ca = Authority::load_or_create(&dir.join("ca.crt"), &dir.join("ca.key"), "ca").expect("the CA");
    let names = vec![SubjectName::Dns("localhost".into()), SubjectName::Dns(name.into())];
    ca.issue(&Profile::server(name, names)).expect("a certificate")
}

fn write(files: &CertificateFiles, identity: &Identity) {
    std::fs::write(&files.key, &identity.key_pem).expect("written");
    std::fs::write(&files.cert, &identity.cert_pem).expect("written");
}

/// The certificate that the server shows.
async fn shown(server: &TestServer) -> Vec<u8> {
    let stream = server.bare(b"h2").await;
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

fn der(identity: &Identity) -> Vec<u8> {
    identity.certificates().expect("a certificate")[0].to_vec()
}

#[tokio::test]
async fn a_changed_serving_certificate_is_shown_without_a_restart() {
    let mut first = None;
    let server = start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let files = CertificateFiles { cert: dir.join("tls.crt"), key: dir.join("tls.key") };
        write(&files, first.insert(serving(dir, "first.test")));
        config.running.serving.main = Some(files);
    })
    .await;
    assert_eq!(shown(&server).await, der(&first.expect("it was written")));
    let dir = server.dir.path();
    let files = CertificateFiles { cert: dir.join("tls.crt"), key: dir.join("tls.key") };
    let second = serving(dir, "second.test");
    write(&files, &second);
    until(der(&second), async || shown(&server).await).await;
    server.stop().await;
}

const ANONYMOUS: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n\
                         anonymous:\n  enabled: true\n  conditions:\n  - path: ";

async fn anonymous(server: &TestServer, path: &str) -> u16 {
    server.over_tls(None, Method::GET, path, &[], vec![]).await.status().as_u16()
}

#[tokio::test]
async fn a_changed_authentication_configuration_holds_and_a_broken_one_does_not() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let path = dir.join("authentication.yaml");
        let text = format!("{ANONYMOUS}/livez\n");
        std::fs::write(&path, &text).expect("written");
        config.authentication.file = Some(text.into_bytes());
        config.running.authentication_file = Some(path);
    })
    .await;
    assert_eq!((anonymous(&server, "/livez").await, anonymous(&server, "/version").await), (200, 401));
    let path = server.dir.path().join("authentication.yaml");
    std::fs::write(&path, format!("{ANONYMOUS}/version\n")).expect("written");
    until(200, async || anonymous(&server, "/version").await).await;
    assert_eq!(anonymous(&server, "/livez").await, 401);
    std::fs::write(&path, "kind: Nonsense\n").expect("written");
    let other: PathBuf = server.dir.path().join("next.yaml");
    std::fs::write(&other, format!("{ANONYMOUS}/readyz\n")).expect("written");
    assert_eq!(anonymous(&server, "/version").await, 200, "what held goes on to hold");
    std::fs::rename(&other, &path).expect("replaced");
    until(200, async || anonymous(&server, "/readyz").await).await;
    server.stop().await;
}

#[tokio::test]
async fn a_changed_authorization_configuration_holds() {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n";
    let server = start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let path = dir.join("authorization.yaml");
        let text = format!("{head}- type: RBAC\n  name: rbac\n");
        std::fs::write(&path, &text).expect("written");
        config.authorization.file = Some(text.into_bytes());
        config.running.authorization_file = Some(path);
    })
    .await;
    let asked = async || {
        let path = "/api/v1/namespaces/default/configmaps";
        server.over_tls(Some(("joe", "crew")), Method::GET, path, &[], vec![]).await.status().as_u16()
    };
    assert_eq!(asked().await, 403);
    let path = server.dir.path().join("authorization.yaml");
    std::fs::write(&path, format!("{head}- type: AlwaysAllow\n  name: all\n")).expect("written");
    until(200, asked).await;
    server.stop().await;
}

#[tokio::test]
async fn before_the_end_requests_are_still_taken_while_readyz_fails() {
    let delay = Duration::from_secs(2);
    let server =
        start_with(Arc::new(MemoryStore::new()), |config, _| config.running.shutdown_delay = delay).await;
    let answered = async |path: &str| server.over_http1(path).await;
    assert_eq!(answered("/readyz").await.status(), 200);
    let begun = std::time::Instant::now();
    server.begin_stop();
    until(500, async || answered("/readyz").await.status().as_u16()).await;
    let told = answered("/readyz/shutdown").await;
    assert_eq!(told.status(), 500);
    let told = String::from_utf8_lossy(told.body()).into_owned();
    assert!(told.contains("process is shutting down"), "{told}");
    assert_eq!(answered("/livez").await.status(), 200);
    let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}}).to_string();
    let length = made.len();
    let post = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{made}"
    );
    let created = spoken(&server, &post, "\"late\"").await;
    assert!(created.starts_with("HTTP/1.1 201 "), "{created}");
    let watched = server.over_http1("/api/v1/namespaces?watch=1&resourceVersion=0").await;
    assert_eq!(watched.status(), 200);
    assert!(begun.elapsed() >= delay, "watches end when the time is over, after {:?}", begun.elapsed());
    let address = server.address;
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// A request of HTTP/1.1 as these bytes, and what is answered until the server has nothing more to say.
async fn spoken(server: &TestServer, text: &str, until: &str) -> String {
    let mut stream = server.bare(b"http/1.1").await;
    said(&mut stream, text, until).await
}

async fn said<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, text: &str, until: &str) -> String {
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&answer).contains(until)
            && stream.read_buf(&mut answer).await.is_ok_and(|read| read > 0)
        {}
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_connection_outlives_a_body_that_nobody_wanted() {
    let server = common::start().await;
    let mut stream = server.bare(b"http/1.1").await;
    for _ in 0..3 {
        let head = "POST /apis/none.test/v1/things HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n";
        let refused = said(&mut stream, head, "page not found").await;
        assert!(refused.starts_with("HTTP/1.1 404 "), "{refused}");
        // The body comes after the answer, and the next request after it.
        let next = "0123456789GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let version = said(&mut stream, next, "gitVersion").await;
        assert!(version.contains("HTTP/1.1 200 "), "{version}");
        // What is left of that answer.
        let ready = said(&mut stream, "GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n", "\r\n\r\nok").await;
        assert!(ready.contains("HTTP/1.1 200 "), "{ready}");
    }
    server.stop().await;
}

const LATE: &str = "Timeout: request did not complete within requested timeout - context deadline exceeded";

#[tokio::test]
async fn a_request_ends_in_the_time_that_it_asks_for_or_that_the_server_gives() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.running.request_timeout = Duration::from_millis(300);
    })
    .await;
    // The body never comes.
    let post = |query: &str| {
        format!(
            "POST /api/v1/namespaces{query} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{{"
        )
    };
    for query in ["", "?timeout=50ms", "?timeout=1h", "?timeout=0"] {
        let answer = spoken(&server, &post(query), "\"code\":504").await;
        assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains(LATE), "{query}: {answer}");
    }
    let (code, status) = server.get("/api/v1/namespaces?timeout=soon").await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        "invalid timeout specified in the request URL - time: invalid duration \"soon\""
    );
    server.stop().await;
}

#[tokio::test]
async fn a_watch_that_says_nothing_ends_by_the_least_time_at_the_latest_doubled() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.running.min_request_timeout = Duration::from_millis(200);
    })
    .await;
    let begun = std::time::Instant::now();
    let (code, _) = server.get("/api/v1/namespaces?watch=1&resourceVersion=0").await;
    assert_eq!(code, 200);
    assert!(begun.elapsed() >= Duration::from_millis(200), "it ended after {:?}", begun.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_no_longer_than_allowed_and_its_sender_is_told() {
    let server = start_with(Arc::new(MemoryStore::new()), |config, _| {
        config.running.tokens = TokenLimits { max_seconds: Some(3600), extends: false };
    })
    .await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    assert_eq!(server.ask(Method::POST, accounts, account).await.0, 201);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": ["a"], "expirationSeconds": 7200}});
    let headers = [("content-type", "application/json")];
    let path = format!("{accounts}/sa/token");
    let answer = server.raw(Method::POST, &path, &headers, request.to_string().into_bytes()).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(
        answer.headers()["warning"],
        "299 - \"requested expiration of 7200 seconds shortened to 3600 seconds\""
    );
    let token: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(token["spec"]["expirationSeconds"], 3600);
    server.stop().await;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// GET https://localhost/, by HPACK's static table.
fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0x5, stream, b"\x82\x84\x87\x41\x09localhost")
}

/// What the server sends until it says goodbye or hangs up: kinds of frames, and the goodbye's error.
async fn goodbye(server: &TestServer, sent: Vec<u8>) -> (Vec<u8>, Option<u32>) {
    let mut stream = server.bare(b"h2").await;
    // The server may have hung up before all of it is sent.
    let _ = stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b""), &sent].concat()).await;
    let mut kinds = Vec::new();
    let read = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return None;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).expect("it fits")];
            if stream.read_exact(&mut payload).await.is_err() {
                return None;
            }
            kinds.push(head[3]);
            if head[3] == GOAWAY {
                return Some(u32::from_be_bytes(payload[4..8].try_into().expect("an error code")));
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, read).await.expect("an end in time");
    (kinds, error)
}

#[tokio::test]
async fn a_client_that_opens_and_resets_streams_without_end_is_cut_off() {
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let server = common::start().await;
    let rapid = (0..2000).flat_map(|n| [get(2 * n + 1), frame(RESET, 0, 2 * n + 1, &CANCEL)].concat());
    let (_, error) = goodbye(&server, rapid.collect()).await;
    assert_eq!(error, Some(ENHANCE_YOUR_CALM));
    // It was the connection that was at fault, not the server.
    assert_eq!(server.get("/livez").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_client_is_sent_elsewhere_by_chance_and_gets_its_answer() {
    let server =
        start_with(Arc::new(MemoryStore::new()), |config, _| config.running.goaway_chance = 1.0).await;
    let (_, error) = goodbye(&server, get(1)).await;
    assert_eq!(error, Some(0), "no error");
    assert_eq!(server.get("/livez").await.0, 200, "the request under way is answered");
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_connected_to_elsewhere() {
    let server = common::start().await;
    let refused =
        spoken(&server, "CONNECT elsewhere:1 HTTP/1.1\r\nhost: elsewhere\r\n\r\n", "not found").await;
    assert!(refused.starts_with("HTTP/1.1 404 "), "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn what_ends_with_the_server_is_audited() {
    let server = common::start_with(Arc::new(MemoryStore::new()), |config, dir| {
        let policy_file = dir.join("policy.yaml");
        let policy = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}";
        std::fs::write(&policy_file, policy).expect("written");
        let log = AuditLog::at(dir.join("audit.log").display().to_string());
        config.audit = Some(Audit { policy_file, log: Some(log), webhook: None });
        // It ends when everything else has.
        config.running.manners.watch_grace = Duration::from_millis(300);
    })
    .await;
    let mut stream = server.bare(b"http/1.1").await;
    let request = b"GET /api/v1/configmaps?watch=1&marked=this HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).await.expect("it begins");
    assert_eq!(&begun, b"HTTP/1.1 200");
    let log = server.dir.path().join("audit.log");
    server.begin_stop();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("it is closed");
    assert!(rest.ends_with(b"0\r\n\r\n"), "it ends whole");
    let kept = std::fs::File::open(&log).expect("a log");
    server.stop().await;
    let text = std::io::read_to_string(kept).expect("text");
    let stages: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("marked=this"))
        .filter_map(|line| line.split("\"stage\":\"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(stages, ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
}
