//! Whole objects through validation: what upstream accepts, and what it says of the rest.

use jiff::Timestamp;
use oarlock_api::{GroupVersionKind, Table};
use serde_json::{Value, json};

use crate::{Context, strategy_for};

fn context(subresource: &'static str) -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, user: "alice", namespace: "default", subresource }
}

/// The object as the registry hands it to validation.
fn defaulted(mut object: Value) -> Value {
    let gvk = oarlock_api::meta::gvk(&object);
    oarlock_api::defaults::apply_defaults(&gvk, &mut object);
    object
}

fn resource_of(object: &Value) -> oarlock_api::GroupResource {
    let gvk: GroupVersionKind = oarlock_api::meta::gvk(object);
    Table::builtin().resource_of_kind(&gvk).expect("a resource").group_resource()
}

fn created(object: Value) -> (Value, Vec<String>) {
    let mut object = defaulted(object);
    let strategy = strategy_for(&resource_of(&object));
    strategy.prepare_for_create(&context(""), &mut object);
    let errors = strategy.validate_create(&context(""), &object);
    (object, crate::check::told(&errors))
}

fn check(name: &str, object: Value, want: &[&str]) {
    let (_, got) = created(object);
    assert_eq!(got.len(), want.len(), "{name}: {got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{name}: {got}\n  does not start with {want}");
    }
}

fn check_update(name: &str, old: Value, change: impl FnOnce(&mut Value), want: &[&str]) {
    let (old, faults) = created(old);
    assert!(faults.is_empty(), "{name}: {faults:?}");
    let mut new = old.clone();
    change(&mut new);
    let strategy = strategy_for(&resource_of(&old));
    strategy.prepare_for_update(&context(""), &mut new, &old);
    let got = crate::check::told(&strategy.validate_update(&context(""), &new, &old));
    assert_eq!(got.len(), want.len(), "{name}: {got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{name}: {got}\n  does not start with {want}");
    }
}

fn named(api_version: &str, kind: &str, rest: Value) -> Value {
    let mut object =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}});
    for (field, value) in rest.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
    object
}

fn pod(spec: Value) -> Value {
    named("v1", "Pod", json!({"spec": spec}))
}

fn container(rest: Value) -> Value {
    let mut container = json!({"name": "a", "image": "i"});
    for (field, value) in rest.as_object().into_iter().flatten() {
        container[field] = value.clone();
    }
    json!({"containers": [container]})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}})
}

fn workload(kind: &str, rest: Value) -> Value {
    let mut object = named(
        "apps/v1",
        kind,
        json!({
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template()},
        }),
    );
    for (field, value) in rest.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

#[test]
fn bootstrap_objects_are_valid() {
    for (name, list) in oarlock_api::table::bootstrap_objects() {
        for object in list.as_array().into_iter().flatten().filter(|o| o["kind"].is_string()) {
            let (_, faults) = created(object.clone());
            assert!(faults.is_empty(), "{name} {}: {faults:?}", object["metadata"]["name"]);
        }
    }
}

