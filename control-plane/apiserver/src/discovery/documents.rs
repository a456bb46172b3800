//! The documents of discovery, made from what is served.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::gvk::join_api_version;
use oarlock_api::table::Subresource;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::aggregate::{Backends, RemoteGroups};
use crate::registry::{Resources, Served, Storage};

/// What the documents speak of.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) resources: Arc<Resources>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) remote: Arc<RemoteGroups>,
}

/// What `/version` says.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35", "gitVersion": oarlock_base::VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    })
}

fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Groups in the order clients prefer, each with its versions in that order.
fn groups(view: &View) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    let local = view.resources.served().iter().map(|served| (served.api.group, served.api.version));
    let remote = view.backends.all().map(|backend| (backend.group.as_str(), backend.version.as_str()));
    for (group, version) in local.chain(remote) {
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    groups.sort_by_key(|(group, _)| (order(group), *group));
    groups
}

/// Stable versions before beta before alpha, higher before lower. (`version.CompareKubeAwareVersionStrings`)
pub(crate) fn priority(version: &str) -> (u8, u32, u32) {
    let digits =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let rest = version.trim_start_matches('v');
    let major: u32 = digits(rest);
    match (rest.find("alpha"), rest.find("beta")) {
        (Some(at), _) => (0, major, digits(&rest[at + 5..])),
        (_, Some(at)) => (1, major, digits(&rest[at + 4..])),
        _ => (2, major, 0),
    }
}

/// Upstream's group priorities, as far as they decide which group kubectl finds a short name in first.
fn order(group: &str) -> u8 {
    match group {
        "" => 0,
        "apiregistration.k8s.io" => 1,
        "apps" => 2,
        "events.k8s.io" => 3,
        "authentication.k8s.io" => 4,
        "authorization.k8s.io" => 5,
        "autoscaling" => 6,
        "batch" => 7,
        "certificates.k8s.io" => 8,
        "networking.k8s.io" => 9,
        "policy" => 10,
        "rbac.authorization.k8s.io" => 11,
        "storage.k8s.io" => 12,
        "admissionregistration.k8s.io" => 13,
        "apiextensions.k8s.io" => 14,
        "scheduling.k8s.io" => 15,
        "coordination.k8s.io" => 16,
        "node.k8s.io" => 17,
        "discovery.k8s.io" => 18,
        "resource.k8s.io" => 19,
        "flowcontrol.apiserver.k8s.io" => 20,
        _ => 21,
    }
}

pub(super) fn core_versions(server: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": server }],
    })
}

pub(super) fn group_list(view: &View) -> Value {
    let groups = groups(view);
    let listed: Vec<Value> = groups
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| entry(group, versions))
        .collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": listed })
}

pub(super) fn group(view: &View, name: &str) -> Option<Value> {
    let (group, versions) =
        groups(view).into_iter().find(|(group, _)| *group == name && !group.is_empty())?;
    let mut document = entry(group, &versions);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

fn entry(group: &str, versions: &[&str]) -> Value {
    let version =
        |version: &&str| json!({ "groupVersion": join_api_version(group, version), "version": version });
    let all: Vec<Value> = versions.iter().map(version).collect();
    json!({ "name": group, "preferredVersion": all[0].clone(), "versions": all })
}

pub(super) fn resource_list(view: &View, group: &str, version: &str) -> Option<Value> {
    let mut listed = Vec::new();
    for served in of_version(&view.resources, group, version) {
        listed.push(resource(served));
        listed.extend(served.api.subresources.iter().map(|sub| subresource(served, sub)));
    }
    listed.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    (!listed.is_empty()).then(|| {
        let mut list = json!({
            "kind": "APIResourceList", "groupVersion": join_api_version(group, version), "resources": listed,
        });
        // Upstream does not say it of the oldest group.
        if !group.is_empty() {
            list["apiVersion"] = "v1".into();
        }
        list
    })
}

fn of_version<'a>(
    resources: &'a Resources,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Arc<Served>> {
    resources.served().iter().filter(move |served| (served.api.group, served.api.version) == (group, version))
}

fn resource(served: &Served) -> Value {
    let api = &served.api;
    let mut resource = json!({
        "name": api.plural, "singularName": api.singular, "namespaced": api.namespaced, "kind": api.kind,
        "verbs": api.verbs,
    });
    if !api.short_names.is_empty() {
        resource["shortNames"] = json!(api.short_names);
    }
    if !api.categories.is_empty() {
        resource["categories"] = json!(api.categories);
    }
    if let Some(stored) = &served.stored {
        resource["storageVersionHash"] = storage_version_hash(&stored.storage).into();
    }
    resource
}

