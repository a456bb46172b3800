//! Reading a pod: the few questions that every part of the kubelet asks of one.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, EphemeralContainer, ObjectReference, Pod, PodCondition, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The UID by which the runtime knows a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PodUid(pub(crate) Arc<str>);

impl PodUid {
    pub(crate) fn new(uid: &str) -> Self {
        Self(uid.into())
    }
}

impl std::fmt::Display for PodUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
pub(crate) const CONFIG_HASH: &str = "kubernetes.io/config.hash";
pub(crate) const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Init,
    Regular,
    Ephemeral,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("OnFailure") => Self::OnFailure,
            Some("Never") => Self::Never,
            _ => Self::Always,
        }
    }
}

/// The questions.
pub(crate) trait PodExt {
    fn spec(&self) -> &PodSpec;
    fn pod(&self) -> &Pod;

    fn uid(&self) -> PodUid {
        // A mirror pod stands for the static pod whose hash it carries.
        PodUid::new(self.uid_str())
    }
    fn uid_str(&self) -> &str {
        self.pod().metadata.uid.as_deref().unwrap_or_default()
    }
    fn name(&self) -> &str {
        self.pod().metadata.name.as_deref().unwrap_or_default()
    }
    fn namespace(&self) -> &str {
        self.pod().metadata.namespace.as_deref().unwrap_or("default")
    }
    /// `name_namespace(uid)`, as upstream's messages name a pod.
    fn display(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid_str())
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.pod().metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }
    fn is_static(&self) -> bool {
        self.annotation(CONFIG_SOURCE).is_some_and(|source| source != "api")
    }
    fn is_mirror(&self) -> bool {
        self.annotation(CONFIG_MIRROR).is_some()
    }
    fn restart_policy(&self) -> RestartPolicy {
        RestartPolicy::parse(self.spec().restart_policy.as_deref())
    }
    fn host_network(&self) -> bool {
        self.spec().host_network == Some(true)
    }
    fn deletion(&self) -> Option<Timestamp> {
        self.pod().metadata.deletion_timestamp.as_ref().map(|time| time.0)
    }
    /// Seconds from the wish to end the pod to SIGKILL.
    fn grace_seconds(&self) -> i64 {
        let deletion = self.pod().metadata.deletion_grace_period_seconds;
        deletion.or(self.spec().termination_grace_period_seconds).unwrap_or(30)
    }
    fn status(&self) -> Option<&PodStatus> {
        self.pod().status.as_ref()
    }
    fn phase(&self) -> &str {
        self.status().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
    }
    fn is_terminal(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }
    fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.status()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
    }
    fn init_containers(&self) -> &[Container] {
        self.spec().init_containers.as_deref().unwrap_or_default()
    }
    fn ephemeral_containers(&self) -> Vec<Container> {
        self.spec().ephemeral_containers.iter().flatten().map(as_container).collect()
    }
    /// Every container, in the order init, regular, ephemeral.
    fn all_containers(&self) -> Vec<(Kind, Cow<'_, Container>)> {
        let init = self.init_containers().iter().map(|c| (Kind::Init, Cow::Borrowed(c)));
        let regular = self.spec().containers.iter().map(|c| (Kind::Regular, Cow::Borrowed(c)));
        let ephemeral = self.ephemeral_containers().into_iter().map(|c| (Kind::Ephemeral, Cow::Owned(c)));
        init.chain(regular).chain(ephemeral).collect()
    }
    fn find_container(&self, name: &str) -> Option<(Kind, Cow<'_, Container>)> {
        self.all_containers().into_iter().find(|(_, container)| container.name == name)
    }
    /// What events about this pod refer to.
    fn reference(&self) -> ObjectReference {
        let meta = &self.pod().metadata;
        ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            ..Default::default()
        }
    }
    /// What events about one container of this pod refer to.
    fn container_reference(&self, kind: Kind, name: &str) -> ObjectReference {
        let list = match kind {
            Kind::Init => "initContainers",
            Kind::Regular => "containers",
            Kind::Ephemeral => "ephemeralContainers",
        };
        ObjectReference { field_path: Some(format!("spec.{list}{{{name}}}")), ..self.reference() }
    }
}

impl PodExt for Pod {
    fn spec(&self) -> &PodSpec {
        self.spec.as_ref().expect("the manager admits only pods with a spec")
    }
    fn pod(&self) -> &Pod {
        self
    }
}

/// An init container that goes on running beside the others.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// An ephemeral container has the fields of a container and one more.
fn as_container(e: &EphemeralContainer) -> Container {
    Container {
        args: e.args.clone(),
        command: e.command.clone(),
        env: e.env.clone(),
        env_from: e.env_from.clone(),
        image: e.image.clone(),
        image_pull_policy: e.image_pull_policy.clone(),
        name: e.name.clone(),
        security_context: e.security_context.clone(),
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path.clone(),
        termination_message_policy: e.termination_message_policy.clone(),
        tty: e.tty,
        volume_mounts: e.volume_mounts.clone(),
        working_dir: e.working_dir.clone(),
        ..Container::default()
    }
}

/// The container whose processes an ephemeral container sees.
pub(crate) fn target_container<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let found = pod.spec().ephemeral_containers.iter().flatten().find(|e| e.name == name)?;
    found.target_container_name.as_deref()
}

/// The hash of what a container was made from; another one asks for a new container.
pub(crate) fn container_hash(container: &Container) -> String {
    let picked = serde_json::json!({ "image": container.image, "name": container.name }).to_string();
    let hash =
        picked.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:x}")
}

/// The value of a quantity in its base unit, rounded up; what cannot be read is 0.
pub(crate) fn value(quantity: &Quantity) -> i64 {
    oarlock_api::quantity::Quantity::parse(&quantity.0).map_or(0, |parsed| parsed.value())
}

pub(crate) fn milli_value(quantity: &Quantity) -> i64 {
    oarlock_api::quantity::Quantity::parse(&quantity.0).map_or(0, |parsed| parsed.milli_value())
}

/// A request (limits stand in for missing requests) or a limit of a container.
pub(crate) fn request<'a>(container: &'a Container, resource: &str) -> Option<&'a Quantity> {
    let resources = container.resources.as_ref()?;
    let requested = resources.requests.as_ref().and_then(|requests| requests.get(resource));
    requested.or_else(|| limit(container, resource))
}

pub(crate) fn limit<'a>(container: &'a Container, resource: &str) -> Option<&'a Quantity> {
    container.resources.as_ref()?.limits.as_ref()?.get(resource)
}
