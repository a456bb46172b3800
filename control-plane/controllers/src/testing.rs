//! Builders and a running controller for this crate's tests.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodIP, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use oarlock_base::{Shutdown, Tasks};
use oarlock_client::testing::FakeApi;

use crate::common::{Context, Controller};
use crate::config::Config;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// One controller at work on a fake API.
pub(crate) struct World {
    tasks: Tasks,
}

impl World {
    pub(crate) async fn start(api: FakeApi, make: impl FnOnce(&Context) -> Box<dyn Controller>) -> Self {
        Self::start_with(api, |_| {}, make).await
    }

    pub(crate) async fn start_with(
        api: FakeApi,
        configure: impl FnOnce(&mut Config),
        make: impl FnOnce(&Context) -> Box<dyn Controller>,
    ) -> Self {
        let mut tasks = Tasks::new("test", &Shutdown::new());
        let client = api.client();
        let mut config = Config::new(Arc::new(move |_| client.clone()), "root ca".into());
        configure(&mut config);
        let context = Context::new(config, tasks.spawner());
        let controller = make(&context);
        context.informers.start();
        context.informers.synced().await;
        controller.start(&mut tasks);
        Self { tasks }
    }

    pub(crate) async fn end(self) {
        self.tasks.shutdown().trigger();
        self.tasks.join().await.expect("nothing failed");
    }
}

pub(crate) struct PodBuilder(Pod);

/// A pod in `default`, of which nothing is known but its name.
pub(crate) fn pod(name: &str) -> PodBuilder {
    let mut pod =
        Pod { spec: Some(PodSpec::default()), status: Some(PodStatus::default()), ..Pod::default() };
    pod.metadata.name = Some(name.into());
    pod.metadata.namespace = Some("default".into());
    pod.metadata.uid = Some(format!("uid-{name}"));
    pod.metadata.creation_timestamp = Some(Time(at("2025-12-30T00:00:00Z")));
    PodBuilder(pod)
}

impl PodBuilder {
    fn spec(mut self, change: impl FnOnce(&mut PodSpec)) -> Self {
        change(self.0.spec.as_mut().expect("the builder made one"));
        self
    }

    fn status(mut self, change: impl FnOnce(&mut PodStatus)) -> Self {
        change(self.0.status.as_mut().expect("the builder made one"));
        self
    }

    pub(crate) fn node(self, node: &str) -> Self {
        self.spec(|spec| spec.node_name = Some(node.into()))
    }

    pub(crate) fn phase(self, phase: &str) -> Self {
        self.status(|status| status.phase = Some(phase.into()))
    }

    pub(crate) fn ip(self, ip: &str) -> Self {
        self.status(|status| {
            status.pod_ip = Some(ip.into());
            status.pod_ips = Some(vec![PodIP { ip: ip.into() }]);
        })
    }

    pub(crate) fn ready_since(self, time: &str) -> Self {
        let condition = PodCondition {
            type_: "Ready".into(),
            status: "True".into(),
            last_transition_time: Some(Time(at(time))),
            ..PodCondition::default()
        };
        self.status(|status| status.conditions = Some(vec![condition]))
    }

    pub(crate) fn restarts(self, restart_count: i32) -> Self {
        let container = ContainerStatus { restart_count, ..ContainerStatus::default() };
        self.status(|status| status.container_statuses = Some(vec![container]))
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.metadata.annotations.get_or_insert_default().insert(key.into(), value.into());
        self
    }

    pub(crate) fn deleting(mut self) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(at("2026-01-01T00:00:00Z")));
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(&mut self.0);
        self
    }

    pub(crate) fn build(self) -> Pod {
        self.0
    }
}
