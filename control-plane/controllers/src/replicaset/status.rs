//! What a set reports.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use oarlock_client::conditions;

use super::Set;
use crate::common::pods::{is_available, is_ready};

/// Why the last look failed.
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

pub(super) fn calculate(
    set: &impl Set,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<Failure>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let min_ready = set.min_ready_seconds();
    let template =
        set.template().and_then(|template| template.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let fully_labeled = |pod: &&Arc<Pod>| {
        let labels = pod.metadata.labels.as_ref();
        template.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let count = |pods: usize| i32::try_from(pods).unwrap_or(i32::MAX);
    let some = |pods: usize| Some(count(pods)).filter(|pods| *pods > 0);
    let mut conditions = set.conditions();
    set_failure(&mut conditions, failure, now);
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: some(active.iter().filter(fully_labeled).count()),
        ready_replicas: some(active.iter().filter(|pod| is_ready(pod)).count()),
        available_replicas: some(active.iter().filter(|pod| is_available(pod, min_ready, now)).count()),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.meta().generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
    }
}

/// A failure stays as it was first reported until a look succeeds.
fn set_failure(list: &mut Vec<ReplicaSetCondition>, failure: Option<Failure>, now: Timestamp) {
    let Some(failure) = failure else {
        conditions::remove(list, "ReplicaFailure");
        return;
    };
    if conditions::get(list, "ReplicaFailure").is_some() {
        return;
    }
    let condition = ReplicaSetCondition {
        type_: "ReplicaFailure".into(),
        status: "True".into(),
        reason: Some(failure.reason.into()),
        message: Some(failure.message),
        last_transition_time: None,
    };
    conditions::set(list, condition, now);
}
