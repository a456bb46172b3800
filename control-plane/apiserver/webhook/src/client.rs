//! One webhook's client: a pool of connections, and calls over them.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;
use oarlock_base::TaskSpawner;
use tokio::sync::Semaphore;
use url::Url;

use crate::dial::Place;
use crate::executor::Owned;
use crate::response::{self, read_body};
use crate::{
    CallError, ClientConfig, ConfigError, Connector, Credentials, DialError, Resolver, ServiceResolver,
    Target,
};

/// Idle connections that are kept to one target, and for how long (as Go's default transport, which keeps two).
const IDLE_MAX: usize = 8;
const IDLE: Duration = Duration::from_secs(90);
const PING: Duration = Duration::from_secs(30);
/// Pong or be closed.
const PONG: Duration = Duration::from_secs(15);
/// Calls of one target that are under way at one time; more wait, within their own timeouts. As many as upstream lets
/// requests in at all, so it bounds sockets and holds up nobody.
const CALLS_MAX: usize = 600;
/// Larger than any object, and than a list of them that a conversion answers with.
pub(crate) const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How a call ended, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The HTTP status code.
    Answered(u16),
    TimedOut,
    Failed,
}

/// Hears of every call.
pub trait Observer: Send + Sync {
    fn called(&self, host: &str, outcome: Outcome, took: Duration);
}

/// Calls one target. Clones of the `Arc` share its connections.
pub struct Client {
    /// Scheme and authority; no `/` at its end.
    base: String,
    host: String,
    path: String,
    query: Option<String>,
    http: legacy::Client<Connector, Full<Bytes>>,
    connector: Connector,
    credentials: Credentials,
    user_agent: HeaderValue,
    /// Of a service, its port included even where it is the default one, as upstream's clients send it.
    host_header: Option<HeaderValue>,
    calls: Semaphore,
    observer: Option<Arc<dyn Observer>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({}{})", self.base, self.path)
    }
}

impl Client {
    pub(crate) fn new(
        config: &ClientConfig,
        services: Arc<dyn ServiceResolver>,
        resolver: Resolver,
        tasks: TaskSpawner,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, ConfigError> {
        let where_to = Address::of(&config.target)?;
        let connector = Connector::new(config, where_to.place, where_to.https, services, resolver)?;
        let http = legacy::Client::builder(Owned(tasks))
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PONG)
            .build(connector.clone());
        let is_service = matches!(config.target, Target::Service { .. });
        let host_header = HeaderValue::from_str(&where_to.host).ok().filter(|_| is_service);
        Ok(Self {
            host_header,
            base: where_to.base,
            host: where_to.host,
            path: where_to.path,
            query: where_to.query,
            http,
            connector,
            credentials: config.credentials.clone(),
            user_agent: HeaderValue::from_str(&config.user_agent)
                .map_err(|_| ConfigError::Url("bad user agent".into()))?,
            calls: Semaphore::new(CALLS_MAX),
            observer,
        })
    }

    /// Opens bare connections to the same target.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Posts JSON and gives the body of a successful answer. Within `timeout`, where there is one; the server is told of it
    /// (`?timeout=10s`).
    pub async fn post(&self, body: Bytes, timeout: Option<Duration>) -> Result<Bytes, CallError> {
        let url = self.url(timeout);
        let begun = Instant::now();
        let work = self.exchange(&url, body);
        let result = match timeout {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => Err(CallError::Deadline { url }),
            },
        };
        if let Some(observer) = &self.observer {
            let outcome = match &result {
                Ok(_) => Outcome::Answered(200),
                Err(CallError::Status(status)) => Outcome::Answered(status.code),
                Err(CallError::Deadline { .. }) => Outcome::TimedOut,
                Err(_) => Outcome::Failed,
            };
            observer.called(&self.host, outcome, begun.elapsed());
        }
        result
    }

    /// Reads the target's document: key sets and discovery of token issuers.
    pub async fn get(&self, timeout: Duration) -> Result<Bytes, CallError> {
        let url = self.url(None);
        let work = async {
            let request = http::Request::get(&url)
                .header(ACCEPT, "application/json, */*")
                .header(USER_AGENT, self.user_agent.clone())
                .body(Full::default())
                .map_err(|e| failed(&url, e.to_string(), false))?;
            let answer = self.http.request(request).await.map_err(|e| transport(&url, &e))?;
            let (head, body) = answer.into_parts();
            let body = read_body(&url, body, RESPONSE_BYTES_MAX).await?;
            response::checked(head.status.as_u16(), &head.headers, body)
        };
        tokio::time::timeout(timeout, work)
            .await
            .unwrap_or_else(|_| Err(CallError::Deadline { url: url.clone() }))
    }

    fn url(&self, timeout: Option<Duration>) -> String {
        let mut url = format!("{}{}", self.base, self.path);
        let timeout = timeout.map(|limit| format!("timeout={}", seconds_text(limit)));
        let parts: Vec<&str> = self.query.as_deref().into_iter().chain(timeout.as_deref()).collect();
        if !parts.is_empty() {
            url.push('?');
            url.push_str(&parts.join("&"));
        }
        url
    }

    async fn exchange(&self, url: &str, body: Bytes) -> Result<Bytes, CallError> {
        let _turn = self.calls.acquire().await.expect("the semaphore is never closed");
        let mut request = http::Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .header(USER_AGENT, self.user_agent.clone());
        if let Some(host) = &self.host_header {
            request = request.header(HOST, host.clone());
        }
        if let Some(header) = self.authorization(url).await? {
            request = request.header(AUTHORIZATION, header);
        }
        let request = request.body(Full::new(body)).map_err(|e| failed(url, e.to_string(), false))?;
        let answer = self.http.request(request).await.map_err(|e| transport(url, &e))?;
        let (head, body) = answer.into_parts();
        let body = read_body(url, body, RESPONSE_BYTES_MAX).await?;
        response::checked(head.status.as_u16(), &head.headers, body)
    }

    async fn authorization(&self, url: &str) -> Result<Option<HeaderValue>, CallError> {
        let text = match &self.credentials {
            Credentials { token_file: Some(path), .. } => {
                let token = tokio::fs::read_to_string(path).await.map_err(|e| CallError::Token {
                    url: url.into(),
                    path: path.display().to_string(),
                    why: e.to_string(),
                })?;
                format!("Bearer {}", token.trim())
            }
            Credentials { token: Some(token), .. } => format!("Bearer {}", token.0),
            Credentials { basic: Some((user, password)), .. } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.0)))
            }
            _ => return Ok(None),
        };
        let mut header = HeaderValue::try_from(text).map_err(|_| {
            failed(url, "net/http: invalid header field value for \"Authorization\"".into(), false)
        })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

