//! The smallest object of every kind that upstream takes.

use serde_json::{Value, json};

/// The namespace that namespaced ones are made in.
pub(crate) const NAMESPACE: &str = "harbour";

/// What the resource wants its object to be called: `cover`, where it may.
pub(crate) fn name_of(resource: &str) -> &'static str {
    match resource {
        "customresourcedefinitions" => "covers.cover.example.com",
        "apiservices" => "v1.cover.example.org",
        "ipaddresses" => "10.97.0.9",
        "componentstatuses" => "etcd-0",
        _ => "cover",
    }
}

/// An object of this resource, labelled `cover=yes`; none for a resource that this table does not know.
pub(crate) fn fixture(group: &str, version: &str, resource: &str, kind: &str) -> Option<Value> {
    let mut object = contents(group, resource)?;
    let api_version = if group.is_empty() { version.into() } else { format!("{group}/{version}") };
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    if !object["metadata"].is_object() {
        object["metadata"] = json!({ "name": name_of(resource), "labels": { "cover": "yes" } });
    }
    Some(object)
}

fn contents(group: &str, resource: &str) -> Option<Value> {
    let found = match group {
        "" => core(resource),
        "apps" | "batch" | "autoscaling" | "policy" => workloads(resource),
        "admissionregistration.k8s.io" | "apiextensions.k8s.io" | "apiregistration.k8s.io" => {
            extension(resource)
        }
        "authentication.k8s.io"
        | "authorization.k8s.io"
        | "certificates.k8s.io"
        | "rbac.authorization.k8s.io" => access(resource),
        "networking.k8s.io" | "discovery.k8s.io" | "flowcontrol.apiserver.k8s.io" => network(resource),
        "storage.k8s.io" | "resource.k8s.io" => storage(resource),
        _ => others(resource),
    };
    (!found.is_null()).then_some(found)
}

fn pod_spec() -> Value {
    json!({ "automountServiceAccountToken": false, "containers": [{ "name": "c", "image": "busybox" }] })
}

fn template() -> Value {
    json!({ "metadata": { "labels": { "a": "b" } }, "spec": pod_spec() })
}

fn core(resource: &str) -> Value {
    match resource {
        "bindings" => json!({
            "metadata": { "name": "cover", "namespace": NAMESPACE }, "target": { "kind": "Node", "name": "n" },
        }),
        "configmaps" | "componentstatuses" | "endpoints" | "namespaces" | "secrets" | "serviceaccounts" => {
            json!({})
        }
        "events" => json!({ "involvedObject": { "namespace": NAMESPACE, "kind": "Pod", "name": "p" } }),
        "limitranges" => {
            json!({ "spec": { "limits": [{ "type": "PersistentVolumeClaim", "max": { "storage": "9Gi" } }] } })
        }
        "nodes" => json!({ "spec": {} }),
        "persistentvolumeclaims" => json!({
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        }),
        "persistentvolumes" => json!({
            "spec": {
                "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" }, "hostPath": { "path": "/srv" },
            },
        }),
        "pods" => json!({ "spec": pod_spec() }),
        "podtemplates" => json!({ "template": template() }),
        "replicationcontrollers" => {
            json!({ "spec": { "replicas": 0, "selector": { "a": "b" }, "template": template() } })
        }
        "resourcequotas" => json!({ "spec": { "hard": { "count/things.example.com": "5" } } }),
        "services" => json!({ "spec": { "ports": [{ "port": 80 }] } }),
        _ => Value::Null,
    }
}

fn workloads(resource: &str) -> Value {
    let selector = json!({ "matchLabels": { "a": "b" } });
    let mut once = template();
    once["spec"]["restartPolicy"] = "Never".into();
    match resource {
        "controllerrevisions" => json!({ "data": { "a": 1 }, "revision": 1 }),
        "daemonsets" => json!({ "spec": { "selector": selector, "template": template() } }),
        "deployments" | "replicasets" | "statefulsets" => {
            json!({ "spec": { "replicas": 0, "selector": selector, "template": template() } })
        }
        "jobs" => json!({ "spec": { "template": once } }),
        "cronjobs" => {
            json!({ "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": once } } } })
        }
        "horizontalpodautoscalers" => json!({ "spec": {
            "maxReplicas": 3, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "d" },
        } }),
        "poddisruptionbudgets" => {
            json!({ "spec": { "minAvailable": 1, "selector": { "matchLabels": { "z": "z" } } } })
        }
        _ => Value::Null,
    }
}

fn extension(resource: &str) -> Value {
    let constraints = json!({ "resourceRules": [{
        "apiGroups": ["nobody.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"],
    }] });
    match resource {
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => json!({ "webhooks": [] }),
        "validatingadmissionpolicies" => {
            json!({ "spec": { "matchConstraints": constraints, "validations": [{ "expression": "true" }] } })
        }
        "mutatingadmissionpolicies" => json!({ "spec": {
            "matchConstraints": constraints, "reinvocationPolicy": "Never",
            "mutations": [{ "patchType": "JSONPatch", "jsonPatch": {
                "expression": "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': 'b'}}]",
            } }],
        } }),
        "validatingadmissionpolicybindings" => {
            json!({ "spec": { "policyName": "none", "validationActions": ["Deny"] } })
        }
        "mutatingadmissionpolicybindings" => json!({ "spec": { "policyName": "none" } }),
        "customresourcedefinitions" => json!({ "spec": {
            "group": "cover.example.com", "scope": "Namespaced", "names": { "plural": "covers", "kind": "Cover" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } },
            }],
        } }),
        "apiservices" => json!({ "spec": {
            "group": "cover.example.org", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": { "namespace": NAMESPACE, "name": "nobody" },
        } }),
        _ => Value::Null,
    }
}

