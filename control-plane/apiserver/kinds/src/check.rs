//! Checks that many kinds share: each adds what it finds wrong to a list. (`apimachinery/pkg/apis/meta/v1/validation`)

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::names::{self, Faults};
use crate::value::{entries, items, text};

pub(crate) const IMMUTABLE: &str = "field is immutable";
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// A text against a syntax.
pub(crate) fn syntax(value: &str, rule: fn(&str) -> Faults, path: &Path, errors: &mut FieldErrors) {
    errors.extend(rule(value).into_iter().map(|fault| FieldError::invalid(path.clone(), value, fault)));
}

/// As [`syntax`], where the field is given.
pub(crate) fn optional(value: &Value, rule: fn(&str) -> Faults, path: &Path, errors: &mut FieldErrors) {
    let value = text(value);
    if !value.is_empty() {
        syntax(value, rule, path, errors);
    }
}

/// As [`optional`] of a field that is a pointer: an empty text is given, too.
pub(crate) fn given(value: &Value, rule: fn(&str) -> Faults, path: &Path, errors: &mut FieldErrors) {
    if let Some(value) = value.as_str() {
        syntax(value, rule, path, errors);
    }
}

/// A text that must be given; true if it is.
pub(crate) fn required(value: &Value, path: &Path, errors: &mut FieldErrors) -> bool {
    let given = !text(value).is_empty();
    if !given {
        errors.push(FieldError::required(path.clone(), ""));
    }
    given
}

/// A name that must be given and follow a syntax.
pub(crate) fn named(value: &Value, rule: fn(&str) -> Faults, path: &Path, errors: &mut FieldErrors) {
    if required(value, path, errors) {
        syntax(text(value), rule, path, errors);
    }
}

/// One of a sorted list, where it is given.
pub(crate) fn one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    let given = text(value);
    if !given.is_empty() && !supported.contains(&given) {
        errors.push(FieldError::not_supported(path.clone(), given, supported));
    }
}

/// As [`one_of`] of a field that is a pointer: an empty text is given, too.
pub(crate) fn given_one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if !value.is_null() && !supported.contains(&text(value)) {
        errors.push(FieldError::not_supported(path.clone(), text(value), supported));
    }
}

/// A sorted list's item that must be given.
pub(crate) fn must_be_one_of(value: &Value, supported: &[&str], path: &Path, errors: &mut FieldErrors) {
    if required(value, path, errors) {
        one_of(value, supported, path, errors);
    }
}

pub(crate) fn not_negative(value: &Value, path: &Path, errors: &mut FieldErrors) {
    at_least(value, 0, NOT_NEGATIVE, path, errors);
}

pub(crate) fn at_least(value: &Value, least: i64, words: &str, path: &Path, errors: &mut FieldErrors) {
    if let Some(number) = value.as_i64().filter(|n| *n < least) {
        errors.push(FieldError::invalid(path.clone(), number, words));
    }
}

pub(crate) fn immutable(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    if new != old {
        errors.push(FieldError::invalid(path.clone(), new.clone(), IMMUTABLE));
    }
}

pub(crate) fn port(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some((number, fault)) = value.as_i64().and_then(|n| Some((n, names::port_number(n)?))) {
        errors.push(FieldError::invalid(path.clone(), number, fault));
    }
}

/// A number, or the name of one.
pub(crate) fn port_or_name(value: &Value, path: &Path, errors: &mut FieldErrors) {
    match value {
        Value::String(name) => syntax(name, names::port_name, path, errors),
        Value::Null => port(&0.into(), path, errors),
        number => port(number, path, errors),
    }
}

/// A number that is not negative, or a percentage.
pub(crate) fn int_or_percent(value: &Value, path: &Path, errors: &mut FieldErrors) {
    match value {
        Value::String(given) if percent(given).is_none() => {
            let words = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            errors.push(FieldError::invalid(path.clone(), given.as_str(), words));
        }
        number => not_negative(number, path, errors),
    }
}

pub(crate) fn percent(value: &str) -> Option<i64> {
    let digits = value.strip_suffix('%')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A plain map of labels.
pub(crate) fn labels(map: &Value, path: &Path, errors: &mut FieldErrors) {
    for (key, value) in entries(map) {
        syntax(key, names::qualified, path, errors);
        syntax(text(value), names::label_value, path, errors);
    }
}

pub(crate) fn annotations(map: &Value, path: &Path, errors: &mut FieldErrors) {
    const BYTES_MAX: usize = 256 * 1024;
    let mut bytes = 0;
    for (key, value) in entries(map) {
        let faults = if key.bytes().any(|b| b.is_ascii_uppercase()) {
            names::qualified(&key.to_ascii_lowercase())
        } else {
            names::qualified(key)
        };
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(path.clone(), key, fault)));
        bytes += key.len() + text(value).len();
    }
    if bytes > BYTES_MAX {
        errors.push(FieldError::too_long(path.clone(), BYTES_MAX));
    }
}

