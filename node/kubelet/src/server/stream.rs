//! Exec, attach and port-forward: the runtime says where it serves the stream, and the bytes are passed through both ways. The
//! protocol (WebSocket or SPDY) is spoken between the client and the runtime, unless the runtime refuses a WebSocket: then,
//! and from then on, WebSockets are translated ([`super::translate`]).

use std::sync::atomic::Ordering;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use oarlock_cri::v1::{AttachRequest, ExecRequest, PortForwardRequest};
use oarlock_streaming::{RemoteCommandOptions, Streaming};
use tokio::net::TcpStream;
use tracing::{debug, info};

use super::{Body, Server, flag, queries, query, text};
use crate::pod::PodExt as _;

/// Where the runtime serves one stream, once.
pub(super) struct Target(url::Url);

impl Target {
    fn parse(url: &str) -> Result<Self, Refusal> {
        let parsed = url::Url::parse(url);
        parsed.map(Self).map_err(|error| internal(&format!("the runtime gave no address: {error}")).into())
    }

    fn host(&self) -> (&str, u16) {
        let host = self.0.host_str().unwrap_or("127.0.0.1").trim_matches(['[', ']']);
        (host, self.0.port_or_known_default().unwrap_or(80))
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, String> {
        TcpStream::connect(self.host()).await.map_err(|error| format!("dial {}: {error}", self.0))
    }

    /// A request with the path and query alone, and the host.
    pub(super) fn request(&self) -> Request<()> {
        let target = match self.0.query() {
            Some(query) => format!("{}?{query}", self.0.path()),
            None => self.0.path().to_owned(),
        };
        let mut request = Request::new(());
        *request.uri_mut() = target.parse().unwrap_or_default();
        let (host, port) = (self.0.host_str().unwrap_or("127.0.0.1"), self.host().1);
        if let Ok(host) = format!("{host}:{port}").parse() {
            request.headers_mut().insert(HOST, host);
        }
        request
    }
}

/// An answer that ends the request; boxed because it is rare.
type Refusal = Box<Response<Body>>;

impl Server {
    pub(super) async fn stream(&self, request: Request<Incoming>, parts: &[&str]) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        let ends_here = is_websocket(&request) && self.translates.load(Ordering::Relaxed);
        let target = match self.target(request.uri(), parts).await {
            Ok(target) => target,
            Err(refusal) => return *refusal,
        };
        if ends_here {
            return self.translate(request, parts, &target).await;
        }
        let answer = match self.ask(&request, &target).await {
            Ok(answer) => answer,
            Err(refusal) => return *refusal,
        };
        if !is_websocket(&request) || is_agreed(&request, &answer) {
            return self.pass_through(request, answer).await;
        }
        // The address was good for one request.
        match self.target(request.uri(), parts).await {
            Ok(target) => {
                if !self.translates.swap(true, Ordering::Relaxed) {
                    info!("the runtime does not speak this client's WebSocket; translating to SPDY");
                }
                self.translate(request, parts, &target).await
            }
            Err(refusal) => *refusal,
        }
    }

