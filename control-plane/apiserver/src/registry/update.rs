//! Update: a compare-and-swap loop that makes the new object from the newest old one and runs the whole of admission
//! and validation on it again each time round.

use bytes::Bytes;
use oarlock_api::apply::keep_times;
use oarlock_api::codec::settle;
use oarlock_api::{FieldError, Path, Schema, Status};
use oarlock_apiserver_access::Operation;
use serde_json::Value;

use super::conversion::Current;
use super::{
    CONFLICT_TRIES, Found, Put, Registry, Served, Storage, Write, Written, admission, context, kept, key_of,
    meta, meta_mut, set_revision,
};

/// What became of an update.
pub(crate) struct Updated {
    pub(crate) written: Written,
    /// There was no object of this name before.
    pub(crate) created: bool,
}

/// Of the metadata, what `/status` may change.
const STATUS_MAY_CHANGE: [&str; 4] = ["labels", "annotations", "finalizers", "managedFields"];

impl Registry {
    /// Replaces an object by what `transform` makes of it. `transform` sees the object in the request's version, with its
    /// resourceVersion, and may be called again over a newer one. `missing` is stored where there is no such object and
    /// the kind allows creation by update.
    pub(crate) async fn update<T>(
        &self,
        served: &Served,
        place: (&str, &str),
        write: &mut Write<'_>,
        missing: Option<Value>,
        transform: T,
    ) -> Result<Updated, Status>
    where
        T: Fn(&Value) -> Result<Value, Status> + Send + Sync,
    {
        let kept = kept(served)?;
        let storage = &kept.storage;
        let (namespace, name) = place;
        let key: Bytes = key_of(&storage.prefix, namespace, name).into();
        let mut found = self.find_cached(kept, namespace, name).await?;
        for _ in 0..CONFLICT_TRIES {
            let Some(old) = found else {
                return match missing {
                    // A revision says that the client knew the object: then it is gone, not new.
                    Some(object)
                        if storage.strategy.allow_create_on_update()
                            && text(&object, "resourceVersion").is_empty() =>
                    {
                        let written = self.create(served, namespace, object, write).await?;
                        Ok(Updated { written, created: true })
                    }
                    _ => Err(Status::not_found(&served.group_resource, name)),
                };
            };
            let old = Current::of(served, old);
            let candidate = transform(old.shown())?;
            match self.attempt(served, storage, &key, old, candidate, write).await? {
                Ok(written) => return Ok(Updated { written, created: false }),
                Err(newer) => found = newer,
            }
        }
        Err(Status::modified(&served.group_resource, name))
    }

