//! Watches on the wire: HTTP/1.1 and HTTP/2, JSON and protobuf, where they start and how they end.

mod common;

use futures::StreamExt as _;
use http::Method;
use oarlock_api::Table;
use oarlock_api::codec::protobuf;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use common::{TestServer, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

/// The events of a watch that ends by itself: `TYPE name`.
async fn events(server: &TestServer, path: &str) -> Vec<String> {
    let answer = server.raw(Method::GET, path, &[], vec![]).await;
    assert_eq!(answer.status(), 200, "{path}");
    lines(answer.body())
}

fn lines(body: &[u8]) -> Vec<String> {
    let told = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("a frame");
        let name =
            event["object"]["metadata"]["name"].as_str().or_else(|| event["object"]["reason"].as_str());
        format!("{} {}", event["type"].as_str().expect("a type"), name.unwrap_or_default())
    };
    String::from_utf8_lossy(body).lines().map(told).collect()
}

#[tokio::test]
async fn every_way_to_ask_for_a_watch_gives_the_same_events() {
    let server = start().await;
    for name in ["a", "b"] {
        assert_eq!(server.ask(Method::POST, MAPS, map(name)).await.0, 201);
    }
    let all = ["ADDED a", "ADDED b"];
    for path in [
        format!("{MAPS}?watch=true&timeoutSeconds=1"),
        format!("{MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1"),
        "/api/v1/watch/namespaces/default/configmaps?timeoutSeconds=1".to_string(),
        "/api/v1/configmaps?watch=true&fieldSelector=metadata.namespace%3Ddefault&timeoutSeconds=1"
            .to_string(),
    ] {
        assert_eq!(events(&server, &path).await, all, "{path}");
    }
    let one = "/api/v1/watch/namespaces/default/configmaps/b?timeoutSeconds=1";
    assert_eq!(events(&server, one).await, ["ADDED b"]);
    let (_, object) = server.get(&format!("{MAPS}/a?watch=true")).await;
    assert_eq!(object["kind"], "ConfigMap", "an object is not watched by its own path");
    server.stop().await;
}

