//! The status of one container. Pure.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, Pod, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use oarlock_cri::v1;

use super::generate::{Facts, whole_second};
use crate::observed::{Observed, Seen};
use crate::pod::{Kind, PodExt as _, is_sidecar};
use crate::worker::{Memory, comes_back, time};

pub(super) fn container_status(
    pod: &Pod,
    kind: Kind,
    container: &Container,
    observed: &Observed,
    memory: &Memory,
    facts: &Facts<'_>,
) -> ContainerStatus {
    let mut instances = observed.containers.iter().filter(|seen| seen.name() == container.name);
    let newest = instances.next();
    let previous = instances.find(|seen| seen.exited());
    let mut status = match newest {
        Some(seen) => from_runtime(container, seen, facts),
        None => without_instance(pod, container, facts),
    };
    status.last_state = match previous {
        Some(previous) => Some(terminated(previous, facts)),
        None => status.last_state.or(Some(ContainerState::default())),
    };
    if newest.is_some_and(|seen| seen.state() == v1::ContainerState::ContainerCreated)
        || newest.is_none() && (!facts.ended || kind == Kind::Regular && !initialised(pod, observed))
    {
        let default = if pod.init_containers().is_empty() { "ContainerCreating" } else { "PodInitializing" };
        status.state = Some(waiting(default, None));
    }
    if !facts.ended {
        wait_in_place_of_exit(pod, kind, container, newest, memory, facts, &mut status);
    }
    readiness(kind, container, newest, memory, &mut status);
    status
}

/// Whether the pod has come so far that its containers were to be started: only then can one be missing.
fn initialised(pod: &Pod, observed: &Observed) -> bool {
    let status = pod.status();
    let mut told = status.iter().flat_map(|status| status.conditions.iter().flatten());
    let done = |name: &str| {
        observed
            .containers
            .iter()
            .any(|seen| seen.name() == name && seen.exited() && seen.status.exit_code == 0)
    };
    told.any(|condition| condition.type_ == "Initialized" && condition.status == "True")
        || pod.init_containers().iter().all(|container| is_sidecar(container) || done(&container.name))
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.into()), message };
    ContainerState { waiting: Some(waiting), ..Default::default() }
}

fn base(container: &Container) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        volume_mounts: volume_mounts(container),
        ..Default::default()
    }
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref()?;
    let status = mounts.iter().map(|mount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: (mount.read_only == Some(true))
            .then(|| mount.recursive_read_only.clone().unwrap_or_else(|| "Disabled".into())),
        ..Default::default()
    });
    Some(status.collect())
}

fn from_runtime(container: &Container, seen: &Seen, facts: &Facts<'_>) -> ContainerStatus {
    let cri = &seen.status;
    let state = match seen.state() {
        v1::ContainerState::ContainerRunning => {
            let running =
                ContainerStateRunning { started_at: Some(Time(whole_second(time(cri.started_at)))) };
            ContainerState { running: Some(running), ..Default::default() }
        }
        v1::ContainerState::ContainerExited => terminated(seen, facts),
        _ => ContainerState::default(),
    };
    let resources = container.resources.clone().filter(|r| r.requests.is_some() || r.limits.is_some());
    ContainerStatus {
        image: image_name(container, cri),
        image_id: if cri.image_ref.is_empty() { cri.image_id.clone() } else { cri.image_ref.clone() },
        container_id: Some(format!("{}://{}", facts.runtime_name, cri.id)),
        restart_count: seen.restarts(),
        allocated_resources: resources.as_ref().and_then(|r| r.requests.clone()),
        resources,
        user: cri.user.as_ref().and_then(user),
        state: Some(state),
        ..base(container)
    }
}

/// The image by name: the runtime's, unless it knows the image only by its id, by which the container was made.
fn image_name(container: &Container, cri: &v1::ContainerStatus) -> String {
    let known = cri.image.as_ref().map(|image| image.image.as_str()).unwrap_or_default();
    let hex = known.strip_prefix("sha256:").unwrap_or(known);
    let id = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if known.is_empty() || id { container.image.clone().unwrap_or_default() } else { known.to_owned() }
}

