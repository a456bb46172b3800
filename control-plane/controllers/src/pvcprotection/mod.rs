//! persistentvolumeclaim-protection: a claim that is told to go stays while a pod on a node uses it.
//!
//! Claims are looked at by namespace: those that wait for something are in an index, and one live list of pods, asked
//! for only when the cache knows no user, serves all of them.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{Change, Outcome, Store, WorkQueue};

use crate::common::context::work;
use crate::common::{ApiError, Context, Controller, api_error, finalizer};

const FINALIZER: &str = "kubernetes.io/pvc-protection";
const WORKERS: usize = 8;
/// Claims whose finalizer is to be looked at, by namespace.
const WAITING: &str = "waiting-for-protection";
/// Pods by the claims that they may use, `namespace/claim`.
const BY_CLAIM: &str = "claim";

pub(crate) struct PvcProtectionController {
    client: Client,
    claims: Store<PersistentVolumeClaim>,
    pods: Store<Pod>,
    /// Namespaces.
    queue: WorkQueue<String>,
}

fn namespace(claim: &PersistentVolumeClaim) -> String {
    claim.metadata.namespace.clone().unwrap_or_default()
}

impl PvcProtectionController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let (claims, pods) = (context.claims(), context.pods());
        claims.add_index(WAITING, |claim| {
            let meta = &claim.metadata;
            let waits = finalizer::holds(meta, FINALIZER) || finalizer::is_missing(meta, FINALIZER);
            if waits { vec![namespace(claim)] } else { Vec::new() }
        });
        pods.add_index(BY_CLAIM, |pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            plan::claims(pod).map(|claim| format!("{namespace}/{claim}")).collect()
        });
        let controller = Arc::new(Self {
            client: context.client("pvc-protection-controller"),
            claims: claims.store(),
            pods: pods.store(),
            queue: WorkQueue::new("pvcprotection"),
        });
        let handler = controller.clone();
        claims.subscribe(move |change| handler.look_at(namespace(change.object())));
        let handler = controller.clone();
        pods.subscribe(move |change| handler.pod_changed(change));
        Box::new(Handle(controller))
    }

    /// A namespace in which no claim waits needs no look.
    fn look_at(&self, namespace: String) {
        if self.claims.count_by_index(WAITING, &namespace) > 0 {
            self.queue.add(namespace);
        }
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let frees = match change {
            Change::Deleted(_) => true,
            Change::Added(pod) => plan::may_free(pod),
            // A pod of the same name may hide that another has gone.
            Change::Updated { old, new } => plan::may_free(new) || old.metadata.uid != new.metadata.uid,
        };
        let uses_claims = |pod: &Pod| plan::claims(pod).next().is_some();
        let any = match change {
            Change::Updated { old, new } => uses_claims(old) || uses_claims(new),
            Change::Added(pod) | Change::Deleted(pod) => uses_claims(pod),
        };
        if frees && any {
            self.look_at(change.object().metadata.namespace.clone().unwrap_or_default());
        }
    }

    async fn sync(self: Arc<Self>, namespace: String) -> Result<Outcome, ApiError> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let (mut live, mut outcome) = (None, Outcome::Done);
        for claim in self.claims.by_index(WAITING, &namespace) {
            let going = claim.metadata.deletion_timestamp.is_some();
            if going && self.is_used(&claim, &mut live).await? {
                continue;
            }
            match finalizer::change(&api, &claim.metadata, FINALIZER).await? {
                Outcome::Done => {}
                again => outcome = again,
            }
        }
        Ok(outcome)
    }

    /// Asks the cache, and where that knows no user the API: a pod may not have reached the cache yet.
    async fn is_used(
        &self,
        claim: &PersistentVolumeClaim,
        live: &mut Option<Vec<Pod>>,
    ) -> Result<bool, ApiError> {
        let namespace = namespace(claim);
        let key = format!("{namespace}/{}", claim.metadata.name.as_deref().unwrap_or_default());
        if self.pods.by_index(BY_CLAIM, &key).iter().any(|pod| plan::uses(pod, claim)) {
            return Ok(true);
        }
        if live.is_none() {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
            let listed = api.list(&ListParams::default()).await;
            *live = Some(listed.map_err(api_error("list the pods of a namespace"))?.items);
        }
        Ok(live.iter().flatten().any(|pod| plan::uses(pod, claim)))
    }
}

struct Handle(Arc<PvcProtectionController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, PvcProtectionController::sync);
    }
}