    /// One round; `Ok(Err(_))` is what stands there now instead of `old`.
    async fn attempt(
        &self,
        served: &Served,
        storage: &Storage,
        key: &Bytes,
        current: Current,
        mut new: Value,
        write: &mut Write<'_>,
    ) -> Result<Result<Written, Option<Found>>, Status> {
        let Found { object: old, kv } = &current.found;
        let name = old["metadata"]["name"].as_str().unwrap_or_default().to_string();
        let namespace = old["metadata"]["namespace"].as_str().unwrap_or_default().to_string();
        let place = (namespace.as_str(), name.as_str());
        check_identity(served, key, &new, old, &name)?;
        check_revision(served, storage, &mut new, kv.mod_revision.0, &name)?;
        let seen = Some(current.shown());
        let mut request = admission(Operation::Update, served, write, place, Some(&mut new), seen);
        self.mutate(&mut request).await?;
        let mut new = served.inward(new);
        // What admission changed of it is taken back as well.
        keep_what_stays(storage, write.subresource, &mut new, old);
        // What a client leaves out is not a difference where the store has it empty.
        if let Schema::Typed(ty) = storage.schema {
            settle(ty, &mut new);
        }
        storage.strategy.prepare_for_update(&context(served, write, &namespace), &mut new, old);
        set_generation(storage, write.subresource, &mut new, old);
        let mut held = self.services.for_update(storage, &mut new, old, write.dry_run).await?;
        let mut errors = meta::validate_update(&new, old, meta::Kind::of(storage));
        errors.extend(storage.strategy.validate_update(&context(served, write, &namespace), &new, old));
        if write.subresource.is_empty() {
            errors.extend(super::further_errors(&self.habits, storage, &new, Some(old)));
        }
        if !errors.is_empty() {
            return Err(Status::invalid(&served.group_kind, &name, &errors));
        }
        let warned = storage.strategy.warnings(&context(served, write, &namespace), &new, Some(old));
        write.warnings.extend(warned);
        storage.strategy.canonicalize(&mut new);
        let mut shown = served.shown(&new);
        let judged = shown.as_mut().unwrap_or(&mut new);
        let request = admission(Operation::Update, served, write, place, Some(judged), seen);
        self.admit(&request).await?;
        served.complete(&mut new);
        keep_times(old, &mut new);
        if write.dry_run {
            if super::is_read_otherwise(storage, &new) {
                self.settle(storage, &mut new).await?;
            }
            return Ok(Ok(Written::Tree(served.outward(new))));
        }
        let done = if is_finished(storage, &new, old) {
            let held = self.services.for_delete(storage, old);
            self.remove_with(key, kv.mod_revision, held).await?.map(|revision| Put { revision, json: None })
        } else {
            let encoded = self.settle(storage, &mut new).await?;
            if (encoded.holds(kv) || new == *old)
                && !self.store.is_stale(key).await.map_err(super::store_failed)?
            {
                return Ok(Ok(Written::Tree(current.into_shown())));
            }
            let expected = kv.mod_revision;
            // As what is written: it shall be dropped here.
            drop(current);
            self.put_with(storage, key, encoded, expected, &mut new, &mut held).await?
        };
        match done {
            Ok(put) => Ok(Ok(put.of(served, new))),
            Err(current) => Ok(Err(self.read_if_any(storage, current).await?)),
        }
    }

    /// Changes an object as the server itself: no admission, no validation, no strategy.
    pub(crate) async fn amend<T>(
        &self,
        storage: &Storage,
        place: (&str, &str),
        change: T,
    ) -> Result<Option<Value>, Status>
    where
        T: Fn(&mut Value) -> Result<(), Status> + Send + Sync,
    {
        let (namespace, name) = place;
        let key: Bytes = key_of(&storage.prefix, namespace, name).into();
        let mut found = self.find(storage, namespace, name).await?;
        for _ in 0..CONFLICT_TRIES {
            let Some(Found { mut object, kv }) = found else { return Ok(None) };
            let old = object.clone();
            change(&mut object)?;
            if object == old {
                return Ok(Some(object));
            }
            let done = if is_finished(storage, &object, &old) {
                self.remove(&key, kv.mod_revision).await?.map(|revision| Put { revision, json: None })
            } else {
                let encoded = self.encode(storage, &object).await?;
                self.put(storage, &key, encoded, kv.mod_revision, &object).await?
            };
            match done {
                Ok(put) => {
                    set_revision(&mut object, put.revision.0);
                    return Ok(Some(object));
                }
                Err(current) => found = self.read_if_any(storage, current).await?,
            }
        }
        Err(Status::modified(&storage.group_resource, name))
    }
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// A uid in the body is a precondition.
fn check_identity(served: &Served, key: &Bytes, new: &Value, old: &Value, name: &str) -> Result<(), Status> {
    let (wanted, is) = (text(new, "uid"), text(old, "uid"));
    if wanted.is_empty() || wanted == is {
        return Ok(());
    }
    let key = String::from_utf8_lossy(key);
    let key = key.strip_prefix("/registry").unwrap_or(&key);
    Err(Status::conflict(
        &served.group_resource,
        name,
        format_args!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {wanted}, UID in object meta: {is}"
        ),
    ))
}

