//! Which resources the API serves, for the controllers that treat all kinds alike.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;
use kube::api::ApiResource;
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

/// Asks the API for all its resources. Of a resource in several versions the preferred one is given.
pub(crate) async fn discover(client: &Client) -> kube::Result<Discovered> {
    let mut found = Discovered { resources: vec![], failed: vec![] };
    add(&mut found, "v1", &client.list_core_api_resources("v1").await?);
    for group in client.list_api_groups().await?.groups {
        let preferred = group.preferred_version.as_ref().map(|version| version.group_version.clone());
        let others = group.versions.into_iter().map(|version| version.group_version);
        let versions =
            preferred.clone().into_iter().chain(others.filter(|version| Some(version) != preferred.as_ref()));
        for version in versions {
            match client.list_api_group_resources(&version).await {
                Ok(list) => add(&mut found, &version, &list),
                Err(error) => {
                    debug!(version, error = %error, "discovery failed");
                    found.failed.push(version);
                }
            }
        }
    }
    Ok(found)
}

fn add(found: &mut Discovered, group_version: &str, list: &APIResourceList) {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    for entry in list.resources.iter().filter(|entry| !entry.name.contains('/')) {
        let known = found
            .resources
            .iter()
            .any(|served| served.resource.group == group && served.resource.plural == entry.name);
        if known {
            continue;
        }
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: group_version.into(),
            kind: entry.kind.clone(),
            plural: entry.name.clone(),
        };
        found.resources.push(Served { resource, namespaced: entry.namespaced, verbs: entry.verbs.clone() });
    }
}
