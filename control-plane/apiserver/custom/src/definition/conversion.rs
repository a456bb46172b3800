//! Validation of `spec.conversion`.

use base64::Engine as _;
use oarlock_api::selector::dns1123_subdomain_faults;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::spec::{Options, one_of};
use crate::names;
use crate::value::{condition_is_true, items, text};

const KNOWN: [&str; 2] = ["v1", "v1beta1"];
const FORM: &str = "; desired format: https://host[:port]/path";

pub(super) fn validate(conversion: &Value, options: &Options, path: &Path, errors: &mut FieldErrors) {
    if !conversion.is_object() {
        return;
    }
    let strategy = text(&conversion["strategy"]);
    one_of(strategy, &["None", "Webhook"], &path.child("strategy"), errors);
    let webhook = &conversion["webhook"];
    let config = &webhook["clientConfig"];
    let at = path.child("webhookClientConfig");
    if strategy != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if config.is_object() {
            errors.push(FieldError::forbidden(at, detail));
        }
        if !items(&webhook["conversionReviewVersions"]).is_empty() {
            errors.push(FieldError::forbidden(path.child("conversionReviewVersions"), detail));
        }
        return;
    }
    if config.is_object() {
        client_config(config, options, &at, errors);
    } else {
        errors.push(FieldError::required(at, "required when strategy is set to Webhook"));
    }
    review_versions(
        &webhook["conversionReviewVersions"],
        options,
        &path.child("conversionReviewVersions"),
        errors,
    );
}

fn client_config(config: &Value, options: &Options, path: &Path, errors: &mut FieldErrors) {
    match (config["url"].as_str(), config["service"].is_object()) {
        (Some(_), true) | (None, false) => {
            errors.push(FieldError::required(path.clone(), "exactly one of url or service is required"));
        }
        (Some(given), false) => url(given, &path.child("url"), errors),
        (None, true) => service(&config["service"], &path.child("service"), errors),
    }
    let bundle = text(&config["caBundle"]);
    if !bundle.is_empty() && !options.any_ca_bundle && !is_ca_bundle(bundle) {
        let detail = "unable to load root certificates: unable to parse bytes as PEM block";
        errors.push(FieldError::invalid(path.child("caBundle"), bundle, detail));
    }
}

fn url(given: &str, path: &Path, errors: &mut FieldErrors) {
    let mut refuse =
        |value: &str, detail: String| errors.push(FieldError::invalid(path.clone(), value, detail));
    let (scheme, rest) = given.split_once("://").unwrap_or(("", given));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        refuse(scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        refuse(host, format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        refuse(user, "user information is not permitted in the URL".into());
    }
    if !fragment.is_empty() {
        refuse(fragment, "fragments are not permitted in the URL".into());
    }
    if !query.is_empty() {
        refuse(query, "query parameters are not permitted in the URL".into());
    }
}

fn service(service: &Value, path: &Path, errors: &mut FieldErrors) {
    // Upstream hands the two over in the wrong order, so each is told under the other's name.
    for (field, told) in [("namespace", "name"), ("name", "namespace")] {
        if text(&service[field]).is_empty() {
            errors.push(FieldError::required(path.child(told), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.child("port"), port, detail));
    }
    let given = text(&service["path"]);
    if given.is_empty() || given == "/" {
        return;
    }
    let at = path.child("path");
    if !given.starts_with('/') {
        errors.push(FieldError::invalid(at.clone(), given, "must start with a '/'"));
    }
    // A byte goes, whatever letter it begins.
    let segments = String::from_utf8_lossy(&given.as_bytes()[1..]);
    for (index, segment) in segments.strip_suffix('/').unwrap_or(&segments).split('/').enumerate() {
        if segment.is_empty() {
            let detail = format!("segment[{index}] may not be empty");
            errors.push(FieldError::invalid(at.clone(), given, detail));
            continue;
        }
        let faults = dns1123_subdomain_faults(segment).into_iter();
        errors.extend(
            faults.map(|fault| FieldError::invalid(at.clone(), given, format!("segment[{index}]: {fault}"))),
        );
    }
}

fn review_versions(versions: &Value, options: &Options, path: &Path, errors: &mut FieldErrors) {
    let listed: Vec<&str> = items(versions).iter().map(text).collect();
    if listed.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    for (index, version) in listed.iter().enumerate() {
        let at = path.index(index);
        if listed[..index].contains(version) {
            errors.push(FieldError::invalid(at, *version, "duplicate version"));
            continue;
        }
        let faults = names::dns_1035(version).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(at.clone(), *version, fault)));
    }
    if options.known_review_version && !listed.iter().any(|version| KNOWN.contains(version)) {
        let detail = format!("must include at least one of {}", KNOWN.join(", "));
        errors.push(FieldError::invalid(path.clone(), versions.clone(), detail));
    }
}

/// Whether an old definition named a version that is known, or none.
pub(super) fn knows_review_version(conversion: &Value) -> bool {
    let listed = items(&conversion["webhook"]["conversionReviewVersions"]);
    listed.is_empty() || listed.iter().any(|version| KNOWN.contains(&text(version)))
}

/// Whether the certificates of a changed definition may be unreadable: it is not served yet, or they were so before.
pub(super) fn may_have_any_bundle(old: &Value) -> bool {
    let bundle = text(&old["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"]);
    !condition_is_true(old, "Established") || (!bundle.is_empty() && !is_ca_bundle(bundle))
}

/// Whether a text (base64 of PEM) holds at least one certificate.
pub(crate) fn is_ca_bundle(text: &str) -> bool {
    let engine = base64::engine::general_purpose::STANDARD;
    let Ok(pem) = engine.decode(text) else { return false };
    let pem = String::from_utf8_lossy(&pem);
    let mut found = false;
    for block in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let Some((body, _)) = block.split_once("-----END CERTIFICATE-----") else { return false };
        let body: String = body.split_whitespace().collect();
        // A certificate is an ASN.1 sequence.
        if !engine.decode(body).is_ok_and(|der| der.first() == Some(&0x30)) {
            return false;
        }
        found = true;
    }
    found
}
