//! Events about objects, written as core/v1 Events in the background.
//!
//! [`EventRecorder::event`] puts a report into a bounded queue and returns; one task per recorder correlates the
//! reports ([`correlate`]) and writes them. When the queue is full the report is dropped: an event is a courtesy, and
//! its reporter has work to do.

mod correlate;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use oarlock_base::{Backoff, TaskSpawner};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::helpers::{is_already_exists, is_not_found};
use correlate::{Correlator, Report, Write};

/// Upstream's broadcaster queues 1000; a report is some hundred bytes.
const QUEUE_MAX: usize = 1000;

/// Tries of one write when the server cannot be reached.
const TRIES: u32 = 6;
const RETRY: Backoff =
    Backoff::doubling(Duration::from_millis(200), Duration::from_secs(10)).with_jitter(0.5);

/// Whether an event tells of the normal course of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Reports events on behalf of one component. Cheap to clone.
#[derive(Clone)]
pub struct EventRecorder {
    reports: mpsc::Sender<Report>,
    component: Arc<str>,
}

impl EventRecorder {
    /// A recorder whose task is owned by `spawner`. `component` becomes `source.component` and `reportingComponent`;
    /// `host` (empty for none) `source.host` and `reportingInstance`.
    pub fn new(client: Client, component: &str, host: &str, spawner: &TaskSpawner) -> Self {
        let (reports, inbox) = mpsc::channel(QUEUE_MAX);
        let writer = Writer { client, component: component.into(), host: host.into() };
        let stop = spawner.shutdown().clone();
        spawner.spawn("events", async move {
            stop.or(writer.run(inbox)).await;
        });
        Self { reports, component: component.into() }
    }

    /// Reports an event about an object. Never waits.
    pub fn event(&self, about: &ObjectReference, kind: EventType, reason: &str, message: impl Into<String>) {
        let report = Report {
            about: about.clone(),
            kind: kind.as_str(),
            reason: reason.into(),
            message: message.into(),
            at: Timestamp::now(),
        };
        if let Err(error) = self.reports.try_send(report) {
            debug!(component = %self.component, reason, error = %error, "event dropped");
        }
    }
}

struct Writer {
    client: Client,
    component: String,
    host: String,
}

impl Writer {
    async fn run(self, mut inbox: mpsc::Receiver<Report>) {
        let mut correlator = Correlator::default();
        while let Some(report) = inbox.recv().await {
            let Some(write) = correlator.correlate(&report) else { continue };
            if let Some(name) = self.write_with_retry(&report, &write).await {
                correlator.written(&write.key, &name);
            }
        }
    }

    /// The name of the event object, if it could be written. An answer from the server is final; a server out of
    /// reach is tried again.
    async fn write_with_retry(&self, report: &Report, write: &Write) -> Option<String> {
        let mut retry = RETRY.start();
        loop {
            match self.write(report, write).await {
                Ok(name) => return Some(name),
                Err(error @ kube::Error::Api(_)) => {
                    debug!(component = %self.component, reason = %report.reason, error = %error, "event refused");
                    return None;
                }
                Err(error) if retry.attempts() >= TRIES => {
                    warn!(component = %self.component, reason = %report.reason, error = %error, "event lost");
                    return None;
                }
                Err(_) => tokio::time::sleep(retry.next_delay()).await,
            }
        }
    }

    async fn write(&self, report: &Report, write: &Write) -> kube::Result<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace_of(&report.about));
        if let Some(name) = &write.name {
            let patch = json!({
                "count": write.count,
                "lastTimestamp": Time(report.at),
                "message": write.message,
            });
            match api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                // It has expired; the count goes on in a new one.
                Err(error) if is_not_found(&error) => {}
                patched => return patched.map(|_| name.clone()),
            }
        }
        let event = self.event(report, write);
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &event).await {
            Err(error) if !is_already_exists(&error) => Err(error),
            _ => Ok(name),
        }
    }

    fn event(&self, report: &Report, write: &Write) -> Event {
        let about = &report.about;
        Event {
            metadata: ObjectMeta {
                name: Some(format!(
                    "{}.{:x}",
                    about.name.as_deref().unwrap_or_default(),
                    report.at.as_nanosecond()
                )),
                namespace: Some(namespace_of(about).into()),
                ..ObjectMeta::default()
            },
            involved_object: about.clone(),
            type_: Some(report.kind.into()),
            reason: Some(report.reason.clone()),
            message: Some(write.message.clone()),
            count: Some(write.count),
            first_timestamp: Some(Time(write.first)),
            last_timestamp: Some(Time(report.at)),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        }
    }
}

/// Events about cluster-scoped objects stand in `default`.
fn namespace_of(about: &ObjectReference) -> &str {
    about.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApi;
    use oarlock_base::{Shutdown, Tasks};

    #[tokio::test]
    async fn a_repeated_event_is_one_object_with_a_count() {
        let api = FakeApi::new();
        let shutdown = Shutdown::new();
        let tasks = Tasks::new("test", &shutdown);
        let recorder = EventRecorder::new(api.client(), "deployment-controller", "", &tasks.spawner());
        let about = ObjectReference {
            kind: Some("Deployment".into()),
            name: Some("web".into()),
            namespace: Some("shop".into()),
            ..Default::default()
        };
        for _ in 0..3 {
            recorder.event(&about, EventType::Normal, "ScalingReplicaSet", "Scaled up");
        }
        let event = api.until(|api| api.list("events").pop().filter(|event| event["count"] == 3)).await;
        assert_eq!(api.list("events").len(), 1);
        assert_eq!(event["metadata"]["namespace"], "shop");
        assert_eq!(event["source"]["component"], "deployment-controller");
        assert_eq!(event["reportingComponent"], "deployment-controller");
        assert_eq!(event["involvedObject"]["name"], "web");
        shutdown.trigger();
        tasks.join().await.expect("nothing failed");
    }
}