fn check_revision(
    served: &Served,
    storage: &Storage,
    new: &mut Value,
    current: u64,
    name: &str,
) -> Result<(), Status> {
    let asked = text(new, "resourceVersion");
    if asked.is_empty() || asked == "0" {
        if !storage.strategy.allow_unconditional_update() {
            let path = Path::new("metadata").child("resourceVersion");
            let value: Value = if asked.is_empty() { 0.into() } else { asked.into() };
            let error = FieldError::invalid(path, value, "must be specified for an update");
            return Err(Status::invalid(&served.group_kind, name, &[error]));
        }
        set_revision(new, current);
        return Ok(());
    }
    match asked.parse::<u64>() {
        Ok(asked) if asked == current => Ok(()),
        Ok(_) => Err(Status::modified(&served.group_resource, name)),
        Err(_) => {
            let path = Path::new("metadata").child("resourceVersion");
            let detail = format!("strconv.ParseUint: parsing {asked:?}: invalid syntax");
            Err(Status::invalid(&served.group_kind, name, &[FieldError::invalid(path, asked, detail)]))
        }
    }
}

/// Carries over what this endpoint may not change, and what a client may leave out.
fn keep_what_stays(storage: &Storage, subresource: &str, new: &mut Value, old: &Value) {
    if subresource == "status" {
        let asked = std::mem::replace(new, old.clone());
        take_meta(new, &asked);
        replace(new, "status", asked.get("status"));
    } else if let Some((part, field)) = part_of(subresource) {
        let asked = std::mem::replace(new, old.clone());
        let value = asked.get(part).and_then(|value| value.get(field));
        take_meta(new, &asked);
        if !new[part].is_object() {
            new[part] = Value::Object(serde_json::Map::new());
        }
        replace(&mut new[part], field, value);
    } else if subresource.is_empty() && storage.api.subresource("status").is_some() {
        replace(new, "status", old.get("status"));
    }
    let meta = meta_mut(new);
    for field in ["uid", "creationTimestamp"] {
        if meta.get(field).is_none_or(|v| v.is_null() || v == "")
            && let Some(value) = old["metadata"].get(field)
        {
            meta.insert(field.into(), value.clone());
        }
    }
    // A deletion that has begun cannot be taken back.
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        match old["metadata"].get(field).filter(|v| !v.is_null()) {
            Some(value) => meta.insert(field.into(), value.clone()),
            None => meta.remove(field),
        };
    }
}

/// The metadata that a subresource may change.
fn take_meta(new: &mut Value, asked: &Value) {
    for field in STATUS_MAY_CHANGE {
        replace(&mut new["metadata"], field, asked["metadata"].get(field));
    }
}

/// Subresources that are one field of their object.
fn part_of(subresource: &str) -> Option<(&'static str, &'static str)> {
    match subresource {
        "finalize" => Some(("spec", "finalizers")),
        "approval" => Some(("status", "conditions")),
        _ => None,
    }
}

fn replace(object: &mut Value, field: &str, value: Option<&Value>) {
    if let Value::Object(fields) = object {
        match value {
            Some(value) => fields.insert(field.into(), value.clone()),
            None => fields.remove(field),
        };
    }
}

fn set_generation(storage: &Storage, subresource: &str, new: &mut Value, old: &Value) {
    if !storage.strategy.has_generation() || subresource == "status" {
        return;
    }
    if storage.strategy.generation_changes(new, old) {
        let next = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        meta_mut(new).insert("generation".into(), next.into());
    }
}

/// A deletion waited for this update: the last finalizer is gone.
fn is_finished(storage: &Storage, new: &Value, old: &Value) -> bool {
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let (meta, was) = (&new["metadata"], &old["metadata"]);
    if meta["deletionTimestamp"].is_null() || !none(&meta["finalizers"]) {
        return false;
    }
    if storage.group_resource.group.is_empty() && &*storage.group_resource.resource == "namespaces" {
        return none(&new["spec"]["finalizers"]);
    }
    // The deletion of a definition has no period.
    was["deletionGracePeriodSeconds"] == 0 || super::delete::is_definition(storage)
}
