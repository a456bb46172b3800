//! One object as the cache holds it: the bytes that go on the wire, and the few fields that selectors read.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use oarlock_api::selector::{FieldSelector, LabelSelector, Labels};
use oarlock_store::KeyValue;
use serde_json::Value;

use crate::encode::Open;
use crate::registry::Storage;

/// A stored value that is no object: lists that should hold it fail, for who acts on them must not take it for gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to transform key {key:?}: {why}")]
pub(crate) struct Unreadable {
    pub(crate) key: String,
    pub(crate) why: String,
    /// When it was met.
    pub(crate) since: Instant,
}

impl Unreadable {
    /// The same value, for another reason.
    pub(crate) fn because(self, why: &dyn std::error::Error) -> Self {
        Self { why: why.to_string(), ..self }
    }
}

/// One version of one object.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    pub(crate) revision: u64,
    /// The version of a custom resource's object: stored ones may be of several.
    pub(crate) version: Option<Arc<str>>,
    /// The object as JSON in its storage version, resourceVersion included.
    pub(crate) json: Bytes,
    /// Where in it the resourceVersion stands.
    revision_at: u32,
    labels: Labelled,
    fields: Box<[(&'static str, String)]>,
    /// The same for fields that a definition names.
    named_fields: Box<[(Arc<str>, String)]>,
    /// The object as a tree, once somebody in the server asked for it and the resource is one that is asked for often.
    parsed: OnceLock<Arc<Value>>,
    /// The object as a protobuf message of its storage version, once a client asked for it.
    pub(crate) protobuf: OnceLock<Bytes>,
}

type Labelled = Box<[(Box<str>, Box<str>)]>;

/// What an entry takes from its object beside the bytes.
#[derive(Debug)]
pub(super) struct Known {
    namespace: Arc<str>,
    name: Box<str>,
    version: Option<Arc<str>>,
    labels: Labelled,
    fields: Box<[(&'static str, String)]>,
    named_fields: Box<[(Arc<str>, String)]>,
}

impl Known {
    pub(super) fn of(storage: &Storage, object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let labels = object["metadata"]["labels"].as_object().map(|labels| {
            labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or_default().into())).collect()
        });
        Self {
            namespace: text("namespace").into(),
            name: text("name").into(),
            version: storage.custom.as_ref().map(|custom| custom.version_name(object)),
            labels: labels.unwrap_or_default(),
            fields: storage.strategy.selectable_fields(object).into_boxed_slice(),
            named_fields: storage.strategy.named_fields(object).into_boxed_slice(),
        }
    }
}

impl Entry {
    /// The entry of a stored key value, with `revision` as its resourceVersion; or why it cannot be read.
    pub(crate) fn read(storage: &Storage, kv: &KeyValue, revision: u64) -> Result<Self, Unreadable> {
        let failed = |why: String| {
            let key = String::from_utf8_lossy(&kv.key).into_owned();
            tracing::error!(key, why, "a stored object cannot be read");
            Unreadable { key, why, since: Instant::now() }
        };
        if oarlock_apiserver_encryption::is_encrypted(&kv.value) {
            return Err(failed("no matching prefix found".into()));
        }
        let object = crate::decode::stored(storage, &kv.value, revision);
        object.map(|object| Self::of(storage, &object, revision)).map_err(|error| failed(error.to_string()))
    }

    /// `object` carries `revision` as its resourceVersion.
    pub(crate) fn of(storage: &Storage, object: &Value, revision: u64) -> Self {
        Self::complete(Known::of(storage, object), &Open::of(&storage.schema, object), revision)
    }

    /// An object that lacks only its revision.
    pub(super) fn complete(known: Known, open: &Open, revision: u64) -> Self {
        let json = open.at_revision(revision);
        let revision_at = u32::try_from(open.at()).expect("the store holds nothing so large");
        let Known { namespace, name, version, labels, fields, named_fields } = known;
        Self {
            namespace,
            name,
            revision,
            version,
            json,
            revision_at,
            labels,
            fields,
            named_fields,
            parsed: OnceLock::new(),
            protobuf: OnceLock::new(),
        }
    }

    /// The object as a tree; kept when `keep`.
    pub(crate) fn value(&self, keep: bool) -> Arc<Value> {
        if let Some(parsed) = self.parsed.get() {
            return parsed.clone();
        }
        let value: Value =
            serde_json::from_slice(&self.json).expect("the cache made these bytes from a tree");
        let value = Arc::new(value);
        if keep { self.parsed.get_or_init(|| value).clone() } else { value }
    }

    /// The same object with another resourceVersion: what a watcher is told when it is deleted or leaves a selection.
    pub(crate) fn at_revision(&self, revision: u64) -> Self {
        let known = Known {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            named_fields: self.named_fields.clone(),
        };
        Self::complete(known, &Open::again(&self.json, self.revision_at as usize, self.revision), revision)
    }

    fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => {
                self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str()).or_else(
                    || {
                        self.named_fields
                            .iter()
                            .find(|(field, _)| **field == *name)
                            .map(|(_, value)| value.as_str())
                    },
                )
            }
        }
    }
}

impl Labels for Entry {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }
}

/// What a list, a watch or a deletecollection is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Empty: all namespaces.
    pub(crate) namespace: String,
    pub(crate) labels: Arc<LabelSelector>,
    pub(crate) fields: Arc<FieldSelector>,
}

impl Filter {
    pub(crate) fn selects_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || *self.namespace == *entry.namespace) && self.selects(entry)
    }

    /// Whether an entry of the namespace that this is about is meant.
    pub(crate) fn selects(&self, entry: &Entry) -> bool {
        (self.fields.is_everything() || self.fields.matches(|field| entry.field(field)))
            && (self.labels.is_everything() || self.labels.matches(entry))
    }
}
