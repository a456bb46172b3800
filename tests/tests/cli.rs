//! The command line: what is refused, how it is told, and the small commands.

use std::path::Path;

use oarlock_testkit::{Cluster, Output, Settings};

/// Runs `oarlock` where a cluster is; data directories of the caller.
fn oarlock(cluster: &Cluster, arguments: &[&str]) -> Output {
    let path = oarlock_testkit::oarlock_path().expect("the binary");
    cluster.on_node(&path.display().to_string(), arguments)
}

/// One clear line, exit code 1.
#[track_caller]
fn refused(output: &Output, with: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains(with), "wanted one line with {with:?}: {output:?}");
}

#[test]
fn commands_of_a_running_cluster() {
    let mut cluster = Cluster::start(Settings::default()).expect("a cluster");
    small_commands(&cluster);
    refusals(&cluster);
    configuration_file(&cluster);
    let dir = cluster.run_dir().expect("it runs");
    let down = cluster.oarlock(&["down"]);
    assert!(down.ok && down.stdout.contains("the state is kept in"), "{down:?}");
    assert!(!dir.exists(), "nothing of the boot is left in {}", dir.display());
    let links = cluster.on_node("ip", &["-o", "link"]).stdout;
    assert_eq!(links.lines().count(), 2, "lo and eth0 alone: {links}");
    assert!(!cluster.on_node("nft", &["list", "ruleset"]).stdout.contains("oarlock"));
    refused(&cluster.oarlock(&["status"]), "the API server does not answer");
    cluster.reap().expect("it has ended");
    cluster.up().expect("up again");
    cluster.kubectl(&["get", "configmap", "kept"]);
}

fn small_commands(cluster: &Cluster) {
    cluster.kubectl(&["create", "configmap", "kept"]);
    let version = oarlock(cluster, &["version"]);
    assert!(version.ok && version.stdout.starts_with("v1.36."), "{version:?}");
    let server = cluster.kubectl(&["version", "-o", "json"]);
    assert_eq!(server.matches("\"minor\": \"36\"").count(), 2, "client and server: {server}");
    let status = cluster.oarlock(&["status"]);
    assert!(status.ok, "{status:?}");
    for part in ["API server ready", "node-1: ready", "process "] {
        assert!(status.stdout.contains(part), "{part}: {}", status.stdout);
    }
    let kubeconfig = cluster.oarlock(&["kubeconfig"]);
    let file = std::fs::read_to_string(cluster.data_dir().join("kubeconfig")).expect("a kubeconfig");
    assert_eq!(kubeconfig.stdout, file);
    let missing = oarlock(cluster, &["kubeconfig", "--data-dir", "/tmp/oarlock-nowhere"]);
    refused(&missing, "has a cluster been started with this --data-dir?");
    let helped = oarlock(cluster, &["--help"]);
    for command in ["up", "server", "agent", "kube-apiserver", "kubelet", "down", "status", "image"] {
        assert!(helped.stdout.contains(&format!("  {command} ")), "{command}: {}", helped.stdout);
    }
    assert!(!helped.stdout.contains("shim"), "hidden: {}", helped.stdout);
    assert_eq!(oarlock(cluster, &["up", "--no-such-flag"]).code, Some(2));
}

fn refusals(cluster: &Cluster) {
    let other = cluster.scratch().join("other");
    let dir = other.display().to_string();
    let busy = oarlock(cluster, &["server", "--data-dir", &dir]);
    refused(&busy, "the API server cannot listen on 0.0.0.0:6443: Address already in use");
    assert!(busy.stderr.contains("--https-port"), "{}", busy.stderr);
    let ports = ["--https-port=0", "--kubelet-port=0", "--proxy-health-port=0"];
    let own = cluster.data_dir().display().to_string();
    let again = oarlock(cluster, &[&["up", "--data-dir", &own], &ports[..]].concat());
    refused(&again, "is in use by process");
    let overlap = ["--cluster-cidr=10.96.0.0/16", "--service-cidr=10.96.0.0/12"];
    let overlap = oarlock(cluster, &[&["up", "--data-dir", &dir], &ports[..], &overlap[..]].concat());
    refused(&overlap, "overlap: change --cluster-cidr or --service-cidr");
    let file = cluster.scratch().join("a-file");
    std::fs::write(&file, "").expect("written");
    let below = file.join("data").display().to_string();
    let unwritable = oarlock(cluster, &[&["up", "--data-dir", &below], &ports[..]].concat());
    refused(&unwritable, "is not writable");
    let agent = oarlock(cluster, &["agent", "--data-dir", &dir, ports[1], ports[2]]);
    refused(&agent, "start `oarlock server` with this --data-dir first");
    let wrong = ["--https-port=0", "--client-ca-file=/nowhere", "--goaway-chance=1"];
    let wrong = oarlock(cluster, &[&["server", "--data-dir", &dir], &wrong[..]].concat());
    refused(&wrong, "--client-ca-file: read /nowhere: No such file or directory");
    assert!(wrong.stderr.contains("--goaway-chance can not be"), "all are told: {}", wrong.stderr);
    assert!(
        !Path::new(&dir).join("store.redb").exists() && !Path::new(&dir).join("pki").exists(),
        "nothing half-started"
    );
    let socket = oarlock(cluster, &["image", "list", "--data-dir", &dir]);
    refused(&socket, "start `oarlock up` first");
}

fn configuration_file(cluster: &Cluster) {
    let file = cluster.scratch().join("settings.yaml");
    let path = file.display().to_string();
    let dir = cluster.scratch().join("third").display().to_string();
    let told = |text: &str| {
        std::fs::write(&file, text).expect("written");
        oarlock(cluster, &["server", "--config", &path])
    };
    refused(&told(&format!("data-dir: {dir}\nhttps-port: 6443\n")), "6443: Address already in use");
    let wrong = told("no-such-thing: 1\n");
    assert!(!wrong.ok && wrong.stderr.contains("no-such-thing"), "{wrong:?}");
    refused(&told("- a list\n"), "a configuration is a mapping of settings");
    let missing = oarlock(cluster, &["server", "--config", "/nowhere.yaml"]);
    refused(&missing, "read the configuration /nowhere.yaml");
}
