use jiff::Timestamp;
use oarlock_api::GroupResource;
use serde_json::{Value, json};

use super::*;

fn measure(resource: &str, object: &Value) -> Facts {
    let (name, group) = resource.split_once('.').unwrap_or((resource, ""));
    let resource = GroupResource::new(group, name);
    Tracked::of(&resource).measure(&resource, object)
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[test]
fn what_objects_use() {
    let container = |requests: Value| json!({"spec": {"containers": [{"name": "a", "resources": {"requests": requests}}]}});
    for (resource, object, used) in [
        ("configmaps", json!({}), "configmaps=1,count/configmaps=1"),
        ("widgets.example.com", json!({}), "count/widgets.example.com=1"),
        (
            "services",
            json!({"spec": {"type": "NodePort", "ports": [{}, {}]}}),
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2",
        ),
        (
            "pods",
            container(json!({"cpu": "1", "example.com/gpu": "2"})),
            "count/pods=1,cpu=1,pods=1,requests.cpu=1,requests.example.com/gpu=2",
        ),
        (
            "pods",
            container(json!({"deviceclass.resource.kubernetes.io/gpu": "1"})),
            "count/pods=1,pods=1,requests.deviceclass.resource.kubernetes.io/gpu=1",
        ),
        ("pods", json!({"status": {"phase": "Failed"}}), "count/pods=1"),
        (
            "resourceclaims.resource.k8s.io",
            json!({"spec": {"devices": {"requests": [
                {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "Some"}},
            ]}}}),
            "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=0",
        ),
    ] {
        assert_eq!(amounts::print(&measure(resource, &object).usage), used, "{resource}");
    }
}

#[test]
fn a_pod_counts_until_its_grace_has_passed_twice() {
    let pod =
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}});
    let facts = measure("pods", &pod);
    let end = at("2026-01-01T00:01:00Z");
    for (now, used, next) in [
        ("2026-01-01T00:00:00Z", "count/pods=1,pods=1", Some(end)),
        ("2026-01-01T00:01:00Z", "count/pods=1,pods=1", Some(end)),
        ("2026-01-01T00:01:01Z", "count/pods=1", None),
    ] {
        let mut sum = Amounts::new();
        facts.add_to(&mut sum, at(now));
        assert_eq!((amounts::print(&sum).as_str(), facts.next_change(at(now))), (used, next));
        assert_eq!(facts.clone().at(at(now)).usage, sum);
    }
}

#[test]
fn what_containers_must_tell() {
    let pod = |of_pod: Value| {
        json!({"spec": {"resources": of_pod, "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1"}}},
            {"name": "b", "resources": {"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}}},
        ]}})
    };
    let told: Vec<String> = pods::missing(&pod(json!({})))
        .into_iter()
        .map(|(name, who)| format!("{name} {}", who.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    assert_eq!(told, ["limits.cpu a", "memory a", "requests.memory a"]);
    assert!(pods::missing(&pod(json!({"limits": {"memory": "1Gi"}}))).is_empty());
}

#[test]
fn scopes_select() {
    let select = |scope: &str, operator: &str, values: &[&str]| {
        Selector::read(&json!({"scopeName": scope, "operator": operator, "values": values}))
    };
    let pod = measure("pods", &json!({"spec": {"priorityClassName": "high", "activeDeadlineSeconds": 5}}));
    let claim = measure("persistentvolumeclaims", &json!({"spec": {"volumeAttributesClassName": "gold"}}));
    for (facts, selector, fits) in [
        (&pod, select("Terminating", "Exists", &[]), true),
        (&pod, select("NotTerminating", "Exists", &[]), false),
        (&pod, select("BestEffort", "Exists", &[]), true),
        (&pod, select("PriorityClass", "In", &["high", "low"]), true),
        (&pod, select("PriorityClass", "NotIn", &["high"]), false),
        (&pod, select("PriorityClass", "DoesNotExist", &[]), false),
        (&pod, select("VolumeAttributesClass", "Exists", &[]), false),
        (&claim, select("VolumeAttributesClass", "In", &["gold"]), true),
        (&claim, select("BestEffort", "Exists", &[]), false),
    ] {
        assert_eq!(facts.is_in(&selector), fits, "{selector:?}");
    }
    let spec = json!({"scopes": ["BestEffort"], "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}]}});
    assert_eq!(
        Selector::all_of(&spec),
        [select("BestEffort", "Exists", &[]), select("PriorityClass", "In", &["a"])]
    );
}
