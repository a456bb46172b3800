//! Our client against our server, over every transport, through hyper and through a tunnel.

use std::convert::Infallible;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oarlock_base::{Shutdown, Tasks};
use oarlock_streaming::{
    Body, DialError, Exit, Messages, PortForwardConnection, PortForwardStream, Reader, RemoteCommandOptions,
    RemoteCommandStreams, Streaming, TerminalSize, Transport,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::Spdy];

/// Serves one connection; the path says what is done.
fn serve(streaming: &Streaming) -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    let (owner, shared) = (streaming.clone(), streaming.clone());
    let service = service_fn(move |request| answer(shared.clone(), request));
    owner.spawner().spawn("server", async move {
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        connection.with_upgrades().await.ok();
    });
    client
}

async fn answer(streaming: Streaming, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_string();
    if path.starts_with("/tunnel/") {
        let target = serve(&streaming);
        let path = request.uri().to_string().replacen("/tunnel", "", 1);
        *request.uri_mut() = path.parse().expect("a path");
        return Ok(streaming.tunnel(request, target).await.expect("the target answers"));
    }
    if let Some(kind) = path.strip_prefix("/body/") {
        let messages = if kind == "lines" { Messages::Lines } else { Messages::Pieces };
        return Ok(match streaming.accept_body(&mut request, messages) {
            Ok(carrier) => carrier.carry(http_body_util::Full::new("one\ntwo\n".into())),
            Err(rejection) => rejection.into_response(),
        });
    }
    let spawner = streaming.spawner().clone();
    if path == "/portforward" {
        return Ok(match streaming.accept_port_forward(&mut request) {
            Ok((response, pending)) => {
                let connections = spawner.clone();
                spawner.spawn("forward", async move {
                    forward(connections, pending.await.expect("upgraded")).await;
                });
                response
            }
            Err(rejection) => rejection.into_response(),
        });
    }
    let options = RemoteCommandOptions::from_query(request.uri().query().unwrap_or_default());
    Ok(match streaming.accept_remote_command(&mut request, options) {
        Ok((response, pending)) => {
            spawner.spawn("command", async move {
                if let Ok(streams) = pending.await {
                    command(&path, streams).await;
                }
            });
            response
        }
        Err(rejection) => rejection.into_response(),
    })
}

/// What the commands do: `cat` echoes, `big` writes much, `size` tells the terminal's size, `drop` gives up.
async fn command(path: &str, streams: RemoteCommandStreams) {
    let RemoteCommandStreams { stdin, mut stdout, stderr, resize, outcome, .. } = streams;
    let exit = match path.trim_start_matches('/') {
        "cat" => {
            let (mut stdin, stdout) = (stdin.expect("stdin"), stdout.as_mut().expect("stdout"));
            tokio::io::copy(&mut stdin, stdout).await.expect("copied");
            stderr.expect("stderr").write_all(b"done").await.expect("written");
            Exit::Code(3)
        }
        "big" => {
            let stdout = stdout.as_mut().expect("stdout");
            for n in 0..160u8 {
                stdout.write_all(&[n; 65536]).await.expect("written");
            }
            Exit::Success
        }
        "size" => {
            let size = resize.expect("a terminal").recv().await.expect("a size");
            let text = format!("{}x{}", size.width, size.height);
            stdout.as_mut().expect("stdout").write_all(text.as_bytes()).await.expect("written");
            Exit::Success
        }
        "fail" => Exit::Error("no such container".into()),
        _ => return,
    };
    outcome.finish(exit).await.expect("the client is there");
}

async fn forward(spawner: oarlock_base::TaskSpawner, mut connection: PortForwardConnection) {
    while let Some(PortForwardStream { port, mut data, error }) = connection.next().await {
        spawner.spawn("forwarded", async move {
            if port == 1 {
                return error.fail("connection refused").await;
            }
            let (mut read, mut write) = tokio::io::split(&mut data);
            tokio::io::copy(&mut read, &mut write).await.ok();
            write.shutdown().await.ok();
        });
    }
}

struct Bed {
    streaming: Streaming,
    tasks: Tasks,
}

impl Bed {
    fn new() -> Self {
        let tasks = Tasks::new("test", &Shutdown::new());
        Self { streaming: Streaming::new(tasks.spawner()), tasks }
    }

    async fn end(self) {
        self.tasks.shutdown().trigger();
        self.tasks.join().await.expect("no task failed");
    }
}

fn request(uri: &str) -> Request<()> {
    Request::builder().uri(uri).header("host", "node").body(()).expect("a request")
}

async fn text(reader: Option<Reader>) -> String {
    let mut text = String::new();
    reader.expect("a stream").read_to_string(&mut text).await.expect("read");
    text
}

const ALL: RemoteCommandOptions =
    RemoteCommandOptions { stdin: true, stdout: true, stderr: true, tty: false };