struct Address {
    place: Place,
    https: bool,
    base: String,
    host: String,
    path: String,
    query: Option<String>,
}

impl Address {
    fn of(target: &Target) -> Result<Self, ConfigError> {
        match target {
            Target::Service { namespace, name, port, path } => {
                let host = ClientConfig::service_host(namespace, name);
                Ok(Self {
                    place: Place::Service { namespace: namespace.clone(), name: name.clone(), port: *port },
                    https: true,
                    base: format!("https://{host}:{port}"),
                    host: format!("{host}:{port}"),
                    path: absolute(path),
                    query: None,
                })
            }
            Target::Url(text) => Self::of_url(text),
        }
    }

    fn of_url(text: &str) -> Result<Self, ConfigError> {
        let url = Url::parse(text).map_err(|e| ConfigError::Url(format!("parse {text:?}: {e}")))?;
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(ConfigError::Url(format!("unsupported protocol scheme {other:?}"))),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| ConfigError::Url(format!("parse {text:?}: no host")))?.to_string();
        let port = url.port_or_known_default().expect("http and https have known ports");
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        Ok(Self {
            place: Place::Host { host, port },
            https,
            base: format!("{}://{authority}", url.scheme()),
            host: authority,
            path: absolute(url.path()),
            query: url.query().map(ToString::to_string),
        })
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_string() } else { format!("/{path}") }
}

/// Go's print of a duration, rounded up to whole seconds: `10s`, `1m30s`.
fn seconds_text(limit: Duration) -> String {
    let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

fn failed(url: &str, why: String, retriable: bool) -> CallError {
    CallError::Transport { url: url.into(), why, retriable }
}

/// The innermost cause that Go has words for.
fn transport(url: &str, error: &legacy::Error) -> CallError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut last = error.to_string();
    while let Some(at) = cause {
        if let Some(dial) = at.downcast_ref::<DialError>() {
            let retriable = matches!(dial, DialError::Connect { why, .. } if why.contains("reset"));
            return failed(url, dial.to_string(), retriable);
        }
        if at.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return failed(url, "EOF".into(), true);
        }
        if let Some(io) = at.downcast_ref::<io::Error>()
            && let Some(told) = broken(io)
        {
            return failed(url, told.into(), true);
        }
        last = at.to_string();
        cause = at.source();
    }
    failed(url, last, false)
}

fn broken(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionReset => Some("read: connection reset by peer"),
        io::ErrorKind::BrokenPipe => Some("write: broken pipe"),
        io::ErrorKind::UnexpectedEof => Some("EOF"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_as_they_are_written() {
        let check = |target: Target, want: &str| {
            let address = Address::of(&target).expect("a good target");
            assert_eq!(format!("{}{}", address.base, address.path), want);
        };
        let service = |path: &str| Target::Service {
            namespace: "ns".into(),
            name: "hook".into(),
            port: 443,
            path: path.into(),
        };
        check(service("/mutate"), "https://hook.ns.svc:443/mutate");
        check(service(""), "https://hook.ns.svc:443/");
        check(Target::Url("https://a.test/x".into()), "https://a.test/x");
        check(Target::Url("https://a.test:8443".into()), "https://a.test:8443/");
        check(Target::Url("https://[::1]:8443/y".into()), "https://[::1]:8443/y");
        assert!(Address::of(&Target::Url("ftp://a".into())).is_err());
        assert!(Address::of(&Target::Url("nonsense".into())).is_err());
    }

    #[test]
    fn timeouts_are_told_in_whole_seconds() {
        assert_eq!(seconds_text(Duration::from_millis(9500)), "10s");
        assert_eq!(seconds_text(Duration::from_secs(90)), "1m30s");
    }
}
