//! Values that cannot be read: what they are by now. A key of encryption that was missing may be there again.

use std::sync::Arc;

use oarlock_store::StoreError;

use super::{Cache, Entry, ResourceCache, Unreadable};

impl Cache {
    /// Asks the store again for a value below `prefix` that could not be read. If all is well by now, the resource is read
    /// anew and who watched it must begin again; else says why not, as it is now.
    pub(crate) async fn look_again(
        &self,
        resource: &Arc<ResourceCache>,
        prefix: &str,
    ) -> Result<(), Unreadable> {
        let _one_at_a_time = self.mending.lock().await;
        let Some(fault) = resource.unreadable(prefix) else { return Ok(()) };
        match self.store.get(fault.key.as_bytes(), None).await {
            Ok((Some(kv), _)) => drop(Entry::read(&resource.storage, &kv, kv.mod_revision.0)?),
            // Its end is on its way here.
            Ok((None, _)) => return Ok(()),
            Err(StoreError::Backend { source, .. }) => return Err(fault.because(&*source)),
            Err(error) => return Err(fault.because(&error)),
        }
        self.adopt(resource.clone()).await.map_err(|error| fault.because(&error))?;
        resource.unreadable(prefix).map_or(Ok(()), Err)
    }
}
