//! Tables of phases.

use super::*;
use serde_json::{Value, json};

fn pod(policy: &str, init: Value) -> Pod {
    let spec = json!({ "restartPolicy": policy, "containers": [{ "name": "c", "image": "i" }], "initContainers": init });
    serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).expect("a pod")
}

fn status(state: Value, last: Value) -> ContainerStatus {
    let status = json!({ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state, "lastState": last });
    serde_json::from_value(status).expect("a status")
}

#[test]
fn phases() {
    let (running, waiting) = (json!({ "running": {} }), json!({ "waiting": {} }));
    let exited = |code: i32| json!({ "terminated": { "exitCode": code } });
    for (policy, state, last, ended, expected) in [
        ("Always", &waiting, json!({}), false, "Pending"),
        ("Always", &running, json!({}), false, "Running"),
        ("Always", &exited(0), json!({}), false, "Running"),
        ("Always", &waiting, exited(1), false, "Running"),
        ("OnFailure", &exited(0), json!({}), false, "Succeeded"),
        ("OnFailure", &exited(1), json!({}), false, "Running"),
        ("Never", &exited(1), json!({}), false, "Failed"),
        ("Never", &exited(0), json!({}), false, "Succeeded"),
        ("Always", &exited(0), json!({}), true, "Succeeded"),
        ("Always", &exited(137), json!({}), true, "Failed"),
    ] {
        let statuses = [status(state.clone(), last.clone())];
        let found = phase(&pod(policy, json!([])), &[], &statuses, ended);
        assert_eq!(found, expected, "{policy} {state} {last} ended={ended}");
    }
}

#[test]
fn init_containers_hold_the_phase() {
    let init = json!([{ "name": "i", "image": "i" }]);
    let waiting = [status(json!({ "waiting": {} }), json!({}))];
    let failed = [status(json!({ "terminated": { "exitCode": 1 } }), json!({}))];
    assert_eq!(phase(&pod("Always", init.clone()), &failed, &waiting, false), "Pending");
    assert_eq!(phase(&pod("Never", init), &failed, &waiting, false), "Failed");
}
