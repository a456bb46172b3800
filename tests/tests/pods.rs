//! What a pod's spec asks of the node, one cluster for all.

use std::time::Duration;

use oarlock_testkit::{Cluster, Output, eventually};

const PATIENCE: Duration = Duration::from_secs(90);
const PHASE: &str = "jsonpath={.status.phase}";
const STATE: &str = "jsonpath={.status.containerStatuses[0].state}";
const RESTARTS: &str = "jsonpath={.status.containerStatuses[0].restartCount}";

/// A pod of this name; `spec` is YAML in flow style, where IMG stands for the image.
fn create(cluster: &Cluster, name: &str, spec: &str) {
    let image = format!("image: {}, imagePullPolicy: Never", cluster.busybox());
    let spec = spec.replace("IMG", &image);
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, spec: {{terminationGracePeriodSeconds: 2, {spec}}}}}"
    ));
}

fn field(cluster: &Cluster, pod: &str, path: &str) -> String {
    cluster.kubectl(&["get", "pod", pod, "-o", path])
}

fn sh(cluster: &Cluster, pod: &str, script: &str) -> Output {
    cluster.try_kubectl(&["exec", pod, "--", "sh", "-c", script])
}

#[track_caller]
fn says(cluster: &Cluster, pod: &str, script: &str, want: &str) {
    let output = sh(cluster, pod, script);
    assert_eq!(output.stdout.trim(), want, "{script}: {}", output.stderr);
}

fn remove(cluster: &Cluster, pods: &[&str]) {
    cluster.kubectl(&[&["delete", "pod", "--now"], pods].concat());
}

#[test]
fn what_a_spec_asks_for() {
    let cluster = Cluster::with_busybox().expect("a cluster");
    liveness(&cluster);
    readiness_gates_endpoints(&cluster);
    startup_comes_first(&cluster);
    init_containers(&cluster);
    restart_policies(&cluster);
    termination(&cluster);
    volumes(&cluster);
    names_and_hosts(&cluster);
    users_and_powers(&cluster);
    limits(&cluster);
    debugging(&cluster);
    owners_and_finalizers(&cluster);
}

fn liveness(cluster: &Cluster) {
    let probes = [
        ("live-exec", "exec: {command: [test, -e, /tmp/alive]}"),
        ("live-http", "httpGet: {path: /alive, port: 8080}"),
        ("live-tcp", "tcpSocket: {port: 8080}"),
    ];
    for (name, probe) in probes {
        create(
            cluster,
            name,
            &format!(
                "containers: [{{name: main, IMG, command: [sh, -c, 'touch /tmp/alive /www/alive; httpd -p 8080 -h /www; exec sleep 3600'], \
             livenessProbe: {{{probe}, periodSeconds: 1, failureThreshold: 2}}}}]"
            ),
        );
    }
    for (name, _) in probes {
        cluster.wait_ready(name);
        assert_eq!(field(cluster, name, RESTARTS), "0");
    }
    for (name, _) in probes {
        sh(cluster, name, "rm /tmp/alive /www/alive; kill $(/bin/busybox pidof httpd)");
    }
    for (name, _) in probes {
        cluster.wait_for(&["get", "pod", name, "-o", RESTARTS], |count| count == "1");
        let events = [
            "get",
            "events",
            "--field-selector",
            &format!("involvedObject.name={name}"),
            "-o",
            "jsonpath={.items[*].message}",
        ];
        cluster.wait_for(&events, |text| {
            text.contains("Liveness probe failed")
                && text.contains("Container main failed liveness probe, will be restarted")
        });
    }
    remove(cluster, &probes.map(|(name, _)| name));
}

