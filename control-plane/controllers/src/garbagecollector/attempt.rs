//! The look at one object: are its owners there? What is deleted is first asked for at the API; the graph may lag.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use oarlock_client::{Outcome, is_conflict, is_not_found};
use serde_json::{Value, json};
use tracing::{debug, info};

use super::graph::{Identity, Look, Seen};
use super::monitors::Meta;
use super::{Error, GarbageCollector, Uid, api_error};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The owners of an object, by what became of them.
#[derive(Debug, Default)]
struct Owners {
    solid: Vec<OwnerReference>,
    gone: Vec<OwnerReference>,
    /// Being deleted in the foreground, and so waiting for this object.
    waiting: Vec<OwnerReference>,
}

impl GarbageCollector {
    pub(super) async fn attempt_to_delete(&self, uid: &Uid) -> Result<Outcome, Error> {
        let Some(seen) = self.graph.lock().seen(uid) else { return Ok(Outcome::Done) };
        // Deletion is on its way, and nothing in it waits for us.
        if seen.being_deleted && !seen.deleting_dependents {
            return Ok(Outcome::Done);
        }
        let Some(live) = self.live(uid, &seen).await? else { return Ok(Outcome::Done) };
        if seen.deleting_dependents {
            return self.finish_foreground(&seen, &live).await;
        }
        let references = live.metadata.owner_references.clone().unwrap_or_default();
        if references.is_empty() {
            return Ok(Outcome::Done);
        }
        let Some(owners) = self.classify(&seen.identity, references).await? else { return Ok(Outcome::Done) };
        if !owners.solid.is_empty() {
            if owners.gone.is_empty() && owners.waiting.is_empty() {
                return Ok(Outcome::Done);
            }
            return self.keep_owners(&seen.identity, &live, &owners.solid).await;
        }
        if !owners.waiting.is_empty() && !seen.dependents.is_empty() {
            return self.delete_before_owner(&seen, &live).await;
        }
        let policy = match &live.metadata.finalizers {
            Some(list) if list.iter().any(|finalizer| finalizer == ORPHAN) => PropagationPolicy::Orphan,
            Some(list) if list.iter().any(|finalizer| finalizer == FOREGROUND) => {
                PropagationPolicy::Foreground
            }
            _ => PropagationPolicy::Background,
        };
        self.delete(&seen.identity, &live, policy).await
    }

    /// The object at the API; `None` when it is gone or a namesake has its place, and then the graph learns of it.
    async fn live(&self, uid: &Uid, seen: &Seen) -> Result<Option<Meta>, Error> {
        let live = match self.api(&seen.identity) {
            Some(api) => {
                api.get_metadata_opt(&seen.identity.name).await.map_err(api_error("look at an object"))?
            }
            // Of a kind that is not served: a virtual owner of such a kind is for all we know there.
            None => return Ok(None),
        };
        match live {
            Some(live) if live.metadata.uid.as_deref() == Some(&**uid) => {
                Ok(Some(Meta { metadata: live.metadata, types: None, _phantom: std::marker::PhantomData }))
            }
            // For what is watched the watch will say so; nobody else will of a virtual one.
            _ if !seen.is_virtual => Ok(None),
            _ => {
                let looks = self.graph.lock().remove(uid);
                self.enqueue(looks);
                Ok(None)
            }
        }
    }

    fn api(&self, identity: &Identity) -> Option<Api<DynamicObject>> {
        let served = self.monitors.read().resource(&identity.api_version, &identity.kind)?;
        Some(if !served.namespaced {
            Api::all_with(self.client.clone(), &served.resource)
        } else if identity.namespace.is_empty() {
            // A cluster-scoped object cannot be owned by a namespaced one.
            return None;
        } else {
            Api::namespaced_with(self.client.clone(), &identity.namespace, &served.resource)
        })
    }

    /// `None` when an owner is of a kind that is not known: then nothing can be said, and nothing is done.
    async fn classify(
        &self,
        of: &Identity,
        references: Vec<OwnerReference>,
    ) -> Result<Option<Owners>, Error> {
        let mut owners = Owners::default();
        for reference in references {
            let identity = Identity {
                api_version: reference.api_version.as_str().into(),
                kind: reference.kind.as_str().into(),
                namespace: of.namespace.clone(),
                name: reference.name.clone(),
            };
            let Some(api) = self.api(&identity) else {
                debug!(kind = %identity.kind, owner = %identity.name, "owner of an unknown kind");
                return Ok(None);
            };
            let live = api.get_metadata_opt(&reference.name).await.map_err(api_error("look at an owner"))?;
            match live.filter(|live| live.metadata.uid.as_deref() == Some(&reference.uid)) {
                None => owners.gone.push(reference),
                Some(live) => {
                    let finalizers = live.metadata.finalizers.unwrap_or_default();
                    let waits = live.metadata.deletion_timestamp.is_some()
                        && finalizers.iter().any(|f| f == FOREGROUND);
                    if waits { owners.waiting.push(reference) } else { owners.solid.push(reference) }
                }
            }
        }
        Ok(Some(owners))
    }