/// Of the common name `cover`.
const SIGNING_REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISk1ISUNBUUF3RURFT01Bd0dBMVVFQXd3RlkyOTJaWEl3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPUFFNQgpCd05DQUFUNnNEQllkdEptZkg1NHBvMC9nQk5Jd05VQm9Id1F1RDBlSUMxbG1SdnlEOUFDOE5acFROMGJiYVZ6CkJLYms5RlJQOGg5cEo0U2p0aFdhK0ZTZWZhUGVvQUF3Q2dZSUtvWkl6ajBFQXdJRFJ3QXdSQUlnU2ZkcldSdUsKUEZyMGRkYU11citBYm55QmZycHpvNW00ZzY1TjM5VnkvajBDSURTcTNJVnRPVHVFSXBoeWdFYnhYYWo0Tm1WNQpKMEtlb29VSGNHLzR4TmlnCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";

fn access(resource: &str) -> Value {
    let reference = |kind: &str| {
        json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "nothing" },
            "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "someone" }],
        })
    };
    let review = json!({ "user": "a", "resourceAttributes": { "namespace": NAMESPACE, "verb": "get", "resource": "pods" } });
    match resource {
        "selfsubjectreviews" => json!({ "metadata": {} }),
        "tokenreviews" => json!({ "metadata": {}, "spec": { "token": "x" } }),
        "localsubjectaccessreviews" => json!({ "metadata": { "namespace": NAMESPACE }, "spec": review }),
        "subjectaccessreviews" => json!({ "metadata": {}, "spec": review }),
        "selfsubjectaccessreviews" => {
            json!({ "metadata": {}, "spec": { "nonResourceAttributes": { "path": "/", "verb": "get" } } })
        }
        "selfsubjectrulesreviews" => json!({ "metadata": {}, "spec": { "namespace": NAMESPACE } }),
        "certificatesigningrequests" => json!({ "spec": {
            "request": SIGNING_REQUEST, "signerName": "example.com/cover", "usages": ["client auth"],
        } }),
        "clusterroles" | "roles" => json!({ "rules": [] }),
        "clusterrolebindings" | "rolebindings" => reference("ClusterRole"),
        _ => Value::Null,
    }
}

fn network(resource: &str) -> Value {
    match resource {
        "ingressclasses" => json!({ "spec": { "controller": "example.com/c" } }),
        "ingresses" => {
            json!({ "spec": { "defaultBackend": { "service": { "name": "s", "port": { "number": 80 } } } } })
        }
        "ipaddresses" => {
            json!({ "spec": { "parentRef": { "resource": "services", "name": "s", "namespace": NAMESPACE } } })
        }
        "networkpolicies" => json!({ "spec": { "podSelector": {} } }),
        "servicecidrs" => json!({ "spec": { "cidrs": ["10.98.0.0/24"] } }),
        "endpointslices" => json!({ "addressType": "IPv4", "endpoints": [] }),
        "flowschemas" => json!({ "spec": {
            "matchingPrecedence": 9000, "priorityLevelConfiguration": { "name": "global-default" },
        } }),
        "prioritylevelconfigurations" => json!({ "spec": { "type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "limitResponse": { "type": "Reject" },
        } } }),
        _ => Value::Null,
    }
}

fn storage(resource: &str) -> Value {
    match resource {
        "csidrivers" => json!({ "spec": {} }),
        "csinodes" => json!({ "spec": { "drivers": [] } }),
        "csistoragecapacities" => json!({ "storageClassName": "x" }),
        "storageclasses" => json!({ "provisioner": "example.com/p" }),
        "volumeattachments" => json!({ "spec": {
            "attacher": "a.example.com", "nodeName": "n", "source": { "persistentVolumeName": "pv" },
        } }),
        "volumeattributesclasses" => json!({ "driverName": "d.example.com", "parameters": { "a": "b" } }),
        "deviceclasses" | "resourceclaims" => json!({ "spec": {} }),
        "resourceclaimtemplates" => json!({ "spec": { "spec": {} } }),
        "resourceslices" => json!({ "spec": {
            "driver": "d.example.com", "nodeName": "n",
            "pool": { "name": "p", "resourceSliceCount": 1, "generation": 1 },
        } }),
        "devicetaintrules" => json!({ "spec": {
            "deviceSelector": { "driver": "d.example.com" },
            "taint": { "key": "example.com/k", "value": "v", "effect": "NoSchedule" },
        } }),
        _ => Value::Null,
    }
}

fn others(resource: &str) -> Value {
    match resource {
        "leases" => json!({ "spec": {} }),
        "boats" => json!({ "spec": { "crew": 1 } }),
        "runtimeclasses" => json!({ "handler": "h" }),
        "priorityclasses" => json!({ "value": 1 }),
        "events" => json!({
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "example.com/c",
            "reportingInstance": "i", "action": "Act", "reason": "Reason", "type": "Normal",
            "regarding": { "namespace": NAMESPACE, "kind": "Pod", "name": "p" },
        }),
        _ => Value::Null,
    }
}
