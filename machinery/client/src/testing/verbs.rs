//! What each verb does to the state.

use serde_json::{Value, json};

use super::kinds;
use super::patch;
use super::path::{ResourceId, Target};
use super::select::Filter;
use super::state::State;

/// An answer that is not a success: HTTP code, reason, message.
pub(super) type Refusal = (u16, String, String);
type Answer = Result<Value, Refusal>;

/// One request, taken apart.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: &'a Value,
    pub(super) filter: Filter,
    /// An apply may create.
    pub(super) apply: bool,
}

fn refuse(code: u16, reason: &str, message: impl Into<String>) -> Refusal {
    (code, reason.into(), message.into())
}

fn qualified(resource: &ResourceId) -> String {
    if resource.group.is_empty() {
        resource.plural.clone()
    } else {
        format!("{}.{}", resource.plural, resource.group)
    }
}

fn not_found(resource: &ResourceId, name: &str) -> Refusal {
    refuse(404, "NotFound", format!("{} \"{name}\" not found", qualified(resource)))
}

pub(super) fn answer(state: &mut State, target: &Target, call: &Call<'_>) -> Answer {
    match target {
        Target::Groups { core: true } => Ok(json!({"kind": "APIVersions", "versions": ["v1"]})),
        Target::Groups { core: false } => Ok(kinds::group_list()),
        Target::Resources { group, version } => Ok(kinds::resource_list(group, version)),
        Target::Collection { resource, namespace } => match call.method {
            "GET" => Ok(list(state, resource, &call.filter)),
            "POST" => create(state, resource, namespace, call.body.clone()),
            "DELETE" => Ok(delete_collection(state, resource, call)),
            _ => Err(refuse(405, "MethodNotAllowed", "the server does not allow this method")),
        },
        Target::Object { resource, namespace, name, subresource } => {
            let object = Named { resource, namespace, name };
            object.answer(state, subresource, call)
        }
        Target::Unknown => Err(refuse(404, "NotFound", "the server could not find the requested resource")),
    }
}

fn list(state: &State, resource: &ResourceId, filter: &Filter) -> Value {
    let objects = state.resources.get(resource).into_iter().flat_map(|objects| objects.values());
    let items: Vec<&Value> = objects.filter(|object| filter.matches(object)).collect();
    json!({
        "apiVersion": resource.api_version(),
        "kind": format!("{}List", kinds::kind_of(resource).unwrap_or("Object")),
        "metadata": {"resourceVersion": state.revision.to_string()},
        "items": items,
    })
}

/// Creates an object, with the metadata that the real server adds.
pub(super) fn create(state: &mut State, resource: &ResourceId, namespace: &str, mut object: Value) -> Answer {
    if !object.is_object() {
        return Err(refuse(400, "BadRequest", "the body is not an object"));
    }
    if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default().to_string();
        object["metadata"]["name"] = json!(format!("{prefix}{:05x}", state.uids + 0xbcdf0));
    }
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_string();
    let key = (text("namespace"), text("name"));
    if state.object(resource, &key.0, &key.1).is_some() {
        let message = format!("{} \"{}\" already exists", qualified(resource), key.1);
        return Err(refuse(409, "AlreadyExists", message));
    }
    if object["metadata"]["uid"].as_str().is_none() {
        object["metadata"]["uid"] = json!(state.next_uid());
    }
    if object["metadata"]["creationTimestamp"].is_null() {
        object["metadata"]["creationTimestamp"] = json!(now());
    }
    if object["metadata"]["generation"].is_null() {
        object["metadata"]["generation"] = json!(1);
    }
    if object["kind"].is_null() {
        object["kind"] = json!(kinds::kind_of(resource));
        object["apiVersion"] = json!(resource.api_version());
    }
    Ok(state.store(resource, key, Some(object)))
}

fn delete_collection(state: &mut State, resource: &ResourceId, call: &Call<'_>) -> Value {
    let objects = state.resources.get(resource).into_iter().flatten();
    let keys: Vec<_> = objects.filter(|(_, o)| call.filter.matches(o)).map(|(key, _)| key.clone()).collect();
    for (namespace, name) in keys {
        // Each was there a moment ago, under the same lock; a precondition cannot be given for a collection.
        let _ = Named { resource, namespace: &namespace, name: &name }.delete(state, call.body);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
}

struct Named<'a> {
    resource: &'a ResourceId,
    namespace: &'a str,
    name: &'a str,
}

