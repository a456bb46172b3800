//! HTTP/2 connections to one server, taken in turns.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::rt::Executor;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use oarlock_base::TaskSpawner;

use super::plan::Wanted;
use crate::tls::Target;

pub(super) struct Wire {
    senders: Vec<SendRequest<Full<Bytes>>>,
    target: Target,
}

/// hyper's tasks belong to the load's own.
#[derive(Clone)]
struct Owned(TaskSpawner);

impl<F> Executor<F> for Owned
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        self.0.spawn("stream", async move {
            work.await;
        });
    }
}

impl Wire {
    pub(super) async fn connect(target: &Target, connections: u16, tasks: &TaskSpawner) -> Result<Self> {
        let mut senders = Vec::new();
        for _ in 0..connections {
            let stream = target.connect().await.with_context(|| format!("connect to {}", target.address))?;
            let mut builder = Builder::new(Owned(tasks.clone()));
            builder.timer(TokioTimer::new()).initial_stream_window_size(1 << 20);
            builder.initial_connection_window_size(1 << 24);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
            let stop = tasks.shutdown().clone();
            tasks.spawn("connection", async move {
                // A broken connection shows in its requests.
                let _ = stop.or(connection).await;
            });
            senders.push(sender);
        }
        Ok(Self { senders, target: target.clone() })
    }

    /// The head of the answer, its body still on its way.
    pub(super) async fn open(&self, at: usize, wanted: Wanted) -> Result<Response<Incoming>> {
        let uri = format!("https://{}{}", self.target.address, wanted.path);
        let mut request = Request::builder().method(wanted.method).uri(uri).header(CONTENT_TYPE, wanted.kind);
        if let Some(token) = &self.target.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut sender = self.senders[at % self.senders.len()].clone();
        sender.ready().await?;
        Ok(sender.send_request(request.body(Full::new(wanted.body))?).await?)
    }

    /// A whole exchange; an answer other than success is a failure with the server's words.
    pub(super) async fn exchange(&self, at: usize, wanted: Wanted) -> Result<usize> {
        let what = format!("{} {}", wanted.method, wanted.path);
        let answer = self.open(at, wanted).await.with_context(|| what.clone())?;
        let status = answer.status();
        let mut body = answer.into_body();
        let (mut length, mut words) = (0, Vec::new());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                length += data.len();
                if !status.is_success() && words.len() < 1000 {
                    words.extend_from_slice(&data);
                }
            }
        }
        anyhow::ensure!(status.is_success(), "{what}: {status}: {}", String::from_utf8_lossy(&words));
        Ok(length)
    }
}
