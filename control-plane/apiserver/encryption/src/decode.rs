//! From text to a configuration: what upstream's decoder would say, without the values, for they may be keys.

use std::time::Duration;

use serde_json::Value;

use crate::config::{API_VERSION, EncryptionConfiguration, KIND};

/// As upstream calls its own.
const SCHEME: &str = "pkg/server/options/encryptionconfig/config.go:142";

pub(crate) fn decode(bytes: &[u8]) -> Result<EncryptionConfiguration, String> {
    let mut tree = oarlock_api::codec::yaml::parse(bytes)
        .map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))?;
    check_kind(&tree)?;
    let unknown = unknown_fields(&tree);
    if !unknown.is_empty() {
        let told: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        return Err(format!("strict decoding error: {}", told.join(", ")));
    }
    drop_nulls(&mut tree);
    // What serde says of a wrong value may quote it.
    let configuration: EncryptionConfiguration =
        serde_json::from_value(tree).map_err(|error| without_values(&error.to_string()))?;
    let kms = configuration.resources.iter().flat_map(|conf| &conf.providers).filter_map(|p| p.kms.as_ref());
    match kms.filter_map(|kms| kms.timeout.as_deref()).find(|timeout| duration(timeout).is_none()) {
        Some(text) if text.parse::<f64>().is_ok() => Err(format!("time: missing unit in duration {text:?}")),
        Some(text) => Err(format!("time: invalid duration {text:?}")),
        None => Ok(configuration),
    }
}

fn check_kind(tree: &Value) -> Result<(), String> {
    let found = match tree {
        Value::Object(_) | Value::Null => {
            let text = |field: &str| tree[field].as_str().unwrap_or_default();
            let (version, kind) = (text("apiVersion"), text("kind"));
            return match (version, kind) {
                (API_VERSION, KIND) => Ok(()),
                (_, "") => Err("Object 'Kind' is missing".into()),
                ("", _) => Err("Object 'apiVersion' is missing".into()),
                _ => Err(format!(
                    "no kind {kind:?} is registered for version {version:?} in scheme {SCHEME:?}"
                )),
            };
        }
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    Err(format!(
        r#"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type struct {{ APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }}"#
    ))
}

/// A field of the configuration: its name, and the fields below it.
type Field = (&'static str, &'static [Known]);

struct Known(Field);

const KEYS: &[Known] = &[Known(("keys", &[Known(("name", &[])), Known(("secret", &[]))]))];
const KMS: &[Known] = &[
    Known(("apiVersion", &[])),
    Known(("name", &[])),
    Known(("cachesize", &[])),
    Known(("endpoint", &[])),
    Known(("timeout", &[])),
];
const PROVIDERS: &[Known] = &[
    Known(("aesgcm", KEYS)),
    Known(("aescbc", KEYS)),
    Known(("secretbox", KEYS)),
    Known(("identity", &[])),
    Known(("kms", KMS)),
];
const ROOT: &[Known] = &[
    Known(("apiVersion", &[])),
    Known(("kind", &[])),
    Known(("resources", &[Known(("resources", &[])), Known(("providers", PROVIDERS))])),
];

/// The paths of all fields that there are not.
fn unknown_fields(tree: &Value) -> Vec<String> {
    fn walk(value: &Value, known: &[Known], path: &str, into: &mut Vec<String>) {
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    walk(item, known, &format!("{path}[{at}]"), into);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    match known.iter().find(|known| known.0.0 == name) {
                        Some(Known((_, below))) => walk(value, below, &path, into),
                        None => into.push(path),
                    }
                }
            }
            _ => {}
        }
    }
    let mut unknown = Vec::new();
    walk(tree, ROOT, "", &mut unknown);
    unknown
}

/// Null says of a field what its absence does.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

fn without_values(message: &str) -> String {
    match message.split_once("invalid type: ").or_else(|| message.split_once("invalid value: ")) {
        Some((_, rest)) => {
            let expected = rest.rsplit_once(", expected ").map_or("another", |(_, expected)| expected);
            format!("invalid type, expected {expected}")
        }
        None => message.to_string(),
    }
}

/// `1m30s`, `3s`, `1.5h`, `500ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let value: f64 = rest[..number].parse().ok()?;
        rest = &rest[number..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        sum += value
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(sum).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_in_upstreams_words_and_without_values() {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
        let with = |rest: &str| format!("{head}{rest}");
        let kms = |field: &str| {
            with(&format!("resources: [{{resources: [a], providers: [{{kms: {{{field}}}}}]}}]"))
        };
        for (text, want) in [
            (with("resources: []"), ""),
            (with(""), ""),
            (with("resources: null"), ""),
            (with("resources: [{resources: null, providers: [{aescbc: {keys: null}, identity: null}]}]"), ""),
            ("resources: []".into(), "Object 'Kind' is missing"),
            ("kind: EncryptionConfiguration".into(), "Object 'apiVersion' is missing"),
            (
                head.replace("/v1", "/v2"),
                "no kind \"EncryptionConfiguration\" is registered for version \"apiserver.config.k8s.io/v2\" in scheme \
                 \"pkg/server/options/encryptionconfig/config.go:142\"",
            ),
            ("[]".into(), "couldn't get version/kind; json parse error: json: cannot unmarshal array into"),
            ("{".into(), "couldn't get version/kind; json parse error: "),
            (with("foo: 1"), "strict decoding error: unknown field \"foo\""),
            (
                with("resources: [{providers: [{identity: {}, x: 1}, {aescbc: {keys: [{name: a, b: c}]}}]}]"),
                "strict decoding error: unknown field \"resources[0].providers[0].x\", unknown field \
                 \"resources[0].providers[1].aescbc.keys[0].b\"",
            ),
            (with("resources: [{providers: [{aescbc: {keys: hush}}]}]"), "invalid type, expected a sequence"),
            (
                with("resources: [{providers: [{aescbc: {keys: [{secret: 7}]}}]}]"),
                "invalid type, expected a string",
            ),
            (kms("timeout: 1m30s"), ""),
            (kms("timeout: soon"), "time: invalid duration \"soon\""),
            (kms("timeout: '5'"), "time: missing unit in duration \"5\""),
        ] {
            let told = decode(text.as_bytes()).err().unwrap_or_default();
            let is_told = if want.is_empty() { told.is_empty() } else { told.starts_with(want) };
            assert!(is_told, "{text}: {told}");
        }
    }
}
