//! What one decision sees: the nodes in an array, unchanged while it is made.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::NodeInfo;

#[derive(Default)]
pub struct Snapshot {
    nodes: Vec<NodeInfo>,
    places: HashMap<Arc<str>, usize>,
}

impl Snapshot {
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    pub fn get(&self, name: &str) -> Option<&NodeInfo> {
        self.place(name).map(|at| &self.nodes[at])
    }

    /// The index of a node in [`nodes`](Self::nodes).
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.places.clear();
    }

    pub(super) fn push(&mut self, node: NodeInfo) -> usize {
        let at = self.nodes.len();
        self.places.insert(node.facts.name.clone(), at);
        self.nodes.push(node);
        at
    }

    pub(super) fn replace(&mut self, at: usize, node: &NodeInfo) {
        self.nodes[at].clone_from(node);
    }
}

impl FromIterator<NodeInfo> for Snapshot {
    fn from_iter<I: IntoIterator<Item = NodeInfo>>(nodes: I) -> Self {
        let mut snapshot = Self::default();
        for node in nodes {
            snapshot.push(node);
        }
        snapshot
    }
}
