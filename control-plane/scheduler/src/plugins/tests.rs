//! Tables: a pod and a node through one plugin.

use serde_json::json;

use super::*;
use crate::cache::Snapshot;
use crate::framework::{
    ClusterChange, Code, CycleState, Filter, Hint, Plugin, PreFilter, PreScore, Score, Status,
};
use crate::testing::{NodeBuilder, PodBuilder, node, pod};

fn check(
    what: &str,
    plugin: &dyn Filter,
    pod: &PodBuilder,
    node: (&NodeBuilder, &[PodBuilder]),
    reasons: &[&str],
) {
    let status = plugin.filter(&CycleState::default(), &pod.info(), &node.0.info(node.1));
    assert_eq!(status.reasons, reasons, "{what}");
    assert_eq!(status.is_rejected(), !reasons.is_empty(), "{what}");
}

#[test]
fn node_unschedulable() {
    let refused = ["node(s) were unschedulable"];
    check("open", &NodeUnschedulable, &pod("p"), (&node("n"), &[]), &[]);
    check("cordoned", &NodeUnschedulable, &pod("p"), (&node("n").cordoned(), &[]), &refused);
    let tolerant = pod("p").tolerates("node.kubernetes.io/unschedulable", "Exists", "", "NoSchedule");
    check("tolerated", &NodeUnschedulable, &tolerant, (&node("n").cordoned(), &[]), &[]);
}

#[test]
fn node_name() {
    check("none asked", &NodeName, &pod("p"), (&node("n"), &[]), &[]);
    check("this one", &NodeName, &pod("p").on("n"), (&node("n"), &[]), &[]);
    let refused = ["node(s) didn't match the requested node name"];
    check("another", &NodeName, &pod("p").on("m"), (&node("n"), &[]), &refused);
}

#[test]
fn taint_toleration() {
    let refused: &[&str] = &["node(s) had untolerated taint(s)"];
    let tainted = |effect| node("n").taint("k", "v", effect);
    let tolerant = |key, operator, value, effect| pod("p").tolerates(key, operator, value, effect);
    for (what, pod, effect, reasons) in [
        ("no toleration", pod("p"), "NoSchedule", refused),
        ("no toleration of eviction", pod("p"), "NoExecute", refused),
        ("advice only", pod("p"), "PreferNoSchedule", &[]),
        ("equal", tolerant("k", "Equal", "v", "NoSchedule"), "NoSchedule", &[]),
        ("no operator is equal", tolerant("k", "", "v", ""), "NoSchedule", &[]),
        ("another value", tolerant("k", "Equal", "w", "NoSchedule"), "NoSchedule", refused),
        ("another effect", tolerant("k", "Exists", "", "NoExecute"), "NoSchedule", refused),
        ("exists", tolerant("k", "Exists", "", ""), "NoExecute", &[]),
        ("everything", tolerant("", "Exists", "", ""), "NoExecute", &[]),
        ("another key", tolerant("l", "Exists", "", ""), "NoExecute", refused),
        ("unknown operator", tolerant("k", "Like", "v", ""), "NoExecute", refused),
    ] {
        check(what, &TaintToleration, &pod, (&tainted(effect), &[]), reasons);
    }
}

#[test]
fn node_affinity() {
    let refused: &[&str] = &["node(s) didn't match Pod's node affinity/selector"];
    let here = node("n").label("zone", "a").label("cpus", "8").label("word", "x");
    let one = |key: &str, operator: &str, values: &[&str]| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
    let field =
        |name: &str| json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]);
    for (what, terms, reasons) in [
        ("in", one("zone", "In", &["b", "a"]), &[][..]),
        ("not among", one("zone", "In", &["b"]), refused),
        ("not in", one("zone", "NotIn", &["b"]), &[]),
        ("not in, absent", one("none", "NotIn", &["b"]), &[]),
        ("exists", one("zone", "Exists", &[]), &[]),
        ("does not exist", one("zone", "DoesNotExist", &[]), refused),
        ("greater", one("cpus", "Gt", &["7"]), &[]),
        ("not greater", one("cpus", "Gt", &["8"]), refused),
        ("less", one("cpus", "Lt", &["9"]), &[]),
        ("no number", one("word", "Lt", &["9"]), refused),
        ("this name", field("n"), &[]),
        ("another name", field("m"), refused),
        ("an empty term", json!([{}]), refused),
        ("one of two", json!([one("zone", "In", &["b"])[0], field("n")[0]]), &[]),
        (
            "both in a term",
            json!([{"matchExpressions": one("zone", "Exists", &[])[0]["matchExpressions"],
            "matchFields": field("m")[0]["matchFields"]}]),
            refused,
        ),
    ] {
        check(what, &NodeAffinityPlugin, &pod("p").requires(terms), (&here, &[]), reasons);
    }
    let selector = |zone: &str| pod("p").spec("nodeSelector", json!({"zone": zone}));
    check("selector", &NodeAffinityPlugin, &selector("a"), (&here, &[]), &[]);
    check("selector of another", &NodeAffinityPlugin, &selector("b"), (&here, &[]), refused);
}

