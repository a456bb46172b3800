//! `server` and `agent` in two processes: either may end or die; containers go on until the machine stops.

use std::time::Duration;

use oarlock_testkit::{Cluster, Settings, eventually};

const PATIENCE: Duration = Duration::from_secs(90);
const IDS: [&str; 5] =
    ["get", "pods", "-l", "app=steady", "-o=jsonpath={.items[*].status.containerStatuses[*].containerID}"];
const RESTARTS: [&str; 5] =
    ["get", "pods", "-l", "app=steady", "-o=jsonpath={.items[*].status.containerStatuses[*].restartCount}"];
const NAMES: [&str; 5] = ["get", "pods", "-l", "app=steady", "-o=jsonpath={.items[*].metadata.name}"];
const READY: [&str; 5] = ["get", "deployment", "steady", "-o", "jsonpath={.status.readyReplicas}"];
const NODE: [&str; 5] =
    ["get", "node", "node-1", "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"];

fn deployment(cluster: &Cluster) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: steady}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: \
         {{app: steady}}}}\n  template:\n    metadata: {{labels: {{app: steady}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers: [{{name: main, image: {}, imagePullPolicy: Never, command: [sleep, \
         '3600']}}]\n",
        cluster.busybox()
    )
}

/// The containers are those of before, and can be spoken to.
#[track_caller]
fn unharmed(cluster: &Cluster, before: &str) {
    cluster.wait_for(&NODE, |ready| ready == "True");
    cluster.wait_for(&READY, |ready| ready == "2");
    assert_eq!(cluster.kubectl(&IDS), before, "the containers are the same");
    assert_eq!(cluster.kubectl(&RESTARTS), "0 0");
    exec_works(cluster);
}

#[track_caller]
fn exec_works(cluster: &Cluster) {
    let pod =
        cluster.kubectl(&["get", "pods", "-l", "app=steady", "-o", "jsonpath={.items[0].metadata.name}"]);
    eventually("exec", PATIENCE, || {
        let said = cluster.try_kubectl(&["exec", &pod, "--", "echo", "here"]);
        if said.stdout == "here\n" { Ok(()) } else { Err(said.stderr) }
    });
}

#[test]
fn containers_outlive_both_processes() {
    let settings = Settings { busybox: true, apart: true, ..Settings::default() };
    let mut cluster = Cluster::start(settings).expect("a cluster");
    cluster.apply(&deployment(&cluster));
    cluster.wait_for(&READY, |ready| ready == "2");
    let before = cluster.kubectl(&IDS);

    cluster.kill_role("agent").expect("killed");
    assert_eq!(cluster.kubectl(&IDS), before, "the API still tells them");
    cluster.start_role("agent").expect("an agent");
    unharmed(&cluster, &before);

    cluster.stop_role("agent").expect("stopped");
    cluster.start_role("agent").expect("an agent");
    unharmed(&cluster, &before);

    for kill in [true, false] {
        if kill { cluster.kill_role("server") } else { cluster.stop_role("server") }.expect("ended");
        cluster.start_role("server").expect("a server");
        unharmed(&cluster, &before);
        // The agent hears of what is new.
        let name = format!("after-{kill}");
        cluster.kubectl(&[
            "run",
            &name,
            "--image",
            cluster.busybox(),
            "--image-pull-policy=Never",
            "--",
            "sleep",
            "3600",
        ]);
        cluster.wait_ready(&name);
        cluster.kubectl(&["delete", "pod", &name, "--now"]);
    }

    // Both are away, and only the API server's memory says what should run.
    cluster.kill().expect("killed");
    cluster.up().expect("up again");
    unharmed(&cluster, &before);
}

#[test]
fn a_machine_that_lost_its_power_comes_back() {
    let mut cluster = Cluster::with_busybox().expect("a cluster");
    cluster.apply(&deployment(&cluster));
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: once}}\nspec:\n  restartPolicy: Never\n  containers: [{{name: main, image: \
         {}, imagePullPolicy: Never, command: [sleep, '3600']}}]\n",
        cluster.busybox()
    ));
    cluster.wait_for(&READY, |ready| ready == "2");
    cluster.wait_ready("once");
    let (before, names) = (cluster.kubectl(&IDS), cluster.kubectl(&NAMES));
    cluster.kubectl(&["create", "configmap", "kept"]);

    cluster.lose_power().expect("the power is off");
    cluster.up().expect("up again");

    cluster.kubectl(&["get", "configmap", "kept"]);
    let old: Vec<&str> = before.split(' ').collect();
    cluster
        .wait_for(&IDS, |ids| ids.split(' ').filter(|id| !id.is_empty() && !old.contains(id)).count() == 2);
    cluster.wait_for(&READY, |ready| ready == "2");
    assert_eq!(cluster.kubectl(&NAMES), names, "the pods are the same, in new sandboxes");
    exec_works(&cluster);
    // A container that must not be started again has failed.
    cluster.wait_for(&["get", "pod", "once", "-o", "jsonpath={.status.phase}"], |phase| phase == "Failed");
    // DNS works for new and for old pods.
    let pod = names.split(' ').next().expect("a pod");
    eventually("DNS", PATIENCE, || {
        let said =
            cluster.try_kubectl(&["exec", pod, "--", "nslookup", "kubernetes.default.svc.cluster.local"]);
        if said.stdout.contains("10.96.0.1") { Ok(()) } else { Err(said.stdout + &said.stderr) }
    });
}
