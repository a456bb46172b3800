//! Validation of FlowSchemas and PriorityLevelConfigurations. (`pkg/apis/flowcontrol/validation`)

use std::collections::HashMap;
use std::sync::LazyLock;

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::check::Seen;
use crate::strategy::Context;
use crate::value::{differ_but, int, is_set, is_true, items, name, text, texts};
use crate::{check, names};

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
const HASH_BITS_MAX: f64 = 60.0;
const MANDATORY: [&str; 2] = ["catch-all", "exempt"];
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const SUBJECTS: [(&str, &str); 3] =
    [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

/// Specs of the objects that must be as they are, by plural and name.
static FIXED: LazyLock<HashMap<(&str, &str), Value>> = LazyLock::new(|| {
    let objects = oarlock_api::table::bootstrap_objects();
    let mut fixed = HashMap::new();
    for plural in ["flowschemas", "prioritylevelconfigurations"] {
        for object in items(&objects[plural]) {
            if let Some(known) = MANDATORY.into_iter().find(|known| *known == name(object)) {
                fixed.insert((plural, known), object["spec"].clone());
            }
        }
    }
    fixed
});

fn fixed(plural: &'static str, name: &str) -> Option<&'static Value> {
    let known = MANDATORY.into_iter().find(|known| *known == name)?;
    FIXED.get(&(plural, known))
}

pub(super) fn schema(schema: &Value, errors: &mut FieldErrors) {
    let (spec, path, called) = (&schema["spec"], Path::new("spec"), name(schema));
    let (precedence, at) = (int(&spec["matchingPrecedence"]), path.child("matchingPrecedence"));
    if precedence <= 0 {
        errors.push(FieldError::invalid(at.clone(), precedence, "must be a positive value"));
    }
    if precedence > PRECEDENCE_MAX {
        let words = format!("must not be greater than {PRECEDENCE_MAX}");
        errors.push(FieldError::invalid(at.clone(), precedence, words));
    }
    if precedence == 1 && called != "exempt" {
        let words = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(FieldError::invalid(at, precedence, words));
    }
    let method = &spec["distinguisherMethod"];
    if method.is_object() && !matches!(text(&method["type"]), "ByUser" | "ByNamespace") {
        let at = path.child("distinguisherMethod").child("type");
        let told = dump::object("io.k8s.api.flowcontrol.v1.FlowDistinguisherMethod", method);
        let types = ["ByNamespace", "ByUser"];
        errors.push(FieldError::not_supported(at, Value::Null, &types).told_as(&told));
    }
    let at = path.child("priorityLevelConfiguration").child("name");
    match text(&spec["priorityLevelConfiguration"]["name"]) {
        "" => errors.push(FieldError::required(at, "must reference a priority level")),
        level => check::syntax(level, names::subdomain, &at, errors),
    }
    for (index, rule) in items(&spec["rules"]).iter().enumerate() {
        rule_of(rule, &path.child("rules").index(index), errors);
    }
    if fixed("flowschemas", called).is_some_and(|fixed| fixed != spec) {
        let words = format!("spec of '{called}' must equal the fixed value");
        errors.push(FieldError::invalid(path, spec.clone(), words));
    }
}

/// Conditions have a type, and each its own.
pub(super) fn status(context: &Context<'_>, new: &Value, _old: &Value, errors: &mut FieldErrors) {
    if context.subresource != "status" {
        return;
    }
    let (mut seen, path) = (Seen::new(), Path::new("status").child("conditions"));
    for (index, condition) in items(&new["status"]["conditions"]).iter().enumerate() {
        let at = path.index(index).child("type");
        seen.add(text(&condition["type"]), &at, errors);
        check::required(&condition["type"], &at, errors);
    }
}

fn rule_of(rule: &Value, path: &Path, errors: &mut FieldErrors) {
    let subjects = items(&rule["subjects"]);
    if subjects.is_empty() {
        let words = "subjects must contain at least one value";
        errors.push(FieldError::required(path.child("subjects"), words));
    }
    for (index, given) in subjects.iter().enumerate() {
        subject(given, &path.child("subjects").index(index), errors);
    }
    if !is_set(&rule["resourceRules"]) && !is_set(&rule["nonResourceRules"]) {
        let words = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path.clone(), words));
    }
    for (index, given) in items(&rule["resourceRules"]).iter().enumerate() {
        resource_rule(given, &path.child("resourceRules").index(index), errors);
    }
    for (index, given) in items(&rule["nonResourceRules"]).iter().enumerate() {
        url_rule(given, &path.child("nonResourceRules").index(index), errors);
    }
}

