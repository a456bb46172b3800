//! replicaset: keeps as many pods of one template as asked for. The replication controller is this one over another
//! kind ([`Set`]).
//!
//! [`plan`] decides how many to make and which to delete, [`status`] what to report;
//! [`pods`] makes and deletes them. Until the cache shows what was asked for last time (expectations), only the
//! status is looked after.

mod plan;
mod pods;
mod set;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, Expectations, ObjectKey, Outcome, Store, WorkQueue, controller_of, is_conflict,
    is_not_found,
};
use thiserror::Error;

use crate::common::claim::claim;
use crate::common::context::{BY_CONTROLLER, BY_NAMESPACE, ORPHANS, work};
use crate::common::pods::{available_at, is_active, is_ready, is_terminating, node_name};
use crate::common::{ApiError, Context, Controller, api_error, selectors, until};

pub(crate) use set::Set;

const WORKERS: usize = 5;

/// A little more than expectations last.
pub(crate) const EXPECTATIONS_LAST: Duration = Duration::from_secs(5 * 60 + 1);

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
}

pub(crate) struct ReplicaSetController<S> {
    client: Client,
    events: EventRecorder,
    sets: Store<S>,
    pods: Store<Pod>,
    queue: WorkQueue<ObjectKey>,
    expectations: Expectations,
}