fn readiness_gates_endpoints(cluster: &Cluster) {
    create(
        cluster,
        "gated",
        "containers: [{name: main, IMG, command: [sleep, '3600'], ports: [{containerPort: 80}], \
         readinessProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}}]",
    );
    cluster.kubectl(&["expose", "pod", "gated", "--port=80"]);
    let ready = "jsonpath={.items[*].endpoints[*].conditions.ready}";
    let endpoints = ["get", "endpointslices", "-l", "kubernetes.io/service-name=gated", "-o", ready];
    cluster.wait_for(&["get", "pod", "gated", "-o", PHASE], |phase| phase == "Running");
    cluster.wait_for(&endpoints, |ready| ready == "false");
    assert!(sh(cluster, "gated", "touch /tmp/ready").ok);
    cluster.wait_ready("gated");
    cluster.wait_for(&endpoints, |ready| ready == "true");
    assert!(sh(cluster, "gated", "rm /tmp/ready").ok);
    cluster.wait_for(&endpoints, |ready| ready == "false");
    assert_eq!(field(cluster, "gated", RESTARTS), "0", "readiness restarts nothing");
    remove(cluster, &["gated"]);
    cluster.wait_for(&endpoints, str::is_empty);
}

fn startup_comes_first(cluster: &Cluster) {
    create(
        cluster,
        "slow",
        "containers: [{name: main, IMG, command: [sleep, '3600'], \
         startupProbe: {exec: {command: [cat, /tmp/started]}, periodSeconds: 1, failureThreshold: 100}, \
         livenessProbe: {exec: {command: [cat, /tmp/started]}, periodSeconds: 1, failureThreshold: 1}}]",
    );
    let started = "jsonpath={.status.containerStatuses[0].started} {.status.containerStatuses[0].ready}";
    cluster.wait_for(&["get", "pod", "slow", "-o", started], |text| text == "false false");
    eventually("exec", PATIENCE, || {
        let done = sh(cluster, "slow", "touch /tmp/started");
        if done.ok { Ok(()) } else { Err(done.stderr) }
    });
    cluster.wait_for(&["get", "pod", "slow", "-o", started], |text| text == "true true");
    assert_eq!(field(cluster, "slow", RESTARTS), "0", "liveness waited");
    remove(cluster, &["slow"]);
}

fn init_containers(cluster: &Cluster) {
    // The first one fails once; the sidecar runs before and beside the main container.
    create(
        cluster,
        "prepared",
        "volumes: [{name: work, emptyDir: {}}], initContainers: [\
         {name: first, IMG, command: [sh, -c, 'test -e /work/tried || { touch /work/tried; exit 1; }'], volumeMounts: [{name: work, mountPath: /work}]}, \
         {name: side, IMG, restartPolicy: Always, command: [sh, -c, 'touch /work/side; exec sleep 3600'], volumeMounts: [{name: work, mountPath: /work}], \
          startupProbe: {exec: {command: [test, -e, /work/side]}, periodSeconds: 1}}], \
         containers: [{name: main, IMG, command: [sh, -c, 'test -e /work/side && exec sleep 3600'], volumeMounts: [{name: work, mountPath: /work}]}]",
    );
    cluster.wait_ready("prepared");
    let first = "jsonpath={.status.initContainerStatuses[0].restartCount} {.status.initContainerStatuses[0].state.terminated.reason}";
    assert_eq!(field(cluster, "prepared", first), "1 Completed");
    let side = "jsonpath={.status.initContainerStatuses[1].started} {.status.initContainerStatuses[1].ready}";
    assert_eq!(field(cluster, "prepared", side), "true true");
    assert_eq!(field(cluster, "prepared", RESTARTS), "0");
    create(
        cluster,
        "doomed",
        "restartPolicy: Never, initContainers: [{name: first, IMG, command: ['false']}], \
         containers: [{name: main, IMG, command: ['true']}]",
    );
    cluster.wait_for(&["get", "pod", "doomed", "-o", PHASE], |phase| phase == "Failed");
    cluster.wait_for(&["get", "pod", "doomed"], |row| row.contains("Init:Error"));
    remove(cluster, &["prepared", "doomed"]);
}

