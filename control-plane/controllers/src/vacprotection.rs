//! volumeattributesclass-protection: a class that is told to go stays while a volume or a claim names it.
//!
//! As upstream's, it trusts its caches: a claim that is made while its class is being deleted may come too late.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{Change, Outcome, Store, WorkQueue};

use crate::common::context::work;
use crate::common::{ApiError, Context, Controller, finalizer};

const FINALIZER: &str = "kubernetes.io/vac-protection";
/// Claims and volumes by the classes that they name.
const BY_CLASS: &str = "volume-attributes-class";

pub(crate) struct VacProtectionController {
    client: Client,
    classes: Store<VolumeAttributesClass>,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    queue: WorkQueue<String>,
}

/// The classes that a claim asks for, has, or is on its way to.
fn of_claim(claim: &PersistentVolumeClaim) -> BTreeSet<String> {
    let asked = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    let status = claim.status.as_ref();
    let has = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let target = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = target.and_then(|modify| modify.target_volume_attributes_class_name.clone());
    [asked, has, target].into_iter().flatten().filter(|name| !name.is_empty()).collect()
}

fn of_volume(volume: &PersistentVolume) -> BTreeSet<String> {
    let asked = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    asked.into_iter().filter(|name| !name.is_empty()).collect()
}

/// The classes that are named no more after a change.
fn let_go<K>(change: &Change<K>, classes: impl Fn(&K) -> BTreeSet<String>) -> BTreeSet<String> {
    match change {
        Change::Added(_) => BTreeSet::new(),
        Change::Updated { old, new } => &classes(old) - &classes(new),
        Change::Deleted(old) => classes(old),
    }
}

impl VacProtectionController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let classes = context.informers.of::<VolumeAttributesClass>();
        let (claims, volumes) = (context.claims(), context.volumes());
        claims.add_index(BY_CLASS, |claim| of_claim(claim).into_iter().collect());
        volumes.add_index(BY_CLASS, |volume| of_volume(volume).into_iter().collect());
        let queue = WorkQueue::new("vacprotection");
        let keys = queue.clone();
        classes.subscribe(move |change| match change {
            Change::Added(class) | Change::Updated { new: class, .. } => {
                keys.add(class.metadata.name.clone().unwrap_or_default());
            }
            Change::Deleted(_) => {}
        });
        let keys = queue.clone();
        claims
            .subscribe(move |change| let_go(change, of_claim).into_iter().for_each(|class| keys.add(class)));
        let keys = queue.clone();
        volumes
            .subscribe(move |change| let_go(change, of_volume).into_iter().for_each(|class| keys.add(class)));
        Box::new(Handle(Arc::new(Self {
            client: context.client("volumeattributesclass-protection-controller"),
            classes: classes.store(),
            claims: claims.store(),
            volumes: volumes.store(),
            queue,
        })))
    }

    async fn sync(self: Arc<Self>, name: String) -> Result<Outcome, ApiError> {
        let Some(class) = self.classes.get("", &name) else { return Ok(Outcome::Done) };
        let meta = &class.metadata;
        let used = || {
            self.volumes.count_by_index(BY_CLASS, &name) > 0
                || self.claims.count_by_index(BY_CLASS, &name) > 0
        };
        if finalizer::is_missing(meta, FINALIZER) || (finalizer::holds(meta, FINALIZER) && !used()) {
            let api: Api<VolumeAttributesClass> = Api::all(self.client.clone());
            return finalizer::change(&api, meta, FINALIZER).await;
        }
        Ok(Outcome::Done)
    }
}

struct Handle(Arc<VacProtectionController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, VacProtectionController::sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use oarlock_client::testing::FakeApi;
    use serde_json::{Value, json};

    fn claim(asked: &str, has: &str, target: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"namespace": "default", "name": "c"},
            "spec": {"volumeAttributesClassName": asked},
            "status": {
                "currentVolumeAttributesClassName": has,
                "modifyVolumeStatus": {"status": "Pending", "targetVolumeAttributesClassName": target},
            },
        })
    }

    fn volume(class: Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
            "spec": {"volumeAttributesClassName": class},
        })
    }

    #[test]
    fn claims_and_volumes_name_classes() {
        let text = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
        for (asked, has, target, want) in
            [("a", "b", "c", "a b c"), ("a", "a", "", "a"), ("", "", "", ""), ("", "b", "", "b")]
        {
            let claim = serde_json::from_value(claim(asked, has, target)).expect("a claim");
            assert_eq!(text(of_claim(&claim)), want);
        }
        for (class, want) in [(json!("a"), "a"), (json!(""), ""), (Value::Null, "")] {
            let volume = serde_json::from_value(volume(class)).expect("a volume");
            assert_eq!(text(of_volume(&volume)), want);
        }
    }

    #[tokio::test]
    async fn a_class_goes_when_nothing_names_it() {
        let api = FakeApi::new();
        let class = |name: &str, deleting: bool, finalizers: &[&str]| {
            let deleted = if deleting { json!("2026-01-01T00:00:00Z") } else { Value::Null };
            json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "driverName": "d",
                "metadata": {"name": name, "finalizers": finalizers, "deletionTimestamp": deleted},
            })
        };
        api.put(claim("asked", "has", ""));
        api.put(volume(json!("mounted")));
        for name in ["asked", "has", "mounted", "free"] {
            api.put(class(name, true, &[FINALIZER]));
        }
        api.put(class("old", false, &[]));
        let world = World::start(api.clone(), VacProtectionController::register).await;
        let gone = |name: &'static str| {
            api.until(move |api| api.get("volumeattributesclasses", "", name).is_none().then_some(()))
        };
        gone("free").await;
        api.until(|api| {
            let old = api.get("volumeattributesclasses", "", "old")?;
            (old["metadata"]["finalizers"] == json!([FINALIZER])).then_some(())
        })
        .await;
        assert_eq!(api.list("volumeattributesclasses").len(), 4);
        api.put(claim("asked", "asked", ""));
        gone("has").await;
        api.remove("persistentvolumeclaims", "default", "c");
        gone("asked").await;
        api.put(volume(Value::Null));
        gone("mounted").await;
        world.end().await;
    }
}
