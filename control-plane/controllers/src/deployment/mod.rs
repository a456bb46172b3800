//! deployment: rolls a template out over replica sets, one per version of the template.
//!
//! [`plan`] computes sizes, [`revision`] what distinguishes versions, [`status`] what to report — all pure. [`rollout`]
//! carries them out: it finds or makes the new replica set, scales, cleans up.

mod plan;
mod revision;
mod rollout;
mod status;
mod strategy;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, EventType, ObjectKey, Outcome, Store, WorkQueue, controller_of, is_conflict,
    is_namespace_terminating, is_not_found, object_ref,
};
use thiserror::Error;

use crate::common::claim::claim;
use crate::common::context::{BY_CONTROLLER, BY_NAMESPACE, work};
use crate::common::{ApiError, Context, Controller, api_error, pods, selectors};
use crate::replicaset::owned_set;
use rollout::Rollout;

const WORKERS: usize = 5;

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the name of the new replica set is taken; trying another")]
    Collision,
}

pub(crate) struct DeploymentController {
    client: Client,
    events: EventRecorder,
    deployments: Store<Deployment>,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
    queue: WorkQueue<ObjectKey>,
}

impl DeploymentController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("deployment-controller");
        let deployments = context.informers.of::<Deployment>();
        deployments.add_index(BY_NAMESPACE, |it| it.metadata.namespace.clone().into_iter().collect());
        let (sets, pods) = (context.replica_sets(), context.pods());
        let controller = Arc::new(Self {
            events: context.recorder(&client, "deployment-controller"),
            client,
            deployments: deployments.store(),
            sets: sets.store(),
            pods: pods.store(),
            queue: WorkQueue::new("deployment"),
        });
        let handler = controller.clone();
        deployments.subscribe(move |change| handler.queue.add(ObjectKey::of(&**change.object())));
        let handler = controller.clone();
        sets.subscribe(move |change| handler.set_changed(change));
        let handler = controller.clone();
        pods.subscribe(move |change| handler.pod_changed(change));
        Box::new(Handle(controller))
    }

    fn set_changed(&self, change: &Change<ReplicaSet>) {
        if let Change::Updated { old, new } = change {
            let moved = controller_of(&old.metadata) != controller_of(&new.metadata);
            if moved && let Some(key) = self.controller(old) {
                self.queue.add(key);
            }
            if !moved && controller_of(&new.metadata).is_none() && old.metadata.labels == new.metadata.labels
            {
                return;
            }
        }
        let set = change.object();
        match self.controller(set) {
            Some(key) => self.queue.add(key),
            None if controller_of(&set.metadata).is_none() => self.add_matching(set),
            None => {}
        }
    }

    /// Recreate waits for the last old pod to end.
    fn pod_changed(&self, change: &Change<Pod>) {
        let ended = match change {
            Change::Deleted(pod) => pod,
            Change::Updated { old, new } if !pods::is_terminal(old) && pods::is_terminal(new) => new,
            _ => return,
        };
        let Some(owner) = controller_of(&ended.metadata) else { return };
        let Some(set) = owned_set(&self.sets, owner, &ended.metadata) else { return };
        let Some(key) = self.controller(&set) else { return };
        let deployment = self.deployments.get_key(&key);
        if deployment.is_some_and(|deployment| strategy::is_recreate(&deployment)) {
            self.queue.add(key);
        }
    }

    fn controller(&self, set: &ReplicaSet) -> Option<ObjectKey> {
        let owner = controller_of(&set.metadata).filter(|owner| owner.kind == "Deployment")?;
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let deployment = self.deployments.get(namespace, &owner.name)?;
        (deployment.metadata.uid.as_deref() == Some(&owner.uid)).then(|| ObjectKey::of(&*deployment))
    }

    fn add_matching(&self, set: &ReplicaSet) {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        for deployment in self.deployments.by_index(BY_NAMESPACE, namespace) {
            let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
            if selectors::matcher(selector).is_ok_and(|matcher| matcher.matches(&set.metadata.labels)) {
                self.queue.add(ObjectKey::of(&*deployment));
            }
        }
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, Error> {
        let Some(deployment) = self.deployments.get_key(&key) else { return Ok(Outcome::Done) };
        let Some(spec) = deployment.spec.as_ref() else { return Ok(Outcome::Done) };
        if selectors::is_empty(&spec.selector) {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.events.event(&object_ref(&*deployment), EventType::Warning, "SelectingAll", message);
            return Ok(Outcome::Done);
        }
        let candidates = self.sets.by_index(BY_NAMESPACE, &key.namespace);
        let alive = |set: &ReplicaSet| set.metadata.deletion_timestamp.is_none();
        let sets = claim(&self.client, &*deployment, Some(&spec.selector), candidates, alive);
        let sets = sets.await.map_err(api_error("claim the replica sets of a deployment"))?;
        let mut rollout = Rollout::new(&self.client, &self.events, &deployment, &sets);
        match self.roll_out(&mut rollout).await {
            // The cache is behind, or the name was taken: another look is all it takes.
            Err(Error::Api(ApiError { source, .. })) if is_conflict(&source) => return Ok(Outcome::Requeue),
            // Something went while it was looked at; that change brings the key back, if there is anything left.
            Err(Error::Api(ApiError { source, .. })) if is_not_found(&source) => return Ok(Outcome::Done),
            Err(Error::Api(ApiError { source, .. })) if is_namespace_terminating(&source) => {
                return Ok(Outcome::Done);
            }
            Err(Error::Collision) => return Ok(Outcome::Requeue),
            rolled => rolled?,
        }
        Ok(match status::deadline(&rollout.deployment, Timestamp::now()) {
            Some(left) => Outcome::RequeueAfter(left + Duration::from_secs(1)),
            None => Outcome::Done,
        })
    }

    async fn roll_out(&self, rollout: &mut Rollout<'_>) -> Result<(), Error> {
        if rollout.deployment.metadata.deletion_timestamp.is_some() {
            return rollout.write_status(false).await;
        }
        rollout.note_pause();
        let paused = strategy::is_paused(&rollout.deployment);
        if paused || rollout.is_scaling() {
            rollout.find_new(false).await?;
            rollout.scale().await?;
            if paused {
                rollout.clean_up().await?;
            }
            return rollout.write_status(false).await;
        }
        let settled = if strategy::is_recreate(&rollout.deployment) {
            self.recreate(rollout).await?
        } else {
            rollout.find_new(true).await?;
            rollout.roll().await?
        };
        if settled && rollout.is_complete() {
            rollout.clean_up().await?;
        }
        rollout.write_status(true).await
    }

    /// All old pods go before the first new one comes. Says whether there was nothing left to do.
    async fn recreate(&self, rollout: &mut Rollout<'_>) -> Result<bool, Error> {
        rollout.find_new(false).await?;
        if rollout.scale_down_old().await? || self.old_pods_run(rollout) {
            return Ok(false);
        }
        rollout.find_new(true).await?;
        rollout.scale_new_to_full().await?;
        Ok(true)
    }

    fn old_pods_run(&self, rollout: &Rollout<'_>) -> bool {
        rollout.old().any(|set| {
            let reported = set.status.as_ref().is_some_and(|status| status.replicas > 0);
            let pods = self.pods.by_index(BY_CONTROLLER, set.metadata.uid.as_deref().unwrap_or_default());
            reported || pods.iter().any(|pod| !pods::is_terminal(pod))
        })
    }
}

struct Handle(Arc<DeploymentController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, DeploymentController::sync);
    }
}
