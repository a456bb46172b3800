//! Where a webhook may be. (`apiserver/pkg/util/webhook/validation.go`)

use oarlock_api::selector::dns1123_subdomain_faults;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::text;

const FORM: &str = "; desired format: https://host[/path]";

/// A URL taken apart as Go does, which takes almost anything.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    user: Option<&'a str>,
    query: &'a str,
    fragment: &'a str,
}

fn parse(url: &str) -> Result<Parts<'_>, String> {
    let failed = |why: &str| Err(format!("parse {url:?}: {why}"));
    if url.bytes().any(|b| b.is_ascii_control()) {
        return failed("net/url: invalid control character in URL");
    }
    let mut parts = Parts::default();
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    (parts.fragment, parts.query) = (fragment, query);
    let rest = match rest.split_once(':') {
        Some(("", _)) => return failed("missing protocol scheme"),
        Some((scheme, rest)) if is_scheme(scheme) => {
            parts.scheme = scheme;
            rest
        }
        Some((first, _)) if !first.contains('/') && !first.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            return failed("first path segment in URL cannot contain colon");
        }
        _ => rest,
    };
    let Some(rest) = rest.strip_prefix("//") else { return Ok(parts) };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once('@') {
        None => authority,
        Some((user, host)) => {
            parts.user = Some(user);
            host
        }
    };
    if let Some(c) = host.chars().find(|c| matches!(c, ' ' | '<' | '>' | '"' | '^' | '`' | '{' | '}' | '|')) {
        return failed(&format!("invalid character {:?} in host name", c.to_string()));
    }
    let port = host.rsplit_once(']').map_or(host, |(_, port)| port).rsplit_once(':').map(|(_, port)| port);
    if let Some(port) = port.filter(|port| !port.bytes().all(|b| b.is_ascii_digit())) {
        return failed(&format!("invalid port {:?} after host", format!(":{port}")));
    }
    parts.host = host;
    Ok(parts)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn url(url: &str, path: &Path, errors: &mut FieldErrors) {
    let parts = match parse(url) {
        Ok(parts) => parts,
        Err(why) => {
            let words = format!("url must be a valid URL: {why}{FORM}");
            return errors.push(FieldError::required(path.clone(), words));
        }
    };
    let mut wrong = |value: &str, words: &str| errors.push(FieldError::invalid(path.clone(), value, words));
    // Go keeps schemes in lower case.
    let scheme = parts.scheme.to_ascii_lowercase();
    if scheme != "https" {
        wrong(&scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if parts.host.is_empty() {
        wrong("", &format!("host must be provided{FORM}"));
    }
    if let Some(user) = parts.user {
        wrong(user, "user information is not permitted in the URL");
    }
    if !parts.fragment.is_empty() {
        wrong(parts.fragment, "fragments are not permitted in the URL");
    }
    if !parts.query.is_empty() {
        wrong(parts.query, "query parameters are not permitted in the URL");
    }
}

fn service(service: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in ["namespace", "name"] {
        if text(service, &[field]).is_empty() {
            // Upstream hands the two over in the wrong order, so each is told under the other's name.
            let told = if field == "name" { "namespace" } else { "name" };
            errors.push(FieldError::required(path.child(told), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let words = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.child("port"), port, words));
    }
    if let Some(given) = service["path"].as_str() {
        service_path(given, &path.child("path"), errors);
    }
}

fn service_path(given: &str, path: &Path, errors: &mut FieldErrors) {
    let mut wrong = |words: String| errors.push(FieldError::invalid(path.clone(), given, words));
    match given {
        "" | "/" => return,
        "//" => return wrong("segment[0] may not be empty".into()),
        _ => {}
    }
    if !given.starts_with('/') {
        wrong("must start with a '/'".into());
    }
    // A byte goes, whatever letter it begins.
    let steps = String::from_utf8_lossy(&given.as_bytes()[1..]);
    for (index, step) in steps.strip_suffix('/').unwrap_or(&steps).split('/').enumerate() {
        if step.is_empty() {
            wrong(format!("segment[{index}] may not be empty"));
            continue;
        }
        for fault in dns1123_subdomain_faults(step) {
            wrong(format!("segment[{index}]: {fault}"));
        }
    }
}

/// A `clientConfig`.
pub(super) fn client_config(config: &Value, path: &Path, errors: &mut FieldErrors) {
    match (config["url"].as_str(), &config["service"]) {
        (Some(given), Value::Null) => url(given, &path.child("url"), errors),
        (None, target @ Value::Object(_)) => service(target, &path.child("service"), errors),
        _ => {
            let words = "exactly one of url or service is required";
            errors.push(FieldError::required(path.clone(), words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, want: &[&str]) {
        let mut errors = FieldErrors::new();
        url(given, &Path::new("url"), &mut errors);
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, want, "{given}");
    }

    #[test]
    fn urls_are_judged_as_upstream_judges_them() {
        check("https://a.b/c", &[]);
        check("https://[::1]:8443/c", &[]);
        let scheme = |scheme: &str| {
            format!(
                "url: Invalid value: {scheme:?}: 'https' is the only allowed URL scheme; desired format: https://host[/path]"
            )
        };
        let host = "url: Invalid value: \"\": host must be provided; desired format: https://host[/path]";
        check("http://a", &[&scheme("http")]);
        check("a", &[&scheme(""), host]);
        check("https:///x", &[host]);
        check(
            "https://u:p@a/?q=1#f",
            &[
                "url: Invalid value: \"u:p\": user information is not permitted in the URL",
                "url: Invalid value: \"f\": fragments are not permitted in the URL",
                "url: Invalid value: \"q=1\": query parameters are not permitted in the URL",
            ],
        );
        check(
            "https://a:b",
            &[
                "url: Required value: url must be a valid URL: parse \"https://a:b\": invalid port \":b\" after host; desired \
               format: https://host[/path]",
            ],
        );
    }

    #[test]
    fn paths_of_services_are_plain() {
        let check = |given: &str, want: &[&str]| {
            let mut errors = FieldErrors::new();
            service_path(given, &Path::new("path"), &mut errors);
            let told: Vec<String> = errors.iter().map(|e| e.to_string()).collect();
            assert_eq!(told.len(), want.len(), "{given}: {told:?}");
            told.iter().zip(want).for_each(|(told, want)| assert!(told.contains(want), "{told}"));
        };
        check("/a/b.c/", &[]);
        check("//", &["segment[0] may not be empty"]);
        check("a", &["must start with a '/'", "segment[0] may not be empty"]);
        check("/a//b", &["segment[1] may not be empty"]);
        check("/A", &["segment[0]: a lowercase RFC 1123 subdomain"]);
    }
}
