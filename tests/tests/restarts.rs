//! Nothing acknowledged is lost, and what ran is found again or comes back.

use oarlock_testkit::Cluster;

fn deployment(cluster: &Cluster) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: steady}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: \
         {{app: steady}}}}\n  template:\n    metadata: {{labels: {{app: steady}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers: [{{name: main, image: {}, imagePullPolicy: Never, command: [sleep, \
         '3600']}}]\n",
        cluster.busybox()
    )
}

const IDS: [&str; 6] =
    ["get", "pods", "-l", "app=steady", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}"];
const RESTARTS: [&str; 6] = [
    "get",
    "pods",
    "-l",
    "app=steady",
    "-o",
    "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
];
const READY: [&str; 5] = ["get", "deployment", "steady", "-o", "jsonpath={.status.readyReplicas}"];

#[test]
fn a_killed_process_finds_its_containers_again() {
    let mut cluster = Cluster::with_busybox().expect("a cluster");
    cluster.apply(&deployment(&cluster));
    cluster.wait_for(&READY, |ready| ready == "2");
    let before = cluster.kubectl(&IDS);
    for number in 0..20 {
        cluster.kubectl(&["create", "configmap", &format!("kept-{number}")]);
    }
    cluster.kill().expect("killed");
    cluster.up().expect("up again");
    let kept = cluster.kubectl(&["get", "configmaps", "-o", "name"]);
    assert_eq!(kept.lines().filter(|name| name.contains("kept-")).count(), 20, "{kept}");
    cluster.wait_for(&READY, |ready| ready == "2");
    assert_eq!(cluster.kubectl(&IDS), before, "the containers are the same");
    assert_eq!(cluster.kubectl(&RESTARTS), "0 0");
}

#[test]
fn an_orderly_stop_takes_the_pods_and_a_start_brings_them_back() {
    let mut cluster = Cluster::with_busybox().expect("a cluster");
    cluster.apply(&deployment(&cluster));
    cluster.wait_for(&READY, |ready| ready == "2");
    let before = cluster.kubectl(&IDS);
    cluster.stop().expect("stopped");
    // What a reboot leaves too: the state on disk, and no container.
    cluster.up().expect("up again");
    let after = cluster.wait_for(&IDS, |ids| {
        let ids: Vec<&str> = ids.split(' ').collect();
        ids.len() == 2 && ids.iter().all(|id| !id.is_empty() && !before.contains(id))
    });
    assert_ne!(after, before);
    cluster.wait_for(&READY, |ready| ready == "2");
}
