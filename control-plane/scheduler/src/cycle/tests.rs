use oarlock_client::testing::FakeApi;
use serde_json::json;

use super::*;
use crate::framework::PluginSet;
use crate::testing::{PodBuilder, node, pod};

/// The node, or the message.
fn decide(pod: &PodBuilder, snapshot: &Snapshot, start: &mut usize, pick: usize) -> String {
    let plugins = PluginSet::defaults(FakeApi::new().client());
    let chance = Chance { start, pick: &mut |_| pick };
    match cycle(snapshot, &pod.info(), &plugins, chance) {
        Decision::Host { node, .. } => node.to_string(),
        Decision::NoNodes => "no nodes".into(),
        Decision::Unfit(why) => why.to_string(),
        Decision::Failed(status) => format!("failed: {status}"),
    }
}

#[tokio::test]
async fn the_best_node_is_chosen_and_among_equals_any() {
    let busy = [pod("q").asks("3", "6Gi")];
    let nodes = [node("busy").info(&busy), node("free").info(&[])];
    let snapshot = nodes.into_iter().collect();
    assert_eq!(decide(&pod("p").asks("500m", "1Gi"), &snapshot, &mut 0, 0), "free");
    let equals = ["a", "b", "c"].into_iter().map(|name| node(name).info(&[])).collect();
    assert_eq!(decide(&pod("p"), &equals, &mut 0, 2), "c");
    let advised = node("advised").taint("k", "", "PreferNoSchedule").info(&[]);
    let snapshot = [advised, node("busy").info(&busy)].into_iter().collect();
    assert_eq!(decide(&pod("p").asks("500m", "1Gi"), &snapshot, &mut 0, 0), "busy");
}

#[tokio::test]
async fn why_no_node_fits_is_counted_by_reason() {
    assert_eq!(decide(&pod("p"), &Snapshot::default(), &mut 0, 0), "no nodes");
    let full = [pod("q").asks("4", "8Gi")];
    let snapshot: Snapshot = [
        node("a").info(&full),
        node("b").info(&full),
        node("c").taint("k", "", "NoSchedule").info(&full),
        node("d").cordoned().taint("k", "", "NoSchedule").info(&[]),
    ]
    .into_iter()
    .collect();
    let both = "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, \
                2 Insufficient cpu, 2 Insufficient memory.";
    assert_eq!(decide(&pod("p").asks("1", "1Gi"), &snapshot, &mut 0, 0), both);
    let field = json!({"key": "metadata.name", "operator": "In", "values": ["a"]});
    let here = pod("p").asks("1", "1Gi").requires(json!([{"matchFields": [field]}]));
    let named = "0/4 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, \
                 3 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    assert_eq!(decide(&here, &snapshot, &mut 0, 0), named);
    let nowhere =
        json!([{"matchFields": [field, {"key": "metadata.name", "operator": "In", "values": ["b"]}]}]);
    let conflict = "0/4 nodes are available: pod affinity terms conflict.";
    assert_eq!(decide(&pod("p").requires(nowhere), &snapshot, &mut 0, 0), conflict);
}

#[test]
fn of_many_nodes_a_share_is_enough() {
    for (nodes, want) in [(1, 1), (99, 99), (100, 100), (200, 100), (1000, 420), (5000, 500), (10000, 500)] {
        assert_eq!(enough(nodes), want, "{nodes} nodes");
    }
}

#[tokio::test]
async fn the_search_goes_on_where_it_ended() {
    let snapshot = (0..300).map(|i| node(&format!("n{i}")).info(&[])).collect();
    let mut start = 0;
    assert_eq!(decide(&pod("p"), &snapshot, &mut start, 0), "n0");
    assert_eq!((start, decide(&pod("p"), &snapshot, &mut start, 0).as_str()), (144, "n144"));
}
