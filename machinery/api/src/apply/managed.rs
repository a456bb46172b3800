//! `metadata.managedFields`: who owns which fields since when, between its stored form and the sets that are computed with.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::codec::FieldsError;
use super::fields::FieldSet;
use crate::field::{FieldError, FieldErrors, Path};

/// What a manager did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who a manager is. An applier is the same whatever version it applies in; an updater is another one in each version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager<'a> {
    pub name: Cow<'a, str>,
    pub operation: Operation,
    pub api_version: Cow<'a, str>,
    pub subresource: Cow<'a, str>,
}

/// One entry of `managedFields`.
#[derive(Debug, Clone)]
pub struct Owner<'a> {
    pub manager: Manager<'a>,
    /// RFC 3339; empty where there is none.
    pub time: Cow<'a, str>,
    pub fields: FieldSet<'a>,
}

/// All entries; no two of one manager.
pub type Owners<'a> = Vec<Owner<'a>>;

/// Why `managedFields` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManagedError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("error decoding versioned set in managed fields entry {0}: error decoding set: {1}")]
    Fields(usize, #[source] FieldsError),
}

impl<'a> Manager<'a> {
    pub fn same(&self, other: &Manager<'_>) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The text by which upstream tells managers apart; it decides their order in messages.
    pub(super) fn identity(&self) -> String {
        let text = |value: &str| serde_json::to_string(value).expect("a string always prints");
        let mut out = String::from("{");
        if !self.name.is_empty() {
            out.push_str(&format!("\"manager\":{},", text(&self.name)));
        }
        out.push_str(&format!("\"operation\":\"{}\"", self.operation.as_str()));
        if self.operation == Operation::Update && !self.api_version.is_empty() {
            out.push_str(&format!(",\"apiVersion\":{}", text(&self.api_version)));
        }
        if !self.subresource.is_empty() {
            out.push_str(&format!(",\"subresource\":{}", text(&self.subresource)));
        }
        out.push('}');
        out
    }
}

fn text<'v>(entry: &'v Map<String, Value>, name: &str) -> &'v str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Reads the entries. Of two entries of one manager the later counts, as upstream.
pub fn decode(entries: &[Value]) -> Result<Owners<'_>, ManagedError> {
    let mut owners: Owners<'_> = Vec::with_capacity(entries.len() + 1);
    for (at, entry) in entries.iter().enumerate() {
        let owner = decode_entry(at, entry)?;
        match owners.iter_mut().find(|other| other.manager.same(&owner.manager)) {
            Some(other) => *other = owner,
            None => owners.push(owner),
        }
    }
    Ok(owners)
}

/// Whether an entry names an owner of nothing, who is forgotten by the next write. Servers store none; others may have.
pub(super) fn owns_nothing(entry: &Value) -> bool {
    let fields = entry.get("fieldsV1").and_then(Value::as_object);
    // What is not known as a step of a path is passed over where sets are read.
    let known = |name: &String| matches!(name.as_bytes(), [b'f' | b'k' | b'v' | b'i', b':', ..]);
    !fields.is_some_and(|fields| fields.keys().any(known))
}

fn decode_entry(at: usize, entry: &Value) -> Result<Owner<'_>, ManagedError> {
    let entry = entry.as_object().ok_or(ManagedError::Operation)?;
    let operation = match text(entry, "operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err(ManagedError::Operation),
    };
    let api_version = text(entry, "apiVersion");
    if api_version.is_empty() {
        return Err(ManagedError::ApiVersion);
    }
    match text(entry, "fieldsType") {
        "FieldsV1" => {}
        "" => return Err(ManagedError::NoFieldsType(at)),
        other => return Err(ManagedError::FieldsType(at, other.to_string())),
    }
    let fields = entry.get("fieldsV1").map_or(Ok(FieldSet::new()), FieldSet::from_value);
    let fields = fields.map_err(|error| ManagedError::Fields(at, error))?;
    Ok(Owner {
        manager: Manager {
            name: Cow::Borrowed(text(entry, "manager")),
            operation,
            api_version: Cow::Borrowed(api_version),
            subresource: Cow::Borrowed(text(entry, "subresource")),
        },
        time: Cow::Borrowed(text(entry, "time")),
        fields,
    })
}

/// Writes the entries in upstream's order: appliers first, older ones first.
pub fn encode(mut owners: Owners<'_>) -> Vec<Value> {
    owners.sort_by(|a, b| by_time(a, b, |o| o.manager.operation));
    owners.iter().map(encode_entry).collect()
}

