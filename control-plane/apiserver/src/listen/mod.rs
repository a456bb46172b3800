//! The socket: TLS, HTTP/1.1 and HTTP/2, bounds, and an orderly end. Next: `chain`.

mod gather;
mod serving;
mod suites;
mod tls;
mod valve;

use gather::Gather;
pub(crate) use serving::Certificates;
pub use suites::{curve_is_known, suite_of};
use tls::HTTP2;
pub(crate) use tls::Tls;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::body::{Leftover, wrap};
use crate::chain::{Peer, handle};
use crate::server::Server;

/// A client that has not finished its handshake by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error of accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Streams that a client opens and takes back faster than they can be looked at, and streams that we must take back for
/// its faults: a client that makes more of them is cut off. (CVE-2023-44487, CVE-2025-8671)
const PENDING_RESETS_MAX: usize = 20;
const FAULTY_STREAMS_MAX: usize = 256;
/// Headers of an HTTP/2 request, unpacked.
const HEADERS_MAX: u32 = 64 * 1024;
/// What one HTTP/2 stream may have waiting to be sent: more would leave the processor's caches before it is.
const UNSENT_MAX: usize = 64 * 1024;
/// Congestion control of connections within this machine. No packet is lost there; where the machine's default is one that
/// paces (BBR), its timers would cost a tenth of all that a busy watch does. Every kernel has this one.
const UNPACED: &str = "reno";
/// How long clients may take to hear that a stopping server has nothing more to say.
const FAREWELL: Duration = Duration::from_secs(5);
/// HTTP/2 pings find dead peers, as upstream's `--http2` health checks.
const PING_PERIOD: Duration = Duration::from_secs(30);

/// Accepts connections for ever.
pub(crate) async fn accept(server: &Arc<Server>, listener: &TcpListener, tls: &Arc<Tls>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let (server, tls) = (server.clone(), tls.clone());
                let tasks = server.tasks.clone();
                let connections = server.connections.clone();
                let served = async move { connection(&server, &tls, stream, from.ip()).await };
                tasks.spawn("connection", connections.track_future(served));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(server: &Arc<Server>, tls: &Tls, stream: TcpStream, from: IpAddr) {
    // A socket that refuses is only slower.
    let _ = stream.set_nodelay(true);
    if stream.local_addr().is_ok_and(|own| own.ip() == from) {
        let _ =
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::TcpCongestion, &UNPACED.into());
    }
    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
    let (stream, certificates) = match accepted {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let peer = Peer { identity: None, certificates, remote: Some(from) };
    let leave = Notify::new();
    let chance = server.goaway_chance;
    let service = service_fn(|request: Request<Incoming>| {
        if chance > 0.0 && request.version() == http::Version::HTTP_2 && rand::random::<f64>() < chance {
            leave.notify_one();
        }
        let request = match request.version() {
            // A stream of HTTP/2 ends alone.
            http::Version::HTTP_2 => request.map(wrap),
            _ => request.map(|body| wrap(Leftover::new(body, server.tasks.clone()))),
        };
        let answer = handle(server.clone(), peer.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(Spawn(server.clone()));
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(tls.streams_max())
        .max_send_buf_size(UNSENT_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(FAULTY_STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX)
        .keep_alive_interval(Some(PING_PERIOD));
    if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
        let serving = builder.serve_connection(TokioIo::new(Gather::new(stream)), service);
        serve(server, serving, &leave, |serving| serving.graceful_shutdown()).await;
    } else {
        let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        serve(server, serving, &leave, |serving| serving.graceful_shutdown()).await;
    }
}

/// Serves a connection to its end, or to the server's. When it is told to leave, its client makes another one for what
/// it asks next, and what is under way goes on, watches too.
async fn serve<C, E>(server: &Server, serving: C, leave: &Notify, shut_down: impl Fn(Pin<&mut C>))
where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut serving = std::pin::pin!(serving);
    let mut left = false;
    let ended = loop {
        tokio::select! {
            ended = serving.as_mut() => break ended,
            () = leave.notified(), if !left => {
                left = true;
                shut_down(serving.as_mut());
            }
            () = server.draining.wait() => {
                shut_down(serving.as_mut());
                // Until it has ended by itself, or nobody waits for it any more.
                match server.tasks.shutdown().or(serving.as_mut()).await {
                    Some(ended) => break ended,
                    None => return,
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Waits until no connection is served any more: requests have the time that they always have, and then watches a moment
/// to be told their end. Whatever goes on after that is cut off.
pub(crate) async fn farewell(server: &Server) {
    drain(server).await;
    server.connections.close();
    let patience = server.manners.watch_grace + FAREWELL;
    if tokio::time::timeout(patience, server.connections.wait()).await.is_err() {
        tracing::warn!("connections are still open; they are cut off");
    }
}

/// Waits until no short request is under way, but not for longer than one may take.
pub(crate) async fn drain(server: &Server) {
    if tokio::time::timeout(server.request_timeout, server.in_flight.idle()).await.is_err() {
        tracing::warn!("requests are still under way; they are cut off");
    }
}

/// Streams of HTTP/2 connections are tasks of the server, and waited for with their connection.
#[derive(Clone)]
struct Spawn(Arc<Server>);

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.tasks.spawn("http2-stream", self.0.connections.track_future(future));
    }
}