#[test]
fn pods_are_told_what_is_wrong() {
    check("plain", pod(container(json!({}))), &[]);
    check("empty", pod(json!({})), &["spec.containers: Required value"]);
    check(
        "no image",
        pod(json!({"containers": [{"name": "a"}]})),
        &["spec.containers[0].image: Required value"],
    );
    check(
        "name",
        pod(json!({"containers": [{"name": "A", "image": "i"}]})),
        &["spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of"],
    );
    check(
        "twice",
        pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]})),
        &["spec.containers[1].name: Duplicate value: \"a\""],
    );
    check(
        "port",
        pod(container(json!({"ports": [{"containerPort": 70000}]}))),
        &[
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    );
    check(
        "mount",
        pod(container(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))),
        &["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
    );
    check(
        "requests over limits",
        pod(container(json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}))),
        &[
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ],
    );
    check(
        "probe",
        pod(container(json!({"livenessProbe": {}}))),
        &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
    );
    check(
        "policy",
        pod(json!({"restartPolicy": "Sometimes", "containers": [{"name": "a", "image": "i"}]})),
        &[
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ],
    );
    check(
        "full",
        pod(json!({
            "serviceAccountName": "default", "nodeSelector": {"a": "b"}, "hostNetwork": true,
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "initContainers": [{"name": "i", "image": "i"}, {"name": "s", "image": "i", "restartPolicy": "Always"}],
            "volumes": [
                {"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}},
                {"name": "t", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                ]}},
            ],
            "containers": [{
                "name": "a", "image": "i", "ports": [{"containerPort": 80, "name": "http"}],
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "volumeMounts": [{"name": "t", "mountPath": "/var/run/secrets", "readOnly": true}],
                "readinessProbe": {"httpGet": {"port": "http"}},
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}},
            }],
        })),
        &[],
    );
}

#[test]
fn pods_change_little() {
    check_update(
        "image",
        pod(container(json!({}))),
        |p| p["spec"]["containers"][0]["image"] = "j".into(),
        &[],
    );
    check_update(
        "command",
        pod(container(json!({}))),
        |p| p["spec"]["containers"][0]["command"] = json!(["x"]),
        &[
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.init",
        ],
    );
    check_update(
        "toleration",
        pod(container(json!({}))),
        |p| p["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists"}]),
        &[],
    );
}

#[test]
fn workloads_hold_their_selector() {
    for kind in ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"] {
        check(kind, workload(kind, json!({})), &[]);
        check(
            kind,
            workload(kind, json!({"selector": {"matchLabels": {"app": "y"}}})),
            &[
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
            ],
        );
    }
    check(
        "rolling",
        workload("Deployment", json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}})),
        &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    );
    check_update(
        "selector",
        workload("Deployment", json!({})),
        |d| {
            d["spec"]["selector"] = json!({"matchLabels": {"app": "y"}});
            d["spec"]["template"]["metadata"]["labels"] = json!({"app": "y"});
        },
        &["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"y\"}}: field is immutable"],
    );
}

#[test]
fn the_rest_is_told_too() {
    let job = named(
        "batch/v1",
        "Job",
        json!({"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}],
        }}}}),
    );
    let mut with_uid = job.clone();
    with_uid["metadata"]["uid"] = "u".into();
    check("job", with_uid.clone(), &[]);
    with_uid["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
    check(
        "job",
        with_uid,
        &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
    );
    let cron = named(
        "batch/v1",
        "CronJob",
        json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job["spec"]}}}),
    );
    check("cron", cron, &[]);
    check("service", named("v1", "Service", json!({"spec": {"ports": [{"port": 80}]}})), &[]);
    check("service", named("v1", "Service", json!({"spec": {}})), &["spec.ports: Required value"]);
    check(
        "config map",
        named("v1", "ConfigMap", json!({"data": {"a/b": "x"}})),
        &["data[a/b]: Invalid value: \"a/b\": a valid config key must consist of"],
    );
    check_update(
        "secret",
        named("v1", "Secret", json!({})),
        |s| s["type"] = "x".into(),
        &["type: Invalid value: \"x\": field is immutable"],
    );
    let binding = named(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        json!({
            "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}],
        }),
    );
    check_update(
        "binding",
        binding,
        |b| b["roleRef"]["name"] = "s".into(),
        &[
            "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"s\"}: cannot change roleRef",
        ],
    );
    check(
        "claim",
        named(
            "v1",
            "PersistentVolumeClaim",
            json!({"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}),
        ),
        &[],
    );
    check(
        "slice",
        named(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({
                "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}],
            }),
        ),
        &[],
    );
    check(
        "lease",
        named("coordination.k8s.io/v1", "Lease", json!({"spec": {"leaseDurationSeconds": 0}})),
        &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    );
    check(
        "policy",
        named(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {
                "podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
            }}),
        ),
        &[],
    );
    check(
        "ingress",
        named(
            "networking.k8s.io/v1",
            "Ingress",
            json!({"spec": {"rules": [{"http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}},
            ]}}]}}),
        ),
        &[],
    );
}

