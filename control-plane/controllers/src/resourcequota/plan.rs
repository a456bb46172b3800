//! What a quota limits, and what its status should say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Typed;
use oarlock_api::GroupResource;
use oarlock_api::quantity::Quantity;
use oarlock_quota::{Amounts, Facts, Selector, Tracked};

/// Resources that are limited under names of their own, not by `count/` alone.
const NAMED: [(&str, &str); 8] = [
    ("", "pods"),
    ("", "services"),
    ("", "persistentvolumeclaims"),
    ("resource.k8s.io", "resourceclaims"),
    ("", "configmaps"),
    ("", "resourcequotas"),
    ("", "replicationcontrollers"),
    ("", "secrets"),
];

/// The resource whose objects a limit of this name counts; `None` if it is nobody's.
pub(super) fn resource_of(name: &str) -> Option<GroupResource> {
    if let Some(counted) = name.strip_prefix("count/") {
        let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
        let resource = GroupResource::new(group, resource);
        return (!resource.resource.is_empty() && !oarlock_quota::is_ignored(&resource)).then_some(resource);
    }
    let named = NAMED.iter().map(|(group, resource)| GroupResource::new(group, resource));
    named.into_iter().find(|resource| Tracked::of(resource).counts(resource, name))
}

/// Whether every API server serves the resource, in v1.
pub(super) fn is_well_known(resource: &GroupResource) -> bool {
    resource.group.is_empty() && NAMED.contains(&("", &resource.resource))
}

/// The resources that a quota counts, and the limits that each is about.
pub(super) fn resources(quota: &ResourceQuota) -> HashMap<GroupResource, BTreeSet<String>> {
    let mut resources: HashMap<_, BTreeSet<String>> = HashMap::new();
    for name in hard(quota).into_iter().flat_map(BTreeMap::keys) {
        if let Some(resource) = resource_of(name) {
            resources.entry(resource).or_default().insert(name.clone());
        }
    }
    resources
}

pub(super) fn hard(quota: &ResourceQuota) -> Option<&BTreeMap<String, Typed>> {
    quota.spec.as_ref()?.hard.as_ref()
}

/// Whether the quota limits anything of this resource.
pub(super) fn is_about(quota: &ResourceQuota, resource: &GroupResource) -> bool {
    let tracked = Tracked::of(resource);
    hard(quota).into_iter().flat_map(BTreeMap::keys).any(|name| tracked.counts(resource, name))
}

pub(super) fn scopes(quota: &ResourceQuota) -> Vec<Selector> {
    let spec = quota.spec.as_ref().map(|spec| serde_json::to_value(spec).expect("a spec is plain data"));
    Selector::all_of(&spec.unwrap_or_default())
}

/// What measured objects use of the named limits, and when that changes by the passing of time alone.
pub(super) fn sum<'a>(
    names: &BTreeSet<String>,
    scopes: &[Selector],
    objects: impl Iterator<Item = &'a Facts>,
    now: Timestamp,
) -> (Amounts, Option<Timestamp>) {
    let (mut used, mut next) = (Amounts::new(), None::<Timestamp>);
    for facts in objects.filter(|facts| scopes.iter().all(|scope| facts.is_in(scope))) {
        facts.add_to(&mut used, now);
        next = next.into_iter().chain(facts.next_change(now)).min();
    }
    let of_name = |name: &String| (name.clone(), used.get(name).copied().unwrap_or_default());
    (names.iter().map(of_name).collect(), next)
}

/// What so many objects use that count by their number. They are in no scope.
pub(super) fn number(names: &BTreeSet<String>, scopes: &[Selector], objects: usize) -> Amounts {
    let objects = if scopes.is_empty() { i64::try_from(objects).unwrap_or(i64::MAX) } else { 0 };
    let count = Quantity::new(objects, oarlock_api::quantity::Format::DecimalSi);
    names.iter().map(|name| (name.clone(), count)).collect()
}

