//! Deletion: preconditions, propagation through finalizers, grace, and at last removal.

use bytes::Bytes;
use jiff::Timestamp;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::Operation;
use oarlock_apiserver_kinds::GracefulDelete;
use serde_json::Value;

use super::{
    CONFLICT_TRIES, Found, Registry, Served, Storage, Write, admission, kept, key_of, meta_mut, set_revision,
    time_text,
};

/// DeleteOptions as the registry reads them.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    /// `Orphan`, `Background`, `Foreground`, or none.
    pub(crate) propagation: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    /// What leads to this deletion has been admitted: an eviction.
    pub(crate) admitted: bool,
}

/// What became of a deletion.
pub(crate) struct Deleted {
    pub(crate) object: Value,
    /// It is gone; otherwise it waits for finalizers or grace.
    pub(crate) gone: bool,
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion does next.
enum Step {
    Remove,
    Mark(Value),
    /// It is being deleted already, and this request changes nothing.
    Pending,
}

impl Registry {
    pub(crate) async fn delete(
        &self,
        served: &Served,
        place: (&str, &str),
        options: &DeleteOptions,
        write: &mut Write<'_>,
    ) -> Result<Deleted, Status> {
        let kept = kept(served)?;
        let storage = &kept.storage;
        let (namespace, name) = place;
        let key: Bytes = key_of(&storage.prefix, namespace, name).into();
        let mut found = self.find_cached(kept, namespace, name).await?;
        for _ in 0..CONFLICT_TRIES {
            let Some(Found { object, kv }) = found else {
                return Err(Status::not_found(&served.group_resource, name));
            };
            check_preconditions(served, options, &object, name)?;
            if !options.admitted {
                let shown = served.shown(&object);
                let seen = Some(shown.as_ref().unwrap_or(&object));
                let mut request = admission(Operation::Delete, served, write, place, None, seen);
                self.mutate(&mut request).await?;
                self.admit(&request).await?;
            }
            let step = plan(served, storage, (options, self.habits.collects_garbage), &object, name)?;
            if write.dry_run {
                let gone = matches!(step, Step::Remove);
                let object = if let Step::Mark(marked) = step { marked } else { object };
                return Ok(Deleted { object: served.outward(object), gone });
            }
            let (done, mut object, gone) = match step {
                Step::Pending => return Ok(Deleted { object: served.outward(object), gone: false }),
                Step::Remove => {
                    let held = self.services.for_delete(storage, &object);
                    let removed = self.remove_with(&key, kv.mod_revision, held).await?;
                    (removed, object, true)
                }
                Step::Mark(marked) => {
                    let encoded = self.encode(storage, &marked).await?;
                    let put = self.put(storage, &key, encoded, kv.mod_revision, &marked).await?;
                    (put.map(|put| put.revision), marked, false)
                }
            };
            match done {
                Ok(revision) => {
                    set_revision(&mut object, revision.0);
                    return Ok(Deleted { object: served.outward(object), gone });
                }
                Err(current) => found = self.read_if_any(storage, current).await?,
            }
        }
        Err(Status::modified(&served.group_resource, name))
    }
}

/// Whether the object is the one, and at the version, that the options ask for.
pub(crate) fn check_preconditions(
    served: &Served,
    options: &DeleteOptions,
    object: &Value,
    name: &str,
) -> Result<(), Status> {
    let is = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    // Upstream tells the kind here, not the resource.
    let kind = GroupResource::new(&served.group_kind.group, &served.group_kind.kind);
    let conflict = |why: String| Err(Status::conflict(&kind, name, why));
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != is("uid")) {
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            is("uid")
        ));
    }
    if let Some(revision) = options.resource_version.as_deref().filter(|rv| *rv != is("resourceVersion")) {
        return conflict(format!(
            "the ResourceVersion in the precondition ({revision}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            is("resourceVersion")
        ));
    }
    Ok(())
}

