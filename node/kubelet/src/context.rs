//! What every part of one kubelet shares. Built once by [`crate::run`], handed down by `Arc`.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use oarlock_base::TaskSpawner;
use oarlock_client::{EventRecorder, EventType, Informer};
use tokio::sync::watch;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::images::Images;
use crate::objects::Objects;
use crate::observed::Observer;
use crate::pod::{Kind, PodExt as _};
use crate::status::StatusWriter;
use crate::volumes::{VolumeError, Volumes};

pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) cri: oarlock_cri::Client,
    pub(crate) observer: Observer,
    pub(crate) recorder: EventRecorder,
    pub(crate) objects: Objects,
    pub(crate) volumes: Volumes,
    pub(crate) images: Images,
    pub(crate) status: StatusWriter,
    pub(crate) cgroups: Option<Cgroups>,
    pub(crate) services: Informer<Service>,
    /// This node as last seen in the API, or as made here before that.
    pub(crate) node: watch::Sender<Arc<Node>>,
    /// The runtime's name, once it has answered: the scheme of container ids.
    pub(crate) runtime_name: parking_lot::RwLock<String>,
    pub(crate) spawner: TaskSpawner,
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    pub(crate) fn host_ip(&self) -> String {
        self.config.node_ip.to_string()
    }

    pub(crate) fn pod_event(&self, pod: &Pod, kind: EventType, reason: &str, message: impl Into<String>) {
        self.recorder.event(&pod.reference(), kind, reason, message);
    }

    pub(crate) fn container_event(
        &self,
        pod: &Pod,
        container: (Kind, &str),
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.recorder.event(&pod.container_reference(container.0, container.1), kind, reason, message);
    }

    /// Makes the pod's volumes and keeps them up to date; see [`Volumes::mount_with`].
    pub(crate) async fn mount_volumes(
        &self,
        pod: &Pod,
        wake: &Arc<tokio::sync::Notify>,
    ) -> Result<(), VolumeError> {
        let node = self.node.borrow().clone();
        self.volumes.mount_with(&self.objects, &node, pod, wake).await
    }

    /// `NAMESPACE_NAME_UID` under the log directory, as log shippers expect it.
    pub(crate) fn log_dir(&self, pod: &Pod) -> std::path::PathBuf {
        let name = format!("{}_{}_{}", pod.namespace(), pod.name(), pod.uid_str());
        self.config.pod_logs_dir.join(name)
    }
}
