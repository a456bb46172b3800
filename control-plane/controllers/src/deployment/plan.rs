//! Sizes: how many pods each replica set of a deployment should have next. Pure arithmetic over what the sets ask for
//! and report.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::revision::{DESIRED, MAX, number};
use super::strategy::{is_recreate, max_surge, max_unavailable, replicas};

pub(super) fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

fn created(set: &ReplicaSet) -> Option<Timestamp> {
    set.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// Positions of the sets, the oldest first.
fn oldest_first(sets: &[ReplicaSet]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by(|a, b| {
        let key = |at: usize| (created(&sets[at]), sets[at].metadata.name.clone());
        key(*a).cmp(&key(*b))
    });
    order
}

/// The size of the new set in the next step of a rollout. `total` is what all sets ask for.
pub(super) fn new_size(deployment: &Deployment, current: i32, total: i32) -> i32 {
    let wanted = replicas(deployment);
    if current >= wanted || is_recreate(deployment) {
        return wanted;
    }
    let room = (wanted + max_surge(deployment) - total).max(0);
    current + room.min(wanted - current)
}

/// The sizes of the old sets in the next step of a rolling update, as changes: position and new size.
pub(super) fn shrink_old(deployment: &Deployment, new: &ReplicaSet, old: &[ReplicaSet]) -> Vec<(usize, i32)> {
    let mut sizes: Vec<i32> = old.iter().map(size).collect();
    let total = sizes.iter().sum::<i32>() + size(new);
    let min_available = replicas(deployment) - max_unavailable(deployment);
    // New pods that do not serve yet are the reason why old ones must stay.
    let may_go = total - min_available - (size(new) - available(new));
    if may_go <= 0 {
        return vec![];
    }
    let order = oldest_first(old);
    drop_broken(old, &order, &mut sizes, may_go);
    let serving = available(new) + old.iter().map(available).sum::<i32>();
    drop_serving(&order, &mut sizes, serving - min_available);
    let changed = order.into_iter().filter(|at| sizes[*at] != size(&old[*at]));
    changed.map(|at| (at, sizes[at])).collect()
}

/// Old pods that do not serve are worth nothing: they go first.
fn drop_broken(old: &[ReplicaSet], order: &[usize], sizes: &mut [i32], mut may_go: i32) {
    for at in order.iter().copied() {
        let broken = (sizes[at] - available(&old[at])).max(0);
        let gone = broken.min(may_go);
        sizes[at] -= gone;
        may_go -= gone;
    }
}

/// Then those that serve, while enough do.
fn drop_serving(order: &[usize], sizes: &mut [i32], mut may_go: i32) {
    for at in order.iter().copied() {
        let gone = sizes[at].min(may_go).max(0);
        sizes[at] -= gone;
        may_go -= gone;
    }
}

/// Whether a set shows that the deployment was given another size since the set was last looked at.
pub(super) fn is_scaling(deployment: &Deployment, sets: &[ReplicaSet]) -> bool {
    sets.iter().filter(|set| size(set) > 0).any(|set| {
        let desired = number(set.metadata.annotations.as_ref(), DESIRED);
        desired.is_some_and(|desired| desired != i64::from(replicas(deployment)))
    })
}

/// New sizes for all sets when the deployment is scaled, not rolled: in the middle of a rollout in proportion. `new`
/// is the position of the new set.
pub(super) fn scale(deployment: &Deployment, sets: &[ReplicaSet], new: Option<usize>) -> Vec<(usize, i32)> {
    let wanted = replicas(deployment);
    if let Some(only) = active_or_latest(sets, new) {
        return vec![(only, wanted)];
    }
    if new.is_some_and(|new| is_saturated(deployment, &sets[new])) {
        return (0..sets.len())
            .filter(|at| Some(*at) != new && size(&sets[*at]) > 0)
            .map(|at| (at, 0))
            .collect();
    }
    if is_recreate(deployment) {
        return vec![];
    }
    proportional(deployment, sets)
}

/// The one set that has pods; or, when none has, the new one, or else the youngest.
fn active_or_latest(sets: &[ReplicaSet], new: Option<usize>) -> Option<usize> {
    let active: Vec<usize> = (0..sets.len()).filter(|at| size(&sets[*at]) > 0).collect();
    match active.as_slice() {
        [] => new.or_else(|| oldest_first(sets).pop()),
        [one] => Some(*one),
        _ => None,
    }
}

/// The new set has all its pods, and they serve.
fn is_saturated(deployment: &Deployment, new: &ReplicaSet) -> bool {
    let wanted = replicas(deployment);
    let desired = number(new.metadata.annotations.as_ref(), DESIRED);
    size(new) == wanted && desired == Some(i64::from(wanted)) && available(new) == wanted
}

fn proportional(deployment: &Deployment, sets: &[ReplicaSet]) -> Vec<(usize, i32)> {
    let wanted = replicas(deployment);
    let mut order: Vec<usize> = (0..sets.len()).filter(|at| size(&sets[*at]) > 0).collect();
    let total: i32 = order.iter().map(|at| size(&sets[*at])).sum();
    let allowed = if wanted > 0 { wanted + max_surge(deployment) } else { 0 };
    let to_add = allowed - total;
    // The largest carry the rounding. Of equals the youngest grow first, and the oldest shrink first.
    if to_add > 0 {
        order.sort_by_key(|at| (Reverse(size(&sets[*at])), Reverse(created(&sets[*at]))));
    } else {
        order.sort_by_key(|at| (Reverse(size(&sets[*at])), created(&sets[*at])));
    }
    let mut added = 0;
    let mut sizes: Vec<(usize, i32)> = vec![];
    for at in order {
        let share = proportion(deployment, &sets[at], to_add, added);
        sizes.push((at, size(&sets[at]) + share));
        added += share;
    }
    if let Some(first) = sizes.first_mut() {
        first.1 = (first.1 + to_add - added).max(0);
    }
    sizes
}

fn proportion(deployment: &Deployment, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
    if size(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let (share, left) = (fraction(deployment, set), to_add - added);
    if to_add > 0 { share.min(left) } else { share.max(left) }
}

/// What keeps the set's share of the deployment as it was before scaling.
fn fraction(deployment: &Deployment, set: &ReplicaSet) -> i32 {
    if replicas(deployment) == 0 {
        return -size(set);
    }
    let max_now = f64::from(replicas(deployment) + max_surge(deployment));
    let reported = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or_default();
    let max_then = number(set.metadata.annotations.as_ref(), MAX).filter(|max| *max != 0);
    let max_then = max_then.unwrap_or(i64::from(reported));
    if max_then == 0 {
        return 0;
    }
    let new = f64::from(size(set)) * max_now / max_then as f64;
    new.round() as i32 - size(set)
}

/// Positions of the old sets that the history has no room for: empty, settled, of the lowest revisions.
pub(super) fn surplus(old: &[ReplicaSet], limit: i32) -> Vec<usize> {
    let mut alive: Vec<usize> =
        (0..old.len()).filter(|at| old[*at].metadata.deletion_timestamp.is_none()).collect();
    let count = alive.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
    alive.sort_by_key(|at| (super::revision::of_set(&old[*at]), created(&old[*at])));
    alive.truncate(count);
    alive.retain(|at| {
        let set = &old[*at];
        let status = set.status.clone().unwrap_or_default();
        size(set) == 0 && status.replicas == 0 && set.metadata.generation <= status.observed_generation
    });
    alive
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn deployment(replicas: i32, surge: i32, unavailable: i32) -> Deployment {
        let deployment = json!({
            "spec": {
                "replicas": replicas, "selector": {}, "template": {},
                "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            },
        });
        from_value(deployment).expect("a deployment")
    }

    /// A set of that size, so many of which serve.
    fn set(age: i64, size: i32, available: i32) -> ReplicaSet {
        let set = json!({
            "metadata": {
                "name": format!("rs-{age}"),
                "creationTimestamp": Timestamp::from_second(1_000_000 - age).expect("a time").to_string(),
                "annotations": {"deployment.kubernetes.io/revision": (100 - age).to_string()},
            },
            "spec": {"replicas": size, "selector": {}},
            "status": {"replicas": size, "availableReplicas": available},
        });
        from_value(set).expect("a set")
    }

    fn annotated(mut set: ReplicaSet, desired: i32, max: i32) -> ReplicaSet {
        let annotations = set.metadata.annotations.get_or_insert_default();
        annotations.insert(DESIRED.into(), desired.to_string());
        annotations.insert(MAX.into(), max.to_string());
        set
    }

    #[test]
    fn the_new_set_grows_into_the_room_there_is() {
        for (replicas, surge, current, total, expected) in
            [(10, 2, 0, 10, 2), (10, 0, 0, 10, 0), (10, 2, 3, 12, 3), (10, 20, 0, 10, 10), (5, 0, 8, 8, 5)]
        {
            assert_eq!(new_size(&deployment(replicas, surge, 0), current, total), expected);
        }
    }

    #[test]
    fn old_sets_shrink_as_far_as_enough_serve() {
        for (why, deployment, new, old, expected) in [
            ("none may be missing", deployment(10, 2, 0), set(0, 2, 0), vec![set(1, 10, 10)], vec![]),
            ("two new ones serve", deployment(10, 2, 0), set(0, 2, 2), vec![set(1, 10, 10)], vec![(0, 8)]),
            ("two may be missing", deployment(10, 0, 2), set(0, 0, 0), vec![set(1, 10, 10)], vec![(0, 8)]),
            (
                "broken ones go first",
                deployment(10, 2, 2),
                set(0, 0, 0),
                vec![set(2, 8, 8), set(1, 4, 0)],
                vec![(1, 0)],
            ),
            (
                "the oldest go first",
                deployment(4, 0, 2),
                set(0, 0, 0),
                vec![set(1, 2, 2), set(2, 2, 2)],
                vec![(1, 0)],
            ),
        ] {
            assert_eq!(shrink_old(&deployment, &new, &old), expected, "{why}");
        }
    }

    #[test]
    fn scaling_keeps_the_proportions_of_a_rollout() {
        let sets =
            |desired, max| vec![annotated(set(0, 5, 3), desired, max), annotated(set(1, 8, 8), desired, max)];
        let sorted = |mut sizes: Vec<(usize, i32)>| {
            sizes.sort();
            sizes
        };
        assert!(is_scaling(&deployment(15, 3, 2), &sets(10, 13)));
        // 5 of 13 and 8 of 13 become 7 and 11 of 18: upstream's documented example.
        assert_eq!(sorted(scale(&deployment(15, 3, 2), &sets(10, 13), Some(0))), [(0, 7), (1, 11)]);
        assert_eq!(sorted(scale(&deployment(0, 3, 2), &sets(10, 13), Some(0))), [(0, 0), (1, 0)]);
        let one = vec![set(0, 5, 5), set(1, 0, 0)];
        assert_eq!(scale(&deployment(7, 1, 0), &one, Some(0)), [(0, 7)]);
        let saturated = vec![annotated(set(0, 5, 5), 5, 6), annotated(set(1, 1, 1), 5, 6)];
        assert_eq!(scale(&deployment(5, 1, 0), &saturated, Some(0)), [(1, 0)]);
    }

    #[test]
    fn history_beyond_the_limit_goes_oldest_first() {
        let old = [set(1, 0, 0), set(3, 0, 0), set(2, 0, 0), set(4, 1, 1)];
        assert_eq!(surplus(&old, 1), [1, 2], "the one with a pod stays");
        assert_eq!(surplus(&old, 10), Vec::<usize>::new());
    }
}
