//! A pod's quality of service class and what it asks for in all. Pure.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::pod::{PodExt as _, is_sidecar, limit, milli_value, request, value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// The class, by the rules of the API server, which has written it into the status of all but static pods.
pub(crate) fn qos_of(pod: &Pod) -> Qos {
    match pod.status().and_then(|status| status.qos_class.as_deref()) {
        Some("Guaranteed") => return Qos::Guaranteed,
        Some("Burstable") => return Qos::Burstable,
        Some("BestEffort") => return Qos::BestEffort,
        _ => {}
    }
    let containers = || pod.spec().containers.iter().chain(pod.init_containers());
    let set = |c: &Container, resource: &str| request(c, resource).is_some_and(|q| milli_value(q) != 0);
    if !containers().any(|c| set(c, "cpu") || set(c, "memory")) {
        return Qos::BestEffort;
    }
    let bound = |c: &Container, resource: &str| match (limit(c, resource), request(c, resource)) {
        (Some(limit), Some(request)) => milli_value(limit) != 0 && milli_value(limit) == milli_value(request),
        _ => false,
    };
    let guaranteed = containers().all(|c| bound(c, "cpu") && bound(c, "memory"));
    if guaranteed { Qos::Guaranteed } else { Qos::Burstable }
}

/// What a pod asks for in all; a limit only where every container has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) cpu_request_milli: i64,
    pub(crate) memory_request: i64,
    pub(crate) cpu_limit_milli: Option<i64>,
    pub(crate) memory_limit: Option<i64>,
}

pub(crate) fn pod_totals(pod: &Pod) -> Totals {
    let milli = |c: &Container| request(c, "cpu").map_or(0, milli_value);
    let bytes = |c: &Container| request(c, "memory").map_or(0, value);
    let cpu_limit = |c: &Container| limit(c, "cpu").map(milli_value);
    let memory_limit = |c: &Container| limit(c, "memory").map(value);
    Totals {
        cpu_request_milli: total(pod, |c| Some(milli(c))).unwrap_or(0),
        memory_request: total(pod, |c| Some(bytes(c))).unwrap_or(0),
        cpu_limit_milli: total(pod, cpu_limit),
        memory_limit: total(pod, memory_limit),
    }
}

/// Containers and sidecars run together and add up; an init container runs alone beside the sidecars before it. `None` where
/// a container has no such value.
pub(crate) fn total(pod: &Pod, of: impl Fn(&Container) -> Option<i64>) -> Option<i64> {
    let mut together = 0;
    for container in &pod.spec().containers {
        together += of(container)?;
    }
    let (mut sidecars, mut peak) = (0, 0);
    for container in pod.init_containers() {
        let own = of(container)?;
        if is_sidecar(container) {
            sidecars += own;
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + own);
        }
    }
    Some(peak.max(together + sidecars))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(containers: Value, init: Value) -> Pod {
        let pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": containers, "initContainers": init } });
        serde_json::from_value(pod).expect("a pod")
    }

    fn container(resources: Value) -> Value {
        json!({ "name": "c", "image": "i", "resources": resources })
    }

    #[test]
    fn classes() {
        let all = json!({ "cpu": "1", "memory": "1Gi" });
        for (resources, expected) in [
            (json!({}), Qos::BestEffort),
            (json!({ "requests": { "cpu": "1" } }), Qos::Burstable),
            (json!({ "limits": all }), Qos::Guaranteed),
            (json!({ "limits": all, "requests": { "cpu": "500m" } }), Qos::Burstable),
        ] {
            assert_eq!(
                qos_of(&pod(json!([container(resources.clone())]), json!([]))),
                expected,
                "{resources}"
            );
        }
    }

    #[test]
    fn init_containers_count_when_they_need_more() {
        let cpu = |cpu: &str| container(json!({ "requests": { "cpu": cpu }, "limits": { "cpu": cpu } }));
        let mut sidecar = cpu("1");
        sidecar["restartPolicy"] = json!("Always");
        let pod = pod(json!([cpu("1"), cpu("1")]), json!([cpu("4"), sidecar, cpu("3")]));
        let totals = pod_totals(&pod);
        assert_eq!((totals.cpu_request_milli, totals.cpu_limit_milli), (4000, Some(4000)));
        assert_eq!(totals.memory_limit, None);
    }
}
