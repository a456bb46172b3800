//! What a controller is made from.

use std::fmt::Display;
use std::hash::Hash;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController};
use kube::Client;
use oarlock_base::{TaskSpawner, Tasks};
use oarlock_client::{EventRecorder, Informer, Informers, Outcome, WorkQueue, controller_of, run_workers};

use super::projection;
use crate::config::{ClientFactory, Config};

/// The shared parts, and the way to a client of one's own.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) informers: Informers,
    pub(crate) spawner: TaskSpawner,
    clients: ClientFactory,
}

/// A controller that has added its indexes and handlers to the informers, and is to start its workers once these are
/// synced.
pub(crate) trait Controller: Send {
    fn start(self: Box<Self>, tasks: &mut Tasks);
}

impl Context {
    pub(crate) fn new(config: Config, spawner: TaskSpawner) -> Self {
        let clients = config.clients.clone();
        let informers = Informers::new(clients("system:kube-controller-manager"), spawner.clone());
        Self { config, informers, spawner, clients }
    }

    /// A client with the identity of a controller's service account.
    pub(crate) fn client(&self, service_account: &str) -> Client {
        (self.clients)(&format!("system:serviceaccount:kube-system:{service_account}"))
    }

    pub(crate) fn recorder(&self, client: &Client, component: &str) -> EventRecorder {
        EventRecorder::new(client.clone(), component, "", &self.spawner)
    }

    /// All pods, thinned to what controllers read.
    pub(crate) fn pods(&self) -> Informer<Pod> {
        let informer = self.informers.of::<Pod>();
        informer.project(projection::pod);
        informer.add_index(BY_NAMESPACE, |pod| pod.metadata.namespace.clone().into_iter().collect());
        informer.add_index(BY_CONTROLLER, |pod| {
            controller_of(&pod.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
        });
        informer.add_index(ORPHANS, |pod| match controller_of(&pod.metadata) {
            None => pod.metadata.namespace.clone().into_iter().collect(),
            Some(_) => vec![],
        });
        informer.add_index(BY_NODE, |pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            node.filter(|node| !node.is_empty()).into_iter().collect()
        });
        informer
    }

    pub(crate) fn replica_sets(&self) -> Informer<ReplicaSet> {
        let informer = self.informers.of::<ReplicaSet>();
        informer.add_index(BY_NAMESPACE, |set| set.metadata.namespace.clone().into_iter().collect());
        informer.add_index(BY_CONTROLLER, |set| {
            controller_of(&set.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
        });
        informer
    }

    pub(crate) fn replication_controllers(&self) -> Informer<ReplicationController> {
        let informer = self.informers.of::<ReplicationController>();
        informer.add_index(BY_NAMESPACE, |it| it.metadata.namespace.clone().into_iter().collect());
        informer.add_index(BY_CONTROLLER, |it| {
            controller_of(&it.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
        });
        informer
    }

    /// All claims, thinned to what controllers read.
    pub(crate) fn claims(&self) -> Informer<PersistentVolumeClaim> {
        let informer = self.informers.of::<PersistentVolumeClaim>();
        informer.project(projection::claim);
        informer
    }

    /// All volumes, thinned to what controllers read.
    pub(crate) fn volumes(&self) -> Informer<PersistentVolume> {
        let informer = self.informers.of::<PersistentVolume>();
        informer.project(projection::volume);
        informer
    }

    /// All nodes, without their lists of images and volumes.
    pub(crate) fn nodes(&self) -> Informer<Node> {
        let informer = self.informers.of::<Node>();
        informer.project(projection::node);
        informer
    }
}

/// Index names. The values: a namespace, the uid of the controller, a namespace (of those without a controller), a
/// node's name.
pub(crate) const BY_NAMESPACE: &str = "namespace";
pub(crate) const BY_CONTROLLER: &str = "controller";
pub(crate) const ORPHANS: &str = "orphans";
pub(crate) const BY_NODE: &str = "node";

/// The workers of a controller whose state is shared by reference.
pub(crate) fn work<C, T, F, Fut, E>(
    tasks: &mut Tasks,
    controller: C,
    queue: &WorkQueue<T>,
    workers: usize,
    sync: F,
) where
    C: Clone + Send + Sync + 'static,
    T: Clone + Eq + Hash + Display + Send + Sync + 'static,
    F: Fn(C, T) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, E>> + Send + 'static,
    E: std::error::Error + Send + 'static,
{
    run_workers(tasks, queue, workers, move |key| sync(controller.clone(), key));
}
