//! RFC 6902 as upstream's library applies it: negative indices count from the end, a missing member reads as null and can
//! be replaced, and neither copies nor moves may make the document grow or nest without bound.

use std::io;

use serde_json::{Map, Value};

use super::PatchError;

/// More operations than this are refused.
pub const OPERATIONS_MAX: usize = 10_000;
/// What all copies of one patch may add together.
pub const COPY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// A patch may not nest a document deeper than a document may be sent.
pub const NESTING_MAX: usize = 128;
/// While a patch is applied, what is known of the depth may be this far off before it is measured again.
const NESTING_SLACK: usize = 256;
/// How many items of arrays one patch may shift or look at; a few seconds of work.
const WORK_MAX: usize = 200_000_000;

/// A JSON patch that has been read. It can be applied any number of times.
#[derive(Debug, Clone)]
pub struct JsonPatch {
    operations: Vec<Map<String, Value>>,
}

impl JsonPatch {
    pub fn parse(text: &[u8]) -> Result<Self, PatchError> {
        let operations: Option<Vec<Option<Map<String, Value>>>> = serde_json::from_slice(text)
            .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
        let operations: Vec<_> =
            operations.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect();
        if operations.len() > OPERATIONS_MAX {
            return Err(PatchError::TooManyOperations { actual: operations.len(), max: OPERATIONS_MAX });
        }
        Ok(Self { operations })
    }

    /// What a strict reader objects to: `json patch unknown field "[0].foo"`.
    pub fn complaints(&self) -> Vec<String> {
        let known = |name: &str| matches!(name, "op" | "path" | "from" | "value");
        let of = |(at, operation): (usize, &Map<String, Value>)| {
            let unknown = operation.keys().filter(|name| !known(name));
            unknown.map(|name| format!("json patch unknown field \"[{at}].{name}\"")).collect::<Vec<_>>()
        };
        self.operations.iter().enumerate().flat_map(of).collect()
    }

    /// Applies all operations in order. After an error the document is of no use.
    pub fn apply(&self, document: &mut Value) -> Result<(), PatchError> {
        let depth = depth(document, NESTING_SLACK);
        let mut state = State { document, copied: 0, depth, work: 0 };
        for operation in &self.operations {
            state.apply(operation).map_err(PatchError::Inapplicable)?;
        }
        state.check_depth(NESTING_MAX).map_err(PatchError::Inapplicable)
    }
}

/// Applies the operations in `patch` (JSON text) to `document`.
pub fn json_patch(document: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let patch = JsonPatch::parse(patch)?;
    let mut document = document.clone();
    patch.apply(&mut document)?;
    Ok(document)
}

struct State<'d> {
    document: &'d mut Value,
    copied: usize,
    /// The document is not deeper than this.
    depth: usize,
    work: usize,
}

type Applied = Result<(), String>;

fn text<'o>(operation: &'o Map<String, Value>, name: &str, kind: &str) -> Result<&'o str, String> {
    let value = operation.get(name).and_then(Value::as_str);
    value.ok_or_else(|| format!("{kind} operation failed to decode {name}: missing value"))
}

