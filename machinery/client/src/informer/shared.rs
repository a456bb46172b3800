//! One informer: its store, its handlers, and the order in which they hear of changes.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{BoxFuture, FutureExt as _};
use kube::{Client, Resource};
use oarlock_base::Shutdown;
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::key::ObjectKey;
use super::reflector::{Reflector, Sink};
use super::store::Store;
use super::{Erased, Selection};

/// What happened to an object. `Deleted` carries the last state that was seen, also when the deletion itself was
/// missed and a later list showed the object gone.
#[derive(Debug)]
pub enum Change<K> {
    Added(Arc<K>),
    Updated { old: Arc<K>, new: Arc<K> },
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The object as it is now, or as it last was.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Added(object) | Self::Updated { new: object, .. } | Self::Deleted(object) => object,
        }
    }
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Added(object) => Self::Added(object.clone()),
            Self::Updated { old, new } => Self::Updated { old: old.clone(), new: new.clone() },
            Self::Deleted(object) => Self::Deleted(object.clone()),
        }
    }
}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;
type Projection<K> = Box<dyn Fn(&mut K) + Send + Sync>;

struct Inner<K> {
    path: String,
    selection: Selection,
    store: Store<K>,
    projections: RwLock<Vec<Projection<K>>>,
    // Held while a change is stored and told: handlers hear of changes in order, and one that subscribes late gets
    // the store's content and every later change, none twice and none missing.
    handlers: Mutex<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
    started: AtomicBool,
    stop: Shutdown,
}

/// A handle on a shared informer; clones are the same informer.
pub struct Informer<K>(Arc<Inner<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Resource + 'static> Informer<K> {
    pub(super) fn new(path: String, selection: Selection) -> Self {
        Self(Arc::new(Inner {
            path,
            selection,
            store: Store::new(),
            projections: RwLock::default(),
            handlers: Mutex::default(),
            synced: watch::Sender::new(false),
            started: AtomicBool::new(false),
            stop: Shutdown::new(),
        }))
    }

    /// Adds an index to the store: `values` gives the values under which an object is to be found. A name that is
    /// taken keeps the index it has.
    pub fn add_index(&self, name: &'static str, values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) {
        self.0.store.add_index(name, Box::new(values));
    }

    /// Drops what no user of this informer reads from each object before it is stored (`managedFields` always go).
    /// To be added before the start. An object so thinned must not be written back with an update.
    pub fn project(&self, thin: impl Fn(&mut K) + Send + Sync + 'static) {
        self.0.projections.write().push(Box::new(thin));
    }

    /// Calls `handler` for every change from now on, after an `Added` for every object that is stored already. It is
    /// called in order, from the informer's own task: it must be quick, and must not subscribe.
    pub fn subscribe(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut handlers = self.0.handlers.lock();
        for object in self.0.store.list() {
            handler(&Change::Added(object));
        }
        handlers.push(Box::new(handler));
    }

    pub fn store(&self) -> Store<K> {
        self.0.store.clone()
    }

    /// Returns when the resource has been listed and the handlers have seen the list.
    pub async fn synced(&self) {
        // An error says that the sender is gone, which `self` prevents.
        let _ = self.0.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub fn is_synced(&self) -> bool {
        *self.0.synced.borrow()
    }

    pub(super) fn stop(&self) {
        self.0.stop.trigger();
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn tell(handlers: &[Handler<K>], change: &Change<K>) {
        for handler in handlers {
            handler(change);
        }
    }

    fn thin(&self, object: &mut K) {
        object.meta_mut().managed_fields = None;
        for thin in self.0.projections.read().iter() {
            thin(object);
        }
    }
}

impl<K: Resource + Send + Sync + 'static> Sink<K> for Informer<K> {
    fn upsert(&self, mut object: K) {
        self.thin(&mut object);
        let key = ObjectKey::of(&object);
        let new = Arc::new(object);
        let handlers = self.0.handlers.lock();
        let change = match self.0.store.insert(key, new.clone()) {
            Some(old) if old.meta().uid == new.meta().uid => Change::Updated { old, new },
            // Deleted and made again between two looks: its users must see both.
            Some(old) => {
                Self::tell(&handlers, &Change::Deleted(old));
                Change::Added(new)
            }
            None => Change::Added(new),
        };
        Self::tell(&handlers, &change);
    }

    fn remove(&self, mut object: K) {
        self.thin(&mut object);
        let handlers = self.0.handlers.lock();
        if self.0.store.remove(&ObjectKey::of(&object)).is_some() {
            Self::tell(&handlers, &Change::Deleted(Arc::new(object)));
        }
    }

    fn replace(&self, objects: Vec<K>) {
        let keys: std::collections::HashSet<ObjectKey> = objects.iter().map(ObjectKey::of).collect();
        for key in self.0.store.keys_not_in(|key| keys.contains(key)) {
            let handlers = self.0.handlers.lock();
            if let Some(old) = self.0.store.remove(&key) {
                Self::tell(&handlers, &Change::Deleted(old));
            }
        }
        for object in objects {
            // What did not change since before the watch was lost is not news.
            if !self.0.store.has_version(&ObjectKey::of(&object), &object) {
                self.upsert(object);
            }
        }
        self.0.synced.send_replace(true);
    }
}

impl<K> Erased for Informer<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn take_run(&self, client: &Client, stop: Shutdown) -> Option<BoxFuture<'static, ()>> {
        if self.0.started.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (informer, client) = (self.clone(), client.clone());
        let run = async move {
            let own_stop = informer.0.stop.clone();
            let (path, selection) = (informer.0.path.clone(), informer.0.selection.clone());
            let reflector = Reflector::new(client, path, selection, informer);
            // The component's shutdown, or this informer's alone.
            stop.or(own_stop.or(reflector.run())).await;
        };
        Some(run.boxed())
    }

    fn wait_synced(&self) -> BoxFuture<'static, ()> {
        let informer = self.clone();
        // A stopped informer will never be synced; nobody should wait for it.
        async move { informer.0.stop.clone().or(informer.synced()).await.unwrap_or_default() }.boxed()
    }
}
