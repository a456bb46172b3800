//! The small HTTP client of probes and hooks: one request, no redirects to other hosts, no verification of certificates.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::check::go_error;

pub(crate) struct Answer {
    pub(crate) status: u16,
}

fn is_https(http: &HTTPGetAction) -> bool {
    http.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

fn path_of(http: &HTTPGetAction) -> String {
    let path = http.path.as_deref().unwrap_or_default();
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

pub(super) fn url_of(http: &HTTPGetAction, host: &str, port: u16) -> String {
    let scheme = if is_https(http) { "https" } else { "http" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}:{port}{}", path_of(http))
}

/// Sends the request. An error reads as Go's.
pub(crate) async fn http_request(
    http: &HTTPGetAction,
    host: &str,
    port: u16,
    agent: &str,
) -> Result<Answer, String> {
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(|error| format!("dial tcp {host}:{port}: connect: {}", go_error(&error)))?;
    let request = request(http, host, port, agent)?;
    if !is_https(http) {
        return send(tcp, request).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(TRUSTING.clone());
    let tls = connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
    send(tls, request).await
}

fn request(
    http: &HTTPGetAction,
    host: &str,
    port: u16,
    agent: &str,
) -> Result<http::Request<Empty<Bytes>>, String> {
    let mut request = http::Request::get(path_of(http));
    let mut named = (false, false, false);
    for header in http.http_headers.iter().flatten() {
        named.0 |= header.name.eq_ignore_ascii_case("host");
        named.1 |= header.name.eq_ignore_ascii_case("user-agent");
        named.2 |= header.name.eq_ignore_ascii_case("accept");
        request = request.header(&header.name, &header.value);
    }
    if !named.0 {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        request = request.header("Host", format!("{host}:{port}"));
    }
    if !named.1 {
        request = request.header("User-Agent", agent);
    }
    if !named.2 {
        request = request.header("Accept", "*/*");
    }
    request.header("Connection", "close").body(Empty::new()).map_err(|error| error.to_string())
}

async fn send<S>(stream: S, request: http::Request<Empty<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        // Read a little, so that a server that is writing does not see a broken pipe.
        let _ = answer.into_body().frame().await; // whatever it says, the status has been said
        Ok(Answer { status })
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        closed = connection => match closed {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

/// Probes do not verify certificates, as upstream has it: they ask whether somebody answers, not who.
static TRUSTING: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
    let config = oarlock_pki::client_config_for_any_server(None);
    Arc::new(config.expect("the provider has the default versions, and there is no identity to be wrong"))
});
