//! Which resources are served and where each is stored: the type table, indexed for requests.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use oarlock_api::{
    GroupKind, GroupResource, GroupVersionKind, GroupVersionResource, Resource, Schema, Table, TypeId,
};
use oarlock_apiserver_custom::{CustomResource, CustomVersion};
use oarlock_apiserver_kinds::Strategy;

use crate::cache::{Drafts, Entry, ResourceCache};
use crate::config::StorageMediaType;
use crate::custom::Rows;

use super::conversion::Conversion;
use super::enabled::RuntimeConfig;
use super::keys::prefix_of;

/// What authorisation and admission read on every request: kept as trees once read.
const READ_OFTEN: [(&str, &str); 13] = [
    ("", "resourcequotas"),
    ("", "limitranges"),
    ("storage.k8s.io", "storageclasses"),
    ("networking.k8s.io", "ingressclasses"),
    ("node.k8s.io", "runtimeclasses"),
    ("", "namespaces"),
    ("", "nodes"),
    ("", "serviceaccounts"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("scheduling.k8s.io", "priorityclasses"),
];

/// Versions that objects are stored in where that is not the one that is served by default, or the newest.
const STORED_IN: [(&str, &str, &str, &str); 2] = [
    ("autoscaling", "horizontalpodautoscalers", "autoscaling", "v2"),
    ("resource.k8s.io", "devicetaintrules", "resource.k8s.io", "v1alpha3"),
];

/// The strategy of a kind, wherever it comes from.
pub(crate) enum Behaviour {
    Builtin(&'static dyn Strategy),
    Custom(Arc<dyn Strategy>),
}

/// One version of a custom resource.
#[derive(Clone)]
pub(crate) struct Custom {
    pub(crate) resource: Arc<CustomResource>,
    pub(crate) version: Arc<CustomVersion>,
    /// `example.com/v1`, shared by every entry of the cache.
    name: Arc<str>,
}

impl Deref for Behaviour {
    type Target = dyn Strategy;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Builtin(strategy) => *strategy,
            Self::Custom(strategy) => &**strategy,
        }
    }
}

impl Custom {
    pub(crate) fn new(resource: Arc<CustomResource>, version: Arc<CustomVersion>) -> Self {
        Self { name: version.api_version.as_str().into(), resource, version }
    }

    /// The version that an object says it is of, without a copy where it is this one.
    pub(crate) fn version_name(&self, object: &serde_json::Value) -> Arc<str> {
        let said = object["apiVersion"].as_str().unwrap_or_default();
        if *said == *self.name { self.name.clone() } else { said.into() }
    }
}

/// How objects of one resource are kept, whatever versions serve them.
pub(crate) struct Storage {
    pub(crate) api: Arc<Resource>,
    pub(crate) schema: Schema,
    pub(crate) gvk: GroupVersionKind,
    pub(crate) group_resource: GroupResource,
    /// `/registry/pods/`.
    pub(crate) prefix: String,
    pub(crate) strategy: Behaviour,
    /// Trees of these objects stay in memory once read.
    pub(crate) keep_parsed: bool,
    /// Objects live for a time. (`--event-ttl`)
    pub(crate) passing: bool,
    pub(crate) custom: Option<Custom>,
    /// Objects are kept as protobuf.
    pub(crate) protobuf: bool,
    /// The version that objects are written in where it is another than the one worked with.
    pub(crate) written_in: Option<&'static str>,
    /// What is being written.
    pub(crate) drafts: Drafts,
}

impl Storage {
    /// The namespace, empty where there is none, and the name of the object that is kept under a key.
    pub(crate) fn place_of<'k>(&self, key: &'k [u8]) -> Option<(&'k str, &'k str)> {
        let key = std::str::from_utf8(key.strip_prefix(self.prefix.as_bytes())?).ok()?;
        if self.api.namespaced { key.split_once('/') } else { Some(("", key)) }
    }
}

/// One resource in one version.
pub(crate) struct Served {
    pub(crate) api: Arc<Resource>,
    /// Of a built-in kind; see [`Served::schema`].
    pub(crate) shape: Schema,
    /// `apps/v1`
    pub(crate) api_version: Box<str>,
    pub(crate) custom: Option<Custom>,
    pub(crate) gvk: GroupVersionKind,
    pub(crate) gvr: GroupVersionResource,
    /// As messages call it: by its stored version, in whatever group it was asked for.
    pub(crate) group_resource: GroupResource,
    pub(crate) group_kind: GroupKind,
    /// Its storage; none for what is only asked (reviews, bindings).
    pub(crate) stored: Option<Stored>,
    /// How objects go between this version and the stored one, where they differ.
    pub(crate) conversion: Option<Conversion>,
    /// What decoding brings its objects into.
    pub(crate) form: Option<oarlock_api::conversion::Conversion>,
    /// Where the replicas are, of what has a Scale.
    pub(crate) scale: Option<ScalePaths>,
    /// Subresources whose body is of another kind than the object.
    pub(crate) bodies: Vec<(&'static str, GroupVersionKind)>,
}

/// Subresources whose bodies go through admission as they are.
const WITH_BODIES: [&str; 7] = ["binding", "eviction", "token", "exec", "attach", "portforward", "proxy"];

impl Served {
    fn place(&self) -> Place<'static> {
        (self.api.group, self.api.version, self.api.plural)
    }

