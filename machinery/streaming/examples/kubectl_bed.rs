//! The least of an API server that the real kubectl can exec into and forward ports through: one pod, `default/web`.
//!
//! `cargo run -p oarlock-streaming --example kubectl_bed -- 18080`, then
//! `kubectl --server http://127.0.0.1:18080 exec -i web -- sh -c 'cat; exit 3'`. Commands run on this machine, so it
//! listens on loopback only. `--tunnel` passes every request through `Streaming::tunnel` first.

use std::convert::Infallible;
use std::process::Stdio;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oarlock_base::{Shutdown, Tasks};
use oarlock_streaming::{
    Body, Exit, PortForwardConnection, PortForwardStream, RemoteCommandOptions, RemoteCommandStreams,
    Streaming,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("which port?")?.parse()?;
    let tunnel = std::env::args().nth(2).is_some_and(|arg| arg == "--tunnel");
    let tasks = Tasks::new("bed", &Shutdown::new());
    let streaming = Streaming::new(tasks.spawner());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let shared = streaming.clone();
        let service = service_fn(move |request| {
            let streaming = shared.clone();
            async move {
                if tunnel { through(streaming, request).await } else { answer(streaming, request).await }
            }
        });
        streaming.spawner().spawn("connection", async move {
            let http = hyper::server::conn::http1::Builder::new();
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
                eprintln!("connection: {error}");
            }
        });
    }
}

/// As an API server does for a kubelet.
async fn through(streaming: Streaming, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let inner = streaming.clone();
    streaming.spawner().spawn("inner", async move {
        let service = service_fn(move |request| answer(inner.clone(), request));
        let http = hyper::server::conn::http1::Builder::new();
        http.serve_connection(TokioIo::new(theirs), service).with_upgrades().await.ok();
    });
    Ok(streaming
        .tunnel(request, ours)
        .await
        .unwrap_or_else(|error| text(StatusCode::BAD_GATEWAY, error.to_string())))
}

async fn answer(streaming: Streaming, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    eprintln!("{} {} {:?}", request.method(), request.uri(), request.headers().get("upgrade"));
    let spawner = streaming.spawner().clone();
    let query = request.uri().query().unwrap_or_default().to_string();
    Ok(match request.uri().path() {
        "/api" => json(r#"{"kind":"APIVersions","versions":["v1"]}"#),
        "/apis" => json(r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#),
        "/api/v1" => json(RESOURCES),
        "/api/v1/namespaces/default/pods/web" => json(POD),
        "/api/v1/namespaces/default/pods/web/exec" => {
            match streaming.accept_remote_command(&mut request, RemoteCommandOptions::from_query(&query)) {
                Ok((response, pending)) => {
                    spawner.spawn("exec", async move {
                        match pending.await {
                            Ok(streams) => exec(command(&query), streams).await,
                            Err(error) => eprintln!("exec: {error}"),
                        }
                    });
                    response
                }
                Err(rejection) => rejection.into_response(),
            }
        }
        "/api/v1/namespaces/default/pods/web/portforward" => {
            match streaming.accept_port_forward(&mut request) {
                Ok((response, pending)) => {
                    let connections = streaming.clone();
                    spawner.spawn("portforward", async move {
                        match pending.await {
                            Ok(session) => forward(connections, session).await,
                            Err(error) => eprintln!("portforward: {error}"),
                        }
                    });
                    response
                }
                Err(rejection) => rejection.into_response(),
            }
        }
        path => text(StatusCode::NOT_FOUND, path.to_string()),
    })
}

fn command(query: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.strip_prefix("command="));
    pairs.map(|word| percent_decode(&word.replace('+', " "))).collect()
}

fn percent_decode(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        out.push(char::from(u8::from_str_radix(code, 16).unwrap_or(b'?')));
        out.push_str(rest);
    }
    out
}

async fn exec(command: Vec<String>, streams: RemoteCommandStreams) {
    let RemoteCommandStreams { stdin, stdout, stderr, outcome, hangup, .. } = streams;
    let mut process = Command::new(&command[0]);
    process.args(&command[1..]).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    process.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = match process.spawn() {
        Ok(child) => child,
        Err(error) => return outcome.finish(Exit::Error(error.to_string())).await.unwrap_or_default(),
    };
    let (to, from, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let (Some(mut stdin), Some(mut to)) = (stdin, to) {
            tokio::io::copy(&mut stdin, &mut to).await.ok();
        }
        std::future::pending::<()>().await;
    };
    let copy = async |from, to: Option<oarlock_streaming::Writer>| {
        if let (Some(mut from), Some(mut to)) = (from, to) {
            tokio::io::copy::<Box<dyn tokio::io::AsyncRead + Send + Unpin>, _>(&mut from, &mut to).await.ok();
        }
    };
    let out = copy(from.map(|o| Box::new(o) as oarlock_streaming::Reader), stdout);
    let err = copy(errors.map(|o| Box::new(o) as oarlock_streaming::Reader), stderr);
    let work = async { tokio::join!(out, err, child.wait()).2 };
    let status = tokio::select! {
        status = work => status,
        () = feed => return,
        () = hangup.cancelled() => return eprintln!("the client hung up"),
    };
    let exit = match status.map(|status| status.code()) {
        Ok(Some(0)) => Exit::Success,
        Ok(code) => Exit::Code(code.unwrap_or(137)),
        Err(error) => Exit::Error(error.to_string()),
    };
    if let Err(error) = outcome.finish(exit).await {
        eprintln!("finish: {error}");
    }
}

async fn forward(streaming: Streaming, mut session: PortForwardConnection) {
    while let Some(PortForwardStream { port, mut data, error }) = session.next().await {
        streaming.spawner().spawn("forwarded", async move {
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(mut target) => {
                    tokio::io::copy_bidirectional(&mut data, &mut target).await.ok();
                    data.shutdown().await.ok();
                }
                Err(failure) => error.fail(&failure.to_string()).await,
            }
        });
    }
    eprintln!("session over");
}

const RESOURCES: &str = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[
    {"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"]}]}"#;
const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default"},
    "spec":{"containers":[{"name":"web","image":"web"}]},"status":{"phase":"Running"}}"#;

fn json(body: &str) -> Response<Body> {
    let mut response = text(StatusCode::OK, body.to_string());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