/// The status that the quota should have, with what was counted just now; of other limits the last known use stays.
/// `None` when it has it already.
pub(super) fn status(quota: &ResourceQuota, counted: Amounts) -> Option<ResourceQuotaStatus> {
    let hard = hard(quota).cloned().unwrap_or_default();
    let had = quota.status.clone().unwrap_or_default();
    let known = had.used.as_ref().map(read);
    let mut used = known.clone().unwrap_or_default();
    used.extend(counted);
    used.retain(|name, _| hard.contains_key(name));
    if had.hard.as_ref().map(read) == Some(read(&hard)) && known.as_ref() == Some(&used) {
        return None;
    }
    let used = used.into_iter().map(|(name, quantity)| (name, Typed(quantity.to_string()))).collect();
    Some(ResourceQuotaStatus { hard: Some(hard), used: Some(used) })
}

fn read(typed: &BTreeMap<String, Typed>) -> Amounts {
    let parse = |(name, text): (&String, &Typed)| Some((name.clone(), Quantity::parse(&text.0).ok()?));
    typed.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_quota::amounts::print;
    use serde_json::{Value, json};

    fn quota(hard: Value, status: Value) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": status}))
            .expect("a quota")
    }

    #[test]
    fn a_limit_is_about_one_resource() {
        for (name, resource) in [
            ("pods", "pods"),
            ("requests.cpu", "pods"),
            ("requests.example.com/gpu", "pods"),
            ("hugepages-2Mi", "pods"),
            ("services.loadbalancers", "services"),
            ("gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims"),
            ("gpu.deviceclass.resource.k8s.io/devices", "resourceclaims.resource.k8s.io"),
            ("secrets", "secrets"),
            ("count/pods", "pods"),
            ("count/deployments.apps", "deployments.apps"),
            ("count/widgets.example.com", "widgets.example.com"),
            ("count/events", ""),
            ("widgets", ""),
        ] {
            let found = resource_of(name).map(|found| found.to_string()).unwrap_or_default();
            assert_eq!(found, resource, "{name}");
        }
    }

    #[test]
    fn usage_is_summed_within_the_scopes() {
        let pods = GroupResource::new("", "pods");
        let pod = |class: &str, cpu: &str| {
            let pod = json!({"spec": {"priorityClassName": class, "containers": [{"resources": {"requests": {"cpu": cpu}}}]}});
            Tracked::Pods.measure(&pods, &pod)
        };
        let objects = [pod("high", "100m"), pod("high", "1"), pod("low", "5")];
        let names: BTreeSet<String> = ["pods", "cpu", "limits.cpu"].map(str::to_string).into();
        let high =
            Selector { scope: "PriorityClass".into(), operator: "In".into(), values: vec!["high".into()] };
        let of = |scopes: &[Selector]| print(&sum(&names, scopes, objects.iter(), Timestamp::UNIX_EPOCH).0);
        assert_eq!(of(&[]), "cpu=6100m,limits.cpu=0,pods=3");
        assert_eq!(of(std::slice::from_ref(&high)), "cpu=1100m,limits.cpu=0,pods=2");
        assert_eq!(print(&number(&names, &[], 2)), "cpu=2,limits.cpu=2,pods=2");
        assert_eq!(print(&number(&names, &[high], 2)), "cpu=0,limits.cpu=0,pods=0");
    }

    #[test]
    fn the_status_follows_the_spec_and_what_was_counted() {
        let hard = json!({"pods": "5", "count/widgets.example.com": "1"});
        let counted =
            || Amounts::from([("pods".into(), Quantity::new(2, oarlock_api::quantity::Format::DecimalSi))]);
        for (why, had, used) in [
            ("new", json!({}), Some("pods=2")),
            ("the same", json!({"hard": hard, "used": {"pods": "2"}}), None),
            (
                "spelt otherwise",
                json!({"hard": {"pods": "5000m", "count/widgets.example.com": "1"}, "used": {"pods": "2"}}),
                None,
            ),
            ("fewer", json!({"hard": hard, "used": {"pods": "3"}}), Some("pods=2")),
            ("another limit", json!({"hard": {"pods": "4"}, "used": {"pods": "2"}}), Some("pods=2")),
            (
                "what could not be counted stays, what is no longer limited goes",
                json!({"hard": hard, "used": {"count/widgets.example.com": "1", "cpu": "1"}}),
                Some("count/widgets.example.com=1,pods=2"),
            ),
        ] {
            let status = status(&quota(hard.clone(), had), counted());
            let told = status.map(|status| print(&read(&status.used.expect("always told"))));
            assert_eq!(told.as_deref(), used, "{why}");
        }
    }
}
