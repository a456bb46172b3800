//! Exec, attach and port-forward through the runtime's streaming server, over both transports.

use std::time::Duration;

use crate::support::{Node, container};
use oarlock_base::{Shutdown, Tasks};
use oarlock_cri::v1;
use oarlock_streaming::{
    Exit, RemoteCommandClient, RemoteCommandOptions, Streaming, TerminalSize, Transport,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);

struct Client {
    door: Streaming,
    _tasks: Tasks,
}

impl Client {
    fn new() -> Self {
        let tasks = Tasks::new("client", &Shutdown::new());
        Self { door: Streaming::new(tasks.spawner()), _tasks: tasks }
    }

    async fn connect(url: &str) -> (TcpStream, http::Request<()>) {
        let rest = url.strip_prefix("http://").expect("a plain URL");
        let (address, path) = rest.split_once('/').expect("a path");
        let io = TcpStream::connect(address).await.expect("the server listens");
        let request = http::Request::builder().uri(format!("/{path}")).header("host", address);
        (io, request.body(()).expect("valid"))
    }

    async fn command(
        &self,
        url: &str,
        options: RemoteCommandOptions,
        transport: Transport,
    ) -> RemoteCommandClient {
        let (io, request) = Self::connect(url).await;
        self.door.dial_remote_command(io, request, options, transport).await.expect("upgraded")
    }
}

fn exec(id: &str, script: &str, tty: bool, stdin: bool) -> v1::ExecRequest {
    v1::ExecRequest {
        container_id: id.into(),
        cmd: ["/bin/sh", "-c", script].map(str::to_string).to_vec(),
        tty,
        stdin,
        stdout: true,
        stderr: !tty,
    }
}

fn options(request: &v1::ExecRequest) -> RemoteCommandOptions {
    RemoteCommandOptions { stdin: request.stdin, stdout: true, stderr: request.stderr, tty: request.tty }
}

async fn text(reader: Option<oarlock_streaming::Reader>) -> String {
    let mut text = String::new();
    if let Some(mut reader) = reader {
        let read = tokio::time::timeout(PATIENCE, reader.read_to_string(&mut text)).await;
        read.expect("an end in time").expect("readable");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_stream() {
    let (node, client) = (Node::start().await, Client::new());
    let pod = node.pod(&node.pod_config("streams")).await;
    let id = node.run_shell(&pod, "streams", "exec sleep 1000").await;
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let request = exec(&id, "cat; echo problem >&2; exit 4", false, true);
        let asked = options(&request);
        let url = node.client.exec(request).await.expect("a URL").url;
        let mut streams = client.command(&url, asked, transport).await;
        let mut stdin = streams.stdin.take().expect("asked for");
        stdin.write_all(b"typed\n").await.expect("taken");
        stdin.shutdown().await.expect("closed");
        let (out, err) = tokio::join!(text(streams.stdout.take()), text(streams.stderr.take()));
        assert_eq!((out.as_str(), err.as_str()), ("typed\n", "problem\n"), "{transport:?}");
        assert_eq!(streams.exit.wait().await.expect("told"), Exit::Code(4), "{transport:?}");

        let mut request = exec(&id, "", false, false);
        request.cmd = vec!["no-such".to_string()];
        let asked = options(&request);
        let url = node.client.exec(request).await.expect("a URL").url;
        let streams = client.command(&url, asked, transport).await;
        let Exit::Error(message) = streams.exit.wait().await.expect("told") else { panic!("it cannot run") };
        assert!(message.contains("executable file not found in $PATH"), "{message}");
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_have_sizes() {
    let (node, client) = (Node::start().await, Client::new());
    let pod = node.pod(&node.pod_config("tty")).await;
    let id = node.run_shell(&pod, "tty", "exec sleep 1000").await;
    let request = exec(&id, "read go; stty size; exit 0", true, true);
    let asked = options(&request);
    let url = node.client.exec(request).await.expect("a URL").url;
    let mut streams = client.command(&url, asked, Transport::WebSocket).await;
    let resize = streams.resize.take().expect("a terminal");
    resize.send(TerminalSize { width: 91, height: 37 }).await.expect("taken");
    let mut stdin = streams.stdin.take().expect("asked for");
    stdin.write_all(b"go\n").await.expect("taken");
    let out = text(streams.stdout.take()).await;
    assert!(out.contains("37 91"), "{out:?}");
    assert_eq!(streams.exit.wait().await.expect("told"), Exit::Success);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_attach() {
    let (node, client) = (Node::start().await, Client::new());
    let pod = node.pod(&node.pod_config("attach")).await;
    for tty in [false, true] {
        let name = format!("attach-{tty}");
        let mut config = container(&name, "read line; echo got $line; exit 6");
        (config.stdin, config.stdin_once, config.tty) = (true, true, tty);
        let id = node.create(&pod, config).await;
        node.start_container(&id).await;
        let request =
            v1::AttachRequest { container_id: id.clone(), stdin: true, stdout: true, stderr: !tty, tty };
        let url = node.client.attach(request).await.expect("a URL").url;
        let asked = RemoteCommandOptions { stdin: true, stdout: true, stderr: !tty, tty };
        let mut streams = client.command(&url, asked, Transport::WebSocket).await;
        let mut stdin = streams.stdin.take().expect("asked for");
        stdin.write_all(b"line\n").await.expect("taken");
        let out = text(streams.stdout.take()).await;
        assert!(out.contains("got line"), "{out:?}");
        assert_eq!(node.ended(&id).await.exit_code, 6);
        assert!(node.log(&format!("{name}.log")).iter().any(|line| line.contains("F got line")), "{tty}");
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded() {
    let (node, client) = (Node::start().await, Client::new());
    let pod = node.pod(&node.pod_config("ports")).await;
    let id = node.run_shell(&pod, "ports", "exec nc -ll -p 8080 -e echo hello from inside").await;
    // Until it listens.
    let sockets = ["cat", "/proc/net/tcp", "/proc/net/tcp6"];
    while !String::from_utf8_lossy(&node.exec(&id, &sockets).await.stdout).contains(":1F90") {}
    for transport in [Transport::WebSocket, Transport::Spdy] {
        let request = v1::PortForwardRequest { pod_sandbox_id: pod.clone(), port: vec![8080] };
        let url = node.client.port_forward(request).await.expect("a URL").url;
        let (io, request) = Client::connect(&url).await;
        let session = client.door.dial_port_forward(io, request, transport).await.expect("upgraded");
        let (mut data, _) = session.open(8080).await.expect("opened");
        let mut said = String::new();
        let read = tokio::time::timeout(PATIENCE, data.read_to_string(&mut said)).await;
        read.expect("an end in time").expect("readable");
        assert_eq!(said, "hello from inside\n", "{transport:?}");
        let (_data, error) = session.open(9).await.expect("opened");
        let message = text(Some(error)).await;
        assert!(message.contains("onnection refused"), "{transport:?}: {message:?}");
    }
    node.finish().await;
}
