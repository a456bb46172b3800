//! Objects with a fault or two, and what a kube-apiserver 1.36.2 answered to each.

use super::*;

type Case = (&'static str, &'static str, &'static [&'static str]);

/// Every cause that upstream tells, and no other; the order is each kind's own affair.
fn check_all(cases: &[Case]) {
    for (name, object, want) in cases {
        let object: Value = serde_json::from_str(object).expect(name);
        let (_, mut got) = created(object);
        let mut want: Vec<String> = want.iter().map(ToString::to_string).collect();
        got.sort();
        got.dedup();
        want.sort();
        assert_eq!(got, want, "{name}");
    }
}

const PODS: &[Case] = &[
    (
        "change policies",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "securityContext": {"fsGroupChangePolicy": "", "supplementalGroupsPolicy": "", "seLinuxChangePolicy": "MountOption"}}}"#,
        &[
            r#"spec.securityContext.fsGroupChangePolicy: Unsupported value: "": supported values: "Always", "OnRootMismatch""#,
            r#"spec.securityContext.supplementalGroupsPolicy: Unsupported value: "": supported values: "Merge", "Strict""#,
            r#"spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive""#,
        ],
    ),
    (
        "grace of a sleep",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}], "terminationGracePeriodSeconds": -1}}"#,
        &[
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 3: must be non-negative and less than terminationGracePeriodSeconds (1)",
        ],
    ),
    (
        "spread",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}, "nodeAffinityPolicy": ""}]}}"#,
        &[
            r#"spec.topologySpreadConstraints[0].nodeAffinityPolicy: Unsupported value: "": supported values: "Honor", "Ignore""#,
        ],
    ),
    (
        "system",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "os": {"name": ""}}}"#,
        &["spec.os.name: Required value"],
    ),
    (
        "claim of nothing",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "resourceClaims": [{"name": "c"}]}}"#,
        &[
            r#"spec.resourceClaims[0]: Invalid value: {"Name":"c","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"#,
        ],
    ),
    (
        "claims of a container",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "resources": {"claims": [{"name": "c", "request": "R"}, {"name": "c", "request": "r"}, {"name": "c", "request": "r"}, {"name": "c"}, {"name": "d"}]}}], "resourceClaims": [{"name": "c", "resourceClaimName": "d"}]}}"#,
        &[
            r#"spec.containers[0].resources.claims[0].request: Invalid value: "R": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#,
            r#"spec.containers[0].resources.claims[2]: Duplicate value: "c/r""#,
            r#"spec.containers[0].resources.claims[3]: Duplicate value: "c""#,
            r#"spec.containers[0].resources.claims[4]: Not found: "d": must be one of the names in pod.spec.resourceClaims: c"#,
        ],
    ),
    (
        "keys of variables",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "", "key": "a b"}}}]}]}}"#,
        &[
            r#"spec.containers[0].env[0].valueFrom.configMapKeyRef.name: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
            r#"spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"#,
        ],
    ),
    (
        "where variables come from",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "envFrom": [{"prefix": "P"}]}]}}"#,
        &[
            r#"spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`"#,
        ],
    ),
    (
        "port by no name",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "livenessProbe": {"httpGet": {"path": "/", "port": ""}}}]}}"#,
        &[
            r#"spec.containers[0].livenessProbe.httpGet.port: Invalid value: "": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"#,
            r#"spec.containers[0].livenessProbe.httpGet.port: Invalid value: "": must contain at least one letter (a-z)"#,
        ],
    ),
    (
        "mounts",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v", "recursiveReadOnly": "", "mountPropagation": ""}], "securityContext": {"procMount": ""}}], "volumes": [{"name": "v", "emptyDir": {}}]}}"#,
        &[
            r#"spec.containers[0].volumeMounts.mountPropagation: Unsupported value: "": supported values: "Bidirectional", "HostToContainer", "None""#,
            r#"spec.containers[0].volumeMounts.recursiveReadOnly: Unsupported value: "": supported values: "Disabled", "Enabled", "IfPossible""#,
            r#"spec.containers[0].securityContext.procMount: Unsupported value: "": supported values: "Default", "Unmasked""#,
        ],
    ),
    (
        "profile",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "securityContext": {"seccompProfile": {"type": "Unconfined", "localhostProfile": "p"}}}]}}"#,
        &[
            r#"spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: {"Type":"Unconfined","LocalhostProfile":"p"}: can only be set when seccomp type is Localhost"#,
        ],
    ),
    (
        "wrong volumes are not mounted",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}], "volumes": [{"name": "v", "configMap": {"name": ""}}]}}"#,
        &[
            "spec.volumes[0].configMap.name: Required value",
            r#"spec.containers[0].volumeMounts[0].name: Not found: "v""#,
        ],
    ),
    (
        "claim of an ephemeral volume",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": [""], "volumeMode": "", "resources": {"requests": {"storage": "1"}}}}}}, {"name": "w", "persistentVolumeClaim": {"claimName": "x-v"}}]}}"#,
        &[
            r#"spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Unsupported value: "": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            r#"spec.volumes[0].ephemeral.volumeClaimTemplate.spec.volumeMode: Unsupported value: "": supported values: "Block", "Filesystem""#,
            r#"spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "x-v": must not reference a PVC that gets created for an ephemeral volume"#,
        ],
    ),
    (
        "tokens",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "../t"}}]}}], "serviceAccountName": "default"}}"#,
        &[r#"spec.volumes[0].projected.path: Invalid value: "../t": must not contain '..'"#],
    ),
    (
        "secret of a driver",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "volumes": [{"name": "v", "csi": {"driver": "d.e", "nodePublishSecretRef": {"name": "S"}}}]}}"#,
        &[
            r#"spec.volumes[0].csi.name: Invalid value: "S": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    ),
    (
        "no path",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "volumes": [{"name": "v", "nfs": {"server": "s", "path": ""}}]}}"#,
        &[
            "spec.volumes[0].nfs.path: Required value",
            r#"spec.volumes[0].nfs.path: Invalid value: "": must be an absolute path"#,
        ],
    ),
    (
        "disk",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "volumes": [{"name": "v", "azureDisk": {"diskName": "d", "diskURI": "", "kind": ""}}]}}"#,
        &[
            "spec.volumes[0].azureDisk.diskURI: Required value",
            r#"spec.volumes[0].azureDisk.kind: Unsupported value: "": supported values: "Dedicated", "Managed", "Shared""#,
            r#"spec.volumes[0].azureDisk.diskURI: Unsupported value: "": supported values: "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd""#,
        ],
    ),
];

