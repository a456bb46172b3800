//! The node object: from the machine and the runtime's answers to what the API shows. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec,
    NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use oarlock_cri::v1::{Image, RuntimeCondition};

use super::facts::Machine;
use crate::config::Config;

/// Upstream's `nodeStatusMaxImages`, and names per image.
const IMAGES_MAX: usize = 50;
const NAMES_MAX: usize = 5;

/// What the runtime said of itself.
#[derive(Default)]
pub(super) struct RuntimeView {
    /// `name://version`.
    pub(super) version: String,
    pub(super) conditions: Vec<RuntimeCondition>,
    pub(super) images: Vec<Image>,
    /// It did not answer.
    pub(super) failure: Option<String>,
}

impl RuntimeView {
    pub(super) fn is_ready(&self) -> bool {
        self.unready().is_none()
    }

    /// Why pods cannot run, in upstream's words.
    fn unready(&self) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(format!("container runtime is down: {failure}"));
        }
        let state = |name: &str| self.conditions.iter().find(|condition| condition.r#type == name);
        for (name, what) in
            [("RuntimeReady", "container runtime"), ("NetworkReady", "container runtime network")]
        {
            match state(name) {
                Some(condition) if condition.status => {}
                Some(condition) => {
                    return Some(format!(
                        "{what} not ready: {name}=false reason:{} message:{}",
                        condition.reason, condition.message
                    ));
                }
                None => return Some(format!("{what} status check may not have completed yet")),
            }
        }
        None
    }
}

/// The node as it registers, without a status.
pub(crate) fn initial_node(config: &Config) -> Node {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut labels = BTreeMap::new();
    for prefix in ["kubernetes.io", "beta.kubernetes.io"] {
        labels.insert(format!("{prefix}/arch"), arch.to_owned());
        labels.insert(format!("{prefix}/os"), "linux".to_owned());
    }
    labels.insert("kubernetes.io/hostname".into(), config.node_name.clone());
    labels.extend(config.labels.clone());
    let mut node = Node::default();
    node.metadata.name = Some(config.node_name.clone());
    node.metadata.labels = Some(labels);
    node.metadata.annotations = Some(BTreeMap::from([(
        "volumes.kubernetes.io/controller-managed-attach-detach".into(),
        "true".into(),
    )]));
    node.spec = Some(NodeSpec {
        provider_id: config.provider_id.clone(),
        taints: (!config.taints.is_empty()).then(|| config.taints.clone()),
        ..NodeSpec::default()
    });
    node
}

pub(super) fn status(
    config: &Config,
    machine: &Machine,
    view: &RuntimeView,
    known: Option<&NodeStatus>,
    now: Timestamp,
) -> NodeStatus {
    let (capacity, allocatable) = resources(config, machine);
    let address = |type_: &str, address: String| NodeAddress { type_: type_.into(), address };
    let port = config.server.as_ref().map_or(0, |server| i32::from(server.port));
    NodeStatus {
        capacity: Some(capacity),
        allocatable: Some(allocatable),
        addresses: Some(vec![
            address("InternalIP", config.node_ip.to_string()),
            address("Hostname", config.node_name.clone()),
        ]),
        conditions: Some(conditions(view, known, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port }) }),
        node_info: Some(NodeSystemInfo {
            architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.into(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: view.version.clone(),
            kernel_version: machine.kernel.clone(),
            kubelet_version: config.version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }),
        images: Some(images(&view.images)).filter(|images| !images.is_empty()),
        ..NodeStatus::default()
    }
}

type Resources = BTreeMap<String, Quantity>;

fn resources(config: &Config, machine: &Machine) -> (Resources, Resources) {
    let mut capacity = Resources::from([
        ("cpu".into(), Quantity(machine.cpus.to_string())),
        ("memory".into(), Quantity(format!("{}Ki", machine.memory_bytes / 1024))),
        ("ephemeral-storage".into(), Quantity(format!("{}Ki", machine.disk_bytes / 1024))),
        ("pods".into(), Quantity(config.max_pods.to_string())),
    ]);
    for (name, bytes) in &machine.hugepages {
        capacity.insert(name.clone(), Quantity(bytes.to_string()));
    }
    let mut allocatable = capacity.clone();
    for (name, kept) in &config.reserved {
        if let Some(quantity) = allocatable.get_mut(name)
            && let (Ok(have), Ok(kept)) = (
                oarlock_api::quantity::Quantity::parse(&quantity.0),
                oarlock_api::quantity::Quantity::parse(kept),
            )
        {
            quantity.0 = (have - kept).to_string();
        }
    }
    (capacity, allocatable)
}

fn conditions(view: &RuntimeView, known: Option<&NodeStatus>, now: Timestamp) -> Vec<NodeCondition> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let unready = view.unready();
    let (ready, reason, message) = match &unready {
        None => ("True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        Some(why) => ("False", "KubeletNotReady", why.clone()),
    };
    let rows = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available".to_owned(),
        ),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure".to_owned()),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available".to_owned(),
        ),
        ("Ready", ready, reason, message),
    ];
    let condition = |(type_, status, reason, message): (&str, &str, &str, String)| {
        let before = known.and_then(|known| known.conditions.as_ref()?.iter().find(|c| c.type_ == type_));
        let since =
            before.filter(|before| before.status == status).and_then(|c| c.last_transition_time.clone());
        NodeCondition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: since.or(Some(Time(now))),
        }
    };
    rows.into_iter().map(condition).collect()
}

fn images(images: &[Image]) -> Vec<ContainerImage> {
    let mut sorted: Vec<&Image> = images.iter().collect();
    sorted.sort_by_key(|image| (std::cmp::Reverse(image.size), image.id.clone()));
    let shown = sorted.into_iter().take(IMAGES_MAX).map(|image| ContainerImage {
        names: Some(image.repo_digests.iter().chain(&image.repo_tags).take(NAMES_MAX).cloned().collect()),
        size_bytes: i64::try_from(image.size).ok(),
    });
    shown.collect()
}

/// Whether two statuses say the same, but for when they were said.
pub(super) fn same_but_heartbeat(a: &NodeStatus, b: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut conditions = status.conditions.clone().unwrap_or_default();
        conditions.iter_mut().for_each(|condition| condition.last_heartbeat_time = None);
        conditions
    };
    // Others may have added conditions of their own; only ours are compared.
    let (ours, theirs) = (still(b), still(a));
    ours.iter().all(|condition| theirs.contains(condition))
        && a.capacity == b.capacity
        && a.allocatable == b.allocatable
        && a.addresses == b.addresses
        && a.node_info == b.node_info
        && a.images == b.images
        && a.daemon_endpoints == b.daemon_endpoints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_node_is_not_ready() {
        let condition = |name: &str, status: bool| RuntimeCondition {
            r#type: name.into(),
            status,
            reason: "R".into(),
            message: "m".into(),
        };
        let view = |conditions: Vec<RuntimeCondition>, failure: Option<&str>| RuntimeView {
            conditions,
            failure: failure.map(str::to_owned),
            ..RuntimeView::default()
        };
        let (runtime, network) = (condition("RuntimeReady", true), condition("NetworkReady", true));
        for (view, expected) in [
            (view(vec![runtime.clone(), network], None), None),
            (view(vec![], Some("no")), Some("container runtime is down: no")),
            (
                view(vec![runtime.clone(), condition("NetworkReady", false)], None),
                Some("container runtime network not ready: NetworkReady=false reason:R message:m"),
            ),
        ] {
            assert_eq!(view.unready().as_deref(), expected);
        }
    }
}
