//! replicationcontroller: the replica set controller, over the older kind. Only the shapes differ: a selector is a plain
//! map, and the status does not tell of pods that are terminating.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use oarlock_client::Informer;

use crate::common::Context;
use crate::replicaset::{ReplicaSetController, Set};

pub(crate) type ReplicationManager = ReplicaSetController<ReplicationController>;

impl Set for ReplicationController {
    const KIND: &'static str = "ReplicationController";
    const ACCOUNT: &'static str = "replication-controller";
    const QUEUE: &'static str = "replicationmanager";

    fn informer(context: &Context) -> Informer<Self> {
        context.replication_controllers()
    }

    fn replicas(&self) -> Option<i32> {
        self.spec.as_ref()?.replicas
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
    }

    fn selector(&self) -> Option<Cow<'_, LabelSelector>> {
        let labels = self.spec.as_ref()?.selector.clone()?;
        Some(Cow::Owned(LabelSelector { match_labels: Some(labels), match_expressions: None }))
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn conditions(&self) -> Vec<ReplicaSetCondition> {
        let conditions = self.status.as_ref().and_then(|status| status.conditions.clone());
        let same = |condition: ReplicationControllerCondition| ReplicaSetCondition {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        conditions.unwrap_or_default().into_iter().map(same).collect()
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Option<Self> {
        let same = |condition: ReplicaSetCondition| ReplicationControllerCondition {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        let status = ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|list| list.into_iter().map(same).collect()),
        };
        if self.status.as_ref() == Some(&status) {
            return None;
        }
        let mut new = self.clone();
        new.status = Some(status);
        Some(new)
    }
}
