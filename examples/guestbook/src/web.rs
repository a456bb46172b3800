//! The page, and the way from it to the API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::dns;
use crate::page;
use crate::serve::{Answer, Asked, Site, answer, text};

/// A hundred of the longest entries fit.
const ENTRIES_BYTES_MAX: usize = 512 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Web {
    host: String,
    port: u16,
    title: String,
    greeting_file: PathBuf,
}

impl Web {
    pub(crate) fn new(api: &str, title: String, greeting_file: PathBuf) -> Result<Self> {
        let uri: Uri = api.parse().with_context(|| format!("the API's address {api}"))?;
        let host = uri.host().with_context(|| format!("{api} names no host"))?.to_string();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), title, greeting_file })
    }

    async fn page(&self) -> Answer {
        let greeting = tokio::fs::read_to_string(&self.greeting_file).await.unwrap_or_default();
        answer(StatusCode::OK, "text/html; charset=utf-8", page::render(&self.title, greeting.trim()))
    }

    async fn pass_on(&self, asked: Asked) -> Answer {
        match tokio::time::timeout(PATIENCE, self.exchange(asked)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => text(StatusCode::BAD_GATEWAY, format!("{}: {e:#}", self.host)),
            Err(_) => text(StatusCode::GATEWAY_TIMEOUT, format!("{} does not answer", self.host)),
        }
    }

    async fn exchange(&self, asked: Asked) -> Result<Answer> {
        let address = dns::resolve(&self.host).await?;
        let stream = TcpStream::connect((address, self.port)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(asked.method)
            .uri(asked.path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(asked.body))?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ENTRIES_BYTES_MAX).collect().await;
            let body = body.map_err(|e| anyhow::anyhow!("read the answer: {e}"))?.to_bytes();
            let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            Ok(answer(head.status, kind.unwrap_or("text/plain"), body))
        };
        let drive = async {
            // Its end shows in the exchange, which then fails by itself.
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = exchange => answer,
            never = drive => never,
        }
    }
}

impl Site for Web {
    async fn answer(&self, asked: Asked) -> Answer {
        match (asked.path.as_str(), &asked.method) {
            ("/healthz", _) => text(StatusCode::OK, "ok"),
            ("/", &Method::GET | &Method::HEAD) => self.page().await,
            ("/entries", _) => self.pass_on(asked).await,
            _ => text(StatusCode::NOT_FOUND, "not found"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_named_by_host_and_port() {
        for (api, want) in [
            ("http://guestbook-api", Some(("guestbook-api", 80))),
            ("http://a:81", Some(("a", 81))),
            ("/x", None),
        ] {
            let got = Web::new(api, String::new(), PathBuf::new()).ok();
            assert_eq!(got.as_ref().map(|web| (web.host.as_str(), web.port)), want, "{api}");
        }
    }
}