/// A `metav1.LabelSelector`.
pub(crate) fn selector(selector: &Value, path: &Path, errors: &mut FieldErrors) {
    labels(&selector["matchLabels"], &path.child("matchLabels"), errors);
    for (index, expression) in items(&selector["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = items(&expression["values"]);
        match text(&expression["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let words = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(path.child("values"), words));
            }
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(path.child("values"), words));
            }
            "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        syntax(text(&expression["key"]), names::qualified, &path.child("key"), errors);
        for (index, value) in values.iter().enumerate() {
            syntax(text(value), names::label_value, &path.child("values").index(index), errors);
        }
    }
}

/// A selector, told as Go prints it.
pub(crate) fn told_selector(selector: &Value) -> String {
    dump::object("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", selector)
}

/// An address that is of no special kind.
pub(crate) fn ordinary_ip(address: &str, path: &Path, errors: &mut FieldErrors) {
    let Ok(ip) = address.parse::<IpAddr>() else {
        return errors.push(FieldError::invalid(path.clone(), address, "must be a valid IP address"));
    };
    let (link_local, link_local_group) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        let words = format!("may not be unspecified ({address})");
        errors.push(FieldError::invalid(path.clone(), address, words));
    }
    for (is, words) in [
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (link_local_group, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        if is {
            errors.push(FieldError::invalid(path.clone(), address, words));
        }
    }
}

/// Where a balancer takes traffic: an address, or a name that is none.
pub(crate) fn load_balancer_ingress(ingress: &Value, path: &Path, errors: &mut FieldErrors) {
    optional(&ingress["ip"], names::ip, &path.child("ip"), errors);
    let (host, at) = (text(&ingress["hostname"]), path.child("hostname"));
    optional(&ingress["hostname"], names::subdomain, &at, errors);
    if host.parse::<IpAddr>().is_ok() {
        errors.push(FieldError::invalid(at, host, "must be a DNS name, not an IP address"));
    }
}

/// An IPv6 address has one form to be written in. (RFC 5952)
pub(crate) fn ip_warning(address: &str, path: &Path, warnings: &mut Vec<String>) {
    let Ok(IpAddr::V6(ip)) = address.parse::<IpAddr>() else { return };
    if let Some(v4) = ip.to_ipv4_mapped() {
        warnings.push(format!("{path}: non-standard IP address {address:?} will be considered invalid in a future Kubernetes release: use {:?}", v4.to_string()));
    } else if ip.to_string() != address {
        let told = ip.to_string();
        warnings.push(format!(
            "{path}: IPv6 address {address:?} should be in RFC 5952 canonical format ({told:?})"
        ));
    }
}

/// A range says its first address.
pub(crate) fn cidr_warning(range: &str, path: &Path, warnings: &mut Vec<String>) {
    let Some((told, canonical)) = names::masked(range) else { return };
    if told != canonical {
        warnings.push(format!(
            "{path}: CIDR value {range:?} is ambiguous in this context (should be {canonical:?}?)"
        ));
    }
}

/// The status of what keeps replicas: parts are not greater than the whole.
pub(crate) fn replica_counts(status: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 5] =
        ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    let path = Path::new("status");
    for field in COUNTS {
        not_negative(&status[field], &path.child(field), errors);
    }
    let count = |field: &str| status[field].as_i64().unwrap_or_default();
    for (part, whole) in [
        ("fullyLabeledReplicas", "replicas"),
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ] {
        if count(part) > count(whole) {
            let whole = if whole == "replicas" { "status.replicas" } else { whole };
            let words = format!("cannot be greater than {whole}");
            errors.push(FieldError::invalid(path.child(part), count(part), words));
        }
    }
}

/// `example.com/manager`: a domain, and a path under it. (`validation.IsDomainPrefixedPath`)
pub(crate) fn domain_path(value: &str, path: &Path, errors: &mut FieldErrors) {
    if value.is_empty() {
        return errors.push(FieldError::required(path.clone(), ""));
    }
    let Some((domain, rest)) =
        value.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        let words = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return errors.push(FieldError::invalid(path.clone(), value, words));
    };
    syntax(domain, names::subdomain, path, errors);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !rest.bytes().all(plain) {
        let words = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.push(FieldError::invalid(path.clone(), rest, words));
    }
}

