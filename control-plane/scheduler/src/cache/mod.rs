//! Nodes and the pods on them, bound or assumed. Fed by the watch; the [`Snapshot`] that decisions read is brought up to
//! date from here by what changed only.

mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::model::{NodeFacts, NodeInfo, PodInfo, PodUid};
pub use snapshot::Snapshot;

#[derive(Default)]
struct Slot {
    info: NodeInfo,
    /// Whether the Node object exists; its pods may be seen before and after it.
    exists: bool,
    /// Its place in the snapshot, where it is in one.
    at: usize,
}

struct Placed {
    pod: Arc<PodInfo>,
    node: Arc<str>,
    assumed: bool,
}

#[derive(Default)]
pub(crate) struct Cache {
    nodes: IndexMap<Arc<str>, Slot>,
    pods: HashMap<PodUid, Placed>,
    /// Nodes whose load or facts changed since the last snapshot.
    dirty: Vec<Arc<str>>,
    /// Nodes came or went since the last snapshot.
    reshaped: bool,
}

impl Cache {
    /// Takes a Node in; gives the facts that it replaces.
    pub(crate) fn set_node(&mut self, facts: Arc<NodeFacts>) -> Option<Arc<NodeFacts>> {
        let slot = self.nodes.entry(facts.name.clone()).or_default();
        let known = std::mem::replace(&mut slot.exists, true);
        let old = std::mem::replace(&mut slot.info.facts, facts.clone());
        self.reshaped |= !known;
        if known && old != facts {
            self.dirty.push(facts.name.clone());
        }
        known.then_some(old)
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some(slot) = self.nodes.get_mut(name) {
            slot.exists = false;
            self.reshaped = true;
            self.drop_if_empty(name);
        }
    }

    fn drop_if_empty(&mut self, name: &str) {
        if self.nodes.get(name).is_some_and(|slot| !slot.exists && slot.info.pods == 0) {
            self.nodes.shift_remove(name);
        }
    }

    /// Takes in a pod that is bound; gives what was known of it before, bound or assumed.
    pub(crate) fn set_pod(&mut self, pod: Arc<PodInfo>) -> Option<Arc<PodInfo>> {
        let node = pod.node.clone()?;
        if let Some(known) = self.pods.get_mut(&pod.uid)
            && known.node == node
            && known.pod.spec == pod.spec
        {
            known.assumed = false;
            return Some(std::mem::replace(&mut known.pod, pod));
        }
        let old = self.remove_pod(&pod.uid);
        self.place(pod, node, false);
        old
    }

    /// Counts a pod on the node that was chosen for it, until the watch tells it bound or [`forget`](Self::forget).
    pub(crate) fn assume(&mut self, pod: Arc<PodInfo>, node: Arc<str>) {
        if !self.pods.contains_key(&pod.uid) {
            self.place(pod, node, true);
        }
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: Arc<str>, assumed: bool) {
        self.nodes.entry(node.clone()).or_default().info.add_pod(&pod);
        self.dirty.push(node.clone());
        self.pods.insert(pod.uid.clone(), Placed { pod, node, assumed });
    }

    /// The binding failed. A pod that the watch has seen bound stays.
    pub(crate) fn forget(&mut self, uid: &PodUid) -> bool {
        let assumed = self.pods.get(uid).is_some_and(|placed| placed.assumed);
        if assumed {
            self.remove_pod(uid);
        }
        assumed
    }

    pub(crate) fn remove_pod(&mut self, uid: &PodUid) -> Option<Arc<PodInfo>> {
        let Placed { pod, node, .. } = self.pods.remove(uid)?;
        if let Some(slot) = self.nodes.get_mut(&node) {
            slot.info.remove_pod(&pod);
        }
        self.drop_if_empty(&node);
        self.dirty.push(node);
        Some(pod)
    }

    pub(crate) fn contains(&self, uid: &PodUid) -> bool {
        self.pods.contains_key(uid)
    }

    /// Nodes, pods, assumed pods: for the metrics.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.nodes.len(), self.pods.len())
    }

    /// Brings the snapshot up to date.
    pub(crate) fn update(&mut self, snapshot: &mut Snapshot) {
        if std::mem::take(&mut self.reshaped) {
            self.dirty.clear();
            snapshot.clear();
            for slot in self.nodes.values_mut().filter(|slot| slot.exists) {
                slot.at = snapshot.push(slot.info.clone());
            }
            return;
        }
        for name in self.dirty.drain(..) {
            if let Some(slot) = self.nodes.get(&name).filter(|slot| slot.exists) {
                snapshot.replace(slot.at, &slot.info);
            }
        }
    }
}
