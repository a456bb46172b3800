//! Creation: mutate, fill in what the server knows, validate, store.

use jiff::Timestamp;
use oarlock_api::Status;
use oarlock_apiserver_access::Operation;
use oarlock_store::{KeyValue, Revision};
use serde_json::Value;

use super::names::{NAME_TRIES, generate_name};
use super::{
    Registry, Served, Write, Written, admission, context, key_of, meta, meta_mut, stored, time_text,
};

impl Registry {
    /// Stores a new object and gives it back as stored, in its version.
    pub(crate) async fn create(
        &self,
        served: &Served,
        namespace: &str,
        object: Value,
        write: &mut Write<'_>,
    ) -> Result<Written, Status> {
        let base = object["metadata"]["generateName"].as_str().unwrap_or_default().to_string();
        let named = !object["metadata"]["name"].as_str().unwrap_or_default().is_empty();
        if named || base.is_empty() {
            return self.create_named(served, namespace, object, write).await.map_err(|(status, _)| status);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let mut attempt = object.clone();
            let name = generate_name(&base);
            meta_mut(&mut attempt).insert("name".into(), name.clone().into());
            match self.create_named(served, namespace, attempt, write).await {
                Ok(created) => return Ok(created),
                Err((_, true)) if tries < NAME_TRIES => {}
                Err((_, true)) => return Err(Status::generate_name_conflict(&served.group_resource, &name)),
                Err((status, false)) => return Err(status),
            }
        }
    }

    /// The error's second half says that the name is taken.
    async fn create_named(
        &self,
        served: &Served,
        namespace: &str,
        mut object: Value,
        write: &mut Write<'_>,
    ) -> Result<Written, (Status, bool)> {
        let refused = |status: Status| (status, false);
        let storage = stored(served).map_err(refused)?;
        let mut name = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
        let place = (namespace, name.as_str());
        let mut request = admission(Operation::Create, served, write, place, Some(&mut object), None);
        self.mutate(&mut request).await.map_err(refused)?;
        let mut object = served.inward(object);
        fill_system_fields(&mut object, namespace, storage.strategy.has_generation());
        if !storage.strategy.keeps_status_on_create() {
            clear_status(&storage.api, &mut object);
        }
        storage.strategy.prepare_for_create(&context(served, write, namespace), &mut object);
        // There are kinds that name themselves.
        if name.is_empty() {
            name = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
        }
        let place = (namespace, name.as_str());
        let mut held =
            self.services.for_create(storage, &mut object, write.dry_run).await.map_err(refused)?;
        let mut errors = meta::validate_create(&object, meta::Kind::of(storage));
        errors.extend(storage.strategy.validate_create(&context(served, write, namespace), &object));
        meta::prefer_kind_of_name(&mut errors);
        errors.extend(super::further_errors(&self.habits, storage, &object, None));
        if !errors.is_empty() {
            return Err(refused(Status::invalid(&served.group_kind, &name, &errors)));
        }
        let warned = storage.strategy.warnings(&context(served, write, namespace), &object, None);
        write.warnings.extend(warned);
        storage.strategy.canonicalize(&mut object);
        let mut shown = served.shown(&object);
        let judged = shown.as_mut().unwrap_or(&mut object);
        let request = admission(Operation::Create, served, write, place, Some(judged), None);
        self.admit(&request).await.map_err(refused)?;
        served.complete(&mut object);
        let key: bytes::Bytes = key_of(&storage.prefix, namespace, &name).into();
        if write.dry_run {
            let (taken, _) =
                self.store.get(&key, None).await.map_err(super::store_failed).map_err(refused)?;
            if let Some(kv) = taken {
                return Err((self.taken(served, &name, Some(kv)).await, true));
            }
            if super::is_read_otherwise(storage, &object) {
                self.settle(storage, &mut object).await.map_err(refused)?;
            }
            return Ok(Written::Tree(served.outward(object)));
        }
        if has_revision(&object) {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(refused(Status::new(500, "", why)));
        }
        let encoded = self.settle(storage, &mut object).await.map_err(refused)?;
        let done = self.put_with(storage, &key, encoded, Revision(0), &mut object, &mut held).await;
        match done.map_err(refused)? {
            Err(current) => Err((self.taken(served, &name, current).await, true)),
            Ok(put) => Ok(put.of(served, object)),
        }
    }
}

impl Registry {
    /// The name belongs to another object, which may be about to go.
    async fn taken(&self, served: &Served, name: &str, kv: Option<KeyValue>) -> Status {
        let taken = Status::already_exists(&served.group_resource, name);
        let (Some(kv), Ok(storage)) = (kv, stored(served)) else { return taken };
        match self.read(storage, kv).await {
            Ok(found) if !found.object["metadata"]["deletionTimestamp"].is_null() => taken.being_deleted(),
            _ => taken,
        }
    }
}

/// What only the server says of a new object.
fn fill_system_fields(object: &mut Value, namespace: &str, has_generation: bool) {
    let meta = meta_mut(object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        meta.remove(field);
    }
    meta.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
    meta.insert("creationTimestamp".into(), time_text(Timestamp::now()).into());
    if has_generation {
        meta.insert("generation".into(), 1.into());
    }
    if !namespace.is_empty() && meta.get("namespace").and_then(Value::as_str).is_none_or(str::is_empty) {
        meta.insert("namespace".into(), namespace.into());
    }
}

/// A client took the object for one that is there. (`storage.ErrResourceVersionSetOnCreate`)
fn has_revision(object: &Value) -> bool {
    object["metadata"]["resourceVersion"].as_str().is_some_and(|text| text.parse().is_ok_and(|n: u64| n != 0))
}

/// A kind with a status subresource is created without one.
fn clear_status(api: &oarlock_api::Resource, object: &mut Value) {
    if api.subresource("status").is_some()
        && let Value::Object(fields) = object
    {
        fields.remove("status");
    }
}
