//! A node: what its object says, and what the pods on it take.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use oarlock_api::quantity::Quantity;

use super::pod::PodInfo;
use super::ports::UsedPorts;
use super::resources::{NonZero, Resources};
use super::taints::Taint;

/// What scheduling reads of a Node object. Equal facts mean that nothing changed for any pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub name: Arc<str>,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Resources,
    pub pods_max: i64,
}

impl NodeFacts {
    pub fn parse(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let pods = allocatable.and_then(|list| list.get("pods"));
        let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        Self {
            name: node.metadata.name.as_deref().unwrap_or_default().into(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: taints.iter().filter_map(Taint::parse).collect(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or_default(),
            allocatable: allocatable.map(Resources::from_list).unwrap_or_default(),
            pods_max: pods.and_then(|told| Quantity::parse(&told.0).ok()).map_or(0, |pods| pods.value()),
        }
    }
}

/// A node and its load, assumed pods included. Cheap to clone: the snapshot is made of clones.
#[derive(Debug, Clone, Default)]
pub struct NodeInfo {
    pub facts: Arc<NodeFacts>,
    pub requested: Resources,
    pub counted: NonZero,
    pub ports: UsedPorts,
    pub pods: i64,
}

impl NodeInfo {
    pub fn add_pod(&mut self, pod: &PodInfo) {
        self.requested.add(&pod.spec.requests);
        self.counted.milli_cpu += pod.spec.counted.milli_cpu;
        self.counted.memory += pod.spec.counted.memory;
        self.ports.add(&pod.spec.ports);
        self.pods += 1;
    }

    pub fn remove_pod(&mut self, pod: &PodInfo) {
        self.requested.sub(&pod.spec.requests);
        self.counted.milli_cpu -= pod.spec.counted.milli_cpu;
        self.counted.memory -= pod.spec.counted.memory;
        self.ports.remove(&pod.spec.ports);
        self.pods -= 1;
    }
}
