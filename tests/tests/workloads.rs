//! Pods, Deployments and Services of one cluster, driven with kubectl.

use std::time::Duration;

use oarlock_testkit::{Cluster, Output, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

fn web(cluster: &Cluster, name: &str, replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {image}
        imagePullPolicy: Never
        command: [sh, -c, "hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /index.html, port: http}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: NodePort
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"#,
        image = cluster.busybox()
    )
}

fn sleeper(cluster: &Cluster, name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
         - {{name: main, image: {}, imagePullPolicy: Never, command: [sleep, '3600']}}\n",
        cluster.busybox()
    )
}

/// One cluster for the whole walk: what a person does in a first hour.
#[test]
fn a_first_hour() {
    let cluster = Cluster::with_busybox().expect("a cluster");
    kubectl_basics(&cluster);
    logs_exec_and_copies(&cluster);
    services_by_address_port_and_name(&cluster);
    port_forward(&cluster);
    rollout_and_undo(&cluster);
    failures_are_told(&cluster);
    configuration_reaches_containers(&cluster);
    bad_input(&cluster);
    quotas_are_counted(&cluster);
    replication_controllers_and_budgets(&cluster);
    storage_goes_when_nobody_uses_it(&cluster);
    namespaces_go_with_all_they_hold(&cluster);
}

