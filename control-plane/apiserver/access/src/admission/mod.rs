//! What may go into the store, and what is filled in on the way: one plugin a file, run in upstream's order.

mod builder;
mod certificates;
pub(crate) mod config;
mod default_class;
mod default_toleration_seconds;
mod event_rate_limit;
mod image_policy_webhook;
mod limit_ranger;
mod namespace_auto_provision;
mod namespace_lifecycle;
mod node_declared_features;
mod node_restriction;
mod owner_references;
mod persistent_volume_claim_resize;
mod plain;
mod pod_node_selector;
mod pod_resize_validator;
mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
mod priority;
mod rbac_escalation;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod timing;
mod tolerations;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use oarlock_api::Status;

pub use builder::{ALL_PLUGINS, AdmissionParts, PluginChoice};
pub use certificates::{
    CertificateApproval, CertificateSigning, CertificateSubjectRestriction, ClusterTrustBundleAttest,
};
pub use config::AdmissionConfig;
pub use default_class::{DefaultIngressClass, DefaultStorageClass};
pub use default_toleration_seconds::DefaultTolerationSeconds;
pub use event_rate_limit::EventRateLimit;
pub use image_policy_webhook::{ImagePolicyConfig, ImagePolicyWebhook};
pub use limit_ranger::LimitRanger;
pub use namespace_auto_provision::{NamespaceAutoProvision, NamespaceCreator};
pub use namespace_lifecycle::NamespaceLifecycle;
pub use node_declared_features::NodeDeclaredFeatureValidator;
pub use node_restriction::NodeRestriction;
pub use owner_references::OwnerReferencesPermissionEnforcement;
pub use persistent_volume_claim_resize::PersistentVolumeClaimResize;
pub use plain::{
    AlwaysAdmit, AlwaysDeny, AlwaysPullImages, DenyServiceExternalIPs, ExtendedResourceToleration,
    LimitPodHardAntiAffinityTopology, NamespaceExists,
};
pub use pod_node_selector::PodNodeSelector;
pub use pod_resize_validator::PodResizeValidator;
pub use pod_security::{Level, LevelVersion, PodSecurity, PodSecurityConfig, Policy, PolicyVersion};
pub use pod_toleration_restriction::PodTolerationRestriction;
pub use pod_topology_labels::PodTopologyLabels;
pub use priority::Priority;
pub use rbac_escalation::RbacEscalation;
pub use resource_quota::{LimitedResource, QuotaUpdater, ResourceQuota};
pub use runtime_class::RuntimeClass;
pub use service_account::ServiceAccount;
pub use storage_object_in_use_protection::StorageObjectInUseProtection;
pub use taint_nodes_by_condition::TaintNodesByCondition;

use crate::authorization::Rbac;
use crate::metrics::AccessMetrics;
use crate::types::{AdmissionPlugin, AdmissionRequest, Authorizer, Objects, Operation, Phase};
use crate::value::{name, text};
use timing::Timing;

/// The plugins of a server, in order.
pub struct AdmissionChain {
    plugins: Vec<Arc<dyn AdmissionPlugin>>,
    timing: Timing,
}

impl AdmissionChain {
    pub fn new(plugins: Vec<Arc<dyn AdmissionPlugin>>) -> Self {
        Self { plugins, timing: Timing::default() }
    }

    /// With its durations told.
    #[must_use]
    pub fn timed(mut self, metrics: AccessMetrics) -> Self {
        self.timing = Timing::new(metrics, self.plugins.iter().map(|plugin| plugin.name()));
        self
    }

    /// Whether any plugin looks at the operation at all.
    pub fn handles(&self, operation: Operation) -> bool {
        self.plugins.iter().any(|plugin| plugin.handles(operation))
    }

    /// The first half: plugins may change the object. The first refusal ends it.
    pub async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let (operation, began) = (request.operation, Instant::now());
        let mut done = Ok(());
        for (index, plugin) in self.plugins.iter().enumerate() {
            if plugin.handles(operation) && plugin.concerns(Phase::Mutate, request) {
                let began = Instant::now();
                done = plugin.mutate(request).await;
                self.timing.plugin(index, operation, Phase::Mutate, done.is_err(), began);
                if done.is_err() {
                    break;
                }
            }
        }
        self.timing.step(operation, Phase::Mutate, done.is_err(), began);
        done
    }

    /// The second half, on the object as it will be stored.
    pub async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let (operation, began) = (request.operation, Instant::now());
        let mut done = Ok(());
        for (index, plugin) in self.plugins.iter().enumerate() {
            if plugin.handles(operation) && plugin.concerns(Phase::Validate, request) {
                let began = Instant::now();
                done = plugin.validate(request).await;
                self.timing.plugin(index, operation, Phase::Validate, done.is_err(), began);
                if done.is_err() {
                    break;
                }
            }
        }
        self.timing.step(operation, Phase::Validate, done.is_err(), began);
        done
    }
}

/// The resource of a request is this one, and no subresource of it.
fn is_main(request: &AdmissionRequest<'_>, group: &str, resource: &str) -> bool {
    is(request, group, resource) && request.subresource.is_empty()
}

fn is(request: &AdmissionRequest<'_>, group: &str, resource: &str) -> bool {
    *request.resource.group == *group && *request.resource.resource == *resource
}

/// The name in the path, or where there is none the object's.
fn name_of<'a>(request: &'a AdmissionRequest<'_>) -> &'a str {
    match (request.name, request.object.as_deref()) {
        ("", Some(object)) => name(object),
        (name, _) => name,
    }
}

/// `pods "x" is forbidden: why`. Before a name is generated, its prefix stands for it.
fn refuse(request: &AdmissionRequest<'_>, why: impl Display) -> Status {
    let prefix =
        request.object.as_deref().map(|o| text(o, &["metadata", "generateName"])).unwrap_or_default();
    let name = match (name_of(request), prefix) {
        ("", "") => "Unknown",
        ("", prefix) => prefix,
        (name, _) => name,
    };
    Status::forbidden(&request.resource.group_resource(), name, why)
}

#[cfg(test)]
mod small_tests;
#[cfg(test)]
mod tests;
