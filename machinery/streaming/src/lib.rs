//! Remote command (exec, attach, cp) and port-forward as Kubernetes speaks them, both ends.
//!
//! [`Streaming`] is the door. A server calls [`Streaming::accept_remote_command`] or
//! [`Streaming::accept_port_forward`] with an HTTP request, answers with the response it gets back, and awaits the
//! streams; a proxy calls [`Streaming::tunnel`]; a client calls [`Streaming::dial_remote_command`] or
//! [`Streaming::dial_port_forward`]. [`Streaming::accept_body`] answers by any body as WebSocket messages.
//!
//! Two transports carry the same streams: SPDY/3.1  and WebSocket channels, and for
//! port-forward SPDY inside a WebSocket. Each connection is one task that reads and writes frames; streams meet it
//! over bounded queues, so a peer that stops reading stalls its own connection and nothing else.

mod carried;
mod dial;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod options;
mod port_forward;
mod remote_command;
mod resize;
mod session;
mod spdy;
mod status;
mod streaming;
mod tunnel;
mod websocket;

pub use carried::{Carrier, Messages, asks_for_websocket};
pub use error::{DialError, Rejection, StreamingError, TunnelError};
pub use options::{RemoteCommandOptions, TerminalSize};
pub use port_forward::{PortForwardClient, PortForwardConnection, PortForwardError, PortForwardStream};
pub use remote_command::{Exit, ExitWaiter, Outcome, RemoteCommandClient, RemoteCommandStreams};
pub use streaming::{Streaming, Transport};

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use tokio::io::{AsyncRead, AsyncWrite};

/// The error of a relayed body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of the responses made here: empty, a short text, or relayed from a tunnel's target.
pub type Body = BoxBody<Bytes, BoxError>;
/// What a process reads from.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// What a process writes to. `shutdown` half-closes it.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;
/// The streams of an accepted request; ready once the response is sent and the peer has opened them.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StreamingError>> + Send>>;

/// A connection's bytes.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}
