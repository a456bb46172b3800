//! A pod, as scheduling reads it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodSpec};
use kube::Resource as _;

use super::ports::{HostPort, pod_ports};
use super::resources::{NonZero, Resources, pod_requests};
use super::selector::NodeAffinity;
use super::taints::Toleration;

/// Upstream's name for what schedules a pod that does not say.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodUid(pub Arc<str>);

/// The part of a spec that a decision depends on. Equal specs mean that an update is no news to the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodSpecFacts {
    pub priority: i32,
    /// Whether scheduling gates (KEP-3521) are left.
    pub gated: bool,
    pub affinity: NodeAffinity,
    pub tolerations: Vec<Toleration>,
    pub requests: Resources,
    pub counted: NonZero,
    pub ports: Vec<HostPort>,
}

impl PodSpecFacts {
    fn parse(spec: &PodSpec) -> Self {
        let (requests, counted) = pod_requests(spec);
        let tolerations = spec.tolerations.iter().flatten();
        Self {
            priority: spec.priority.unwrap_or_default(),
            gated: spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()),
            affinity: NodeAffinity::compile(spec),
            tolerations: tolerations.filter_map(Toleration::parse).collect(),
            requests,
            counted,
            ports: pod_ports(spec),
        }
    }
}

/// The pod's `PodScheduled` condition, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Debug, Clone)]
pub struct PodInfo {
    pub uid: PodUid,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub scheduler: Arc<str>,
    /// Where it is bound to.
    pub node: Option<Arc<str>>,
    pub created: Option<Timestamp>,
    pub generation: Option<i64>,
    pub resource_version: Option<String>,
    pub terminating: bool,
    pub condition: Option<Condition>,
    pub spec: Arc<PodSpecFacts>,
}

impl PodInfo {
    pub fn parse(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let text = |text: &Option<String>| Arc::<str>::from(text.as_deref().unwrap_or_default());
        let meta = &pod.metadata;
        let filled =
            |text: Option<&String>| text.filter(|text| !text.is_empty()).map(|text| text.as_str().into());
        Self {
            uid: PodUid(text(&meta.uid)),
            namespace: text(&meta.namespace),
            name: text(&meta.name),
            scheduler: filled(spec.and_then(|spec| spec.scheduler_name.as_ref()))
                .unwrap_or_else(|| DEFAULT_SCHEDULER.into()),
            node: filled(spec.and_then(|spec| spec.node_name.as_ref())),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            generation: meta.generation,
            resource_version: meta.resource_version.clone(),
            terminating: meta.deletion_timestamp.is_some(),
            condition: condition_of(pod),
            spec: Arc::new(spec.map(PodSpecFacts::parse).unwrap_or_default()),
        }
    }

    /// What an event about this pod refers to.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(Pod::api_version(&()).into_owned()),
            kind: Some(Pod::kind(&()).into_owned()),
            namespace: Some(self.namespace.to_string()),
            name: Some(self.name.to_string()),
            uid: Some(self.uid.0.to_string()),
            resource_version: self.resource_version.clone(),
            field_path: None,
        }
    }
}

fn condition_of(pod: &Pod) -> Option<Condition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let found = oarlock_client::conditions::get(conditions, "PodScheduled")?;
    Some(Condition {
        status: found.status.clone(),
        reason: found.reason.clone().unwrap_or_default(),
        message: found.message.clone().unwrap_or_default(),
    })
}

impl fmt::Display for PodInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