fn user(user: &v1::ContainerUser) -> Option<ContainerUser> {
    let linux = user.linux.as_ref()?;
    let groups = &linux.supplemental_groups;
    Some(ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: linux.uid,
            gid: linux.gid,
            supplemental_groups: (!groups.is_empty()).then(|| groups.clone()),
        }),
    })
}

fn terminated(seen: &Seen, facts: &Facts<'_>) -> ContainerState {
    let cri = &seen.status;
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("{}://{}", facts.runtime_name, cri.id)),
            exit_code: cri.exit_code,
            finished_at: Some(Time(whole_second(time(cri.finished_at)))),
            message: text(&cri.message),
            reason: text(&cri.reason),
            signal: None,
            started_at: Some(Time(whole_second(time(cri.started_at)))),
        }),
        ..Default::default()
    }
}

/// A container that the runtime does not have: never started, or lost.
fn without_instance(pod: &Pod, container: &Container, facts: &Facts<'_>) -> ContainerStatus {
    let statuses = facts.previous.or(pod.status());
    let known = statuses.and_then(|status| {
        let lists = [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ];
        lists.into_iter().flatten().flatten().find(|known| known.name == container.name)
    });
    let mut status = base(container);
    let Some(known) = known else {
        if facts.ended {
            status.state = Some(lost("The container could not be located when the pod was terminated"));
        }
        return status;
    };
    status.restart_count = known.restart_count;
    status.last_state = known.last_state.clone();
    let state = known.state.clone().unwrap_or_default();
    match (&state.terminated, &state.running) {
        // What has ended stays ended, also when the runtime has forgotten it.
        (Some(_), _) if facts.ended => status = known.clone(),
        (Some(_), _) => status.last_state = Some(state),
        (None, Some(_)) if facts.ended => {
            status.state = Some(lost("The container could not be located when the pod was terminated"));
            status.container_id = known.container_id.clone();
        }
        (None, Some(_)) => {
            status.last_state = Some(lost(
                "The container could not be located when the pod was deleted.  The container used to be Running",
            ));
            status.restart_count += 1;
        }
        (None, None) if facts.ended => {
            status.state = Some(lost("The container could not be located when the pod was terminated"));
        }
        (None, None) => {}
    }
    status
}

fn lost(message: &str) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some(message.into()),
        ..Default::default()
    };
    ContainerState { terminated: Some(terminated), ..Default::default() }
}

/// A container that will come back but cannot yet tells why it waits; its exit becomes its last state.
fn wait_in_place_of_exit(
    pod: &Pod,
    kind: Kind,
    container: &Container,
    newest: Option<&Seen>,
    memory: &Memory,
    facts: &Facts<'_>,
    status: &mut ContainerStatus,
) {
    let Some(why) = memory.waiting.get(&container.name) else { return };
    match newest {
        Some(seen) if seen.running() => return,
        Some(seen) if seen.exited() => {
            let returns = comes_back(pod.restart_policy(), seen.status.exit_code)
                || kind == Kind::Init && (is_sidecar(container) || !seen.succeeded());
            if !returns {
                return;
            }
            status.last_state = Some(terminated(seen, facts));
        }
        _ => {}
    }
    let message = (!why.message.is_empty()).then(|| why.message.clone());
    status.state = Some(waiting(&why.reason, message));
}

fn readiness(
    kind: Kind,
    container: &Container,
    newest: Option<&Seen>,
    memory: &Memory,
    status: &mut ContainerStatus,
) {
    let running = newest.filter(|seen| seen.running());
    let started = running.is_some_and(|seen| memory.probes.started(seen.id(), container));
    if kind != Kind::Ephemeral {
        status.started = Some(started);
    }
    status.ready = match kind {
        Kind::Ephemeral => false,
        Kind::Init if !is_sidecar(container) => {
            status.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0)
        }
        _ => started && running.is_some_and(|seen| memory.probes.ready(seen.id(), container)),
    };
}
