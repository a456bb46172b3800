//! Finalizers by which an object waits for its users: whether they are due, and the write that sets or takes them.

use std::fmt::Debug;

use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource};
use oarlock_client::{Outcome, is_conflict, is_not_found};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ApiError, api_error};

fn has(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|has| has == finalizer)
}

/// Told to go, and held by this finalizer.
pub(crate) fn holds(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.deletion_timestamp.is_some() && has(meta, finalizer)
}

/// Neither told to go nor held: made before there was an admission plugin to add the finalizer.
pub(crate) fn is_missing(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.deletion_timestamp.is_none() && !has(meta, finalizer)
}

/// Takes the finalizer from an object that it holds, or gives it to one that lacks it, on the live object: what caches
/// keep is thinned. Nothing is written to an object that is another by now.
pub(crate) async fn change<K>(api: &Api<K>, seen: &ObjectMeta, finalizer: &str) -> Result<Outcome, ApiError>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = seen.name.as_deref().unwrap_or_default();
    let live = api.get_opt(name).await.map_err(api_error("read an object to change its finalizers"))?;
    let Some(mut live) = live.filter(|live| live.meta().uid == seen.uid) else { return Ok(Outcome::Done) };
    let meta = live.meta_mut();
    if holds(meta, finalizer) {
        meta.finalizers.get_or_insert_default().retain(|has| has != finalizer);
    } else if is_missing(meta, finalizer) {
        meta.finalizers.get_or_insert_default().push(finalizer.to_string());
    } else {
        return Ok(Outcome::Done);
    }
    match api.replace(name, &PostParams::default(), &live).await {
        Ok(_) => Ok(Outcome::Done),
        Err(error) if is_not_found(&error) => Ok(Outcome::Done),
        Err(error) if is_conflict(&error) => Ok(Outcome::Requeue),
        Err(error) => Err(api_error("change an object's finalizers")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn a_finalizer_is_due_by_deletion() {
        for (deleting, finalizers, hold, missing) in [
            (false, vec![], false, true),
            (false, vec!["other"], false, true),
            (false, vec!["mine"], false, false),
            (true, vec!["mine", "other"], true, false),
            (true, vec!["other"], false, false),
            (true, vec![], false, false),
        ] {
            let meta = ObjectMeta {
                deletion_timestamp: deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
                finalizers: Some(finalizers.iter().map(ToString::to_string).collect()),
                ..ObjectMeta::default()
            };
            assert_eq!((holds(&meta, "mine"), is_missing(&meta, "mine")), (hold, missing), "{finalizers:?}");
        }
    }
}
