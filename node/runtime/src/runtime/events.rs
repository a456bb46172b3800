//! What the shims report, and what listeners of the runtime are told.

use std::sync::Arc;

use oarlock_cri::ResponseStream;
use oarlock_cri::Status;
use oarlock_cri::v1::{ContainerEventResponse, ContainerEventType};
use tokio::sync::broadcast::error::RecvError;
use tracing::{debug, info, warn};

use super::record::{Phase, Pod};
use super::{Runtime, convert};
use crate::disk;
use crate::shim::protocol::{Event, Exit};

impl Runtime {
    /// Takes over what a shim reports.
    pub(super) fn apply(&self, pod: &Pod, event: Event) {
        match event {
            Event::Snapshot { running, exited, shim_pid, pause_pid } => {
                pod.change(|status| (status.shim_pid, status.pause_pid) = (shim_pid, pause_pid));
                for (id, pid) in running {
                    if let Ok(container) = self.container(&id) {
                        container.change(|status| {
                            let new = status.phase == Phase::Created;
                            if new {
                                // An earlier agent was killed between starting it and noting so.
                                (status.phase, status.pid) = (Phase::Running, pid);
                                status.started_at = disk::now_ns();
                            }
                            new
                        });
                    }
                }
                exited.into_iter().for_each(|(id, exit)| self.container_ended(pod, &id, &exit));
            }
            Event::Exited { container, exit } => self.container_ended(pod, &container, &exit),
        }
    }

    fn container_ended(&self, pod: &Pod, id: &str, exit: &Exit) {
        let Ok(container) = self.container(id) else { return };
        if container.ended(exit) {
            info!(container = id, code = exit.code, oom_killed = exit.oom_killed, "container ended");
            self.emit(id, pod, ContainerEventType::ContainerStoppedEvent);
        }
    }

    /// The shim has closed its socket: stopped with its pod, or killed.
    pub(super) async fn shim_died(&self, pod: &Pod) {
        let _one = pod.op.lock().await;
        if !pod.status().ready {
            return;
        }
        warn!(pod = pod.record.id, "the pod's shim has died; its containers end with it");
        for container in self.containers_of(&pod.record.id) {
            if container.is_running() {
                self.abandon(&container);
                self.emit(&container.record.id, pod, ContainerEventType::ContainerStoppedEvent);
            }
        }
        pod.change(|status| status.ready = false);
        self.emit(&pod.record.id, pod, ContainerEventType::ContainerStoppedEvent);
    }

    /// Tells the listeners of a change of a container, or of the pod itself.
    pub(super) fn emit(&self, id: &str, pod: &Pod, kind: ContainerEventType) {
        if self.events.receiver_count() == 0 {
            return;
        }
        let containers = self.containers_of(&pod.record.id);
        let event = ContainerEventResponse {
            container_id: id.to_string(),
            container_event_type: kind as i32,
            created_at: disk::now_ns(),
            pod_sandbox_status: Some(convert::pod_status(pod)),
            containers_statuses: containers
                .iter()
                .map(|container| convert::container_status(container))
                .collect(),
        };
        // Nobody listens any more: nobody misses it.
        let _ = self.events.send(event);
    }

    /// All changes from now on.
    pub(super) fn listen(self: &Arc<Self>) -> ResponseStream<ContainerEventResponse> {
        let state = (self.events.subscribe(), self.tasks.shutdown().clone());
        Box::pin(futures::stream::unfold(state, |(mut events, stop)| async move {
            match stop.or(events.recv()).await? {
                Ok(event) => Some((Ok(event), (events, stop))),
                Err(RecvError::Lagged(missed)) => {
                    debug!(missed, "a listener of container events is too slow");
                    let lost = Status::resource_exhausted(format!("{missed} events were lost"));
                    Some((Err(lost), (events, stop)))
                }
                Err(RecvError::Closed) => None,
            }
        }))
    }
}
