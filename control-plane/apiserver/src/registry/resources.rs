//! Which resources are served and where each is stored: the type table, indexed for requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use oarlock_api::{
    GroupKind, GroupResource, GroupVersionKind, GroupVersionResource, Resource, Table, TypeId,
};
use oarlock_apiserver_kinds::Strategy;

use super::conversion::Conversion;
use super::keys::prefix_of;

/// How long events are kept.
const EVENT_TTL: Duration = Duration::from_secs(60 * 60);

/// What authorisation and admission read on every request: kept as trees once read.
const READ_OFTEN: [(&str, &str); 8] = [
    ("", "namespaces"),
    ("", "nodes"),
    ("", "serviceaccounts"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("scheduling.k8s.io", "priorityclasses"),
];

/// Versions that objects are stored in where a group serves several; the only one otherwise.
const STORED_IN: [(&str, &str, &str, &str); 1] =
    [("autoscaling", "horizontalpodautoscalers", "autoscaling", "v2")];

/// How objects of one resource are kept, whatever versions serve them.
pub(crate) struct Storage {
    pub(crate) api: &'static Resource,
    pub(crate) ty: TypeId,
    pub(crate) group_resource: GroupResource,
    /// `/registry/pods/`.
    pub(crate) prefix: String,
    pub(crate) strategy: &'static dyn Strategy,
    /// Trees of these objects stay in memory once read.
    pub(crate) keep_parsed: bool,
    pub(crate) ttl: Option<Duration>,
}

/// One resource in one version.
pub(crate) struct Served {
    pub(crate) api: &'static Resource,
    pub(crate) ty: TypeId,
    pub(crate) gvk: GroupVersionKind,
    pub(crate) gvr: GroupVersionResource,
    pub(crate) group_resource: GroupResource,
    pub(crate) group_kind: GroupKind,
    /// Its storage; none for what is only asked (reviews, bindings).
    pub(crate) stored: Option<(usize, Arc<Storage>)>,
    /// How objects go between this version and the stored one, where they differ.
    pub(crate) conversion: Option<Conversion>,
}

pub(crate) struct Resources {
    pub(crate) table: &'static Table,
    storages: Vec<Arc<Storage>>,
    by_name: HashMap<GroupResource, usize>,
    /// Sorted as the table: by group, version, plural name.
    served: Vec<Served>,
}

impl Resources {
    /// All that is served by default.
    pub(crate) fn builtin() -> Self {
        let table = Table::builtin();
        let mut resources = Self { table, storages: Vec::new(), by_name: HashMap::new(), served: Vec::new() };
        for api in table.resources().iter().filter(|api| api.served_by_default) {
            let stored = resources.storage_of(api);
            let conversion = stored.as_ref().and_then(|(_, storage)| Conversion::between(api, storage.api));
            resources.served.push(Served {
                api,
                ty: type_of(table, api),
                gvk: api.gvk(),
                gvr: api.gvr(),
                group_resource: api.group_resource(),
                group_kind: api.group_kind(),
                stored,
                conversion,
            });
        }
        resources
    }

    fn storage_of(&mut self, api: &'static Resource) -> Option<(usize, Arc<Storage>)> {
        if !api.has_verb("watch") {
            return None;
        }
        let home = home_of(self.table, api);
        let name = home.group_resource();
        let index = match self.by_name.get(&name) {
            Some(index) => *index,
            None => {
                self.storages.push(Arc::new(storage(self.table, home)));
                self.by_name.insert(name, self.storages.len() - 1);
                self.storages.len() - 1
            }
        };
        self.by_name.entry(api.group_resource()).or_insert(index);
        Some((index, self.storages[index].clone()))
    }

    pub(crate) fn storages(&self) -> &[Arc<Storage>] {
        &self.storages
    }

    /// The index of a resource's storage, which is also its place in the cache.
    pub(crate) fn storage_index(&self, resource: &GroupResource) -> Option<usize> {
        self.by_name.get(resource).copied()
    }

    pub(crate) fn served(&self) -> &[Served] {
        &self.served
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Served> {
        let key = (group, version, plural);
        let found =
            self.served.binary_search_by(|s| (s.api.group, s.api.version, s.api.plural).cmp(&key)).ok()?;
        Some(&self.served[found])
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
        .unwrap_or(api)
}

fn storage(table: &'static Table, api: &'static Resource) -> Storage {
    let group_resource = api.group_resource();
    Storage {
        api,
        ty: type_of(table, api),
        prefix: prefix_of(&group_resource),
        strategy: oarlock_apiserver_kinds::strategy_for(&group_resource),
        keep_parsed: READ_OFTEN.contains(&(api.group, api.plural)),
        ttl: ((api.group, api.plural) == ("", "events")).then_some(EVENT_TTL),
        group_resource,
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({})", self.group_resource)
    }
}
