//! Makes and deletes the pods of a set, in batches that grow while all goes well.

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use oarlock_client::{
    EventType, ObjectKey, is_namespace_terminating, is_not_found, object_ref, owner_reference,
};

use super::plan::{Action, plan};
use super::status::Failure;
use super::{Error, ReplicaSetController, Set, api_error};
use crate::common::error_text;
use crate::common::pods::{name, uid};

/// Why pods could not be made or deleted.
pub(super) struct ManageError {
    reason: &'static str,
    source: kube::Error,
}

impl ManageError {
    /// For the set's ReplicaFailure condition.
    pub(super) fn status(&self) -> Failure {
        Failure { reason: self.reason, message: error_text(&self.source) }
    }

    pub(super) fn into_error(self) -> Error {
        api_error(if self.reason == "FailedCreate" { "create pods" } else { "delete pods" })(self.source)
            .into()
    }
}

impl<S: Set> ReplicaSetController<S> {
    pub(super) async fn manage(
        &self,
        key: &ObjectKey,
        set: &S,
        active: &[Arc<Pod>],
    ) -> Result<(), ManageError> {
        let want = set.replicas().unwrap_or(1);
        let want = usize::try_from(want).unwrap_or_default();
        let on_nodes = if active.len() > want { self.related_on_nodes(set) } else { Default::default() };
        match plan(want, active, &on_nodes, Timestamp::now()) {
            Action::Nothing => Ok(()),
            Action::Create(count) => self.create(key, set, count).await,
            Action::Delete(pods) => self.delete(key, set, pods).await,
        }
    }

    /// One pod first, then twice as many each time: a template that is refused costs one request, not hundreds.
    async fn create(&self, key: &ObjectKey, set: &S, count: usize) -> Result<(), ManageError> {
        let key = key.to_string();
        self.expectations.expect(&key, count, []);
        let pod = new_pod(set);
        let (mut left, mut batch) = (count, 1);
        while left > 0 {
            let now = batch.min(left);
            let results = join_all((0..now).map(|_| self.create_one(set, &pod))).await;
            let failed = results.iter().filter(|result| result.is_err()).count();
            left -= now;
            batch *= 2;
            self.expectations.creations_observed(&key, failed);
            if let Some(source) = results.into_iter().find_map(Result::err) {
                // Those not tried will not be seen either.
                self.expectations.creations_observed(&key, left);
                if is_namespace_terminating(&source) {
                    return Ok(());
                }
                return Err(ManageError { reason: "FailedCreate", source });
            }
        }
        Ok(())
    }

    async fn create_one(&self, set: &S, pod: &Pod) -> kube::Result<()> {
        let namespace = set.meta().namespace.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let about = object_ref(set);
        match api.create(&PostParams::default(), pod).await {
            Ok(made) => {
                let message = format!("Created pod: {}", name(&made));
                self.events.event(&about, EventType::Normal, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                if !is_namespace_terminating(&error) {
                    let message = format!("Error creating: {}", error_text(&error));
                    self.events.event(&about, EventType::Warning, "FailedCreate", message);
                }
                Err(error)
            }
        }
    }

    async fn delete(&self, key: &ObjectKey, set: &S, pods: Vec<Arc<Pod>>) -> Result<(), ManageError> {
        self.expectations.expect(&key.to_string(), 0, pods.iter().map(|pod| uid(pod).to_string()));
        let results = join_all(pods.iter().map(|pod| self.delete_one(key, set, pod))).await;
        match results.into_iter().find_map(Result::err) {
            Some(source) => Err(ManageError { reason: "FailedDelete", source }),
            None => Ok(()),
        }
    }

    async fn delete_one(&self, key: &ObjectKey, set: &S, pod: &Pod) -> kube::Result<()> {
        let namespace = set.meta().namespace.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        // A namesake that was made meanwhile is not the pod that was chosen.
        let same = Preconditions { uid: Some(uid(pod).to_string()), ..Preconditions::default() };
        let about = object_ref(set);
        match api.delete(name(pod), &DeleteParams::default().preconditions(same)).await {
            Ok(_) => {
                let message = format!("Deleted pod: {}", name(pod));
                self.events.event(&about, EventType::Normal, "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) => {
                self.expectations.deletion_observed(&key.to_string(), uid(pod));
                if is_not_found(&error) {
                    return Ok(());
                }
                let message = format!("Error deleting: {}", error_text(&error));
                self.events.event(&about, EventType::Warning, "FailedDelete", message);
                Err(error)
            }
        }
    }
}

/// A pod from the set's template, owned by the set.
fn new_pod(set: &impl Set) -> Pod {
    let PodTemplateSpec { metadata, spec } = set.template().cloned().unwrap_or_default();
    let metadata = metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", set.meta().name.as_deref().unwrap_or_default())),
            namespace: set.meta().namespace.clone(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            owner_references: Some(vec![owner_reference(set)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}
