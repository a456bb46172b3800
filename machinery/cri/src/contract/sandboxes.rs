//! Version, conditions and the life of sandboxes.

use std::collections::BTreeMap;

use super::Suite;
use crate::v1::*;

impl Suite<'_> {
    pub(super) async fn versions_and_conditions(&self) {
        let version = self.client.version(VersionRequest::default()).await.expect("Version works");
        assert_eq!(version.runtime_api_version, "v1");
        assert!(!version.runtime_name.is_empty());
        let status = self.client.status(StatusRequest::default()).await.expect("Status works");
        let conditions = status.status.expect("Status holds a status").conditions;
        for name in ["RuntimeReady", "NetworkReady"] {
            assert!(conditions.iter().any(|condition| condition.r#type == name), "{name} is reported");
        }
    }

    pub(super) async fn sandbox_life(&self) {
        let (id, config) = self.run_sandbox("life").await;
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: false };
        let response = self.client.pod_sandbox_status(request.clone()).await.expect("PodSandboxStatus works");
        let status = response.status.expect("a status");
        assert_eq!(status.state(), PodSandboxState::SandboxReady);
        assert_eq!((&status.metadata, &status.labels), (&config.metadata, &config.labels));
        assert_eq!(status.annotations, config.annotations);
        assert!(status.created_at > 0, "createdAt is in nanoseconds");
        let ip = status.network.map(|network| network.ip).unwrap_or_default();
        assert_eq!(ip.is_empty(), self.params.host_network, "a sandbox with its own network has an address");

        let stop = StopPodSandboxRequest { pod_sandbox_id: id.clone() };
        self.client.stop_pod_sandbox(stop.clone()).await.expect("StopPodSandbox works");
        self.client.stop_pod_sandbox(stop).await.expect("StopPodSandbox is idempotent");
        let response =
            self.client.pod_sandbox_status(request.clone()).await.expect("a stopped sandbox has a status");
        assert_eq!(response.status.expect("a status").state(), PodSandboxState::SandboxNotready);
        self.remove_sandbox(&id).await;
        let error = self.client.pod_sandbox_status(request).await.expect_err("the sandbox is gone");
        assert!(error.is_not_found(), "{error}");
    }

    pub(super) async fn sandbox_filters(&self) {
        let (first, _) = self.run_sandbox("first").await;
        let (second, _) = self.run_sandbox("second").await;
        let label = |value: &str| BTreeMap::from([("contract".to_owned(), value.to_owned())]);
        let ready = Some(PodSandboxStateValue { state: PodSandboxState::SandboxReady.into() });
        let stopped = Some(PodSandboxStateValue { state: PodSandboxState::SandboxNotready.into() });
        let filter = PodSandboxFilter::default;
        for (filter, expected) in [
            (PodSandboxFilter { id: first.clone(), ..filter() }, vec![&first]),
            (PodSandboxFilter { label_selector: label("second"), ..filter() }, vec![&second]),
            (PodSandboxFilter { label_selector: label("first"), state: ready, ..filter() }, vec![&first]),
            (PodSandboxFilter { label_selector: label("first"), state: stopped, ..filter() }, vec![]),
        ] {
            let request = ListPodSandboxRequest { filter: Some(filter.clone()) };
            let listed = self.client.list_pod_sandbox(request).await.expect("ListPodSandbox works");
            let ids: Vec<&String> = listed.items.iter().map(|sandbox| &sandbox.id).collect();
            assert_eq!(ids, expected, "{filter:?}");
        }
        self.remove_sandbox(&first).await;
        self.remove_sandbox(&second).await;
    }

    pub(super) async fn stopping_a_sandbox_stops_its_containers(&self) {
        let sandbox = self.run_sandbox("stopping").await;
        let id = self.create(&sandbox, "runs", &self.params.wait).await;
        self.start(&id).await;
        let stop = StopPodSandboxRequest { pod_sandbox_id: sandbox.0.clone() };
        self.client.stop_pod_sandbox(stop).await.expect("StopPodSandbox works");
        assert_eq!(self.status(&id).await.state(), ContainerState::ContainerExited);
        self.remove_sandbox(&sandbox.0).await;
        let request = ContainerStatusRequest { container_id: id, verbose: false };
        let error = self.client.container_status(request).await.expect_err("it went with its sandbox");
        assert!(error.is_not_found(), "{error}");
    }
}
