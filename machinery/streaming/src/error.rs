//! What can go wrong, and how a refused request is answered.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};

use crate::Body;

/// Why a request was not upgraded. [`into_response`](Self::into_response) is the answer for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("you must specify at least 1 of stdin, stdout, stderr")]
    NoStreams,
    #[error("unable to upgrade: missing upgrade headers in request")]
    NotUpgrade,
    #[error("unable to upgrade: {reason}")]
    BadHandshake { reason: String },
    #[error(
        "unable to upgrade: unable to negotiate protocol: client supports [{client}], server accepts [{server}]"
    )]
    NoCommonProtocol { client: String, server: String },
    #[error("{reason}")]
    BadPorts { reason: String },
}

impl Rejection {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoCommonProtocol { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// A plain text answer.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(text_body(self.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Self::NoCommonProtocol { server, .. } = &self {
            for protocol in server.split(' ') {
                if let Ok(value) = HeaderValue::from_str(protocol) {
                    headers.append(crate::handshake::ACCEPTED_PROTOCOLS, value);
                }
            }
        }
        response
    }
}

/// Why an accepted or dialled connection gave no streams, or lost them.
#[derive(Debug, thiserror::Error)]
pub enum StreamingError {
    #[error("the connection was not upgraded")]
    Upgrade {
        #[source]
        source: hyper::Error,
    },
    #[error("timed out waiting for client to create streams")]
    CreationTimeout,
    #[error("the peer broke the protocol: {reason}")]
    Protocol { reason: String },
    #[error("the connection ended")]
    Disconnected,
}

/// Why a server could not be reached for streaming.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("send the upgrade request")]
    Http {
        #[source]
        source: hyper::Error,
    },
    #[error("the request cannot be sent: {reason}")]
    Request { reason: String },
    /// The server answered without upgrading; a caller may try the other transport.
    #[error("unable to upgrade connection: {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("the server's handshake is wrong: {reason}")]
    Handshake { reason: String },
    #[error("open the streams")]
    Streams {
        #[source]
        source: StreamingError,
    },
}

/// Why a request could not be passed on.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    #[error("pass the upgrade request on")]
    Http {
        #[source]
        source: hyper::Error,
    },
}

impl From<StreamingError> for io::Error {
    fn from(error: StreamingError) -> Self {
        io::Error::other(error)
    }
}

pub(crate) fn text_body(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}