fn subject(subject: &Value, path: &Path, errors: &mut FieldErrors) {
    let kind = text(&subject["kind"]);
    if !SUBJECTS.iter().any(|(known, _)| *known == kind) {
        let known = SUBJECTS.map(|(known, _)| known);
        return errors.push(FieldError::not_supported(path.child("kind"), kind, &known));
    }
    for (known, field) in SUBJECTS {
        let (given, at) = (&subject[field], path.child(field));
        match (known == kind, given.is_object()) {
            (true, false) => {
                let words = format!("{field} is required when subject kind is '{known}'");
                errors.push(FieldError::required(at, words));
            }
            (false, true) => {
                let words = format!("{field} is forbidden when subject kind is not '{known}'");
                errors.push(FieldError::forbidden(at, words));
            }
            (true, true) => named_subject(known, given, &at, errors),
            (false, false) => {}
        }
    }
}

fn named_subject(kind: &str, subject: &Value, path: &Path, errors: &mut FieldErrors) {
    let (called, at) = (text(&subject["name"]), path.child("name"));
    check::required(&subject["name"], &at, errors);
    if kind != "ServiceAccount" {
        return;
    }
    if !matches!(called, "" | "*") {
        check::syntax(called, names::subdomain, &at, errors);
    }
    let at = path.child("namespace");
    match text(&subject["namespace"]) {
        "" => errors.push(FieldError::required(at, "must specify namespace for service account")),
        namespace => check::syntax(namespace, names::dns_label, &at, errors),
    }
}

fn verbs(rule: &Value, path: &Path, errors: &mut FieldErrors) {
    let (given, at) = (&rule["verbs"], path.child("verbs"));
    if !is_set(given) {
        errors.push(FieldError::required(at, "verbs must contain at least one value"));
    } else if texts(given).any(|verb| verb == "*") {
        alone(given, "verbs", &at, errors);
    } else if texts(given).any(|verb| !VERBS.contains(&verb)) {
        errors.push(FieldError::not_supported(at, given.clone(), &VERBS));
    }
}

/// Who says all says nothing else.
fn alone(list: &Value, what: &str, path: &Path, errors: &mut FieldErrors) {
    if items(list).len() > 1 {
        let words = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path.clone(), list.clone(), words));
    }
}

fn resource_rule(rule: &Value, path: &Path, errors: &mut FieldErrors) {
    verbs(rule, path, errors);
    for (field, one, many) in
        [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
    {
        let (given, at) = (&rule[field], path.child(field));
        if !is_set(given) {
            let words = format!("resource rules must supply at least one {one}");
            errors.push(FieldError::required(at, words));
        } else if texts(given).any(|value| value == "*") {
            alone(given, many, &at, errors);
        }
    }
    let (given, at) = (&rule["namespaces"], path.child("namespaces"));
    if !is_set(given) {
        if !is_true(&rule["clusterScope"]) {
            let words = "resource rules that are not cluster scoped must supply at least one namespace";
            errors.push(FieldError::required(at, words));
        }
    } else if texts(given).any(|value| value == "*") {
        alone(given, "namespaces", &at, errors);
    } else {
        for (index, namespace) in texts(given).enumerate() {
            for fault in names::dns_label(namespace) {
                let words = format!("each member of this list must be '*' or a DNS-1123 label; {fault}");
                errors.push(FieldError::invalid(at.index(index), namespace, words));
            }
        }
    }
}

fn url_rule(rule: &Value, path: &Path, errors: &mut FieldErrors) {
    verbs(rule, path, errors);
    let (given, at) = (&rule["nonResourceURLs"], path.child("nonResourceURLs"));
    if !is_set(given) {
        errors.push(FieldError::required(at, "nonResourceURLs must contain at least one value"));
    } else if texts(given).any(|url| url == "*") {
        alone(given, "non-resource URLs", &at, errors);
    } else {
        for (index, url) in texts(given).enumerate() {
            if let Some(words) = url_fault(url) {
                errors.push(FieldError::invalid(at.index(index), url, words));
            }
        }
    }
}

fn url_fault(url: &str) -> Option<&'static str> {
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if url.contains('*') && url.find('*') != Some(url.len() - 1)
            || url.ends_with('*') && !url.ends_with("/*") =>
        {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    }
}

