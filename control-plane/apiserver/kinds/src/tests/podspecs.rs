//! The parts of a pod's spec: containers, volumes, security, scheduling.

use super::*;

/// What it shows, the parts that differ from a good object, and what is said of them.
type Case = (&'static str, Value, &'static [&'static str]);

fn with(rest: Value) -> Value {
    let mut spec = container(json!({}));
    for (field, value) in rest.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    pod(spec)
}

fn volume(source: Value) -> Value {
    let mut volume = json!({"name": "v"});
    for (field, value) in source.as_object().into_iter().flatten() {
        volume[field] = value.clone();
    }
    with(json!({ "volumes": [volume], "serviceAccountName": "a" }))
}

fn containers_cases_1() -> Vec<Case> {
    vec![
        (
            "image",
            json!({"image": " i"}),
            &[
                "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
            ],
        ),
        (
            "resources",
            json!({"resources": {"requests": {"cars": "1", "example.com/gpu": "1"}, "limits": {"hugepages-2Mi": "3Mi"}}}),
            &[
                "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources.requests[cars]: Invalid value: \"cars\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.requests[cars]: Invalid value: \"cars\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
                "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
            ],
        ),
        (
            "claims",
            json!({"resources": {"claims": [{"name": "c"}]}}),
            &["spec.containers[0].resources.claims[0]: Not found: \"c\""],
        ),
        (
            "probe",
            json!({"livenessProbe": {"successThreshold": 2, "httpGet": {"port": 0, "scheme": "FTP"}, "grpc": {"port": 1}}}),
            &[
                "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.containers[0].livenessProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
                "spec.containers[0].livenessProbe.grpc: Forbidden: may not specify more than 1 handler type",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        ),
        (
            "readiness",
            json!({"readinessProbe": {"terminationGracePeriodSeconds": 5, "exec": {"command": ["a"]}}}),
            &[
                "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
            ],
        ),
        (
            "sleep",
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
            &[
                "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
            ],
        ),
        (
            "env",
            json!({"env": [
                {"name": "a=b"}, {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.foo"}}},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}},
                {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "3"}}},
                {"name": "D", "valueFrom": {}},
                {"name": "E", "valueFrom": {"fileKeyRef": {"volumeName": "none", "path": "../x", "key": "k"}}},
            ]}),
            &[
                "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII",
                "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.foo\": error converting fieldPath: field label not supported: metadata.foo",
                "spec.containers[0].env[1].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
                "spec.containers[0].env[2].valueFrom.fieldRef: Invalid value: \"a b\": name part must consist of",
                "spec.containers[0].env[3].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
                "spec.containers[0].env[4].valueFrom: Invalid value: \"\": must specify one of:",
                "spec.containers[0].env[5].valueFrom.fileKeyRef.volumeName: Not found: \"none\"",
                "spec.containers[0].env[5].valueFrom.fileKeyRef.path: Invalid value: \"../x\": must not contain '..'",
            ],
        ),
    ]
}

fn containers_cases_2() -> Vec<Case> {
    vec![
        (
            "env from",
            json!({"envFrom": [{}, {"configMapRef": {"name": "A"}}]}),
            &[
                "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
                "spec.containers[0].envFrom[1].configMapRef.name: Invalid value: \"A\"",
            ],
        ),
        (
            "mounts",
            json!({"volumeMounts": [
                {"name": "v", "mountPath": "/a", "subPath": "/x", "subPathExpr": "y"},
                {"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional", "recursiveReadOnly": "Enabled"}]}),
            &[
                "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"/x\": must be a relative path",
                "spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: \"y\": subPathExpr and subPath are mutually exclusive",
                "spec.containers[0].volumeMounts[1].name: Not found: \"v\"",
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
                "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
            ],
        ),
        (
            "security",
            json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false, "runAsUser": -1, "procMount": "Unmasked",
                "seccompProfile": {"type": "Localhost"}, "appArmorProfile": {"type": "Unconfined", "localhostProfile": "x"}}}),
            &[
                "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
                "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
                "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: \"x\": can only be set when AppArmor type is Localhost",
                "spec.containers[0].securityContext: Invalid value: {",
            ],
        ),
        (
            "restart rules",
            json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
            &[
                "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            ],
        ),
        (
            "resize policy",
            json!({"resizePolicy": [{"resourceName": "disk", "restartPolicy": "NotRequired"}]}),
            &[
                "spec.containers[0].resizePolicy: Unsupported value: \"disk\": supported values: \"cpu\", \"memory\"",
            ],
        ),
        (
            "policy",
            json!({"imagePullPolicy": "Maybe"}),
            &[
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            "message",
            json!({"terminationMessagePolicy": "Mail"}),
            &[
                "spec.containers[0].terminationMessagePolicy: Unsupported value: \"Mail\": supported values: \"File\", \"FallbackToLogsOnError\"",
            ],
        ),
    ]
}

#[test]
fn containers_are_told_what_is_wrong() {
    let cases = containers_cases_1().into_iter().chain(containers_cases_2());
    for (name, rest, want) in cases {
        check(name, pod(container(rest)), want);
    }
    check(
        "init",
        with(json!({"initContainers": [
            {"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}},
            {"name": "s", "image": "i", "restartPolicy": "Always", "livenessProbe": {"exec": {"command": ["x"]}}},
            {"name": "a", "image": "i"}]})),
        &[
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            "spec.initContainers[2].name: Duplicate value: \"a\"",
        ],
    );
}

fn volumes_cases_1() -> Vec<Case> {
    vec![
        (
            "empty",
            json!({"emptyDir": {"sizeLimit": "-1"}}),
            &[
                "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
            ],
        ),
        (
            "host path",
            json!({"hostPath": {"path": "/a/..", "type": "Odd"}}),
            &[
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/..\": must not contain '..'",
                "spec.volumes[0].hostPath.type: Unsupported value: \"Odd\": supported values: \"\", \"BlockDevice\"",
            ],
        ),
        (
            "secret",
            json!({"secret": {"defaultMode": 512, "items": [{"key": "", "path": "..x"}]}}),
            &[
                "spec.volumes[0].secret.secretName: Required value",
                "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
                "spec.volumes[0].secret.items[0].key: Required value",
                "spec.volumes[0].secret.items[0].path: Invalid value: \"..x\": must not start with '..'",
            ],
        ),
        (
            "downward",
            json!({"downwardAPI": {"items": [{"path": "a"}, {"path": "b", "resourceFieldRef": {"resource": "limits.cpu"}}]}}),
            &[
                "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
                "spec.volumes[0].downwardAPI.resourceFieldRef.containerName: Required value",
            ],
        ),
        (
            "claim",
            json!({"persistentVolumeClaim": {"claimName": ""}}),
            &["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
        ),
        (
            "nfs",
            json!({"nfs": {"server": "s", "path": "a"}}),
            &["spec.volumes[0].nfs.path: Invalid value: \"a\": must be an absolute path"],
        ),
        (
            "iscsi",
            json!({"iscsi": {"targetPortal": "t", "iqn": "x", "lun": 256, "chapAuthSession": true}}),
            &[
                "spec.volumes[0].iscsi.iqn: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa",
                "spec.volumes[0].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
                "spec.volumes[0].iscsi.secretRef: Required value",
            ],
        ),
        (
            "fc",
            json!({"fc": {}}),
            &[
                "spec.volumes[0].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both",
            ],
        ),
        (
            "csi",
            json!({"csi": {"driver": "A_b", "nodePublishSecretRef": {"name": ""}}}),
            &[
                "spec.volumes[0].csi.driver: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain",
                "spec.volumes[0].csi.nodePublishSecretRef.name: Required value",
            ],
        ),
    ]
}

fn volumes_cases_2() -> Vec<Case> {
    vec![
        (
            "ephemeral",
            json!({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}, "spec": {"accessModes": ["ReadWriteOnce"]}}}}),
            &[
                "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set for an ephemeral volume",
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
            ],
        ),
        ("image", json!({"image": {"reference": ""}}), &["spec.volumes[0].image.reference: Required value"]),
        (
            "azure",
            json!({"azureFile": {}}),
            &[
                "spec.volumes[0].azureFile.secretName: Required value",
                "spec.volumes[0].azureFile.shareName: Required value",
            ],
        ),
        (
            "flocker",
            json!({"flocker": {}}),
            &["spec.volumes[0].flocker: Required value: one of datasetName and datasetUUID is required"],
        ),
        ("ceph", json!({"cephfs": {"monitors": []}}), &["spec.volumes[0].cephfs.monitors: Required value"]),
        (
            "scale",
            json!({"scaleIO": {"gateway": "g", "system": "s"}}),
            &["spec.volumes[0].scaleIO.volumeName: Required value"],
        ),
        (
            "disk",
            json!({"gcePersistentDisk": {"pdName": "d", "partition": 256}}),
            &[
                "spec.volumes[0].gcePersistentDisk.partition: Invalid value: 256: must be between 0 and 255, inclusive",
            ],
        ),
        (
            "git",
            json!({"gitRepo": {"repository": "r", "directory": "/d"}}),
            &["spec.volumes[0].gitRepo.directory: Invalid value: \"/d\": must be a relative path"],
        ),
        (
            "two",
            json!({"emptyDir": {}, "hostPath": {"path": "/a"}}),
            &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "token",
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}}),
            &[
                "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
            ],
        ),
        (
            "conflict",
            json!({"projected": {"sources": [
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}}, {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
            {"secret": {"name": "s"}, "configMap": {"name": "c"}}]}}),
            &[
                "spec.volumes[0].projected: Invalid value: \"s\": conflicting duplicate paths",
                "spec.volumes[0].projected.sources[2]: Forbidden: may not specify more than 1 volume type",
            ],
        ),
    ]
}

