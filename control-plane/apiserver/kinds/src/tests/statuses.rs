//! Statuses with a fault or two, and what a kube-apiserver 1.36.2 answered to each.

use super::*;

/// Objects, a status of each, what is then told as its status, and the causes.
const STATUSES: &[(&str, &str, &str, &str, &[&str])] = &[
    (
        "what ended",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        "{}",
        r#"{"active": 1, "succeeded": -1, "ready": 2, "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}, {"type": "Failed", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}], "uncountedTerminatedPods": {"succeeded": ["u", ""], "failed": ["u"]}}"#,
        &[
            "status.succeeded: Invalid value: -1: must be greater than or equal to 0",
            r#"status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty"#,
            r#"status.uncountedTerminatedPods.failed[0]: Duplicate value: "u""#,
            "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Required value: startTime is required for finished job",
            r#"status.uncountedTerminatedPods: Invalid value: {"Succeeded":["u",""],"Failed":["u"]}: must be empty for finished job"#,
            "status.ready: Invalid value: 2: cannot set more ready pods than active",
            "status.succeeded: Invalid value: -1: cannot decrease the succeeded counter",
        ],
    ),
    (
        "what is complete",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z"}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z", "completionTime": "2024-01-02T03:04:04Z", "terminating": 1, "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}, {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}]}"#,
        &[
            r#"status.completionTime: Invalid value: "2024-01-02T03:04:04Z": must be equal to or after `startTime`"#,
            "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
        ],
    ),
    (
        "what is not complete",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z"}"#,
        r#"{"startTime": "2024-01-02T03:04:06Z", "completionTime": "2024-01-02T03:04:06Z"}"#,
        &[
            r#"status.completionTime: Invalid value: "2024-01-02T03:04:06Z": cannot set completionTime when there is no Complete=True condition"#,
            r#"status.startTime: Invalid value: "2024-01-02T03:04:06Z": field is immutable for unsuspended job once set"#,
        ],
    ),
    (
        "what stays ended",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z", "completionTime": "2024-01-02T03:04:06Z", "succeeded": 2, "failed": 1, "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}, {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}]}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z", "completionTime": "2024-01-02T03:04:05Z", "conditions": []}"#,
        &[
            r#"status.completionTime: Invalid value: "2024-01-02T03:04:05Z": cannot set completionTime when there is no Complete=True condition"#,
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.failed: Invalid value: 0: cannot decrease the failed counter",
            "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
            r#"status.completionTime: Invalid value: "2024-01-02T03:04:05Z": field is immutable"#,
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
        ],
    ),
    (
        "what fails",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z"}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z", "conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}]}"#,
        &[
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
        ],
    ),
    (
        "both targets",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z"}"#,
        r#"{"startTime": "2024-01-02T03:04:05Z", "conditions": [{"type": "FailureTarget", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}, {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2024-01-02T03:04:05Z", "lastProbeTime": "2024-01-02T03:04:05Z", "reason": "R", "message": "m"}]}"#,
        &[
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ],
    ),
    (
        "indexes",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        "{}",
        r#"{"completedIndexes": "0-x", "failedIndexes": "5"}"#,
        &[
            r#"status.completedIndexes: Invalid value: "0-x": error parsing completedIndexes: cannot convert string to integer for index: "x""#,
            r#"status.failedIndexes: Invalid value: "5": error parsing failedIndexes: too large index: "5""#,
        ],
    ),
    (
        "the same index",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "backoffLimitPerIndex": 1, "parallelism": 1}}"#,
        "{}",
        r#"{"completedIndexes": "0,1", "failedIndexes": "1"}"#,
        &[
            r#"status.failedIndexes: Invalid value: "1": failedIndexes and completedIndexes overlap at index: 1"#,
        ],
    ),
    (
        "no indexes",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 1, "completionMode": "NonIndexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}}"#,
        "{}",
        r#"{"completedIndexes": "0", "failedIndexes": ""}"#,
        &[
            r#"status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode"#,
            r#"status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null"#,
        ],
    ),
    (
        "addresses of pods",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "automountServiceAccountToken": false}}"#,
        "{}",
        r#"{"observedGeneration": -1, "conditions": [{"type": "A b", "status": "True"}], "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}], "podIPs": [{"ip": "10.0.0.1"}, {"ip": "x"}]}"#,
        &[
            r#"status.conditions[0].Type: Invalid value: "A b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
            "status.observedGeneration: Invalid value: -1: must be a non-negative integer",
            r#"status.podIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            "status.podIPs: Internal error: failed to check for dual stack with error:invalid IP[1]: x",
            r#"status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"x"}]: may specify no more than one IP for each IP family"#,
            r#"status.hostIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.1"}]: may specify no more than one IP for each IP family"#,
        ],
    ),
    (
        "addresses of a node",
        r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ux"}}"#,
        "{}",
        r#"{"addresses": [{"type": "InternalIP", "address": "a"}, {"type": "InternalIP", "address": "a"}]}"#,
        &[r#"status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"a"}"#],
    ),
    (
        "who balances",
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}"#,
        "{}",
        r#"{"loadBalancer": {"ingress": [{"ip": "x"}]}}"#,
        &["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
    ),
    (
        "claims",
        r#"{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "ux", "namespace": "default"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#,
        "{}",
        r#"{"capacity": {"storage": "-1"}, "allocatedResources": {"cars": "1"}, "allocatedResourceStatuses": {"storage": "X"}}"#,
        &[
            "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
            r#"status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending""#,
            r#"status.allocatedResources: Unsupported value: "cars": supported values: "storage""#,
        ],
    ),
    (
        "budgets",
        r#"{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "ux", "namespace": "default"}, "spec": {"minAvailable": 1, "selector": {}}}"#,
        "{}",
        r#"{"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, "conditions": [{"type": "", "status": "X", "reason": "a b", "message": "", "observedGeneration": -1}]}"#,
        &[
            r#"status.conditions[0].type: Invalid value: "": name part must be non-empty"#,
            r#"status.conditions[0].type: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
            r#"status.conditions[0].status: Unsupported value: "X": supported values: "False", "True", "Unknown""#,
            "status.conditions[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero",
            "status.conditions[0].lastTransitionTime: Required value",
            r#"status.conditions[0].reason: Invalid value: "a b": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"#,
        ],
    ),
    (
        "attachments",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "ux"}, "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "p"}}}"#,
        "{}",
        r#"{"attached": false, "attachError": {"errorCode": -1}}"#,
        &["status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    ),
    (
        "flow",
        r#"{"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "ux"}, "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}}"#,
        "{}",
        r#"{"conditions": [{"type": ""}, {"type": "A", "status": "True"}, {"type": "A", "status": "True"}]}"#,
        &["status.conditions[0].type: Required value", r#"status.conditions[2].type: Duplicate value: "A""#],
    ),
];

#[test]
fn statuses_are_judged_as_by_upstream() {
    for (name, object, was, now, want) in STATUSES {
        let read = |text: &str| -> Value { serde_json::from_str(text).expect(name) };
        let (mut old, faults) = created(read(object));
        assert!(faults.is_empty(), "{name}: {faults:?}");
        old["status"] = read(was);
        let mut new = old.clone();
        new["status"] = read(now);
        let strategy = strategy_for(&resource_of(&old));
        strategy.prepare_for_update(&context("status"), &mut new, &old);
        let mut got = crate::check::told(&strategy.validate_update(&context("status"), &new, &old));
        let mut want: Vec<String> = want.iter().map(ToString::to_string).collect();
        got.sort();
        got.dedup();
        want.sort();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn observed_generations_of_pods_are_not_cleared() {
    let mut old = pod(container(json!({})));
    old["status"] = json!({"observedGeneration": 3, "conditions": [
        {"type": "A", "observedGeneration": 1}, {"type": "A", "observedGeneration": 2}, {"type": "B"}]});
    let mut new = old.clone();
    new["status"] =
        json!({"conditions": [{"type": "A"}, {"type": "B", "observedGeneration": 4}, {"type": "A"}]});
    strategy_for(&resource_of(&old)).prepare_for_update(&context("status"), &mut new, &old);
    assert_eq!(new["status"]["observedGeneration"], 3);
    let seen: Vec<&Value> = new["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| &c["observedGeneration"])
        .collect();
    assert_eq!(seen, [1, 4, 2]);
}

/// What a status brings with it is not taken where upstream does not.
#[test]
fn statuses_bring_no_labels_everywhere() {
    let labelled = |labels: &[&str], kind: &str, api_version: &str| {
        let old = named(api_version, kind, json!({}));
        let mut new = old.clone();
        new["metadata"]["labels"] = json!({"a": "b"});
        new["metadata"]["annotations"] = json!({"a": "b"});
        strategy_for(&resource_of(&old)).prepare_for_update(&context("status"), &mut new, &old);
        let kept: Vec<&str> = ["labels", "annotations"]
            .into_iter()
            .filter(|field| new["metadata"][*field].is_object())
            .collect();
        assert_eq!(kept, labels, "{kind}");
    };
    labelled(&["labels", "annotations"], "ReplicaSet", "apps/v1");
    labelled(&["annotations"], "Deployment", "apps/v1");
    labelled(&[], "ResourceClaim", "resource.k8s.io/v1");
    labelled(&[], "VolumeAttachment", "storage.k8s.io/v1");
    labelled(&[], "FlowSchema", "flowcontrol.apiserver.k8s.io/v1");
}