    /// What is known of its objects. A custom resource's schema is unpacked when first asked for.
    pub(crate) fn schema(&self) -> Schema {
        match &self.custom {
            Some(custom) => Schema::Structural(custom.version.schema()),
            None => self.shape.clone(),
        }
    }

    /// Whether an entry of the cache goes out as it is.
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        self.conversion.is_none()
            && entry.version.as_deref().is_none_or(|version| *version == *self.api_version)
    }

    /// The kind of what goes through admission.
    pub(crate) fn body_kind(&self, subresource: &str) -> &GroupVersionKind {
        let body = self.bodies.iter().find(|(name, _)| *name == subresource);
        body.map_or(&self.gvk, |(_, kind)| kind)
    }
}

fn bodies_of(api: &Resource) -> Vec<(&'static str, GroupVersionKind)> {
    let with_bodies = api.subresources.iter().filter(|sub| WITH_BODIES.contains(&sub.name));
    with_bodies.map(|sub| (sub.name, sub.kind.gvk())).collect()
}

/// Where a Scale's fields are in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) replicas: Vec<String>,
    pub(crate) status_replicas: Vec<String>,
}

impl ScalePaths {
    fn builtin() -> Self {
        let path = |parts: [&str; 2]| parts.map(str::to_string).to_vec();
        Self { replicas: path(["spec", "replicas"]), status_replicas: path(["status", "replicas"]) }
    }
}

/// Where the objects of a served resource are.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) storage: Arc<Storage>,
    pub(crate) cache: Arc<ResourceCache>,
}

/// Group, version, plural name.
type Place<'a> = (&'a str, &'a str, &'a str);

#[derive(Clone, Default)]
pub(crate) struct Resources {
    by_name: HashMap<GroupResource, Arc<ResourceCache>>,
    /// Sorted by group, version, plural name.
    served: Vec<Arc<Served>>,
    /// Where in it a group, version and plural name are: every request asks for one.
    places: HashMap<Place<'static>, usize>,
    /// Built-in resources that are served by default, but turned off: the server itself goes on using them.
    unserved: Vec<Arc<Served>>,
    /// How many resources are custom.
    customs: usize,
}

impl Resources {
    /// All that is served by default.
    #[cfg(test)]
    pub(crate) fn builtin() -> Self {
        Self::kept_as(StorageMediaType::Json, &RuntimeConfig::default())
    }

    /// The same, with objects kept in this form, and some turned on or off.
    pub(crate) fn kept_as(media: StorageMediaType, config: &RuntimeConfig) -> Self {
        let table = Table::builtin();
        let mut resources = Self::default();
        for api in table.resources() {
            let served = config.serves(api);
            if !served && !api.served_by_default {
                continue;
            }
            let stored = resources.storage_of(table, api, media);
            let home = stored.as_ref().map_or(api, |stored| &stored.storage.api);
            let conversion = Conversion::between(api, home);
            let rows = if served { &mut resources.served } else { &mut resources.unserved };
            rows.push(Arc::new(Served {
                shape: Schema::Typed(type_of(table, api)),
                api_version: api.api_version().into(),
                custom: None,
                gvk: api.gvk(),
                gvr: api.gvr(),
                group_resource: home.group_resource(),
                group_kind: home.group_kind(),
                bodies: bodies_of(api),
                scale: api.subresource("scale").map(|_| ScalePaths::builtin()),
                api: Arc::new(api.clone()),
                form: oarlock_api::conversion::Conversion::through_hub(api),
                stored,
                conversion,
            }));
        }
        resources.sort();
        resources
    }

