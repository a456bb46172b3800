use serde_json::json;

use super::*;

fn check(api_version: &str, kind: &str, mut object: Value, expected: Value) {
    let gvk = GroupVersionKind::from_api_version(api_version, kind);
    assert!(Table::builtin().type_for(&gvk).is_some(), "{gvk}");
    apply_defaults(&gvk, &mut object);
    assert_eq!(object, expected, "{gvk}");
    apply_defaults(&gvk, &mut object);
    assert_eq!(object, expected, "{gvk}: defaulting again changes nothing");
}

#[test]
fn a_pod_is_filled_in() {
    check(
        "v1",
        "Pod",
        json!({"spec": {
            "hostNetwork": true,
            "containers": [{
                "name": "a", "image": "nginx",
                "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0.0001"}},
                "livenessProbe": {"httpGet": {"port": 80}},
                "env": [{"name": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            }],
            "volumes": [
                {"name": "e"},
                {"name": "c", "configMap": {"name": "x"}},
                {"name": "h", "hostPath": {"path": "/x"}},
                {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            ],
        }}),
        json!({"spec": {
            "hostNetwork": true, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
            "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler", "enableServiceLinks": true,
            "containers": [{
                "name": "a", "image": "nginx", "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "resources": {
                    "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m", "memory": "1Gi"}},
                "livenessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "env": [{"name": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}],
            }],
            "volumes": [
                {"name": "e", "emptyDir": {}},
                {"name": "c", "configMap": {"name": "x", "defaultMode": 420}},
                {"name": "h", "hostPath": {"path": "/x", "type": ""}},
                {"name": "p", "projected": {
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                    "defaultMode": 420}},
            ],
        }}),
    );
}

#[test]
fn a_template_is_no_pod() {
    let spec = json!({
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
        "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
        "containers": [{
            "name": "a", "image": "nginx:1", "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "resources": {"limits": {"cpu": "1"}}}],
    });
    check(
        "apps/v1",
        "Deployment",
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "nginx:1", "resources": {"limits": {"cpu": "1"}}}]}}}}),
        json!({"spec": {
            "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"spec": spec}}}),
    );
}

#[test]
fn workloads_are_filled_in() {
    let pod = json!({
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Never", "securityContext": {},
        "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler"});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never"}});
    let filled = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod});
    check(
        "batch/v1",
        "Job",
        json!({"spec": {"template": template}}),
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {
            "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1, "suspend": false,
            "manualSelector": false, "podReplacementPolicy": "TerminatingOrFailed", "template": filled}}),
    );
    check(
        "batch/v1",
        "CronJob",
        json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}}),
        json!({"spec": {
            "schedule": "* * * * *", "concurrencyPolicy": "Allow", "suspend": false, "failedJobsHistoryLimit": 1,
            "successfulJobsHistoryLimit": 3, "jobTemplate": {"spec": {"template": filled}}}}),
    );
    check(
        "apps/v1",
        "DaemonSet",
        json!({"spec": {"template": template}}),
        json!({
            "metadata": {"annotations": {"deprecated.daemonset.template.generation": "0"}},
            "spec": {"revisionHistoryLimit": 10, "template": filled, "updateStrategy": {
                "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}}),
    );
    check(
        "apps/v1",
        "StatefulSet",
        json!({"spec": {"template": template, "volumeClaimTemplates": [{"spec": {}}]}}),
        json!({"spec": {
            "podManagementPolicy": "OrderedReady", "replicas": 1, "revisionHistoryLimit": 10, "template": filled,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "volumeClaimTemplates": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}]}}),
    );
    check(
        "v1",
        "ReplicationController",
        json!({"spec": {"template": template}}),
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {
            "replicas": 1, "selector": {"a": "b"}, "template": filled}}),
    );
    check(
        "apps/v1",
        "ReplicaSet",
        json!({"spec": {"template": template}}),
        json!({"spec": {"replicas": 1, "template": filled}}),
    );
}

