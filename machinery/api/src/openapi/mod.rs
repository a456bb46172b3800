//! OpenAPI v2 (`/openapi/v2`) and v3 (`/openapi/v3/…`), written from the type table when they are asked for.
//!
//! A document is a function of the table and of which resources are served; it is streamed into bytes piece by piece and
//! nothing of it stays in memory here. The prose comes from `descriptions`, unpacked for the time of one document.

mod descriptions;
mod operations;
mod parameters;
mod paths;
mod schema;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::gvk::join_api_version;
use crate::table::{Resource, Table};
use descriptions::Descriptions;
use paths::Writer;
use schema::Schemas;

/// Which of the two forms is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V2,
    V3,
}

const TITLE: &str = "Kubernetes";
const API_VERSION: &str = "v1.36.0";

/// The documents of one set of served resources.
pub struct OpenApi {
    table: &'static Table,
    /// By path below the root: `api/v1`, `apis/apps/v1`.
    groups: BTreeMap<String, Vec<&'static Resource>>,
}

/// `apps/v1` → `apis/apps/v1`, `v1` → `api/v1`.
fn root_path(group: &str, version: &str) -> String {
    let prefix = if group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", join_api_version(group, version))
}

impl OpenApi {
    /// Of the built-in resources, those that `served` accepts.
    pub fn new(served: impl Fn(&Resource) -> bool) -> Self {
        let table = Table::builtin();
        let mut groups: BTreeMap<String, Vec<&'static Resource>> = BTreeMap::new();
        for resource in table.resources().iter().filter(|resource| served(resource)) {
            groups.entry(root_path(resource.group, resource.version)).or_default().push(resource);
        }
        Self { table, groups }
    }

    /// `/openapi/v3`: where the documents are. The address changes when the content does, so clients cache for ever.
    pub fn v3_index(&self) -> Value {
        let hash = self.fingerprint();
        let paths: serde_json::Map<String, Value> = self
            .groups
            .keys()
            .map(|path| {
                (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
            })
            .collect();
        json!({"paths": paths})
    }

    /// A document by its path in the index (`apis/apps/v1`), as JSON.
    pub fn v3_document(&self, path: &str) -> Option<Vec<u8>> {
        let resources = self.groups.get(path)?;
        Some(self.write(Version::V3, &[(path, resources)]))
    }

    /// The one document of all groups, as JSON.
    pub fn v2_document(&self) -> Vec<u8> {
        let all: Vec<(&str, &Vec<&'static Resource>)> =
            self.groups.iter().map(|(p, r)| (p.as_str(), r)).collect();
        self.write(Version::V2, &all)
    }

    /// Sixteen hexadecimal digits that change with what is told; also good as an ETag.
    pub fn fingerprint(&self) -> String {
        let mut hash = Fnv::default();
        hash.write(env!("CARGO_PKG_VERSION").as_bytes());
        hash.write(descriptions::packed());
        for path in self.groups.keys() {
            hash.write(path.as_bytes());
        }
        for resource in self.groups.values().flatten() {
            hash.write(resource.plural.as_bytes());
            resource.subresources.iter().for_each(|sub| hash.write(sub.name.as_bytes()));
        }
        for (_, ty) in self.table.types() {
            hash.write(ty.name.as_bytes());
            for field in &ty.fields {
                hash.write(field.json_name.as_bytes());
                hash.write(field.default().unwrap_or_default().as_bytes());
            }
        }
        format!("{:016X}", hash.0)
    }

    fn write(&self, version: Version, groups: &[(&str, &Vec<&'static Resource>)]) -> Vec<u8> {
        let prose = Descriptions::load();
        let mut writer = Writer::new();
        let mut schemas = Schemas::new(self.table, version, &prose, self.groups.values().flatten().copied());
        let info = json!({"title": TITLE, "version": API_VERSION});
        match version {
            Version::V2 => writer.open(&[("swagger", json!("2.0")), ("info", info)]),
            Version::V3 => writer.open(&[("openapi", json!("3.0.0")), ("info", info)]),
        }
        writer.begin("paths");
        for (root, resources) in groups {
            for resource in resources.iter() {
                operations::write_resource(self.table, version, root, resource, &mut writer, &mut schemas);
            }
        }
        writer.end();
        match version {
            Version::V2 => {
                writer.begin("definitions");
                schemas.write(&mut writer);
                writer.end();
                writer.member("parameters", &parameters::v2_definitions());
                writer.member("securityDefinitions", &json!({"BearerToken": bearer_token()}));
                writer.member("security", &json!([{"BearerToken": []}]));
            }
            Version::V3 => {
                writer.begin("components");
                writer.begin("schemas");
                schemas.write(&mut writer);
                writer.end();
                writer.member("securitySchemes", &json!({"BearerToken": bearer_token()}));
                writer.end();
            }
        }
        writer.finish()
    }
}

fn bearer_token() -> Value {
    json!({"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"})
}

/// FNV-1a: the same on every machine and in every build of the same facts.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests;
