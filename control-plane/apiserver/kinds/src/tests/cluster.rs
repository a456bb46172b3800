//! Kinds of the core and small groups: nodes, quotas, scaling, flow control, signing.

use super::*;

#[test]
fn core_kinds_are_told_what_is_wrong() {
    let core = |kind: &str, rest: Value| named("v1", kind, rest);
    check(
        "node",
        core(
            "Node",
            json!({"spec": {"podCIDRs": ["10.0.0.0/24", "10.1.0.0/24"],
            "taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"key": "b"}]}}),
        ),
        &[
            "metadata.taints[1]: Duplicate value: {",
            "metadata.taints[2].effect: Required value",
            "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one CIDR for each IP family",
        ],
    );
    check_update(
        "pod range",
        core("Node", json!({"spec": {"podCIDR": "10.0.0.0/24", "providerID": "a"}})),
        |n| {
            n["spec"]["podCIDR"] = "10.1.0.0/24".into();
            n["spec"]["providerID"] = "b".into();
        },
        &[
            "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
            "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
        ],
    );
    check(
        "namespace",
        core("Namespace", json!({"spec": {"finalizers": ["mine"]}})),
        &[
            "spec.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    );
    check(
        "docker config",
        core(
            "Secret",
            json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}),
        ),
        &[
            "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'x' looking for beginning of value",
        ],
    );
    check(
        "tls",
        core("Secret", json!({"type": "kubernetes.io/tls"})),
        &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    );
    check_update(
        "frozen",
        core("ConfigMap", json!({"immutable": true, "data": {"a": "b"}})),
        |c| c["data"]["a"] = "c".into(),
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
    check(
        "event elsewhere",
        core("Event", json!({"involvedObject": {"namespace": "other"}})),
        &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
    );
    check(
        "new event",
        core(
            "Event",
            json!({"involvedObject": {"namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "r"}),
        ),
        &[
            "reportingComponent: Required value",
            "reportingComponent: Invalid value: \"\": name part must be non-empty",
            "reportingComponent: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "reportingInstance: Required value",
            "action: Required value",
        ],
    );
}

#[test]
fn limits_and_quotas_are_told_what_is_wrong() {
    let range = |limits: Value| named("v1", "LimitRange", json!({"spec": {"limits": limits}}));
    check("plain", range(json!([{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}])), &[]);
    check(
        "all",
        range(json!([
            {"type": "Pod", "default": {"cpu": "1"}},
            {"type": "Pod"},
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            {"type": "PersistentVolumeClaim"},
            {"type": "Other"},
            {"type": "a.b/c", "maxLimitRequestRatio": {"cpu": "500m"}},
        ])),
        &[
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            "spec.limits[1].type: Duplicate value: \"Pod\"",
            "spec.limits[2].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            "spec.limits[2].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
            "spec.limits[2].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
            "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            "spec.limits[4].type: Invalid value: \"Other\": must be a standard limit type or fully qualified",
            "spec.limits[5].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1",
        ],
    );
    let quota = |spec: Value| named("v1", "ResourceQuota", json!({ "spec": spec }));
    check(
        "names",
        quota(json!({"hard": {
            "pods": "10", "count/deployments.apps": "1", "requests.example.com/gpu": "1",
            "gold.storageclass.storage.k8s.io/requests.storage": "1Gi", "requests.hugepages-2Mi": "2Mi",
        }})),
        &[],
    );
    check(
        "wrong",
        quota(json!({"hard": {"cars": "1", "memory": "-1", "pods": "1500m"}})),
        &[
            "spec.hard[cars]: Invalid value: \"cars\": must be a standard resource type or fully qualified",
            "spec.hard[cars]: Invalid value: \"cars\": must be a standard resource for quota",
            "spec.hard[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
        ],
    );
    check(
        "scopes",
        quota(json!({"hard": {"services": "1"}, "scopes": ["BestEffort", "NotBestEffort", "Other"]})),
        &[
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Other\"]: unsupported scope applied to resource",
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Other\"]: unsupported scope applied to resource",
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Other\"]: unsupported scope",
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Other\"]: unsupported scope applied to resource",
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Other\"]: conflicting scopes",
        ],
    );
    check(
        "selector",
        quota(json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In"}, {"scopeName": "Terminating", "operator": "In", "values": ["x"]}]}})),
        &[
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exist' when scope is any of",
        ],
    );
    check_update(
        "scopes stay",
        quota(json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})),
        |q| q["spec"]["scopes"] = json!(["NotBestEffort"]),
        &["spec.scopes: Invalid value: [\"NotBestEffort\"]: field is immutable"],
    );
}

#[test]
fn scalers_are_told_what_is_wrong() {
    let scaler = |rest: Value| {
        let mut object = named(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"spec": {
            "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}}),
        );
        for (field, value) in rest.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object
    };
    check("plain", scaler(json!({})), &[]);
    check(
        "counts",
        scaler(json!({"minReplicas": 5, "scaleTargetRef": {"kind": "", "name": "a/b"}})),
        &[
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
            "spec.scaleTargetRef.kind: Required value",
            "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
            "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group",
        ],
    );
    for (version, kind, want) in [
        ("v1", "ReplicationController", None),
        ("v1", "Deployment", Some("apiVersion must specify API group")),
        ("a/b/c", "Deployment", Some("unexpected GroupVersion string: a/b/c")),
    ] {
        let want =
            want.map(|why| format!("spec.scaleTargetRef.apiVersion: Invalid value: \"{version}\": {why}"));
        let target = json!({"scaleTargetRef": {"apiVersion": version, "kind": kind, "name": "d"}});
        check(version, scaler(target), &want.as_deref().into_iter().collect::<Vec<_>>());
    }
    check(
        "metrics",
        scaler(json!({"metrics": [
            {"type": "Resource"},
            {"type": "Other", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}},
            {"type": "Pods", "pods": {"metric": {}, "target": {"type": "AverageValue"}}},
            {"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1", "averageValue": "0"}}},
        ]})),
        &[
            "spec.metrics[0].resource: Required value: must populate information for the given metric source",
            "spec.metrics[1].type: Unsupported value: \"Other\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
            "spec.metrics[1].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
            "spec.metrics[2].pods.metric.name: Required value: must specify a metric name",
            "spec.metrics[2].pods.target.averageValue: Required value: must specify a positive target averageValue",
            "spec.metrics[3].external.target.averageValue: Invalid value: \"0\": must be positive",
            "spec.metrics[3].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
        ],
    );
    check(
        "behaviour",
        scaler(json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601, "selectPolicy": "Any",
            "policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]}}})),
        &[
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
            "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Any\": supported values: \"Disabled\", \"Max\", \"Min\"",
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ],
    );
    check(
        "budget",
        named(
            "policy/v1",
            "PodDisruptionBudget",
            json!({"spec": {"minAvailable": "101%", "maxUnavailable": 1}}),
        ),
        &[
            "spec: Invalid value: {",
            "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%",
        ],
    );
}

#[test]
fn flow_control_is_told_what_is_wrong() {
    let api = "flowcontrol.apiserver.k8s.io/v1";
    let schema = |spec: Value| named(api, "FlowSchema", json!({ "spec": spec }));
    check(
        "schema",
        schema(json!({"matchingPrecedence": 1, "rules": [{"subjects": [
            {"kind": "User", "group": {"name": "g"}}, {"kind": "ServiceAccount", "serviceAccount": {"name": "*"}}],
            "resourceRules": [{"verbs": ["*", "get"], "apiGroups": ["*"], "resources": ["pods"]}],
            "nonResourceRules": [{"verbs": ["see"], "nonResourceURLs": ["x"]}]}, {}]})),
        &[
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            "spec.rules[0].subjects[1].serviceAccount.namespace: Required value: must specify namespace for service account",
            "spec.rules[0].resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
            "spec.rules[0].nonResourceRules[0].verbs: Unsupported value: [\"see\"]: supported values: \"create\", \"delete\"",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"x\": must start with slash",
            "spec.rules[1].subjects: Required value: subjects must contain at least one value",
            "spec.rules[1]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ],
    );
    let level = |name: &str, spec: Value| {
        let mut object = named(api, "PriorityLevelConfiguration", json!({ "spec": spec }));
        object["metadata"]["name"] = name.into();
        object
    };
    check(
        "level",
        level("x", json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}})),
        &[],
    );
    check(
        "exempt",
        level("x", json!({"type": "Exempt"})),
        &["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
    );
    check(
        "hands",
        level(
            "x",
            json!({"type": "Limited", "limited": {"lendablePercent": 101, "limitResponse": {"type": "Queue", "queuing": {"queues": 4, "handSize": 5, "queueLengthLimit": 1}}}}),
        ),
        &[
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
        ],
    );
    check(
        "mandatory",
        level("catch-all", json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}})),
        &["spec: Invalid value: {"],
    );
}

#[test]
fn services_of_other_servers_are_told_what_is_wrong() {
    let service = |name: &str, spec: Value| {
        let mut object = named("apiregistration.k8s.io/v1", "APIService", json!({ "spec": spec }));
        object["metadata"]["name"] = name.into();
        object
    };
    let plain = json!({"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1});
    check("local", service("v1.a.b", plain.clone()), &[]);
    check(
        "name",
        service("v1.a", plain),
        &["metadata.name: Invalid value: \"v1.a\": must be `spec.version+\".\"+spec.group`: \"v1.a.b\""],
    );
    check(
        "remote",
        service(
            "v1.a.b",
            json!({"group": "a.b", "version": "v1", "groupPriorityMinimum": 20001, "versionPriority": 0,
            "insecureSkipTLSVerify": true, "caBundle": "eA==", "service": {"name": "s"}}),
        ),
        &[
            "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
            "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            "spec.service.namespace: Required value",
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        ],
    );
    let class = |rest: Value| named("node.k8s.io/v1", "RuntimeClass", rest);
    check("runtime class", class(json!({"handler": "h", "overhead": {"podFixed": {"cpu": "1"}}})), &[]);
    check(
        "runtime class",
        class(
            json!({"handler": "H", "overhead": {"podFixed": {"cars": "1"}}, "scheduling": {"tolerations": [{"key": "a"}, {"key": "a"}]}}),
        ),
        &[
            "handler: Invalid value: \"H\": a lowercase RFC 1123 label",
            "overhead.limits[cars]: Invalid value: \"cars\": must be a standard resource type or fully qualified",
            "overhead.limits[cars]: Invalid value: \"cars\": must be a standard resource for containers",
            "scheduling.tolerations[1]: Duplicate value: {\"Key\":\"a\",\"Operator\":\"\",\"Value\":\"\",\"Effect\":\"\",\"TolerationSeconds\":null}",
        ],
    );
}

#[test]
fn kinds_that_are_off_by_default_are_told_what_is_wrong() {
    let bundle = |name: &str, spec: Value| {
        let mut object = named("certificates.k8s.io/v1beta1", "ClusterTrustBundle", json!({ "spec": spec }));
        object["metadata"]["name"] = name.into();
        object
    };
    let anchor = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    check("plain", bundle("a", json!({ "trustBundle": anchor })), &[]);
    check("signer", bundle("a.b:c:d", json!({"signerName": "a.b/c", "trustBundle": anchor})), &[]);
    check(
        "names",
        bundle("x", json!({"signerName": "a.b/c", "trustBundle": ""})),
        &[
            "metadata.name: Invalid value: \"x\": ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:",
            "spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided",
        ],
    );
    check(
        "twice",
        bundle("a", json!({ "trustBundle": format!("{anchor}{anchor}") })),
        &["spec.trustBundle: Invalid value: \"<value omitted>\": duplicate trust anchor"],
    );
    let candidate =
        |spec: Value| named("coordination.k8s.io/v1beta1", "LeaseCandidate", json!({ "spec": spec }));
    check(
        "candidate",
        candidate(json!({"strategy": "OldestEmulationVersion"})),
        &[
            "spec.leaseName: Required value",
            "spec.binaryVersion: Required value",
            "spec.emulationVersion: Required value",
        ],
    );
    check_update(
        "candidate",
        candidate(json!({"leaseName": "l", "binaryVersion": "1.36.0", "strategy": "a.b/c"})),
        |c| c["spec"]["leaseName"] = "m".into(),
        &["spec.leaseName: Invalid value: \"m\": field is immutable"],
    );
}
