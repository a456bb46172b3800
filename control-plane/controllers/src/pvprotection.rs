//! persistentvolume-protection: a volume that is told to go stays while it is bound to a claim.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{Change, ObjectKey, Outcome, Store, WorkQueue};

use crate::common::context::work;
use crate::common::{ApiError, Context, Controller, finalizer};

const FINALIZER: &str = "kubernetes.io/pv-protection";

pub(crate) struct PvProtectionController {
    client: Client,
    volumes: Store<PersistentVolume>,
    queue: WorkQueue<ObjectKey>,
}

/// Whether the finalizer is to be changed. The binder keeps the phase.
fn is_due(volume: &PersistentVolume) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let unused = phase != Some("Bound");
    finalizer::is_missing(&volume.metadata, FINALIZER)
        || (unused && finalizer::holds(&volume.metadata, FINALIZER))
}

impl PvProtectionController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let volumes = context.volumes();
        let queue = WorkQueue::new("pvprotection");
        let keys = queue.clone();
        volumes.subscribe(move |change| match change {
            Change::Added(volume) | Change::Updated { new: volume, .. } if is_due(volume) => {
                keys.add(ObjectKey::of(&**volume));
            }
            _ => {}
        });
        let client = context.client("pv-protection-controller");
        Box::new(Handle(Arc::new(Self { client, volumes: volumes.store(), queue })))
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, ApiError> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        match self.volumes.get_key(&key).filter(|volume| is_due(volume)) {
            Some(volume) => finalizer::change(&api, &volume.metadata, FINALIZER).await,
            None => Ok(Outcome::Done),
        }
    }
}

struct Handle(Arc<PvProtectionController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, PvProtectionController::sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use oarlock_client::testing::FakeApi;
    use serde_json::{Value, json};

    fn volume(name: &str, phase: &str, deleting: bool, finalizers: &[&str]) -> Value {
        let deleted = if deleting { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": name, "finalizers": finalizers, "deletionTimestamp": deleted},
            "spec": {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}, "status": {"phase": phase},
        })
    }

    #[test]
    fn the_phase_decides() {
        for (phase, deleting, finalizers, want) in [
            ("Bound", true, vec![FINALIZER], false),
            ("Available", true, vec![FINALIZER], true),
            ("Released", true, vec![FINALIZER], true),
            ("Failed", true, vec![FINALIZER], true),
            ("", true, vec![FINALIZER], true),
            ("Available", false, vec![FINALIZER], false),
            ("Available", true, vec!["other"], false),
            ("Bound", false, vec!["other"], true),
        ] {
            let volume = serde_json::from_value(volume("a", phase, deleting, &finalizers)).expect("a volume");
            assert_eq!(is_due(&volume), want, "{phase} {deleting} {finalizers:?}");
        }
    }

    #[tokio::test]
    async fn a_volume_goes_when_it_is_released() {
        let api = FakeApi::new();
        api.put(volume("bound", "Bound", true, &[FINALIZER]));
        api.put(volume("free", "Available", true, &[FINALIZER]));
        api.put(volume("old", "Available", false, &[]));
        let world = World::start(api.clone(), PvProtectionController::register).await;
        api.until(|api| api.get("persistentvolumes", "", "free").is_none().then_some(())).await;
        api.until(|api| {
            let old = api.get("persistentvolumes", "", "old")?;
            (old["metadata"]["finalizers"] == json!([FINALIZER])).then_some(())
        })
        .await;
        assert!(api.get("persistentvolumes", "", "bound").is_some());
        api.put(volume("bound", "Released", true, &[FINALIZER]));
        api.until(|api| api.get("persistentvolumes", "", "bound").is_none().then_some(())).await;
        world.end().await;
    }
}
