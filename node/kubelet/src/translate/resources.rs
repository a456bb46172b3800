//! CPU and memory in the kernel's units, and who dies first when memory runs out.

use k8s_openapi::api::core::v1::{Container, Pod};
use oarlock_cri::v1::LinuxContainerResources;

use crate::cgroups::{Qos, pod_totals, qos_of};
use crate::pod::{Kind, PodExt as _, is_sidecar, limit, milli_value, request, value};

/// The CFS period, 100 ms.
pub(crate) const CPU_PERIOD_US: i64 = 100_000;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
/// The shortest quota that the kernel takes.
const QUOTA_US_MIN: i64 = 1_000;

/// Shares of a CPU request in thousandths.
pub(crate) fn cpu_shares(milli: i64) -> i64 {
    if milli == 0 { SHARES_MIN } else { (milli * 1024 / 1000).clamp(SHARES_MIN, SHARES_MAX) }
}

/// The quota of a CPU limit in thousandths; 0 is none.
pub(crate) fn cpu_quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli * CPU_PERIOD_US / 1000).max(QUOTA_US_MIN) }
}

pub(super) fn pod_resources(pod: &Pod) -> LinuxContainerResources {
    let totals = pod_totals(pod);
    LinuxContainerResources {
        cpu_period: CPU_PERIOD_US,
        cpu_quota: totals.cpu_limit_milli.map_or(0, cpu_quota),
        cpu_shares: cpu_shares(totals.cpu_request_milli),
        memory_limit_in_bytes: totals.memory_limit.unwrap_or(0),
        ..Default::default()
    }
}

pub(super) fn container_resources(
    pod: &Pod,
    kind: Kind,
    container: &Container,
    node_memory: i64,
) -> LinuxContainerResources {
    let milli = |quantity: Option<&_>| quantity.map_or(0, milli_value);
    LinuxContainerResources {
        cpu_period: CPU_PERIOD_US,
        cpu_quota: cpu_quota(milli(limit(container, "cpu"))),
        cpu_shares: cpu_shares(milli(request(container, "cpu"))),
        memory_limit_in_bytes: limit(container, "memory").map_or(0, value),
        oom_score_adj: oom_score_adj(pod, kind, container, node_memory),
        ..Default::default()
    }
}

/// Guaranteed pods die last, best-effort ones first; between them, who asked for more of the node's memory dies later.
pub(crate) fn oom_score_adj(pod: &Pod, kind: Kind, container: &Container, node_memory: i64) -> i64 {
    if pod.spec().priority.is_some_and(|priority| priority >= 2_000_000_000) {
        return -997;
    }
    match qos_of(pod) {
        Qos::Guaranteed => return -997,
        Qos::BestEffort => return 1000,
        Qos::Burstable => {}
    }
    if node_memory <= 0 {
        return 999;
    }
    let asked = |container: &Container| request(container, "memory").map_or(0, value);
    let mut own = asked(container);
    if kind == Kind::Init && is_sidecar(container) {
        // A sidecar must not die before the containers that it serves.
        own = own.max(pod.spec().containers.iter().map(asked).min().unwrap_or(0));
    }
    let score = 1000 - 1000 * own / node_memory;
    match score {
        ..3 => 3,
        1000 => 999,
        score => score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_in_the_kernels_units() {
        for (milli, shares, quota) in [(0, 2, 0), (1, 2, 1_000), (100, 102, 10_000), (1500, 1536, 150_000)] {
            assert_eq!((cpu_shares(milli), cpu_quota(milli)), (shares, quota), "{milli}m");
        }
    }

    #[test]
    fn who_dies_first() {
        let pod = |resources: serde_json::Value| -> Pod {
            let spec =
                serde_json::json!({ "containers": [{ "name": "a", "image": "i", "resources": resources }] });
            serde_json::from_value(serde_json::json!({ "metadata": { "name": "p" }, "spec": spec }))
                .expect("a pod")
        };
        let gib = 1 << 30;
        let all = serde_json::json!({ "cpu": "1", "memory": "1Gi" });
        for (resources, expected) in [
            (serde_json::json!({}), 1000),
            (serde_json::json!({ "requests": { "memory": "1Gi" } }), 750),
            (serde_json::json!({ "requests": { "cpu": "1" } }), 999),
            (serde_json::json!({ "requests": all, "limits": all }), -997),
        ] {
            let pod = pod(resources.clone());
            let score = oom_score_adj(&pod, Kind::Regular, &pod.spec().containers[0], 4 * gib);
            assert_eq!(score, expected, "{resources}");
        }
    }
}
