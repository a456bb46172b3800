//! The whole scheduler against the fake API.

use oarlock_base::Shutdown;
use oarlock_client::testing::FakeApi;
use oarlock_telemetry::Metrics;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::testing::{node, pod};
use crate::{Config, SchedulerError, run};

struct World {
    api: FakeApi,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), SchedulerError>>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the test owns the task, and waits for it in `end`")]
    fn start(api: FakeApi) -> Self {
        let shutdown = Shutdown::new();
        let config = Config { metrics: Metrics::new(), ..Config::new(api.client()) };
        let running = tokio::spawn(run(config, shutdown.clone()));
        Self { api, shutdown, running }
    }

    async fn bound(&self, name: &str) -> String {
        let node =
            |api: &FakeApi| Some(api.get("pods", "shop", name)?["spec"]["nodeName"].as_str()?.to_string());
        self.api.until(node).await
    }

    /// The message of the first event of that reason.
    async fn event(&self, reason: &str) -> String {
        let of = |api: &FakeApi| api.list("events").into_iter().find(|event| event["reason"] == reason);
        self.api.until(of).await["message"].as_str().unwrap_or_default().to_string()
    }

    async fn end(self) {
        self.shutdown.trigger();
        self.running.await.expect("no panic").expect("ends well");
    }
}

#[tokio::test]
async fn a_pod_is_bound_where_it_fits() {
    let api = FakeApi::new();
    api.put(node("small").has("cpu", "100m").json());
    api.put(node("large").json());
    let world = World::start(api);
    world.api.put(pod("web").asks("1", "1Gi").json());
    assert_eq!(world.bound("web").await, "large");
    assert_eq!(world.event("Scheduled").await, "Successfully assigned shop/web to large");
    world.end().await;
}

#[tokio::test]
async fn a_pod_without_a_place_says_why_and_goes_there_later() {
    let world = World::start(FakeApi::new());
    world.api.put(pod("web").json());
    assert_eq!(world.event("FailedScheduling").await, "no nodes available to schedule pods");
    world.api.put(node("a").taint("dedicated", "x", "NoSchedule").json());
    let full = "0/1 nodes are available: 1 node(s) had untolerated taint(s).";
    let condition = |api: &FakeApi| {
        let pod = api.get("pods", "shop", "web")?;
        let condition = pod["status"]["conditions"].get(0)?.clone();
        (condition["message"] == full).then_some(condition)
    };
    let condition = world.api.until(condition).await;
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Unschedulable")));
    world.api.put(node("a").json());
    assert_eq!(world.bound("web").await, "a");
    world.end().await;
}
