//! Real containers through CRI, from an image built on the fly. Needs root, and busybox-static on the machine.

mod support;

use std::fs;

use oarlock_cri::v1;
use support::{Node, container};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_runs_logs_and_ends() {
    let node = Node::start().await;
    let pod = node.pod(&node.pod_config("first")).await;
    let id = node.run_shell(&pod, "hello", "echo out; echo err >&2; hostname; id -u; exit 3").await;
    let status = node.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    let mut log = node.log("hello.log");
    log.sort();
    assert_eq!(log, ["stderr F err", "stdout F 0", "stdout F first", "stdout F out"]);
    node.finish().await;
}