fn kubectl_basics(cluster: &Cluster) {
    assert!(cluster.kubectl(&["get", "nodes"]).contains("Ready"));
    cluster.kubectl(&["create", "configmap", "settings", "--from-literal=colour=blue"]);
    let colour = ["get", "configmap", "settings", "-o", "jsonpath={.data.colour}"];
    assert_eq!(cluster.kubectl(&colour), "blue");
    cluster.kubectl(&["patch", "configmap", "settings", "-p", r#"{"data":{"colour":"red"}}"#]);
    assert_eq!(cluster.kubectl(&colour), "red");
    cluster.kubectl(&["delete", "configmap", "settings"]);
    let gone = cluster.try_kubectl(&["get", "configmap", "settings"]);
    assert_eq!(gone.stderr.trim(), r#"Error from server (NotFound): configmaps "settings" not found"#);
}

fn logs_exec_and_copies(cluster: &Cluster) {
    let talker = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: talker}}\nspec:\n  restartPolicy: Never\n  containers:\n  - {{name: main, \
         image: {}, imagePullPolicy: Never, command: [sh, -c, 'echo one; echo two >&2; sleep 1; echo three']}}\n",
        cluster.busybox()
    );
    cluster.apply(&talker);
    let phase = ["get", "pod", "talker", "-o", "jsonpath={.status.phase}"];
    cluster.wait_for(&phase, |phase| phase == "Running" || phase == "Succeeded");
    let mut followed: Vec<String> =
        cluster.kubectl(&["logs", "-f", "talker"]).lines().map(str::to_string).collect();
    followed.sort();
    assert_eq!(followed, ["one", "three", "two"]);
    cluster.wait_for(&phase, |phase| phase == "Succeeded");
    cluster.apply(&sleeper(cluster, "box"));
    cluster.wait_ready("box");
    assert_eq!(cluster.kubectl(&["exec", "box", "--", "echo", "hello"]), "hello\n");
    let failed = cluster.try_kubectl(&["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(7), "out\n"));
    assert!(failed.stderr.starts_with("err\n"), "{}", failed.stderr);
    let piped = cluster.kubectl_with_input(&["exec", "-i", "box", "--", "cat"], "through and back");
    assert_eq!(piped.stdout, "through and back");
    let file = cluster.scratch().join("there.txt");
    let back = cluster.scratch().join("back.txt");
    std::fs::write(&file, "a file".repeat(10_000)).expect("written");
    cluster.kubectl(&["cp", &file.display().to_string(), "box:/tmp/there.txt"]);
    cluster.kubectl(&["cp", "box:/tmp/there.txt", &back.display().to_string()]);
    assert_eq!(std::fs::read(&file).expect("read"), std::fs::read(&back).expect("read"));
}

/// A script that prints the last line of what a web server answers. (Debian's static busybox has a wget that crashes.)
fn get(host: &str, port: &str) -> String {
    format!("printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc -w 5 {host} {port} | tail -n 1")
}

/// Waits until the web page comes: the name of one of its pods.
#[track_caller]
fn page(what: &str, fetch: impl Fn() -> Output) -> String {
    eventually(what, PATIENCE, || {
        let output = fetch();
        if output.stdout.starts_with("web-") {
            Ok(output.stdout)
        } else {
            Err(output.stdout + &output.stderr)
        }
    })
}

fn services_by_address_port_and_name(cluster: &Cluster) {
    cluster.apply(&web(cluster, "web", 2));
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let address = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    let port = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    let from_pod =
        |host: &str, port: &str| cluster.try_kubectl(&["exec", "box", "--", "sh", "-c", &get(host, port)]);
    let node_ip = cluster.node_ip().to_string();
    let places = [
        (address.as_str(), "80"),
        ("web", "80"),
        ("web.default.svc.cluster.local", "80"),
        (node_ip.as_str(), port.as_str()),
    ];
    for (host, port) in places {
        page(&format!("{host}:{port}"), || from_pod(host, port));
    }
    for (host, port) in [places[0], places[3]] {
        page(&format!("{host}:{port} from the node"), || cluster.on_node("sh", &["-c", &get(host, port)]));
    }
    // A Service with nothing behind it refuses at once.
    cluster.apply("apiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {selector: {app: none}, ports: [{port: 80}]}\n");
    eventually("a refusal", PATIENCE, || {
        let told = from_pod("empty", "80").stderr;
        if told.contains("Connection refused") { Ok(()) } else { Err(told) }
    });
    // A pod reaches itself through its own Service.
    cluster.kubectl(&["scale", "deployment/web", "--replicas=1"]);
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let own = cluster
        .wait_for(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"], |names| {
            !names.is_empty() && !names.contains(' ')
        });
    let hairpin = cluster.kubectl(&["exec", &own, "--", "sh", "-c", &get("web", "80")]);
    assert_eq!(hairpin.trim(), own);
}

fn port_forward(cluster: &Cluster) {
    let mut forward = cluster
        .kubectl_command(&["port-forward", "service/web", "18080:80"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("kubectl starts");
    page("port-forward", || cluster.on_node("sh", &["-c", &get("127.0.0.1", "18080")]));
    forward.kill().expect("it runs");
    forward.wait().expect("it ends");
}

fn rollout_and_undo(cluster: &Cluster) {
    let set = |value: &str| cluster.kubectl(&["set", "env", "deployment/web", &format!("COLOUR={value}")]);
    let status = || cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let colour =
        ["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].value}"];
    set("blue");
    assert!(status().contains("successfully rolled out"));
    set("red");
    status();
    assert_eq!(cluster.kubectl(&colour), "red");
    cluster.kubectl(&["rollout", "undo", "deployment/web"]);
    status();
    assert_eq!(cluster.kubectl(&colour), "blue");
    assert!(cluster.kubectl(&["rollout", "history", "deployment/web"]).lines().count() >= 4);
    cluster.kubectl(&["rollout", "pause", "deployment/web"]);
    set("green");
    let updated =
        ["get", "deployment", "web", "-o", "jsonpath={.status.observedGeneration} {.metadata.generation}"];
    cluster.wait_for(&updated, |text| text.split_once(' ').is_some_and(|(seen, is)| seen == is));
    assert_eq!(
        cluster.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.status.updatedReplicas}"]),
        ""
    );
    cluster.kubectl(&["rollout", "resume", "deployment/web"]);
    status();
}

fn failures_are_told(cluster: &Cluster) {
    let pod = |name: &str, rest: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{rest}\n")
    };
    let image = cluster.busybox();
    cluster.apply(&pod(
        "picky",
        &format!("  nodeSelector: {{disk: gold}}\n  containers: [{{name: main, image: {image}}}]"),
    ));
    let events = [
        "get",
        "events",
        "--field-selector",
        "involvedObject.name=picky",
        "-o",
        "jsonpath={.items[*].message}",
    ];
    cluster.wait_for(&events, |text| {
        text.contains("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
    });
    cluster.kubectl(&["label", "node", "node-1", "disk=gold"]);
    cluster.wait_for(&["get", "pod", "picky", "-o", "jsonpath={.spec.nodeName}"], |node| node == "node-1");
    cluster.apply(&pod("crash", &format!(
        "  containers: [{{name: main, image: {image}, imagePullPolicy: Never, command: [sh, -c, 'exit 3']}}]"
    )));
    let waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    cluster.wait_for(&["get", "pod", "crash", "-o", waiting], |reason| reason == "CrashLoopBackOff");
    let code = "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}";
    assert_eq!(cluster.kubectl(&["get", "pod", "crash", "-o", code]), "3");
    cluster.apply(&pod(
        "absent",
        "  containers: [{name: main, image: 'localhost/nothing:1', imagePullPolicy: Never}]",
    ));
    cluster.wait_for(&["get", "pod", "absent", "-o", waiting], |reason| reason == "ErrImageNeverPull");
    cluster.kubectl(&["delete", "pod", "picky", "crash", "absent", "--now"]);
}

fn configuration_reaches_containers(cluster: &Cluster) {
    cluster.kubectl(&["create", "configmap", "conf", "--from-literal=a=1", "--from-literal=b=2"]);
    cluster.kubectl(&["create", "secret", "generic", "hidden", "--from-literal=key=value"]);
    cluster.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: configured, labels: {{tier: test}}}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {{name: first, image: {image}, imagePullPolicy: Never, command: [sh, -c, "echo made > /shared/file"], volumeMounts: [{{name: shared, mountPath: /shared}}]}}
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    command: [sleep, "3600"]
    env:
    - {{name: A, valueFrom: {{configMapKeyRef: {{name: conf, key: a}}}}}}
    - {{name: K, valueFrom: {{secretKeyRef: {{name: hidden, key: key}}}}}}
    - {{name: IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
    - {{name: MEM, valueFrom: {{resourceFieldRef: {{resource: limits.memory}}}}}}
    - {{name: BOTH, value: "$(A)-$(K)"}}
    envFrom: [{{configMapRef: {{name: conf}}, prefix: C_}}]
    resources: {{limits: {{memory: 64Mi, cpu: 500m}}}}
    securityContext: {{runAsUser: 65534, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
    volumeMounts:
    - {{name: shared, mountPath: /shared}}
    - {{name: conf, mountPath: /conf}}
    - {{name: hidden, mountPath: /hidden}}
    - {{name: labels, mountPath: /labels}}
  volumes:
  - {{name: shared, emptyDir: {{}}}}
  - {{name: conf, configMap: {{name: conf}}}}
  - {{name: hidden, secret: {{secretName: hidden}}}}
  - {{name: labels, downwardAPI: {{items: [{{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}]}}}}
"#,
        image = cluster.busybox()
    ));
    cluster.wait_ready("configured");
    let run = |script: &str| cluster.try_kubectl(&["exec", "configured", "--", "sh", "-c", script]);
    let ip = cluster.kubectl(&["get", "pod", "configured", "-o", "jsonpath={.status.podIP}"]);
    assert_eq!(
        run("echo $A $K $IP $MEM $BOTH $C_b").stdout.trim(),
        format!("1 value {ip} 67108864 1-value 2")
    );
    assert_eq!(run("cat /shared/file /conf/b /hidden/key").stdout, "made\n2value");
    assert_eq!(run("cat /labels/labels").stdout.trim(), "tier=\"test\"");
    assert_eq!(run("id -u").stdout.trim(), "65534");
    assert!(!run("touch /new").ok, "the root file system is read-only");
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert_eq!(run(&format!("cat {account}/namespace")).stdout, "default");
    assert_eq!(run(&format!("head -c 3 {account}/token")).stdout, "eyJ");
    cluster.kubectl(&["patch", "configmap", "conf", "-p", r#"{"data":{"b":"3"}}"#]);
    eventually("the changed file", PATIENCE, || {
        let text = run("cat /conf/b").stdout;
        if text == "3" { Ok(()) } else { Err(text) }
    });
    cluster.kubectl(&["delete", "pod", "configured", "--wait"]);
}

fn bad_input(cluster: &Cluster) {
    let told =
        |input: &str| cluster.kubectl_with_input(&["create", "--validate=false", "-f", "-"], input).stderr;
    let strict = |input: &str| cluster.kubectl_with_input(&["create", "-f", "-"], input).stderr;
    assert!(
        strict("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndat: {a: b}\n")
            .contains("unknown field \"dat\"")
    );
    assert!(
        told("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\n").contains(
            "The ConfigMap \"Not_A_Name\" is invalid: metadata.name: Invalid value: \"Not_A_Name\": a lowercase RFC 1123 subdomain"
        )
    );
    assert!(
        told("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {}\n")
            .contains("spec.containers: Required value")
    );
    assert!(
        told("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: [1]}\n").contains("cannot")
    );
    let raw = cluster.try_kubectl(&["get", "--raw", "/api/v1/nonsense"]);
    assert_eq!(
        raw.stderr.trim(),
        "Error from server (NotFound): the server could not find the requested resource"
    );
    cluster.kubectl(&["create", "configmap", "raced"]);
    let old = cluster.kubectl(&["get", "configmap", "raced", "-o", "yaml"]);
    cluster.kubectl(&["label", "configmap", "raced", "touched=yes"]);
    let conflict = cluster.kubectl_with_input(&["replace", "-f", "-"], &old).stderr;
    assert!(
        conflict
            .contains("Operation cannot be fulfilled on configmaps \"raced\": the object has been modified"),
        "{conflict}"
    );
}

fn quotas_are_counted(cluster: &Cluster) {
    cluster.kubectl(&["create", "namespace", "small"]);
    let hard = "--hard=pods=1,requests.memory=1Gi,services.nodeports=1,count/boats.water.example.com=1";
    cluster.kubectl(&["-n", "small", "create", "quota", "few", hard]);
    let used = |name: &str, wanted: &str| {
        let path = format!("jsonpath={{.status.used.{}}}", name.replace('.', "\\."));
        cluster.wait_for(&["-n", "small", "get", "quota", "few", "-o", &path], |used| used == wanted);
    };
    used("pods", "0");
    let pod = |name: &str| {
        let requests = "resources: {requests: {memory: 16Mi}}, command: [sleep";
        let pod = sleeper(cluster, name).replace("command: [sleep", requests);
        pod.replace("metadata: {", "metadata: {namespace: small, ")
    };
    cluster.apply(&pod("one"));
    used("pods", "1");
    used("requests.memory", "16Mi");
    let refused = cluster.kubectl_with_input(&["apply", "-f", "-"], &pod("two"));
    let why =
        "pods \"two\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1";
    assert!(!refused.ok && refused.stderr.contains(why), "{refused:?}");
    cluster.kubectl(&["-n", "small", "delete", "pod", "one", "--now"]);
    used("pods", "0");
    used("requests.memory", "0");

    let service = ["-n", "small", "create", "service", "nodeport", "a", "--tcp=80"];
    cluster.kubectl(&service);
    used("services.nodeports", "1");
    cluster.kubectl(&["-n", "small", "patch", "service", "a", "-p", r#"{"spec":{"type":"ClusterIP"}}"#]);
    used("services.nodeports", "0");

    // A resource that is not there when the quota is made.
    cluster.apply(
        "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: boats.water.example.com}, \
         spec: {group: water.example.com, scope: Namespaced, names: {plural: boats, kind: Boat}, versions: [{name: v1, \
         served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}",
    );
    used("count/boats.water.example.com", "0");
    let boat = |name: &str| {
        format!(
            "{{apiVersion: water.example.com/v1, kind: Boat, metadata: {{namespace: small, name: {name}}}}}"
        )
    };
    cluster.apply(&boat("a"));
    let refused = cluster.kubectl_with_input(&["apply", "-f", "-"], &boat("b"));
    assert!(!refused.ok && refused.stderr.contains("exceeded quota: few"), "{refused:?}");
    cluster.kubectl(&["-n", "small", "delete", "boat", "a"]);
    used("count/boats.water.example.com", "0");
    cluster.kubectl(&["delete", "crd", "boats.water.example.com"]);
    cluster.kubectl(&["delete", "namespace", "small"]);
}

fn replication_controllers_and_budgets(cluster: &Cluster) {
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: ReplicationController, metadata: {{name: old}}, spec: {{replicas: 2, selector: {{app: old}}, \
         template: {{metadata: {{labels: {{app: old}}}}, spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: main, \
         image: {}, imagePullPolicy: Never, command: [sleep, '3600']}}]}}}}}}}}",
        cluster.busybox()
    ));
    let ready = |wanted: &'static str| {
        let status = "jsonpath={.status.readyReplicas}/{.status.replicas}";
        cluster.wait_for(&["get", "rc", "old", "-o", status], move |status| status == wanted);
    };
    ready("2/2");
    cluster.kubectl(&["create", "pdb", "old", "--selector=app=old", "--max-unavailable=0"]);
    let allowed = |wanted: &'static str| {
        let condition = ".status.conditions[?(@.type=='DisruptionAllowed')].reason";
        let status =
            format!("jsonpath={{.status.disruptionsAllowed}} {{{condition}}} {{.status.expectedPods}}");
        cluster.wait_for(&["get", "pdb", "old", "-o", &status], move |status| status == wanted);
    };
    allowed("0 InsufficientPods 2");
    let pod = cluster.kubectl(&["get", "pods", "-l", "app=old", "-o", "jsonpath={.items[0].metadata.name}"]);
    let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
    let eviction = format!(r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}"}}}}"#);
    let evict = || cluster.kubectl_with_input(&["create", "--raw", &path, "-f", "-"], &eviction);
    let refused = evict();
    let why = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert!(!refused.ok && refused.stderr.contains(why), "{refused:?}");
    cluster.kubectl(&["patch", "pdb", "old", "-p", r#"{"spec":{"maxUnavailable":"50%"}}"#]);
    allowed("1 SufficientPods 2");
    let evicted = evict();
    assert!(evicted.ok, "{evicted:?}");
    cluster.wait_for(&["get", "pods", "-o", "name"], |pods| !pods.contains(&pod));
    ready("2/2");
    allowed("1 SufficientPods 2");
    cluster.kubectl(&["scale", "rc", "old", "--replicas=1"]);
    ready("1/1");
    cluster.kubectl(&["delete", "pdb/old", "rc/old"]);
    cluster.wait_for(&["get", "pods", "-l", "app=old", "-o", "name"], str::is_empty);
}

fn storage_goes_when_nobody_uses_it(cluster: &Cluster) {
    let claim = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, spec: {{accessModes: [ReadWriteOnce], \
             storageClassName: none, resources: {{requests: {{storage: 1Mi}}}}}}}}"
        )
    };
    cluster.apply(&claim("used"));
    cluster.apply(&claim("free"));
    // On a node that never was: it is enough that it has one.
    cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: user}, spec: {nodeName: nowhere, containers: [{name: main, image: none}], \
         volumes: [{name: data, persistentVolumeClaim: {claimName: used}}]}}",
    );
    let finalizers = ["get", "pvc", "used", "-o", "jsonpath={.metadata.finalizers}"];
    cluster.wait_for(&finalizers, |held| held == r#"["kubernetes.io/pvc-protection"]"#);
    cluster.kubectl(&["delete", "pvc", "used", "--wait=false"]);
    cluster.kubectl(&["delete", "pvc", "free", "--timeout=20s"]);
    assert_eq!(cluster.kubectl(&finalizers), r#"["kubernetes.io/pvc-protection"]"#, "its pod is there still");
    cluster.kubectl(&["delete", "pod", "user", "--grace-period=0", "--force"]);
    cluster.wait_for(&["get", "pvc", "-o", "name"], str::is_empty);
    cluster.apply(
        "{apiVersion: v1, kind: PersistentVolume, metadata: {name: disk}, spec: {accessModes: [ReadWriteOnce], capacity: \
         {storage: 1Mi}, hostPath: {path: /tmp}}}",
    );
    cluster.apply(
        "{apiVersion: storage.k8s.io/v1, kind: VolumeAttributesClass, metadata: {name: quick}, driverName: none.test, \
         parameters: {iops: '5'}}",
    );
    for (what, finalizer) in [("pv/disk", "pv-protection"), ("volumeattributesclass/quick", "vac-protection")]
    {
        let held = cluster.kubectl(&["get", what, "-o", "jsonpath={.metadata.finalizers}"]);
        assert_eq!(held, format!("[\"kubernetes.io/{finalizer}\"]"));
        cluster.kubectl(&["delete", what, "--timeout=20s"]);
    }
}

fn namespaces_go_with_all_they_hold(cluster: &Cluster) {
    cluster.kubectl(&["create", "namespace", "brief"]);
    cluster.kubectl_with_input(&["apply", "-n", "brief", "-f", "-"], &web(cluster, "inner", 1));
    cluster.kubectl(&["rollout", "status", "-n", "brief", "deployment/inner", "--timeout=60s"]);
    cluster.kubectl(&["delete", "namespace", "brief", "--timeout=60s"]);
    assert!(!cluster.kubectl(&["get", "pods", "-A", "-o", "name"]).contains("inner"));
}
