//! What other servers say of themselves, in the words of our discovery and OpenAPI documents. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Described;

/// The described group versions.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct RemoteGroups {
    by_version: BTreeMap<(String, String), Described>,
}

impl RemoteGroups {
    pub(super) fn new(by_version: BTreeMap<(String, String), Described>) -> Self {
        Self { by_version }
    }

    pub(crate) fn described(&self, group: &str, version: &str) -> Option<&Described> {
        self.by_version.get(&(group.to_string(), version.to_string()))
    }

    /// Group versions, by group.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_version.keys().map(|(group, version)| (group.as_str(), version.as_str()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Described> {
        self.by_version.values()
    }

    /// The resources of a group version as aggregated discovery lists them.
    pub(crate) fn aggregated_resources(&self, group: &str, version: &str) -> Option<Vec<Value>> {
        let described = self.described(group, version)?;
        Some(aggregated(&described.resources, group, version))
    }
}

/// An APIResourceList in the form of aggregated discovery: subresources stand below their resource.
fn aggregated(list: &Value, group: &str, version: &str) -> Vec<Value> {
    let entries = || list["resources"].as_array().into_iter().flatten();
    let or =
        |value: &Value, other: &str| value.as_str().filter(|t| !t.is_empty()).unwrap_or(other).to_string();
    let kind = |entry: &Value| {
        json!({
            "group": or(&entry["group"], group), "version": or(&entry["version"], version), "kind": entry["kind"],
        })
    };
    let mut resources = Vec::new();
    for entry in entries() {
        let name = entry["name"].as_str().unwrap_or_default();
        if name.contains('/') {
            continue;
        }
        let scope = if entry["namespaced"] == true { "Namespaced" } else { "Cluster" };
        let mut item = json!({
            "resource": name, "scope": scope, "singularResource": entry["singularName"], "verbs": entry["verbs"],
            "responseKind": kind(entry),
        });
        for field in ["shortNames", "categories"] {
            if let Some(value) = entry.get(field) {
                item[field] = value.clone();
            }
        }
        let prefix = format!("{name}/");
        let subresources: Vec<Value> = entries()
            .filter_map(|sub| {
                let part = sub["name"].as_str()?.strip_prefix(&prefix)?;
                Some(json!({ "subresource": part, "verbs": sub["verbs"], "responseKind": kind(sub) }))
            })
            .collect();
        if !subresources.is_empty() {
            item["subresources"] = subresources.into();
        }
        resources.push(item);
    }
    resources
}

/// Our document with the paths and definitions of another server's; on both sides the first word stands.
pub(crate) fn merge_openapi_v2(ours: &mut Value, theirs: &[u8]) {
    let Ok(Value::Object(mut theirs)) = serde_json::from_slice::<Value>(theirs) else { return };
    for part in ["paths", "definitions"] {
        let Some(Value::Object(new)) = theirs.remove(part) else { continue };
        let slot = &mut ours[part];
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        let known = slot.as_object_mut().expect("it was made an object above");
        for (name, value) in new {
            // Roots and versions are ours to tell.
            let general = part == "paths" && !name.starts_with("/apis/");
            if !general {
                known.entry(name).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_stand_below_their_resource() {
        let list = json!({ "resources": [
            { "name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"] },
            { "name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": ["get"] },
            { "name": "fischers", "singularName": "fischer", "namespaced": false, "kind": "Fischer", "verbs": ["list"] },
        ]});
        let resources = aggregated(&list, "wardle", "v1");
        assert_eq!(resources.len(), 2);
        assert_eq!(resources[0]["subresources"][0]["subresource"], "status");
        assert_eq!(
            resources[0]["responseKind"],
            json!({ "group": "wardle", "version": "v1", "kind": "Flunder" })
        );
        assert_eq!(resources[1]["scope"], "Cluster");
    }

    #[test]
    fn documents_are_joined() {
        let mut ours = json!({ "paths": { "/version/": {} }, "definitions": { "A": { "x": 1 } } });
        let theirs = json!({ "paths": { "/apis/w/v1/": {}, "/version/": { "y": 1 } }, "definitions": { "A": {}, "B": {} } });
        merge_openapi_v2(&mut ours, theirs.to_string().as_bytes());
        assert_eq!(
            ours,
            json!({ "paths": { "/version/": {}, "/apis/w/v1/": {} }, "definitions": { "A": { "x": 1 }, "B": {} } })
        );
        merge_openapi_v2(&mut ours, b"nonsense");
    }
}
