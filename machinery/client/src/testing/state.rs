//! The fake's memory: objects by resource, one revision counter, and a log of what happened for watches to follow.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::path::ResourceId;

/// One entry of the log.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) revision: u64,
    pub(super) resource: ResourceId,
    pub(super) old: Option<Value>,
    pub(super) new: Option<Value>,
}

/// A failure that is to be the answer to a coming request.
pub(super) struct Fault {
    pub(super) method: String,
    pub(super) path_contains: String,
    pub(super) code: u16,
    pub(super) reason: String,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Null when there was none.
    pub body: Value,
}

type Objects = BTreeMap<(String, String), Value>;

#[derive(Default)]
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) uids: u64,
    pub(super) resources: BTreeMap<ResourceId, Objects>,
    pub(super) log: Vec<Entry>,
    /// Watches from before this revision are answered 410.
    pub(super) compacted: u64,
    /// Counts how often all watches were ended.
    pub(super) epoch: u64,
    pub(super) recorded: Vec<Recorded>,
    pub(super) faults: VecDeque<Fault>,
}

impl State {
    pub(super) fn find(&self, plural: &str) -> impl Iterator<Item = (&ResourceId, &Objects)> {
        let plural = plural.to_string();
        self.resources.iter().filter(move |(resource, _)| resource.plural == plural)
    }

    pub(super) fn object(&self, resource: &ResourceId, namespace: &str, name: &str) -> Option<&Value> {
        self.resources.get(resource)?.get(&(namespace.to_string(), name.to_string()))
    }

    /// Writes or removes an object; the stored form carries the new revision.
    pub(super) fn store(
        &mut self,
        resource: &ResourceId,
        key: (String, String),
        new: Option<Value>,
    ) -> Value {
        self.revision += 1;
        let version = self.revision.to_string();
        let objects = self.resources.entry(resource.clone()).or_default();
        let old = objects.remove(&key);
        let stored = new.map(|mut object| {
            object["metadata"]["resourceVersion"] = json!(version);
            objects.insert(key, object.clone());
            object
        });
        let mut gone = old.clone().unwrap_or_default();
        if stored.is_none() {
            gone["metadata"]["resourceVersion"] = json!(version);
        }
        let answer = stored.clone().unwrap_or(gone);
        self.log.push(Entry { revision: self.revision, resource: resource.clone(), old, new: stored });
        answer
    }

    pub(super) fn next_uid(&mut self) -> String {
        self.uids += 1;
        format!("00000000-0000-4000-8000-{:012}", self.uids)
    }

    /// The failure that a test wants for this request, if any; used up by this.
    pub(super) fn take_fault(&mut self, method: &str, path: &str) -> Option<Fault> {
        let hit = |fault: &Fault| fault.method == method && path.contains(&fault.path_contains);
        let at = self.faults.iter().position(hit)?;
        self.faults.remove(at)
    }
}
