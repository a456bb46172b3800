//! The generic registry: creation, update and deletion of any resource, the same way for all. A kind adds its strategy.
//!
//! Knows nothing of HTTP. Objects come and go as trees in the version of the request; the store holds them as JSON.

mod catalogue;
mod conversion;
mod create;
mod delete;
mod enabled;
mod keys;
mod leases;
pub(crate) mod meta;
mod names;
mod own;
mod put;
mod quota;
mod resources;
mod sealed;
pub(crate) mod services;
mod surface;
mod update;

pub(crate) use catalogue::Catalogue;
pub(crate) use delete::{DeleteOptions, check_preconditions};
pub use enabled::RuntimeConfig;
pub(crate) use keys::{ROOT, key_of};
pub(crate) use own::Hand;
pub(crate) use put::{Put, Written};
pub(crate) use quota::QuotaWriter;
pub(crate) use resources::{Behaviour, Custom, Resources, ScalePaths, Served, Storage, Stored};
pub(crate) use sealed::Keys;
pub(crate) use surface::ServedSurface;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use oarlock_api::{FieldErrors, Status};
use oarlock_apiserver_access::admission::AdmissionChain;
use oarlock_apiserver_access::{AdmissionRequest, Annotations, Operation, User};
use oarlock_apiserver_admission::World;
use oarlock_apiserver_kinds::Context;
use oarlock_store::{KeyValue, Revision, Store, StoreError};
use serde_json::Value;

use crate::config::Running;
use crate::custom::{Caller, to_version};
use crate::encode::Encoded;
use leases::Leases;
use services::ServiceAllocator;

/// How often a write is tried again over a newer version before the client is told.
const CONFLICT_TRIES: usize = 50;

/// What a user may set of how objects are kept.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// `--event-ttl`: how long what lives for a time lives; for ever where it is none.
    event_ttl: Option<Duration>,
    lease_reuse: Duration,
    allow_privileged: bool,
    collects_garbage: bool,
}

impl Habits {
    pub(crate) fn of(running: &Running) -> Self {
        Self {
            event_ttl: (!running.event_ttl.is_zero()).then_some(running.event_ttl),
            lease_reuse: running.lease_reuse,
            allow_privileged: running.allow_privileged,
            collects_garbage: running.collects_garbage,
        }
    }
}

pub(crate) struct Registry {
    pub(crate) store: Arc<dyn Store>,
    admission: AdmissionChain,
    pub(crate) services: ServiceAllocator,
    leases: Leases,
    habits: Habits,
    keys: Option<Keys>,
    pub(crate) conversions: Caller,
    pub(crate) world: World,
}

/// Who writes, how, and what the client is to be warned of.
pub(crate) struct Write<'a> {
    pub(crate) user: &'a Arc<User>,
    pub(crate) subresource: &'a str,
    pub(crate) dry_run: bool,
    /// CreateOptions, UpdateOptions, PatchOptions or DeleteOptions as sent.
    pub(crate) options: &'a Value,
    pub(crate) warnings: Vec<String>,
    pub(crate) annotations: &'a Annotations,
}

impl<'a> Write<'a> {
    /// A write of a whole object by the server itself, with no options.
    pub(crate) fn of_server(user: &'a Arc<User>, annotations: &'a Annotations) -> Self {
        Self {
            user,
            subresource: "",
            dry_run: false,
            options: &Value::Null,
            warnings: Vec::new(),
            annotations,
        }
    }
}

/// An object of the store.
pub(crate) struct Found {
    pub(crate) object: Value,
    pub(crate) kv: KeyValue,
}

