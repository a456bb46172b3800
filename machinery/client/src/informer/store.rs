//! The cache that an informer keeps: objects by key, and the indexes its users asked for.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use kube::Resource;
use parking_lot::RwLock;

use super::key::{BorrowedKey, ObjectKey};

type IndexFn<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

struct Index<K> {
    values_of: IndexFn<K>,
    keys: HashMap<String, IndexSet<ObjectKey>>,
}

impl<K> Index<K> {
    fn insert(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.values_of)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.values_of)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.swap_remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

struct Inner<K> {
    objects: IndexMap<ObjectKey, Arc<K>>,
    indexes: HashMap<&'static str, Index<K>>,
}

/// A reader's handle on an informer's cache. What it gives is what the watch last said; it may lag behind the API.
pub struct Store<K>(Arc<RwLock<Inner<K>>>);

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Store<K> {
    pub(super) fn new() -> Self {
        Self(Arc::new(RwLock::new(Inner { objects: IndexMap::new(), indexes: HashMap::new() })))
    }

    /// The object of that name; `namespace` is empty for cluster-scoped resources.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.0.read().objects.get(&BorrowedKey(namespace, name)).cloned()
    }

    pub fn get_key(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.0.read().objects.get(key).cloned()
    }

    /// All objects, in no order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.read().objects.values().cloned().collect()
    }

    /// The objects of one namespace. A scan: give the informer an index where this is asked often.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let inner = self.0.read();
        let here = inner.objects.iter().filter(|(key, _)| &*key.namespace == namespace);
        here.map(|(_, object)| object.clone()).collect()
    }

    /// The objects for which the index function gave `value`. Empty when nobody added an index of that name.
    pub fn by_index(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        let inner = self.0.read();
        let keys = inner.indexes.get(index).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| inner.objects.get(key).cloned()).collect()
    }

    /// How many objects [`by_index`](Self::by_index) would give.
    pub fn count_by_index(&self, index: &'static str, value: &str) -> usize {
        let inner = self.0.read();
        let keys = inner.indexes.get(index).and_then(|index| index.keys.get(value));
        keys.map_or(0, IndexSet::len)
    }

    pub fn len(&self) -> usize {
        self.0.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an index, and fills it from what is already stored. A second index of the same name is ignored: users of
    /// one informer that name an index alike mean the same one.
    pub(super) fn add_index(&self, name: &'static str, values_of: IndexFn<K>) {
        let mut inner = self.0.write();
        if inner.indexes.contains_key(name) {
            return;
        }
        let mut index = Index { values_of, keys: HashMap::new() };
        for (key, object) in &inner.objects {
            index.insert(key, object);
        }
        inner.indexes.insert(name, index);
    }

    /// Stores an object; gives what it replaced.
    pub(super) fn insert(&self, key: ObjectKey, object: Arc<K>) -> Option<Arc<K>> {
        let mut guard = self.0.write();
        let inner = &mut *guard;
        let old = inner.objects.insert(key.clone(), object.clone());
        for index in inner.indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &object);
        }
        old
    }

    pub(super) fn remove(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let mut guard = self.0.write();
        let inner = &mut *guard;
        let old = inner.objects.swap_remove(key)?;
        for index in inner.indexes.values_mut() {
            index.remove(key, &old);
        }
        Some(old)
    }

    /// The keys of which `kept` says no: what a fresh list no longer holds.
    pub(super) fn keys_not_in(&self, kept: impl Fn(&ObjectKey) -> bool) -> Vec<ObjectKey> {
        self.0.read().objects.keys().filter(|key| !kept(key)).cloned().collect()
    }
}

impl<K: Resource> Store<K> {
    /// Whether the stored object of that key has this resourceVersion already.
    pub(super) fn has_version(&self, key: &ObjectKey, object: &K) -> bool {
        let version = &object.meta().resource_version;
        let inner = self.0.read();
        version.is_some() && inner.objects.get(key).is_some_and(|old| old.meta().resource_version == *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Pod, PodSpec};
    use kube::api::ObjectMeta;

    fn pod(name: &str, node: &str) -> Arc<Pod> {
        Arc::new(Pod {
            metadata: ObjectMeta {
                namespace: Some("default".into()),
                name: Some(name.into()),
                ..Default::default()
            },
            spec: Some(PodSpec { node_name: Some(node.into()), ..Default::default() }),
            status: None,
        })
    }

    fn names(pods: Vec<Arc<Pod>>) -> Vec<String> {
        let mut names: Vec<String> = pods.iter().filter_map(|p| p.metadata.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_index_follows_its_objects() {
        let store: Store<Pod> = Store::new();
        store.insert(ObjectKey::new("default", "a"), pod("a", "n1"));
        store.add_index(
            "node",
            Box::new(|p: &Pod| p.spec.iter().filter_map(|s| s.node_name.clone()).collect()),
        );
        store.insert(ObjectKey::new("default", "b"), pod("b", "n1"));
        assert_eq!(names(store.by_index("node", "n1")), ["a", "b"]);
        assert_eq!((store.count_by_index("node", "n1"), store.count_by_index("node", "n2")), (2, 0));
        store.insert(ObjectKey::new("default", "a"), pod("a", "n2"));
        assert_eq!(names(store.by_index("node", "n1")), ["b"]);
        assert_eq!(names(store.by_index("node", "n2")), ["a"]);
        store.remove(&ObjectKey::new("default", "a"));
        assert!(store.by_index("node", "n2").is_empty());
        assert!(store.get("default", "b").is_some() && store.get("", "b").is_none());
        assert_eq!(names(store.in_namespace("default")), ["b"]);
    }
}
