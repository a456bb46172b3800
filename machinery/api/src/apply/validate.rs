//! Whether a configuration fits its schema, in upstream's words.

use serde_json::Value;

use super::element::Element;
use super::items;
use super::node::{List, Merge, Node, Scalar, Shape};
use crate::go;

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
            complain(path, &format!("expected list, got &{{{}}}", go::plain(other)), errors);
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
        (Shape::Map(_), other) => {
            complain(path, &format!("expected map, got &{{{}}}", go::plain(other)), errors)
        }
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
        Scalar::Number => format!("expected numeric (int or float), got {}", go::type_of(value)),
        Scalar::Text => {
            format!("expected string, got &value.valueUnstructured{{Value:{}}}", go::syntax(value))
        }
        Scalar::Bool => format!("expected boolean, got &{{{}}}", go::plain(value)),
        Scalar::Any => format!("expected any scalar, got &{{{}}}", go::plain(value)),
    })
}