/// A list of `metav1.Condition`.
pub(crate) fn conditions(conditions: &Value, path: &Path, errors: &mut FieldErrors) {
    const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
    let mut seen = Seen::new();
    for (index, condition) in items(conditions).iter().enumerate() {
        let at = path.index(index);
        seen.add(text(&condition["type"]), &at.child("type"), errors);
        syntax(text(&condition["type"]), names::qualified, &at.child("type"), errors);
        let status = text(&condition["status"]);
        if !STATUSES.contains(&status) {
            errors.push(FieldError::not_supported(at.child("status"), status, &STATUSES));
        }
        let words = "must be greater than or equal to zero";
        at_least(&condition["observedGeneration"], 0, words, &at.child("observedGeneration"), errors);
        required(&condition["lastTransitionTime"], &at.child("lastTransitionTime"), errors);
        named(&condition["reason"], names::condition_reason, &at.child("reason"), errors);
    }
}

/// The name of who signs: a domain and a name of its own. (`ValidateSignerName`)
pub(crate) fn signer_name(name: &str, path: &Path, errors: &mut FieldErrors) {
    if name.is_empty() {
        return errors.push(FieldError::required(path.clone(), ""));
    }
    let mut segments = name.split('/');
    let (Some(domain), Some(rest), None) = (segments.next(), segments.next(), segments.next()) else {
        let words = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errors.push(FieldError::invalid(path.clone(), name, words));
    };
    if domain.len() > 253 {
        errors.push(FieldError::too_long(path.clone(), 253));
    }
    let mut told = |whole: &str, label: &str, faults: names::Faults| {
        for fault in faults {
            errors.push(FieldError::invalid(
                path.clone(),
                whole,
                format!("validating label {label:?}: {fault}"),
            ));
        }
    };
    domain.split('.').for_each(|label| told(domain, label, names::dns_label(label)));
    rest.split('.').for_each(|label| told(rest, label, names::subdomain(label)));
    if domain.split('.').count() < 2 {
        let words = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path.clone(), domain, words));
    }
    if rest.len() > 253 + 63 + 1 {
        errors.push(FieldError::too_long(path.clone(), 253 + 63 + 1));
    }
}

/// Where in a list an item stands again, by what `key` tells of it. Short lists are compared item by item, long ones,
/// which only a stranger sends, by their hash.
pub(crate) fn repeats<'v, const N: usize>(
    list: &'v [Value],
    key: impl Fn(&'v Value) -> [&'v Value; N],
) -> Vec<usize> {
    const SHORT: usize = 32;
    if list.len() <= SHORT {
        let again = |index: &usize| {
            let own = key(&list[*index]);
            list[..*index].iter().any(|other| key(other) == own)
        };
        return (1..list.len()).filter(again).collect();
    }
    let mut seen = std::collections::HashSet::with_capacity(list.len());
    (0..list.len()).filter(|index| !seen.insert(key(&list[*index]).map(ToString::to_string))).collect()
}

/// Tells of every second occurrence. Lists are short as a rule: the first few values need no memory of their own.
pub(crate) struct Seen<'a> {
    few: [&'a str; FEW],
    len: usize,
    many: std::collections::HashSet<&'a str>,
}

const FEW: usize = 8;

impl<'a> Seen<'a> {
    pub(crate) fn new() -> Self {
        Self { few: [""; FEW], len: 0, many: std::collections::HashSet::new() }
    }

    /// Whether a value has not been seen before.
    pub(crate) fn is_new(&mut self, value: &'a str) -> bool {
        if self.few[..self.len].contains(&value) {
            return false;
        }
        if self.len == FEW {
            return self.many.insert(value);
        }
        self.few[self.len] = value;
        self.len += 1;
        true
    }

    pub(crate) fn add(&mut self, value: &'a str, path: &Path, errors: &mut FieldErrors) {
        if !value.is_empty() && !self.is_new(value) {
            errors.push(FieldError::duplicate(path.clone(), value));
        }
    }
}

#[cfg(test)]
pub(crate) fn told(errors: &FieldErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::{Seen, Value, repeats};

    #[test]
    fn repeats_are_found_in_lists_of_any_length() {
        for len in [0, 1, 10, 100] {
            let mut list: Vec<Value> = (0..len).map(|n| serde_json::json!({"a": n, "b": 1})).collect();
            assert!(repeats(&list, |item| [&item["a"], &item["b"]]).is_empty());
            if let Some(first) = list.first().cloned() {
                list.push(first);
                assert_eq!(repeats(&list, |item| [&item["a"]]), [len]);
            }
        }
    }

    #[test]
    fn every_second_is_seen() {
        let values: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let mut seen = Seen::new();
        assert!(values.iter().all(|value| seen.is_new(value)));
        assert!(!values.iter().any(|value| seen.is_new(value)));
        assert!(seen.is_new("") && !seen.is_new(""));
    }
}