impl Named<'_> {
    fn answer(&self, state: &mut State, subresource: &str, call: &Call<'_>) -> Answer {
        match (call.method, subresource) {
            ("GET", "" | "status") => self.current(state),
            ("GET", "scale") if kinds::is_scaled(self.resource) => Ok(scale_of(&self.current(state)?)),
            ("PUT", _) => self.update(state, call.body.clone(), subresource),
            ("PATCH", _) => self.patch(state, subresource, call),
            ("DELETE", "") => self.delete(state, call.body),
            ("POST", "binding") => self.bind(state, call.body),
            ("POST", "eviction") => self.delete(state, &call.body["deleteOptions"]),
            _ => Err(refuse(405, "MethodNotAllowed", "the server does not allow this method")),
        }
    }

    fn key(&self) -> (String, String) {
        (self.namespace.to_string(), self.name.to_string())
    }

    fn current(&self, state: &State) -> Answer {
        let found = state.object(self.resource, self.namespace, self.name);
        found.cloned().ok_or_else(|| not_found(self.resource, self.name))
    }

    fn conflict(&self, why: &str) -> Refusal {
        let message =
            format!("Operation cannot be fulfilled on {} \"{}\": {why}", qualified(self.resource), self.name);
        refuse(409, "Conflict", message)
    }

    fn patch(&self, state: &mut State, subresource: &str, call: &Call<'_>) -> Answer {
        let mut object = match self.current(state) {
            Err(_) if call.apply => return create(state, self.resource, self.namespace, call.body.clone()),
            current => current?,
        };
        if call.content_type.contains("json-patch") {
            patch::json_patch(&mut object, call.body).map_err(|step| refuse(422, "Invalid", step))?;
        } else {
            let strategic = call.content_type.contains("strategic") || call.apply;
            patch::merge(&mut object, call.body, strategic);
        }
        if call.body["metadata"]["resourceVersion"].is_null() {
            // A patch without a version has none to conflict with.
            let current = self.current(state)?;
            object["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
        }
        self.update(state, object, subresource)
    }

    fn update(&self, state: &mut State, mut new: Value, subresource: &str) -> Answer {
        let old = self.current(state)?;
        for (field, why) in [
            (
                "resourceVersion",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            ("uid", "Precondition failed: UID in precondition differs from UID in object meta"),
        ] {
            let wanted = &new["metadata"][field];
            if !wanted.is_null() && *wanted != "" && *wanted != old["metadata"][field] {
                return Err(self.conflict(why));
            }
        }
        match subresource {
            "status" => {
                let mut object = old.clone();
                object["status"] = new["status"].take();
                new = object;
            }
            "finalize" => {
                let mut object = old.clone();
                object["spec"]["finalizers"] = new["spec"]["finalizers"].take();
                new = object;
            }
            // Kinds with a status take it through the subresource alone.
            _ if !old["status"].is_null() && kinds::kind_of(self.resource).is_some() => {
                new["status"] = old["status"].clone();
            }
            _ => {}
        }
        self.keep_system_fields(&old, &mut new);
        if new == old {
            return Ok(old);
        }
        if is_finished(&new) {
            return Ok(state.store(self.resource, self.key(), None));
        }
        Ok(state.store(self.resource, self.key(), Some(new)))
    }

    fn keep_system_fields(&self, old: &Value, new: &mut Value) {
        for field in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
            "generation",
        ] {
            if old["metadata"][field].is_null() {
                if let Some(meta) = new["metadata"].as_object_mut() {
                    meta.remove(field);
                }
            } else {
                new["metadata"][field] = old["metadata"][field].clone();
            }
        }
        if new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = json!(generation + 1);
        }
        for field in ["kind", "apiVersion"] {
            new[field] = old[field].clone();
        }
    }

    fn bind(&self, state: &mut State, binding: &Value) -> Answer {
        let mut pod = self.current(state)?;
        if pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty()) {
            return Err(self.conflict("pod is already assigned to a node"));
        }
        pod["spec"]["nodeName"] = binding["target"]["name"].clone();
        let condition =
            json!({"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}]});
        if pod["status"].is_null() {
            pod["status"] = json!({});
        }
        patch::merge(&mut pod["status"], &condition, true);
        state.store(self.resource, self.key(), Some(pod));
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
    }

    /// Deletes at once, or marks for deletion what has finalizers, what is a pod on a node (its kubelet ends it), and
    /// namespaces.
    fn delete(&self, state: &mut State, options: &Value) -> Answer {
        let mut object = self.current(state)?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return Err(self.conflict(&format!("Precondition failed: {field} differs")));
            }
        }
        let propagation = match options["propagationPolicy"].as_str() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        if let Some(finalizer) = propagation {
            if !object["metadata"]["finalizers"].is_array() {
                object["metadata"]["finalizers"] = json!([]);
            }
            let list = object["metadata"]["finalizers"].as_array_mut().expect("made an array above");
            if !list.iter().any(|old| old == finalizer) {
                list.push(json!(finalizer));
            }
        }
        let grace = options["gracePeriodSeconds"].as_i64().unwrap_or_else(|| {
            if self.resource.plural != "pods" || object["spec"]["nodeName"].as_str().is_none_or(str::is_empty)
            {
                return 0;
            }
            object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30)
        });
        let grace = if self.resource.plural == "pods" { grace } else { 0 };
        if grace == 0 && !has_finalizers(&object) {
            state.store(self.resource, self.key(), None);
            return Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}));
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = json!(now());
        }
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        if self.resource.plural == "namespaces" {
            object["status"]["phase"] = json!("Terminating");
        }
        Ok(state.store(self.resource, self.key(), Some(object)))
    }
}

fn scale_of(object: &Value) -> Value {
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": object["metadata"],
        "spec": {"replicas": object["spec"]["replicas"]}, "status": {"replicas": 0},
    })
}

fn has_finalizers(object: &Value) -> bool {
    let some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    some(&object["metadata"]["finalizers"])
        || (object["kind"] == "Namespace" && some(&object["spec"]["finalizers"]))
}

/// Marked for deletion, and nothing holds it any more.
fn is_finished(object: &Value) -> bool {
    let meta = &object["metadata"];
    !meta["deletionTimestamp"].is_null()
        && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
        && !has_finalizers(object)
}

fn now() -> String {
    let second = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
}
