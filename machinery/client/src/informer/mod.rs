//! Shared informers: one list and watch per resource and selection, one cache, many users.
//!
//! [`Informers`] is a component's registry; [`reflector`] does the listing and watching; [`store`] is the cache. A
//! change is stored first and told to the handlers second, one change after another.

mod key;
mod reflector;
mod shared;
mod store;
#[cfg(test)]
mod tests;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::{Client, Resource};
use oarlock_base::{Shutdown, TaskSpawner};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

pub use key::ObjectKey;
pub use shared::{Change, Informer};
pub use store::Store;

/// What can be watched: a typed object of the API. Implemented for all of them.
pub trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

/// Which objects of a resource an informer holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    namespace: Option<String>,
    labels: Option<String>,
    fields: Option<String>,
}

impl Selection {
    /// Every object, in every namespace.
    pub fn all() -> Self {
        Self::default()
    }

    pub fn namespace(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// A label selector, in its query form.
    pub fn labels(self, selector: &str) -> Self {
        Self { labels: Some(selector.into()), ..self }
    }

    /// A field selector, in its query form.
    pub fn fields(self, selector: &str) -> Self {
        Self { fields: Some(selector.into()), ..self }
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Id {
    object: TypeId,
    path: String,
    selection: Selection,
}

/// An informer, with its type forgotten: what the registry needs of it.
trait Erased: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    /// The future that keeps the informer's store, the first time it is asked for.
    fn take_run(&self, client: &Client, stop: Shutdown) -> Option<BoxFuture<'static, ()>>;
    fn wait_synced(&self) -> BoxFuture<'static, ()>;
}

struct Registry {
    client: Client,
    spawner: TaskSpawner,
    informers: Mutex<HashMap<Id, Arc<dyn Erased>>>,
}

/// The informers of one component. Ask for informers, add indexes, projections and handlers to them, then
/// [`start`](Self::start); their tasks are owned by the component's `Tasks` and end with its shutdown.
#[derive(Clone)]
pub struct Informers(Arc<Registry>);

impl Informers {
    pub fn new(client: Client, spawner: TaskSpawner) -> Self {
        Self(Arc::new(Registry { client, spawner, informers: Mutex::default() }))
    }

    /// The client that these informers watch with.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The informer of all objects of a type.
    pub fn of<K: Watched>(&self) -> Informer<K> {
        self.select(Selection::all())
    }

    /// The informer of the selected objects of a type; the same selection gives the same informer.
    pub fn select<K: Watched>(&self, selection: Selection) -> Informer<K> {
        self.dynamic((), selection)
    }

    /// The informer of a resource that is known at run time only, or as metadata only.
    pub fn dynamic<K>(&self, dyntype: K::DynamicType, selection: Selection) -> Informer<K>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let path = K::url_path(&dyntype, selection.namespace.as_deref());
        let id = Id { object: TypeId::of::<K>(), path: path.clone(), selection: selection.clone() };
        let mut informers = self.0.informers.lock();
        let erased = informers.entry(id).or_insert_with(|| Arc::new(Informer::<K>::new(path, selection)));
        let informer = erased.as_any().downcast_ref::<Informer<K>>();
        informer.expect("the id holds the type of the informer").clone()
    }

    /// Starts every informer that was made and is not running. Call again after making more.
    pub fn start(&self) {
        for informer in self.0.informers.lock().values() {
            if let Some(run) = informer.take_run(&self.0.client, self.0.spawner.shutdown().clone()) {
                self.0.spawner.spawn("informer", run);
            }
        }
    }

    /// Returns when every informer made so far has listed its resource and its handlers have seen the list.
    pub async fn synced(&self) {
        let waits: Vec<_> = self.0.informers.lock().values().map(|informer| informer.wait_synced()).collect();
        futures::future::join_all(waits).await;
    }

    /// Ends an informer that [`dynamic`](Self::dynamic) made, and forgets it: its resource is gone from the API.
    pub fn drop_informer<K>(&self, informer: &Informer<K>)
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        informer.stop();
        let mut informers = self.0.informers.lock();
        informers.retain(|_, kept| {
            kept.as_any().downcast_ref::<Informer<K>>().is_none_or(|kept| !kept.same_as(informer))
        });
    }
}