impl Registry {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        admission: AdmissionChain,
        services: ServiceAllocator,
        conversions: Caller,
        (world, habits): (World, Habits),
    ) -> Self {
        let leases = Leases::new(store.clone(), habits.lease_reuse);
        Self { store, admission, services, leases, conversions, world, habits, keys: None }
    }

    /// With encryption at rest whose keys may go.
    pub(crate) fn with_keys(self, keys: Option<Keys>) -> Self {
        Self { keys, ..self }
    }

    /// The object as the store has it now.
    pub(crate) async fn find(
        &self,
        storage: &Storage,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Found>, Status> {
        let key = key_of(&storage.prefix, namespace, name);
        let (kv, _) = self.store.get(&key, None).await.map_err(store_failed)?;
        self.read_if_any(storage, kv).await
    }

    /// The same as the cache has it, where that is how the store has it now; from the store otherwise.
    async fn find_cached(
        &self,
        stored: &Stored,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Found>, Status> {
        let key = key_of(&stored.storage.prefix, namespace, name);
        let now = self.store.revision_of(&key).unwrap_or_default();
        let entry = stored.cache.get(namespace, name).filter(|entry| entry.revision == now.0);
        let opens = entry.is_some() && self.opens(stored, &key).await?;
        let Some(entry) = entry.filter(|_| opens) else {
            return self.find(&stored.storage, namespace, name).await;
        };
        // What is stored is the same, or the same as protobuf, and without the revision.
        let (key, value) = (key.into(), entry.json.clone());
        let kv = KeyValue { key, value, create_revision: Revision(0), mod_revision: now, lease: None };
        self.read(&stored.storage, kv).await.map(Some)
    }

    /// The object as the store has it now, or 404.
    pub(crate) async fn get(&self, served: &Served, namespace: &str, name: &str) -> Result<Found, Status> {
        let storage = stored(served)?;
        let found = self.find(storage, namespace, name).await?;
        found.ok_or_else(|| Status::not_found(&served.group_resource, name))
    }

    /// The mutating half of admission, in order.
    pub(crate) async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let done = oarlock_apiserver_admission::mutate(&self.admission, request).await;
        let told = request.annotations.take_warnings();
        request.warnings.extend(told);
        done
    }

    /// The validating half of admission.
    pub(crate) async fn admit(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        self.admission.validate(request).await
    }

    /// What the store holds, as this storage works with it.
    pub(crate) async fn read(&self, storage: &Storage, kv: KeyValue) -> Result<Found, Status> {
        let mut object =
            crate::decode::stored(storage, &kv.value, kv.mod_revision.0).map_err(Status::internal)?;
        if let Some(custom) = &storage.custom
            && object["apiVersion"] != custom.version.api_version.as_str()
        {
            let converted = to_version(custom, vec![object], &self.conversions).await?;
            object =
                converted.into_iter().next().ok_or_else(|| Status::internal("a conversion gave nothing"))?;
        }
        Ok(Found { object, kv })
    }

    async fn read_if_any(&self, storage: &Storage, kv: Option<KeyValue>) -> Result<Option<Found>, Status> {
        match kv {
            Some(kv) => self.read(storage, kv).await.map(Some),
            None => Ok(None),
        }
    }

    /// An object of this storage as the store will keep it. Where what will be read of it is not the same, for it is
    /// kept in another version or its status has a default, the object becomes that.
    async fn settle(&self, storage: &Storage, object: &mut Value) -> Result<Encoded, Status> {
        let encoded = self.encode(storage, object).await?;
        if is_read_otherwise(storage, object) {
            let revision = meta_mut(object).remove("resourceVersion");
            let value = encoded.stored.clone();
            let (key, nothing) = (Bytes::new(), Revision(0));
            let kv = KeyValue { key, value, create_revision: nothing, mod_revision: nothing, lease: None };
            *object = self.read(storage, kv).await?.object;
            let meta = meta_mut(object);
            meta.remove("resourceVersion");
            meta.extend(revision.map(|revision| ("resourceVersion".to_string(), revision)));
            return Ok(Encoded::converted(encoded.stored));
        }
        Ok(encoded)
    }

    /// An object of this storage as the store keeps it.
    pub(crate) async fn encode(&self, storage: &Storage, object: &Value) -> Result<Encoded, Status> {
        if let Some(custom) = &storage.custom
            && kept_in_other_version(storage)
        {
            let home = Custom::new(custom.resource.clone(), custom.resource.storage_version().clone());
            let converted = to_version(&home, vec![object.clone()], &self.conversions).await?;
            let converted = converted.first().ok_or_else(|| Status::internal("a conversion gave nothing"))?;
            return Ok(Encoded::converted(crate::encode::stored(storage, converted)));
        }
        Ok(Encoded::of(storage, object))
    }
}