    /// Some owners are there: only the references to the others go.
    async fn keep_owners(
        &self,
        identity: &Identity,
        live: &Meta,
        solid: &[OwnerReference],
    ) -> Result<Outcome, Error> {
        let patch = json!({"ownerReferences": solid});
        self.patch_meta(identity, live, patch, "remove references to owners that are gone").await
    }

    /// Its owner waits for it, and it has dependents of its own: they go first, in the foreground.
    async fn delete_before_owner(&self, seen: &Seen, live: &Meta) -> Result<Outcome, Error> {
        if seen.dependents.iter().any(|dependent| dependent.deleting_dependents) {
            // A circle of blocking references would wait for itself for ever.
            let mut references = live.metadata.owner_references.clone().unwrap_or_default();
            references.iter_mut().for_each(|reference| reference.block_owner_deletion = Some(false));
            let patch = json!({"ownerReferences": references});
            self.patch_meta(&seen.identity, live, patch, "unblock owners").await?;
        }
        self.delete(&seen.identity, live, PropagationPolicy::Foreground).await
    }

    async fn finish_foreground(&self, seen: &Seen, live: &Meta) -> Result<Outcome, Error> {
        let blocking: Vec<_> = seen.dependents.iter().filter(|dependent| dependent.blocks).collect();
        if blocking.is_empty() {
            return self.remove_finalizer(&seen.identity, live, FOREGROUND).await;
        }
        for dependent in
            blocking.iter().filter(|dependent| !dependent.being_deleted || dependent.deleting_dependents)
        {
            self.enqueue(vec![(Look::Delete, dependent.uid.clone())]);
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn attempt_to_orphan(&self, uid: &Uid) -> Result<Outcome, Error> {
        let Some(seen) = self.graph.lock().seen(uid) else { return Ok(Outcome::Done) };
        let Some(live) = self.live(uid, &seen).await? else { return Ok(Outcome::Done) };
        for dependent in &seen.dependents {
            self.let_go(uid, &dependent.identity, &dependent.uid).await?;
        }
        self.remove_finalizer(&seen.identity, &live, ORPHAN).await
    }

    async fn let_go(&self, owner: &Uid, dependent: &Identity, uid: &Uid) -> Result<(), Error> {
        let Some(api) = self.api(dependent) else { return Ok(()) };
        let live = api.get_metadata_opt(&dependent.name).await.map_err(api_error("look at a dependent"))?;
        let Some(live) = live.filter(|live| live.metadata.uid.as_deref() == Some(&**uid)) else {
            return Ok(());
        };
        let mut references = live.metadata.owner_references.clone().unwrap_or_default();
        references.retain(|reference| reference.uid != **owner);
        let live = Meta { metadata: live.metadata, types: None, _phantom: std::marker::PhantomData };
        self.patch_meta(dependent, &live, json!({"ownerReferences": references}), "orphan a dependent")
            .await?;
        Ok(())
    }

    async fn remove_finalizer(&self, identity: &Identity, live: &Meta, gone: &str) -> Result<Outcome, Error> {
        let mut finalizers = live.metadata.finalizers.clone().unwrap_or_default();
        let before = finalizers.len();
        finalizers.retain(|finalizer| finalizer != gone);
        if finalizers.len() == before {
            return Ok(Outcome::Done);
        }
        self.patch_meta(identity, live, json!({"finalizers": finalizers}), "remove a finalizer").await
    }

    /// A merge patch of the metadata, which holds only if the object is as we saw it.
    async fn patch_meta(
        &self,
        identity: &Identity,
        live: &Meta,
        mut patch: Value,
        what: &'static str,
    ) -> Result<Outcome, Error> {
        let Some(api) = self.api(identity) else { return Ok(Outcome::Done) };
        patch["uid"] = json!(live.metadata.uid);
        patch["resourceVersion"] = json!(live.metadata.resource_version);
        let patch = Patch::Merge(json!({"metadata": patch}));
        match api.patch_metadata(&identity.name, &PatchParams::default(), &patch).await {
            Err(error) if is_conflict(&error) => Ok(Outcome::Requeue),
            Err(error) if is_not_found(&error) => Ok(Outcome::Done),
            patched => Ok(patched.map(|_| Outcome::Done).map_err(api_error(what))?),
        }
    }

    async fn delete(
        &self,
        identity: &Identity,
        live: &Meta,
        policy: PropagationPolicy,
    ) -> Result<Outcome, Error> {
        let Some(api) = self.api(identity) else { return Ok(Outcome::Done) };
        let same = Preconditions {
            uid: live.metadata.uid.clone(),
            resource_version: live.metadata.resource_version.clone(),
        };
        let params =
            DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() }.preconditions(same);
        info!(kind = %identity.kind, namespace = %identity.namespace, name = %identity.name, "deleting what nobody owns");
        match api.delete(&identity.name, &params).await {
            Err(error) if is_conflict(&error) => Ok(Outcome::Requeue),
            Err(error) if is_not_found(&error) => Ok(Outcome::Done),
            deleted => Ok(deleted.map(|_| Outcome::Done).map_err(api_error("delete an object"))?),
        }
    }
}
