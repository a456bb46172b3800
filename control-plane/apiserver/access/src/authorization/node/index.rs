//! Which pods each node runs, and what they refer to. Upstream keeps a graph of all objects; what hangs on a pod
//! (claim → volume → secret) is followed through the cache instead, so pods alone have to be tracked.

use std::collections::HashMap;

use serde_json::Value;

use crate::names::MIRROR_POD_ANNOTATION;
use crate::pod_references::{Reference, references};
use crate::types::ObjectEvent;
use crate::value::{annotation, name, namespace, text};

type PodKey = (Box<str>, Box<str>);

#[derive(Default)]
pub(super) struct NodeIndex {
    placed: HashMap<PodKey, Box<str>>,
    nodes: HashMap<Box<str>, HashMap<PodKey, Box<[Reference]>>>,
}

impl NodeIndex {
    pub(super) fn apply(&mut self, event: &ObjectEvent) {
        match event {
            ObjectEvent::Applied(pod) => {
                let node = text(pod, &["spec", "nodeName"]);
                if node.is_empty() {
                    self.remove(pod);
                } else {
                    self.insert(node, pod);
                }
            }
            ObjectEvent::Deleted(pod) => self.remove(pod),
            ObjectEvent::Reset => *self = Self::default(),
        }
    }

    /// The node runs this pod.
    pub(super) fn has(&self, node: &str, namespace: &str, name: &str) -> bool {
        let key: PodKey = (namespace.into(), name.into());
        self.nodes.get(node).is_some_and(|pods| pods.contains_key(&key))
    }

    /// The pods of a node: namespace and references.
    pub(super) fn pods_of(&self, node: &str) -> impl Iterator<Item = (&str, &[Reference])> {
        self.nodes.get(node).into_iter().flatten().map(|((namespace, _), found)| (&**namespace, &**found))
    }

    fn insert(&mut self, node: &str, pod: &Value) {
        let key = key_of(pod);
        if self.placed.get(&key).is_some_and(|placed| **placed != *node) {
            self.remove(pod);
        }
        self.placed.insert(key.clone(), node.into());
        self.nodes.entry(node.into()).or_default().insert(key, granting_references(pod).into());
    }

    fn remove(&mut self, pod: &Value) {
        let key = key_of(pod);
        let Some(node) = self.placed.remove(&key) else { return };
        let Some(pods) = self.nodes.get_mut(&node) else { return };
        pods.remove(&key);
        if pods.is_empty() {
            self.nodes.remove(&node);
        }
    }
}

/// A mirror pod is made by its node: it must not open anything to it.
pub(super) fn granting_references(pod: &Value) -> Vec<Reference> {
    if annotation(pod, MIRROR_POD_ANNOTATION).is_some() { Vec::new() } else { references(pod) }
}

fn key_of(pod: &Value) -> PodKey {
    (namespace(pod).into(), name(pod).into())
}
