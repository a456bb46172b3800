//! Calls that end in the middle: their caller goes away, somebody else stops what is being made, or the runtime stops.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Node;
use nix::sys::stat::Mode;
use oarlock_cri::v1;

/// A plugin that says when it has begun to attach a pod, and goes on when the gate is opened.
const GATED: &str = r#"#!/bin/sh
here="$(dirname "$0")"
cat > /dev/null
[ "$CNI_COMMAND" = ADD ] || exit 0
echo begun > "$here/begun"
read -r line < "$here/gate"
echo '{"cniVersion":"1.0.0","ips":[{"address":"10.9.8.7/24"}]}'
"#;

/// The two pipes of a [`GATED`] plugin.
struct Gate {
    begun: PathBuf,
    gate: PathBuf,
}

impl Gate {
    fn of(node: &Node) -> Self {
        let bin = &node.config.cni_bin_dirs[0];
        fs::write(bin.join("fixed"), GATED).expect("written");
        let pipe = |name: &str| {
            let path = bin.join(name);
            nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("made");
            path
        };
        Self { begun: pipe("begun"), gate: pipe("gate") }
    }

    /// Returns when a pod is half made.
    async fn begun(&self) {
        assert_eq!(tokio::fs::read_to_string(&self.begun).await.expect("told"), "begun\n");
    }

    async fn open(&self) {
        tokio::fs::write(&self.gate, "go\n").await.expect("opened");
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    fs::read_dir(directory).into_iter().flatten().flatten().map(name).collect()
}

/// Nothing of any pod is there any more. The runtime must have been halted: then all it owned has ended.
fn check_nothing_is_left(node: &Node) {
    for directory in [
        node.config.root_dir.join("sandboxes"),
        node.config.run_dir.join("s"),
        node.config.run_dir.join("netns"),
    ] {
        assert_eq!(entries(&directory), [""; 0], "{}", directory.display());
    }
    // A shim that has been told to end answers a moment before it is gone.
    let gone = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let processes = node.processes();
    for _ in 0..1_000_000 {
        if processes.iter().all(gone) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("processes are left: {processes:?}");
}

async fn sandboxes(node: &Node) -> Vec<v1::PodSandbox> {
    let all = node.client.list_pod_sandbox(v1::ListPodSandboxRequest::default());
    all.await.expect("listed").items
}

/// Begins to run a pod, and drops the call in the middle.
async fn begin_and_drop(node: &Node, gate: &Gate, name: &str) {
    let request = v1::RunPodSandboxRequest { config: Some(node.pod_config(name)), ..Default::default() };
    tokio::select! {
        ended = node.client.run_pod_sandbox(request) => panic!("the gate is shut: {ended:?}"),
        () = gate.begun() => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_whose_caller_has_gone_is_undone() {
    let mut node = Node::start().await;
    let gate = Gate::of(&node);
    begin_and_drop(&node, &gate, "dropped").await;
    let halfway = sandboxes(&node).await;
    assert_eq!(halfway.len(), 1);
    assert_eq!(halfway[0].state, v1::PodSandboxState::SandboxNotready as i32);
    assert_eq!(node.processes().len(), 1, "its shim");
    tokio::join!(gate.open(), node.halt());
    check_nothing_is_left(&node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_in_the_making_is_stopped_by_others() {
    let mut node = Node::start().await;
    let gate = Gate::of(&node);
    begin_and_drop(&node, &gate, "stopped").await;
    let pod_sandbox_id = sandboxes(&node).await.pop().expect("it is known").id;
    let stop = v1::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
    let (stopped, ()) = tokio::join!(node.client.stop_pod_sandbox(stop), gate.open());
    stopped.expect("it waits until there is something to stop");
    let remove = v1::RemovePodSandboxRequest { pod_sandbox_id };
    node.client.remove_pod_sandbox(remove).await.expect("removed");
    assert_eq!(sandboxes(&node).await, []);
    // Its name is free again.
    begin_and_drop(&node, &gate, "stopped").await;
    tokio::join!(gate.open(), node.halt());
    check_nothing_is_left(&node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_the_runtime_waits_for_what_is_being_made() {
    let mut node = Node::start().await;
    let gate = Gate::of(&node);
    let client = node.client.clone();
    let request = v1::RunPodSandboxRequest { config: Some(node.pod_config("cut")), ..Default::default() };
    let work = async {
        gate.begun().await;
        tokio::join!(node.halt(), gate.open());
    };
    let (cut, ()) = tokio::join!(client.run_pod_sandbox(request), work);
    cut.expect_err("the call is cut off");
    check_nothing_is_left(&node);
}