#[test]
fn volumes_are_told_what_is_wrong() {
    let cases = volumes_cases_1().into_iter().chain(volumes_cases_2());
    for (name, source, want) in cases {
        check(name, volume(source), want);
    }
    check(
        "names",
        with(json!({"volumes": [{"name": "A", "emptyDir": {}}, {"name": "b"}, {"name": "b"}]})),
        &[
            "spec.volumes[0].name: Invalid value: \"A\": a lowercase RFC 1123 label",
            "spec.volumes[2].name: Duplicate value: \"b\"",
        ],
    );
    check(
        "unowned token",
        with(
            json!({"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
        ),
        &[
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
        ],
    );
}

fn specs_cases_1() -> Vec<Case> {
    vec![
        (
            "dns",
            json!({"dnsPolicy": "None"}),
            &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            "servers",
            json!({"dnsConfig": {"nameservers": ["1.1.1.1", "x", "2.2.2.2", "3.3.3.3"], "searches": ["a_b.c.", "-"], "options": [{}]}}),
            &[
                "spec.dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"x\",\"2.2.2.2\",\"3.3.3.3\"]: must not have more than 3 nameservers",
                "spec.dnsConfig.nameservers[1]: Invalid value: \"x\": must be a valid IP address",
                "spec.dnsConfig.searches[1]: Invalid value: \"-\": a lowercase RFC 1123 subdomain",
                "spec.dnsConfig.options[0]: Required value: must not be empty",
            ],
        ),
        (
            "policy",
            json!({"dnsPolicy": "Own"}),
            &[
                "spec.dnsPolicy: Unsupported value: \"Own\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
            ],
        ),
        (
            "deadline",
            json!({"activeDeadlineSeconds": 0}),
            &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            "os",
            json!({"os": {"name": "plan9"}}),
            &["spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
        ),
        (
            "windows",
            json!({"os": {"name": "windows"}, "hostPID": true, "securityContext": {"fsGroup": 1}}),
            &[
                "spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod",
                "spec.hostPID: Forbidden: cannot be set for a windows pod",
            ],
        ),
        (
            "host users",
            json!({"hostUsers": false, "hostNetwork": true}),
            &["spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"],
        ),
        (
            "processes",
            json!({"shareProcessNamespace": true, "hostPID": true}),
            &[
                "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ],
        ),
        (
            "sysctls",
            json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.x"}, {"name": "A"}, {"name": "kernel.x"}, {"name": "kernel.x"}]}}),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.x\": may not be specified when 'hostNetwork' is true",
                "spec.securityContext.sysctls[1].name: Invalid value: \"A\": must have at most 253 characters and match regex",
                "spec.securityContext.sysctls[3].name: Duplicate value: \"kernel.x\"",
            ],
        ),
        (
            "tolerations",
            json!({"tolerations": [{"operator": "Equal"}, {"key": "a", "operator": "Exists", "value": "v"}, {"key": "a", "operator": "Lt", "value": "1"}, {"key": "a", "tolerationSeconds": 1}]}),
            &[
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                "spec.tolerations[1].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'",
                "spec.tolerations[2].operator: Unsupported value: \"Lt\": supported values: \"Equal\", \"Exists\"",
                "spec.tolerations[3].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            ],
        ),
    ]
}

fn specs_cases_2() -> Vec<Case> {
    vec![
        (
            "spread",
            json!({"topologySpreadConstraints": [
            {"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2, "matchLabelKeys": ["k"]}]}),
            &[
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, DoNotSchedule}\"",
                "spec.topologySpreadConstraints[2].topologyKey: Required value: can not be empty",
                "spec.topologySpreadConstraints[2].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                "spec.topologySpreadConstraints[2].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
            ],
        ),
        (
            "affinity",
            json!({"affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {"matchFields": [{"key": "x", "operator": "In", "values": ["a"]}]}}]},
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["A"]}]}}}),
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
                "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100",
                "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].key: Invalid value: \"x\": not a valid field selector key",
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespace: Invalid value: \"A\"",
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": name part must be non-empty",
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": name part must consist",
            ],
        ),
        (
            "claims",
            json!({"resourceClaims": [{"name": "c"}, {"name": "c", "resourceClaimName": "x"}]}),
            &[
                "spec.resourceClaims[0]: Invalid value: {\"Name\":\"c\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
                "spec.resourceClaims[1].name: Duplicate value: \"c\"",
            ],
        ),
        (
            "whole",
            json!({"resources": {"requests": {"cpu": "1"}, "limits": {"disk": "1"}},
            "initContainers": [{"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}]}),
            &[
                "spec.resources.limits[disk]: Invalid value: \"disk\": must be a standard resource type or fully qualified",
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
            ],
        ),
        (
            "name of its own",
            json!({"hostnameOverride": "A", "hostNetwork": true, "setHostnameAsFQDN": true}),
            &[
                "spec.hostnameOverride: Invalid value: \"A\"",
                "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
                "spec.setHostnameAsFQDN: Forbidden: may not be specified when hostnameOverride is specified",
            ],
        ),
        (
            "overhead",
            json!({"overhead": {"x": "1"}}),
            &[
                "spec.overhead.limits[x]: Invalid value: \"x\": must be a standard resource type or fully qualified",
                "spec.overhead.limits[x]: Invalid value: \"x\": must be a standard resource for containers",
            ],
        ),
    ]
}

#[test]
fn specs_are_told_what_is_wrong() {
    let cases = specs_cases_1().into_iter().chain(specs_cases_2());
    for (name, rest, want) in cases {
        check(name, with(rest), want);
    }
    let mut mirror = with(json!({}));
    mirror["metadata"]["annotations"] =
        json!({"kubernetes.io/config.mirror": "x", "controller.kubernetes.io/pod-deletion-cost": "+1"});
    check(
        "annotations",
        mirror,
        &[
            "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set",
            "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer",
        ],
    );
    check_update(
        "mirrored later",
        with(json!({})),
        |p| p["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"}),
        &[
            "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName",
            "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation",
        ],
    );
}
