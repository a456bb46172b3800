use super::*;
use crate::common::Context;
use crate::replicaset::ReplicaSetController;
use crate::testing::World;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, json};

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "default", "name": "web", "annotations": {"note": "kept"}},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

struct Both(Box<dyn Controller>, Box<dyn Controller>);

impl Controller for Both {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        self.0.start(tasks);
        self.1.start(tasks);
    }
}

/// The deployment and the replica set controllers together.
fn both(context: &Context) -> Box<dyn Controller> {
    Box::new(Both(
        DeploymentController::register(context),
        ReplicaSetController::<ReplicaSet>::register(context),
    ))
}

/// Plays the kubelet: every pod is ready at once.
fn make_ready(api: &FakeApi) {
    for mut pod in api.list("pods") {
        if pod["status"]["phase"] != "Running" {
            pod["status"] = json!({
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            });
            api.put(pod);
        }
    }
}

fn complete(api: &FakeApi) -> Option<Value> {
    make_ready(api);
    let deployment = api.get("deployments", "default", "web")?;
    let status = &deployment["status"];
    let done = status["conditions"].as_array()?.iter().any(|c| c["reason"] == "NewReplicaSetAvailable")
        && status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["updatedReplicas"] == 3
        && status["replicas"] == 3;
    done.then_some(deployment)
}

fn edit(api: &FakeApi, change: impl FnOnce(&mut Value)) {
    let mut deployment = api.get("deployments", "default", "web").expect("exists");
    change(&mut deployment);
    deployment["metadata"]["generation"] =
        json!(deployment["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
    api.put(deployment);
}

fn revisions(api: &FakeApi) -> Vec<(String, i64)> {
    let mut revisions: Vec<(String, i64)> = api
        .list("replicasets")
        .iter()
        .map(|set| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            let image = text(&set["spec"]["template"]["spec"]["containers"][0]["image"]);
            let revision = text(&set["metadata"]["annotations"]["deployment.kubernetes.io/revision"]);
            (format!("{image}:{revision}"), set["spec"]["replicas"].as_i64().unwrap_or_default())
        })
        .collect();
    revisions.sort();
    revisions
}

#[tokio::test]
async fn rolls_out_a_template_and_back() {
    let api = FakeApi::new();
    api.put(deployment("one"));
    let world = World::start(api.clone(), both).await;
    let first = api.until(complete).await;
    assert_eq!(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    let set = api.list("replicasets").remove(0);
    assert_eq!(set["metadata"]["annotations"]["note"], "kept");
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().expect("has one").to_string();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"]["pod-template-hash"], hash);

    edit(&api, |it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two"));
    api.until(complete).await;
    assert_eq!(revisions(&api), [("one:1".to_string(), 0), ("two:2".to_string(), 3)]);

    edit(&api, |it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("one"));
    let back = api.until(complete).await;
    assert_eq!(revisions(&api), [("one:3".to_string(), 3), ("two:2".to_string(), 0)]);
    assert_eq!(back["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    let messages: Vec<Value> = api.until(|api| Some(api.list("events")).filter(|all| !all.is_empty())).await;
    let scaled = messages.iter().filter(|event| event["reason"] == "ScalingReplicaSet");
    assert!(
        scaled
            .clone()
            .any(|event| event["message"] == json!(format!("Scaled up replica set web-{hash} from 0 to 3")))
    );
    world.end().await;
}

#[tokio::test]
async fn recreate_ends_all_old_pods_first() {
    let api = FakeApi::new();
    let mut recreate = deployment("one");
    recreate["spec"]["strategy"] = json!({"type": "Recreate"});
    api.put(recreate);
    let world = World::start(api.clone(), both).await;
    api.until(complete).await;
    edit(&api, |it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two"));
    api.until(|api| {
        let images: std::collections::BTreeSet<String> =
            api.list("pods").iter().map(|pod| pod["spec"]["containers"][0]["image"].to_string()).collect();
        assert!(images.len() < 2, "old and new pods at once");
        complete(api)
    })
    .await;
    world.end().await;
}

#[tokio::test]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let api = FakeApi::new();
    api.put(deployment("one"));
    let world = World::start(api.clone(), both).await;
    api.until(complete).await;
    edit(&api, |it| {
        it["spec"]["paused"] = json!(true);
        it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
        it["spec"]["replicas"] = json!(5);
    });
    api.until(|api| (revisions(api) == [("one:1".to_string(), 5)]).then_some(())).await;
    edit(&api, |it| {
        it["spec"]["paused"] = json!(false);
        it["spec"]["replicas"] = json!(3);
    });
    api.until(complete).await;
    assert_eq!(revisions(&api), [("one:1".to_string(), 0), ("two:2".to_string(), 3)]);
    world.end().await;
}
