//! One PolicyRule: whether it allows a request, and how it is read and printed.

use serde_json::{Map, Value};

use crate::types::Attributes;
use crate::value::{quoted, texts};

/// A PolicyRule, parsed once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    pub(crate) urls: Vec<String>,
}

impl Rule {
    pub(crate) fn from_value(rule: &Value) -> Self {
        Self {
            verbs: texts(rule, &["verbs"]),
            groups: texts(rule, &["apiGroups"]),
            resources: texts(rule, &["resources"]),
            resource_names: texts(rule, &["resourceNames"]),
            urls: texts(rule, &["nonResourceURLs"]),
        }
    }

    /// The rule as it goes on the wire; what is empty is left out.
    pub(crate) fn to_value(&self) -> Value {
        let fields = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.urls),
        ];
        let set = fields.into_iter().filter(|(field, texts)| *field == "verbs" || !texts.is_empty());
        Value::Object(
            set.map(|(field, texts)| (field.to_string(), texts.clone().into())).collect::<Map<_, _>>(),
        )
    }

    pub(crate) fn allows(&self, asked: &Attributes) -> bool {
        if !has(&self.verbs, &asked.verb) {
            return false;
        }
        if !asked.resource_request {
            return self.urls.iter().any(|url| url_covers(url, &asked.path));
        }
        has(&self.groups, &asked.group)
            && self.resources.iter().any(|r| resource_covers(r, &asked.resource, &asked.subresource))
            && (self.resource_names.is_empty() || self.resource_names.contains(&asked.name))
    }

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, as in messages.
    pub(crate) fn describe(&self) -> String {
        let fields = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let set = fields.into_iter().filter(|(_, texts)| !texts.is_empty());
        let parts: Vec<String> = set.map(|(field, texts)| format!("{field}:{}", quoted(texts))).collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// The list names it, or everything.
fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

/// `*`, `pods`, `pods/log`, `*/scale`.
fn resource_covers(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    match rule.split_once('/') {
        None => subresource.is_empty() && rule == resource,
        Some((r, s)) => !subresource.is_empty() && s == subresource && (r == "*" || r == resource),
    }
}

/// `/healthz`, `/apis/*`, `*`.
pub(super) fn url_covers(rule: &str, path: &str) -> bool {
    rule == path
        || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}
