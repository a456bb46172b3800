//! The door: what a server, a proxy and a client call.

use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use oarlock_base::TaskSpawner;

use crate::session::{Driver, FrameSink};
use crate::{
    Body, BoxError, ByteStream, Carrier, DialError, Messages, Pending, PortForwardClient,
    PortForwardConnection, Rejection, RemoteCommandClient, RemoteCommandOptions, RemoteCommandStreams,
    TunnelError,
};

/// The kubelet's `streamingConnectionIdleTimeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
/// How long a peer may take to open the streams it asked for; upstream's default.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How a client speaks to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Spdy,
}

/// Accepts, dials and passes on streaming connections; its tasks are owned by the spawner it was made with. Cheap to
/// clone.
#[derive(Clone)]
pub struct Streaming {
    pub(crate) spawner: TaskSpawner,
    pub(crate) idle_timeout: Duration,
    pub(crate) creation_timeout: Duration,
}

impl Streaming {
    pub fn new(spawner: TaskSpawner) -> Self {
        Self { spawner, idle_timeout: IDLE_TIMEOUT, creation_timeout: CREATION_TIMEOUT }
    }

    /// Owns the connections' tasks.
    pub fn spawner(&self) -> &TaskSpawner {
        &self.spawner
    }

    /// Connections on which nothing moves for this long are closed. Default: 4 hours.
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a peer may take to open its streams. Default: 30 s.
    pub fn with_creation_timeout(mut self, timeout: Duration) -> Self {
        self.creation_timeout = timeout;
        self
    }

    /// Starts a connection's task.
    pub(crate) fn drive<F, S, R>(&self, driver: Driver<F>, sink: S, read: R)
    where
        F: Send + Sync + 'static,
        S: FrameSink<F> + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (idle, stop) = (self.idle_timeout, self.spawner.shutdown().clone());
        self.spawner.spawn("streaming", driver.run(sink, read, idle, stop));
    }

    /// Upgrades an exec or attach request (SPDY/3.1 or WebSocket, by its headers). Send the response, then await the
    /// streams (in a task of the caller's: they come only after the response has gone out).
    pub fn accept_remote_command<B>(
        &self,
        request: &mut Request<B>,
        options: RemoteCommandOptions,
    ) -> Result<(Response<Body>, Pending<RemoteCommandStreams>), Rejection> {
        crate::remote_command::accept(self.clone(), request, options)
    }

    /// Upgrades a port-forward request: SPDY/3.1, SPDY in a WebSocket, or the older WebSocket channels whose ports
    /// stand in the query (`ports` or `port`).
    pub fn accept_port_forward<B>(
        &self,
        request: &mut Request<B>,
    ) -> Result<(Response<Body>, Pending<PortForwardConnection>), Rejection> {
        crate::port_forward::accept(self.clone(), request)
    }

    /// Agrees to answer a WebSocket request by a body, such as a watch's or a log's.
    pub fn accept_body<B>(&self, request: &mut Request<B>, messages: Messages) -> Result<Carrier, Rejection> {
        crate::carried::accept(self.spawner.clone(), request, messages)
    }

    /// Passes an upgrade request on to the server behind `target` (a connected TCP, TLS or Unix stream) and relays what
    /// comes: its 101 and then bytes both ways in a task, or any other answer with its body. The caller sets the
    /// URI (path and query), Host and Authorization as the target shall see them; the other headers go as they are.
    pub async fn tunnel<B>(
        &self,
        request: Request<B>,
        target: impl ByteStream,
    ) -> Result<Response<Body>, TunnelError>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        crate::tunnel::tunnel(&self.spawner, request, target).await
    }

    /// Runs a remote command on the server behind `io`. `request` gives the URI (path and query) and headers such as
    /// Host and Authorization; method and upgrade headers are set here.
    pub async fn dial_remote_command(
        &self,
        io: impl ByteStream,
        request: Request<()>,
        options: RemoteCommandOptions,
        transport: Transport,
    ) -> Result<RemoteCommandClient, DialError> {
        crate::dial::remote_command(self, io, request, options, transport).await
    }

    /// Opens a port-forward session with the server behind `io`.
    pub async fn dial_port_forward(
        &self,
        io: impl ByteStream,
        request: Request<()>,
        transport: Transport,
    ) -> Result<PortForwardClient, DialError> {
        crate::dial::port_forward(self, io, request, transport).await
    }
}
