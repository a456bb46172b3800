//! RFC 6902 as upstream's library applies it: negative indices count from the end, a `test` of an absent member
//! against null holds, and copies may not make the document grow without bound.

use std::io;

use serde_json::Value;

use super::PatchError;

/// More operations than this are refused.
pub const OPERATIONS_MAX: usize = 10_000;
/// What all copies of one patch may add together.
pub const COPY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Applies the operations in `patch` (JSON text) to `document`.
pub fn json_patch(document: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(patch)
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
    if operations.len() > OPERATIONS_MAX {
        return Err(PatchError::TooManyOperations { actual: operations.len(), max: OPERATIONS_MAX });
    }
    let mut state = State { document: document.clone(), copied: 0 };
    for operation in operations {
        state.apply(operation).map_err(PatchError::Inapplicable)?;
    }
    Ok(state.document)
}

struct State {
    document: Value,
    copied: usize,
}

type Applied = Result<(), String>;

impl State {
    fn apply(&mut self, mut operation: serde_json::Map<String, Value>) -> Applied {
        let text = |name: &str| operation.get(name).and_then(Value::as_str).map(str::to_string);
        let kind = text("op").unwrap_or_else(|| "unknown".to_string());
        let path =
            text("path").ok_or_else(|| format!("{kind} operation failed to decode path: missing value"));
        let from =
            text("from").ok_or_else(|| format!("{kind} operation failed to decode from: missing value"));
        let value = operation.remove("value");
        match kind.as_str() {
            "add" => self.add(&path?, value.unwrap_or(Value::Null), "add"),
            "remove" => self.remove(&path?, "remove").map(drop),
            "replace" => self.replace(&path?, value.unwrap_or(Value::Null)),
            "test" => self.test(&path?, value.as_ref()),
            "move" => {
                let moved = self.remove(&from?, "move")?;
                self.add(&path?, moved, "move")
            }
            "copy" => self.copy(&from?, &path?),
            other => Err(format!("Unexpected kind: {other}")),
        }
    }

    /// The container that a path's last part names a member of.
    fn container(&mut self, path: &str, operation: &str) -> Result<(&mut Value, String), String> {
        let missing = || {
            format!("{operation} operation does not apply: doc is missing path: \"{path}\": missing value")
        };
        let (parents, last) = path.rsplit_once('/').ok_or_else(missing)?;
        let mut at = &mut self.document;
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

    fn add(&mut self, path: &str, value: Value, operation: &str) -> Applied {
        let (container, key) = self.container(path, operation)?;
        match container {
            Value::Object(members) => {
                members.insert(key, value);
            }
            Value::Array(items) => {
                let size = items.len() + 1;
                let at = if key == "-" { Some(items.len()) } else { present(&key, size) };
                let at = at.ok_or_else(|| {
                    format!("error in {operation} for path: '{path}': Unable to access invalid index: {key}: invalid index referenced")
                })?;
                items.insert(at, value);
            }
            _ => unreachable_container(),
        }
        Ok(())
    }

    fn remove(&mut self, path: &str, operation: &str) -> Result<Value, String> {
        let (container, key) = self.container(path, operation)?;
        match container {
            Value::Object(members) => members.remove(&key).ok_or_else(|| {
                format!("error in {operation} for path: '{path}': unable to remove nonexistent key: {key}: missing value")
            }),
            Value::Array(items) => match present(&key, items.len()) {
                Some(at) => Ok(items.remove(at)),
                None => Err(format!(
                    "error in {operation} for path: '{path}': Unable to access invalid index: {key}: invalid index referenced"
                )),
            },
            _ => unreachable_container(),
        }
    }

    fn replace(&mut self, path: &str, value: Value) -> Applied {
        let (container, key) = self.container(path, "replace")?;
        let place = member(container, &key).ok_or_else(|| {
            format!("replace operation does not apply: doc is missing key: {path}: missing value")
        })?;
        *place = value;
        Ok(())
    }

    fn test(&mut self, path: &str, value: Option<&Value>) -> Applied {
        let (container, key) = self.container(path, "test")?;
        let actual = member(container, &key).map(|v| &*v).unwrap_or(&Value::Null);
        if actual == value.unwrap_or(&Value::Null) {
            return Ok(());
        }
        Err(format!("testing value {path} failed: test failed"))
    }

    fn copy(&mut self, from: &str, path: &str) -> Applied {
        let (container, key) = self.container(from, "copy")?;
        let value = member(container, &key).map(|v| v.clone()).ok_or_else(|| {
            format!("error in copy for from: '{from}': unable to get nonexistent key: {key}: missing value")
        })?;
        self.copied += size(&value);
        if self.copied > COPY_BYTES_MAX {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit \
                 {COPY_BYTES_MAX}",
                self.copied
            ));
        }
        self.add(path, value, "copy")
    }
}

