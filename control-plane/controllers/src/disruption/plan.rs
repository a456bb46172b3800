//! How many pods of a budget may be disrupted, and what its status should say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use oarlock_client::conditions;
use thiserror::Error;

use crate::common::pods::{is_ready, is_terminal, name};
use crate::common::{plus_seconds, until};

/// How long after its eviction was allowed a pod may take to be marked for deletion.
pub(super) const DELETION_SECONDS: i64 = 2 * 60;

/// How long a pod that is not going may say that it is about to be disrupted.
const STALE_SECONDS: i64 = 2 * 60;

/// The messages are upstream's.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("invalid value for IntOrString: {0}")]
pub(super) struct BadShare(&'static str);

/// What a budget asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// So many pods, of those that there are.
    Healthy(i32),
    /// A share of the pods that should be there, which the owners' scales tell.
    OfScale,
}

pub(super) fn demand(budget: &PodDisruptionBudget) -> Demand {
    let spec = budget.spec.as_ref();
    let max_unavailable = spec.and_then(|spec| spec.max_unavailable.as_ref());
    match spec.and_then(|spec| spec.min_available.as_ref()) {
        _ if max_unavailable.is_some() => Demand::OfScale,
        Some(IntOrString::Int(number)) => Demand::Healthy(*number),
        Some(IntOrString::String(_)) => Demand::OfScale,
        None => Demand::Healthy(0),
    }
}

/// How many of `expected` pods must be healthy.
pub(super) fn desired_of(budget: &PodDisruptionBudget, expected: i32) -> Result<i32, BadShare> {
    let Some(spec) = budget.spec.as_ref() else { return Ok(0) };
    if let Some(unavailable) = &spec.max_unavailable {
        return Ok(expected.saturating_sub(scaled(unavailable, expected)?).max(0));
    }
    spec.min_available.as_ref().map_or(Ok(0), |available| scaled(available, expected))
}

/// A number, or a share of `total`, rounded up.
fn scaled(value: &IntOrString, total: i32) -> Result<i32, BadShare> {
    let text = match value {
        IntOrString::Int(number) => return Ok(*number),
        IntOrString::String(text) => text,
    };
    let share = text.strip_suffix('%').ok_or(BadShare("invalid type: string is not a percentage"))?;
    let share: i32 = share.parse().map_err(|_| BadShare("invalid value: not a number"))?;
    let product = i64::from(share) * i64::from(total);
    Ok(i32::try_from((product + 99).div_euclid(100)).unwrap_or(i32::MAX))
}

/// Of the pods whose eviction was allowed: those still expected to go, and those that should have gone and did not.
#[derive(Debug, Default)]
pub(super) struct Disrupted {
    pub(super) waited_for: BTreeMap<String, Time>,
    pub(super) overdue: Vec<Arc<Pod>>,
    /// When the next becomes overdue.
    pub(super) next: Option<Timestamp>,
}

pub(super) fn disrupted(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], now: Timestamp) -> Disrupted {
    let mut found = Disrupted::default();
    let Some(noted) = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref()) else {
        return found;
    };
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let Some(time) = noted.get(name(pod)) else { continue };
        let due = plus_seconds(time.0, DELETION_SECONDS);
        if due < now {
            found.overdue.push(pod.clone());
        } else {
            found.next = found.next.into_iter().chain([due]).min();
            found.waited_for.insert(name(pod).to_string(), time.clone());
        }
    }
    found
}

/// Pods that are ready, and neither going nor about to.
pub(super) fn healthy(pods: &[Arc<Pod>], waited_for: &BTreeMap<String, Time>, now: Timestamp) -> i32 {
    let stays = |pod: &&Arc<Pod>| {
        let due = waited_for.get(name(pod)).map(|time| plus_seconds(time.0, DELETION_SECONDS));
        pod.metadata.deletion_timestamp.is_none() && due.is_none_or(|due| due <= now)
    };
    count(pods.iter().filter(stays).filter(|pod| is_ready(pod)).count())
}

pub(super) fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

/// The numbers of a budget's status.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) expected: i32,
    pub(super) desired: i32,
    pub(super) healthy: i32,
}

