//! OpenAPI v2 (`/openapi/v2`) and v3 (`/openapi/v3/…`), written from the type table when they are asked for.
//!
//! A document is a function of the table and of which resources are served; it is streamed into bytes piece by piece and
//! nothing of it stays in memory here. The prose comes from `descriptions`, unpacked for the time of one document.

mod columns;
mod custom;
mod descriptions;
mod enums;
mod operations;
mod parameters;
mod paths;
mod protobuf;
mod roots;
mod schema;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::gvk::join_api_version;
use crate::table::{Resource, Table};
pub use columns::column_description;
pub use custom::CustomApi;
use descriptions::Descriptions;
use operations::Api;
pub use operations::deletion_gives_object;
use paths::Writer;
pub use protobuf::{encode_v2, encode_v3};
use roots::Root;
use schema::Schemas;

/// Which of the two forms is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V2,
    V3,
}

const TITLE: &str = "Kubernetes";
const API_VERSION: &str = "1.36";

/// The documents of one set of served resources.
pub struct OpenApi {
    table: &'static Table,
    /// By path below the root: `api/v1`, `apis/apps/v1`.
    groups: BTreeMap<String, Group>,
    roots: Vec<Root>,
    enums: bool,
    builtin_hash: OnceLock<Fnv>,
}

