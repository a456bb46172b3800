//! What `/status`, `/resize`, `/approval` and their like may change.

use super::*;

fn through(subresource: &'static str, old: &Value, change: impl FnOnce(&mut Value)) -> (Value, Vec<String>) {
    let mut new = old.clone();
    change(&mut new);
    let strategy = strategy_for(&resource_of(old));
    strategy.prepare_for_update(&context(subresource), &mut new, old);
    let errors = crate::check::told(&strategy.validate_update(&context(subresource), &new, old));
    (new, errors)
}

fn running() -> Value {
    let (mut old, faults) = created(pod(json!({
        "restartPolicy": "Never",
        "containers": [{"name": "a", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}],
    })));
    assert!(faults.is_empty(), "{faults:?}");
    old["status"]["containerStatuses"] =
        json!([{"name": "a", "state": {"running": {}}, "resources": {"requests": {"cpu": "1"}}}]);
    old
}

#[test]
fn a_running_pod_is_resized() {
    let old = running();
    let container = |pod: &Value| pod["spec"]["containers"][0].clone();
    let (new, errors) = through("resize", &old, |p| {
        p["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2".into();
        p["spec"]["containers"][0]["image"] = "other".into();
        p["metadata"]["labels"] = json!({"a": "b"});
    });
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(container(&new)["image"], "i");
    assert_eq!(container(&new)["resources"]["requests"]["cpu"], "2");
    assert!(new["metadata"]["labels"].is_null());
    let cases: [(Value, &[&str]); 3] = [
        (
            json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
            &["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
        ),
        (
            json!({"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}),
            &["spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"],
        ),
        (
            json!({"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "limits": {"memory": "2Gi"}}),
            &["spec: Forbidden: only cpu and memory resources are mutable"],
        ),
    ];
    for (resources, want) in cases {
        let (_, errors) =
            through("resize", &old, |p| p["spec"]["containers"][0]["resources"] = resources.clone());
        assert_eq!(errors, want, "{resources}");
    }
    let mut mirror = running();
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let (_, errors) = through("resize", &mirror, |_| {});
    assert_eq!(errors, ["<nil>: Forbidden: static pods cannot be resized"]);
}

#[test]
fn a_pod_is_looked_into() {
    let old = running();
    let debugger = json!({"name": "d", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File", "targetContainerName": "a"});
    let (with, errors) = through("ephemeralcontainers", &old, |p| {
        p["spec"]["ephemeralContainers"] = json!([debugger]);
        p["spec"]["nodeName"] = "other".into();
    });
    assert!(errors.is_empty(), "{errors:?}");
    assert!(with["spec"]["nodeName"].is_null());
    let (_, errors) = through("ephemeralcontainers", &with, |p| p["spec"]["ephemeralContainers"] = json!([]));
    assert_eq!(
        errors,
        ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"]
    );
    let (_, errors) = through("ephemeralcontainers", &old, |p| {
        let mut bad = debugger.clone();
        bad["targetContainerName"] = "none".into();
        bad["livenessProbe"] = json!({"exec": {"command": ["x"]}});
        p["spec"]["ephemeralContainers"] = json!([bad]);
    });
    assert_eq!(
        errors,
        [
            "spec.ephemeralContainers[0].targetContainerName: Not found: \"none\"",
            "spec.ephemeralContainers[0].livenessProbe: Forbidden: cannot be set for an Ephemeral Container",
        ]
    );
}

#[test]
fn a_kubelet_says_what_it_may() {
    let old = running();
    let (new, errors) = through("status", &old, |p| p["status"]["podIP"] = "10.0.0.1".into());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(new["status"]["podIPs"], json!([{"ip": "10.0.0.1"}]));
    let (_, errors) = through("status", &old, |p| {
        p["status"]["qosClass"] = "BestEffort".into();
        p["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]);
        p["status"]["hostIPs"] = json!([{"ip": "x"}]);
    });
    assert_eq!(errors.len(), 4, "{errors:#?}");
    assert_eq!(errors[0], "status.qosClass: Invalid value: \"BestEffort\": field is immutable");
    assert!(errors[1].starts_with("status.podIPs: Invalid value: "), "{errors:?}");
    let mut ended = old.clone();
    ended["status"]["containerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 0}});
    let (_, errors) = through("status", &ended, |p| {
        p["status"]["containerStatuses"] = old["status"]["containerStatuses"].clone()
    });
    assert_eq!(
        errors,
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
}

#[test]
fn gates_are_taken_away_only() {
    let gated = || {
        pod(json!({"schedulingGates": [{"name": "a/b"}], "containers": [{"name": "a", "image": "i"}],
        "nodeSelector": {"k": "v"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "x", "operator": "Exists"}]}]}}}}))
    };
    check_update("freed", gated(), |p| p["spec"]["schedulingGates"] = json!([]), &[]);
    check_update(
        "another",
        gated(),
        |p| p["spec"]["schedulingGates"] = json!([{"name": "a/b"}, {"name": "c/d"}]),
        &[
            "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c/d'",
        ],
    );
    check_update("narrower", gated(), |p| p["spec"]["nodeSelector"]["l"] = "w".into(), &[]);
    check_update(
        "elsewhere",
        gated(),
        |p| p["spec"]["nodeSelector"] = json!({"k": "w"}),
        &[
            "spec.nodeSelector: Invalid value: {\"k\":\"w\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ],
    );
    let terms = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    check_update(
        "other terms",
        gated(),
        |p| {
            let required =
                &mut p["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
            required["nodeSelectorTerms"] =
                json!([{"matchExpressions": [{"key": "y", "operator": "Exists"}]}]);
        },
        &[&format!("{terms}[0]: Invalid value: ")],
    );
    check_update(
        "not gated",
        pod(container(json!({}))),
        |p| p["spec"]["nodeSelector"] = json!({"k": "v"}),
        &["spec: Forbidden: pod updates may not change fields other than"],
    );
}

#[test]
fn certificates_are_approved_once() {
    let request = |rest: Value| {
        let mut object = named(
            "certificates.k8s.io/v1",
            "CertificateSigningRequest",
            json!({"spec": {
            "request": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFBPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K",
            "signerName": "example.com/signer", "usages": ["client auth"]}}),
        );
        for (field, value) in rest.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object
    };
    let (old, errors) = created(request(json!({"username": "mallory", "groups": ["system:masters"]})));
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(old["spec"]["username"], "alice");
    assert!(old["spec"]["groups"].is_null());
    check(
        "all",
        request(
            json!({"request": "eA==", "signerName": "signer", "usages": ["client auth", "client auth", "flying"], "expirationSeconds": 1}),
        ),
        &[
            "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
            "spec.usages[1]: Duplicate value: \"client auth\"",
            "spec.usages[2]: Unsupported value: \"flying\": supported values: \"any\", \"cert sign\", \"client auth\"",
            "spec.signerName: Invalid value: \"signer\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
            "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 seconds (10 minutes)",
        ],
    );
    let approve = |c: &mut Value| {
        c["status"] = json!({"conditions": [{"type": "Approved", "status": "True", "reason": "r"}], "certificate": "eA=="});
    };
    let (approved, errors) = through("approval", &old, approve);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(approved["status"]["conditions"][0]["lastUpdateTime"], "1970-01-01T00:00:00Z");
    assert!(approved["status"]["certificate"].is_null());
    let (_, errors) = through("status", &old, approve);
    assert_eq!(
        errors[0],
        "status.conditions: Forbidden: updates may not add a condition of type \"Approved\""
    );
    let (_, errors) = through("approval", &approved, |c| c["status"]["conditions"] = json!([]));
    assert_eq!(
        errors,
        ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]
    );
    let (_, errors) = through("status", &approved, |c| c["status"]["certificate"] = "eA==".into());
    assert_eq!(
        errors,
        ["status.certificate: Invalid value: \"eA==\": must contain at least one CERTIFICATE PEM block"]
    );
}

#[test]
fn a_namespace_ends_by_its_finalizers() {
    let (old, errors) = created(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}));
    assert!(errors.is_empty(), "{errors:?}");
    let (new, _) = through("", &old, |n| n["spec"]["finalizers"] = json!([]));
    assert_eq!(new["spec"]["finalizers"], json!(["kubernetes"]));
    let (new, errors) = through("finalize", &old, |n| n["spec"]["finalizers"] = json!([]));
    assert_eq!((&new["spec"]["finalizers"], errors.len()), (&json!([]), 0));
    let (_, errors) = through("status", &old, |n| n["status"]["phase"] = "Terminating".into());
    assert_eq!(
        errors,
        [
            "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
        ]
    );
}

#[test]
fn counts_of_replicas_fit() {
    let (old, _) = created(workload("ReplicaSet", json!({})));
    let (_, errors) = through("status", &old, |s| {
        s["status"] = json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": -1})
    });
    assert_eq!(
        errors,
        [
            "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ]
    );
    let (old, _) = created(workload("StatefulSet", json!({})));
    let (_, errors) = through("status", &old, |s| s["status"] = json!({"replicas": 1, "currentReplicas": 2}));
    assert_eq!(errors, ["status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas"]);
}
