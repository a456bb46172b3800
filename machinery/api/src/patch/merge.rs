//! RFC 7386.

use serde_json::Value;

use super::PatchError;

/// Applies a merge patch, which must be an object.
pub fn merge_patch(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let mut merged = document.clone();
    merge_patch_into(&mut merged, patch)?;
    Ok(merged)
}

/// Applies a merge patch, which must be an object, in place.
pub fn merge_patch_into(document: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let wrong = match patch {
        Value::Object(_) => {
            merge(document, patch);
            return Ok(());
        }
        Value::Null => return Err(PatchError::Malformed("Invalid JSON Patch".to_string())),
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    Err(PatchError::Malformed(format!(
        "error decoding patch: json: cannot unmarshal {wrong} into Go value of type map[string]interface {{}}"
    )))
}

fn merge(document: &mut Value, patch: &Value) {
    let (Value::Object(members), Value::Object(changes)) = (&mut *document, patch) else {
        *document = without_nulls(patch);
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            members.remove(key);
            continue;
        }
        match members.get_mut(key) {
            Some(member) => merge(member, change),
            None => {
                members.insert(key.clone(), without_nulls(change));
            }
        }
    }
}

/// A value that comes anew has no members that are null; null items of lists stay.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k.clone(), without_nulls(v)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The table of RFC 7386, appendix A, as far as patches are objects.
    #[test]
    fn the_rfcs_table_holds() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!({}), json!({"a": [null, {"b": null}]}), json!({"a": [null, {}]})),
        ];
        for (document, patch, expected) in cases {
            assert_eq!(merge_patch(&document, &patch), Ok(expected), "{document} + {patch}");
        }
    }

    #[test]
    fn only_objects_are_patches() {
        for (patch, told) in [
            (
                json!([]),
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
            (Value::Null, "Invalid JSON Patch"),
        ] {
            let error = merge_patch(&json!({}), &patch).expect_err("it is not an object");
            assert_eq!((error.to_string().as_str(), error.to_status().code), (told, 400));
        }
    }

    fn any_object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..9i64).prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn applying_twice_is_applying_once(document in any_object(), patch in any_object()) {
            let once = merge_patch(&document, &patch).expect("objects are patches");
            prop_assert_eq!(merge_patch(&once, &patch), Ok(once));
        }

        #[test]
        fn json_patches_never_panic(document in any_object(), path in "(/[a-c0-2~-]{0,2}){0,3}", op in 0..6usize) {
            let op = ["add", "remove", "replace", "test", "move", "copy"][op];
            let patch = json!([{"op": op, "path": path, "from": "/a", "value": 1}]).to_string();
            let _applied = super::super::json_patch(&document, patch.as_bytes()).is_ok();
        }
    }
}
