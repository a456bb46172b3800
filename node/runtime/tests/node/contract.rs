//! The contract of every CRI runtime, against the real one.

use crate::support::{IMAGE, Node};
use oarlock_cri::contract::{self, Params};

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_string).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_keeps_the_contract() {
    let node = Node::start().await;
    let params = Params {
        image: IMAGE.to_string(),
        wait: shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"),
        hello_then_3: shell("echo hello; exit 3"),
        exec_hello: shell("echo hello"),
        exec_7: shell("exit 7"),
        exec_hang: shell("sleep 60"),
        log_root: node.logs(),
        cgroup_parent: String::new(),
        host_network: false,
    };
    contract::run(&node.client, &params).await;
    node.finish().await;
}