#[test]
fn pods_are_judged_as_by_upstream() {
    check_all(PODS);
}

const WORKLOADS: &[Case] = &[
    (
        "no selector",
        r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "default"}, "spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}}}"#,
        &[
            "spec.selector: Required value",
            r#"spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`"#,
        ],
    ),
    (
        "bad selector",
        r#"{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "x", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "A b"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}}}"#,
        &[
            r#"spec.selector.matchLabels: Invalid value: "A b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#,
            r#"spec.selector: Invalid value: {"matchLabels":{"app":"A b"}}: invalid label selector"#,
        ],
    ),
    (
        "bad selector of a set",
        r#"{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x", "namespace": "default"}, "spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}}}"#,
        &[
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            r#"spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"In"}]}"#,
        ],
    ),
    (
        "daemons without a selector",
        r#"{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "x", "namespace": "default"}, "spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}}}"#,
        &[
            r#"spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`"#,
        ],
    ),
    (
        "strategy",
        r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}, "strategy": {"type": "X", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}}"#,
        &[
            r#"spec.strategy: Unsupported value: {"Type":"X","RollingUpdate":{"MaxUnavailable":1,"MaxSurge":1}}: supported values: "Recreate", "RollingUpdate""#,
        ],
    ),
    (
        "strategy of daemons",
        r#"{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "x", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}, "updateStrategy": {"type": "X"}}}"#,
        &[
            r#"spec.updateStrategy: Unsupported value: {"Type":"X","RollingUpdate":null}: supported values: "RollingUpdate", "OnDelete""#,
        ],
    ),
    (
        "strategy of a set",
        r#"{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}, "updateStrategy": {"type": "X"}}}"#,
        &[
            r#"spec.updateStrategy: Invalid value: {"Type":"X","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'"#,
        ],
    ),
    (
        "revision",
        r#"{"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "x", "namespace": "default"}, "data": [], "revision": 1}"#,
        &["data: Required value: data must be a valid JSON object"],
    ),
    (
        "completion mode",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "successPolicy": {"rules": [{"succeededIndexes": "0"}]}, "backoffLimitPerIndex": 1}}"#,
        &[
            r#"spec.completionMode: Unsupported value: "": supported values: "NonIndexed", "Indexed""#,
            r#"spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":"0","SucceededCount":null}]}: requires indexed completion mode"#,
        ],
    ),
    (
        "succeeded indexes",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "successPolicy": {"rules": [{"succeededIndexes": "9", "succeededCount": 1}]}}}"#,
        &[
            r#"spec.successPolicy.rules[0].succeededIndexes: Invalid value: "9": error parsing succeededIndexes: too large index: "9""#,
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 1: must be less than or equal to 0 (the number of indexes in the specified succeededIndexes field)",
        ],
    ),
    (
        "replacement",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "podReplacementPolicy": ""}}"#,
        &[
            r#"spec.podReplacementPolicy: Unsupported value: "": supported values: "Failed", "TerminatingOrFailed""#,
        ],
    ),
    (
        "failure rules",
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"completions": 2, "completionMode": "Indexed", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}, "podFailurePolicy": {"rules": [{"action": "Count"}]}}}"#,
        &[
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ],
    ),
];

