use proptest::prelude::*;
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
    // Upstream's library reads a missing member as null.
    check(
        doc(),
        json!([{"op": "replace", "path": "/q", "value": 1}]),
        Ok(json!({"a": {"b": [1, 2]}, "x/y": 1, "n": null, "q": 1})),
    );
    check(
        doc(),
        json!([{"op": "copy", "from": "/q", "path": "/r"}]),
        Ok(json!({"a": {"b": [1, 2]}, "x/y": 1, "n": null, "r": null})),
    );
    check(
        doc(),
        json!([{"op": "test", "path": "", "value": doc()}, {"op": "replace", "path": "", "value": {"z": 1}}]),
        Ok(json!({"z": 1})),
    );
}

#[test]
fn what_a_strict_reader_objects_to_is_told() {
    let patch = JsonPatch::parse(br#"[{"op": "test", "path": "/a", "foo": 1}, {"op": "x", "bar": 1}]"#);
    let told = patch.expect("it is a patch").complaints();
    assert_eq!(told, ["json patch unknown field \"[0].foo\"", "json patch unknown field \"[1].bar\""]);
}

#[test]
fn patches_do_not_nest_without_bound() {
    // Each round puts the whole one level deeper, by short paths.
    let mut operations = vec![json!({"op": "add", "path": "/a", "value": {}})];
    for _ in 0..1_000 {
        operations.push(json!({"op": "add", "path": "/b", "value": {}}));
        operations.push(json!({"op": "move", "from": "/a", "path": "/b/a"}));
        operations.push(json!({"op": "move", "from": "/b", "path": "/a"}));
    }
    check(json!({}), Value::Array(operations), Err("the document is nested deeper than 128 levels"));
    // Many moves that do not nest are fine.
    let moves = (0..3_000).map(|at| {
        let (from, to) = if at % 2 == 0 { ("/a", "/b/c") } else { ("/b/c", "/a") };
        json!({"op": "move", "from": from, "path": to})
    });
    check(json!({"a": 1, "b": {}}), moves.collect(), Ok(json!({"a": 1, "b": {}})));
}

#[test]
fn patches_do_not_work_without_bound() {
    let mut operations = vec![json!({"op": "add", "path": "/a", "value": vec![0; 300_000]})];
    operations.extend((0..2_000).map(|_| json!({"op": "add", "path": "/a/0", "value": 0})));
    check(json!({}), Value::Array(operations), Err("the patch takes too long to apply"));
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
    check(doc(), json!([{"op": "remove", "path": "/q"}]), Err("Unable to remove nonexistent key: q"));
    check(
        doc(),
        json!([{"op": "replace", "path": "/a/b/7", "value": 1}]),
        Err("replace operation does not apply: doc is missing key: /a/b/7"),
    );
    check(doc(), json!([{"op": "replace", "path": "", "value": 1}]), Err("must be object or array"));
    check(doc(), json!([{"op": "add", "path": "", "value": {}}]), Err("doc is missing path: \"\""));
    check(doc(), json!([null]), Err("Unexpected kind: unknown"));
    check(doc(), json!([{"op": "test", "path": "/a/b/0", "value": 2}]), Err("testing value /a/b/0 failed"));
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
    let status =
        |patch: &str| json_patch(&json!({}), patch.as_bytes()).expect_err("it is a bad patch").to_status();
    assert_eq!(status("{").code, 400);
    let rejected = status(r#"[{"op": "remove", "path": "/a"}]"#);
    assert_eq!((rejected.code, rejected.reason.as_str()), (422, "Invalid"));
}

/// A patch in the plainest terms: the document is taken apart and put together anew on the way down the path.
mod model {
    use serde_json::Value;

    /// What becomes of the member or item that a path ends in: none removes it, an error refuses the patch.
    type Change<'c> = &'c dyn Fn(Option<&Value>) -> Result<Option<Value>, ()>;

    fn index(part: &str, len: usize) -> Result<usize, ()> {
        let at: i64 = part.parse().map_err(drop)?;
        let at = if at < 0 { at + i64::try_from(len).map_err(drop)? } else { at };
        usize::try_from(at).ok().filter(|at| *at < len).ok_or(())
    }

    fn change(value: &Value, path: &[String], insert: bool, f: Change<'_>) -> Result<Value, ()> {
        let (part, rest) = path.split_first().ok_or(())?;
        match value {
            Value::Object(members) => {
                let mut out = members.clone();
                let new = match rest {
                    [] => f(members.get(part))?,
                    rest => Some(change(members.get(part).ok_or(())?, rest, insert, f)?),
                };
                match new {
                    Some(new) => drop(out.insert(part.clone(), new)),
                    None => drop(out.remove(part)),
                }
                Ok(Value::Object(out))
            }
            Value::Array(items) => {
                let mut out = items.clone();
                if rest.is_empty() && insert {
                    let at = if part == "-" { items.len() } else { index(part, items.len() + 1)? };
                    out.splice(at..at, f(None)?);
                } else {
                    let at = index(part, items.len())?;
                    let new = if rest.is_empty() {
                        f(Some(&items[at]))?
                    } else {
                        Some(change(&items[at], rest, insert, f)?)
                    };
                    out.splice(at..=at, new);
                }
                Ok(Value::Array(out))
            }
            _ => Err(()),
        }
    }

    /// What stands at a path; a missing member reads as null.
    fn look(value: &Value, path: &[String]) -> Result<Value, ()> {
        let (part, rest) = path.split_first().ok_or(())?;
        let found = match value {
            Value::Object(members) if rest.is_empty() => members.get(part).cloned().unwrap_or_default(),
            Value::Object(members) => members.get(part).ok_or(())?.clone(),
            Value::Array(items) => items[index(part, items.len())?].clone(),
            _ => return Err(()),
        };
        if rest.is_empty() { Ok(found) } else { look(&found, rest) }
    }

    pub(super) fn apply(
        doc: &Value,
        op: &str,
        path: &[String],
        from: &[String],
        value: &Value,
    ) -> Result<Value, ()> {
        let put = |value: Value| move |_: Option<&Value>| Ok(Some(value.clone()));
        let gone = |old: Option<&Value>| old.map(|_| None).ok_or(());
        match op {
            "add" => change(doc, path, true, &put(value.clone())),
            "replace" => change(doc, path, false, &put(value.clone())),
            "remove" => change(doc, path, false, &gone),
            "test" => {
                if look(doc, path)? == *value {
                    Ok(doc.clone())
                } else {
                    Err(())
                }
            }
            "move" => {
                let moved = look(doc, from)?;
                change(&change(doc, from, false, &gone)?, path, true, &put(moved))
            }
            _ => change(doc, path, true, &put(look(doc, from)?)),
        }
    }
}

fn any_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), (0..3i64).prop_map(Value::from)];
    let value = leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-c/~]", inner, 0..3)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-c/~]", value, 1..4).prop_map(|m| Value::Object(m.into_iter().collect()))
}

fn any_path() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c/~]|-|-?[0-3]", 1..4)
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn patches_do_what_the_model_does(
        document in any_document(),
        steps in prop::collection::vec((0..6usize, any_path(), any_path(), any_document()), 1..4),
    ) {
        let names = ["add", "remove", "replace", "test", "move", "copy"];
        let mut expected = Ok(document.clone());
        let mut operations = Vec::new();
        for (op, path, from, value) in &steps {
            operations.push(json!({"op": names[*op], "path": pointer(path), "from": pointer(from), "value": value}));
            expected = expected.and_then(|doc| model::apply(&doc, names[*op], path, from, value));
        }
        let text = Value::Array(operations).to_string();
        let got = json_patch(&document, text.as_bytes());
        prop_assert_eq!(got.map_err(drop), expected, "{}", text);
    }
}
