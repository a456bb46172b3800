//! The conditions that the kubelet owns. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::generate::{Facts, whole_second};
use crate::observed::Observed;
use crate::pod::{PodExt as _, is_sidecar};

struct Answer {
    status: &'static str,
    reason: Option<String>,
    message: Option<String>,
}

fn yes() -> Answer {
    Answer { status: "True", reason: None, message: None }
}

fn no(reason: &str, message: String) -> Answer {
    let message = (!message.is_empty()).then_some(message);
    Answer { status: "False", reason: (!reason.is_empty()).then(|| reason.into()), message }
}

pub(super) fn conditions(
    pod: &Pod,
    status: &PodStatus,
    observed: &Observed,
    facts: &Facts<'_>,
) -> Vec<PodCondition> {
    let containers = containers_ready(pod, status);
    let answers = [
        ("PodReadyToStartContainers", ready_to_start(pod, observed, facts)),
        ("Initialized", initialized(pod, status)),
        ("Ready", ready(pod, &containers)),
        ("ContainersReady", containers),
        ("PodScheduled", yes()),
    ];
    let known = |kind: &str| {
        let previous = facts.previous.and_then(|p| p.conditions.as_ref());
        let found = previous.into_iter().flatten().find(|condition| condition.type_ == kind);
        found.or_else(|| pod.condition(kind))
    };
    let condition = |(kind, answer): (&str, Answer)| {
        let known = known(kind);
        let kept =
            known.filter(|known| known.status == answer.status).and_then(|k| k.last_transition_time.clone());
        PodCondition {
            type_: kind.into(),
            status: answer.status.into(),
            reason: answer.reason,
            message: answer.message,
            last_transition_time: kept.or(Some(Time(whole_second(facts.now)))),
            observed_generation: pod.metadata.generation,
            last_probe_time: None,
        }
    };
    answers.into_iter().map(condition).collect()
}

fn ready_to_start(pod: &Pod, observed: &Observed, facts: &Facts<'_>) -> Answer {
    let addressed = pod.host_network() || !observed.ips().is_empty();
    if !facts.ended && observed.sandbox().is_some() && addressed { yes() } else { no("", String::new()) }
}

fn status_of<'a>(list: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerStatus> {
    list?.iter().find(|status| status.name == name)
}

fn initialized(pod: &Pod, status: &PodStatus) -> Answer {
    if status.phase.as_deref() == Some("Succeeded") {
        return Answer { reason: Some("PodCompleted".into()), ..yes() };
    }
    let begun = status.container_statuses.iter().flatten().any(|status| {
        let ran = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
            state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        };
        ran(&status.state) || ran(&status.last_state)
    });
    if begun {
        return yes();
    }
    let mut incomplete = Vec::new();
    for container in pod.init_containers() {
        let done =
            status_of(status.init_container_statuses.as_ref(), &container.name).is_some_and(|status| {
                if is_sidecar(container) { status.started == Some(true) } else { status.ready }
            });
        if !done {
            incomplete.push(container.name.as_str());
        }
    }
    if incomplete.is_empty() {
        return yes();
    }
    no("ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" ")))
}

fn containers_ready(pod: &Pod, status: &PodStatus) -> Answer {
    match status.phase.as_deref() {
        Some("Succeeded") => return no("PodCompleted", String::new()),
        Some("Failed") => return no("PodFailed", String::new()),
        _ => {}
    }
    let sidecars = pod.init_containers().iter().filter(|c| is_sidecar(c));
    let sidecars = sidecars.map(|c| (c, status.init_container_statuses.as_ref()));
    let regular = pod.spec().containers.iter().map(|c| (c, status.container_statuses.as_ref()));
    let unready: Vec<&str> = sidecars
        .chain(regular)
        .filter(|(c, list)| !status_of(*list, &c.name).is_some_and(|status| status.ready))
        .map(|(c, _)| c.name.as_str())
        .collect();
    if unready.is_empty() {
        return yes();
    }
    no("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
}

fn ready(pod: &Pod, containers: &Answer) -> Answer {
    if containers.status != "True" {
        return no(
            containers.reason.as_deref().unwrap_or_default(),
            containers.message.clone().unwrap_or_default(),
        );
    }
    let mut closed = Vec::new();
    for gate in pod.spec().readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match pod.condition(kind) {
            None => {
                closed.push(format!("corresponding condition of pod readiness gate {kind:?} does not exist."))
            }
            Some(condition) if condition.status != "True" => closed.push(format!(
                "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                condition.status
            )),
            Some(_) => {}
        }
    }
    if closed.is_empty() { yes() } else { no("ReadinessGatesNotReady", closed.join(", ")) }
}
