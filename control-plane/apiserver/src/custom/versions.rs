//! Custom resources between their versions.

use std::sync::Arc;

use futures::FutureExt as _;
use oarlock_api::Status;
use oarlock_apiserver_custom::{ConversionWebhook, convert};
use serde_json::Value;

use crate::cache::Entry;
use crate::registry::{Custom, Served};

/// Objects of a resource as objects of this version. What is converted is pruned, but has the defaults of the version it
/// came from: others are filled in where a request or the store is read.
pub(crate) async fn to_version(
    custom: &Custom,
    objects: Vec<Value>,
    webhook: &dyn ConversionWebhook,
) -> Result<Vec<Value>, Status> {
    convert(&custom.resource, objects, &custom.version.gvk.version, webhook).await
}

/// The same for one object where no waiting is possible: a webhook is waited for on this thread, which only a runtime of
/// several threads can bear.
pub(crate) fn to_version_at_once(
    custom: &Custom,
    object: Value,
    webhook: &dyn ConversionWebhook,
) -> Result<Value, Status> {
    let work = to_version(custom, vec![object], webhook);
    let mut work = Box::pin(work);
    let done = match work.as_mut().now_or_never() {
        Some(done) => done?,
        None => {
            let runtime = tokio::runtime::Handle::current();
            if runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::CurrentThread {
                return Err(Status::internal("a conversion webhook cannot be waited for here"));
            }
            tokio::task::block_in_place(|| runtime.block_on(work))?
        }
    };
    done.into_iter().next().ok_or_else(|| Status::internal("a conversion gave nothing"))
}

/// Entries of the cache in the served version; those of another version are converted in one go.
pub(crate) async fn entries(
    served: &Served,
    entries: Vec<Arc<Entry>>,
    webhook: &dyn ConversionWebhook,
) -> Result<Vec<Arc<Entry>>, Status> {
    let Some(custom) = &served.custom else { return Ok(entries) };
    if entries.iter().all(|entry| served.takes(entry)) {
        return Ok(entries);
    }
    let stored = served.stored.as_ref().expect("custom resources are stored");
    let foreign = entries.iter().filter(|entry| !served.takes(entry));
    let values: Vec<Value> = foreign.map(|entry| Arc::unwrap_or_clone(entry.value(false))).collect();
    let mut converted = to_version(custom, values, webhook).await?.into_iter();
    let in_version = |entry: Arc<Entry>| {
        if served.takes(&entry) {
            return Ok(entry);
        }
        let value = converted.next().ok_or_else(|| Status::internal("a conversion gave too little"))?;
        Ok(Arc::new(Entry::of(&stored.storage, &value, entry.revision)))
    };
    entries.into_iter().map(in_version).collect()
}