fn unreachable_container() -> ! {
    unreachable!("State::container gives only objects and arrays")
}

fn member<'a>(container: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    match container {
        Value::Object(members) => members.get_mut(key),
        Value::Array(items) => present(key, items.len()).and_then(|at| items.get_mut(at)),
        _ => None,
    }
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
mod tests {
    use serde_json::json;

    use super::*;

    fn check(document: Value, patch: Value, expected: Result<Value, &str>) {
        let text = patch.to_string();
        let got = json_patch(&document, text.as_bytes()).map_err(|error| error.to_string());
        match (&got, &expected) {
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{text}: {got}"),
            _ => assert_eq!(got.as_ref().ok(), expected.as_ref().ok(), "{text}: {got:?}"),
        }
    }

    #[test]
    fn operations_apply() {
        let doc = || json!({"a": {"b": [1, 2]}, "x/y": 1, "n": null});
        check(
            doc(),
            json!([{"op": "add", "path": "/a/b/-", "value": 3}]),
            Ok(json!({"a": {"b": [1, 2, 3]}, "x/y": 1, "n": null})),
        );
        check(
            doc(),
            json!([{"op": "add", "path": "/a/b/0", "value": 0}]),
            Ok(json!({"a": {"b": [0, 1, 2]}, "x/y": 1, "n": null})),
        );
        check(
            doc(),
            json!([{"op": "add", "path": "/a/b/-1", "value": 0}]),
            Ok(json!({"a": {"b": [1, 2, 0]}, "x/y": 1, "n": null})),
        );
        check(
            doc(),
            json!([{"op": "remove", "path": "/x~1y"}, {"op": "remove", "path": "/n"}]),
            Ok(json!({"a": {"b": [1, 2]}})),
        );
        check(
            doc(),
            json!([{"op": "replace", "path": "/a/b/-1", "value": 9}]),
            Ok(json!({"a": {"b": [1, 9]}, "x/y": 1, "n": null})),
        );
        check(
            doc(),
            json!([{"op": "move", "from": "/a/b/0", "path": "/c"}]),
            Ok(json!({"a": {"b": [2]}, "c": 1, "x/y": 1, "n": null})),
        );
        check(
            doc(),
            json!([{"op": "copy", "from": "/a", "path": "/n"}]),
            Ok(json!({"a": {"b": [1, 2]}, "x/y": 1, "n": {"b": [1, 2]}})),
        );
        check(
            doc(),
            json!([{"op": "test", "path": "/a/b/1", "value": 2}, {"op": "test", "path": "/zz", "value": null}]),
            Ok(doc()),
        );
        check(doc(), json!([]), Ok(doc()));
    }

    #[test]
    fn faults_are_told() {
        let doc = || json!({"a": {"b": [1, 2]}});
        check(
            doc(),
            json!([{"op": "add", "path": "/q/r", "value": 1}]),
            Err("add operation does not apply: doc is missing path"),
        );
        check(
            doc(),
            json!([{"op": "add", "path": "/a/b/4", "value": 1}]),
            Err("Unable to access invalid index: 4"),
        );
        check(doc(), json!([{"op": "remove", "path": "/q"}]), Err("unable to remove nonexistent key: q"));
        check(
            doc(),
            json!([{"op": "replace", "path": "/q", "value": 1}]),
            Err("replace operation does not apply: doc is missing key: /q"),
        );
        check(
            doc(),
            json!([{"op": "test", "path": "/a/b/0", "value": 2}]),
            Err("testing value /a/b/0 failed"),
        );
        check(doc(), json!([{"op": "fly", "path": "/a"}]), Err("Unexpected kind: fly"));
        check(doc(), json!({"op": "add"}), Err("error decoding patch"));
        let many = Value::Array(vec![json!({"op": "test", "path": "/q"}); OPERATIONS_MAX + 1]);
        check(doc(), many, Err("The allowed maximum operations in a JSON patch is 10000, got 10001"));
    }

    #[test]
    fn copies_are_bounded() {
        let doc = json!({"a": "x".repeat(1024 * 1024)});
        let copy = |to: &str| json!({"op": "copy", "from": "/a", "path": to});
        let told = "the accumulated size increase of copy is 3145734, exceeding the limit 3145728";
        check(doc, json!([copy("/b"), copy("/c"), copy("/d")]), Err(told));
    }

    #[test]
    fn errors_become_upstreams_answers() {
        let status = |patch: &str| {
            json_patch(&json!({}), patch.as_bytes()).expect_err("it is a bad patch").to_status()
        };
        assert_eq!(status("{").code, 400);
        let rejected = status(r#"[{"op": "remove", "path": "/a"}]"#);
        assert_eq!((rejected.code, rejected.reason.as_str()), (422, "Invalid"));
    }
}
