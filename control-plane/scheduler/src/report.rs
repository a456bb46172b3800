//! What users see: events about pods, and the `PodScheduled` condition.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use oarlock_client::{EventRecorder, EventType, is_not_found};
use serde_json::{Value, json};
use tracing::debug;

use crate::model::PodInfo;

/// The longest note of an event.
const NOTE_MAX: usize = 1024;

/// Why a pod was not scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Unschedulable,
    Gated,
    Error,
}

impl Why {
    fn reason(self) -> &'static str {
        match self {
            Self::Unschedulable => "Unschedulable",
            Self::Gated => "SchedulingGated",
            Self::Error => "SchedulerError",
        }
    }
}

#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) client: Client,
    /// By scheduler name, which the events bear.
    pub(crate) recorders: Arc<HashMap<Arc<str>, EventRecorder>>,
}

impl Reporter {
    fn event(&self, pod: &PodInfo, kind: EventType, reason: &str, message: &str) {
        if let Some(recorder) = self.recorders.get(&pod.scheduler) {
            recorder.event(&pod.reference(), kind, reason, message);
        }
    }

    pub(crate) fn scheduled(&self, pod: &PodInfo, node: &str) {
        let message = format!("Successfully assigned {pod} to {node}");
        self.event(pod, EventType::Normal, "Scheduled", &message);
    }

    pub(crate) async fn failed(&self, pod: &PodInfo, why: Why, message: &str) {
        self.event(pod, EventType::Warning, "FailedScheduling", &truncate(message));
        self.set_condition(pod, why, message).await;
    }

    pub(crate) async fn gated(&self, pod: &PodInfo) {
        self.set_condition(pod, Why::Gated, "Scheduling is blocked due to non-empty scheduling gates").await;
    }

    async fn set_condition(&self, pod: &PodInfo, why: Why, message: &str) {
        let Some(patch) = condition_patch(pod, why.reason(), message, Timestamp::now()) else { return };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        match pods.patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(_) => {}
            Err(error) if is_not_found(&error) => {}
            // The next attempt writes it again.
            Err(error) => debug!(pod = %pod, error = %error, "condition not written"),
        }
    }
}

/// `None` when the condition says so already. The uid keeps it from another pod of the same name.
fn condition_patch(pod: &PodInfo, reason: &str, message: &str, now: Timestamp) -> Option<Value> {
    let mut condition = json!({
        "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
    });
    if let Some(generation) = pod.generation {
        condition["observedGeneration"] = json!(generation);
    }
    match &pod.condition {
        Some(old) if old.status == "False" && old.reason == reason && old.message == message => return None,
        Some(old) if old.status == "False" => {}
        _ => condition["lastTransitionTime"] = json!(Time(now)),
    }
    Some(json!({"metadata": {"uid": &*pod.uid.0}, "status": {"conditions": [condition]}}))
}

fn truncate(message: &str) -> Cow<'_, str> {
    const SUFFIX: &str = " ...";
    if message.len() <= NOTE_MAX {
        return message.into();
    }
    let mut end = NOTE_MAX - SUFFIX.len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{SUFFIX}", &message[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn a_condition_is_written_when_it_says_something_new() {
        let now = Timestamp::UNIX_EPOCH;
        let fresh = condition_patch(&pod("a").info(), "Unschedulable", "m", now).expect("is new");
        assert_eq!(fresh["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        let told = pod("a").condition("False", "Unschedulable", "m").info();
        assert_eq!(condition_patch(&told, "Unschedulable", "m", now), None);
        let other = condition_patch(&told, "Unschedulable", "n", now).expect("is new");
        assert_eq!(other["status"]["conditions"][0].get("lastTransitionTime"), None);
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        assert_eq!(truncate("short"), "short");
        let cut = truncate(&"ä".repeat(1000)).into_owned();
        assert!(cut.len() <= NOTE_MAX && cut.ends_with("ä ..."), "{}", cut.len());
    }
}
