use super::*;
use crate::testing::{World, pod};
use oarlock_client::testing::FakeApi;
use serde_json::Value;

#[test]
fn ended_pods_beyond_the_threshold_go_oldest_first() {
    let ended = |name: &str, phase: &str, day: u32| {
        pod(name).phase(phase).with(|pod| {
            pod.metadata.creation_timestamp =
                Some(Time(crate::testing::at(&format!("2025-12-{day:02}T00:00:00Z"))));
        })
    };
    let evicted = ended("e", "Failed", 9).with(|pod| {
        pod.status.get_or_insert_default().reason = Some("Evicted".into());
    });
    let pods = [
        ended("a", "Succeeded", 3),
        ended("b", "Failed", 1),
        ended("c", "Running", 1),
        evicted,
        ended("d", "Failed", 5),
    ];
    let pods: Vec<Arc<Pod>> = pods.into_iter().map(|pod| Arc::new(pod.build())).collect();
    let names = |threshold| {
        plan::surplus(pods.clone(), threshold)
            .iter()
            .map(|pod| name(pod).to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names(4), "");
    assert_eq!(names(2), "e b");
}

fn put_pod(api: &FakeApi, name: &str, node: &str, deleting: bool) {
    let deleted: Value = if deleting { json!("2026-01-01T00:00:00Z") } else { Value::Null };
    api.put(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30},
        "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Pending"},
    }));
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_lost_node_go_after_the_quarantine() {
    let api = FakeApi::new();
    api.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "lost"}}));
    api.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "kept"}}));
    put_pod(&api, "orphan", "lost", false);
    put_pod(&api, "safe", "kept", false);
    put_pod(&api, "unscheduled", "", true);
    let world = World::start(api.clone(), PodGcController::register).await;
    api.until(|api| api.get("pods", "default", "unscheduled").is_none().then_some(())).await;
    let start = tokio::time::Instant::now();
    api.remove("nodes", "", "lost");
    api.until(|api| api.get("pods", "default", "orphan").is_none().then_some(())).await;
    assert_eq!(start.elapsed(), QUARANTINE);
    let patches = api.writes();
    let failed = patches.iter().find(|write| write.path.ends_with("orphan/status")).expect("was marked");
    assert_eq!(failed.body["status"]["conditions"][0]["reason"], "DeletionByPodGC");
    assert!(api.get("pods", "default", "safe").is_some());
    world.end().await;
}
