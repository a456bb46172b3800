//! What a PodDisruptionBudget says to one eviction: pure.

use jiff::Timestamp;
use oarlock_api::{GroupResource, Status};
use serde_json::{Value, json};

use crate::registry::time_text;

/// Evictions that the disruption controller has not seen yet; more say that it does not run.
const DISRUPTED_MAX: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const CAUSE: &str = "DisruptionBudget";

/// A pod that is not ready counts for nothing; whether it may go is the budget's policy. (KEP-3017)
pub(super) fn lets_unready_go(budget: &Value) -> bool {
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (count("desiredHealthy") > 0 && count("currentHealthy") >= count("desiredHealthy"))
}

/// The budget's numbers are older than what they are asked about.
pub(super) fn behind(name: &str) -> Status {
    let why = format!("The disruption budget {name} is still being processed by the server.");
    Status::too_many_requests(REFUSED, 10).with_cause(CAUSE, why, "")
}

/// Notes the eviction in the budget, or says why it must not be.
pub(super) fn spend(budget: &mut Value, pod: &str, now: Timestamp) -> Result<(), Status> {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    if count("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        return Err(behind(&name));
    }
    let forbidden =
        |why: &str| Err(Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), &name, why));
    let allowed = count("disruptionsAllowed");
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if budget["status"]["disruptedPods"].as_object().is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return Err(Status::too_many_requests(REFUSED, 0).with_cause(CAUSE, why_not(budget, &name), ""));
    }
    if allowed == 1 {
        disallow(budget, now);
    }
    budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
    budget["status"]["disruptedPods"][pod] = time_text(now).into();
    Ok(())
}

fn why_not(budget: &Value, name: &str) -> String {
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let conditions = budget["status"]["conditions"].as_array().into_iter().flatten();
    let condition = conditions.into_iter().find(|condition| condition["type"] == "DisruptionAllowed");
    let text = |field: &str| condition.and_then(|condition| condition[field].as_str()).unwrap_or_default();
    let (reason, message) = (text("reason"), text("message"));
    let told = text("status") == "False" && !message.is_empty();
    // A failed look leaves numbers that cannot be trusted.
    if told && reason == "SyncFailed" {
        return format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        );
    }
    let (needed, healthy) = (count("desiredHealthy"), count("currentHealthy"));
    if healthy <= needed {
        return format!(
            "The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
        );
    }
    let refused = format!("The disruption budget {name} does not allow evicting pods currently");
    if told { format!("{refused} ({reason}): {message}") } else { refused }
}

/// The last one allowed is spent.
fn disallow(budget: &mut Value, now: Timestamp) {
    let generation = budget["status"]["observedGeneration"].clone();
    let condition = json!({
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "observedGeneration": generation, "lastTransitionTime": time_text(now),
    });
    put_condition(&mut budget["status"], condition);
}

/// Says on the pod that it is about to go, and why.
pub(super) fn mark(pod: &mut Value, now: Timestamp) {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": time_text(now),
    });
    put_condition(&mut pod["status"], condition);
}

/// In the place of the condition of its type, whose transition time it keeps while the status stays.
fn put_condition(status: &mut Value, mut condition: Value) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let list = status["conditions"].as_array_mut().expect("made an array above");
    match list.iter_mut().find(|old| old["type"] == condition["type"]) {
        None => list.push(condition),
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 2}, "status": status})
    }

    #[test]
    fn what_a_budget_says() {
        let failed = json!([{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "why"}]);
        let other =
            json!([{"type": "DisruptionAllowed", "status": "False", "reason": "Other", "message": "why"}]);
        let none = "The disruption budget b does not allow evicting pods currently";
        for (status, code, why) in [
            (
                json!({"observedGeneration": 1}),
                429,
                "The disruption budget b is still being processed by the server.",
            ),
            (json!({"observedGeneration": 2, "disruptionsAllowed": -1}), 403, ""),
            (
                json!({"observedGeneration": 2, "desiredHealthy": 2, "currentHealthy": 1}),
                429,
                "The disruption budget b needs 2 healthy pods and has 1 currently",
            ),
            (
                json!({"observedGeneration": 2, "conditions": failed}),
                429,
                &format!("{none} because it failed sync: why"),
            ),
            (
                json!({"observedGeneration": 2, "currentHealthy": 1, "conditions": other}),
                429,
                &format!("{none} (Other): why"),
            ),
            (json!({"observedGeneration": 2, "currentHealthy": 1}), 429, none),
        ] {
            let mut budget = budget(status);
            let refused = spend(&mut budget, "p", Timestamp::UNIX_EPOCH).expect_err("refused").to_value();
            let told = refused["details"]["causes"][0]["message"].as_str().unwrap_or_default();
            assert_eq!((&refused["code"], told), (&json!(code), why), "{budget}");
        }
    }

    #[test]
    fn the_last_one_closes_the_budget() {
        let mut budget = budget(json!({"observedGeneration": 2, "disruptionsAllowed": 2, "conditions": [
            {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods"},
        ]}));
        for (pod, allowed, reason) in [("p", 1, "SufficientPods"), ("q", 0, "InsufficientPods")] {
            spend(&mut budget, pod, Timestamp::UNIX_EPOCH).expect("allowed");
            assert_eq!(budget["status"]["disruptionsAllowed"], allowed);
            assert_eq!(budget["status"]["conditions"][0]["reason"], reason);
        }
        assert_eq!(budget["status"]["disruptedPods"]["q"], "1970-01-01T00:00:00Z");
    }
}
