//! What a deployment reports: counts, and the conditions Available, Progressing and ReplicaFailure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use oarlock_client::conditions;

use super::plan::{available, size};
use super::strategy::{is_paused, max_unavailable, progress_deadline, replicas};
use crate::common::{plus_seconds, until};

pub(super) const PROGRESSING: &str = "Progressing";

pub(super) fn condition(kind: &str, status: &str, reason: &str, message: String) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        ..DeploymentCondition::default()
    }
}

pub(super) fn current<'a>(
    status: Option<&'a DeploymentStatus>,
    kind: &str,
) -> Option<&'a DeploymentCondition> {
    conditions::get(status?.conditions.as_deref()?, kind)
}

/// Sets a condition unless it says the same already, as upstream compares: status and reason.
pub(super) fn set(list: &mut Vec<DeploymentCondition>, mut new: DeploymentCondition, now: Timestamp) {
    let old = conditions::get(list, &new.type_);
    if old.is_some_and(|old| old.status == new.status && old.reason == new.reason) {
        return;
    }
    let since = old.filter(|old| old.status == new.status).and_then(|old| old.last_transition_time.clone());
    new.last_transition_time = Some(since.unwrap_or(Time(now)));
    new.last_update_time = Some(Time(now));
    list.retain(|condition| condition.type_ != new.type_);
    list.push(new);
}

/// The counts, and whether enough pods serve. `sets` are all, `new` is among them.
pub(super) fn calculate(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    sets: &[&ReplicaSet],
    now: Timestamp,
) -> DeploymentStatus {
    let sum = |part: fn(&ReplicaSetStatus) -> Option<i32>| -> i32 {
        sets.iter().filter_map(|set| part(set.status.as_ref()?)).sum()
    };
    let some = |count: i32| Some(count).filter(|count| *count > 0);
    let serving: i32 = sets.iter().map(|set| available(set)).sum();
    let asked: i32 = sets.iter().map(|set| size(set)).sum();
    let mut list =
        deployment.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let enough = serving >= replicas(deployment) - max_unavailable(deployment);
    let (status, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut list, condition("Available", status, reason, message.into()), now);
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(|status| Some(status.replicas))),
        updated_replicas: some(new.and_then(|new| new.status.as_ref()).map_or(0, |status| status.replicas)),
        ready_replicas: some(sum(|status| status.ready_replicas)),
        available_replicas: some(serving),
        unavailable_replicas: some(asked - serving),
        terminating_replicas: Some(sum(|status| status.terminating_replicas)),
        collision_count: deployment.status.as_ref().and_then(|status| status.collision_count),
        conditions: Some(list),
    }
}

/// Every wanted pod is new, and serves; nothing old is left.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Some(replicas(deployment));
    let count = |count: Option<i32>| Some(count.unwrap_or_default());
    count(status.updated_replicas) == wanted
        && count(status.replicas) == wanted
        && count(status.available_replicas) == wanted
        && status.observed_generation >= deployment.metadata.generation
}

/// Compared with what was reported before, the rollout moved.
fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |count: Option<i32>| count.unwrap_or_default();
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

/// The deadline passed without progress. `reported` is the status before this look.
fn has_timed_out(deployment: &Deployment, condition: Option<&DeploymentCondition>, now: Timestamp) -> bool {
    let (Some(seconds), Some(condition)) = (progress_deadline(deployment), condition) else { return false };
    match condition.reason.as_deref() {
        Some("NewReplicaSetAvailable") => false,
        Some("ProgressDeadlineExceeded") => true,
        _ => {
            let since = condition.last_update_time.as_ref().map(|time| time.0);
            since.is_some_and(|since| plus_seconds(since, i64::from(seconds)) < now)
        }
    }
}

/// Updates the conditions of a rollout in `status`. `reported` is what was reported before.
pub(super) fn rollout_conditions(
    deployment: &Deployment,
    reported: &DeploymentStatus,
    status: &mut DeploymentStatus,
    new: Option<&ReplicaSet>,
    sets: &[&ReplicaSet],
    now: Timestamp,
) {
    let progress = progress(deployment, reported, status, new, now);
    let list = status.conditions.get_or_insert_default();
    match progress {
        Progress::None => {
            conditions::remove(list, PROGRESSING);
        }
        Progress::Same => {}
        Progress::Set(new) => set(list, new, now),
        Progress::Moved(mut new) => {
            // Its update time moves with each step, the transition time stays.
            let old = conditions::get(list, PROGRESSING).filter(|old| old.status == "True");
            let since = old.and_then(|old| old.last_transition_time.clone());
            new.last_transition_time = Some(since.unwrap_or(Time(now)));
            new.last_update_time = Some(Time(now));
            conditions::remove(list, PROGRESSING);
            list.push(new);
        }
    }
    let failures = sets.iter().filter_map(|set| set.status.as_ref()?.conditions.as_deref());
    match failures.into_iter().find_map(|list| conditions::get(list, "ReplicaFailure")) {
        Some(failure) => {
            let (reason, message) = (failure.reason.clone().unwrap_or_default(), failure.message.clone());
            set(
                list,
                condition("ReplicaFailure", &failure.status, &reason, message.unwrap_or_default()),
                now,
            );
        }
        None => {
            conditions::remove(list, "ReplicaFailure");
        }
    }
}

enum Progress {
    /// No deadline: no condition.
    None,
    Same,
    Set(DeploymentCondition),
    Moved(DeploymentCondition),
}