    /// Where the runtime serves what is asked for.
    async fn target(&self, uri: &Uri, parts: &[&str]) -> Result<Target, Refusal> {
        let url = match *parts {
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                self.exec_url(uri, namespace, pod, container).await?
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                self.attach_url(uri, namespace, pod, container).await?
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                self.forward_url(uri, namespace, pod).await?
            }
            _ => return Err(text(StatusCode::NOT_FOUND, "404 page not found\n").into()),
        };
        Target::parse(&url)
    }

    async fn translate(&self, request: Request<Incoming>, parts: &[&str], target: &Target) -> Response<Body> {
        let streaming = Streaming::new(self.spawner.clone());
        if parts.first() == Some(&"portForward") {
            return super::translate::port_forward(&streaming, request, target).await;
        }
        let mut options = RemoteCommandOptions::from_query(request.uri().query().unwrap_or_default());
        if let ["attach", namespace, pod, .., container] = *parts {
            // The container's terminal decides, not the client.
            options.tty = self.pod(namespace, pod).is_ok_and(|pod| has_terminal(&pod, container));
            options.stderr &= !options.tty;
        }
        super::translate::remote_command(&streaming, request, options, target).await
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<std::sync::Arc<Pod>, Refusal> {
        let missing =
            || text(StatusCode::NOT_FOUND, format!("pod does not exist: {namespace}/{name}\n")).into();
        self.manager.find(namespace, name).ok_or_else(missing)
    }

    /// The id of a running container.
    async fn container_id(&self, namespace: &str, name: &str, container: &str) -> Result<String, Refusal> {
        let pod = self.pod(namespace, name)?;
        let observed = self.manager.context().observer.observe(&pod.uid()).await;
        let observed = observed.map_err(|error| Refusal::from(internal(&error)))?;
        let running = observed.newest(container).filter(|seen| seen.running());
        running.map(|seen| seen.id().to_owned()).ok_or_else(|| {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("container not found (\"{container}\")\n")).into()
        })
    }

    async fn exec_url(
        &self,
        uri: &Uri,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Result<String, Refusal> {
        let container_id = self.container_id(namespace, pod, container).await?;
        let exec = ExecRequest {
            container_id,
            cmd: queries(uri, "command"),
            tty: flag(uri, "tty"),
            stdin: flag(uri, "input") || flag(uri, "stdin"),
            stdout: flag(uri, "output") || flag(uri, "stdout"),
            // With a terminal there is one output.
            stderr: (flag(uri, "error") || flag(uri, "stderr")) && !flag(uri, "tty"),
        };
        self.manager
            .context()
            .cri
            .exec(exec)
            .await
            .map(|done| done.url)
            .map_err(|error| internal(&error).into())
    }

    async fn attach_url(
        &self,
        uri: &Uri,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Result<String, Refusal> {
        let container_id = self.container_id(namespace, pod, container).await?;
        let pod = self.pod(namespace, pod)?;
        let tty = has_terminal(&pod, container);
        let attach = AttachRequest {
            container_id,
            stdin: flag(uri, "input") || flag(uri, "stdin"),
            tty,
            stdout: flag(uri, "output") || flag(uri, "stdout"),
            stderr: (flag(uri, "error") || flag(uri, "stderr")) && !tty,
        };
        self.manager
            .context()
            .cri
            .attach(attach)
            .await
            .map(|done| done.url)
            .map_err(|error| internal(&error).into())
    }

    async fn forward_url(&self, uri: &Uri, namespace: &str, pod: &str) -> Result<String, Refusal> {
        let pod = self.pod(namespace, pod)?;
        let observed = self.manager.context().observer.observe(&pod.uid()).await;
        let observed = observed.map_err(|error| Refusal::from(internal(&error)))?;
        let sandbox = observed.sandbox().ok_or_else(|| {
            let why = format!("no running sandbox of pod {}\n", pod.display());
            Refusal::from(text(StatusCode::INTERNAL_SERVER_ERROR, why))
        })?;
        let port = query(uri, "port").unwrap_or_default();
        let port = port.split(',').filter_map(|port| port.trim().parse().ok()).collect();
        let forward = PortForwardRequest { pod_sandbox_id: sandbox.id.clone(), port };
        self.manager
            .context()
            .cri
            .port_forward(forward)
            .await
            .map(|done| done.url)
            .map_err(|error| internal(&error).into())
    }

    /// Sends the request on to the runtime's stream server.
    async fn ask(&self, request: &Request<Incoming>, target: &Target) -> Result<Response<Incoming>, Refusal> {
        let tcp = target.connect().await.map_err(|error| internal(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await;
        let (mut sender, connection) = handshake.map_err(|error| internal(&error))?;
        let stop = self.spawner.shutdown().clone();
        self.spawner.spawn("runtime stream", async move {
            if let Some(Err(error)) = stop.or(connection.with_upgrades()).await {
                debug!(%error, "the runtime's stream");
            }
        });
        let sent = sender.send_request(outgoing(request, target)).await;
        sent.map_err(|error| internal(&error).into())
    }

    /// Gives the runtime's answer, and joins the two connections when it agrees to upgrade.
    async fn pass_through(
        &self,
        mut request: Request<Incoming>,
        mut answer: Response<Incoming>,
    ) -> Response<Body> {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (head, body) = answer.into_parts();
            let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Response::from_parts(head, text(StatusCode::OK, bytes).into_body());
        }
        let (near, far) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
        let stop = self.spawner.shutdown().clone();
        self.spawner.spawn("tunnel", async move {
            let join = async {
                let (near, far) = tokio::try_join!(near, far)?;
                let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
                // Either side hangs up as it likes; there is nothing to do about it.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                Ok::<_, hyper::Error>(())
            };
            if let Some(Err(error)) = stop.or(join).await {
                debug!(%error, "tunnel");
            }
        });
        let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
        *response.headers_mut() = answer.headers().clone();
        response
    }
}

/// The request as the runtime gets it: the same headers (the upgrade is theirs to negotiate), its own address.
fn outgoing(request: &Request<Incoming>, target: &Target) -> Request<Empty<bytes::Bytes>> {
    let mut outgoing = target.request().map(|()| Empty::new());
    *outgoing.method_mut() = request.method().clone();
    for (name, value) in request.headers() {
        if name != HOST && name != AUTHORIZATION && name != CONTENT_LENGTH {
            outgoing.headers_mut().append(name, value.clone());
        }
    }
    outgoing
}

fn has_terminal(pod: &Pod, container: &str) -> bool {
    pod.find_container(container).is_some_and(|(_, container)| container.tty == Some(true))
}

fn is_websocket<B>(request: &Request<B>) -> bool {
    tokens(request.headers(), UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
}

/// Whether the runtime has upgraded to a protocol that the client offered. Old servers agree to a WebSocket without naming a
/// protocol that they do not know.
fn is_agreed<A, B>(request: &Request<A>, answer: &Response<B>) -> bool {
    let chosen = tokens(answer.headers(), SEC_WEBSOCKET_PROTOCOL).next();
    let mut offered = tokens(request.headers(), SEC_WEBSOCKET_PROTOCOL).peekable();
    answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && match chosen {
            Some(chosen) => offered.any(|offer| offer == chosen),
            None => offered.peek().is_none(),
        }
}

/// The comma-separated words of a header.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

pub(super) fn internal(error: &dyn std::fmt::Display) -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runtime_agreed_to() {
        let offer = |protocols: &str| {
            let request = Request::builder().header(UPGRADE, "websocket");
            let request = if protocols.is_empty() {
                request
            } else {
                request.header(SEC_WEBSOCKET_PROTOCOL, protocols)
            };
            request.body(()).expect("a request")
        };
        for (offered, status, chosen, agreed) in [
            ("v5.channel.k8s.io, v4.channel.k8s.io", 101, "v4.channel.k8s.io", true),
            ("v5.channel.k8s.io", 101, "v5.channel.k8s.io", true),
            ("v5.channel.k8s.io", 101, "", false),
            ("v5.channel.k8s.io", 403, "", false),
            ("SPDY/3.1+portforward.k8s.io", 400, "", false),
            ("", 101, "", true),
        ] {
            let answer = Response::builder().status(status);
            let answer =
                if chosen.is_empty() { answer } else { answer.header(SEC_WEBSOCKET_PROTOCOL, chosen) };
            let answer = answer.body(()).expect("an answer");
            assert_eq!(is_agreed(&offer(offered), &answer), agreed, "{offered} {status} {chosen}");
        }
    }

    #[test]
    fn the_runtime_is_asked_by_its_own_name() {
        let Ok(target) = Target::parse("http://[::1]:4444/exec/token?x=1") else { panic!("an address") };
        let request = target.request();
        assert_eq!(request.uri(), "/exec/token?x=1");
        assert_eq!(request.headers()[HOST], "[::1]:4444");
        assert_eq!(target.host(), ("::1", 4444));
    }
}