/// The status that the budget should have; `None` when it has it already.
pub(super) fn status(
    budget: &PodDisruptionBudget,
    numbers: &Numbers,
    waited_for: BTreeMap<String, Time>,
    now: Timestamp,
) -> Option<PodDisruptionBudgetStatus> {
    let had = budget.status.clone().unwrap_or_default();
    // With no pod expected nothing may go: the first ones may just be coming.
    let spare = numbers.healthy.saturating_sub(numbers.desired).max(0);
    let allowed = if numbers.expected <= 0 { 0 } else { spare };
    let mut list = had.conditions.clone().unwrap_or_default();
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let generation = budget.metadata.generation;
    let said = conditions::get(&list, ALLOWED).map(|old| (old.status.as_str(), old.reason.as_str()));
    if said != Some((status, reason)) || had.observed_generation != generation {
        set_allowed(&mut list, status, reason, "", generation, now);
    }
    let new = PodDisruptionBudgetStatus {
        conditions: Some(list),
        current_healthy: Some(numbers.healthy),
        desired_healthy: Some(numbers.desired),
        disrupted_pods: Some(waited_for).filter(|pods| !pods.is_empty()),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(numbers.expected),
        observed_generation: generation,
    };
    let had_pods = had.disrupted_pods.clone().filter(|pods| !pods.is_empty());
    let same = new == PodDisruptionBudgetStatus { disrupted_pods: had_pods, ..had };
    (!same || budget.status.is_none()).then_some(new)
}

/// The status of a budget that could not be looked at: nothing may go until it can. `None` when it says so already.
pub(super) fn failed(
    budget: &PodDisruptionBudget,
    why: &str,
    now: Timestamp,
) -> Option<PodDisruptionBudgetStatus> {
    let had = budget.status.clone().unwrap_or_default();
    let mut new = PodDisruptionBudgetStatus { disruptions_allowed: Some(0), ..had.clone() };
    set_allowed(
        new.conditions.get_or_insert_default(),
        "False",
        "SyncFailed",
        why,
        had.observed_generation,
        now,
    );
    (new != had).then_some(new)
}

const ALLOWED: &str = "DisruptionAllowed";

fn set_allowed(
    list: &mut Vec<Condition>,
    status: &str,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
    now: Timestamp,
) {
    let since = conditions::get(list, ALLOWED).filter(|old| old.status == status);
    let since = since.map_or(now, |old| old.last_transition_time.0);
    conditions::remove(list, ALLOWED);
    list.push(Condition {
        type_: ALLOWED.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Time(since),
        observed_generation,
    });
}

/// How long until the pod's `DisruptionTarget` condition is stale; `None` when it has none that could be. What the
/// kubelet says holds until the pod ends, however long that takes.
pub(super) fn stale_in(pod: &Pod, now: Timestamp) -> Option<Duration> {
    if pod.metadata.deletion_timestamp.is_some() || is_terminal(pod) {
        return None;
    }
    let list = pod.status.as_ref()?.conditions.as_deref()?;
    let condition =
        conditions::get(list, "DisruptionTarget").filter(|condition| condition.status == "True")?;
    if condition.reason.as_deref() == Some("TerminationByKubelet") {
        return None;
    }
    let since = condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some(until(plus_seconds(since, STALE_SECONDS), now))
}