fn progress(
    deployment: &Deployment,
    reported: &DeploymentStatus,
    status: &DeploymentStatus,
    new: Option<&ReplicaSet>,
    now: Timestamp,
) -> Progress {
    if progress_deadline(deployment).is_none() {
        return Progress::None;
    }
    let condition_now = current(Some(status), PROGRESSING);
    let was_done = condition_now.is_some_and(|now| now.reason.as_deref() == Some("NewReplicaSetAvailable"));
    if status.replicas == status.updated_replicas && was_done {
        return Progress::Same;
    }
    let who = match new.and_then(|new| new.metadata.name.as_ref()) {
        Some(name) => format!("ReplicaSet \"{name}\""),
        None => format!("Deployment \"{}\"", deployment.metadata.name.as_deref().unwrap_or_default()),
    };
    if is_complete(deployment, status) {
        let message = format!("{who} has successfully progressed.");
        Progress::Set(condition(PROGRESSING, "True", "NewReplicaSetAvailable", message))
    } else if has_progressed(reported, status) {
        Progress::Moved(condition(PROGRESSING, "True", "ReplicaSetUpdated", format!("{who} is progressing.")))
    } else if has_timed_out(deployment, condition_now, now) {
        let message = format!("{who} has timed out progressing.");
        Progress::Set(condition(PROGRESSING, "False", "ProgressDeadlineExceeded", message))
    } else {
        Progress::Same
    }
}

/// The time until the rollout, if it still goes on, will have missed its deadline.
pub(super) fn deadline(deployment: &Deployment, now: Timestamp) -> Option<Duration> {
    let seconds = progress_deadline(deployment)?;
    let condition = current(deployment.status.as_ref(), PROGRESSING)?;
    let reason = condition.reason.as_deref().unwrap_or_default();
    if matches!(reason, "NewReplicaSetAvailable" | "ProgressDeadlineExceeded") || is_paused(deployment) {
        return None;
    }
    let since = condition.last_update_time.as_ref()?.0;
    Some(until(plus_seconds(since, i64::from(seconds)), now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;
    use serde_json::{from_value, json};

    fn deployment(progressing: Option<(&str, &str)>) -> Deployment {
        let condition = progressing.map(|(reason, since)| {
            json!({"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": since, "lastTransitionTime": since})
        });
        let deployment = json!({
            "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 2, "selector": {}, "template": {}, "progressDeadlineSeconds": 600},
            "status": {"updatedReplicas": 1, "replicas": 2, "conditions": condition.into_iter().collect::<Vec<_>>()},
        });
        from_value(deployment).expect("a deployment")
    }

    fn set(replicas: i32, available: i32) -> ReplicaSet {
        let set = json!({
            "metadata": {"name": "web-1"}, "spec": {"replicas": 2, "selector": {}},
            "status": {"replicas": replicas, "availableReplicas": available, "readyReplicas": available},
        });
        from_value(set).expect("a set")
    }

    #[test]
    fn conditions_follow_the_rollout() {
        let now = at("2026-01-01T01:00:00Z");
        for (why, progressing, set, expected) in [
            (
                "complete",
                None,
                set(2, 2),
                "Available True MinimumReplicasAvailable; Progressing True NewReplicaSetAvailable ReplicaSet \"web-1\" has successfully progressed.",
            ),
            (
                "a step",
                Some(("NewReplicaSetCreated", "2026-01-01T00:00:00Z")),
                set(2, 1),
                "Available False MinimumReplicasUnavailable; Progressing True ReplicaSetUpdated ReplicaSet \"web-1\" is progressing.",
            ),
            (
                "no step",
                Some(("ReplicaSetUpdated", "2026-01-01T00:55:00Z")),
                set(1, 0),
                "Progressing True ReplicaSetUpdated; Available False MinimumReplicasUnavailable",
            ),
            (
                "too late",
                Some(("ReplicaSetUpdated", "2026-01-01T00:00:00Z")),
                set(1, 0),
                "Available False MinimumReplicasUnavailable; Progressing False ProgressDeadlineExceeded ReplicaSet \"web-1\" has timed out progressing.",
            ),
        ] {
            let mut deployment = deployment(progressing);
            let reported = deployment.status.clone().expect("has one");
            // The same number of old pods as before, so that only the set's own counts tell of progress.
            deployment.metadata.generation = Some(2);
            let mut status = calculate(&deployment, Some(&set), &[&set], now);
            if why != "complete" {
                status.replicas = Some(status.updated_replicas.unwrap_or_default() + 1);
            }
            rollout_conditions(&deployment, &reported, &mut status, Some(&set), &[&set], now);
            let list = status.conditions.expect("has some");
            let lines: Vec<String> = list
                .iter()
                .map(|c| {
                    let message =
                        c.message.as_deref().filter(|_| c.type_ == "Progressing").unwrap_or_default();
                    format!("{} {} {} {message}", c.type_, c.status, c.reason.as_deref().unwrap_or_default())
                        .trim()
                        .to_string()
                })
                .collect();
            assert_eq!(lines.join("; "), expected, "{why}");
        }
    }

    #[test]
    fn a_running_rollout_is_looked_at_again_at_its_deadline() {
        let left = |reason| {
            deadline(&deployment(Some((reason, "2026-01-01T00:00:00Z"))), at("2026-01-01T00:09:00Z"))
                .map(|d| d.as_secs())
        };
        assert_eq!(left("ReplicaSetUpdated"), Some(60));
        assert_eq!(left("NewReplicaSetAvailable"), None);
        assert_eq!(left("ProgressDeadlineExceeded"), None);
    }
}
