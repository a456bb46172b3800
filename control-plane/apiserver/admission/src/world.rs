//! What the plugins stand on.

use std::borrow::Cow;
use std::sync::Arc;

use oarlock_api::{GroupResource, GroupVersionKind, Schema, Status, Table, TypeId, meta};
use oarlock_apiserver_access::{Authorizer, Objects, Surface};
use serde_json::Value;

pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// What is read, what is served, and who may do what. Clones share it.
#[derive(Clone)]
pub struct World {
    pub objects: Arc<dyn Objects>,
    pub surface: Arc<dyn Surface>,
    pub authorizer: Arc<dyn Authorizer>,
}

impl World {
    /// A number that changes with any of some resources of the group.
    pub(crate) fn generation(&self, resources: &[&GroupResource]) -> u64 {
        // Each counter only grows, so their sum changes with any of them.
        resources.iter().map(|resource| self.objects.generation(resource)).sum()
    }

    /// All objects of a resource, by name.
    pub(crate) fn sorted(&self, resource: &GroupResource) -> Vec<Arc<Value>> {
        let mut all = self.objects.list(resource, "");
        all.sort_by(|a, b| crate::value::name(a).cmp(crate::value::name(b)));
        all
    }

    pub(crate) fn schema(&self, kind: &GroupVersionKind) -> Schema {
        let builtin = || Table::builtin().type_for(kind).map(Schema::Typed);
        self.surface.schema(kind).or_else(builtin).unwrap_or(Schema::Deduced)
    }

    fn typed(&self, kind: &GroupVersionKind) -> Option<TypeId> {
        match self.schema(kind) {
            Schema::Typed(ty) => Some(ty),
            _ => None,
        }
    }

    /// An object as it goes on the wire.
    pub(crate) fn print(&self, kind: &GroupVersionKind, object: &Value, out: &mut Vec<u8>) {
        match self.typed(kind) {
            Some(ty) => oarlock_api::codec::json::encode_into(Table::builtin(), ty, object, out),
            None => serde_json::to_writer(out, object).expect("a tree always prints"),
        }
    }

    /// The object as a tree of all that goes on the wire: what JSON patches are written against.
    pub(crate) fn on_the_wire(&self, kind: &GroupVersionKind, object: &Value) -> Result<Value, Status> {
        let mut bytes = Vec::new();
        self.print(kind, object, &mut bytes);
        serde_json::from_slice(&bytes).map_err(Status::internal)
    }

    /// The object as expressions see it: built-in kinds with the empty values that are always on the wire
    /// (`has(container.resources.limits)` needs no `resources`).
    pub(crate) fn seen<'v>(&self, kind: &GroupVersionKind, object: &'v Value) -> Cow<'v, Value> {
        match self.typed(kind) {
            Some(_) => self.on_the_wire(kind, object).map_or(Cow::Borrowed(object), Cow::Owned),
            None => Cow::Borrowed(object),
        }
    }

    /// A tree that somebody changed, read as an object of its kind: checked, in normal form, with defaults. What its kind
    /// does not know is dropped, or, if `strict`, an error.
    pub(crate) fn read_back(
        &self,
        kind: &GroupVersionKind,
        mut object: Value,
        strict: bool,
    ) -> Result<Value, String> {
        let became = meta::gvk(&object);
        if !object.is_object() || became != *kind {
            return Err(format!("unable to convert the object from {became} to {kind}"));
        }
        match self.schema(kind) {
            Schema::Typed(ty) => {
                let decoded =
                    oarlock_api::codec::check(Table::builtin(), ty, &object).map_err(|e| e.to_string())?;
                if let Some(error) = decoded.strict_error().filter(|_| strict) {
                    return Err(error);
                }
                object = decoded.value;
                oarlock_api::defaults::apply_defaults(kind, &mut object);
            }
            Schema::Structural(schema) => {
                schema.prune(&mut object, true);
                schema.fill_defaults(&mut object);
            }
            Schema::Deduced => {}
        }
        Ok(object)
    }

    /// The object in another version; as it is where it is in that one.
    pub(crate) async fn convert(
        &self,
        object: &Value,
        from: &GroupVersionKind,
        to: &GroupVersionKind,
    ) -> Result<Value, Status> {
        if from == to {
            return Ok(object.clone());
        }
        self.surface.convert(object.clone(), to).await
    }
}
