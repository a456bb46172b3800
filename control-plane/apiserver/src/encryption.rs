//! Encryption at rest, put around the store as the configuration says.

use std::sync::Arc;

use oarlock_apiserver_encryption::{
    EncryptedStore, EncryptionConfiguration, Layout, Reload, default_configuration,
};
use oarlock_base::Tasks;
use oarlock_store::Store;

use crate::config::{Encryption, Error};
use crate::metrics::Metrics;
use crate::registry::Resources;

/// What values go through on their way to the store, where that is anything.
type Around = (Arc<dyn Store>, Option<Arc<oarlock_apiserver_encryption::Encryption>>);

/// The store with encryption around it, where there is any; a changed file is taken over by a task of `tasks`.
pub(crate) fn around(
    store: Arc<dyn Store>,
    configured: &Encryption,
    resources: &Resources,
    metrics: &Metrics,
    tasks: &mut Tasks,
) -> Result<Around, Error> {
    let (path, configuration, reload) = match configured {
        Encryption::None => return Ok((store, None)),
        Encryption::Default { directory } => {
            let (path, configuration) = default_configuration(directory)?;
            (path, configuration, true)
        }
        Encryption::File { path, reload } => (path.clone(), EncryptionConfiguration::load(path)?, *reload),
    };
    let storages = resources.caches().map(|cache| &cache.storage);
    let layout = Layout::new(storages.map(|s| (s.group_resource.clone(), s.prefix.clone())));
    let encryption = oarlock_apiserver_encryption::Encryption::new(&configuration, layout)?;
    for collector in encryption.metrics().collectors() {
        metrics.registry().register(collector)?;
    }
    if reload {
        let reload = Reload::new(encryption.clone(), path)?;
        tasks.spawn("encryption-config", move |stop| reload.run(stop));
    }
    Ok((Arc::new(EncryptedStore::new(store, encryption.clone())), Some(encryption)))
}