fn restart_policies(cluster: &Cluster) {
    create(
        cluster,
        "never",
        "restartPolicy: Never, containers: [{name: main, IMG, command: [sh, -c, 'echo told > /dev/termination-log; exit 4']}]",
    );
    create(cluster, "done", "restartPolicy: OnFailure, containers: [{name: main, IMG, command: ['true']}]");
    create(
        cluster,
        "again",
        "restartPolicy: OnFailure, volumes: [{name: work, emptyDir: {}}], containers: [{name: main, IMG, \
         volumeMounts: [{name: work, mountPath: /work}], command: [sh, -c, 'test -e /work/tried || { touch /work/tried; exit 1; }']}]",
    );
    create(
        cluster,
        "spoke",
        "restartPolicy: Never, containers: [{name: main, IMG, terminationMessagePolicy: FallbackToLogsOnError, \
         command: [sh, -c, 'echo last words; exit 1']}]",
    );
    let terminated = |pod: &str, field: &str| {
        cluster.kubectl(&[
            "get",
            "pod",
            pod,
            "-o",
            &format!("jsonpath={{.status.containerStatuses[0].state.terminated.{field}}}"),
        ])
    };
    cluster.wait_for(&["get", "pod", "never", "-o", PHASE], |phase| phase == "Failed");
    assert_eq!(
        (terminated("never", "exitCode"), terminated("never", "reason")),
        ("4".into(), "Error".into())
    );
    assert_eq!(terminated("never", "message").trim(), "told");
    cluster.wait_for(&["get", "pod", "done", "-o", PHASE], |phase| phase == "Succeeded");
    assert_eq!(terminated("done", "reason"), "Completed");
    cluster.wait_for(&["get", "pod", "spoke", "-o", PHASE], |phase| phase == "Failed");
    assert_eq!(terminated("spoke", "message").trim(), "last words");
    cluster.wait_for(&["get", "pod", "again", "-o", PHASE], |phase| phase == "Succeeded");
    assert_eq!(field(cluster, "again", RESTARTS), "1");
    remove(cluster, &["never", "done", "again", "spoke"]);
}

fn termination(cluster: &Cluster) {
    // What the container does at its end is seen on the host.
    let seen = cluster.scratch().join("seen");
    std::fs::create_dir(&seen).expect("made");
    let host = format!("volumes: [{{name: seen, hostPath: {{path: {}, type: Directory}}}}]", seen.display());
    create(
        cluster,
        "polite",
        &format!(
            "{host}, containers: [{{name: main, IMG, volumeMounts: [{{name: seen, mountPath: /seen}}], \
         lifecycle: {{postStart: {{exec: {{command: [touch, /seen/began]}}}}, preStop: {{exec: {{command: [touch, /seen/stopping]}}}}}}, \
         command: [sh, -c, 'trap \"test -e /seen/stopping && touch /seen/term; exit 0\" TERM; while true; do sleep 0.1; done']}}]"
        ),
    );
    cluster.wait_ready("polite");
    assert!(seen.join("began").exists(), "ready after postStart");
    cluster.kubectl(&["delete", "pod", "polite", "--grace-period=30", "--timeout=20s"]);
    assert!(seen.join("stopping").exists() && seen.join("term").exists(), "preStop, then SIGTERM");
    // One that does not listen is killed when its time is over; --force takes the object away at once.
    let deaf =
        "containers: [{name: main, IMG, command: [sh, -c, 'trap \"\" TERM; while true; do sleep 1; done']}]";
    create(cluster, "deaf", deaf);
    cluster.wait_ready("deaf");
    cluster.kubectl(&["delete", "pod", "deaf", "--grace-period=1", "--timeout=30s"]);
    create(cluster, "deaf", deaf);
    cluster.wait_ready("deaf");
    cluster.kubectl(&["delete", "pod", "deaf", "--grace-period=0", "--force", "--timeout=30s"]);
    assert!(cluster.try_kubectl(&["get", "pod", "deaf"]).stderr.contains("not found"));
}