#[test]
fn volumes_are_filled_in() {
    let cases = [
        (json!({"image": {"reference": "a"}}), json!({"image": {"reference": "a", "pullPolicy": "Always"}})),
        (
            json!({"image": {"reference": "a:1"}}),
            json!({"image": {"reference": "a:1", "pullPolicy": "IfNotPresent"}}),
        ),
        (
            json!({"azureDisk": {"diskName": "d", "diskURI": "u"}}),
            json!({"azureDisk": {"diskName": "d", "diskURI": "u", "cachingMode": "ReadWrite", "fsType": "ext4",
                "kind": "Shared", "readOnly": false}}),
        ),
        (
            json!({"rbd": {"image": "i"}}),
            json!({"rbd": {"image": "i", "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}}),
        ),
        (
            json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
            json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem"}}}}),
        ),
        (
            json!({"projected": {"sources": [{"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}),
            json!({"projected": {"defaultMode": 420, "sources": [{"downwardAPI": {"items": [
                {"path": "p", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}]}}]}}),
        ),
    ];
    for (given, want) in cases {
        let mut pod = json!({"spec": {"volumes": [given]}});
        apply_defaults(&GroupVersionKind::new("", "v1", "Pod"), &mut pod);
        assert_eq!(pod["spec"]["volumes"][0], want);
    }
}

#[test]
fn an_account_has_two_names() {
    for (given, want) in [("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")]
    {
        let mut pod = json!({"spec": {given: "a"}});
        apply_defaults(&GroupVersionKind::new("", "v1", "Pod"), &mut pod);
        assert_eq!(pod["spec"][want], "a");
    }
    let mut pod = json!({"spec": {"serviceAccountName": "a", "serviceAccount": "b"}});
    apply_defaults(&GroupVersionKind::new("", "v1", "Pod"), &mut pod);
    assert_eq!(pod["spec"]["serviceAccount"], "a");
}

#[test]
fn services_are_filled_in() {
    check(
        "v1",
        "Service",
        json!({"spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}}),
        json!({"spec": {
            "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ports": [
                {"port": 80, "protocol": "TCP", "targetPort": 80},
                {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}}),
    );
    check(
        "v1",
        "Service",
        json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "h"}]}}}),
        json!({"spec": {
            "type": "LoadBalancer", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}, "externalTrafficPolicy": "Cluster",
            "allocateLoadBalancerNodePorts": true},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}, {"hostname": "h"}]}}}),
    );
    check(
        "v1",
        "Service",
        json!({"spec": {"type": "ExternalName", "externalName": "x"}}),
        json!({"spec": {"type": "ExternalName", "externalName": "x", "sessionAffinity": "None"}}),
    );
}

#[test]
fn small_kinds_are_filled_in() {
    let rbac = "rbac.authorization.k8s.io";
    let cases = [
        ("v1", "Secret", json!({}), json!({"type": "Opaque"})),
        (
            "v1",
            "Secret",
            json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "new"}}),
            json!({"type": "Opaque", "data": {"a": "bmV3", "b": "eQ=="}}),
        ),
        (
            "v1",
            "Namespace",
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
                "status": {"phase": "Active"}}),
        ),
        ("v1", "Namespace", json!({}), json!({"status": {"phase": "Active"}})),
        ("v1", "ConfigMap", json!({"data": {"a": "b"}}), json!({"data": {"a": "b"}})),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({}),
            json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        ),
        (
            "v1",
            "PersistentVolume",
            json!({"spec": {"iscsi": {"iqn": "x"}}}),
            json!({"spec": {
                "iscsi": {"iqn": "x", "iscsiInterface": "default"}, "persistentVolumeReclaimPolicy": "Retain",
                "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        ),
        (
            "v1",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1"}}]}}),
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1"},
                "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2", "memory": "1"}}]}}),
        ),
        (
            "v1",
            "Node",
            json!({"status": {"capacity": {"cpu": "1"}}}),
            json!({"status": {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"}}}),
        ),
        (
            "v1",
            "Endpoints",
            json!({"subsets": [{"ports": [{"port": 1}]}]}),
            json!({"subsets": [{"ports": [{"port": 1, "protocol": "TCP"}]}]}),
        ),
        (
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({"ports": [{"port": 1}]}),
            json!({"ports": [{"port": 1, "name": "", "protocol": "TCP"}]}),
        ),
        (
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            json!({"roleRef": {"kind": "ClusterRole", "name": "x"}, "subjects": [
                {"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
            json!({"roleRef": {"kind": "ClusterRole", "name": "x", "apiGroup": rbac}, "subjects": [
                {"kind": "User", "name": "u", "apiGroup": rbac}, {"kind": "ServiceAccount", "name": "s"}]}),
        ),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"egress": [{"ports": [{"port": 1}]}]}}),
            json!({"spec": {"egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}], "policyTypes": ["Ingress", "Egress"]}}),
        ),
        (
            "storage.k8s.io/v1",
            "StorageClass",
            json!({}),
            json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        ),
        (
            "scheduling.k8s.io/v1",
            "PriorityClass",
            json!({}),
            json!({"preemptionPolicy": "PreemptLowerPriority"}),
        ),
        ("authentication.k8s.io/v1", "TokenRequest", json!({}), json!({"spec": {"expirationSeconds": 3600}})),
        ("coordination.k8s.io/v1", "Lease", json!({"spec": {}}), json!({"spec": {}})),
    ];
    for (api_version, kind, object, expected) in cases {
        check(api_version, kind, object, expected);
    }
}

#[test]
fn nested_parts_are_filled_in() {
    let cases = [
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"spec": {"behavior": {}}}),
            json!({"spec": {
                "minReplicas": 1,
                "metrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                        {"type": "Pods", "value": 4, "periodSeconds": 15},
                        {"type": "Percent", "value": 100, "periodSeconds": 15}]},
                    "scaleDown": {"selectPolicy": "Max", "policies": [
                        {"type": "Percent", "value": 100, "periodSeconds": 15}]}}}}),
        ),
        (
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            json!({"webhooks": [{"name": "x", "rules": [{}], "clientConfig": {"service": {"name": "s"}}}]}),
            json!({"webhooks": [{
                "name": "x", "rules": [{"scope": "*"}], "clientConfig": {"service": {"name": "s", "port": 443}},
                "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
                "timeoutSeconds": 10, "reinvocationPolicy": "Never"}]}),
        ),
        (
            "resource.k8s.io/v1",
            "ResourceClaim",
            json!({"spec": {"devices": {"requests": [{"name": "a", "exactly": {}}]}}}),
            json!({"spec": {"devices": {"requests": [
                {"name": "a", "exactly": {"allocationMode": "ExactCount", "count": 1}}]}}}),
        ),
    ];
    for (api_version, kind, object, expected) in cases {
        check(api_version, kind, object, expected);
    }
}