impl State<'_> {
    fn apply(&mut self, operation: &Map<String, Value>) -> Applied {
        let kind = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
        let value = || operation.get("value").cloned().unwrap_or_default();
        match kind {
            "add" => {
                let value = value();
                let below = depth(&value, NESTING_SLACK);
                self.add(text(operation, "path", kind)?, value, below, kind)
            }
            "remove" => self.remove(text(operation, "path", kind)?, kind).map(drop),
            "replace" => self.replace(text(operation, "path", kind)?, value()),
            "test" => self.test(text(operation, "path", kind)?, operation.get("value")),
            "move" => {
                let from = text(operation, "from", kind)?;
                let moved = self.remove(from, kind)?;
                let below = self.depth.saturating_sub(parts(from));
                self.add(text(operation, "path", kind)?, moved, below, kind)
            }
            "copy" => self.copy(text(operation, "from", kind)?, text(operation, "path", kind)?),
            other => Err(format!("Unexpected kind: {other}")),
        }
    }

    /// The container that a path's last part names a member of.
    fn container(&mut self, path: &str, operation: &str) -> Result<(&mut Value, String), String> {
        let missing = || {
            format!("{operation} operation does not apply: doc is missing path: \"{path}\": missing value")
        };
        let (parents, last) = path.rsplit_once('/').ok_or_else(missing)?;
        let mut at = &mut *self.document;
        for part in parents.split('/').skip(1) {
            at = match at {
                Value::Object(members) => members.get_mut(&decode(part)),
                Value::Array(items) => present(part, items.len()).and_then(|i| items.get_mut(i)),
                _ => None,
            }
            .ok_or_else(missing)?;
        }
        if at.is_object() || at.is_array() { Ok((at, decode(last))) } else { Err(missing()) }
    }

    /// `below` is how deep the value is at most.
    fn add(&mut self, path: &str, value: Value, below: usize, operation: &str) -> Applied {
        let (container, key) = self.container(path, operation)?;
        let mut shifted = 0;
        match container {
            Value::Object(members) => {
                members.insert(key, value);
            }
            Value::Array(items) => {
                let size = items.len() + 1;
                let at = if key == "-" { Some(items.len()) } else { present(&key, size) };
                let at = at.ok_or_else(|| bad_index(path, &key, operation))?;
                shifted = items.len() - at;
                items.insert(at, value);
            }
            _ => unreachable_container(),
        }
        self.labour(shifted)?;
        self.deepen(parts(path) + below)
    }

    /// Notes that the document may be this deep.
    fn deepen(&mut self, depth: usize) -> Applied {
        self.depth = self.depth.max(depth);
        if self.depth <= NESTING_MAX + NESTING_SLACK { Ok(()) } else { self.check_depth(NESTING_MAX) }
    }

    fn check_depth(&mut self, max: usize) -> Applied {
        if self.depth <= max {
            return Ok(());
        }
        let mut nodes = 0;
        self.depth = depth_counting(self.document, max + 1, &mut nodes);
        self.labour(nodes)?;
        if self.depth <= max {
            Ok(())
        } else {
            Err(format!("the document is nested deeper than {max} levels"))
        }
    }

    fn labour(&mut self, work: usize) -> Applied {
        self.work = self.work.saturating_add(work);
        if self.work <= WORK_MAX { Ok(()) } else { Err("the patch takes too long to apply".to_string()) }
    }

    fn remove(&mut self, path: &str, operation: &str) -> Result<Value, String> {
        let (container, key) = self.container(path, operation)?;
        let mut shifted = 0;
        let removed = match container {
            Value::Object(members) => members.remove(&key).ok_or_else(|| {
                format!("error in {operation} for path: '{path}': Unable to remove nonexistent key: {key}: missing value")
            })?,
            Value::Array(items) => {
                let at = present(&key, items.len()).ok_or_else(|| bad_index(path, &key, operation))?;
                shifted = items.len() - at;
                items.remove(at)
            }
            _ => unreachable_container(),
        };
        self.labour(shifted)?;
        Ok(removed)
    }

    fn replace(&mut self, path: &str, value: Value) -> Applied {
        let below = depth(&value, NESTING_SLACK);
        if path.is_empty() {
            if !value.is_object() && !value.is_array() {
                return Err("replace operation value must be object or array".to_string());
            }
            *self.document = value;
            self.depth = below;
            return Ok(());
        }
        let (container, key) = self.container(path, "replace")?;
        match container {
            Value::Object(members) => {
                members.insert(key, value);
            }
            Value::Array(items) => {
                let at = present(&key, items.len()).ok_or_else(|| {
                    format!("replace operation does not apply: doc is missing key: {path}: missing value")
                })?;
                items[at] = value;
            }
            _ => unreachable_container(),
        }
        self.deepen(parts(path) + below)
    }

    fn test(&mut self, path: &str, value: Option<&Value>) -> Applied {
        let expected = value.unwrap_or(&Value::Null);
        let same = if path.is_empty() {
            *self.document == *expected
        } else {
            let (container, key) = self.container(path, "test")?;
            match container {
                Value::Object(members) => members.get(&key).unwrap_or(&Value::Null) == expected,
                Value::Array(items) => {
                    let at = present(&key, items.len()).ok_or_else(|| bad_index(path, &key, "test"))?;
                    items[at] == *expected
                }
                _ => unreachable_container(),
            }
        };
        if same { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
    }

    fn copy(&mut self, from: &str, path: &str) -> Applied {
        let (container, key) = self.container(from, "copy")?;
        let source = match container {
            Value::Object(members) => members.get(&key),
            Value::Array(items) => {
                let at = present(&key, items.len())
                    .ok_or_else(|| format!("error in copy for from: '{from}': invalid index referenced"))?;
                Some(&items[at])
            }
            _ => unreachable_container(),
        };
        // A missing member is copied as null, as upstream does.
        let added = source.map_or(0, size);
        let copied = self.copied + added;
        if copied > COPY_BYTES_MAX {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit \
                 {COPY_BYTES_MAX}"
            ));
        }
        // The source is read again, because measuring it and counting it cannot both hold the document.
        let (container, key) = self.container(from, "copy")?;
        let value = match container {
            Value::Object(members) => members.get(&key).cloned().unwrap_or_default(),
            Value::Array(items) => present(&key, items.len()).map(|at| items[at].clone()).unwrap_or_default(),
            _ => unreachable_container(),
        };
        self.copied = copied;
        let below = self.depth.saturating_sub(parts(from));
        self.add(path, value, below, "copy")
    }
}

fn bad_index(path: &str, key: &str, operation: &str) -> String {
    format!(
        "error in {operation} for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
    )
}

fn unreachable_container() -> ! {
    unreachable!("State::container gives only objects and arrays")
}

/// How many steps a path has.
fn parts(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count()
}

/// How many collections stand inside each other, counted up to `max`.
fn depth(value: &Value, max: usize) -> usize {
    depth_counting(value, max, &mut 0)
}

fn depth_counting(value: &Value, max: usize, nodes: &mut usize) -> usize {
    *nodes += 1;
    if max == 0 {
        return 0;
    }
    let deepest = match value {
        Value::Object(members) => members.values().map(|v| depth_counting(v, max - 1, nodes)).max(),
        Value::Array(items) => items.iter().map(|v| depth_counting(v, max - 1, nodes)).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or_default()
}

/// An index into `size` items; a negative one counts from the end.
fn present(key: &str, size: usize) -> Option<usize> {
    let at: isize = key.parse().ok()?;
    let at = if at < 0 { size.checked_sub(at.unsigned_abs())? } else { at.unsigned_abs() };
    (at < size).then_some(at)
}

fn decode(part: &str) -> String {
    if part.contains('~') { part.replace("~1", "/").replace("~0", "~") } else { part.to_string() }
}

/// The length of a value's JSON.
fn size(value: &Value) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).expect("counting never fails and values always serialise");
    counter.0
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
