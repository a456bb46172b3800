//! Workloads and the rest: validation and updates.

use super::*;

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
fn stateful_sets_mount_their_claims() {
    let mut set = workload("StatefulSet", json!({}));
    set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/d"}]);
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}}]);
    let bare = [
        "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
        "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
    ];
    check("bare claims", set.clone(), &bare);
    set["spec"]["volumeClaimTemplates"][0]["spec"] =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    check("claims", set.clone(), &[]);
    check_update("scale", set.clone(), |s| s["spec"]["replicas"] = 5.into(), &[]);
    check_update(
        "service",
        set,
        |s| s["spec"]["serviceName"] = "other".into(),
        &[
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template'",
        ],
    );
}

#[test]
fn jobs_and_cron_jobs() {
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
}

#[test]
fn core_kinds_are_told_too() {
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
}

#[test]
fn what_connects_and_what_allows() {
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
