//! Waiting for changes of a few resources: for the loops of the server that watch, look and repair.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::select_all;
use oarlock_api::GroupResource;

use super::{Cache, Filter, WatchReader, WatchStart};
use crate::registry::Catalogue;

/// When a watch could not begin (the cache is being read anew), a look is repeated after this.
const AGAIN: Duration = Duration::from_millis(100);

/// Changes since it was made. Made first, looked then: no change falls between.
pub(crate) struct Changes {
    readers: Vec<WatchReader>,
    /// Everything that was asked for is watched.
    whole: bool,
}

impl Changes {
    pub(crate) fn of(
        resources: &Catalogue,
        cache: &Cache,
        watched: impl IntoIterator<Item = (GroupResource, Filter)>,
    ) -> Self {
        let mut changes = Self { readers: Vec::new(), whole: true };
        for (resource, filter) in watched {
            let Some(cached) = resources.cached(&resource) else { continue };
            let revision = cache.revision();
            match cached.watch(filter, WatchStart::After(revision), false, revision) {
                Ok(reader) => changes.readers.push(reader),
                Err(_) => changes.whole = false,
            }
        }
        changes
    }

    /// Waits for an event, or for the end of a watch: both mean to look again.
    pub(crate) async fn any(&mut self) {
        if self.readers.is_empty() || !self.whole {
            return tokio::time::sleep(AGAIN).await;
        }
        select_all(self.readers.iter_mut().map(|reader| reader.next().boxed())).await;
    }
}
