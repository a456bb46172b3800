//! A world for tests: objects in memory, built-in kinds served, and one that two versions are served of.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupResource, GroupVersionKind, GroupVersionResource, Schema, Status, Table, meta};
use oarlock_apiserver_access::{
    AdmissionRequest, Annotations, Attributes, Authorizer, Decision, ObjectEvent, Objects, Operation, Rules,
    ServedResource, Surface, User,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::World;
use crate::world::GROUP;

#[derive(Default)]
pub(crate) struct FakeObjects {
    all: Mutex<HashMap<(GroupResource, String, String), Arc<Value>>>,
    generation: Mutex<u64>,
}

impl FakeObjects {
    pub(crate) fn put(&self, resource: &GroupResource, object: Value) {
        let key = (resource.clone(), meta::namespace(&object).to_string(), meta::name(&object).to_string());
        self.all.lock().insert(key, Arc::new(object));
        *self.generation.lock() += 1;
    }
}

#[async_trait]
impl Objects for FakeObjects {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.all.lock().get(&(resource.clone(), namespace.into(), name.into())).cloned()
    }

    async fn get_fresh(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        Ok(self.get(resource, namespace, name))
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Value>> {
        let all = self.all.lock();
        let fits = |(r, n, _): &(GroupResource, String, String)| {
            r == resource && (namespace.is_empty() || n == namespace)
        };
        all.iter().filter(|(key, _)| fits(key)).map(|(_, object)| object.clone()).collect()
    }

    fn generation(&self, _resource: &GroupResource) -> u64 {
        *self.generation.lock()
    }

    fn subscribe(&self, _resource: &GroupResource) -> mpsc::Receiver<ObjectEvent> {
        mpsc::channel(1).1
    }
}

/// Built-in resources, and `widgets.example.com` in v1 and v2, which keeps `spec.size` as `spec.length`.
pub(crate) struct FakeSurface;

fn widget(version: &str) -> ServedResource {
    ServedResource {
        resource: GroupVersionResource::new("example.com", version, "widgets"),
        kind: GroupVersionKind::new("example.com", version, "Widget"),
        namespaced: true,
    }
}

fn served(resource: &oarlock_api::Resource) -> ServedResource {
    ServedResource { resource: resource.gvr(), kind: resource.gvk(), namespaced: resource.namespaced }
}

#[async_trait]
impl Surface for FakeSurface {
    fn resource_of_kind(&self, kind: &GroupVersionKind) -> Option<ServedResource> {
        if *kind.group == *"example.com" {
            return Some(widget(&kind.version)).filter(|widget| widget.kind == *kind);
        }
        Table::builtin().resource_of_kind(kind).map(served)
    }

    fn resource(&self, resource: &GroupVersionResource) -> Option<ServedResource> {
        if *resource.group == *"example.com" {
            return Some(widget(&resource.version)).filter(|widget| widget.resource == *resource);
        }
        Table::builtin().resource_for(resource).map(served)
    }

    fn equivalents(&self, resource: &GroupVersionResource) -> Vec<ServedResource> {
        if *resource.group == *"example.com" {
            return vec![widget("v1"), widget("v2")];
        }
        self.resource(resource).into_iter().collect()
    }

    fn schema(&self, _kind: &GroupVersionKind) -> Option<Schema> {
        None
    }

    async fn convert(&self, mut object: Value, to: &GroupVersionKind) -> Result<Value, Status> {
        let (from, into) = if *to.version == *"v2" { ("size", "length") } else { ("length", "size") };
        if let Some(size) = object["spec"].as_object_mut().and_then(|spec| spec.remove(from)) {
            object["spec"][into] = size;
        }
        meta::set_gvk(&mut object, to);
        Ok(object)
    }
}

/// Lets admins do everything.
pub(crate) struct Admins;

#[async_trait]
impl Authorizer for Admins {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.verb == "list" {
            // As one that asks a webhook.
            tokio::task::yield_now().await;
        }
        if attributes.user.name == "admin" {
            Decision::Allow("admin".into())
        } else {
            Decision::NoOpinion(String::new())
        }
    }

    async fn rules_for(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }
}

/// With a namespace `default` labelled `team=a`.
pub(crate) fn world() -> (World, Arc<FakeObjects>) {
    let objects = Arc::new(FakeObjects::default());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {"team": "a"}}});
    objects.put(&GroupResource::new("", "namespaces"), namespace);
    let world =
        World { objects: objects.clone(), surface: Arc::new(FakeSurface), authorizer: Arc::new(Admins) };
    (world, objects)
}

/// A configuration object of the group.
pub(crate) fn put(objects: &FakeObjects, resource: &str, object: Value) {
    objects.put(&GroupResource::new(GROUP, resource), object);
}

/// What a test sends through a plugin.
pub(crate) struct Sent {
    pub(crate) operation: Operation,
    pub(crate) kind: GroupVersionKind,
    pub(crate) resource: GroupVersionResource,
    pub(crate) subresource: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) user: Arc<User>,
    pub(crate) object: Option<Value>,
    pub(crate) old: Option<Value>,
    pub(crate) options: Value,
    pub(crate) dry_run: bool,
    pub(crate) warnings: Vec<String>,
    pub(crate) annotations: Annotations,
}

impl Sent {
    pub(crate) fn create(resource: GroupVersionResource, object: Value) -> Self {
        Self {
            operation: Operation::Create,
            kind: meta::gvk(&object),
            resource,
            subresource: "",
            namespace: meta::namespace(&object).to_string(),
            name: meta::name(&object).to_string(),
            user: Arc::new(User { name: "alice".into(), groups: vec!["staff".into()], ..User::default() }),
            object: Some(object),
            old: None,
            options: json!({}),
            dry_run: false,
            warnings: Vec::new(),
            annotations: Annotations::default(),
        }
    }

    pub(crate) fn request(&mut self) -> AdmissionRequest<'_> {
        AdmissionRequest {
            operation: self.operation,
            kind: &self.kind,
            resource: &self.resource,
            subresource: self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            user: &self.user,
            object: self.object.as_mut(),
            old_object: self.old.as_ref(),
            options: &self.options,
            dry_run: self.dry_run,
            warnings: &mut self.warnings,
            annotations: &self.annotations,
        }
    }
}

pub(crate) fn config_map(name: &str, data: Value) -> Sent {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data,
    });
    Sent::create(GroupVersionResource::new("", "v1", "configmaps"), object)
}

pub(crate) fn widget_v1(name: &str) -> Sent {
    let object = json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "w"}}, "spec": {"size": 3},
    });
    Sent::create(GroupVersionResource::new("example.com", "v1", "widgets"), object)
}
