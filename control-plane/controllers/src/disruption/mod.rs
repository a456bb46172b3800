//! disruption: says of each PodDisruptionBudget how many of its pods may be evicted now.
//!
//! [`plan`] counts, [`scale`] finds out how many pods there should be. What cannot be looked at lets nothing go. The
//! eviction itself, and whether a pod that is not ready may go, are the API server's.

mod plan;
mod scale;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as TypedSelector, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use oarlock_api::selector::LabelSelector;
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, EventType, ObjectKey, Outcome, Store, WorkQueue, is_conflict, is_not_found,
    object_ref,
};
use parking_lot::RwLock;
use serde_json::json;
use thiserror::Error;

use crate::common::context::{BY_NAMESPACE, work};
use crate::common::pods::{name, uid};
use crate::common::{ApiError, Context, Controller, api_error, selectors, until};
use plan::{Demand, Numbers};
use scale::{Scale, ScaleError, Scales};

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Why a budget's numbers are unknown.
#[derive(Debug, Error)]
enum CountError {
    #[error(transparent)]
    Scale(#[from] ScaleError),
    #[error(transparent)]
    Share(#[from] plan::BadShare),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Budget(ObjectKey),
    /// A pod whose `DisruptionTarget` condition may be stale.
    Pod(ObjectKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(key) => write!(f, "budget {key}"),
            Self::Pod(key) => write!(f, "pod {key}"),
        }
    }
}

/// A budget, and which pods are its.
type Selected = (ObjectKey, LabelSelector);

pub(crate) struct DisruptionController {
    client: Client,
    events: EventRecorder,
    budgets: Store<PodDisruptionBudget>,
    pods: Store<Pod>,
    scales: Scales,
    /// The budgets' selectors, by namespace: compiled when a budget changes, asked at each change of a pod.
    selectors: RwLock<HashMap<Arc<str>, Vec<Selected>>>,
    queue: WorkQueue<Key>,
}

impl DisruptionController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("disruption-controller");
        let budgets = context.informers.of::<PodDisruptionBudget>();
        let pods = context.pods();
        let controller = Arc::new(Self {
            events: context.recorder(&client, "controllermanager"),
            budgets: budgets.store(),
            pods: pods.store(),
            scales: Scales {
                client: client.clone(),
                controllers: context.replication_controllers().store(),
                sets: context.replica_sets().store(),
                deployments: context.informers.of::<Deployment>().store(),
                scalable: Default::default(),
            },
            client,
            selectors: RwLock::default(),
            queue: WorkQueue::new("disruption"),
        });
        let handler = controller.clone();
        budgets.subscribe(move |change| handler.budget_changed(change));
        let handler = controller.clone();
        pods.subscribe(move |change| handler.pod_changed(change));
        Box::new(Handle(controller))
    }

    fn budget_changed(&self, change: &Change<PodDisruptionBudget>) {
        let budget = change.object();
        let key = ObjectKey::of(&**budget);
        let mut selectors = self.selectors.write();
        let here = selectors.entry(key.namespace.clone()).or_default();
        here.retain(|(known, _)| *known != key);
        if let Change::Deleted(_) = change {
            if here.is_empty() {
                selectors.remove(&key.namespace);
            }
            return;
        }
        if let Ok(matcher) = selectors::matcher(selector(budget)) {
            here.push((key.clone(), matcher));
        }
        drop(selectors);
        self.queue.add(Key::Budget(key));
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let pod = change.object();
        match change {
            Change::Updated { old, new } => {
                if plan::matters(old, new) {
                    self.add_budgets_of(new);
                    if old.metadata.labels != new.metadata.labels {
                        self.add_budgets_of(old);
                    }
                }
            }
            _ => self.add_budgets_of(pod),
        }
        if let Change::Deleted(_) = change {
            return;
        }
        if let Some(left) = plan::stale_in(pod, Timestamp::now()) {
            self.queue.add_after(Key::Pod(ObjectKey::of(&**pod)), left);
        }
    }

    fn add_budgets_of(&self, pod: &Pod) {
        if pod.metadata.labels.as_ref().is_none_or(|labels| labels.is_empty()) {
            return;
        }
        let selectors = self.selectors.read();
        let here = selectors.get(pod.metadata.namespace.as_deref().unwrap_or_default());
        let matching = here.into_iter().flatten().filter(|(_, it)| it.matches(&pod.metadata.labels));
        let matching: Vec<&ObjectKey> = matching.map(|(key, _)| key).collect();
        if let [first, _, ..] = matching.as_slice() {
            let (namespace, pod_name) = (&first.namespace, name(pod));
            let message = format!(
                "Pod {namespace:?}/{pod_name:?} matches multiple PodDisruptionBudgets.  Chose {:?} arbitrarily.",
                first.name
            );
            self.events.event(&object_ref(pod), EventType::Warning, "MultiplePodDisruptionBudgets", message);
        }
        for key in matching {
            self.queue.add(Key::Budget(key.clone()));
        }
    }

    async fn sync(self: Arc<Self>, key: Key) -> Result<Outcome, Error> {
        match key {
            Key::Budget(key) => match self.budgets.get_key(&key) {
                Some(budget) => self.sync_budget(&budget).await,
                None => Ok(Outcome::Done),
            },
            Key::Pod(key) => match self.pods.get_key(&key) {
                Some(pod) => self.clear_stale(&pod).await,
                None => Ok(Outcome::Done),
            },
        }
    }

    async fn sync_budget(&self, budget: &PodDisruptionBudget) -> Result<Outcome, Error> {
        let about = object_ref(budget);
        let pods = self.pods_of(budget);
        if pods.is_empty() {
            self.events.event(&about, EventType::Normal, "NoPods", "No matching pods found");
        }
        let counted = self.expected(budget, &pods).await;
        let now = Timestamp::now();
        let (expected, desired) = match counted {
            Ok(numbers) => numbers,
            Err(error) => {
                let message = format!("Failed to calculate the number of expected pods: {error}");
                self.events.event(&about, EventType::Warning, "CalculateExpectedPodCountFailed", message);
                let status = plan::failed(budget, &error.to_string(), now);
                return self.write(budget, status).await;
            }
        };
        let disrupted = plan::disrupted(budget, &pods, now);
        for pod in &disrupted.overdue {
            let message = format!(
                "Pod was expected by PDB {}/{} to be deleted but it wasn't",
                about.namespace.as_deref().unwrap_or_default(),
                about.name.as_deref().unwrap_or_default(),
            );
            self.events.event(&object_ref(&**pod), EventType::Warning, "NotDeleted", message);
        }
        let healthy = plan::healthy(&pods, &disrupted.waited_for, now);
        let numbers = Numbers { expected, desired, healthy };
        let status = plan::status(budget, &numbers, disrupted.waited_for, now);
        match (self.write(budget, status).await?, disrupted.next) {
            (Outcome::Done, Some(next)) => Ok(Outcome::RequeueAfter(until(next, now))),
            (outcome, _) => Ok(outcome),
        }
    }

    fn pods_of(&self, budget: &PodDisruptionBudget) -> Vec<Arc<Pod>> {
        // Validation refuses a selector that cannot be read; it selects nothing.
        let Ok(matcher) = selectors::matcher(selector(budget)) else { return vec![] };
        let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
        let mut pods = self.pods.by_index(BY_NAMESPACE, namespace);
        pods.retain(|pod| matcher.matches(&pod.metadata.labels));
        pods
    }

    /// How many pods there should be, and how many of them healthy.
    async fn expected(
        &self,
        budget: &PodDisruptionBudget,
        pods: &[Arc<Pod>],
    ) -> Result<(i32, i32), CountError> {
        if let Demand::Healthy(desired) = plan::demand(budget) {
            return Ok((plan::count(pods.len()), desired));
        }
        let Scale { replicas, unmanaged } = self.scales.of(pods).await?;
        let desired = plan::desired_of(budget, replicas)?;
        if unmanaged {
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the \
                 status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account \
                 for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.",
                selectors::print(selector(budget)),
            );
            self.events.event(&object_ref(budget), EventType::Warning, "UnmanagedPods", message);
        }
        Ok((replicas, desired))
    }

    async fn write(
        &self,
        budget: &PodDisruptionBudget,
        status: Option<PodDisruptionBudgetStatus>,
    ) -> Result<Outcome, Error> {
        let Some(status) = status else { return Ok(Outcome::Done) };
        let mut new = budget.clone();
        new.status = Some(status);
        let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), namespace);
        let name = budget.metadata.name.as_deref().unwrap_or_default();
        match api.replace_status(name, &PostParams::default(), &new).await {
            // An eviction was noted meanwhile; it must not be lost.
            Err(error) if is_conflict(&error) => Ok(Outcome::Requeue),
            Err(error) if is_not_found(&error) => Ok(Outcome::Done),
            written => {
                written.map_err(api_error("write the status of a disruption budget"))?;
                Ok(Outcome::Done)
            }
        }
    }

    /// The pod was to be disrupted, and was not: it no longer says so.
    async fn clear_stale(&self, pod: &Pod) -> Result<Outcome, Error> {
        let now = Timestamp::now();
        match plan::stale_in(pod, now) {
            None => return Ok(Outcome::Done),
            Some(left) if !left.is_zero() => return Ok(Outcome::RequeueAfter(left)),
            Some(_) => {}
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({
            "metadata": {"uid": uid(pod), "resourceVersion": pod.metadata.resource_version},
            "status": {"conditions": [{
                "type": "DisruptionTarget", "status": "False", "reason": null, "message": null,
                "lastProbeTime": null, "lastTransitionTime": Time(now), "observedGeneration": pod.metadata.generation,
            }]},
        });
        match api.patch_status(name(pod), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Err(error) if is_conflict(&error) => Ok(Outcome::Requeue),
            Err(error) if is_not_found(&error) => Ok(Outcome::Done),
            patched => {
                patched.map_err(api_error("clear a stale condition of a pod"))?;
                Ok(Outcome::Done)
            }
        }
    }
}

fn selector(budget: &PodDisruptionBudget) -> Option<&TypedSelector> {
    budget.spec.as_ref()?.selector.as_ref()
}

struct Handle(Arc<DisruptionController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, DisruptionController::sync);
    }
}
