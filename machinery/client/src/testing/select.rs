//! Label and field selectors, in the forms that clients send.

use serde_json::Value;

#[derive(Debug, Default, Clone)]
pub(super) struct Filter {
    pub(super) namespace: String,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
}

impl Filter {
    pub(super) fn matches(&self, object: &Value) -> bool {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        (self.namespace.is_empty() || self.namespace == namespace)
            && self
                .labels
                .as_deref()
                .is_none_or(|selector| labels_match(selector, &object["metadata"]["labels"]))
            && self.fields.as_deref().is_none_or(|selector| fields_match(selector, object))
    }
}

fn fields_match(selector: &str, object: &Value) -> bool {
    selector.split(',').filter(|term| !term.is_empty()).all(|term| {
        let (path, value, equal) = split_term(term);
        let found = path.split('.').fold(object, |value, part| &value[part]);
        let text = match found {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        (text == value) == equal
    })
}

fn labels_match(selector: &str, labels: &Value) -> bool {
    terms(selector).into_iter().all(|term| label_term_matches(term.trim(), labels))
}

fn label_term_matches(term: &str, labels: &Value) -> bool {
    let has = |key: &str| labels[key].as_str();
    for (word, wanted) in [(" notin ", false), (" in ", true)] {
        if let Some((key, values)) = term.split_once(word) {
            let list = values.trim().trim_start_matches('(').trim_end_matches(')');
            let found = has(key.trim()).is_some_and(|value| list.split(',').any(|v| v.trim() == value));
            return found == wanted;
        }
    }
    if term.contains('=') {
        let (key, value, equal) = split_term(term);
        return (has(key) == Some(value)) == equal;
    }
    match term.strip_prefix('!') {
        Some(key) => has(key).is_none(),
        None => term.is_empty() || has(term).is_some(),
    }
}

fn split_term(term: &str) -> (&str, &str, bool) {
    if let Some((key, value)) = term.split_once("!=") {
        (key.trim(), value.trim(), false)
    } else if let Some((key, value)) = term.split_once("==") {
        (key.trim(), value.trim(), true)
    } else {
        let (key, value) = term.split_once('=').unwrap_or((term, ""));
        (key.trim(), value.trim(), true)
    }
}

/// Splits at the commas that are not inside parentheses.
fn terms(selector: &str) -> Vec<&str> {
    let (mut terms, mut start, mut depth) = (vec![], 0, 0);
    for (at, character) in selector.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&selector[start..]);
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_as_they_read() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "web", "tier": "x"}}, "spec": {"nodeName": "n1"}});
        for (labels, matches) in [
            ("app=web", true),
            ("app==web,tier!=y", true),
            ("app in (db, web),tier", true),
            ("app notin (web)", false),
            ("!app", false),
            ("missing!=x", true),
        ] {
            assert_eq!(labels_match(labels, &object["metadata"]["labels"]), matches, "{labels}");
        }
        for (fields, matches) in
            [("spec.nodeName=n1", true), ("metadata.name!=a", false), ("spec.missing=", true)]
        {
            assert_eq!(fields_match(fields, &object), matches, "{fields}");
        }
    }
}
