//! From a pod, what the runtime has of it and what its worker remembers, to its status. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::conditions;
use super::containers::container_status;
use crate::observed::Observed;
use crate::pod::{Kind, PodExt as _, RestartPolicy, is_sidecar};
use crate::worker::Memory;

/// What is true of the node and of the moment.
pub(crate) struct Facts<'a> {
    pub(crate) host_ip: &'a str,
    /// The scheme of container ids: `containerd` in `containerd://abc`.
    pub(crate) runtime_name: &'a str,
    pub(crate) now: Timestamp,
    /// The status that was published last: transition times and terminal phases come from it.
    pub(crate) previous: Option<&'a PodStatus>,
    /// The pod will run nothing any more.
    pub(crate) ended: bool,
    /// A verdict over the whole pod, which the containers cannot tell: phase, reason, message.
    pub(crate) verdict: Option<&'a Verdict>,
}

/// Why a pod has failed as a whole: refused by admission, or past its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: String,
    pub(crate) message: String,
}

pub(crate) fn generate(pod: &Pod, observed: &Observed, memory: &Memory, facts: &Facts<'_>) -> PodStatus {
    let of_kind = |wanted: Kind| -> Vec<ContainerStatus> {
        let containers = pod.all_containers();
        let chosen = containers.iter().filter(|(kind, _)| *kind == wanted);
        chosen.map(|(kind, c)| container_status(pod, *kind, c, observed, memory, facts)).collect()
    };
    let (init, regular, ephemeral) = (of_kind(Kind::Init), of_kind(Kind::Regular), of_kind(Kind::Ephemeral));
    let mut phase = match facts.verdict {
        Some(_) => "Failed",
        None => phase(pod, &init, &regular, facts.ended),
    };
    if let Some(known) = terminal_phase(facts.previous) {
        phase = known;
    }
    let mut ips = observed.ips();
    if pod.host_network() && observed.sandbox().is_some() {
        ips = vec![facts.host_ip.to_owned()];
    }
    if ips.is_empty() {
        ips = known_ips(facts.previous);
    }
    let verdict = facts.verdict.cloned();
    let previous = facts.previous;
    let mut status = PodStatus {
        phase: Some(phase.into()),
        reason: verdict
            .as_ref()
            .map(|v| v.reason.clone())
            .or_else(|| previous.and_then(|p| p.reason.clone())),
        message: verdict.map(|v| v.message).or_else(|| previous.and_then(|p| p.message.clone())),
        host_ip: Some(facts.host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: facts.host_ip.to_owned() }]),
        pod_ip: ips.first().cloned(),
        pod_ips: (!ips.is_empty()).then(|| ips.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: previous.and_then(|p| p.start_time.clone()).or(Some(Time(whole_second(facts.now)))),
        init_container_statuses: some(init),
        container_statuses: some(regular),
        ephemeral_container_statuses: some(ephemeral),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    };
    status.conditions = Some(conditions(pod, &status, observed, facts));
    status
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The API keeps times to the second.
pub(super) fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn terminal_phase(previous: Option<&PodStatus>) -> Option<&'static str> {
    match previous?.phase.as_deref() {
        Some("Succeeded") => Some("Succeeded"),
        Some("Failed") => Some("Failed"),
        _ => None,
    }
}

fn known_ips(previous: Option<&PodStatus>) -> Vec<String> {
    previous.and_then(|p| p.pod_ips.as_ref()).into_iter().flatten().map(|ip| ip.ip.clone()).collect()
}

/// How many containers are in which state.
#[derive(Default)]
struct Count {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
}

fn phase(pod: &Pod, init: &[ContainerStatus], regular: &[ContainerStatus], ended: bool) -> &'static str {
    let (mut pending_init, mut failed_init) = (0, 0);
    for (container, status) in pod.init_containers().iter().zip(init) {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().unwrap_or_default();
        if is_sidecar(container) {
            pending_init += usize::from(status.started != Some(true) && state.terminated.is_none());
            continue;
        }
        match (state.terminated, state.waiting, last.terminated) {
            (Some(terminated), ..) => failed_init += usize::from(terminated.exit_code != 0),
            (_, Some(_), Some(last)) => failed_init += usize::from(last.exit_code != 0),
            _ => pending_init += 1,
        }
    }
    let mut count = Count::default();
    for status in regular {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        match (state.running, state.terminated, last) {
            (Some(_), ..) => count.running += 1,
            (_, Some(terminated), _) => {
                count.stopped += 1;
                count.succeeded += usize::from(terminated.exit_code == 0);
            }
            (.., Some(_)) => count.stopped += 1,
            _ if state.waiting.is_some() => count.waiting += 1,
            _ => count.unknown += 1,
        }
    }
    if failed_init > 0 && pod.restart_policy() == RestartPolicy::Never {
        return "Failed";
    }
    phase_of(&count, pod.restart_policy(), pending_init + failed_init > 0 && count.running == 0, ended)
}

fn phase_of(count: &Count, policy: RestartPolicy, initializing: bool, ended: bool) -> &'static str {
    let all_succeeded = count.stopped == count.succeeded;
    if ended {
        return if all_succeeded && count.stopped > 0 { "Succeeded" } else { "Failed" };
    }
    if initializing && count.stopped == 0 || count.waiting > 0 {
        return "Pending";
    }
    match (count.running, count.stopped, count.unknown, policy) {
        (1.., _, 0, _) => "Running",
        (0, 1.., 0, RestartPolicy::Always) => "Running",
        (0, 1.., 0, _) if all_succeeded => "Succeeded",
        (0, 1.., 0, RestartPolicy::Never) => "Failed",
        (0, 1.., 0, RestartPolicy::OnFailure) => "Running",
        _ => "Pending",
    }
}

#[cfg(test)]
mod tests;
