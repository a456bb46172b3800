//! Exec, attach and port-forward: the runtime says where it serves the stream, and the bytes are passed through both ways. The
//! protocol (WebSocket or SPDY) is spoken between the client and the runtime.

use http::header::{CONNECTION, HOST, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use oarlock_cri::v1::{AttachRequest, ExecRequest, PortForwardRequest};
use tokio::net::TcpStream;
use tracing::debug;

use super::{Body, Server, flag, queries, query, text};
use crate::pod::PodExt as _;

impl Server {
    pub(super) async fn stream(&self, request: Request<Incoming>, parts: &[&str]) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        let url = match *parts {
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                self.exec_url(&request, namespace, pod, container).await
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                self.attach_url(&request, namespace, pod, container).await
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                self.forward_url(&request, namespace, pod).await
            }
            _ => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
        };
        match url {
            Ok(url) => self.pass_through(request, &url).await,
            Err(refusal) => refusal,
        }
    }

    #[expect(clippy::result_large_err, reason = "a refusal is an answer, made once per request")]
    fn pod(&self, namespace: &str, name: &str) -> Result<std::sync::Arc<Pod>, Response<Body>> {
        let missing = || text(StatusCode::NOT_FOUND, format!("pod does not exist: {namespace}/{name}\n"));
        self.manager.find(namespace, name).ok_or_else(missing)
    }

    /// The id of a running container.
    async fn container_id(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
    ) -> Result<String, Response<Body>> {
        let pod = self.pod(namespace, name)?;
        let observed = self.manager.context().observer.observe(&pod.uid()).await;
        let observed = observed.map_err(|error| internal(&error))?;
        let running = observed.newest(container).filter(|seen| seen.running());
        running.map(|seen| seen.id().to_owned()).ok_or_else(|| {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("container not found (\"{container}\")\n"))
        })
    }

    async fn exec_url(
        &self,
        request: &Request<Incoming>,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Result<String, Response<Body>> {
        let uri = request.uri();
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
        self.manager.context().cri.exec(exec).await.map(|done| done.url).map_err(|error| internal(&error))
    }

    async fn attach_url(
        &self,
        request: &Request<Incoming>,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Result<String, Response<Body>> {
        let uri = request.uri();
        let container_id = self.container_id(namespace, pod, container).await?;
        let pod = self.pod(namespace, pod)?;
        let tty = pod.find_container(container).is_some_and(|(_, container)| container.tty == Some(true));
        let attach = AttachRequest {
            container_id,
            stdin: flag(uri, "input") || flag(uri, "stdin"),
            tty,
            stdout: flag(uri, "output") || flag(uri, "stdout"),
            stderr: (flag(uri, "error") || flag(uri, "stderr")) && !tty,
        };
        self.manager.context().cri.attach(attach).await.map(|done| done.url).map_err(|error| internal(&error))
    }

    async fn forward_url(
        &self,
        request: &Request<Incoming>,
        namespace: &str,
        pod: &str,
    ) -> Result<String, Response<Body>> {
        let pod = self.pod(namespace, pod)?;
        let observed = self.manager.context().observer.observe(&pod.uid()).await;
        let observed = observed.map_err(|error| internal(&error))?;
        let sandbox = observed.sandbox().ok_or_else(|| {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("no running sandbox of pod {}\n", pod.display()))
        })?;
        let port = query(request.uri(), "port").unwrap_or_default();
        let port = port.split(',').filter_map(|port| port.trim().parse().ok()).collect();
        let forward = PortForwardRequest { pod_sandbox_id: sandbox.id.clone(), port };
        self.manager
            .context()
            .cri
            .port_forward(forward)
            .await
            .map(|done| done.url)
            .map_err(|error| internal(&error))
    }

    /// Sends the request on to the runtime's stream server, and joins the two connections when it agrees to upgrade.
    async fn pass_through(&self, mut request: Request<Incoming>, url: &str) -> Response<Body> {
        let url = match url::Url::parse(url) {
            Ok(url) => url,
            Err(error) => return internal(&format!("the runtime gave no address: {error}")),
        };
        let address = (
            url.host_str().unwrap_or("127.0.0.1").trim_matches(['[', ']']).to_owned(),
            url.port_or_known_default().unwrap_or(80),
        );
        let tcp = match TcpStream::connect(address).await {
            Ok(tcp) => tcp,
            Err(error) => return internal(&format!("dial {url}: {error}")),
        };
        let outgoing = outgoing(&request, &url);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await;
        let (mut sender, connection) = match handshake {
            Ok(pair) => pair,
            Err(error) => return internal(&error),
        };
        let stop = self.spawner.shutdown().clone();
        self.spawner.spawn("runtime stream", async move {
            if let Some(Err(error)) = stop.or(connection.with_upgrades()).await {
                debug!(%error, "the runtime's stream");
            }
        });
        let mut answer = match sender.send_request(outgoing).await {
            Ok(answer) => answer,
            Err(error) => return internal(&error),
        };
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
fn outgoing(request: &Request<Incoming>, url: &url::Url) -> Request<Empty<bytes::Bytes>> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut outgoing = Request::new(Empty::new());
    *outgoing.method_mut() = request.method().clone();
    *outgoing.uri_mut() = target.parse().unwrap_or_default();
    for (name, value) in request.headers() {
        if name != HOST && name != http::header::AUTHORIZATION && name != http::header::CONTENT_LENGTH {
            outgoing.headers_mut().append(name, value.clone());
        }
    }
    let host =
        format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port_or_known_default().unwrap_or(80));
    if let Ok(host) = host.parse() {
        outgoing.headers_mut().insert(HOST, host);
    }
    debug_assert!(request.headers().get(UPGRADE).is_none() || request.headers().contains_key(CONNECTION));
    outgoing
}

fn internal(error: &dyn std::fmt::Display) -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}
