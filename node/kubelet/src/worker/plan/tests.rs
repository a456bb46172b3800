//! Tables of plans.

use super::*;
use oarlock_cri::v1;
use serde_json::{Value, json};

fn pod(spec: Value) -> Pod {
    let pod = json!({ "metadata": { "name": "p", "namespace": "n", "uid": "u" }, "spec": spec });
    serde_json::from_value(pod).expect("a pod")
}

fn one(policy: &str) -> Pod {
    pod(json!({ "restartPolicy": policy, "containers": [{ "name": "c", "image": "i" }] }))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_000).expect("a time")
}

/// What the runtime has: a ready sandbox and containers as (name, state, exit code).
fn observed(containers: &[(&str, ContainerState, i32)]) -> Observed {
    let sandbox = v1::PodSandboxStatus {
        id: "s".into(),
        state: PodSandboxState::SandboxReady.into(),
        metadata: Some(v1::PodSandboxMetadata::default()),
        network: Some(v1::PodSandboxNetworkStatus { ip: "10.0.0.1".into(), ..Default::default() }),
        ..Default::default()
    };
    let seen = |(name, state, exit_code): &(&str, ContainerState, i32)| {
        let container = Container { name: (*name).into(), image: Some("i".into()), ..Container::default() };
        let status = v1::ContainerStatus {
            id: format!("id-{name}"),
            state: (*state).into(),
            exit_code: *exit_code,
            finished_at: 999_000_000_000,
            labels: [(crate::observed::LABEL_CONTAINER.to_owned(), (*name).to_owned())].into(),
            annotations: [(crate::observed::NOTE_HASH.to_owned(), container_hash(&container))].into(),
            ..Default::default()
        };
        Seen { sandbox: "s".into(), status }
    };
    Observed { sandboxes: vec![sandbox], containers: containers.iter().map(seen).collect() }
}

fn text(plan: &Plan) -> String {
    let action = |action: &Action| match action {
        Action::KillSandbox { id } => format!("kill sandbox {id}"),
        Action::CreateSandbox { attempt } => format!("create sandbox {attempt}"),
        Action::KillContainer { name, why, .. } => format!("kill {name} {why:?}"),
        Action::StartContainer { name, restarts, .. } => format!("start {name} #{restarts}"),
        Action::RemoveContainer { id } => format!("remove {id}"),
        Action::RemoveSandbox { id } => format!("remove sandbox {id}"),
    };
    let mut words: Vec<String> = plan.actions.iter().map(action).collect();
    words.extend(plan.waiting.iter().map(|(name, waiting)| format!("{name} waits: {}", waiting.reason)));
    words.join(", ")
}

fn check(name: &str, pod: &Pod, observed: &Observed, memory: &Memory, expected: &str) {
    assert_eq!(text(&plan(pod, observed, memory, now())), expected, "{name}");
}

#[test]
fn sandboxes() {
    let memory = Memory::default();
    let mut stopped = observed(&[]);
    stopped.sandboxes[0].state = PodSandboxState::SandboxNotready.into();
    check("nothing yet", &one("Always"), &Observed::default(), &memory, "create sandbox 0");
    check("it stopped", &one("Always"), &stopped, &memory, "create sandbox 1");
    let mut finished = observed(&[("c", ContainerState::ContainerExited, 0)]);
    finished.sandboxes[0].state = PodSandboxState::SandboxNotready.into();
    check("all is done", &one("OnFailure"), &finished, &memory, "");
    check("never again", &one("Never"), &finished, &memory, "");
    check("it must go on", &one("Always"), &finished, &memory, "create sandbox 1");
    let mut replaced = observed(&[("c", ContainerState::ContainerRunning, 0)]);
    let old = v1::PodSandboxStatus { id: "old".into(), ..stopped.sandboxes[0].clone() };
    replaced.sandboxes.push(old);
    check("an old one is empty", &one("Always"), &replaced, &memory, "remove sandbox old");
    let mut addressless = observed(&[]);
    addressless.sandboxes[0].network = None;
    check("no address", &one("Always"), &addressless, &memory, "kill sandbox s, create sandbox 1");
}

