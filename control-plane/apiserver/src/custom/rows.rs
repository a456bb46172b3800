//! What a compiled definition adds to the index of what is served. Pure.

use std::sync::Arc;

use oarlock_api::table::{Subresource, SubresourceKind};
use oarlock_api::{GroupResource, Resource, Schema, intern};
use oarlock_apiserver_custom::{CustomResource, CustomVersion, Scale};

use crate::cache::{Drafts, ResourceCache};
use crate::registry::{Behaviour, Custom, ROOT, ScalePaths, Served, Storage, Stored};

/// A definition that is served: its cache, and its versions as resources.
pub(crate) struct Rows {
    pub(crate) cache: Arc<ResourceCache>,
    pub(crate) served: Vec<Arc<Served>>,
}

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

impl Rows {
    /// The rows of an established definition.
    pub(crate) fn of(resource: CustomResource) -> Self {
        let resource = Arc::new(resource);
        let home = Arc::new(storage(&resource, &resource.versions[resource.storage]));
        let cache = Arc::new(ResourceCache::new(home));
        let served = resource.served().into_iter().map(|version| served(&resource, version, &cache));
        Self { served: served.map(Arc::new).collect(), cache }
    }
}

fn storage(resource: &Arc<CustomResource>, version: &Arc<CustomVersion>) -> Storage {
    let group_resource = GroupResource::new(&resource.group, &resource.names.plural);
    let api = Arc::new(row(resource, version));
    Storage {
        gvk: version.gvk.clone(),
        // Bytes are read and written without a schema; pruning and defaults are the version's.
        schema: Schema::Deduced,
        prefix: format!("{ROOT}{}/{}/", resource.group, resource.names.plural),
        strategy: Behaviour::Custom(version.strategy()),
        keep_parsed: false,
        passing: false,
        protobuf: false,
        drafts: Drafts::default(),
        written_in: None,
        custom: Some(Custom::new(resource.clone(), version.clone())),
        group_resource,
        api,
    }
}

fn served(
    resource: &Arc<CustomResource>,
    version: &Arc<CustomVersion>,
    cache: &Arc<ResourceCache>,
) -> Served {
    let storage = match &cache.storage.custom {
        Some(home) if Arc::ptr_eq(&home.version, version) => cache.storage.clone(),
        _ => Arc::new(storage(resource, version)),
    };
    let api = storage.api.clone();
    Served {
        shape: Schema::Deduced,
        gvk: version.gvk.clone(),
        gvr: api.gvr(),
        group_resource: api.group_resource(),
        group_kind: api.group_kind(),
        bodies: Vec::new(),
        scale: version.scale.as_ref().map(scale_paths),
        custom: storage.custom.clone(),
        api_version: version.api_version.as_str().into(),
        stored: Some(Stored { storage, cache: cache.clone() }),
        conversion: None,
        form: None,
        api,
    }
}

fn scale_paths(scale: &Scale) -> ScalePaths {
    let path = |text: &str| text.trim_start_matches('.').split('.').map(str::to_string).collect();
    ScalePaths { replicas: path(&scale.spec_replicas), status_replicas: path(&scale.status_replicas) }
}

/// The resource as discovery lists it.
fn row(resource: &CustomResource, version: &CustomVersion) -> Resource {
    let names = &resource.names;
    let all = |texts: &[String]| texts.iter().map(|text| intern(text)).collect();
    let (group, served, kind) = (intern(&resource.group), intern(&version.gvk.version), intern(&names.kind));
    let own = SubresourceKind { group, version: served, kind };
    let mut subresources = Vec::new();
    if version.status {
        subresources.push(Subresource { name: "status", kind: own, verbs: vec!["get", "patch", "update"] });
    }
    if version.scale.is_some() {
        let kind = SubresourceKind { group: "autoscaling", version: "v1", kind: "Scale" };
        subresources.push(Subresource { name: "scale", kind, verbs: vec!["get", "patch", "update"] });
    }
    Resource {
        group,
        version: served,
        plural: intern(&names.plural),
        singular: intern(&names.singular),
        kind,
        namespaced: resource.namespaced,
        verbs: VERBS.to_vec(),
        short_names: all(&names.short_names),
        categories: all(&names.categories),
        subresources,
        served_by_default: true,
        table_columns: Vec::new(),
        field_selectors: version.selectable.iter().map(|field| intern(&field.name)).collect(),
    }
}
