//! Validation of ConfigMaps and Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{entries, is_true, text};
use crate::{check, names};

const BYTES_MAX: usize = 1024 * 1024;
const DOCKER_CONFIG: &str = ".dockerconfigjson";

fn keys(map: &Value, path: &Path, errors: &mut FieldErrors) {
    for (key, _) in entries(map) {
        let faults = names::config_key(key).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.key(key), key, fault)));
    }
}

/// Bytes that base64 text stands for.
fn decoded_len(value: &str) -> usize {
    (value.len() / 4 * 3).saturating_sub(value.bytes().rev().take_while(|b| *b == b'=').count())
}

pub(super) fn config_map(map: &Value, errors: &mut FieldErrors) {
    let (data, binary) = (&map["data"], &map["binaryData"]);
    for (key, _) in entries(data) {
        if !binary[key].is_null() {
            let words = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(Path::new("data").key(key), key, words));
        }
    }
    keys(data, &Path::new("data"), errors);
    keys(binary, &Path::new("binaryData"), errors);
    let plain: usize = entries(data).map(|(_, v)| text(v).len()).sum();
    let encoded: usize = entries(binary).map(|(_, v)| decoded_len(text(v))).sum();
    if plain + encoded > BYTES_MAX {
        errors.push(FieldError::too_long(Path::root(), BYTES_MAX));
    }
}

/// What has been made immutable stays as it is.
pub(super) fn frozen(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    const WORDS: &str = "field is immutable when `immutable` is set";
    if !is_true(&old["immutable"]) {
        return;
    }
    for field in ["immutable", "data", "binaryData"] {
        let empty = |v: &Value| v.is_null() || v.as_object().is_some_and(serde_json::Map::is_empty);
        let (now, was) = (&new[field], &old[field]);
        if now != was && !(empty(now) && empty(was)) {
            errors.push(FieldError::forbidden(Path::new(field), WORDS));
        }
    }
}

/// Keys that secrets of a type cannot be without.
fn required_keys(kind: &str) -> &'static [&'static str] {
    match kind {
        "kubernetes.io/dockerconfigjson" => &[DOCKER_CONFIG],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    }
}

pub(super) fn secret(secret: &Value, errors: &mut FieldErrors) {
    let (data, path) = (&secret["data"], Path::new("data"));
    keys(data, &path, errors);
    let total: usize = entries(data).map(|(_, v)| decoded_len(text(v))).sum();
    if total > BYTES_MAX {
        errors.push(FieldError::too_long(path.clone(), BYTES_MAX));
    }
    let kind = text(&secret["type"]);
    for key in required_keys(kind) {
        match data[*key].as_str() {
            None => errors.push(FieldError::required(path.key(key), "")),
            Some(value) if key.starts_with(".docker") => {
                if let Some(words) = json_fault(value) {
                    errors.push(FieldError::invalid(path.key(key), "<secret contents redacted>", words));
                }
            }
            Some(_) => {}
        }
    }
    if kind == "kubernetes.io/basic-auth" && data["username"].is_null() && data["password"].is_null() {
        errors.push(FieldError::required(path.key("username"), ""));
        errors.push(FieldError::required(path.key("password"), ""));
    }
    let account = "kubernetes.io/service-account.name";
    if kind == "kubernetes.io/service-account-token"
        && text(&secret["metadata"]["annotations"][account]).is_empty()
    {
        let at = Path::new("metadata").child("annotations").key(account);
        errors.push(FieldError::required(at, ""));
    }
}

/// What is wrong with base64 text that should be an object in JSON, in the words of Go's decoder.
fn json_fault(value: &str) -> Option<String> {
    let bytes = STANDARD.decode(value).unwrap_or_default();
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => None,
        Ok(other) => {
            let kind = match other {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
        Err(error) if error.is_eof() => Some("unexpected end of JSON input".into()),
        Err(error) => {
            let line = bytes.split(|b| *b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
            let at = line.get(error.column().saturating_sub(1)).copied().unwrap_or(b' ');
            Some(format!("invalid character {:?} looking for beginning of value", char::from(at)))
        }
    }
}

/// A pair of key and certificate that is none.
pub(super) fn warn(secret: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    if secret["type"] != "kubernetes.io/tls" {
        return;
    }
    let has_pem = |key: &str| {
        let bytes = STANDARD.decode(text(&secret["data"][key])).unwrap_or_default();
        bytes.windows(11).any(|window| window == b"-----BEGIN ")
    };
    if !has_pem("tls.crt") {
        warnings.push("tls: failed to find any PEM data in certificate input".into());
    } else if !has_pem("tls.key") {
        warnings.push("tls: failed to find any PEM data in key input".into());
    }
}

pub(super) fn secret_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    check::immutable(&new["type"], &old["type"], &Path::new("type"), errors);
    frozen(context, new, old, errors);
}
