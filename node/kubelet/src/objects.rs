//! The ConfigMaps and Secrets that this node's pods refer to, each watched on its own as long as a pod refers to it. A node
//! may not list them all, and should not hold what it does not need.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use oarlock_client::{Informer, Informers, Selection, Watched};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;

use crate::pod::{PodExt as _, PodUid};

/// How long a pass waits for the first list of an object.
const FIRST_LIST: std::time::Duration = std::time::Duration::from_secs(20);

/// Why an object cannot be had.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub(crate) enum ObjectError {
    #[error("{kind} {name:?} not found")]
    NotFound { kind: &'static str, name: String },
    #[error("failed to sync {kind} cache: timed out waiting for the condition")]
    Timeout { kind: &'static str },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: &'static str,
    namespace: String,
    name: String,
}

struct Entry {
    informer: Box<dyn Any + Send + Sync>,
    /// Ends the watch.
    stop: Box<dyn Fn(&Informers) + Send + Sync>,
    users: HashMap<PodUid, Arc<Notify>>,
}

pub(crate) struct Objects {
    informers: Informers,
    entries: Arc<Mutex<HashMap<Key, Entry>>>,
    /// Whom to wake when an object changes, by pod.
    wakes: Mutex<HashMap<PodUid, Arc<Notify>>>,
}

impl Objects {
    pub(crate) fn new(informers: Informers) -> Self {
        Self { informers, entries: Arc::default(), wakes: Mutex::default() }
    }

    /// Tells whom to wake when an object that this pod refers to changes.
    pub(crate) fn register(&self, uid: &PodUid, wake: &Arc<Notify>) {
        self.wakes.lock().insert(uid.clone(), wake.clone());
    }

    pub(crate) async fn config_map(&self, pod: &Pod, name: &str) -> Result<Arc<ConfigMap>, ObjectError> {
        self.get("configmap", pod, name).await
    }

    pub(crate) async fn secret(&self, pod: &Pod, name: &str) -> Result<Arc<Secret>, ObjectError> {
        self.get("secret", pod, name).await
    }

    /// Ends the watches that only this pod needed.
    pub(crate) fn forget(&self, uid: &PodUid) {
        self.wakes.lock().remove(uid);
        let informers = &self.informers;
        self.entries.lock().retain(|_, entry| {
            entry.users.remove(uid);
            if entry.users.is_empty() {
                (entry.stop)(informers);
            }
            !entry.users.is_empty()
        });
    }

    async fn get<K: Watched>(
        &self,
        kind: &'static str,
        pod: &Pod,
        name: &str,
    ) -> Result<Arc<K>, ObjectError> {
        let key = Key { kind, namespace: pod.namespace().to_owned(), name: name.to_owned() };
        let informer = self.informer::<K>(&key, &pod.uid());
        if tokio::time::timeout(FIRST_LIST, informer.synced()).await.is_err() {
            return Err(ObjectError::Timeout { kind });
        }
        let found = informer.store().get(&key.namespace, &key.name);
        found.ok_or_else(|| ObjectError::NotFound { kind, name: name.to_owned() })
    }

    fn informer<K: Watched>(&self, key: &Key, uid: &PodUid) -> Informer<K> {
        let wake = self.wakes.lock().get(uid).cloned().unwrap_or_default();
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(key) {
            entry.users.insert(uid.clone(), wake);
            let informer = entry.informer.downcast_ref::<Informer<K>>();
            return informer.expect("the key names the kind").clone();
        }
        let selection =
            Selection::all().namespace(&key.namespace).fields(&format!("metadata.name={}", key.name));
        let informer: Informer<K> = self.informers.select(selection);
        let (weak, of) = (Arc::downgrade(&self.entries), key.clone());
        informer.subscribe(move |_| {
            let Some(entries) = weak.upgrade() else { return };
            let entries = entries.lock();
            for wake in entries.get(&of).iter().flat_map(|entry| entry.users.values()) {
                wake.notify_one();
            }
        });
        let ending = informer.clone();
        let entry = Entry {
            informer: Box::new(informer.clone()),
            stop: Box::new(move |informers| informers.drop_informer(&ending)),
            users: HashMap::from([(uid.clone(), wake)]),
        };
        entries.insert(key.clone(), entry);
        drop(entries);
        self.informers.start();
        informer
    }
}
