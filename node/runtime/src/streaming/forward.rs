//! Port-forward: connections that the pod's shim makes inside the pod's network.

use std::sync::Arc;

use oarlock_cri::v1::PortForwardRequest;
use oarlock_streaming::{ByteStream, Pending, PortForwardConnection, PortForwardStream};
use tokio::io::AsyncWriteExt as _;
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
    let PortForwardStream { port, data, error } = stream;
    let connected = match runtime.dial(&pod, port).await {
        Ok(connection) => connection.set_nonblocking(true).and_then(|()| TcpStream::from_std(connection)),
        Err(failure) => Err(std::io::Error::other(chain(&failure))),
    };
    let failure = match connected {
        Ok(connection) => {
            runtime.tasks.shutdown().clone().or(relay(data, connection)).await;
            return;
        }
        Err(failure) => failure,
    };
    error.fail(&format!("error forwarding port {port} to pod {pod}, uid : {failure}")).await;
}

/// Until the pod has said all: what a client still has to say after that reaches nobody (as containerd has it). A client that
/// is done first still gets its answer. Either may break off when it likes.
async fn relay(client: Box<dyn ByteStream>, pod: TcpStream) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_pod, mut to_pod) = pod.into_split();
    let ask = async {
        if tokio::io::copy(&mut from_client, &mut to_pod).await.is_ok() {
            // The pod may be gone already.
            let _ = to_pod.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let answer = async {
        if tokio::io::copy(&mut from_pod, &mut to_client).await.is_ok() {
            // The client may be gone already.
            let _ = to_client.shutdown().await;
        }
    };
    tokio::select! {
        () = ask => {}
        () = answer => {}
    }
}
