//! Passing an upgrade request on: headers forward, the answer back, then bytes both ways.

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use oarlock_base::TaskSpawner;

use crate::handshake::empty_body;
use crate::{Body, BoxError, ByteStream, TunnelError};

pub(crate) async fn tunnel<B>(
    spawner: &TaskSpawner,
    mut request: Request<B>,
    target: impl ByteStream,
) -> Result<Response<Body>, TunnelError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let ours = hyper::upgrade::on(&mut request);
    *request.uri_mut() = origin_form(request.uri());
    *request.version_mut() = http::Version::HTTP_11;
    let request = request.map(|body| Box::pin(body));
    let response = send(spawner, request, target).await.map_err(|source| TunnelError::Http { source })?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response.map(|body| body.map_err(BoxError::from).boxed()));
    }
    let (mut parts, body) = response.into_parts();
    let theirs = hyper::upgrade::on(Response::from_parts(parts.clone(), body));
    parts.extensions.clear();
    let stop = spawner.shutdown().clone();
    spawner.spawn("tunnel", async move {
        stop.or(relay(ours, theirs)).await;
    });
    Ok(Response::from_parts(parts, empty_body()))
}

/// Sends one request over a connection of its own.
pub(crate) async fn send<B>(
    spawner: &TaskSpawner,
    request: Request<B>,
    target: impl ByteStream,
) -> Result<Response<hyper::body::Incoming>, hyper::Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static + Unpin,
    B::Error: Into<BoxError>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(target)).await?;
    let stop = spawner.shutdown().clone();
    spawner.spawn("upgrade-connection", async move {
        if let Some(Err(error)) = stop.or(connection.with_upgrades()).await {
            tracing::debug!(%error, "connection to a streaming server failed");
        }
    });
    sender.send_request(request).await
}

/// A server is asked by path; an absolute URI is for proxies.
fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.map(Uri::from).unwrap_or_else(|| Uri::from_static("/"))
}

async fn relay(ours: OnUpgrade, theirs: OnUpgrade) {
    let relayed = async {
        let (ours, theirs) = futures::future::try_join(ours, theirs).await.map_err(std::io::Error::other)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await
    };
    if let Err(error) = relayed.await {
        tracing::debug!(%error, "tunnel ended");
    }
}