    /// The built-in resources of `other`, which keep their caches, and these custom ones.
    pub(crate) fn builtin_with<'a>(other: &Self, custom: impl Iterator<Item = &'a Rows>) -> Self {
        let builtin = |cache: &Arc<ResourceCache>| cache.storage.custom.is_none();
        let mut resources = Self {
            by_name: other
                .by_name
                .iter()
                .filter(|(_, c)| builtin(c))
                .map(|(n, c)| (n.clone(), c.clone()))
                .collect(),
            served: other.served.iter().filter(|served| served.custom.is_none()).cloned().collect(),
            places: HashMap::new(),
            unserved: other.unserved.clone(),
            customs: 0,
        };
        for rows in custom {
            resources.customs += 1;
            resources.by_name.insert(rows.cache.storage.group_resource.clone(), rows.cache.clone());
            resources.served.extend(rows.served.iter().cloned());
        }
        resources.sort();
        resources
    }

    fn sort(&mut self) {
        self.served.sort_by_key(|served| served.place());
        self.places = self.served.iter().enumerate().map(|(at, served)| (served.place(), at)).collect();
    }

    pub(crate) fn customs(&self) -> usize {
        self.customs
    }

    fn storage_of(
        &mut self,
        table: &'static Table,
        api: &'static Resource,
        media: StorageMediaType,
    ) -> Option<Stored> {
        if !api.has_verb("watch") {
            return None;
        }
        let home = home_of(table, api);
        let name = home.group_resource();
        let cache = self
            .by_name
            .entry(name)
            .or_insert_with(|| Arc::new(ResourceCache::new(Arc::new(storage(table, home, media)))))
            .clone();
        self.by_name.entry(api.group_resource()).or_insert_with(|| cache.clone());
        Some(Stored { storage: cache.storage.clone(), cache })
    }

    /// Every cache once.
    pub(crate) fn caches(&self) -> impl Iterator<Item = &Arc<ResourceCache>> {
        self.by_name.iter().filter(|(name, cache)| **name == cache.storage.group_resource).map(|(_, c)| c)
    }

    /// The cache of a resource, by any name that it is served under.
    pub(crate) fn cached(&self, resource: &GroupResource) -> Option<&Arc<ResourceCache>> {
        self.by_name.get(resource)
    }

    pub(crate) fn served(&self) -> &[Arc<Served>] {
        &self.served
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        self.places.get(&(group, version, plural)).map(|at| &self.served[*at])
    }

    /// A built-in resource, also where it is not served.
    pub(crate) fn known(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        let place = (group, version, plural);
        let off = || self.unserved.iter().find(|unserved| unserved.place() == place);
        self.find(group, version, plural).or_else(off)
    }

    pub(crate) fn serves_version(&self, group: &str, version: &str) -> bool {
        self.served.iter().any(|served| (served.api.group, served.api.version) == (group, version))
    }
}

fn type_of(table: &Table, api: &Resource) -> TypeId {
    table.type_of(api.group, api.version, api.kind).expect("every resource of the table has a type")
}

/// The resource whose version objects of `api` are stored in.
fn home_of(table: &'static Table, api: &'static Resource) -> &'static Resource {
    // Events of both groups are the same objects.
    if (api.group, api.plural) == ("events.k8s.io", "events") {
        return table.resource("", "v1", "events").expect("the core group has events");
    }
    STORED_IN
        .iter()
        .find(|(group, plural, ..)| (*group, *plural) == (api.group, api.plural))
        .and_then(|(_, plural, group, version)| table.resource(group, version, plural))
        .or_else(|| foremost(table, api))
        .unwrap_or(api)
}

/// The version of a resource that is served by default, else the one nearest to being stable.
fn foremost(table: &'static Table, api: &Resource) -> Option<&'static Resource> {
    let same =
        table.resources().iter().filter(|other| (other.group, other.plural) == (api.group, api.plural));
    same.max_by_key(|other| (other.served_by_default, crate::discovery::priority(other.version)))
}

/// Groups whose servers keep JSON upstream, whatever is asked for.
const ALWAYS_JSON: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// What upstream writes in another version than the one that both serve.
fn written_in(api: &Resource) -> Option<&'static str> {
    match (api.group, api.plural) {
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies" | "mutatingadmissionpolicybindings") => {
            Some("admissionregistration.k8s.io/v1beta1")
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => Some("apiextensions.k8s.io/v1beta1"),
        _ => None,
    }
}

fn storage(table: &'static Table, api: &'static Resource, media: StorageMediaType) -> Storage {
    let group_resource = api.group_resource();
    Storage {
        gvk: api.gvk(),
        schema: Schema::Typed(type_of(table, api)),
        prefix: prefix_of(&group_resource),
        strategy: Behaviour::Builtin(strategy_of(&group_resource)),
        keep_parsed: READ_OFTEN.contains(&(api.group, api.plural)),
        passing: (api.group, api.plural) == ("", "events"),
        custom: None,
        protobuf: media == StorageMediaType::Protobuf && !ALWAYS_JSON.contains(&api.group),
        drafts: Drafts::default(),
        written_in: written_in(api).filter(|_| media == StorageMediaType::Protobuf),
        group_resource,
        api: Arc::new(api.clone()),
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({})", self.group_resource)
    }
}

fn strategy_of(resource: &GroupResource) -> &'static dyn Strategy {
    if *resource == crate::custom::definitions() {
        return oarlock_apiserver_custom::definition_strategy();
    }
    oarlock_apiserver_kinds::strategy_for(resource)
}