pub(super) fn level(level: &Value, errors: &mut FieldErrors) {
    let (spec, path, called) = (&level["spec"], Path::new("spec"), name(level));
    let kind = text(&spec["type"]);
    if (called == "exempt") != (kind == "Exempt") {
        let words = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(path.child("type"), kind, words));
    }
    let (exempt, limited) = (&spec["exempt"], &spec["limited"]);
    match kind {
        "Exempt" => {
            if limited.is_object() {
                let words = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(path.child("limited"), words));
            }
            shares(exempt, &path.child("exempt"), errors);
        }
        "Limited" => {
            if exempt.is_object() {
                errors
                    .push(FieldError::forbidden(path.child("exempt"), "must be nil if the type is Limited"));
            }
            if limited.is_object() {
                limits(limited, &path.child("limited"), errors);
            } else {
                let words = "must not be empty when type is Limited";
                errors.push(FieldError::required(path.child("limited"), words));
            }
        }
        _ => errors.push(FieldError::not_supported(path.child("type"), kind, &["Exempt", "Limited"])),
    }
    let Some(fixed) = fixed("prioritylevelconfigurations", called) else { return };
    if called == "exempt" {
        if differ_but(spec, fixed, &["exempt"]) {
            let words =
                format!("spec of '{called}' except the 'spec.exempt' field must equal the fixed value");
            errors.push(FieldError::invalid(path, spec.clone(), words));
        }
    } else if spec != fixed {
        let words = format!("spec of '{called}' must equal the fixed value");
        errors.push(FieldError::invalid(path, spec.clone(), words));
    }
}

fn shares(holder: &Value, path: &Path, errors: &mut FieldErrors) {
    let (shares, at) = (&holder["nominalConcurrencyShares"], path.child("nominalConcurrencyShares"));
    check::at_least(shares, 0, "must be a non-negative integer", &at, errors);
    if let Some(percent) = holder["lendablePercent"].as_i64().filter(|n| !(0..=100).contains(n)) {
        let words = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(path.child("lendablePercent"), percent, words));
    }
}

fn limits(limited: &Value, path: &Path, errors: &mut FieldErrors) {
    shares(limited, path, errors);
    let (borrowed, at) = (&limited["borrowingLimitPercent"], path.child("borrowingLimitPercent"));
    check::at_least(borrowed, 0, "if specified, must be a non-negative integer", &at, errors);
    let (response, path) = (&limited["limitResponse"], path.child("limitResponse"));
    let (queuing, at) = (&response["queuing"], path.child("queuing"));
    match text(&response["type"]) {
        "Reject" => {
            if queuing.is_object() {
                let words = "must be nil if limited.limitResponse.type is not Limited";
                errors.push(FieldError::forbidden(at, words));
            }
        }
        "Queue" if queuing.is_null() => {
            let words = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(at, words));
        }
        "Queue" => queues(queuing, &at, errors),
        other => errors.push(FieldError::not_supported(path.child("type"), other, &["Queue", "Reject"])),
    }
}

fn queues(queuing: &Value, path: &Path, errors: &mut FieldErrors) {
    let number = |field: &str| int(&queuing[field]);
    for field in ["queueLengthLimit", "queues", "handSize"].iter().filter(|field| number(field) <= 0) {
        errors.push(FieldError::invalid(path.child(field), number(field), "must be positive"));
    }
    let (queues, hand) = (number("queues"), number("handSize"));
    if queues > QUEUES_MAX {
        let words = format!("must not be greater than {QUEUES_MAX}");
        errors.push(FieldError::invalid(path.child("queues"), queues, words));
    }
    if hand > queues {
        let words = format!("should not be greater than queues ({queues})");
        errors.push(FieldError::invalid(path.child("handSize"), hand, words));
    } else if hand > 0 && entropy_bits(queues, hand) > HASH_BITS_MAX {
        let words = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}"
        );
        errors.push(FieldError::invalid(path.child("handSize"), hand, words));
    }
}

/// Bits of a hash that dealing a hand from a deck uses up.
fn entropy_bits(deck: i64, hand: i64) -> f64 {
    let number = |n: i64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    number(deck).log2() * number(hand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_use_bits_up() {
        for (deck, hand, fits) in
            [(64, 6, true), (128, 8, true), (1, 1, true), (64, 10, true), (1024, 7, false)]
        {
            assert_eq!(entropy_bits(deck, hand) <= HASH_BITS_MAX, fits, "{deck} {hand}");
        }
    }

    #[test]
    fn urls_match_by_prefix() {
        for good in ["/", "/healthz", "/apis/*"] {
            assert_eq!(url_fault(good), None, "{good}");
        }
        for bad in ["", "x", "/a b", "//a", "/a*", "/*/a"] {
            assert!(url_fault(bad).is_some(), "{bad}");
        }
    }
}