/// What a fresh cluster holds has been defaulted by upstream: there is nothing to add.
#[test]
fn upstreams_own_objects_are_complete() {
    for (plural, objects) in crate::table::bootstrap_objects() {
        for object in objects.as_array().into_iter().flatten() {
            let (Some(api_version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str())
            else {
                continue;
            };
            let mut defaulted = object.clone();
            apply_defaults(&GroupVersionKind::from_api_version(api_version, kind), &mut defaulted);
            assert_eq!(&defaulted, object, "{plural}");
        }
    }
}

/// Every kind, empty: nothing panics, and once is enough.
#[test]
fn defaulting_is_idempotent_for_every_kind() {
    for (_, ty) in Table::builtin().kinds() {
        let mut once = json!({"spec": {}, "status": {}});
        apply_defaults_as(ty, &mut once);
        let mut twice = once.clone();
        apply_defaults_as(ty, &mut twice);
        assert_eq!(once, twice, "{}", Table::builtin().ty(ty).name);
    }
}

#[test]
fn pod_level_requests_come_from_the_containers() {
    let mut pod = json!({"spec": {
        "resources": {"limits": {"cpu": "4", "memory": "4Gi", "pods": "1"}},
        "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "2"}}}],
        "containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}},
            {"name": "b", "resources": {"requests": {"cpu": "1"}}}]}});
    apply_defaults(&GroupVersionKind::new("", "v1", "Pod"), &mut pod);
    assert_eq!(pod["spec"]["resources"]["requests"], json!({"cpu": "2", "memory": "4Gi"}));
}