#[tokio::test]
async fn stdin_is_echoed_and_the_code_comes_back() {
    let bed = Bed::new();
    for (transport, prefix) in TRANSPORTS.into_iter().flat_map(|t| [(t, ""), (t, "/tunnel")]) {
        let uri = format!("{prefix}/cat?stdin=true&stdout=true&stderr=true");
        let io = serve(&bed.streaming);
        let client =
            bed.streaming.dial_remote_command(io, request(&uri), ALL, transport).await.expect("dialled");
        let mut stdin = client.stdin.expect("stdin");
        stdin.write_all(b"hello").await.expect("written");
        stdin.shutdown().await.expect("half-closed");
        let (stdout, stderr, exit) =
            tokio::join!(text(client.stdout), text(client.stderr), client.exit.wait());
        assert_eq!((stdout.as_str(), stderr.as_str()), ("hello", "done"), "{transport:?} {uri}");
        assert_eq!(exit.expect("an end"), Exit::Code(3));
    }
    bed.end().await;
}

#[tokio::test]
async fn much_output_arrives_whole_before_the_end() {
    let bed = Bed::new();
    let options = RemoteCommandOptions { stdout: true, ..Default::default() };
    for transport in TRANSPORTS {
        let io = serve(&bed.streaming);
        let uri = request("/big?stdout=1");
        let client =
            bed.streaming.dial_remote_command(io, uri, options.clone(), transport).await.expect("dialled");
        let mut bytes = Vec::new();
        let mut stdout = client.stdout.expect("stdout");
        let (read, exit) = tokio::join!(stdout.read_to_end(&mut bytes), client.exit.wait());
        assert_eq!(read.expect("read"), 160 * 65536);
        assert!(bytes.chunks(65536).zip(0u8..).all(|(chunk, n)| chunk.iter().all(|b| *b == n)));
        assert_eq!(exit.expect("an end"), Exit::Success);
    }
    bed.end().await;
}

#[tokio::test]
async fn terminals_are_resized() {
    let bed = Bed::new();
    let options = RemoteCommandOptions { stdin: true, stdout: true, stderr: true, tty: true };
    for transport in TRANSPORTS {
        let uri = request("/size?stdin=true&stdout=true&tty=true");
        let io = serve(&bed.streaming);
        let client =
            bed.streaming.dial_remote_command(io, uri, options.clone(), transport).await.expect("dialled");
        let size = TerminalSize { width: 132, height: 43 };
        client.resize.expect("a terminal").send(size).await.expect("sent");
        let (stdout, exit) = tokio::join!(text(client.stdout), client.exit.wait());
        assert_eq!((stdout.as_str(), exit.expect("an end")), ("132x43", Exit::Success));
    }
    bed.end().await;
}

#[tokio::test]
async fn a_body_comes_in_messages_and_then_the_end() {
    let bed = Bed::new();
    for (path, protocol, want) in [
        ("lines", "", vec!["one\n", "two\n"]),
        ("lines", "anything.k8s.io", vec!["one\n", "two\n"]),
        ("pieces", "binary.k8s.io", vec!["", "one\ntwo\n"]),
        ("pieces", "base64.binary.k8s.io", vec!["", "b25lCnR3bwo="]),
    ] {
        let mut request = format!("ws://node/body/{path}").into_client_request().expect("a request");
        if !protocol.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header value"));
        }
        let (mut client, response) =
            client_async(request, serve(&bed.streaming)).await.expect("it is switched");
        let told = response.headers().get("sec-websocket-protocol").map(|told| told.as_bytes());
        assert_eq!(told.unwrap_or_default(), protocol.as_bytes());
        let mut got = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            match message {
                Message::Close(_) => break,
                other => got.push(String::from_utf8(other.into_data().to_vec()).expect("text")),
            }
        }
        assert_eq!(got, want, "{path} {protocol}");
    }
    bed.end().await;
}

#[tokio::test]
async fn failures_are_told() {
    let bed = Bed::new();
    for transport in TRANSPORTS {
        for (path, want) in [
            ("fail", "Internal error occurred: no such container"),
            ("drop", "Internal error occurred: the command was given up"),
        ] {
            let uri = request(&format!("/{path}?stdin=1&stdout=1&stderr=1"));
            let io = serve(&bed.streaming);
            let client = bed.streaming.dial_remote_command(io, uri, ALL, transport).await.expect("dialled");
            assert_eq!(client.exit.wait().await.expect("an end"), Exit::Error(want.into()), "{transport:?}");
        }
        let io = serve(&bed.streaming);
        let refused = bed.streaming.dial_remote_command(io, request("/tunnel/cat"), ALL, transport).await;
        let Err(DialError::Refused { status, message }) = refused else { panic!("not refused") };
        assert_eq!(
            (status.as_u16(), message.as_str()),
            (400, "you must specify at least 1 of stdin, stdout, stderr")
        );
    }
    bed.end().await;
}