#[test]
fn workloads_are_judged_as_by_upstream() {
    check_all(WORKLOADS);
}

const CONNECTIONS: &[Case] = &[
    (
        "ports of a service",
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "default"}, "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}}"#,
        &[
            r#"spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}"#,
        ],
    ),
    (
        "policies of a service",
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "default"}, "spec": {"ports": [{"port": 80}], "internalTrafficPolicy": "", "ipFamilyPolicy": ""}}"#,
        &[
            r#"spec.ipFamilyPolicy: Unsupported value: "": supported values: "PreferDualStack", "RequireDualStack", "SingleStack""#,
        ],
    ),
    (
        "metrics",
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "default"}, "spec": {"maxReplicas": 0, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "metrics": [{"type": "X", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 1}}}]}}"#,
        &[
            "spec.maxReplicas: Required value: must be set and greater than 0",
            "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            r#"spec.metrics[0].type: Unsupported value: "X": supported values: "ContainerResource", "External", "Object", "Pods", "Resource""#,
        ],
    ),
    (
        "container metrics",
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "default"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "metrics": [{"type": "ContainerResource", "containerResource": {"name": "cars", "container": "C", "target": {"type": "Utilization", "averageUtilization": 1}}}]}}"#,
        &[
            r#"spec.metrics[0].containerResource.name: Invalid value: "cars": must be a standard resource type or fully qualified"#,
            r#"spec.metrics[0].containerResource.name: Invalid value: "cars": must be a standard resource for containers"#,
            r#"spec.metrics[0].containerResource.container: Invalid value: "C": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#,
        ],
    ),
    (
        "behaviour",
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "default"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "behavior": {"scaleUp": {"selectPolicy": ""}}}}"#,
        &[
            r#"spec.behavior.scaleUp.selectPolicy: Unsupported value: "": supported values: "Disabled", "Max", "Min""#,
        ],
    ),
    (
        "no policies at all",
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "default"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "behavior": {"scaleDown": {"policies": []}}}}"#,
        &["spec.behavior.scaleDown.policies: Required value: must specify at least one Policy"],
    ),
    (
        "object metrics",
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "default"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "metrics": [{"type": "Object", "object": {"describedObject": {"apiVersion": "a/b/c", "kind": "k", "name": "n"}, "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}]}}"#,
        &[
            r#"spec.metrics[0].object.describedObject.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
        ],
    ),
    (
        "backends",
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "x", "namespace": "default"}, "spec": {"ingressClassName": "", "defaultBackend": {"service": {"name": "S", "port": {"number": 1}}}, "rules": [{"http": {"paths": [{"path": "/", "pathType": "", "backend": {}}, {"path": "/", "backend": {}}, {"path": "/", "pathType": "Exact", "backend": {"resource": {"apiGroup": "", "kind": "k", "name": "n"}}}]}}]}}"#,
        &[
            r#"spec.defaultBackend.service.name: Invalid value: "S": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#,
            r#"spec.rules[0].http.paths[0].pathType: Unsupported value: "": supported values: "Exact", "ImplementationSpecific", "Prefix""#,
            r#"spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required"#,
            "spec.rules[0].http.paths[1].pathType: Required value: pathType must be specified",
            r#"spec.rules[0].http.paths[2].backend.resource.apiGroup: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
            r#"spec.ingressClassName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    ),
    (
        "class",
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "x"}, "spec": {"controller": "a.b/c d", "parameters": {"apiGroup": "", "kind": "", "name": "n", "scope": ""}}}"#,
        &[
            r#"spec.controller: Invalid value: "c d": Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"#,
            r#"spec.parameters.apiGroup: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
            "spec.parameters.kind: Required value",
            r#"spec.parameters.scope: Unsupported value: "": supported values: "Cluster", "Namespace""#,
        ],
    ),
    (
        "policy",
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x", "namespace": "default"}, "spec": {"podSelector": {}, "policyTypes": ["", "X"], "egress": [{"ports": [{"protocol": "", "port": 9, "endPort": 5}]}]}}"#,
        &[
            r#"spec.egress[0].ports[0].protocol: Unsupported value: "": supported values: "TCP", "UDP", "SCTP""#,
            "spec.egress[0].ports[0].endPort: Invalid value: 9: must be greater than or equal to `port`",
            r#"spec.policyTypes[0]: Unsupported value: "": supported values: "Ingress", "Egress""#,
            r#"spec.policyTypes[1]: Unsupported value: "X": supported values: "Ingress", "Egress""#,
        ],
    ),
    (
        "three policy types",
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x", "namespace": "default"}, "spec": {"podSelector": {}, "policyTypes": ["X", "Egress", "Ingress"]}}"#,
        &[
            r#"spec.policyTypes: Invalid value: ["X","Egress","Ingress"]: may not specify more than two policyTypes"#,
        ],
    ),
    (
        "slice",
        r#"{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "x", "namespace": "default"}, "addressType": "IPv4", "endpoints": [{"addresses": ["x"], "hostname": ""}], "ports": [{"protocol": "", "appProtocol": ""}]}"#,
        &[
            r#"ports[0].protocol: Unsupported value: "": supported values: "SCTP", "TCP", "UDP""#,
            r#"ports[0].appProtocol: Invalid value: "": name part must be non-empty"#,
            r#"ports[0].appProtocol: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
            r#"endpoints[0].addresses[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            r#"endpoints[0].hostname: Invalid value: "": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#,
        ],
    ),
    (
        "endpoints",
        r#"{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "x", "namespace": "default"}, "subsets": [{"addresses": [{"ip": "x"}]}]}"#,
        &[
            r#"subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            r#"subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address"#,
        ],
    ),
];

