//! How many pods to make, or which ones to delete.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::common::pods::{is_ready, node_name, phase, ready_since, uid};

/// The most pods that one look makes or deletes.
const BURST: usize = 500;

/// What a look at the pods asks for.
#[derive(Debug)]
pub(super) enum Action {
    Nothing,
    Create(usize),
    Delete(Vec<Arc<Pod>>),
}

/// `on_nodes` counts the pods of this set and its siblings per node.
pub(super) fn plan(
    want: usize,
    active: &[Arc<Pod>],
    on_nodes: &HashMap<String, usize>,
    now: Timestamp,
) -> Action {
    match active.len().cmp(&want) {
        Ordering::Equal => Action::Nothing,
        Ordering::Less => Action::Create((want - active.len()).min(BURST)),
        Ordering::Greater => {
            let count = (active.len() - want).min(BURST);
            let mut pods = active.to_vec();
            if count < pods.len() {
                pods.sort_by(|a, b| deletion_order(a, b, on_nodes, now));
            }
            pods.truncate(count);
            Action::Delete(pods)
        }
    }
}

/// Less is to be deleted first: what is worth least to the user.
fn deletion_order(a: &Pod, b: &Pod, on_nodes: &HashMap<String, usize>, now: Timestamp) -> Ordering {
    let assigned = |pod: &Pod| !node_name(pod).is_empty();
    let phase_worth = |pod: &Pod| match phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let crowd = |pod: &Pod| on_nodes.get(node_name(pod)).copied().unwrap_or_default();
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase_worth(a).cmp(&phase_worth(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| crowd(b).cmp(&crowd(a)))
        .then_with(|| {
            if is_ready(a) && is_ready(b) {
                age_order(ready_since(a), ready_since(b), now)
            } else {
                Ordering::Equal
            }
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| age_order(created(a), created(b), now))
        .then_with(|| uid(a).cmp(uid(b)))
}

/// The younger first; but ages count by their magnitude only, so that of pods about equally old a random one goes
/// (upstream's logarithmic scale-down, KEP-2185). An unknown age is young.
fn age_order(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let magnitude = |time: Option<Timestamp>| {
        let age = time.map_or(0, |time| now.duration_since(time).as_nanos().max(1));
        if age == 0 { -1.0 } else { (age as f64).log10().floor() }
    };
    magnitude(a).total_cmp(&magnitude(b))
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    let cost = annotations.and_then(|all| all.get("controller.kubernetes.io/pod-deletion-cost"));
    cost.and_then(|cost| cost.parse().ok()).unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|container| container.restart_count).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PodBuilder, pod};

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    /// The names of the pods in the order in which they would go.
    fn order(pods: Vec<PodBuilder>) -> String {
        let pods: Vec<Arc<Pod>> = pods.into_iter().map(|pod| Arc::new(pod.build())).collect();
        let mut on_nodes = HashMap::new();
        for pod in &pods {
            *on_nodes.entry(node_name(pod).to_string()).or_default() += 1;
        }
        let mut names = vec![];
        for count in 1..pods.len() {
            let Action::Delete(gone) = plan(pods.len() - count, &pods, &on_nodes, now()) else {
                unreachable!()
            };
            names.push(gone[count - 1].metadata.name.clone().unwrap_or_default());
        }
        names.join(" ")
    }

    #[test]
    fn the_least_worth_goes_first() {
        let on = |name: &str, node: &str| {
            pod(name).node(node).phase("Running").ready_since("2025-12-31T00:00:00Z")
        };
        for (why, pods, expected) in [
            ("not assigned", vec![on("a", "n"), pod("b").phase("Running")], "b"),
            ("pending", vec![pod("a").node("n").phase("Running"), pod("b").node("n").phase("Pending")], "b"),
            ("not ready", vec![on("a", "n"), pod("b").node("n").phase("Running")], "b"),
            (
                "cheaper",
                vec![
                    on("a", "n"),
                    on("b", "n").annotation("controller.kubernetes.io/pod-deletion-cost", "-5"),
                ],
                "b",
            ),
            ("crowded", vec![on("a", "n1"), on("b", "n2"), on("c", "n2")], "b c"),
            (
                "ready for less long",
                vec![on("a", "n"), on("b", "n").ready_since("2025-12-31T23:59:00Z")],
                "b",
            ),
            ("more restarts", vec![on("a", "n").restarts(1), on("b", "n").restarts(3)], "b"),
        ] {
            assert_eq!(order(pods), expected, "{why}");
        }
    }

    #[test]
    fn counts_are_bounded_by_the_burst() {
        assert!(matches!(plan(2000, &[], &HashMap::new(), now()), Action::Create(500)));
        assert!(matches!(plan(0, &[], &HashMap::new(), now()), Action::Nothing));
    }
}
