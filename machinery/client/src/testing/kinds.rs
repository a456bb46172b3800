//! Kinds and resources that the fake knows by name, for discovery and for objects put in by tests. Others are taken
//! as they come: the plural is the lower-case kind with an s.

use serde_json::{Value, json};

use super::path::ResourceId;

/// apiVersion, kind, plural, namespaced.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("v1", "Namespace", "namespaces", false),
    ("v1", "Node", "nodes", false),
    ("v1", "PersistentVolume", "persistentvolumes", false),
    ("v1", "Pod", "pods", true),
    ("v1", "Service", "services", true),
    ("v1", "Endpoints", "endpoints", true),
    ("v1", "Event", "events", true),
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Secret", "secrets", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("v1", "ResourceQuota", "resourcequotas", true),
    ("v1", "ReplicationController", "replicationcontrollers", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("apps/v1", "ReplicaSet", "replicasets", true),
    ("apps/v1", "DaemonSet", "daemonsets", true),
    ("apps/v1", "StatefulSet", "statefulsets", true),
    ("batch/v1", "Job", "jobs", true),
    ("coordination.k8s.io/v1", "Lease", "leases", true),
    ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", true),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", true),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    ("storage.k8s.io/v1", "VolumeAttributesClass", "volumeattributesclasses", false),
];

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Resources with a scale subresource.
const SCALED: [&str; 4] = ["deployments", "replicasets", "replicationcontrollers", "statefulsets"];

pub(super) fn is_scaled(resource: &ResourceId) -> bool {
    SCALED.contains(&resource.plural.as_str())
}

pub(super) fn kind_of(resource: &ResourceId) -> Option<&'static str> {
    let api_version = resource.api_version();
    let found =
        KINDS.iter().find(|(version, _, plural, _)| *version == api_version && *plural == resource.plural);
    found.map(|(_, kind, _, _)| *kind)
}

pub(super) fn resource_of(api_version: &str, kind: &str) -> ResourceId {
    let known = KINDS.iter().find(|(version, known, _, _)| *version == api_version && *known == kind);
    let plural =
        known.map_or_else(|| format!("{}s", kind.to_lowercase()), |(_, _, plural, _)| (*plural).into());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ResourceId { group: group.into(), version: version.into(), plural }
}

/// `/apis`, from the groups known.
pub(super) fn group_list() -> Value {
    let mut groups: Vec<&str> = KINDS.iter().filter_map(|(version, ..)| version.split('/').next()).collect();
    groups.retain(|group| *group != "v1");
    groups.dedup();
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|group| {
            let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
            json!({"name": group, "versions": [version.clone()], "preferredVersion": version})
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/api/v1` and `/apis/group/version`.
pub(super) fn resource_list(group: &str, version: &str) -> Value {
    let id = ResourceId { group: group.into(), version: version.into(), plural: String::new() };
    let group_version = id.api_version();
    let here = KINDS.iter().filter(|(version, ..)| *version == group_version);
    let mut resources = vec![];
    for (_, kind, plural, namespaced) in here {
        resources.push(json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind, "verbs": VERBS}));
        if SCALED.contains(plural) {
            resources.push(json!({
                "name": format!("{plural}/scale"), "singularName": "", "namespaced": true, "kind": "Scale",
                "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"],
            }));
        }
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}
