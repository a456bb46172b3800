//! The audit of a request, around the chain: begun when the user is known, concluded when the answer is.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Response, Uri};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use oarlock_api::Status;
use oarlock_apiserver_access::User;
use oarlock_apiserver_audit::{
    Audit, Format, LogOptions, Options, Policy, Record, Request as Begun, Rotation, Subject, WebhookOptions,
};
use oarlock_apiserver_webhook::{Clients, from_kubeconfig};
use oarlock_base::Tasks;

use crate::body::{Body, full};
use crate::chain::{AUDIT_ID, Peer};
use crate::config::{self, Error};
use crate::request_info::RequestInfo;
use crate::server::Server;

/// The audit as it is configured; none costs nothing.
pub(crate) fn start(
    configured: Option<&config::Audit>,
    clients: &Clients,
    registry: &prometheus::Registry,
    tasks: &mut Tasks,
) -> Result<Option<Arc<Audit>>, Error> {
    let Some(configured) = configured else { return Ok(None) };
    let failed = |error: &dyn std::fmt::Display| Error::Audit(error.to_string());
    let policy = Policy::load(&configured.policy_file).map_err(|error| failed(&error))?;
    let log = configured.log.as_ref().map(log_options);
    let webhook = match &configured.webhook {
        None => None,
        Some(webhook) => {
            let kubeconfig = from_kubeconfig(&webhook.config_file).map_err(|error| failed(&error))?;
            let sender = clients.client(&kubeconfig).map_err(|error| failed(&error))?;
            let (initial_backoff, sink) = (webhook.initial_backoff, webhook.sink);
            Some(WebhookOptions { sender, initial_backoff, sink })
        }
    };
    let audit = Audit::start(Options { policy, log, webhook }, tasks).map_err(|error| failed(&error))?;
    for collector in audit.metrics().collectors() {
        registry.register(collector)?;
    }
    Ok(Some(audit))
}

fn log_options(log: &config::AuditLog) -> LogOptions {
    LogOptions {
        path: log.path.clone(),
        rotation: Rotation {
            max_size: log.max_size_mib,
            max_age: log.max_age_days,
            max_backups: log.max_backups,
            compress: log.compress,
        },
        format: if log.legacy { Format::Legacy } else { Format::Json },
        sink: log.sink,
    }
}

/// Begins the record of a request, if the policy wants one; gives the user on, or the refusal.
pub(crate) async fn begin(
    server: &Server,
    peer: &Peer,
    info: &RequestInfo,
    (uri, headers): (&Uri, &HeaderMap),
    user: Result<Arc<User>, Status>,
    record: &mut Option<Arc<Record>>,
) -> Result<Arc<User>, Status> {
    let Some(audit) = &server.audit else { return user };
    let subject = Subject {
        user: user.as_ref().ok().map(|user| &**user),
        verb: &info.verb,
        resource_request: info.is_resource,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        path: &info.path,
    };
    let uri = uri.path_and_query().map_or("/", |uri| uri.as_str());
    *record = audit.begin(&Begun {
        subject,
        version: &info.version,
        uri,
        headers,
        remote: peer.remote,
        received: Timestamp::now(),
        long_running: info.is_long_running(),
    });
    let Some(record) = record else { return user };
    match user {
        Ok(user) => {
            let stored = record.request_received().await;
            stored.map_err(|_| Status::internal("failed to store audit event"))?;
            Ok(user)
        }
        Err(status) => {
            record.authentication_failed(&attempted(peer, headers), 401).await;
            Err(status)
        }
    }
}

/// What a client that was not believed had tried.
fn attempted(peer: &Peer, headers: &HeaderMap) -> String {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scheme = header.split(' ').next().unwrap_or_default().to_ascii_lowercase();
    let mut methods: Vec<&str> = Vec::new();
    if !peer.certificates.is_empty() {
        methods.push("x509");
    }
    methods.extend(["basic", "bearer"].iter().filter(|known| **known == scheme));
    if methods.is_empty() {
        return "Authentication failed, no credentials provided".into();
    }
    format!("Authentication failed, attempted: {}", methods.join(", "))
}

/// Writes down how a request was answered. What lasts is complete when its body ends.
pub(crate) async fn conclude(
    record: &Arc<Record>,
    info: &RequestInfo,
    mut response: Response<Body>,
) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(record.id()) {
        response.headers_mut().insert(AUDIT_ID, id);
    }
    let code = response.status().as_u16();
    if info.is_long_running() && response.status().is_success() {
        record.response_started(code).await;
        let kept = record.clone();
        return response.map(|body| {
            body.map_frame(move |frame| {
                // The record lives as long as the body, and ends with it.
                let _ = &kept;
                frame
            })
            .boxed_unsync()
        });
    }
    if record.wants_response() || !response.status().is_success() {
        response = with_body(record, response).await;
    }
    record.response_complete(code).await;
    response
}

/// Reads the answer's object; the answer goes on whole.
async fn with_body(record: &Record, response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(collected) => {
            let bytes = collected.to_bytes();
            record.response_json(&bytes);
            Response::from_parts(parts, full(bytes))
        }
        Err(error) => {
            tracing::debug!(%error, "an answer broke before the audit saw it");
            Response::from_parts(parts, full(bytes::Bytes::new()))
        }
    }
}