#[test]
fn node_affinity_narrows_by_name() {
    let names = |terms| {
        let pod = pod("p").requires(terms).info();
        let found = NodeAffinityPlugin.pre_filter(&mut CycleState::default(), &pod, &Snapshot::default());
        (found.status, found.nodes.map(|names| names.join(" ")))
    };
    let field = |values: &[&str]| json!({"key": "metadata.name", "operator": "In", "values": values});
    let both = json!([{"matchFields": [field(&["a"])]}, {"matchFields": [field(&["b", "a"])]}]);
    assert_eq!(names(both), (Status::SUCCESS, Some("a b".into())));
    let open =
        json!([{"matchFields": [field(&["a"])]}, {"matchExpressions": [{"key": "x", "operator": "Exists"}]}]);
    assert_eq!(names(open), (Status::SUCCESS, None));
    let conflict = json!([{"matchFields": [field(&["a"]), field(&["b"])]}]);
    assert_eq!(names(conflict).0.reasons, ["pod affinity terms conflict"]);
}

#[test]
fn node_ports() {
    let refused: &[&str] = &["node(s) didn't have free ports for the requested pod ports"];
    let used = pod("q").host_port(80, "10.0.0.1", "TCP");
    for (what, pod, reasons) in [
        ("another port", pod("p").host_port(81, "10.0.0.1", "TCP"), &[][..]),
        ("another protocol", pod("p").host_port(80, "10.0.0.1", "UDP"), &[]),
        ("another address", pod("p").host_port(80, "10.0.0.2", "TCP"), &[]),
        ("the same", pod("p").host_port(80, "10.0.0.1", "TCP"), refused),
        ("every address", pod("p").host_port(80, "0.0.0.0", "TCP"), refused),
        ("every address by default", pod("p").host_port(80, "", "TCP"), refused),
        ("none", pod("p"), &[]),
    ] {
        check(what, &NodePorts, &pod, (&node("n"), std::slice::from_ref(&used)), reasons);
    }
}

#[test]
fn node_resources_fit() {
    let small = node("n").has("pods", "2").has("ephemeral-storage", "1Gi").has("example.com/gpu", "1");
    let half = pod("q").asks("2", "4Gi");
    let gpus = |count: &str| {
        let requests = json!({"requests": {"example.com/gpu": count, "ephemeral-storage": "1Gi"}});
        pod("p").spec("containers", json!([{"name": "c", "resources": requests}]))
    };
    for (what, pod, on, reasons) in [
        ("fits exactly", pod("p").asks("2", "4Gi"), vec![half.clone()], &[][..]),
        ("too much CPU", pod("p").asks("2001m", "4Gi"), vec![half.clone()], &["Insufficient cpu"]),
        (
            "too much of both",
            pod("p").asks("3", "5Gi"),
            vec![half.clone()],
            &["Insufficient cpu", "Insufficient memory"],
        ),
        ("too many", pod("p"), vec![half.clone(), pod("r")], &["Too many pods"]),
        ("extended", gpus("1"), vec![half.clone()], &[]),
        ("too many GPUs", gpus("2"), vec![], &["Insufficient example.com/gpu"]),
        (
            "GPU and disk taken",
            gpus("1"),
            vec![gpus("1")],
            &["Insufficient ephemeral-storage", "Insufficient example.com/gpu"],
        ),
    ] {
        check(what, &NodeResourcesFit, &pod, (&small, &on), reasons);
    }
    let status = |pod: PodBuilder, on: &[PodBuilder]| {
        NodeResourcesFit.filter(&CycleState::default(), &pod.info(), &small.info(on)).code
    };
    assert_eq!(status(pod("p").asks("3", "1"), &[half]), Code::Unschedulable);
    assert_eq!(status(pod("p").asks("5", "1"), &[]), Code::UnschedulableAndUnresolvable);
}

fn score(plugin: &dyn Score, pod: &PodBuilder, nodes: &[(NodeBuilder, &[PodBuilder])]) -> Vec<i64> {
    let nodes: Vec<_> = nodes.iter().map(|(node, pods)| node.info(pods)).collect();
    let mut scores: Vec<i64> =
        nodes.iter().map(|node| plugin.score(&CycleState::default(), &pod.info(), node)).collect();
    plugin.normalize(&mut scores);
    scores
}

