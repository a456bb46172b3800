//! Port-forward: connections that the pod's shim makes inside the pod's network.

use std::sync::Arc;

use oarlock_cri::v1::PortForwardRequest;
use oarlock_streaming::{Pending, PortForwardConnection, PortForwardStream};
use tokio::net::TcpStream;
use tracing::debug;

use crate::runtime::{Runtime, chain};

/// Serves one session.
pub(super) async fn run_port_forward(
    runtime: Arc<Runtime>,
    ticket: PortForwardRequest,
    session: Pending<PortForwardConnection>,
) {
    let mut session = match session.await {
        Ok(session) => session,
        Err(error) => return debug!(%error, "a client did not open its session"),
    };
    let stop = runtime.tasks.shutdown().clone();
    while let Some(Some(stream)) = stop.or(session.next()).await {
        let work = forward(runtime.clone(), ticket.pod_sandbox_id.clone(), stream);
        runtime.tasks.spawn("forwarded-port", work);
    }
}

async fn forward(runtime: Arc<Runtime>, pod: String, stream: PortForwardStream) {
    let PortForwardStream { port, mut data, error } = stream;
    let connected = match runtime.dial(&pod, port).await {
        Ok(connection) => connection.set_nonblocking(true).and_then(|()| TcpStream::from_std(connection)),
        Err(failure) => Err(std::io::Error::other(chain(&failure))),
    };
    let failure = match connected {
        Ok(mut connection) => {
            let stop = runtime.tasks.shutdown().clone();
            match stop.or(tokio::io::copy_bidirectional(&mut data, &mut connection)).await {
                // Either side may close when it likes.
                Some(_) | None => return,
            }
        }
        Err(failure) => failure,
    };
    error.fail(&format!("error forwarding port {port} to pod {pod}, uid : {failure}")).await;
}