#[test]
fn connections_are_judged_as_by_upstream() {
    check_all(CONNECTIONS);
}

const THE_REST: &[Case] = &[
    (
        "what a quota knows not",
        r#"{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "x", "namespace": "default"}, "spec": {"hard": {"bogus": "1", "services": "1"}, "scopes": ["NotBestEffort"]}}"#,
        &[
            r#"spec.hard[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified"#,
            r#"spec.hard[bogus]: Invalid value: "bogus": must be a standard resource for quota"#,
            r#"spec.scopes: Invalid value: ["NotBestEffort"]: unsupported scope applied to resource"#,
        ],
    ),
    (
        "volume",
        r#"{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}, "spec": {"accessModes": [""], "capacity": {"storage": "1Gi"}, "local": {"path": "/x"}, "volumeMode": ""}}"#,
        &[
            r#"spec.accessModes: Unsupported value: "": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
            r#"spec.volumeMode: Unsupported value: "": supported values: "Block", "Filesystem""#,
        ],
    ),
    (
        "secrets of a volume",
        r#"{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "x"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "csi": {"driver": "d.e", "volumeHandle": "h", "controllerPublishSecretRef": {"name": "S", "namespace": "N"}}}}"#,
        &[
            r#"spec.csi.controllerPublishSecretRef.name: Invalid value: "S": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
            r#"spec.csi.controllerPublishSecretRef.namespace: Invalid value: "N": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#,
        ],
    ),
    (
        "driver",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "x"}, "spec": {"volumeLifecycleModes": [""], "fsGroupPolicy": ""}}"#,
        &[
            r#"spec.fsGroupPolicy: Unsupported value: "": supported values: "File", "None", "ReadWriteOnceWithFSType""#,
            r#"spec.volumeLifecycleModes: Unsupported value: "": supported values: "Persistent", "Ephemeral""#,
        ],
    ),
    (
        "topology keys",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "x"}, "spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": ["a b"]}]}}"#,
        &[
            r#"spec.drivers[0]: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
        ],
    ),
    (
        "storage class",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "x"}, "provisioner": "A_/b", "reclaimPolicy": "", "volumeBindingMode": "", "allowedTopologies": [{}, {"matchLabelExpressions": [{"key": "a", "values": ["b"]}]}]}"#,
        &[
            r#"provisioner: Invalid value: "a_/b": prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
            r#"volumeBindingMode: Unsupported value: "": supported values: "Immediate", "WaitForFirstConsumer""#,
            r#"allowedTopologies[0].matchLabelExpressions: Duplicate value: """#,
        ],
    ),
    (
        "attributes class",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "x"}, "driverName": "A!", "parameters": {"a": "b"}}"#,
        &[
            r#"driverName: Invalid value: "a!": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
        ],
    ),
    (
        "attachment",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "x"}, "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": ""}}}"#,
        &[
            "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
            r#"spec.source.persistentVolumeName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    ),
    (
        "eviction policy",
        r#"{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "X_Y", "namespace": "default"}, "spec": {"minAvailable": 1, "selector": {}, "unhealthyPodEvictionPolicy": ""}}"#,
        &[
            r#"spec.unhealthyPodEvictionPolicy: Unsupported value: "": supported values: "AlwaysAllow", "IfHealthyBudget""#,
        ],
    ),
    (
        "priority",
        r#"{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "x"}, "value": 1, "preemptionPolicy": ""}"#,
        &["preemptionPolicy: Required value"],
    ),
    (
        "runtime class",
        r#"{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "x"}, "handler": "", "scheduling": {"tolerations": [{"key": "k", "operator": "Exists"}, {"key": "k", "operator": "Exists"}]}}"#,
        &[
            "handler: Required value",
            r#"scheduling.tolerations[1]: Duplicate value: {"Key":"k","Operator":"Exists","Value":"","Effect":"","TolerationSeconds":null}"#,
        ],
    ),
    (
        "taints",
        r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"}, "spec": {"podCIDRs": ["10.0.0.0/24", "x"], "taints": [{"key": "k", "effect": "NoSchedule"}, {"key": "k", "effect": "NoSchedule"}]}}"#,
        &[
            r#"metadata.taints[1]: Duplicate value: {"Key":"k","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#,
            r#"spec.podCIDRs[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#,
            "spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[1]: <nil> (invalid CIDR address: x)",
            r#"spec.podCIDRs: Invalid value: ["10.0.0.0/24","x"]: may specify no more than one CIDR for each IP family"#,
        ],
    ),
    (
        "limits",
        r#"{"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "x", "namespace": "default"}, "spec": {"limits": [{"type": "Bad Type", "max": {"cpu": "1"}}, {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}]}}"#,
        &[
            r#"spec.limits[0].type: Invalid value: "Bad Type": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
            r#"spec.limits[1].default[cpu]: Invalid value: "1": default value 2 is greater than max value 1"#,
        ],
    ),
    (
        "flow",
        r#"{"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "x"}, "spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 9, "distinguisherMethod": {"type": "X"}, "rules": [{"subjects": [{"kind": "User", "user": {"name": "u"}}], "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["x"], "namespaces": ["N"]}]}]}}"#,
        &[
            r#"spec.distinguisherMethod.type: Unsupported value: {"Type":"X"}: supported values: "ByNamespace", "ByUser""#,
            r#"spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: "N": each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#,
        ],
    ),
    (
        "aggregated roles",
        r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "x"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "B !"}}]}}"#,
        &[
            r#"aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: "B !": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#,
            "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.",
        ],
    ),
    (
        "long names",
        r#"{"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "X", "namespace": "default"}, "spec": {"selector": {"app": "x"}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}}}"#,
        &[
            r#"metadata.name: Invalid value: "X": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    ),
    (
        "a service is a label",
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "X_1", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}"#,
        &[
            r#"metadata.name: Invalid value: "X_1": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#,
        ],
    ),
];