#[test]
fn scores() {
    let half = [pod("q").asks("2", "4Gi")];
    let (empty, used) = ((node("a"), &[][..]), (node("b"), &half[..]));
    // (4 - 1) / 4 and (8 - 4) / 8 of the empty; 1/4 and 0 of the other.
    let wants = pod("p").asks("1", "4Gi");
    assert_eq!(score(&NodeResourcesFit, &wants, &[empty.clone(), used.clone()]), [62, 12]);
    // Shares 1/4 and 1/2: the balance falls from 100 to 87.
    assert_eq!(score(&NodeResourcesBalancedAllocation, &wants, std::slice::from_ref(&empty)), [68]);
    let even = pod("p").asks("1", "2Gi");
    assert_eq!(score(&NodeResourcesBalancedAllocation, &even, &[empty.clone(), used]), [75, 75]);

    let advised = |count: usize| {
        (0..count).fold(node("t"), |node, i| node.taint(&format!("k{i}"), "", "PreferNoSchedule"))
    };
    let nodes = [(advised(0), &[][..]), (advised(1), &[]), (advised(2), &[])];
    assert_eq!(score(&TaintToleration, &pod("p"), &nodes), [100, 50, 0]);
    assert_eq!(score(&TaintToleration, &pod("p"), &nodes[..1]), [100]);

    let likes = pod("p").prefers(5, json!({"key": "disk", "operator": "Exists"}));
    let nodes = [(node("a").label("disk", "x"), &[][..]), (node("b"), &[])];
    assert_eq!(score(&NodeAffinityPlugin, &likes, &nodes), [100, 0]);
}

#[test]
fn what_has_nothing_to_say_is_skipped() {
    let state = &mut CycleState::default();
    let none = Snapshot::default();
    assert!(NodePorts.pre_filter(state, &pod("p").info(), &none).status.is_skip());
    assert!(NodeAffinityPlugin.pre_filter(state, &pod("p").info(), &none).status.is_skip());
    assert!(NodeAffinityPlugin.pre_score(state, &pod("p").info(), &[]).is_skip());
    assert!(NodeResourcesBalancedAllocation.pre_score(state, &pod("p").info(), &[]).is_skip());
}

#[test]
fn hints() {
    let added = |node: NodeBuilder| ClusterChange::NodeAdded(node.facts().into());
    let updated = |old: NodeBuilder, new: NodeBuilder| ClusterChange::NodeUpdated {
        old: old.facts().into(),
        new: new.facts().into(),
    };
    let deleted = |pod: PodBuilder| ClusterChange::AssignedPodDeleted(pod.info().into());
    let cases: Vec<(&str, &dyn Plugin, PodBuilder, ClusterChange, bool)> = vec![
        ("a node too small", &NodeResourcesFit, pod("p").asks("5", "1"), added(node("n")), false),
        ("a node large enough", &NodeResourcesFit, pod("p").asks("3", "1"), added(node("n")), true),
        (
            "it grew",
            &NodeResourcesFit,
            pod("p").asks("5", "1"),
            updated(node("n"), node("n").has("cpu", "6")),
            true,
        ),
        (
            "it shrank",
            &NodeResourcesFit,
            pod("p").asks("1", "1"),
            updated(node("n"), node("n").has("cpu", "3")),
            false,
        ),
        ("a pod left", &NodeResourcesFit, pod("p").asks("1", "1"), deleted(pod("q")), true),
        ("a pod left", &TaintToleration, pod("p"), deleted(pod("q")), false),
        (
            "taint gone",
            &TaintToleration,
            pod("p"),
            updated(node("n").taint("k", "", "NoSchedule"), node("n")),
            true,
        ),
        ("label set", &TaintToleration, pod("p"), updated(node("n"), node("n").label("a", "b")), false),
        (
            "label set",
            &NodeAffinityPlugin,
            pod("p").spec("nodeSelector", json!({"a": "b"})),
            updated(node("n"), node("n").label("a", "b")),
            true,
        ),
        ("uncordoned", &NodeUnschedulable, pod("p"), updated(node("n").cordoned(), node("n")), true),
        (
            "its port is free",
            &NodePorts,
            pod("p").host_port(80, "", "TCP"),
            deleted(pod("q").host_port(80, "", "TCP")),
            true,
        ),
        (
            "another is free",
            &NodePorts,
            pod("p").host_port(80, "", "TCP"),
            deleted(pod("q").host_port(81, "", "TCP")),
            false,
        ),
        (
            "gates gone",
            &SchedulingGates,
            pod("p"),
            ClusterChange::PodUpdated {
                old: pod("p").spec("schedulingGates", json!([{"name": "g"}])).info().into(),
                new: pod("p").info().into(),
            },
            true,
        ),
    ];
    for (what, plugin, pod, change, queue) in cases {
        let hint = plugin.hint(&pod.info(), &change);
        assert_eq!(hint == Hint::Queue, queue, "{what}, says {}", plugin.name());
    }
}
