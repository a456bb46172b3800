//! What to do next for a pod: from what is wanted, what the runtime has and what the worker remembers, to actions. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use oarlock_cri::v1::{ContainerState, NamespaceMode, PodSandboxState, PodSandboxStatus};

use super::memory::{Memory, Waiting, go_duration};
use crate::observed::{Observed, Seen};
use crate::pod::{Kind, PodExt as _, RestartPolicy, container_hash, is_sidecar};

/// One step. They are taken in order; a failed one ends the pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Stops every container and the sandbox: the pod has nothing more to do, or its sandbox must be replaced.
    KillSandbox {
        id: String,
    },
    CreateSandbox {
        attempt: u32,
    },
    KillContainer {
        id: String,
        name: String,
        why: KillReason,
        message: String,
    },
    StartContainer {
        kind: Kind,
        name: String,
        restarts: i32,
    },
    /// Takes away a dead instance that nobody can ask for any more.
    RemoveContainer {
        id: String,
    },
    /// Takes away a sandbox that has been replaced and holds nothing.
    RemoveSandbox {
        id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillReason {
    Changed,
    Liveness,
    Startup,
    Unknown,
}

/// A pass: what to do now, why containers wait, and when to look again if nothing happens before.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) waiting: Vec<(String, Waiting)>,
    pub(crate) wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

/// Sandboxes that could not be made are tried again after this.
const SANDBOX_RETRY: Duration = Duration::from_secs(1);

/// The next steps of a pod that shall run.
pub(crate) fn plan(pod: &Pod, observed: &Observed, memory: &Memory, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match sandbox_to_replace(pod, observed) {
        Some(attempt) => plan_sandbox(pod, observed, memory, now, attempt, &mut plan),
        None => plan_containers(pod, observed, memory, now, &mut plan),
    }
    plan.actions.extend(dead_instances(observed));
    plan.actions.extend(empty_sandboxes(observed));
    plan
}

/// The number of the sandbox to make, when there is none that will do.
fn sandbox_to_replace(pod: &Pod, observed: &Observed) -> Option<u32> {
    let Some(newest) = observed.sandboxes.first() else { return Some(0) };
    // A runtime may keep the name of an attempt that failed half-way: none is used twice.
    let attempts = observed.sandboxes.iter().filter_map(|s| s.metadata.as_ref());
    let next = attempts.map(|metadata| metadata.attempt).max().unwrap_or(0) + 1;
    let ready = observed.sandboxes.iter().filter(|s| s.state() == PodSandboxState::SandboxReady).count();
    let on_host = newest
        .linux
        .as_ref()
        .and_then(|linux| linux.namespaces.as_ref()?.options.as_ref())
        .is_some_and(|options| options.network == NamespaceMode::Node as i32);
    let addressless = !pod.host_network() && observed.ips().is_empty();
    let unfit = ready > 1 || observed.sandbox().is_none() || on_host != pod.host_network() || addressless;
    unfit.then_some(next)
}

fn plan_sandbox(
    pod: &Pod,
    observed: &Observed,
    memory: &Memory,
    now: Timestamp,
    attempt: u32,
    plan: &mut Plan,
) {
    let stop = observed.sandboxes.iter().filter(|s| s.state() == PodSandboxState::SandboxReady);
    plan.actions.extend(stop.map(|s| Action::KillSandbox { id: s.id.clone() }));
    if let Some(sandbox) = observed.sandboxes.first()
        && plan.actions.is_empty()
        && observed.running().any(|seen| seen.sandbox == sandbox.id)
    {
        plan.actions.push(Action::KillSandbox { id: sandbox.id.clone() });
    }
    if !needs_sandbox(pod, observed, attempt) {
        return;
    }
    if let Some(failed) = memory.sandbox_failure {
        let retry = failed + jiff::SignedDuration::try_from(SANDBOX_RETRY).unwrap_or_default();
        if now < retry {
            return plan.wake(retry);
        }
    }
    plan.actions.push(Action::CreateSandbox { attempt });
    // The containers follow in the next pass, which sees the sandbox.
}

/// Whether anything is left to run in a new sandbox.
fn needs_sandbox(pod: &Pod, observed: &Observed, attempt: u32) -> bool {
    match pod.restart_policy() {
        RestartPolicy::Always => true,
        RestartPolicy::Never => attempt == 0 || observed.containers.is_empty(),
        RestartPolicy::OnFailure => {
            pod.spec().containers.iter().any(|c| !observed.newest(&c.name).is_some_and(Seen::succeeded))
        }
    }
}

fn plan_containers(pod: &Pod, observed: &Observed, memory: &Memory, now: Timestamp, plan: &mut Plan) {
    for container in pod.ephemeral_containers() {
        if observed.newest(&container.name).is_none() {
            start(Kind::Ephemeral, &container, None, plan);
        }
    }
    let progress = plan_init(pod, observed, memory, now, plan);
    let kept = match progress {
        Init::Waiting => true,
        Init::Failed => false,
        Init::Done => plan_regular(pod, observed, memory, now, plan),
    };
    if !kept && let Some(sandbox) = observed.sandbox() {
        // Nothing runs and nothing will: sidecars and the sandbox go, too.
        *plan = Plan::default();
        plan.actions.push(Action::KillSandbox { id: sandbox.id.clone() });
    }
}

enum Init {
    Waiting,
    Failed,
    Done,
}

/// Init containers run one after another; a sidecar counts as done when it has started.
fn plan_init(pod: &Pod, observed: &Observed, memory: &Memory, now: Timestamp, plan: &mut Plan) -> Init {
    let initialized = pod.spec().containers.iter().any(|c| observed.current(&c.name).is_some());
    for container in pod.init_containers() {
        let seen = observed.current(&container.name);
        if is_sidecar(container) {
            let started = plan_sidecar(pod, container, seen, memory, now, plan);
            if !started && !initialized {
                return Init::Waiting;
            }
            continue;
        }
        match seen.map(Seen::state) {
            _ if initialized => {}
            Some(ContainerState::ContainerExited) if seen.is_some_and(Seen::succeeded) => {}
            Some(ContainerState::ContainerRunning) => return Init::Waiting,
            Some(ContainerState::ContainerExited) if pod.restart_policy() == RestartPolicy::Never => {
                return Init::Failed;
            }
            Some(ContainerState::ContainerUnknown) => {
                kill_unknown(seen, container, plan);
                return Init::Waiting;
            }
            _ => {
                restart(pod, Kind::Init, container, observed, memory, now, plan);
                return Init::Waiting;
            }
        }
    }
    Init::Done
}

/// Whether the sidecar has started, so that what follows it may.
fn plan_sidecar(
    pod: &Pod,
    container: &Container,
    seen: Option<&Seen>,
    memory: &Memory,
    now: Timestamp,
    plan: &mut Plan,
) -> bool {
    match seen {
        Some(seen) if seen.running() => {
            if let Some((why, message)) = verdict_against(container, seen, memory, "Init container") {
                kill(seen, why, message, plan);
                return false;
            }
            memory.probes.started(seen.id(), container)
        }
        Some(seen) if seen.state() == ContainerState::ContainerUnknown => {
            kill_unknown(Some(seen), container, plan);
            false
        }
        seen => {
            restart_seen(pod, Kind::Init, container, seen, memory, now, plan);
            false
        }
    }
}

/// Whether any regular container stays or comes back.
fn plan_regular(pod: &Pod, observed: &Observed, memory: &Memory, now: Timestamp, plan: &mut Plan) -> bool {
    let mut kept = false;
    for container in &pod.spec().containers {
        let Some(seen) = observed.current(&container.name) else {
            let succeeded = observed.newest(&container.name).is_some_and(Seen::succeeded);
            if !(succeeded && pod.restart_policy() == RestartPolicy::OnFailure) {
                restart(pod, Kind::Regular, container, observed, memory, now, plan);
                kept = true;
            }
            continue;
        };
        match seen.state() {
            ContainerState::ContainerRunning => {
                kept = true;
                if seen.hash() != container_hash(container) {
                    let message =
                        format!("Container {} definition changed, will be restarted", container.name);
                    kill(seen, KillReason::Changed, message, plan);
                } else if let Some((why, message)) = verdict_against(container, seen, memory, "Container") {
                    kill(seen, why, message, plan);
                }
            }
            ContainerState::ContainerUnknown => {
                kept = true;
                kill_unknown(Some(seen), container, plan);
            }
            ContainerState::ContainerCreated => {
                kept = true;
                restart(pod, Kind::Regular, container, observed, memory, now, plan);
            }
            ContainerState::ContainerExited => {
                if comes_back(pod.restart_policy(), seen.status.exit_code) {
                    kept = true;
                    restart(pod, Kind::Regular, container, observed, memory, now, plan);
                }
            }
        }
    }
    kept
}

pub(crate) fn comes_back(policy: RestartPolicy, exit_code: i32) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// What the probes hold against a running container.
fn verdict_against(
    container: &Container,
    seen: &Seen,
    memory: &Memory,
    what: &str,
) -> Option<(KillReason, String)> {
    let name = &container.name;
    if memory.probes.liveness_failed(seen.id()) {
        return Some((
            KillReason::Liveness,
            format!("{what} {name} failed liveness probe, will be restarted"),
        ));
    }
    if memory.probes.startup_failed(seen.id()) {
        return Some((KillReason::Startup, format!("{what} {name} failed startup probe, will be restarted")));
    }
    None
}

fn kill(seen: &Seen, why: KillReason, message: String, plan: &mut Plan) {
    let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
    plan.actions.push(Action::KillContainer { id, name, why, message });
}

fn kill_unknown(seen: Option<&Seen>, container: &Container, plan: &mut Plan) {
    if let Some(seen) = seen {
        let message =
            format!("Container {} is in unknown state, try killing it before restart", container.name);
        kill(seen, KillReason::Unknown, message, plan);
    }
}

fn restart(
    pod: &Pod,
    kind: Kind,
    container: &Container,
    observed: &Observed,
    memory: &Memory,
    now: Timestamp,
    plan: &mut Plan,
) {
    restart_seen(pod, kind, container, observed.newest(&container.name), memory, now, plan);
}

/// Starts the container, or says how long it must wait after its last exit.
fn restart_seen(
    pod: &Pod,
    kind: Kind,
    container: &Container,
    seen: Option<&Seen>,
    memory: &Memory,
    now: Timestamp,
    plan: &mut Plan,
) {
    if let Some(seen) = seen.filter(|seen| seen.exited()) {
        let failed_at = time(seen.status.finished_at);
        if let Some((delay, until)) = memory.crashes.holding(&crash_key(container), failed_at, now) {
            let message = format!(
                "back-off {} restarting failed container={} pod={}",
                go_duration(delay),
                container.name,
                pod.display()
            );
            plan.waiting.push((container.name.clone(), Waiting::new("CrashLoopBackOff", message)));
            return plan.wake(until);
        }
    }
    if let Some(image) = &container.image
        && let Some((failed_at, _)) = memory.failed_pulls.get(image)
        && let Some((_, until)) = memory.pulls.holding(image, *failed_at, now)
    {
        // Starting says so in the container's status, and pulls only when the delay has passed.
        plan.wake(until);
    }
    start(kind, container, seen, plan);
}

fn start(kind: Kind, container: &Container, seen: Option<&Seen>, plan: &mut Plan) {
    let restarts = seen.map_or(0, |seen| seen.restarts() + 1);
    plan.actions.push(Action::StartContainer { kind, name: container.name.clone(), restarts });
}

/// The key of a container's crash back-off: a changed container starts anew.
pub(crate) fn crash_key(container: &Container) -> String {
    format!("{}/{}", container.name, container_hash(container))
}

/// Of each container the last dead instance is kept (for its log and its last state), older ones go.
fn dead_instances(observed: &Observed) -> Vec<Action> {
    let mut kept: Vec<&str> = Vec::new();
    let mut remove = Vec::new();
    for seen in observed.containers.iter().filter(|seen| !seen.running()) {
        if kept.contains(&seen.name()) {
            remove.push(Action::RemoveContainer { id: seen.id().to_owned() });
        } else {
            kept.push(seen.name());
        }
    }
    remove
}

/// Replaced sandboxes in which no container is left.
fn empty_sandboxes(observed: &Observed) -> impl Iterator<Item = Action> {
    let empty = |sandbox: &&PodSandboxStatus| {
        sandbox.state() == PodSandboxState::SandboxNotready
            && !observed.containers.iter().any(|seen| seen.sandbox == sandbox.id)
    };
    let replaced = observed.sandboxes.iter().skip(1).filter(empty);
    replaced.map(|sandbox| Action::RemoveSandbox { id: sandbox.id.clone() })
}

/// A CRI time (nanoseconds since 1970).
pub(crate) fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
