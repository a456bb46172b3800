//! Patches, as far as tests need them: merge patch, JSON patch, and a strategic merge that knows lists by their
//! usual keys.

use serde_json::{Map, Value};

/// The fields by which list elements are told apart in a strategic merge, first one present wins.
const MERGE_KEYS: [&str; 6] = ["type", "uid", "containerPort", "port", "ip", "name"];

pub(super) fn merge(target: &mut Value, patch: &Value, strategic: bool) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let object = target.as_object_mut().expect("made an object above");
    for (key, value) in patch {
        match value {
            Value::Null => {
                object.remove(key);
            }
            Value::Array(elements) if strategic && object.get(key).is_some_and(Value::is_array) => {
                merge_list(object.get_mut(key).expect("is an array"), elements);
            }
            _ if strategic && key.starts_with('$') => {}
            _ => merge(object.entry(key.clone()).or_insert(Value::Null), value, strategic),
        }
    }
}

fn merge_list(target: &mut Value, elements: &[Value]) {
    let Value::Array(list) = target else { return };
    for element in elements {
        let key = MERGE_KEYS.iter().find(|key| element.get(**key).is_some());
        let Some(key) = key else {
            if !element.is_object() && !list.contains(element) {
                list.push(element.clone());
            }
            continue;
        };
        let place = list.iter().position(|old| old[*key] == element[*key]);
        match (place, element["$patch"] == "delete") {
            (Some(place), true) => {
                list.remove(place);
            }
            (Some(place), false) => merge(&mut list[place], element, true),
            (None, true) => {}
            (None, false) => list.push(element.clone()),
        }
    }
}

/// Applies a JSON patch (add, remove, replace, test); `Err` says which step failed.
pub(super) fn json_patch(target: &mut Value, steps: &Value) -> Result<(), String> {
    for step in steps.as_array().into_iter().flatten() {
        let path = step["path"].as_str().unwrap_or_default();
        let (parent, last) = path.rsplit_once('/').ok_or_else(|| format!("bad path {path}"))?;
        let last = last.replace("~1", "/").replace("~0", "~");
        let parent = target.pointer_mut(parent).ok_or_else(|| format!("no {path}"))?;
        json_step(parent, &last, step["op"].as_str().unwrap_or_default(), &step["value"])
            .ok_or_else(|| format!("{} {path} failed", step["op"]))?;
    }
    Ok(())
}

fn json_step(parent: &mut Value, last: &str, op: &str, value: &Value) -> Option<()> {
    match (parent, op) {
        (Value::Object(map), "add") => {
            map.insert(last.into(), value.clone());
        }
        (Value::Object(map), "replace") => *map.get_mut(last)? = value.clone(),
        (Value::Object(map), "remove") => {
            map.remove(last)?;
        }
        (Value::Object(map), "test") => return (map.get(last) == Some(value)).then_some(()),
        (Value::Array(list), "add") if last == "-" => list.push(value.clone()),
        (Value::Array(list), op) => {
            let at: usize = last.parse().ok()?;
            match op {
                "add" if at <= list.len() => list.insert(at, value.clone()),
                "replace" => *list.get_mut(at)? = value.clone(),
                "remove" if at < list.len() => {
                    list.remove(at);
                }
                "test" => return (list.get(at) == Some(value)).then_some(()),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patches_change_what_they_name() {
        let mut object = json!({"a": {"b": 1}, "conditions": [{"type": "Ready", "status": "False"}]});
        merge(&mut object, &json!({"a": {"b": null, "c": 2}}), false);
        assert_eq!(object["a"], json!({"c": 2}));
        merge(
            &mut object,
            &json!({"conditions": [{"type": "Ready", "status": "True"}, {"type": "New"}]}),
            true,
        );
        assert_eq!(object["conditions"], json!([{"type": "Ready", "status": "True"}, {"type": "New"}]));
        json_patch(
            &mut object,
            &json!([{"op": "remove", "path": "/conditions/1"}, {"op": "add", "path": "/x~1y", "value": 1}]),
        )
        .expect("applies");
        assert_eq!(object["conditions"].as_array().map(Vec::len), Some(1));
        assert_eq!(object["x/y"], 1);
        json_patch(&mut object, &json!([{"op": "test", "path": "/a/c", "value": 3}])).expect_err("is 2");
    }
}