/// What this request makes of the object; the object is not changed by a request that adds nothing.
fn plan(
    served: &Served,
    storage: &Storage,
    (options, collects_garbage): (&DeleteOptions, bool),
    object: &Value,
    name: &str,
) -> Result<Step, Status> {
    let mut marked = object.clone();
    if is_definition(storage) && object["metadata"]["deletionTimestamp"].is_null() {
        // It is only told what comes: no period, no new generation, nothing of the options.
        storage.strategy.prepare_for_delete(&mut marked, Timestamp::now());
        meta_mut(&mut marked).insert("deletionTimestamp".into(), time_text(Timestamp::now()).into());
        return Ok(Step::Mark(marked));
    }
    if collects_garbage {
        set_finalizers(storage, options, &mut marked);
    }
    storage.strategy.prepare_for_delete(&mut marked, Timestamp::now());
    if is_namespace(storage) {
        return plan_namespace(served, marked, object, name);
    }
    let held = marked["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    let deleting = !object["metadata"]["deletionTimestamp"].is_null();
    let grace = match storage.strategy.graceful_delete(object, options.grace) {
        GracefulDelete::Immediate => 0,
        GracefulDelete::Grace { seconds } => seconds.max(0),
    };
    let had = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if deleting && grace > 0 && had.is_some_and(|had| grace >= had) {
        return Ok(if marked == *object { Step::Pending } else { Step::Mark(marked) });
    }
    if grace == 0 && !held {
        return Ok(Step::Remove);
    }
    mark(&mut marked, deleting, if held && grace == 0 { 0 } else { grace }, had);
    Ok(if marked == *object { Step::Pending } else { Step::Mark(marked) })
}

fn mark(object: &mut Value, deleting: bool, grace: i64, had: Option<i64>) {
    let shortened = had.is_some_and(|had| grace < had);
    let meta = meta_mut(object);
    if !deleting || shortened {
        let at = Timestamp::now().saturating_add(jiff::SignedDuration::from_secs(grace));
        let at = at.unwrap_or(Timestamp::MAX);
        meta.insert("deletionTimestamp".into(), time_text(at).into());
        if let Some(generation) = meta.get("generation").and_then(Value::as_i64).filter(|g| *g > 0) {
            meta.insert("generation".into(), (generation + 1).into());
        }
    }
    if had.is_none_or(|had| grace < had) {
        meta.insert("deletionGracePeriodSeconds".into(), grace.into());
    }
}

pub(super) fn is_definition(storage: &Storage) -> bool {
    storage.group_resource == crate::custom::definitions()
}

fn is_namespace(storage: &Storage) -> bool {
    storage.group_resource.group.is_empty() && &*storage.group_resource.resource == "namespaces"
}

/// A namespace ends in two steps: it is marked, and goes when its content has.
fn plan_namespace(served: &Served, mut marked: Value, object: &Value, name: &str) -> Result<Step, Status> {
    let any = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    if marked["metadata"]["deletionTimestamp"].is_null() {
        meta_mut(&mut marked).insert("deletionTimestamp".into(), time_text(Timestamp::now()).into());
        marked["status"]["phase"] = "Terminating".into();
        return Ok(Step::Mark(marked));
    }
    if any(&marked["spec"]["finalizers"]) {
        if marked != *object {
            return Ok(Step::Mark(marked));
        }
        return Err(Status::conflict(
            &served.group_resource,
            name,
            "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will \
             automatically be purged by the system.",
        ));
    }
    if any(&marked["metadata"]["finalizers"]) {
        return Ok(if marked == *object { Step::Pending } else { Step::Mark(marked) });
    }
    Ok(Step::Remove)
}

/// The finalizers that make the garbage collector orphan dependents, or delete them first.
fn set_finalizers(storage: &Storage, options: &DeleteOptions, object: &mut Value) {
    let has = |name: &str| super::meta::strings(&object["metadata"]["finalizers"]).any(|f| f == name);
    let (had_orphan, had_foreground) = (has(ORPHAN), has(FOREGROUND));
    let (orphan, foreground) = match options.propagation.as_deref() {
        Some("Orphan") => (true, false),
        Some("Foreground") => (false, true),
        Some(_) => (false, false),
        None if had_orphan || had_foreground => (had_orphan, had_foreground),
        None => (storage.strategy.default_propagation() == "Orphan", false),
    };
    if (orphan, foreground) == (had_orphan, had_foreground) {
        return;
    }
    let kept =
        super::meta::strings(&object["metadata"]["finalizers"]).filter(|f| *f != ORPHAN && *f != FOREGROUND);
    let mut finalizers: Vec<Value> = kept.map(Value::from).collect();
    if orphan {
        finalizers.push(ORPHAN.into());
    }
    if foreground {
        finalizers.push(FOREGROUND.into());
    }
    if finalizers.is_empty() {
        meta_mut(object).remove("finalizers");
    } else {
        meta_mut(object).insert("finalizers".into(), finalizers.into());
    }
}
