//! `ResourceQuotaConfiguration`: what may be used only where a quota limits it.

use oarlock_api::GroupResource;
use oarlock_quota::Selector;
use serde_json::Value;

use crate::admission::config::ConfigFaults;
use crate::value::{items, text, texts};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedResource {
    pub resource: GroupResource,
    /// Parts of the names of what is limited: `.storageclass.storage.k8s.io/requests.storage`.
    pub match_contains: Vec<String>,
    pub(super) match_scopes: Vec<Selector>,
}

pub(in crate::admission) fn limited_resources(
    value: &Value,
    faults: &mut ConfigFaults,
) -> Vec<LimitedResource> {
    let group = oarlock_api::gvk::split_api_version(text(value, &["apiVersion"])).0;
    match (group, text(value, &["kind"])) {
        ("resourcequota.admission.k8s.io", _) => {
            faults.type_is(value, "resourcequota.admission.k8s.io", "Configuration");
        }
        _ => faults.type_is(value, "apiserver.config.k8s.io", "ResourceQuotaConfiguration"),
    }
    faults.known(value, "", &["apiVersion", "kind", "limitedResources"]);
    let mut all = Vec::new();
    for (i, limited) in items(value, &["limitedResources"]).iter().enumerate() {
        let path = format!("limitedResources[{i}]");
        faults.known(limited, &path, &["apiGroup", "resource", "matchContains", "matchScopes"]);
        let resource = text(limited, &["resource"]);
        if resource.is_empty() {
            faults.add(format!("{path}.resource: Required value"));
        }
        let match_contains = texts(limited, &["matchContains"]);
        let match_scopes: Vec<Selector> =
            items(limited, &["matchScopes"]).iter().map(Selector::read).collect();
        if match_contains.is_empty() && match_scopes.is_empty() {
            faults.add(format!("{path}.matchScopes: Required value"));
        }
        for (j, selector) in match_scopes.iter().enumerate() {
            const SCOPES: [&str; 7] = [
                "Terminating",
                "NotTerminating",
                "BestEffort",
                "NotBestEffort",
                "PriorityClass",
                "CrossNamespacePodAffinity",
                "VolumeAttributesClass",
            ];
            if !SCOPES.contains(&selector.scope.as_str()) {
                let scope = &selector.scope;
                faults.add(format!("{path}.matchScopes[{j}].scopeName: Invalid value: {scope:?}"));
            }
        }
        let resource = GroupResource::new(text(limited, &["apiGroup"]), resource);
        all.push(LimitedResource { resource, match_contains, match_scopes });
    }
    all
}
