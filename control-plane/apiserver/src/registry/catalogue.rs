//! What is served at this moment: an immutable index that is swapped as a whole when custom resources come and go.

use std::sync::Arc;

use arc_swap::ArcSwap;
use oarlock_api::GroupResource;

use super::resources::{Resources, Served};
use crate::cache::ResourceCache;

/// The index of the moment. Readers keep what they found as long as they like.
pub(crate) struct Catalogue {
    current: ArcSwap<Resources>,
}

impl Catalogue {
    pub(crate) fn new(resources: Resources) -> Self {
        Self { current: ArcSwap::from_pointee(resources) }
    }

    pub(crate) fn now(&self) -> Arc<Resources> {
        self.current.load_full()
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Served>> {
        self.current.load().find(group, version, plural).cloned()
    }

    /// A built-in resource, also where it is not served.
    pub(crate) fn known(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Served>> {
        self.current.load().known(group, version, plural).cloned()
    }

    pub(crate) fn cached(&self, resource: &GroupResource) -> Option<Arc<ResourceCache>> {
        self.current.load().cached(resource).cloned()
    }

    pub(crate) fn swap(&self, resources: Resources) {
        self.current.store(Arc::new(resources));
    }
}