#[tokio::test]
async fn ports_are_forwarded_side_by_side() {
    let bed = Bed::new();
    for (transport, path) in
        TRANSPORTS.into_iter().flat_map(|t| [(t, "/portforward"), (t, "/tunnel/portforward")])
    {
        let io = serve(&bed.streaming);
        let client = bed.streaming.dial_port_forward(io, request(path), transport).await.expect("dialled");
        let echo = async |n: u8| {
            let (mut data, mut error) = client.open(8080).await.expect("opened");
            let sent = vec![n; 300_000];
            let (mut read, mut write) = tokio::io::split(&mut data);
            let mut got = Vec::new();
            let (written, _) = tokio::join!(
                async {
                    write.write_all(&sent).await.expect("written");
                    write.shutdown().await
                },
                read.read_to_end(&mut got)
            );
            written.expect("half-closed");
            assert!(got == sent, "stream {n}");
            let mut failure = String::new();
            error.read_to_string(&mut failure).await.expect("read");
            assert_eq!(failure, "");
        };
        futures::future::join_all((0..20).map(&echo)).await;
        let (_data, error) = client.open(1).await.expect("opened");
        assert_eq!(text(Some(error)).await, "connection refused");
    }
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn idle_connections_and_silent_clients_are_let_go() {
    let bed = Bed::new();
    let streaming = bed.streaming.clone().with_idle_timeout(Duration::from_secs(60));
    for transport in TRANSPORTS {
        let uri = request("/cat?stdin=1&stdout=1&stderr=1");
        let client =
            streaming.dial_remote_command(serve(&streaming), uri, ALL, transport).await.expect("dialled");
        assert!(client.exit.wait().await.is_err(), "{transport:?}");
    }
    bed.end().await;
}

#[tokio::test]
async fn a_stalled_reader_stalls_its_own_session_only() {
    let bed = Bed::new();
    let options = RemoteCommandOptions { stdout: true, ..Default::default() };
    for transport in TRANSPORTS {
        let dial = async || {
            let io = serve(&bed.streaming);
            let uri = request("/big?stdout=1");
            bed.streaming.dial_remote_command(io, uri, options.clone(), transport).await.expect("dialled")
        };
        let stalled = dial().await;
        let mut bytes = Vec::new();
        dial().await.stdout.expect("stdout").read_to_end(&mut bytes).await.ok();
        drop(stalled);
    }
    bed.end().await;
}

/// Sends one message as a client of old and gives the payloads that come back, empty ones left out.
async fn converse(bed: &Bed, uri: &str, protocol: &'static str, say: Message) -> Vec<String> {
    let mut request = format!("ws://node{uri}").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", http::HeaderValue::from_static(protocol));
    let (mut socket, response) = client_async(request, serve(&bed.streaming)).await.expect("upgraded");
    assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
    socket.send(say).await.expect("sent");
    let mut got = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Close(_) => break,
            message if message.len() > 1 => got.push(format!("{:?}", message.into_data())),
            _ => {}
        }
        if uri.starts_with("/portforward") && got.len() == 3 {
            break;
        }
    }
    got
}

#[tokio::test]
async fn clients_of_old_are_served() {
    let bed = Bed::new();
    let size = "/size?stdin=1&stdout=1&tty=1";
    let binary = Message::Binary(b"\x04{\"Width\":1,\"Height\":2}".to_vec().into());
    // The size, in base64, on channel 4.
    let text = Message::Text("4eyJXaWR0aCI6MSwiSGVpZ2h0IjoyfQ==".into());
    let success = r#"b"\x03{\"metadata\":{},\"status\":\"Success\"}""#;
    let check = async |protocol, say: Message, want: &[&str]| {
        assert_eq!(converse(&bed, size, protocol, say).await, want, "{protocol}");
    };
    check("v4.channel.k8s.io", binary.clone(), &[r#"b"\x011x2""#, success]).await;
    check("channel.k8s.io", binary, &[r#"b"\x011x2""#]).await;
    let encoded = r#"b"3eyJtZXRhZGF0YSI6e30sInN0YXR1cyI6IlN1Y2Nlc3MifQ==""#;
    check("v4.base64.channel.k8s.io", text.clone(), &[r#"b"1MXgy""#, encoded]).await;
    check("base64.channel.k8s.io", text, &[r#"b"1MXgy""#]).await;

    // Each of a port's two channels greets with its port, then channel 0 echoes.
    let say = Message::Binary(b"\0ping".to_vec().into());
    let got = converse(&bed, "/portforward?ports=8080", "v4.channel.k8s.io", say).await;
    assert_eq!(got, [r#"b"\0\x90\x1f""#, r#"b"\x01\x90\x1f""#, r#"b"\0ping""#]);
    bed.end().await;
}
