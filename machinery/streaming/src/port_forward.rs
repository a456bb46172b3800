//! The streams of a port-forward session.

use crate::{ByteStream, StreamingError};

/// The server's end of a session: hands out forwarded connections as the client opens them. Dropping it closes the session.
pub struct PortForwardConnection {}

impl PortForwardConnection {
    /// The next connection that the client wants; `None` when the session is over. Streams handed out live on by themselves.
    pub async fn next(&mut self) -> Option<PortForwardStream> {
        todo!()
    }
}

/// One forwarded connection.
pub struct PortForwardStream {
    pub port: u16,
    pub data: Box<dyn ByteStream>,
    pub error: PortForwardError,
}

/// Where a forwarded connection's failure is told; dropping it says that all went well.
pub struct PortForwardError {}

impl PortForwardError {
    /// Tells the client why the port could not be forwarded.
    pub async fn fail(self, message: &str) {
        let _ = message;
        todo!()
    }
}

/// The client's end of a session.
pub struct PortForwardClient {}

impl PortForwardClient {
    /// Opens a connection to a port of the pod.
    pub async fn open(&self, port: u16) -> Result<(Box<dyn ByteStream>, crate::Reader), StreamingError> {
        let _ = port;
        todo!()
    }
}
