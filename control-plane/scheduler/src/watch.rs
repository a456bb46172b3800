//! From the watch into the state: what each change of a pod or node means to the cache and the queue.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Node, Pod};
use oarlock_client::{Change, Informers, Selection};

use crate::core::{Core, Shared};
use crate::framework::ClusterChange;
use crate::model::{NodeFacts, PodInfo};
use crate::queue::{Now, Profiles};

/// Pods that have come to their end take nothing from their node.
const LIVE_PODS: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Subscribes to what the scheduler looks at. The informers are started by the caller.
pub(crate) fn subscribe(informers: &Informers, shared: &Arc<Shared>) {
    let nodes = informers.of::<Node>();
    nodes.project(thin_node);
    let core = shared.clone();
    nodes.subscribe(move |change| core.with(|core| node_changed(core, change, Now::read())));

    let pods = informers.select::<Pod>(Selection::all().fields(LIVE_PODS));
    pods.project(thin_pod);
    let core = shared.clone();
    pods.subscribe(move |change| {
        let pod = Arc::new(PodInfo::parse(change.object()));
        let gone = matches!(change, Change::Deleted(_));
        core.with(|state| pod_changed(state, &core.profiles, pod, gone, Now::read()));
    });
}

fn thin_node(node: &mut Node) {
    node.metadata.annotations = None;
    if let Some(status) = &mut node.status {
        let allocatable = status.allocatable.take();
        *status = Default::default();
        status.allocatable = allocatable;
    }
}

fn thin_container(container: &mut Container) {
    *container = Container {
        name: std::mem::take(&mut container.name),
        resources: container.resources.take(),
        ports: container.ports.take(),
        restart_policy: container.restart_policy.take(),
        ..Container::default()
    };
}

fn thin_pod(pod: &mut Pod) {
    pod.metadata.annotations = None;
    pod.metadata.owner_references = None;
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
        spec.ephemeral_containers = None;
        spec.security_context = None;
        spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(thin_container);
    }
    if let Some(status) = &mut pod.status {
        let mut conditions = status.conditions.take();
        if let Some(conditions) = &mut conditions {
            conditions.retain(|condition| condition.type_ == "PodScheduled");
        }
        *status = Default::default();
        status.conditions = conditions;
    }
}

fn node_changed(core: &mut Core, change: &Change<Node>, now: Now) {
    let node = Arc::new(NodeFacts::parse(change.object()));
    if matches!(change, Change::Deleted(_)) {
        return core.cache.remove_node(&node.name);
    }
    match core.cache.set_node(node.clone()) {
        None => core.queue.changed(&ClusterChange::NodeAdded(node), now),
        // Most updates are heartbeats.
        Some(old) if old == node => {}
        Some(old) => core.queue.changed(&ClusterChange::NodeUpdated { old, new: node }, now),
    }
}

fn pod_changed(core: &mut Core, profiles: &Profiles, pod: Arc<PodInfo>, gone: bool, now: Now) {
    if gone {
        core.queue.remove(&pod.uid);
        if let Some(pod) = core.cache.remove_pod(&pod.uid) {
            core.queue.changed(&ClusterChange::AssignedPodDeleted(pod), now);
        }
    } else if pod.node.is_some() {
        core.queue.remove(&pod.uid);
        if let Some(old) = core.cache.set_pod(pod.clone())
            && old.spec != pod.spec
        {
            core.queue.changed(&ClusterChange::AssignedPodUpdated { old, new: pod }, now);
        }
    } else if pod.terminating || !profiles.contains_key(&pod.scheduler) {
        core.queue.remove(&pod.uid);
    } else if core.queue.contains(&pod.uid) || !core.cache.contains(&pod.uid) {
        // The other way round: it is bound already, and this is its past.
        core.queue.set(pod, now);
    }
}
