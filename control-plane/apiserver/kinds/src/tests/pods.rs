//! Pods: validation, updates, deletion.

use super::*;

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
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
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