fn volumes(cluster: &Cluster) {
    let host = cluster.scratch().join("host");
    cluster.kubectl(&["create", "configmap", "mixed", "--from-literal=one=1"]);
    cluster.kubectl(&["create", "secret", "generic", "mixed", "--from-literal=two=2"]);
    create(
        cluster,
        "filled",
        &format!(
            "securityContext: {{fsGroup: 1234, supplementalGroups: [77]}}, volumes: [{{name: mem, emptyDir: {{medium: Memory, sizeLimit: 8Mi}}}}, \
         {{name: host, hostPath: {{path: {}, type: DirectoryOrCreate}}}}, {{name: all, projected: {{defaultMode: 288, sources: [\
         {{configMap: {{name: mixed, items: [{{key: one, path: a/one}}]}}}}, {{secret: {{name: mixed}}}}, \
         {{downwardAPI: {{items: [{{path: name, fieldRef: {{fieldPath: metadata.name}}}}]}}}}, \
         {{serviceAccountToken: {{path: token, audience: somebody, expirationSeconds: 600}}}}]}}}}], \
         containers: [{{name: main, IMG, command: [sleep, '3600'], env: [{{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}], \
         volumeMounts: [{{name: mem, mountPath: /mem}}, {{name: host, mountPath: /host, subPathExpr: $(POD)}}, \
         {{name: all, mountPath: /all, readOnly: true}}, {{name: all, mountPath: /single, subPath: a/one}}]}}]",
            host.display()
        ),
    );
    cluster.wait_ready("filled");
    says(cluster, "filled", "grep ' /mem ' /proc/mounts | head -c 5", "tmpfs");
    says(cluster, "filled", "stat -c %g /mem", "1234");
    says(cluster, "filled", "id -G", "0 77 1234");
    says(cluster, "filled", "cat /all/a/one /all/two /all/name /single", "12filled1");
    says(cluster, "filled", "stat -L -c %a /all/two", "440");
    says(cluster, "filled", "head -c 3 /all/token", "eyJ");
    assert!(!sh(cluster, "filled", "touch /all/x").ok, "read-only");
    assert!(sh(cluster, "filled", "echo from inside > /host/file").ok);
    assert_eq!(std::fs::read_to_string(host.join("filled/file")).expect("written"), "from inside\n");
    remove(cluster, &["filled"]);
    assert!(host.join("filled/file").exists(), "a host's directory stays");
}

fn names_and_hosts(cluster: &Cluster) {
    create(
        cluster,
        "named",
        "hostname: box, subdomain: inner, hostAliases: [{ip: 192.0.2.7, hostnames: [elsewhere.test]}], \
         dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.53], searches: [example.test], options: [{name: ndots, value: '2'}]}, \
         containers: [{name: main, IMG, command: [sleep, '3600']}]",
    );
    create(
        cluster,
        "onhost",
        "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet, containers: [{name: main, IMG, command: [sleep, '3600']}]",
    );
    create(
        cluster,
        "forwarded",
        "containers: [{name: main, IMG, command: [sh, -c, 'echo by-port > /www/index.html; exec httpd -f -p 80 -h /www'], \
         ports: [{containerPort: 80, hostPort: 18080}]}]",
    );
    for pod in ["named", "onhost", "forwarded"] {
        cluster.wait_ready(pod);
    }
    says(cluster, "named", "hostname", "box");
    says(cluster, "named", "grep -c 192.0.2.7 /etc/hosts", "1");
    says(cluster, "named", "grep -c box.inner.default.svc.cluster.local /etc/hosts", "1");
    says(
        cluster,
        "named",
        "cat /etc/resolv.conf",
        "search example.test\nnameserver 192.0.2.53\noptions ndots:2",
    );
    assert_eq!(field(cluster, "onhost", "jsonpath={.status.podIP}"), cluster.node_ip().to_string());
    says(cluster, "onhost", "grep -c 10.96.0.10 /etc/resolv.conf", "1");
    let page = eventually("hostPort", PATIENCE, || {
        let output = cluster
            .on_node("curl", &["-s", "--noproxy", "*", &format!("http://{}:18080/", cluster.node_ip())]);
        if output.ok { Ok(output.stdout) } else { Err(output.stderr) }
    });
    assert_eq!(page, "by-port\n");
    remove(cluster, &["named", "onhost", "forwarded"]);
}