/// What is served in one version of one group.
#[derive(Default)]
struct Group {
    builtin: Vec<&'static Resource>,
    custom: Vec<Arc<dyn CustomApi>>,
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
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for resource in table.resources().iter().filter(|resource| served(resource)) {
            groups.entry(root_path(resource.group, resource.version)).or_default().builtin.push(resource);
        }
        let names = groups.values().flat_map(|group| &group.builtin).map(|resource| resource.group);
        let roots = roots::all(names);
        Self { table, groups, roots, enums: true, builtin_hash: OnceLock::new() }
    }

    /// Without the closed sets of strings. (OpenAPIEnums)
    #[must_use]
    pub fn with_enums(mut self, enums: bool) -> Self {
        self.enums = enums;
        self
    }

    /// With custom resources: every version that is served.
    #[must_use]
    pub fn with_custom(mut self, served: impl IntoIterator<Item = Arc<dyn CustomApi>>) -> Self {
        for api in served {
            self.groups.entry(root_path(api.group(), api.version())).or_default().custom.push(api);
        }
        self
    }

    /// `/openapi/v3`: where the documents are. The address changes when the content does, so clients cache for ever.
    pub fn v3_index(&self) -> Value {
        let builtin = self.builtin_hash.get_or_init(|| self.hash_builtin()).clone();
        let entry = |(path, group): (&String, &Group)| {
            let hash = digits(group.hash(builtin.clone(), path));
            (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
        };
        let hash = self.root_fingerprint();
        let root = |root: &Root| {
            let path = &root.path;
            (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}))
        };
        let entries = self.groups.iter().map(entry).chain(self.roots.iter().map(root));
        json!({"paths": entries.collect::<serde_json::Map<String, Value>>()})
    }

    /// The hash in the address of one document of v3.
    pub fn v3_fingerprint(&self, path: &str) -> Option<String> {
        let Some(group) = self.groups.get(path) else {
            return self.root(path).map(|_| self.root_fingerprint());
        };
        Some(digits(group.hash(self.builtin_hash.get_or_init(|| self.hash_builtin()).clone(), path)))
    }

    /// A document by its path in the index (`apis/apps/v1`), as JSON.
    pub fn v3_document(&self, path: &str) -> Option<Vec<u8>> {
        match self.groups.get(path) {
            Some(group) => Some(self.write(Version::V3, &[(path, group)], &[])),
            None => self.root(path).map(|root| self.write(Version::V3, &[], std::slice::from_ref(root))),
        }
    }

    fn root(&self, path: &str) -> Option<&Root> {
        self.roots.iter().find(|root| root.path == path)
    }

    /// Their documents change with the program alone.
    fn root_fingerprint(&self) -> String {
        let mut hash = Fnv::default();
        hash.write(env!("CARGO_PKG_VERSION").as_bytes());
        descriptions::packed().into_iter().for_each(|prose| hash.write(prose));
        digits(hash)
    }

    /// The one document of all groups, as JSON.
    pub fn v2_document(&self) -> Vec<u8> {
        let all: Vec<(&str, &Group)> =
            self.groups.iter().map(|(path, group)| (path.as_str(), group)).collect();
        self.write(Version::V2, &all, &self.roots)
    }

    /// Sixteen hexadecimal digits that change with what is told; also good as an ETag.
    pub fn fingerprint(&self) -> String {
        let hash =
            self.groups.iter().fold(
                self.builtin_hash.get_or_init(|| self.hash_builtin()).clone(),
                |hash, (path, group)| group.hash(hash, path),
            );
        digits(hash)
    }

    /// Of the table, its prose and what of it is served.
    fn hash_builtin(&self) -> Fnv {
        let mut hash = Fnv::default();
        hash.write(&[u8::from(self.enums)]);
        hash.write(env!("CARGO_PKG_VERSION").as_bytes());
        descriptions::packed().into_iter().for_each(|prose| hash.write(prose));
        for (path, group) in self.groups.iter().filter(|(_, group)| !group.builtin.is_empty()) {
            hash.write(path.as_bytes());
            for resource in &group.builtin {
                hash.write(resource.plural.as_bytes());
                resource.subresources.iter().for_each(|sub| hash.write(sub.name.as_bytes()));
            }
        }
        for (_, ty) in self.table.types() {
            hash.write(ty.name.as_bytes());
            for field in &ty.fields {
                hash.write(field.json_name.as_bytes());
                hash.write(field.default().unwrap_or_default().as_bytes());
            }
        }
        hash
    }

    fn write(&self, version: Version, groups: &[(&str, &Group)], roots: &[Root]) -> Vec<u8> {
        let prose = Descriptions::load();
        let mut writer = Writer::new();
        // The documents of v3 name options and events as those of their own group, and of the oldest.
        let named = |group: &&Group| match version {
            Version::V2 => true,
            Version::V3 => groups.iter().any(|(_, own)| std::ptr::eq(*own, *group)),
        };
        let core = self.groups.get("api/v1").filter(|_| version == Version::V3 && !groups.is_empty());
        let builtin =
            self.groups.values().filter(named).chain(core).flat_map(|group| &group.builtin).copied();
        let mut schemas = Schemas::new(self.table, version, &prose, builtin, self.enums);
        for api in groups.iter().flat_map(|(_, group)| &group.custom) {
            schemas.add_custom(&**api);
        }
        let info = json!({"title": TITLE, "version": API_VERSION});
        match version {
            Version::V2 => writer.open(&[("swagger", json!("2.0")), ("info", info)]),
            Version::V3 => writer.open(&[("openapi", json!("3.0.0")), ("info", info)]),
        }
        writer.begin("paths");
        for root in roots {
            root.write(version, &mut writer, &mut schemas);
        }
        for (root, group) in groups {
            if let Some(resource) = group.builtin.first() {
                let list = roots::resources(root, resource.group, resource.version);
                list.write(version, &mut writer, &mut schemas);
            }
            let builtin = group.builtin.iter().map(|resource| Api::from(*resource));
            for api in builtin.chain(group.custom.iter().map(|api| Api::from(&**api))) {
                operations::write_resource(self.table, version, root, &api, &mut writer, &mut schemas);
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

impl Group {
    fn hash(&self, mut hash: Fnv, path: &str) -> Fnv {
        hash.write(path.as_bytes());
        self.custom.iter().for_each(|api| hash.write(&api.fingerprint().to_be_bytes()));
        hash
    }
}

fn digits(hash: Fnv) -> String {
    format!("{:016X}", hash.0)
}

/// FNV-1a: the same on every machine and in every build of the same facts.
#[derive(Clone)]
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