fn by_time<'o, K: Ord>(a: &'o Owner<'_>, b: &'o Owner<'_>, first: impl Fn(&'o Owner<'_>) -> K) -> Ordering {
    let key = |o: &'o Owner<'_>| (first(o), seconds(&o.time));
    let rest = |o: &'o Owner<'_>| (&*o.manager.name, &*o.manager.api_version, &*o.manager.subresource);
    key(a).cmp(&key(b)).then_with(|| rest(a).cmp(&rest(b)))
}

/// Seconds since 1970; 0 where there is no time, as upstream.
fn seconds(time: &str) -> i64 {
    if time.is_empty() { 0 } else { time.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second) }
}

fn encode_entry(owner: &Owner<'_>) -> Value {
    let mut entry = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            entry.insert(name.to_string(), Value::from(value));
        }
    };
    put("apiVersion", &owner.manager.api_version);
    put("fieldsType", "FieldsV1");
    put("manager", &owner.manager.name);
    put("operation", owner.manager.operation.as_str());
    put("subresource", &owner.manager.subresource);
    put("time", &owner.time);
    entry.insert("fieldsV1".to_string(), owner.fields.to_value());
    Value::Object(entry)
}

/// More updaters than this are merged into one entry.
pub const UPDATERS_MAX: usize = 10;
/// The manager that old updaters are merged into.
pub const ANCIENT: &str = "ancient-changes";

/// Merges the oldest updaters of each version until there are no more than [`UPDATERS_MAX`].
pub(super) fn cap(owners: &mut Owners<'_>) {
    let is_updater = |owner: &Owner<'_>| owner.manager.operation == Operation::Update;
    let mut count = owners.iter().filter(|owner| is_updater(owner)).count();
    if count <= UPDATERS_MAX {
        return;
    }
    owners.sort_by(|a, b| {
        (!is_updater(a), seconds(&a.time), a.manager.identity()).cmp(&(
            !is_updater(b),
            seconds(&b.time),
            b.manager.identity(),
        ))
    });
    let mut kept: Owners<'_> = Vec::with_capacity(owners.len());
    // Where the first updater of a version stands in `kept`; the second turns it into a bucket.
    let mut first: Vec<(String, usize)> = Vec::new();
    for owner in std::mem::take(owners) {
        if count <= UPDATERS_MAX || !is_updater(&owner) {
            kept.push(owner);
            continue;
        }
        match first.iter().find(|(version, _)| *version == owner.manager.api_version) {
            None => {
                first.push((owner.manager.api_version.to_string(), kept.len()));
                kept.push(owner);
            }
            Some((_, at)) => {
                let bucket = &mut kept[*at];
                bucket.manager.name = Cow::Borrowed(ANCIENT);
                bucket.manager.subresource = Cow::Borrowed("");
                bucket.fields = std::mem::take(&mut bucket.fields).union(owner.fields);
                bucket.time = owner.time;
                count -= 1;
            }
        }
    }
    // A bucket of earlier may stand beside the one made now.
    for owner in kept {
        match owners.iter_mut().find(|other| other.manager.same(&owner.manager)) {
            Some(other) => other.fields = std::mem::take(&mut other.fields).union(owner.fields),
            None => owners.push(owner),
        }
    }
}

/// What validation of any object says of its `managedFields`.
pub fn validate_managed(entries: &[Value], path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for (at, entry) in entries.iter().enumerate() {
        let path = path.index(at);
        let empty = Map::new();
        let entry = entry.as_object().unwrap_or(&empty);
        let operation = text(entry, "operation");
        if operation != "Apply" && operation != "Update" {
            let told = "must be `Apply` or `Update`";
            errors.push(FieldError::invalid(path.child("operation"), operation, told));
        }
        let fields_type = text(entry, "fieldsType");
        if !fields_type.is_empty() && fields_type != "FieldsV1" {
            errors.push(FieldError::invalid(path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        errors.extend(super::names::validate_manager(text(entry, "manager"), &path.child("manager")));
        if text(entry, "subresource").len() > SUBRESOURCE_BYTES_MAX {
            errors.push(FieldError::too_long(path.child("subresource"), SUBRESOURCE_BYTES_MAX));
        }
    }
    errors
}

const SUBRESOURCE_BYTES_MAX: usize = 256;
