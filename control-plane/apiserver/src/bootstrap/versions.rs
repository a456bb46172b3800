//! The APIService of every version that is served: those of a fresh cluster, without those that are turned off, and with
//! those that are turned on.

use serde_json::{Value, json};

use crate::registry::Resources;

/// Versions that are not served by default: group, version, its group's priority, its own. Upstream's.
const FURTHER: [(&str, &str, i64, i64); 13] = [
    ("admissionregistration.k8s.io", "v1alpha1", 16700, 9),
    ("admissionregistration.k8s.io", "v1beta1", 16700, 12),
    ("certificates.k8s.io", "v1alpha1", 17300, 1),
    ("certificates.k8s.io", "v1beta1", 17300, 9),
    ("coordination.k8s.io", "v1alpha2", 16500, 12),
    ("coordination.k8s.io", "v1beta1", 16500, 13),
    ("internal.apiserver.k8s.io", "v1alpha1", 16000, 9),
    ("networking.k8s.io", "v1beta1", 17200, 9),
    ("resource.k8s.io", "v1alpha3", 16200, 1),
    ("resource.k8s.io", "v1beta1", 16200, 9),
    ("resource.k8s.io", "v1beta2", 16200, 15),
    ("scheduling.k8s.io", "v1alpha2", 16600, 2),
    ("storage.k8s.io", "v1beta1", 16800, 9),
];
/// Of a version that is not listed.
const OTHER: (i64, i64) = (15800, 9);

pub(super) fn services(defaults: Vec<Value>, resources: &Resources) -> Vec<Value> {
    let text = |service: &Value, field: &str| service["spec"][field].as_str().unwrap_or_default().to_string();
    let mut all = defaults;
    all.retain(|service| resources.serves_version(&text(service, "group"), &text(service, "version")));
    for served in resources.served().iter().filter(|served| served.custom.is_none()) {
        let (group, version) = (served.api.group, served.api.version);
        if !all.iter().any(|known| (&*text(known, "group"), &*text(known, "version")) == (group, version)) {
            all.push(service(group, version));
        }
    }
    all
}

fn service(group: &str, version: &str) -> Value {
    let listed = FURTHER.iter().find(|(g, v, ..)| (*g, *v) == (group, version));
    let (of_group, own) = listed.map_or(OTHER, |(_, _, of_group, own)| (*of_group, *own));
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {
            "name": format!("{version}.{group}"),
            "labels": { "kube-aggregator.kubernetes.io/automanaged": "onstart" },
        },
        "spec": {
            "group": group, "version": version, "groupPriorityMinimum": of_group, "versionPriority": own,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorageMediaType;
    use crate::registry::RuntimeConfig;

    fn names(flags: &str) -> Vec<String> {
        let defaults =
            oarlock_api::table::bootstrap_objects()["apiservices"].as_array().expect("a list").clone();
        let config = RuntimeConfig::parse(&[flags.into()]).expect("valid");
        let resources = Resources::kept_as(StorageMediaType::Json, &config);
        let services = services(defaults, &resources);
        services.iter().map(|service| service["metadata"]["name"].as_str().expect("a name").into()).collect()
    }

    #[test]
    fn what_is_served_is_registered() {
        let cases = [
            ("", "v1.apps", true),
            ("", "v1beta1.networking.k8s.io", false),
            ("networking.k8s.io/v1beta1=true", "v1beta1.networking.k8s.io", true),
            ("batch/v1=false", "v1.batch", false),
            ("batch/v1=false", "v1.", true),
            ("api/all=true", "v1beta1.storagemigration.k8s.io", true),
        ];
        for (flags, name, want) in cases {
            assert_eq!(names(flags).iter().any(|known| known == name), want, "{flags:?}: {name}");
        }
    }
}
