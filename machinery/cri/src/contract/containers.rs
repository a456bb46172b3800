//! The life of containers: states, exits, logs, exec, filters, events.

use std::collections::BTreeMap;

use super::Suite;
use crate::v1::*;

impl Suite<'_> {
    pub(super) async fn container_life(&self) {
        let sandbox = self.run_sandbox("container-life").await;
        let id = self.create(&sandbox, "main", &self.params.wait).await;
        let created = self.status(&id).await;
        assert_eq!(created.state(), ContainerState::ContainerCreated);
        assert_eq!((created.started_at, created.finished_at), (0, 0));
        self.start(&id).await;
        let running = self.status(&id).await;
        assert_eq!(running.state(), ContainerState::ContainerRunning);
        assert!(running.started_at >= running.created_at && running.created_at > 0);
        assert_eq!(running.metadata.map(|m| m.name).as_deref(), Some("main"));
        assert_eq!(running.annotations.get("hash").map(String::as_str), Some("1"));
        assert!(!running.image_ref.is_empty());

        let stop = StopContainerRequest { container_id: id.clone(), timeout: 1 };
        self.client.stop_container(stop.clone()).await.expect("StopContainer works");
        let exited = self.status(&id).await;
        assert_eq!(exited.state(), ContainerState::ContainerExited, "stopped when the call returns");
        assert!(exited.finished_at >= exited.started_at);
        self.client.stop_container(stop).await.expect("StopContainer is idempotent");
        self.remove_sandbox(&sandbox.0).await;
    }

    pub(super) async fn container_exit_and_log(&self) {
        let mut events = self.subscribe().await;
        let sandbox = self.run_sandbox("exit").await;
        let id = self.create(&sandbox, "short", &self.params.hello_then_3).await;
        self.start(&id).await;
        let status = self.wait_for_exit(&id, &mut events).await;
        assert_eq!(status.exit_code, 3);
        assert_eq!(status.reason, "Error");
        let path = std::path::Path::new(&sandbox.1.log_directory).join("short.log");
        assert_eq!(
            std::path::Path::new(&status.log_path),
            path,
            "the status tells the whole path of the log"
        );
        let log = std::fs::read_to_string(&path).expect("the log is where the configuration says");
        let line = log.lines().next().expect("a line was logged");
        let fields: Vec<&str> = line.splitn(4, ' ').collect();
        assert_eq!(fields[1..], ["stdout", "F", "hello"], "the CRI log format: {line}");
        assert!(fields[0].contains('T'), "a log line begins with its time: {line}");
        self.remove_sandbox(&sandbox.0).await;
    }

    pub(super) async fn container_filters(&self) {
        let sandbox = self.run_sandbox("filters").await;
        let one = self.create(&sandbox, "one", &self.params.wait).await;
        let two = self.create(&sandbox, "two", &self.params.wait).await;
        self.start(&two).await;
        let state = |state: ContainerState| Some(ContainerStateValue { state: state.into() });
        let filter = || ContainerFilter { pod_sandbox_id: sandbox.0.clone(), ..Default::default() };
        let label = BTreeMap::from([("contract".to_owned(), "two".to_owned())]);
        for (filter, expected) in [
            (ContainerFilter { id: one.clone(), ..filter() }, vec![&one]),
            (ContainerFilter { state: state(ContainerState::ContainerCreated), ..filter() }, vec![&one]),
            (ContainerFilter { state: state(ContainerState::ContainerRunning), ..filter() }, vec![&two]),
            (ContainerFilter { label_selector: label, ..filter() }, vec![&two]),
            (ContainerFilter { state: state(ContainerState::ContainerExited), ..filter() }, vec![]),
        ] {
            let request = ListContainersRequest { filter: Some(filter.clone()) };
            let listed = self.client.list_containers(request).await.expect("ListContainers works");
            let ids: Vec<&String> = listed.containers.iter().map(|container| &container.id).collect();
            assert_eq!(ids, expected, "{filter:?}");
        }
        self.remove_sandbox(&sandbox.0).await;
    }

    pub(super) async fn exec(&self) {
        let sandbox = self.run_sandbox("exec").await;
        let id = self.create(&sandbox, "main", &self.params.wait).await;
        self.start(&id).await;
        let exec = |cmd: &[String], timeout| ExecSyncRequest {
            container_id: id.clone(),
            cmd: cmd.to_vec(),
            timeout,
        };
        let hello = self.client.exec_sync(exec(&self.params.exec_hello, 0)).await.expect("ExecSync works");
        assert_eq!((hello.exit_code, hello.stdout.as_slice()), (0, b"hello\n".as_slice()));
        let seven = self
            .client
            .exec_sync(exec(&self.params.exec_7, 10))
            .await
            .expect("a failing command is an answer");
        assert_eq!(seven.exit_code, 7);
        let hung =
            self.client.exec_sync(exec(&self.params.exec_hang, 1)).await.expect_err("the timeout is kept");
        assert_eq!(hung.code, crate::Code::DeadlineExceeded);
        self.remove_sandbox(&sandbox.0).await;
    }

    pub(super) async fn removal_is_idempotent(&self) {
        let sandbox = self.run_sandbox("removal").await;
        let id = self.create(&sandbox, "main", &self.params.wait).await;
        self.start(&id).await;
        let remove = RemoveContainerRequest { container_id: id.clone() };
        self.client
            .remove_container(remove.clone())
            .await
            .expect("RemoveContainer takes a running container too");
        self.client.remove_container(remove).await.expect("RemoveContainer is idempotent");
        self.remove_sandbox(&sandbox.0).await;
        self.remove_sandbox(&sandbox.0).await;
    }

    pub(super) async fn events(&self) {
        let mut events = self.subscribe().await;
        let sandbox = self.run_sandbox("events").await;
        let id = self.create(&sandbox, "main", &self.params.wait).await;
        self.start(&id).await;
        let stop = StopContainerRequest { container_id: id.clone(), timeout: 1 };
        self.client.stop_container(stop).await.expect("StopContainer works");
        let remove = RemoveContainerRequest { container_id: id.clone() };
        self.client.remove_container(remove).await.expect("RemoveContainer works");
        let mut seen = Vec::new();
        while seen.last() != Some(&ContainerEventType::ContainerDeletedEvent) {
            let next = tokio::time::timeout(std::time::Duration::from_secs(30), events.message()).await;
            let event =
                next.expect("told within 30 s").expect("the stream lives").expect("the stream goes on");
            if event.container_id == id {
                let pod = event.pod_sandbox_status.as_ref().expect("an event tells the sandbox");
                assert_eq!(pod.id, sandbox.0);
                seen.push(event.container_event_type());
            }
        }
        use ContainerEventType::*;
        assert_eq!(
            seen,
            [ContainerCreatedEvent, ContainerStartedEvent, ContainerStoppedEvent, ContainerDeletedEvent]
        );
        self.remove_sandbox(&sandbox.0).await;
    }
}