#[test]
fn the_rest_is_judged_as_by_upstream() {
    check_all(THE_REST);
}

/// Puts a merge patch over an object.
fn merge(object: &mut Value, patch: &Value) {
    for (field, value) in patch.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) if object[field].is_object() => merge(&mut object[field], value),
            value => object[field] = value.clone(),
        }
    }
}

/// Objects, merge patches of them, and the causes.
const CHANGES: &[(&str, &str, &str, &[&str])] = &[
    (
        "driver",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "u.x"}, "spec": {"attachRequired": true, "podInfoOnMount": false}}"#,
        r#"{"spec": {"attachRequired": false}}"#,
        &["spec.attachedRequired: Invalid value: false: field is immutable"],
    ),
    (
        "class",
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "ux"}, "provisioner": "a.b/c", "reclaimPolicy": "Delete"}"#,
        r#"{"provisioner": "a.b/d", "reclaimPolicy": "Keep", "allowedTopologies": [{"matchLabelExpressions": [{"key": "", "values": ["a"]}]}]}"#,
        &[
            r#"reclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Retain""#,
            r#"allowedTopologies[0].matchLabelExpressions[0].key: Invalid value: "": name part must be non-empty"#,
            r#"allowedTopologies[0].matchLabelExpressions[0].key: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
            r#"provisioner: Invalid value: "a.b/d": field is immutable"#,
            r#"reclaimPolicy: Invalid value: "Keep": field is immutable"#,
        ],
    ),
    (
        "priority",
        r#"{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "ux"}, "value": 1, "preemptionPolicy": "Never"}"#,
        r#"{"preemptionPolicy": "X"}"#,
        &[r#"preemptionPolicy: Invalid value: "X": field is immutable"#],
    ),
    (
        "a range that grows",
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "ux"}, "spec": {"cidrs": ["10.210.0.0/24"]}}"#,
        r#"{"spec": {"cidrs": ["10.210.0.0/24", "x"]}}"#,
        &[
            r#"spec.cidrs[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#,
        ],
    ),
    (
        "a range that goes",
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "ux"}, "spec": {"cidrs": ["10.210.0.0/24"]}}"#,
        r#"{"spec": {"cidrs": []}}"#,
        &["spec.cidrs: Invalid value: []: field is immutable"],
    ),
    (
        "what is scaled",
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "default"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}}"#,
        r#"{"spec": {"scaleTargetRef": {"apiVersion": "v1", "kind": "Thing", "name": "d"}}}"#,
        &[r#"spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group"#],
    ),
    (
        "claims of a template",
        r#"{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "ux", "namespace": "default"}, "spec": {"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}}}"#,
        r#"{"metadata": {"labels": {"a": "b"}}}"#,
        &[],
    ),
    (
        "gates of pods",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "schedulingGates": [{"name": "a.b/c"}], "nodeSelector": {"a": "b"}, "automountServiceAccountToken": false}}"#,
        r#"{"spec": {"nodeSelector": {"a": "c"}}}"#,
        &[
            r#"spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"#,
        ],
    ),
    (
        "terms of gated pods",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "i"}], "schedulingGates": [{"name": "a.b/c"}], "automountServiceAccountToken": false, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}}}"#,
        r#"{"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "b", "operator": "Exists"}]}]}}}}}"#,
        &[
            r#"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: Invalid value: {"MatchExpressions":[{"Key":"b","Operator":"Exists","Values":null}],"MatchFields":null}: only additions are allowed (no mutations or deletions)"#,
        ],
    ),
    (
        "a claim without its class",
        r#"{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "ux", "namespace": "default"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#,
        r#"{"spec": {"resources": {"requests": {"storage": "1Mi"}}}}"#,
        &[
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ],
    ),
];

#[test]
fn changes_are_judged_as_by_upstream() {
    for (name, object, patch, want) in CHANGES {
        let read = |text: &str| -> Value { serde_json::from_str(text).expect(name) };
        let (old, faults) = created(read(object));
        assert!(faults.is_empty(), "{name}: {faults:?}");
        let mut new = old.clone();
        merge(&mut new, &read(patch));
        let strategy = strategy_for(&resource_of(&old));
        strategy.prepare_for_update(&context(""), &mut new, &old);
        let told = crate::check::told(&strategy.validate_update(&context(""), &new, &old));
        // Upstream shows what differs in further lines.
        let mut got: Vec<&str> = told.iter().filter_map(|cause| cause.lines().next()).collect();
        let mut want = want.to_vec();
        got.sort_unstable();
        got.dedup();
        want.sort_unstable();
        assert_eq!(got, want, "{name}");
    }
}