/// Changes with the version that objects are stored in. (`discovery.StorageVersionHash`)
fn storage_version_hash(storage: &Storage) -> String {
    let written = storage.written_in.map_or_else(|| storage.gvk.api_version(), str::to_string);
    let (group, version) = oarlock_api::gvk::split_api_version(&written);
    let hash = Sha256::digest(format!("{group}/{version}/{}", storage.gvk.kind));
    STANDARD.encode(&hash[..8])
}

/// What answers; a built-in kind of the same group and version is told by its name alone.
fn response_kind(served: &Served, group: &str, version: &str, kind: &str) -> Value {
    let own = (served.api.group, served.api.version) == (group, version) && served.custom.is_none();
    let (group, version) = if own { ("", "") } else { (group, version) };
    json!({ "group": group, "version": version, "kind": kind })
}

fn subresource(served: &Served, sub: &Subresource) -> Value {
    let api = &served.api;
    let mut resource = json!({
        "name": format!("{}/{}", api.plural, sub.name), "singularName": "", "namespaced": api.namespaced,
        "kind": sub.kind.kind, "verbs": sub.verbs,
    });
    if (sub.kind.group, sub.kind.version) != (api.group, api.version) {
        if !sub.kind.group.is_empty() {
            resource["group"] = sub.kind.group.into();
        }
        resource["version"] = sub.kind.version.into();
    }
    resource
}

/// `APIGroupDiscoveryList`: every group, version and resource in one document.
pub(super) fn aggregated(view: &View, core: bool) -> Value {
    let groups = groups(view);
    let items: Vec<Value> = groups
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> =
                versions.iter().map(|version| aggregated_version(view, group, version)).collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

fn aggregated_version(view: &View, group: &str, version: &str) -> Value {
    if let Some(backend) = view.backends.find(group, version) {
        let resources = view.remote.aggregated_resources(group, version);
        let fresh = if backend.available && resources.is_some() { "Current" } else { "Stale" };
        let resources = resources.unwrap_or_default();
        return json!({ "version": version, "freshness": fresh, "resources": resources });
    }
    let listed: Vec<Value> = of_version(&view.resources, group, version)
        .map(|served| {
            let api = &served.api;
            let scope = if api.namespaced { "Namespaced" } else { "Cluster" };
            let mut item = json!({
                "resource": api.plural, "scope": scope, "singularResource": api.singular, "verbs": api.verbs,
                "responseKind": response_kind(served, api.group, api.version, api.kind),
            });
            if !api.short_names.is_empty() {
                item["shortNames"] = json!(api.short_names);
            }
            if !api.categories.is_empty() {
                item["categories"] = json!(api.categories);
            }
            if !api.subresources.is_empty() {
                item["subresources"] = api
                    .subresources
                    .iter()
                    .map(|sub| {
                        json!({
                            "subresource": sub.name, "verbs": sub.verbs,
                            "responseKind": response_kind(served, sub.kind.group, sub.kind.version, sub.kind.kind),
                        })
                    })
                    .collect();
            }
            item
        })
        .collect();
    json!({ "version": version, "freshness": "Current", "resources": listed })
}

/// What `/` lists.
pub(super) fn paths(view: &View, health: impl Iterator<Item = String>) -> Vec<String> {
    let fixed = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/version",
    ];
    let mut paths: Vec<String> = fixed.iter().map(ToString::to_string).chain(health).collect();
    for (group, versions) in groups(view).iter().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_upstreams() {
        let mut versions = vec!["v1beta1", "v1", "v2", "v1alpha1", "v10", "v1beta2"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1"]);
    }

    #[test]
    fn the_core_group_is_listed_with_its_subresources() {
        let view = View {
            resources: Arc::new(Resources::builtin()),
            backends: Arc::default(),
            remote: Arc::default(),
        };
        let list = resource_list(&view, "", "v1").expect("it is served");
        let names: Vec<&str> =
            list["resources"].as_array().expect("a list").iter().filter_map(|r| r["name"].as_str()).collect();
        assert!(
            names.contains(&"pods")
                && names.contains(&"pods/log")
                && names.contains(&"serviceaccounts/token")
        );
        assert!(resource_list(&view, "apps", "v9").is_none());
        let groups = group_list(&view);
        assert!(groups["groups"].as_array().is_some_and(|list| list.iter().any(|g| g["name"] == "apps")));
        assert_eq!(group(&view, "autoscaling").expect("it is served")["preferredVersion"]["version"], "v2");
    }
}
