//! An object as it is written: printed once, before its revision is known, for the store, the cache and the answer.

use bytes::Bytes;
use oarlock_api::codec::json;
use oarlock_api::{Schema, Table};
use oarlock_store::KeyValue;
use serde_json::{Map, Value};

use crate::registry::Storage;

const REVISION: &str = "resourceVersion";

/// JSON that lacks only the resourceVersion.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    json: Bytes,
    /// Where the resourceVersion belongs.
    at: usize,
}

/// What a write puts into the store.
pub(crate) struct Encoded {
    pub(crate) stored: Bytes,
    /// The same object as JSON, where it is in the version of the one who writes.
    pub(crate) open: Option<Open>,
}

impl Encoded {
    /// `object` is in its storage version.
    pub(crate) fn of(storage: &Storage, object: &Value) -> Self {
        let open = Open::of(&storage.schema, object);
        let other = storage.protobuf || storage.written_in.is_some();
        let stored = if other { super::stored(storage, object) } else { open.json.clone() };
        Self { stored, open: Some(open) }
    }

    /// Whether a write would leave a value as it is, be it one of the store or one of the cache.
    pub(crate) fn holds(&self, kv: &KeyValue) -> bool {
        let open = self.open.as_ref();
        self.stored == kv.value || open.is_some_and(|open| open.is_at(kv.mod_revision.0, &kv.value))
    }

    /// Of an object that had to be converted for the store.
    pub(crate) fn converted(stored: Bytes) -> Self {
        Self { stored, open: None }
    }
}

impl Open {
    pub(crate) fn of(schema: &Schema, object: &Value) -> Self {
        let (json, at) = match schema {
            Schema::Typed(ty) => json::encode_open(Table::builtin(), *ty, object),
            Schema::Structural(_) | Schema::Deduced => tree_open(object),
        };
        Self { json: json.into(), at }
    }

    /// Of an object that was given this revision there.
    pub(crate) fn again(json: &[u8], at: usize, revision: u64) -> Self {
        let mut end = at + field(revision, leads(json, at)).len();
        end += usize::from(leads(json, at) && json.get(end) == Some(&b','));
        Self { json: [&json[..at], &json[end..]].concat().into(), at }
    }

    /// Where the resourceVersion belongs, the comma before it included.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Whether this is what the whole object is at a revision.
    fn is_at(&self, revision: u64, json: &[u8]) -> bool {
        let (before, after) = self.json.split_at(self.at);
        let field = field(revision, false);
        json.len() == before.len() + field.len() + after.len()
            && json.starts_with(before)
            && json.ends_with(after)
            && json[self.at..].starts_with(field.as_bytes())
    }

    /// The whole object.
    pub(crate) fn at_revision(&self, revision: u64) -> Bytes {
        let leads = leads(&self.json, self.at);
        let mut field = field(revision, leads);
        if leads && self.json.get(self.at) != Some(&b'}') {
            field.push(',');
        }
        [&self.json[..self.at], field.as_bytes(), &self.json[self.at..]].concat().into()
    }
}

/// Whether no field stands before: only where somebody wrote an object without a name past us.
fn leads(json: &[u8], at: usize) -> bool {
    json[..at].last() == Some(&b'{')
}

fn field(revision: u64, leads: bool) -> String {
    let comma = if leads { "" } else { "," };
    format!("{comma}\"{REVISION}\":\"{revision}\"")
}

/// An object of which nothing is known, in the order of the names of its fields.
fn tree_open(object: &Value) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(1024);
    let mut at = None;
    out.push(b'{');
    for (name, value) in object.as_object().into_iter().flatten() {
        put_name(name, 1, &mut out);
        match value {
            Value::Object(meta) if name == "metadata" => at = Some(put_meta(meta, &mut out)),
            value => put(value, &mut out),
        }
    }
    let at = at.unwrap_or(out.len());
    out.push(b'}');
    (out, at)
}

fn put_meta(meta: &Map<String, Value>, out: &mut Vec<u8>) -> usize {
    out.push(b'{');
    let start = out.len();
    let mut at = None;
    for (name, value) in meta.iter().filter(|(name, _)| *name != REVISION) {
        if at.is_none() && name.as_str() > REVISION {
            at = Some(out.len());
        }
        put_name(name, start, out);
        put(value, out);
    }
    let at = at.unwrap_or(out.len());
    out.push(b'}');
    at
}

fn put_name(name: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, name).expect("a string always prints");
    out.push(b':');
}

fn put(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a tree of JSON values always serialises");
}

#[cfg(test)]
mod tests {
    use oarlock_api::Table;
    use serde_json::json;

    use super::*;

    fn check(schema: &Schema, mut object: Value) {
        let open = Open::of(schema, &object);
        let told = String::from_utf8(open.json.to_vec()).expect("JSON is text");
        object["metadata"].as_object_mut().expect("it has one").remove(REVISION);
        let without = crate::encode::json_of(schema, &object);
        assert_eq!(told.as_bytes(), without, "{told}");
        object["metadata"][REVISION] = "42".into();
        let whole = open.at_revision(42);
        assert_eq!(whole, crate::encode::json_of(schema, &object));
        assert_eq!(open.is_at(42, &whole), !leads(&open.json, open.at));
        assert!(!open.is_at(43, &whole));
        let again = Open::again(&whole, open.at, 42);
        assert_eq!((again.json, again.at), (open.json, open.at));
    }

    #[test]
    fn it_is_the_object_once_it_has_its_revision() {
        let ty = Table::builtin().type_of("", "v1", "Pod").expect("pods are known");
        for schema in [Schema::Typed(ty), Schema::Deduced] {
            let pod = |meta: Value| json!({ "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": {} });
            check(&schema, pod(json!({ "name": "a" })));
            check(&schema, pod(json!({})));
            check(&schema, pod(json!({ "uid": "u" })));
            check(&schema, pod(json!({ "name": "a", "resourceVersion": "7", "uid": "u" })));
            let resourceful = json!({ "resourceVersion": "1", "uid": "u" });
            check(&schema, pod(json!({ "annotations": resourceful, "name": "\"uid\"", "selfLink": "s" })));
        }
        let custom = json!({ "a": { "metadata": {} }, "kind": "X", "metadata": { "name": "x" }, "z": 1 });
        check(&Schema::Deduced, custom);
    }
}
