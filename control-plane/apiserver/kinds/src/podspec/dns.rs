//! Names: resolvers, aliases, the pod's own host name.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::shares;
use crate::value::{is_true, items, text};
use crate::{check, names};

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const HOSTNAME_MAX: usize = 64;

pub(super) fn config(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let config = &spec["dnsConfig"];
    let (servers, searches) = (items(&config["nameservers"]), items(&config["searches"]));
    if spec["dnsPolicy"] == "None" {
        if config.is_null() {
            let words = "must provide `dnsConfig` when `dnsPolicy` is None";
            return errors.push(FieldError::required(path.clone(), words));
        }
        if servers.is_empty() {
            let words = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.push(FieldError::required(path.child("nameservers"), words));
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        let words = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(path.child("nameservers"), servers.to_vec(), words));
    }
    for (index, server) in servers.iter().enumerate() {
        check::syntax(text(server), names::ip, &path.child("nameservers").index(index), errors);
    }
    searched(searches, &path.child("searches"), errors);
    for (index, option) in items(&config["options"]).iter().enumerate() {
        if text(&option["name"]).is_empty() {
            errors.push(FieldError::required(path.child("options").index(index), "must not be empty"));
        }
    }
}

fn searched(searches: &[Value], path: &Path, errors: &mut FieldErrors) {
    if searches.len() > SEARCHES_MAX {
        let words = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(path.clone(), searches.to_vec(), words));
    }
    let chars: usize = searches.iter().map(|search| text(search).len() + 1).sum();
    if chars > SEARCH_CHARS_MAX + 1 {
        let words = format!(
            "must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(path.clone(), searches.to_vec(), words));
    }
    for (index, search) in searches.iter().map(text).enumerate().filter(|(_, search)| *search != ".") {
        let plain = search.strip_suffix('.').unwrap_or(search);
        check::syntax(plain, names::subdomain_with_underscore, &path.index(index), errors);
    }
}

pub(super) fn host_aliases(aliases: &Value, path: &Path, errors: &mut FieldErrors) {
    for (index, alias) in items(aliases).iter().enumerate() {
        let path = path.index(index);
        check::syntax(text(&alias["ip"]), names::ip, &path.child("ip"), errors);
        for (index, hostname) in items(&alias["hostnames"]).iter().enumerate() {
            check::syntax(text(hostname), names::subdomain, &path.child("hostnames").index(index), errors);
        }
    }
}

/// A name of its own choice, whatever else would be the pod's host name. (KEP-4762)
pub(super) fn hostname_override(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let Some(name) = spec["hostnameOverride"].as_str() else { return };
    let at = path.child("hostnameOverride");
    check::syntax(name, names::subdomain, &at, errors);
    if name.len() > HOSTNAME_MAX {
        errors.push(FieldError::too_long(at.clone(), HOSTNAME_MAX));
    }
    if shares(spec, "hostNetwork") {
        errors.push(FieldError::forbidden(at, "may not be specified when hostNetwork is true"));
    }
    if is_true(&spec["setHostnameAsFQDN"]) {
        let words = "may not be specified when hostnameOverride is specified";
        errors.push(FieldError::forbidden(path.child("setHostnameAsFQDN"), words));
    }
}