#[test]
fn pods_go_with_grace_where_they_run() {
    use crate::GracefulDelete::{Grace, Immediate};
    let strategy = strategy_for(&oarlock_api::GroupResource::new("", "pods"));
    let running = json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
    let mut done = running.clone();
    done["status"]["phase"] = "Succeeded".into();
    let waiting = json!({"spec": {"terminationGracePeriodSeconds": 30}});
    for (pod, grace, want) in [
        (&running, None, Grace { seconds: 30 }),
        (&running, Some(5), Grace { seconds: 5 }),
        (&running, Some(0), Immediate),
        (&running, Some(-1), Grace { seconds: 1 }),
        (&done, None, Immediate),
        (&waiting, Some(5), Immediate),
    ] {
        assert_eq!(strategy.graceful_delete(pod, grace), want, "{pod} {grace:?}");
    }
}

fn check_cells(name: &str, object: Value, want: &[(usize, Value)]) {
    let strategy = strategy_for(&resource_of(&object));
    let cells = strategy.table_cells(&object, Timestamp::UNIX_EPOCH).expect("the kind has cells");
    for (index, want) in want {
        assert_eq!(&cells[*index], want, "{name}: {cells:?}");
    }
}

#[test]
fn rows_read_as_upstreams() {
    check_cells(
        "balanced",
        named(
            "v1",
            "Service",
            json!({"spec": {
                "type": "LoadBalancer", "clusterIPs": ["10.0.0.9"],
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 443, "nodePort": 30443, "protocol": "TCP"}],
            }}),
        ),
        &[
            (2, "10.0.0.9".into()),
            (3, "<pending>".into()),
            (4, "80/TCP,443:30443/TCP".into()),
            (5, "<unknown>".into()),
        ],
    );
    check_cells(
        "node",
        json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
        }),
        &[
            (1, "Ready,SchedulingDisabled".into()),
            (2, "control-plane".into()),
            (5, "10.0.0.1".into()),
            (6, "<none>".into()),
        ],
    );
    check_cells(
        "slice",
        named(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({
                "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": [{"addresses": ["1.1.1.1"]}, {"addresses": ["2.2.2.2"]}, {"addresses": ["3.3.3.3"]}, {"addresses": ["4.4.4.4"]}],
            }),
        ),
        &[(2, "80".into()), (3, "1.1.1.1,2.2.2.2,3.3.3.3 + 1 more...".into())],
    );
    check_cells(
        "deployment",
        workload("Deployment", json!({"replicas": 3})),
        &[(1, "0/3".into()), (2, 0.into()), (5, "a".into()), (7, "app=x".into())],
    );
}

#[test]
fn generations_count_what_upstream_counts() {
    let grows = |api_version: &str, kind: &str, old: Value, new: Value| {
        let (old, new) = (named(api_version, kind, old), named(api_version, kind, new));
        let strategy = strategy_for(&resource_of(&old));
        assert!(strategy.has_generation(), "{kind}");
        strategy.generation_changes(&new, &old)
    };
    assert!(grows("v1", "Pod", json!({"spec": {"a": 1}}), json!({"spec": {"a": 2}})));
    assert!(!grows("v1", "Pod", json!({"status": {"a": 1}}), json!({"status": {"a": 2}})));
    let annotated = json!({"metadata": {"annotations": {"a": "b"}}});
    assert!(grows("apps/v1", "Deployment", json!({}), annotated.clone()));
    assert!(!grows("apps/v1", "ReplicaSet", json!({}), annotated));
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    assert!(grows("discovery.k8s.io/v1", "EndpointSlice", json!({}), labelled));
}
