//! The policy and its sinks put together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use oarlock_base::Tasks;

use crate::event::{Event, ObjectRef, UserInfo};
use crate::file::{self, Target};
use crate::metrics::Metrics;
use crate::policy::{Level, Policy, Stage, Subject};
use crate::record::Record;
use crate::rotate::Rotation;
use crate::sink::{Format, Sink, SinkOptions};
use crate::source;
use crate::webhook::{Backend, Sender};

/// `--audit-log-*`
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// `-` is standard output.
    pub path: String,
    pub rotation: Rotation,
    pub format: Format,
    pub sink: SinkOptions,
}

/// `--audit-webhook-*`
pub struct WebhookOptions {
    /// A webhook's `Client`, of the kubeconfig file.
    pub sender: Arc<dyn Sender>,
    pub initial_backoff: Duration,
    pub sink: SinkOptions,
}

/// A policy and where to tell what it says.
pub struct Options {
    pub policy: Policy,
    pub log: Option<LogOptions>,
    pub webhook: Option<WebhookOptions>,
}

/// Audit, where there is a policy.
pub struct Audit {
    policy: Policy,
    pub(crate) sinks: Vec<Arc<Sink>>,
    pub(crate) metrics: Metrics,
}

/// What is known of a request when it has been authenticated, or could not be.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub subject: Subject<'a>,
    pub version: &'a str,
    /// Path and query as they were sent.
    pub uri: &'a str,
    pub headers: &'a HeaderMap,
    /// Where the connection comes from; none for a component of this process.
    pub remote: Option<IpAddr>,
    pub received: Timestamp,
    /// It is told when its answer begins, too.
    pub long_running: bool,
}

impl Audit {
    /// Opens the log, and starts the backends among `tasks`.
    pub fn start(options: Options, tasks: &mut Tasks) -> std::io::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let mut sinks = Vec::new();
        if let Some(log) = options.log {
            let target = Target::open(&log.path, log.rotation)?;
            let (sink, items) = Sink::new("log", log.format, &log.sink, metrics.clone());
            sinks.push(sink);
            let counters = metrics.clone();
            tasks.spawn("audit-log", move |stop| file::run(target, items, counters, stop));
        }
        if let Some(webhook) = options.webhook {
            let (sink, items) = Sink::new("webhook", Format::Json, &webhook.sink, metrics.clone());
            sinks.push(sink);
            let backend = Arc::new(Backend {
                sender: webhook.sender,
                initial_backoff: webhook.initial_backoff,
                options: webhook.sink,
                metrics: metrics.clone(),
                tasks: tasks.spawner(),
            });
            tasks.spawn("audit-webhook", move |stop| backend.run(items, stop));
        }
        Ok(Arc::new(Self { policy: options.policy, sinks, metrics }))
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The record of a request; `None` where the policy says that nothing is told of it, which costs no allocation.
    pub fn begin(self: &Arc<Self>, request: &Request<'_>) -> Option<Arc<Record>> {
        let verdict = self.policy.evaluate(&request.subject);
        self.metrics.level(verdict.level);
        if verdict.level == Level::None || self.sinks.is_empty() {
            return None;
        }
        Some(Arc::new(Record::new(
            self.clone(),
            verdict,
            event(request, verdict.level),
            request.long_running,
        )))
    }
}

fn event(request: &Request<'_>, level: Level) -> Event {
    let subject = &request.subject;
    let object_ref = subject.resource_request.then(|| ObjectRef {
        resource: subject.resource.into(),
        namespace: subject.namespace.into(),
        name: subject.name.into(),
        api_group: subject.group.into(),
        api_version: request.version.into(),
        subresource: subject.subresource.into(),
        ..ObjectRef::default()
    });
    Event {
        kind: "Event",
        api_version: "audit.k8s.io/v1",
        level,
        audit_id: source::audit_id(request.headers).into(),
        stage: Stage::RequestReceived,
        request_uri: request.uri.into(),
        verb: subject.verb.into(),
        user: subject.user.map(UserInfo::from).unwrap_or_default(),
        impersonated_user: None,
        authentication_metadata: None,
        source_ips: source::addresses(request.headers, request.remote),
        user_agent: source::agent(request.headers),
        object_ref,
        response_status: None,
        request_object: None,
        response_object: None,
        request_received_timestamp: request.received,
        stage_timestamp: request.received,
        annotations: std::collections::BTreeMap::new(),
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
