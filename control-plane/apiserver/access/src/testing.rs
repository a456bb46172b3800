//! A fake of the API server's cache, and builders of what the tests ask with.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupResource, Status};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::types::{Attributes, Authorizer, Decision, ObjectEvent, Objects, Rules, User};
use crate::value::{name, namespace};

type Key = (GroupResource, String, String);

/// Objects in memory. What is put as `hidden` is not in the cache yet: only fresh reads find it.
#[derive(Default)]
pub(crate) struct FakeObjects {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cached: HashMap<Key, Arc<Value>>,
    hidden: HashMap<Key, Arc<Value>>,
    generations: HashMap<GroupResource, u64>,
    lists: u64,
    subscribers: Vec<(GroupResource, mpsc::Sender<ObjectEvent>)>,
}

fn key(resource: &GroupResource, namespace: &str, name: &str) -> Key {
    (resource.clone(), namespace.to_string(), name.to_string())
}

impl FakeObjects {
    pub(crate) fn with(objects: &[(&GroupResource, Value)]) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        objects.iter().for_each(|(resource, object)| fake.put(resource, object.clone()));
        fake
    }

    pub(crate) fn put(&self, resource: &GroupResource, object: Value) {
        let object = Arc::new(object);
        let mut state = self.state.lock();
        state.cached.insert(key(resource, namespace(&object), name(&object)), object.clone());
        state.changed(resource, &ObjectEvent::Applied(object));
    }

    pub(crate) fn hide(&self, resource: &GroupResource, object: Value) {
        self.state.lock().hidden.insert(key(resource, namespace(&object), name(&object)), Arc::new(object));
    }

    pub(crate) fn delete(&self, resource: &GroupResource, namespace: &str, name: &str) {
        let mut state = self.state.lock();
        if let Some(object) = state.cached.remove(&key(resource, namespace, name)) {
            state.changed(resource, &ObjectEvent::Deleted(object));
        }
    }

    /// How often anything was listed.
    pub(crate) fn lists(&self) -> u64 {
        self.state.lock().lists
    }
}

impl State {
    fn changed(&mut self, resource: &GroupResource, event: &ObjectEvent) {
        *self.generations.entry(resource.clone()).or_default() += 1;
        for (wanted, sender) in &self.subscribers {
            if wanted == resource {
                // A subscriber that is gone no longer cares.
                let _ = sender.try_send(event.clone());
            }
        }
    }
}

#[async_trait]
impl Objects for FakeObjects {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.state.lock().cached.get(&key(resource, namespace, name)).cloned()
    }

    async fn get_fresh(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        let key = key(resource, namespace, name);
        let state = self.state.lock();
        Ok(state.hidden.get(&key).or_else(|| state.cached.get(&key)).cloned())
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Value>> {
        let mut state = self.state.lock();
        state.lists += 1;
        let fits = |(r, n, _): &Key| r == resource && (namespace.is_empty() || n == namespace);
        state.cached.iter().filter(|(key, _)| fits(key)).map(|(_, object)| object.clone()).collect()
    }

    fn generation(&self, resource: &GroupResource) -> u64 {
        self.state.lock().generations.get(resource).copied().unwrap_or_default()
    }

    fn subscribe(&self, resource: &GroupResource) -> mpsc::Receiver<ObjectEvent> {
        let (sender, receiver) = mpsc::channel(64);
        for object in self.list(resource, "") {
            sender.try_send(ObjectEvent::Applied(object)).expect("tests hold fewer objects than the channel");
        }
        self.state.lock().subscribers.push((resource.clone(), sender));
        receiver
    }
}

/// An authoriser that allows what its function says.
pub(crate) struct Fixed(pub(crate) fn(&Attributes) -> bool);

#[async_trait]
impl Authorizer for Fixed {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if (self.0)(attributes) {
            Decision::Allow("fixed".into())
        } else {
            Decision::NoOpinion(String::new())
        }
    }

    async fn rules_for(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }
}

pub(crate) fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.into(), groups: groups.iter().map(ToString::to_string).collect(), ..User::default() }
}

pub(crate) fn node_user(node: &str) -> User {
    user(&format!("system:node:{node}"), &["system:nodes", "system:authenticated"])
}

/// `get pods/log a in default` for tests: verb, `group/resource[/subresource]` without a group for core, namespace, name.
pub(crate) fn ask(user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
    let (group, rest) = resource.split_once(':').unwrap_or(("", resource));
    let (resource, subresource) = rest.split_once('/').unwrap_or((rest, ""));
    Attributes {
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..Attributes::of_resources(Arc::new(user.clone()), verb)
    }
}

pub(crate) fn ask_path(user: &User, verb: &str, path: &str) -> Attributes {
    Attributes { resource_request: false, path: path.into(), ..ask(user, verb, "", "", "") }
}

/// An object with nothing but names; fields are set on it.
pub(crate) fn object(namespace: &str, name: &str, uid: &str) -> Value {
    let mut object = json!({"metadata": {"name": name, "uid": uid}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

pub(crate) fn pod(name: &str, node: &str, spec: Value) -> Value {
    let mut pod = object("default", name, &format!("uid-{name}"));
    pod["spec"] = spec;
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}
