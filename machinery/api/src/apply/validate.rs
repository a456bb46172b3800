//! Whether a configuration fits its schema, in upstream's words.

use serde_json::{Map, Value};

use super::element::Element;
use super::items;
use super::node::{List, Merge, Node, Scalar, Shape};

/// Every fault; nothing if there is none.
pub(super) fn validate(node: Node<'_>, value: &Value) -> Result<(), String> {
    let mut errors = Vec::new();
    place(node, value, &mut String::new(), &mut errors);
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(format!("errors:\n  {}", errors.join("\n  "))),
    }
}

fn complain(path: &str, told: &str, errors: &mut Vec<String>) {
    errors.push(if path.is_empty() { told.to_string() } else { format!("{path}: {told}") });
}

fn place(node: Node<'_>, value: &Value, path: &mut String, errors: &mut Vec<String>) {
    match (node.shape(Some(value)), value) {
        (Shape::Scalar(scalar), value) => {
            if let Some(told) = wrong_scalar(scalar, value) {
                complain(path, &told, errors);
            }
        }
        (_, Value::Null) => {}
        (Shape::List(list), Value::Array(values)) => list_items(list, values, path, errors),
        (Shape::List(_), other) => {
            complain(path, &format!("expected list, got &{{{}}}", go(other)), errors);
        }
        (Shape::Map(members), Value::Object(object)) => {
            let length = path.len();
            for (name, value) in object {
                path.push('.');
                path.push_str(name);
                let known = members.member(name);
                match known {
                    Some(member) => place(member.node, value, path, errors),
                    None => complain(path, "field not declared in schema", errors),
                }
                path.truncate(length);
                if known.is_none() {
                    return;
                }
            }
        }
        (Shape::Map(_), other) => complain(path, &format!("expected map, got &{{{}}}", go(other)), errors),
    }
}

fn list_items(list: List<'_>, values: &[Value], path: &mut String, errors: &mut Vec<String>) {
    let length = path.len();
    let atomic = matches!(list.merge, Merge::Atomic);
    let mut seen = std::collections::BTreeSet::new();
    for (at, value) in values.iter().enumerate() {
        let element = if atomic {
            Element::Index(i64::try_from(at).unwrap_or(i64::MAX))
        } else {
            match items::element(list, value) {
                Ok(element) => element,
                Err(told) => {
                    complain(path, &format!("element {at}: {told}"), errors);
                    return;
                }
            }
        };
        let text = element.to_string();
        if !atomic && !seen.insert(element) {
            complain(path, &format!("duplicate entries for key {text}"), errors);
        }
        path.push_str(&text);
        place(list.item, value, path, errors);
        path.truncate(length);
    }
}

fn wrong_scalar(scalar: Scalar, value: &Value) -> Option<String> {
    let fits = match (scalar, value) {
        (_, Value::Null) => true,
        (Scalar::Number, value) => value.is_number(),
        (Scalar::Text, value) => value.is_string(),
        (Scalar::Bool, value) => value.is_boolean(),
        (Scalar::Any, value) => !value.is_object() && !value.is_array(),
    };
    if fits {
        return None;
    }
    Some(match scalar {
        Scalar::Number => format!("expected numeric (int or float), got {}", go_type(value)),
        Scalar::Text => {
            format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value))
        }
        Scalar::Bool => format!("expected boolean, got &{{{}}}", go(value)),
        Scalar::Any => format!("expected any scalar, got &{{{}}}", go(value)),
    })
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// As Go prints it with `%v`.
pub(super) fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(k, v)| format!("{k}:{}", go(v))).collect();
            format!("map[{}]", members.join(" "))
        }
        other => other.to_string(),
    }
}

/// As Go prints it with `%#v`.
fn go_syntax(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "interface {}(nil)".to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", joined(items.iter().map(go_syntax).collect()))
        }
        Value::Object(members) => go_syntax_map(members),
        other => other.to_string(),
    }
}

fn go_syntax_map(members: &Map<String, Value>) -> String {
    let members: Vec<String> = members.iter().map(|(k, v)| format!("{k:?}:{}", go_syntax(v))).collect();
    format!("map[string]interface {{}}{{{}}}", members.join(", "))
}