/// A custom resource in another version than its definition's stored one.
fn kept_in_other_version(storage: &Storage) -> bool {
    storage.custom.as_ref().is_some_and(|custom| !custom.version.storage)
}

/// Whether an object of this storage will not be read as it is written.
fn is_read_otherwise(storage: &Storage, object: &Value) -> bool {
    let Some(custom) = &storage.custom else { return false };
    kept_in_other_version(storage) || custom.version.has_default_status(object)
}

/// What configures admission is validated by the crate that acts on it.
fn further_errors(habits: &Habits, storage: &Storage, new: &Value, old: Option<&Value>) -> FieldErrors {
    if !habits.allow_privileged && storage.custom.is_none() {
        let faults = oarlock_apiserver_kinds::privileged(storage.api.kind, new);
        if !faults.is_empty() {
            return faults;
        }
    }
    if storage.api.group != ADMISSION_GROUP {
        return FieldErrors::new();
    }
    oarlock_apiserver_admission::validate::for_kind(storage.api.kind)
        .map(|check| check(new, old))
        .unwrap_or_default()
}

const ADMISSION_GROUP: &str = "admissionregistration.k8s.io";

/// The storage of a resource that is served with the verbs of stored objects.
pub(crate) fn stored(served: &Served) -> Result<&Arc<Storage>, Status> {
    Ok(&kept(served)?.storage)
}

/// The storage of such a resource, in the version that is served, and its cache, in that of the store.
fn kept(served: &Served) -> Result<&Stored, Status> {
    served.stored.as_ref().ok_or_else(|| Status::method_not_allowed(&served.group_resource, "get"))
}

/// The request of one admission step.
pub(crate) fn admission<'a>(
    operation: Operation,
    served: &'a Served,
    write: &'a mut Write<'_>,
    place: (&'a str, &'a str),
    object: Option<&'a mut Value>,
    old_object: Option<&'a Value>,
) -> AdmissionRequest<'a> {
    let (namespace, name) = place;
    AdmissionRequest {
        operation,
        kind: served.body_kind(write.subresource),
        resource: &served.gvr,
        subresource: write.subresource,
        namespace,
        name,
        user: write.user,
        object,
        old_object,
        options: write.options,
        dry_run: write.dry_run,
        warnings: &mut write.warnings,
        annotations: write.annotations,
    }
}

pub(crate) fn context<'a>(served: &'a Served, write: &'a Write<'_>, namespace: &'a str) -> Context<'a> {
    Context {
        now: Timestamp::now(),
        user: write.user,
        namespace,
        subresource: write.subresource,
        api_version: &served.api_version,
    }
}

/// RFC 3339 to the second, as `metav1.Time`.
pub(crate) fn time_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The object's metadata, made where it has none.
pub(crate) fn meta_mut(object: &mut Value) -> &mut serde_json::Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    let meta = &mut object["metadata"];
    if !meta.is_object() {
        *meta = Value::Object(serde_json::Map::new());
    }
    meta.as_object_mut().expect("it was made an object above")
}

pub(crate) fn set_revision(object: &mut Value, revision: u64) {
    meta_mut(object).insert("resourceVersion".into(), revision.to_string().into());
}

/// What the store could not do, as a client sees it.
pub(crate) fn store_failed(error: StoreError) -> Status {
    match error {
        StoreError::TooLarge { .. } => Status::request_entity_too_large(error.to_string()),
        StoreError::Compacted { .. } => Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You must start a new \
             list without the continue parameter.",
        ),
        StoreError::Backend { tried, source } => {
            tracing::error!(tried, error = %source, "the store failed");
            Status::internal(source)
        }
        StoreError::Unavailable(_) | StoreError::DiskFull => Status::service_unavailable(error.to_string()),
        other => {
            tracing::error!(error = %other, "the store failed");
            Status::internal(other)
        }
    }
}