fn users_and_powers(cluster: &Cluster) {
    create(
        cluster,
        "mighty",
        "shareProcessNamespace: true, containers: [\
         {name: main, IMG, command: [sleep, '3600'], securityContext: {privileged: true}}, \
         {name: weak, IMG, command: [sleep, '3600'], securityContext: {runAsUser: 1000, runAsGroup: 2000, allowPrivilegeEscalation: false, \
          capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}}]",
    );
    create(
        cluster,
        "rooted",
        "containers: [{name: main, IMG, command: [sleep, '3600'], securityContext: {runAsNonRoot: true}}]",
    );
    cluster.wait_ready("mighty");
    let weak = |script: &str| cluster.kubectl(&["exec", "mighty", "-c", "weak", "--", "sh", "-c", script]);
    assert_eq!(weak("id -u; id -g").split_whitespace().collect::<Vec<_>>(), ["1000", "2000"]);
    assert_eq!(
        weak("grep -E 'CapBnd|NoNewPrivs' /proc/self/status").split_whitespace().collect::<Vec<_>>(),
        ["CapBnd:", "0000000000000400", "NoNewPrivs:", "1"]
    );
    assert!(weak("ps").contains("sleep 3600"), "one PID namespace");
    says(cluster, "mighty", "test -e /dev/fuse -o -e /dev/kmsg && echo devices", "devices");
    let reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}";
    let told = cluster.wait_for(&["get", "pod", "rooted", "-o", reason], |text| {
        text.len() > 2 && !text.starts_with("ContainerCreating")
    });
    assert!(
        told.starts_with("CreateContainerConfigError: container has runAsNonRoot and image will run as root"),
        "{told}"
    );
    remove(cluster, &["mighty", "rooted"]);
}

fn limits(cluster: &Cluster) {
    create(
        cluster,
        "bounded",
        "containers: [{name: main, IMG, command: [sleep, '3600'], resources: {requests: {cpu: 100m}, limits: {cpu: 500m, memory: 32Mi}}}]",
    );
    create(
        cluster,
        "greedy",
        "restartPolicy: Never, containers: [{name: main, IMG, resources: {limits: {memory: 16Mi}}, \
         command: [sh, -c, 'tail /dev/zero']}]",
    );
    cluster.wait_ready("bounded");
    assert_eq!(field(cluster, "bounded", "jsonpath={.status.qosClass}"), "Burstable");
    let read = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    says(cluster, "bounded", read, "33554432");
    cluster.wait_for(&["get", "pod", "greedy", "-o", PHASE], |phase| phase == "Failed");
    let told = field(cluster, "greedy", STATE);
    assert!(told.contains("\"exitCode\":137") && told.contains("\"reason\":\"OOMKilled\""), "{told}");
    remove(cluster, &["bounded", "greedy"]);
}

fn debugging(cluster: &Cluster) {
    create(cluster, "patient", "containers: [{name: main, IMG, command: [sleep, '3600']}]");
    cluster.wait_ready("patient");
    let args = [
        "debug",
        "patient",
        "--image",
        cluster.busybox(),
        "--image-pull-policy=Never",
        "-c",
        "doctor",
        "--target=main",
    ];
    cluster.kubectl(&[&args[..], &["--", "sh", "-c", "ps; echo looked"]].concat());
    let state = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
    cluster.wait_for(&["get", "pod", "patient", "-o", state], |code| code == "0");
    let told = cluster.kubectl(&["logs", "patient", "-c", "doctor"]);
    assert!(told.contains("sleep 3600") && told.contains("looked"), "{told}");
    remove(cluster, &["patient"]);
}

fn owners_and_finalizers(cluster: &Cluster) {
    cluster.kubectl(&["create", "configmap", "owner"]);
    let uid = cluster.kubectl(&["get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}"]);
    for name in ["owned-1", "owned-2"] {
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, \
             uid: {uid}, blockOwnerDeletion: true}}]}}}}"
        ));
    }
    cluster.kubectl(&[
        "patch",
        "configmap",
        "owned-1",
        "-p",
        r#"{"metadata":{"finalizers":["test.example/hold"]}}"#,
    ]);
    cluster.kubectl(&["delete", "configmap", "owner", "--cascade=foreground", "--wait=false"]);
    eventually("the free one is gone", PATIENCE, || {
        let found = cluster.try_kubectl(&["get", "configmap", "owned-2"]);
        if found.stderr.contains("NotFound") { Ok(()) } else { Err(found.stdout) }
    });
    let held = cluster.kubectl(&[
        "get",
        "configmap",
        "owned-1",
        "owner",
        "-o",
        "jsonpath={.items[*].metadata.deletionTimestamp}",
    ]);
    assert_eq!(held.split(' ').count(), 2, "both wait for the finalizer");
    cluster.kubectl(&[
        "patch",
        "configmap",
        "owned-1",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    cluster.wait_for(&["get", "configmaps", "-o", "name"], |names| !names.contains("own"));
}
