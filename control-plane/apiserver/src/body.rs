//! The one body type of requests and responses, whatever transport carries them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use oarlock_base::TaskSpawner;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body known in full.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is made while it is sent.
pub(crate) fn stream<S>(chunks: S) -> Body
where
    S: futures::Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    use futures::TryStreamExt as _;
    BodyExt::boxed_unsync(StreamBody::new(chunks.map_ok(http_body::Frame::data)))
}

/// How much of a body that nobody wants is read all the same, as Go's server does.
const LEFTOVER_MAX: usize = 256 * 1024;

/// And for how long: a client that is slow with it must connect again.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(5);

/// The body of an HTTP/1.1 request. What is left of it when it is dropped is read to its end, if that is near: a connection
/// with half a request on it can carry no other, and its client would learn of that only by its end.
pub(crate) struct Leftover {
    body: Option<Incoming>,
    tasks: TaskSpawner,
}

impl Leftover {
    pub(crate) fn new(body: Incoming, tasks: TaskSpawner) -> Self {
        Self { body: Some(body), tasks }
    }
}

impl http_body::Body for Leftover {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        if body.size_hint().lower() > LEFTOVER_MAX as u64 {
            return;
        }
        let stop = self.tasks.shutdown().clone();
        self.tasks.spawn("leftover", async move {
            let reading = async {
                let mut left = LEFTOVER_MAX;
                while let Some(Ok(frame)) = body.frame().await {
                    match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                        Some(less) => left = less,
                        None => return,
                    }
                }
            };
            // Whichever ends it, a body that is not read to its end ends the connection.
            let _ = stop.or(tokio::time::timeout(LEFTOVER_PATIENCE, reading)).await;
        });
    }
}

/// Any transport's body as ours.
pub(crate) fn wrap<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}
