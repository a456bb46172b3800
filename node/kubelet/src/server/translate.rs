//! For runtimes that do not speak the client's protocol (containerd 1.6 knows no v5 and no tunnel): the client's WebSocket ends
//! here, the runtime is spoken to over SPDY, which every runtime speaks, and the streams are joined one by one.

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use oarlock_base::TaskSpawner;
use oarlock_streaming::{
    DialError, Exit, PortForwardClient, PortForwardStream, Reader, RemoteCommandClient, RemoteCommandOptions,
    RemoteCommandStreams, Streaming, Transport, Writer,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::debug;

use super::stream::{Target, internal};
use super::{Body, text};

/// What stands before a message in a Status already; it is put there again on the way out.
const INTERNAL: &str = "Internal error occurred: ";
/// The most that is read of why a port could not be forwarded.
const FAILURE_BYTES_MAX: u64 = 64 * 1024;

/// Runs a command (exec, attach) on the runtime for a client.
pub(super) async fn remote_command(
    streaming: &Streaming,
    mut request: Request<Incoming>,
    options: RemoteCommandOptions,
    target: &Target,
) -> Response<Body> {
    // First whether the client can be served: dialing starts the command.
    let accepted = streaming.accept_remote_command(&mut request, options.clone());
    let (response, streams) = match accepted {
        Ok(accepted) => accepted,
        Err(rejection) => return refusal(rejection.status(), rejection.to_string()),
    };
    let tcp = match target.connect().await {
        Ok(tcp) => tcp,
        Err(error) => return internal(&error),
    };
    let dialed = streaming.dial_remote_command(tcp, target.request(), options, Transport::Spdy).await;
    let runtime = match dialed {
        Ok(runtime) => runtime,
        Err(error) => return dial_failed(&error),
    };
    let stop = streaming.spawner().shutdown().clone();
    streaming.spawner().spawn("translated command", async move {
        let relay = async {
            match streams.await {
                Ok(client) => relay_command(client, runtime).await,
                Err(error) => debug!(%error, "the client left before its command"),
            }
        };
        stop.or(relay).await;
    });
    switching(&response)
}

async fn relay_command(client: RemoteCommandStreams, runtime: RemoteCommandClient) {
    let RemoteCommandStreams { stdin, stdout, stderr, resize, outcome, hangup } = client;
    let terminal = async {
        if let (Some(mut from), Some(to)) = (resize, runtime.resize) {
            while let Some(size) = from.recv().await {
                if to.send(size).await.is_err() {
                    break;
                }
            }
        }
    };
    // The end of the input and the last size end nothing: the command does.
    let inward = async {
        tokio::join!(pipe(stdin, runtime.stdin), terminal);
        std::future::pending::<()>().await;
    };
    let outward = async {
        let exit = runtime.exit.wait();
        let ((), (), exit) = tokio::join!(pipe(runtime.stdout, stdout), pipe(runtime.stderr, stderr), exit);
        exit
    };
    let exit = tokio::select! {
        exit = outward => exit,
        () = inward => return,
        () = hangup.cancelled() => return,
    };
    let exit = match exit {
        Ok(Exit::Error(message)) => {
            Exit::Error(message.strip_prefix(INTERNAL).unwrap_or(&message).to_owned())
        }
        Ok(exit) => exit,
        Err(error) => Exit::Error(error.to_string()),
    };
    if let Err(error) = outcome.finish(exit).await {
        debug!(%error, "the client left before its command ended");
    }
}

/// Copies to the end and half-closes. Whoever stops reading has decided so, and the other side is read to its end.
async fn pipe(from: Option<Reader>, to: Option<Writer>) {
    let (Some(mut from), Some(mut to)) = (from, to) else { return };
    if tokio::io::copy(&mut from, &mut to).await.is_ok() {
        // Gone already is closed, too.
        let _ = to.shutdown().await;
    } else {
        // Drained, so that the connection that it shares does not stall.
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
}

/// Forwards ports through the runtime for a client.
pub(super) async fn port_forward(
    streaming: &Streaming,
    mut request: Request<Incoming>,
    target: &Target,
) -> Response<Body> {
    let (response, connection) = match streaming.accept_port_forward(&mut request) {
        Ok(accepted) => accepted,
        Err(rejection) => return refusal(rejection.status(), rejection.to_string()),
    };
    let tcp = match target.connect().await {
        Ok(tcp) => tcp,
        Err(error) => return internal(&error),
    };
    let runtime = match streaming.dial_port_forward(tcp, target.request(), Transport::Spdy).await {
        Ok(runtime) => std::sync::Arc::new(runtime),
        Err(error) => return dial_failed(&error),
    };
    let spawner = streaming.spawner().clone();
    let (stop, parent) = (spawner.shutdown().clone(), spawner.clone());
    spawner.spawn("translated ports", async move {
        let relay = async {
            let Ok(mut connection) = connection.await else { return };
            while let Some(stream) = connection.next().await {
                relay_port(&parent, runtime.clone(), stream);
            }
        };
        stop.or(relay).await;
    });
    switching(&response)
}

fn relay_port(spawner: &TaskSpawner, runtime: std::sync::Arc<PortForwardClient>, stream: PortForwardStream) {
    let stop = spawner.shutdown().clone();
    spawner.spawn("translated port", async move {
        let relay = async {
            let PortForwardStream { port, data: mut near, error: told } = stream;
            let (mut far, failure) = match runtime.open(port).await {
                Ok(opened) => opened,
                Err(error) => return told.fail(&error.to_string()).await,
            };
            let mut why = String::new();
            let mut failure = failure.take(FAILURE_BYTES_MAX);
            // A failure ends the connection; without one the streams end by themselves.
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                read = failure.read_to_string(&mut why) => {
                    if read.is_ok() && why.is_empty() {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                }
            }
            if !why.is_empty() {
                told.fail(&why).await;
            }
        };
        stop.or(relay).await;
    });
}

fn switching<B>(agreed: &Response<B>) -> Response<Body> {
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    *response.headers_mut() = agreed.headers().clone();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

fn refusal(status: StatusCode, why: String) -> Response<Body> {
    text(status, why)
}

fn dial_failed(error: &DialError) -> Response<Body> {
    match error {
        DialError::Refused { status, message } => text(*status, message.clone()),
        error => internal(error),
    }
}
