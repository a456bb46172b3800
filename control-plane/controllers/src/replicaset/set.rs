//! What keeps replicas, seen alike: a ReplicaSet, and the older ReplicationController.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use oarlock_client::Informer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common::Context;

/// A kind whose objects keep a number of pods of one template.
pub(crate) trait Set:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    const KIND: &'static str;
    /// The service account, which is also who reports events.
    const ACCOUNT: &'static str;
    const QUEUE: &'static str;

    fn informer(context: &Context) -> Informer<Self>;
    fn replicas(&self) -> Option<i32>;
    fn min_ready_seconds(&self) -> i32;
    fn selector(&self) -> Option<Cow<'_, LabelSelector>>;
    fn template(&self) -> Option<&PodTemplateSpec>;
    fn conditions(&self) -> Vec<ReplicaSetCondition>;
    /// The set with another status; `None` if that is what it has.
    fn with_status(&self, status: ReplicaSetStatus) -> Option<Self>;
}

impl Set for ReplicaSet {
    const KIND: &'static str = "ReplicaSet";
    const ACCOUNT: &'static str = "replicaset-controller";
    const QUEUE: &'static str = "replicaset";

    fn informer(context: &Context) -> Informer<Self> {
        context.replica_sets()
    }

    fn replicas(&self) -> Option<i32> {
        self.spec.as_ref()?.replicas
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
    }

    fn selector(&self) -> Option<Cow<'_, LabelSelector>> {
        self.spec.as_ref().map(|spec| Cow::Borrowed(&spec.selector))
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn conditions(&self) -> Vec<ReplicaSetCondition> {
        self.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default()
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Option<Self> {
        if self.status.as_ref() == Some(&status) {
            return None;
        }
        let mut new = self.clone();
        new.status = Some(status);
        Some(new)
    }
}