#[tokio::test]
async fn clients_of_http_1_get_chunks() {
    let server = start().await;
    let (code, made) = server.ask(Method::POST, MAPS, map("a")).await;
    assert_eq!(code, 201, "{made}");
    let answer = server.over_http1(&format!("{MAPS}/a")).await;
    assert_eq!(serde_json::from_slice::<Value>(answer.body()).expect("JSON"), made);
    let answer = server.over_http1(&format!("{MAPS}?watch=true&timeoutSeconds=1")).await;
    assert_eq!(answer.headers()["transfer-encoding"], "chunked");
    assert_eq!(lines(answer.body()), ["ADDED a"]);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_ends_with_an_error_event() {
    let server = start().await;
    assert_eq!(server.ask(Method::POST, MAPS, map("a")).await.0, 201);
    let store = server.store.clone();
    server.stop().await;
    let server = common::start_on(store).await;
    let path = format!("{MAPS}?watch=1&resourceVersion=1");
    assert_eq!(events(&server, &path).await, ["ERROR Expired"]);
    let path = format!(
        "{MAPS}?watch=1&resourceVersion=99999&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    );
    assert_eq!(events(&server, &path).await, ["ERROR Timeout"]);
    server.stop().await;
}

#[tokio::test]
async fn a_watch_from_the_future_waits_for_it() {
    let server = start().await;
    let (_, made) = server.ask(Method::POST, MAPS, map("a")).await;
    let revision = |made: &Value| -> u64 {
        made["metadata"]["resourceVersion"].as_str().and_then(|t| t.parse().ok()).expect("a number")
    };
    let from = revision(&made) + 1;
    let path = format!("{MAPS}?watch=1&resourceVersion={from}&timeoutSeconds=2");
    let (seen, wanted) = tokio::join!(events(&server, &path), async {
        let mut wanted = Vec::new();
        for name in ["b", "c"] {
            let (status, made) = server.ask(Method::POST, MAPS, map(name)).await;
            assert_eq!(status, 201);
            // The server itself may write meanwhile.
            wanted.extend((revision(&made) > from).then(|| format!("ADDED {name}")));
        }
        wanted
    });
    assert_eq!(seen, wanted, "the write at that revision is known to whoever names it");
    server.stop().await;
}

#[tokio::test]
async fn protobuf_frames_carry_events_and_bookmarks() {
    let server = start().await;
    assert_eq!(server.ask(Method::POST, MAPS, map("a")).await.0, 201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let accept = [("accept", "application/vnd.kubernetes.protobuf;stream=watch")];
    let answer = server.raw(Method::GET, &format!("{MAPS}?{query}"), &accept, vec![]).await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    let mut rest = &answer.body()[..];
    let mut seen = Vec::new();
    while let Some((length, frame)) = rest.split_first_chunk::<4>() {
        let (frame, after) = frame.split_at(u32::from_be_bytes(*length) as usize);
        rest = after;
        let (kind, object) = read_event(frame);
        let (_, object) = protobuf::decode_object(Table::builtin(), object).expect("an object");
        let marked = &object["metadata"]["annotations"]["k8s.io/initial-events-end"];
        seen.push(format!("{kind} {} {}", object["kind"].as_str().unwrap_or_default(), marked));
    }
    assert_eq!(seen, ["ADDED ConfigMap null", "BOOKMARK ConfigMap \"true\"", "BOOKMARK ConfigMap null"]);
    server.stop().await;
}

/// `WatchEvent { type = 1, object = 2 { raw = 1 } }`, as the wire has it.
fn read_event(mut frame: &[u8]) -> (String, &[u8]) {
    let (mut kind, mut object): (String, &[u8]) = (String::new(), &[]);
    while let Some((tag, value, rest)) = read_field(frame) {
        match tag {
            1 => kind = String::from_utf8_lossy(value).into_owned(),
            _ => object = read_field(value).expect("a raw extension").1,
        }
        frame = rest;
    }
    (kind, object)
}

fn read_field(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, mut rest) = bytes.split_first()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (value, rest) = rest.split_at(length);
    Some((tag >> 3, value, rest))
}

#[tokio::test]
async fn what_the_server_owns_comes_back() {
    let server = start().await;
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let kept = [
        "/api/v1/namespaces/default/endpoints/kubernetes",
        slice,
        "/api/v1/namespaces/default/services/kubernetes",
    ];
    for path in kept {
        let (_, before) = server.get(path).await;
        assert_eq!(server.ask(Method::DELETE, path, json!({})).await.0, 200, "{path}");
        let collection = path.rsplit_once('/').expect("a path").0;
        let query = "watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dkubernetes&timeoutSeconds=3";
        let seen = events(&server, &format!("{collection}?{query}")).await;
        assert!(seen.last().is_some_and(|last| last == "ADDED kubernetes"), "{path}: {seen:?}");
        let (code, after) = server.get(path).await;
        assert_eq!(
            (code, &after["subsets"], &after["endpoints"]),
            (200, &before["subsets"], &before["endpoints"])
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_watch_comes_over_a_websocket_an_event_a_message() {
    let server = start().await;
    for name in ["a", "b"] {
        assert_eq!(server.ask(Method::POST, MAPS, map(name)).await.0, 201);
    }
    for (media, in_protobuf) in [("application/json", false), ("application/vnd.kubernetes.protobuf", true)] {
        let io = server.bare(b"http/1.1").await;
        let uri = format!(
            "wss://localhost{MAPS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.namespace=default"
        );
        let mut request = uri.into_client_request().expect("a request");
        request.headers_mut().insert("accept", media.parse().expect("a header value"));
        let (mut client, _) = tokio_tungstenite::client_async(request, io).await.expect("it is switched");
        let mut told = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            match message {
                Message::Close(_) => break,
                message => {
                    assert_eq!(message.is_binary(), in_protobuf);
                    told.push(message.into_data());
                }
            }
        }
        let told: Vec<_> = told.iter().filter(|bytes| !is_of_the_system(bytes)).collect();
        assert_eq!(told.len(), 2, "{media}");
        if !in_protobuf {
            let told: Vec<String> = told.iter().flat_map(|line| lines(line)).collect();
            assert_eq!(told, ["ADDED a", "ADDED b"]);
        }
    }
    let request = format!("wss://localhost{MAPS}?watch=1&labelSelector=%21%21").into_client_request();
    let io = server.bare(b"http/1.1").await;
    let error = tokio_tungstenite::client_async(request.expect("a request"), io).await.err();
    assert!(
        error.is_some_and(|error| error.to_string().contains("400")),
        "a fault is told before it is switched"
    );
}

/// The bundle of authorities that every namespace is given.
fn is_of_the_system(event: &[u8]) -> bool {
    event.windows(16).any(|part| part == b"kube-root-ca.crt")
}