#[test]
fn containers() {
    use ContainerState::{
        ContainerExited as Exited, ContainerRunning as Running, ContainerUnknown as Unknown,
    };
    let memory = Memory::default();
    for (name, policy, state, expected) in [
        ("first start", "Always", None, "start c #0"),
        ("it runs", "Always", Some((Running, 0)), ""),
        ("it ended well", "Always", Some((Exited, 0)), "start c #1"),
        ("it ended well and is done", "OnFailure", Some((Exited, 0)), "kill sandbox s"),
        ("it failed", "OnFailure", Some((Exited, 1)), "start c #1"),
        ("it failed for good", "Never", Some((Exited, 1)), "kill sandbox s"),
        ("nobody knows", "Always", Some((Unknown, 0)), "kill c Unknown"),
    ] {
        let seen: Vec<_> = state.into_iter().map(|(state, code)| ("c", state, code)).collect();
        check(name, &one(policy), &observed(&seen), &memory, expected);
    }
    let changed = pod(json!({ "containers": [{ "name": "c", "image": "other" }] }));
    check("another image", &changed, &observed(&[("c", Running, 0)]), &memory, "kill c Changed");
}

#[test]
fn crashes_back_off() {
    let pod = one("Always");
    let crashed = observed(&[("c", ContainerState::ContainerExited, 1)]);
    let mut memory = Memory::default();
    check("the first is free", &pod, &crashed, &memory, "start c #1");
    memory.crashes.count(&crash_key(&pod.spec().containers[0]), now(), now());
    check("then it waits", &pod, &crashed, &memory, "c waits: CrashLoopBackOff");
    let plan = plan(&pod, &crashed, &memory, now());
    assert_eq!(
        plan.wake_at,
        Some(Timestamp::from_second(1_009).expect("a time")),
        "ten seconds after it ended"
    );
}

#[test]
fn probes_kill() {
    let memory = Memory::default();
    memory.probes.set("id-c", crate::probes::ProbeKind::Liveness, false);
    let running = observed(&[("c", ContainerState::ContainerRunning, 0)]);
    check("it is not alive", &one("Always"), &running, &memory, "kill c Liveness");
}

#[test]
fn init_containers() {
    use ContainerState::{ContainerExited as Exited, ContainerRunning as Running};
    let spec = |policy: &str| {
        pod(json!({
            "restartPolicy": policy,
            "initContainers": [
                { "name": "a", "image": "i" }, { "name": "side", "image": "i", "restartPolicy": "Always" } ],
            "containers": [{ "name": "c", "image": "i" }],
        }))
    };
    let memory = Memory::default();
    let always = spec("Always");
    check("the first", &always, &observed(&[]), &memory, "start a #0");
    check("it runs", &always, &observed(&[("a", Running, 0)]), &memory, "");
    check("it failed", &always, &observed(&[("a", Exited, 1)]), &memory, "start a #1");
    check("it failed for good", &spec("Never"), &observed(&[("a", Exited, 1)]), &memory, "kill sandbox s");
    let done = [("a", Exited, 0)];
    check("the sidecar follows", &always, &observed(&done), &memory, "start side #0");
    let side = [("a", Exited, 0), ("side", Running, 0)];
    check("then the rest", &always, &observed(&side), &memory, "start c #0");
    let broken = [("a", Exited, 0), ("side", Exited, 1), ("c", Running, 0)];
    check("the sidecar comes back", &always, &observed(&broken), &memory, "start side #1");
    let over = [("a", Exited, 0), ("side", Running, 0), ("c", Exited, 0)];
    check("the sidecar goes last", &spec("Never"), &observed(&over), &memory, "kill sandbox s");
}

#[test]
fn one_dead_instance_is_kept() {
    use ContainerState::{ContainerExited as Exited, ContainerRunning as Running};
    let mut seen = observed(&[("c", Running, 0), ("c", Exited, 1), ("c", Exited, 1)]);
    for (i, container) in seen.containers.iter_mut().enumerate() {
        container.status.id = format!("id-{i}");
    }
    check("older ones go", &one("Always"), &seen, &Memory::default(), "remove id-2");
}
