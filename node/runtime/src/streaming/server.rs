//! The HTTP server for streams: one request per connection, named by its token.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use oarlock_base::Shutdown;
use oarlock_streaming::{Body, Rejection, RemoteCommandOptions, Streaming};
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use super::Ticket;
use super::command::{run_attach, run_exec};
use super::forward::run_port_forward;
use crate::runtime::Runtime;

/// Serves the streams until `stop`.
pub(crate) async fn serve(runtime: Arc<Runtime>, listener: TcpListener, stop: Shutdown) -> io::Result<()> {
    let door = Streaming::new(runtime.tasks.clone());
    while let Some(accepted) = stop.or(listener.accept()).await {
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "a client left before its connection was accepted");
                continue;
            }
        };
        let work = connection(runtime.clone(), door.clone(), stream, stop.clone());
        runtime.tasks.spawn("stream-connection", work);
    }
    Ok(())
}

async fn connection(runtime: Arc<Runtime>, door: Streaming, stream: TcpStream, stop: Shutdown) {
    let service = hyper::service::service_fn(|request| {
        let answer = answer(&runtime, &door, request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Some(Err(error)) = stop.or(connection).await {
        debug!(%error, "a streaming connection ended badly");
    }
}

fn answer(runtime: &Arc<Runtime>, door: &Streaming, mut request: Request<Incoming>) -> Response<Body> {
    let token = request.uri().path().rsplit('/').next().unwrap_or_default();
    let Some(ticket) = runtime.streaming.redeem(token) else { return not_found() };
    let outcome = match ticket {
        Ticket::Exec(ticket) => {
            let options = RemoteCommandOptions {
                stdin: ticket.stdin,
                stdout: ticket.stdout,
                stderr: ticket.stderr,
                tty: ticket.tty,
            };
            door.accept_remote_command(&mut request, options).map(|(response, streams)| {
                runtime.tasks.spawn("exec", run_exec(runtime.clone(), ticket, streams));
                response
            })
        }
        Ticket::Attach(ticket) => {
            let options = RemoteCommandOptions {
                stdin: ticket.stdin,
                stdout: ticket.stdout,
                stderr: ticket.stderr,
                tty: ticket.tty,
            };
            door.accept_remote_command(&mut request, options).map(|(response, streams)| {
                runtime.tasks.spawn("attach", run_attach(runtime.clone(), ticket, streams));
                response
            })
        }
        Ticket::PortForward(ticket) => door.accept_port_forward(&mut request).map(|(response, session)| {
            runtime.tasks.spawn("port-forward", run_port_forward(runtime.clone(), ticket, session));
            response
        }),
    };
    outcome.unwrap_or_else(Rejection::into_response)
}

fn not_found() -> Response<Body> {
    let body = Full::from("404 page not found\n").map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
