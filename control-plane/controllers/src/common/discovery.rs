//! Which resources the API serves, for the controllers that treat all kinds alike.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;
use kube::api::ApiResource;
use kube::client::APIVersionDiscovery;
use tracing::debug;

/// One resource, in the version that its group prefers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Served {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    verbs: Vec<String>,
}

impl Served {
    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// `deployments.apps`, as upstream prints it; the version only with a group.
    pub(crate) fn qualified(&self) -> String {
        if self.resource.group.is_empty() {
            self.resource.plural.clone()
        } else {
            format!("{}.{}", self.resource.plural, self.resource.group)
        }
    }
}

/// What discovery found, and the group versions that could not be asked.
pub(crate) struct Discovered {
    pub(crate) resources: Vec<Served>,
    pub(crate) failed: Vec<String>,
}

impl Discovered {
    /// Versions come in the order of preference: the first of a resource stays.
    fn add(&mut self, served: Served) {
        let same = |known: &Served| {
            known.resource.group == served.resource.group && known.resource.plural == served.resource.plural
        };
        if !self.resources.iter().any(same) {
            self.resources.push(served);
        }
    }
}

/// Asks the API for all its resources. Of a resource in several versions the preferred one is given.
pub(crate) async fn discover(client: &Client) -> kube::Result<Discovered> {
    let (core, groups) =
        futures::try_join!(client.list_core_api_versions_aggregated(), client.list_api_groups_aggregated())?;
    // A server that does not know the aggregated form answers with the plain one, in which there are no items.
    if core.items.is_empty() {
        return discover_one_by_one(client).await;
    }
    let mut found = Discovered { resources: vec![], failed: vec![] };
    for group in core.items.into_iter().chain(groups.items) {
        let name = group.metadata.and_then(|meta| meta.name).unwrap_or_default();
        for version in group.versions {
            add_version(&mut found, &name, version);
        }
    }
    Ok(found)
}

fn add_version(found: &mut Discovered, group: &str, version: APIVersionDiscovery) {
    let name = version.version.unwrap_or_default();
    let api_version = if group.is_empty() { name.clone() } else { format!("{group}/{name}") };
    if version.freshness.as_deref() == Some("Stale") {
        found.failed.push(api_version);
        return;
    }
    for entry in version.resources {
        let resource = ApiResource {
            group: group.into(),
            version: name.clone(),
            api_version: api_version.clone(),
            kind: entry.response_kind.and_then(|kind| kind.kind).unwrap_or_default(),
            plural: entry.resource.unwrap_or_default(),
        };
        let namespaced = entry.scope.as_deref() == Some("Namespaced");
        found.add(Served { resource, namespaced, verbs: entry.verbs });
    }
}

async fn discover_one_by_one(client: &Client) -> kube::Result<Discovered> {
    let mut found = Discovered { resources: vec![], failed: vec![] };
    add_list(&mut found, "v1", client.list_core_api_resources("v1").await?);
    for group in client.list_api_groups().await?.groups {
        let preferred = group.preferred_version.map(|version| version.group_version);
        let all = group.versions.into_iter().map(|version| version.group_version);
        let others: Vec<String> = all.filter(|version| Some(version) != preferred.as_ref()).collect();
        for version in preferred.into_iter().chain(others) {
            match client.list_api_group_resources(&version).await {
                Ok(list) => add_list(&mut found, &version, list),
                Err(error) => {
                    debug!(version, error = %error, "discovery failed");
                    found.failed.push(version);
                }
            }
        }
    }
    Ok(found)
}

fn add_list(found: &mut Discovered, group_version: &str, list: APIResourceList) {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    for entry in list.resources.into_iter().filter(|entry| !entry.name.contains('/')) {
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: group_version.into(),
            kind: entry.kind,
            plural: entry.name,
        };
        found.add(Served { resource, namespaced: entry.namespaced, verbs: entry.verbs });
    }
}