impl<S: Set> ReplicaSetController<S> {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client(S::ACCOUNT);
        let (sets, pods) = (S::informer(context), context.pods());
        let controller = Arc::new(Self {
            events: context.recorder(&client, S::ACCOUNT),
            client,
            sets: sets.store(),
            pods: pods.store(),
            queue: WorkQueue::new(S::QUEUE),
            expectations: Expectations::new(),
        });
        let handler = controller.clone();
        sets.subscribe(move |change| handler.set_changed(change));
        let handler = controller.clone();
        pods.subscribe(move |change| handler.pod_changed(change));
        Box::new(Handle(controller))
    }

    fn set_changed(&self, change: &Change<S>) {
        let key = ObjectKey::of(&**change.object());
        if let Change::Deleted(_) = change {
            self.expectations.forget(&key.to_string());
        }
        self.queue.add(key);
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        match change {
            Change::Added(pod) if pod.metadata.deletion_timestamp.is_some() => self.pod_gone(pod),
            Change::Added(pod) => match self.controller(pod) {
                Some(key) => {
                    self.expectations.creation_observed(&key.to_string());
                    self.queue.add(key);
                }
                None => self.add_matching(pod),
            },
            Change::Updated { old, new } => self.pod_updated(old, new),
            Change::Deleted(pod) => self.pod_gone(pod),
        }
    }

    fn pod_updated(&self, old: &Pod, new: &Pod) {
        if new.metadata.deletion_timestamp.is_some() {
            self.pod_gone(new);
            return;
        }
        let moved = controller_of(&old.metadata) != controller_of(&new.metadata);
        if moved && let Some(key) = self.controller(old) {
            self.queue.add(key);
        }
        match self.controller(new) {
            Some(key) => self.queue.add(key),
            None if moved || old.metadata.labels != new.metadata.labels => self.add_matching(new),
            None => {}
        }
    }

    fn pod_gone(&self, pod: &Pod) {
        if let Some(key) = self.controller(pod) {
            self.expectations.deletion_observed(&key.to_string(), crate::common::pods::uid(pod));
            self.queue.add(key);
        }
    }

    /// The set that controls the pod, if it is one we know and no namesake.
    fn controller(&self, pod: &Pod) -> Option<ObjectKey> {
        let owner = controller_of(&pod.metadata)?;
        let set = owned_set(&self.sets, owner, &pod.metadata)?;
        Some(ObjectKey::of(&*set))
    }

    /// An orphan may be adopted by any set that selects it.
    fn add_matching(&self, pod: &Pod) {
        if controller_of(&pod.metadata).is_some() || pod.metadata.labels.is_none() {
            return;
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for set in self.sets.by_index(BY_NAMESPACE, namespace) {
            if selectors::matcher(set.selector().as_deref())
                .is_ok_and(|matcher| matcher.matches(&pod.metadata.labels))
            {
                self.queue.add(ObjectKey::of(&*set));
            }
        }
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, Error> {
        let Some(set) = self.sets.get_key(&key) else {
            self.expectations.forget(&key.to_string());
            return Ok(Outcome::Done);
        };
        let settled = self.expectations.satisfied(&key.to_string());
        let selector = set.selector();
        let owned = claim(&self.client, &*set, selector.as_deref(), self.candidates(&set), is_active);
        let owned = owned.await.map_err(api_error("claim the pods of a set"))?;
        let (active, rest): (Vec<_>, Vec<_>) = owned.into_iter().partition(|pod| is_active(pod));
        let terminating = rest.iter().filter(|pod| is_terminating(pod)).count();
        let mut failure = None;
        if settled && set.meta().deletion_timestamp.is_none() {
            failure = self.manage(&key, &set, &active).await.err();
        }
        let now = Timestamp::now();
        let status =
            status::calculate(&*set, &active, terminating, failure.as_ref().map(|f| f.status()), now);
        self.write_status(&set, status).await?;
        if let Some(failure) = failure {
            return Err(failure.into_error());
        }
        if !settled {
            // The events that are waited for bring the key back; if one is lost, the expectations run out.
            return Ok(Outcome::RequeueAfter(EXPECTATIONS_LAST));
        }
        Ok(self.next_look(&set, &active, now))
    }

    /// Ready pods become available by the passing of time alone: look again when the next one does.
    fn next_look(&self, set: &S, active: &[Arc<Pod>], now: Timestamp) -> Outcome {
        let min_ready = set.min_ready_seconds();
        let waiting =
            active.iter().filter(|pod| is_ready(pod)).filter_map(|pod| available_at(pod, min_ready));
        let next = waiting.filter(|at| *at > now).min();
        next.map_or(Outcome::Done, |at| Outcome::RequeueAfter(until(at, now)))
    }

    async fn write_status(&self, set: &S, status: ReplicaSetStatus) -> Result<(), Error> {
        let Some(new) = set.with_status(status) else { return Ok(()) };
        let api: Api<S> =
            Api::namespaced(self.client.clone(), set.meta().namespace.as_deref().unwrap_or_default());
        let name = set.meta().name.as_deref().unwrap_or_default();
        match api.replace_status(name, &PostParams::default(), &new).await {
            // The cache is behind; the change that made it so brings the key back.
            Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(()),
            written => Ok(written.map(drop).map_err(api_error("write the status of a set"))?),
        }
    }

    /// Pods on each node that belong to this set or to a sibling (another set of the same controller).
    fn related_on_nodes(&self, set: &S) -> std::collections::HashMap<String, usize> {
        let mut uids: Vec<String> = set.meta().uid.clone().into_iter().collect();
        if let Some(owner) = controller_of(set.meta()) {
            let siblings = self.sets.by_index(BY_CONTROLLER, &owner.uid);
            uids.extend(siblings.iter().filter_map(|set| set.meta().uid.clone()));
        }
        uids.sort();
        uids.dedup();
        let mut counts = std::collections::HashMap::new();
        for pod in uids.iter().flat_map(|uid| self.pods.by_index(BY_CONTROLLER, uid)) {
            if is_active(&pod) {
                *counts.entry(node_name(&pod).to_string()).or_default() += 1;
            }
        }
        counts
    }

    fn candidates(&self, set: &S) -> Vec<Arc<Pod>> {
        let uid = set.meta().uid.as_deref().unwrap_or_default();
        let namespace = set.meta().namespace.as_deref().unwrap_or_default();
        let mut pods = self.pods.by_index(BY_CONTROLLER, uid);
        pods.extend(self.pods.by_index(ORPHANS, namespace));
        pods
    }
}

/// The set that an owner reference names, if its uid is the one meant.
pub(crate) fn owned_set<S: Set>(
    sets: &Store<S>,
    owner: &OwnerReference,
    owned: &ObjectMeta,
) -> Option<Arc<S>> {
    if owner.kind != S::KIND {
        return None;
    }
    let set = sets.get(owned.namespace.as_deref().unwrap_or_default(), &owner.name)?;
    (set.meta().uid.as_deref() == Some(&owner.uid)).then_some(set)
}

struct Handle<S>(Arc<ReplicaSetController<S>>);

impl<S: Set> Controller for Handle<S> {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, ReplicaSetController::<S>::sync);
    }
}