/// Whether a change of a pod can change the status of a budget that selects it.
pub(super) fn matters(old: &Pod, new: &Pod) -> bool {
    is_ready(old) != is_ready(new)
        || old.metadata.deletion_timestamp.is_some() != new.metadata.deletion_timestamp.is_some()
        || old.metadata.labels != new.metadata.labels
        || old.metadata.owner_references != new.metadata.owner_references
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, pod};
    use serde_json::{Value, json};

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
        serde_json::from_value(json!({
            "metadata": {"name": "b", "namespace": "default", "generation": 1}, "spec": spec, "status": status,
        }))
        .expect("a budget")
    }

    #[test]
    fn shares_round_up() {
        for (spec, demanded, expected, desired) in [
            (json!({"minAvailable": 2}), Demand::Healthy(2), 5, Ok(2)),
            (json!({"minAvailable": "28%"}), Demand::OfScale, 7, Ok(2)),
            (json!({"minAvailable": "100%"}), Demand::OfScale, 7, Ok(7)),
            (json!({"maxUnavailable": 1}), Demand::OfScale, 7, Ok(6)),
            (json!({"maxUnavailable": 9}), Demand::OfScale, 7, Ok(0)),
            (json!({"maxUnavailable": "30%"}), Demand::OfScale, 7, Ok(4)),
            (json!({}), Demand::Healthy(0), 7, Ok(0)),
            (
                json!({"minAvailable": "many"}),
                Demand::OfScale,
                7,
                Err(BadShare("invalid type: string is not a percentage")),
            ),
        ] {
            let budget = budget(spec, json!({}));
            assert_eq!((demand(&budget), desired_of(&budget, expected)), (demanded, desired), "{budget:?}");
        }
    }

    #[test]
    fn what_may_go() {
        let condition = |status: &str, reason: &str| json!([{"type": "DisruptionAllowed", "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW, "observedGeneration": 1}]);
        // (expected, desired, healthy, allowed, status of the condition, reason)
        for (expected, desired, healthy, allowed, status, reason) in [
            (3, 2, 3, 1, "True", "SufficientPods"),
            (3, 3, 3, 0, "False", "InsufficientPods"),
            (3, 2, 1, 0, "False", "InsufficientPods"),
            (0, 0, 1, 0, "False", "InsufficientPods"),
        ] {
            let numbers = Numbers { expected, desired, healthy };
            let told = super::status(&budget(json!({}), Value::Null), &numbers, BTreeMap::new(), at(NOW));
            let want = json!({
                "conditions": condition(status, reason), "currentHealthy": healthy, "desiredHealthy": desired,
                "disruptionsAllowed": allowed, "expectedPods": expected, "observedGeneration": 1,
            });
            assert_eq!(serde_json::to_value(told.expect("news")).expect("plain data"), want);
            let again = super::status(
                &budget(json!({}), want),
                &numbers,
                BTreeMap::new(),
                at("2026-01-02T00:00:00Z"),
            );
            assert_eq!(again, None, "nothing new");
        }
    }

    #[test]
    fn a_failure_lets_nothing_go() {
        let before = json!({
            "disruptionsAllowed": 3, "currentHealthy": 3, "desiredHealthy": 0, "expectedPods": 3, "observedGeneration": 1,
        });
        let told = failed(&budget(json!({}), before), "why", at(NOW)).expect("news");
        assert_eq!((told.disruptions_allowed, told.current_healthy), (Some(0), Some(3)));
        let condition = &told.conditions.as_ref().expect("one")[0];
        assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("SyncFailed", "why"));
        let told = serde_json::to_value(told).expect("plain data");
        assert_eq!(failed(&budget(json!({}), told), "why", at("2026-01-02T00:00:00Z")), None);
    }

    #[test]
    fn evicted_pods_are_waited_for_two_minutes() {
        let ready = |name: &str| pod(name).ready_since("2025-12-31T00:00:00Z");
        let pods = [ready("fresh"), ready("overdue"), ready("going").deleting(), ready("other"), pod("idle")]
            .map(|pod| Arc::new(pod.build()));
        let noted = json!({"disruptedPods": {
            "fresh": "2025-12-31T23:59:00Z", "overdue": "2025-12-31T23:57:59Z", "going": NOW, "gone": NOW,
        }, "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
        let found = disrupted(&budget(json!({}), noted), &pods, at(NOW));
        assert_eq!(found.waited_for.keys().collect::<Vec<_>>(), ["fresh"]);
        assert_eq!(found.overdue.iter().map(|pod| name(pod)).collect::<Vec<_>>(), ["overdue"]);
        assert_eq!(found.next, Some(at("2026-01-01T00:01:00Z")));
        assert_eq!(healthy(&pods, &found.waited_for, at(NOW)), 2, "overdue and other");
    }

    #[test]
    fn a_condition_is_stale_after_two_minutes() {
        let with = |reason: &str, status: &str| {
            pod("a").with(|pod| {
                let condition = json!([{"type": "DisruptionTarget", "status": status, "reason": reason, "lastTransitionTime": "2025-12-31T23:59:00Z"}]);
                let conditions = serde_json::from_value(condition).expect("conditions");
                pod.status.get_or_insert_default().conditions = Some(conditions);
            })
        };
        for (pod, expected) in [
            (with("EvictionByEvictionAPI", "True").build(), Some(60)),
            (with("EvictionByEvictionAPI", "False").build(), None),
            (with("TerminationByKubelet", "True").build(), None),
            (with("PreemptionByScheduler", "True").deleting().build(), None),
            (with("PreemptionByScheduler", "True").phase("Failed").build(), None),
            (pod("b").build(), None),
        ] {
            assert_eq!(stale_in(&pod, at(NOW)).map(|left| left.as_secs()), expected);
        }
    }
}
