//! What is wrong with a configuration, in upstream's words.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::{FieldError, FieldErrors, Path};

use crate::config::{
    AesConfiguration, ConfigError, EncryptionConfiguration, Key, KmsConfiguration, ProviderConfiguration,
};
use crate::layout::Rule;

const AES_SIZES: &[usize] = &[16, 24, 32];
const SECRETBOX_SIZES: &[usize] = &[32];
/// Kept in the store under no resource of the API.
const WITHOUT_API: [&str; 3] = ["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];

pub(crate) fn validate(configuration: &EncryptionConfiguration) -> Result<(), ConfigError> {
    let errors = errors(configuration);
    let texts: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.path, e.body())).collect();
    match texts.as_slice() {
        [] => Ok(()),
        [one] => Err(ConfigError::Invalid(one.clone())),
        many => Err(ConfigError::Invalid(format!("[{}]", many.join(", ")))),
    }
}

fn errors(configuration: &EncryptionConfiguration) -> FieldErrors {
    let root = Path::new("resources");
    if configuration.resources.is_empty() {
        return vec![at_least_one(&root, root.as_str())];
    }
    let (mut errors, mut kms_names) = (FieldErrors::new(), HashSet::new());
    for (i, conf) in configuration.resources.iter().enumerate() {
        let (resources, providers) = (root.index(i).child("resources"), root.index(i).child("providers"));
        if conf.resources.is_empty() {
            errors.push(at_least_one(&resources, resources.as_str()));
        }
        errors.extend(overlaps(&conf.resources, &resources));
        for (j, name) in conf.resources.iter().enumerate() {
            if let Some(fault) = name_fault(name) {
                errors.push(FieldError::invalid(resources.index(j), name.as_str(), fault));
            }
        }
        if conf.providers.is_empty() {
            errors.push(at_least_one(&providers, providers.as_str()));
        }
        for (j, provider) in conf.providers.iter().enumerate() {
            errors.extend(provider_errors(provider, &providers.index(j), &mut kms_names));
        }
    }
    errors
}

fn at_least_one(path: &Path, what: &str) -> FieldError {
    FieldError::required(path.clone(), format!("at least one {what} is required"))
}

fn overlaps(names: &[String], path: &Path) -> FieldErrors {
    let rules: Vec<Rule> = names.iter().map(|name| Rule::parse(name)).collect();
    let pairs = || {
        rules.iter().enumerate().flat_map(|(i, a)| {
            rules.iter().enumerate().filter(move |(j, _)| *j != i).map(move |(_, b)| (a, b))
        })
    };
    let mut errors = FieldErrors::new();
    let mut refuse = |fault| errors.push(FieldError::invalid(path.clone(), names.to_vec(), fault));
    if pairs().any(|(a, b)| a == b) {
        refuse("the same resource cannot be specified multiple times");
    }
    if pairs().any(|(a, b)| a != b && a.covers(b)) {
        refuse(
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they \
             will be masked",
        );
    }
    errors
}

fn name_fault(name: &str) -> Option<&'static str> {
    let rule = Rule::parse(name);
    if name.to_lowercase() != name {
        Some("resource name should not contain capital letters")
    } else if name == "*" {
        Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
    } else if WITHOUT_API.contains(&name) {
        Some("resources which do not have REST API/s cannot be encrypted")
    } else if rule.group == "events.k8s.io" {
        Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the \
             config file",
        )
    } else if rule.group == "extensions" {
        Some("'extensions' group has been removed and cannot be used for encryption")
    } else if rule.group == "*" && rule.resource != "*" {
        Some("encrypting the same resource across groups is not supported")
    } else {
        None
    }
}

fn provider_errors(
    provider: &ProviderConfiguration,
    path: &Path,
    kms_names: &mut HashSet<String>,
) -> FieldErrors {
    let set = provider.names();
    match set.as_slice() {
        [] => {
            let detail = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity";
            let none = serde_json::json!({
                "AESGCM": null, "AESCBC": null, "Secretbox": null, "Identity": null, "KMS": null,
            });
            return vec![FieldError::invalid(path.clone(), none, detail)];
        }
        [_] => {}
        many => {
            let detail = "more than one provider specified in a single element, should split into different list elements";
            let many: Vec<String> = many.iter().map(ToString::to_string).collect();
            return vec![FieldError::invalid(path.clone(), many, detail)];
        }
    }
    let keyed = [
        ("aesgcm", &provider.aesgcm, AES_SIZES),
        ("aescbc", &provider.aescbc, AES_SIZES),
        ("secretbox", &provider.secretbox, SECRETBOX_SIZES),
    ];
    for (name, settings, sizes) in keyed {
        if let Some(settings) = settings {
            return key_errors(settings, &path.child(name).child("keys"), sizes);
        }
    }
    provider.kms.as_ref().map(|kms| kms_errors(kms, &path.child("kms"), kms_names)).unwrap_or_default()
}

/// `names` are those of the KMS providers before.
fn kms_errors(kms: &KmsConfiguration, path: &Path, names: &mut HashSet<String>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let name = path.child("name");
    if kms.name.is_empty() {
        errors.push(FieldError::required(name.clone(), "name is a mandatory field for a provider"));
    }
    if kms.api_version != "v1" && kms.name.contains(':') {
        let detail = format!("invalid KMS provider name {}, must not contain ':'", kms.name);
        errors.push(FieldError::invalid(name.clone(), kms.name.as_str(), detail));
    }
    if !names.insert(kms.name.clone()) {
        let detail = format!("duplicate KMS provider name {}, names must be unique", kms.name);
        errors.push(FieldError::invalid(name, kms.name.as_str(), detail));
    }
    if kms.timeout().is_none() {
        let value = kms.timeout.clone().unwrap_or_default();
        errors.push(FieldError::invalid(path.child("timeout"), value, "timeout should be a positive value"));
    }
    let endpoint = path.child("endpoint");
    let scheme = kms.endpoint.split_once("://").map_or("", |(scheme, _)| scheme);
    if kms.endpoint.is_empty() {
        errors.push(FieldError::invalid(endpoint, "", "endpoint is a mandatory field for a kms"));
    } else if scheme != "unix" {
        let detail = format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported");
        errors.push(FieldError::invalid(endpoint, kms.endpoint.as_str(), detail));
    } else if let Some(escape) = bad_escape(&kms.endpoint) {
        let url = &kms.endpoint;
        let detail =
            format!("invalid endpoint for kms provider, error: parse {url:?}: invalid URL escape {escape:?}");
        errors.push(FieldError::invalid(endpoint, kms.endpoint.as_str(), detail));
    }
    errors.extend(kms_version_errors(kms, path));
    errors
}

/// The first percent sign of a URL that two digits do not follow, with what does.
fn bad_escape(url: &str) -> Option<String> {
    let escapes = url.match_indices('%').map(|(at, _)| url[at..].chars().take(3).collect::<String>());
    let mut bad = escapes
        .filter(|escape| escape.len() != 3 || !escape[1..].bytes().all(|digit| digit.is_ascii_hexdigit()));
    bad.next()
}

fn kms_version_errors(kms: &KmsConfiguration, path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    match kms.cachesize {
        Some(size) if kms.api_version != "v1" => {
            errors.push(FieldError::invalid(
                path.child("cachesize"),
                size,
                "cachesize is not supported in v2",
            ));
        }
        Some(0) => {
            let detail = "cachesize should be a positive value, or negative to disable";
            errors.push(FieldError::invalid(path.child("cachesize"), 0, detail));
        }
        _ => {}
    }
    if !matches!(kms.api_version.as_str(), "v1" | "v2") {
        let detail = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
        errors.push(FieldError::invalid(path.child("apiVersion"), kms.api_version.as_str(), detail));
    }
    errors
}

impl ProviderConfiguration {
    /// The providers that are set.
    fn names(&self) -> Vec<&'static str> {
        let all = [
            ("kms", self.kms.is_some()),
            ("aesgcm", self.aesgcm.is_some()),
            ("aescbc", self.aescbc.is_some()),
            ("secretbox", self.secretbox.is_some()),
            ("identity", self.identity.is_some()),
        ];
        all.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
    }
}

fn key_errors(settings: &AesConfiguration, path: &Path, sizes: &[usize]) -> FieldErrors {
    if settings.keys.is_empty() {
        return vec![at_least_one(path, "keys")];
    }
    settings.keys.iter().enumerate().flat_map(|(i, key)| one_key_errors(key, &path.index(i), sizes)).collect()
}

fn one_key_errors(key: &Key, path: &Path, sizes: &[usize]) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if key.name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "name is a mandatory field for a key"));
    }
    let secret = path.child("secret");
    if key.secret.is_empty() {
        errors.push(FieldError::required(secret, "secret is a mandatory field for a key"));
        return errors;
    }
    match STANDARD.decode(&key.secret) {
        Err(_) => errors.push(FieldError::invalid(secret, "REDACTED", "secrets must be base64 encoded")),
        Ok(raw) if !sizes.contains(&raw.len()) => {
            let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
            let detail = format!(
                "secret is not of the expected length, got {}, expected one of [{}]",
                raw.len(),
                sizes.join(" ")
            );
            errors.push(FieldError::invalid(secret, "REDACTED", detail));
        }
        Ok(_) => {}
    }
    errors
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::EncryptionConfiguration;

    fn check(resources: &str, want: &Expect) {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: {resources}"
        );
        let got = EncryptionConfiguration::parse(std::path::Path::new("c.yaml"), text.as_bytes());
        want.assert_eq(&got.map_or_else(|e| e.to_string(), |_| "valid".into()));
    }

    const KEY16: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

    #[test]
    fn faults_are_told_in_upstreams_words() {
        let one = |resources: &str, providers: &str| {
            format!("[{{resources: {resources}, providers: {providers}}}]")
        };
        let named = |resources: &str| one(resources, "[{identity: {}}]");
        check(&named("[secrets, '*.apps']"), &expect!["valid"]);
        check(
            "[]",
            &expect![
                "error while parsing file: resources: Required value: at least one resources is required"
            ],
        );
        check(
            &named("[]"),
            &expect![
                "error while parsing file: resources[0].resources: Required value: at least one resources[0].resources is required"
            ],
        );
        check(
            &one("[secrets]", "[]"),
            &expect![
                "error while parsing file: resources[0].providers: Required value: at least one resources[0].providers is required"
            ],
        );
        check(
            &named("[secrets, secrets]"),
            &expect![[
                r#"error while parsing file: resources[0].resources: Invalid value: ["secrets","secrets"]: the same resource cannot be specified multiple times"#
            ]],
        );
        check(
            &named("[secrets, '*.']"),
            &expect![[
                r#"error while parsing file: resources[0].resources: Invalid value: ["secrets","*."]: using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked"#
            ]],
        );
        check(
            &named("[Secrets]"),
            &expect![[
                r#"error while parsing file: resources[0].resources[0]: Invalid value: "Secrets": resource name should not contain capital letters"#
            ]],
        );
        check(
            &named("['*']"),
            &expect![[
                r#"error while parsing file: resources[0].resources[0]: Invalid value: "*": use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"#
            ]],
        );
    }

    #[test]
    fn further_faults_are_told_in_upstreams_words() {
        let one = |resources: &str, providers: &str| {
            format!("[{{resources: {resources}, providers: {providers}}}]")
        };
        let named = |resources: &str| one(resources, "[{identity: {}}]");
        let with = |provider: &str| one("[secrets]", &format!("[{provider}]"));
        check(
            &named("[events.events.k8s.io]"),
            &expect![[
                r#"error while parsing file: resources[0].resources[0]: Invalid value: "events.events.k8s.io": '*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"#
            ]],
        );
        check(
            &named("['secrets.*']"),
            &expect![[
                r#"error while parsing file: resources[0].resources[0]: Invalid value: "secrets.*": encrypting the same resource across groups is not supported"#
            ]],
        );
        check(
            &with("{}"),
            &expect![
                "error while parsing file: resources[0].providers[0]: Invalid value: {\"AESCBC\":null,\"AESGCM\":null,\"Identity\":null,\"KMS\":null,\"Secretbox\":null}: provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
            ],
        );
        check(
            &with("{identity: {}, aescbc: {keys: []}}"),
            &expect![[
                r#"error while parsing file: resources[0].providers[0]: Invalid value: ["aescbc","identity"]: more than one provider specified in a single element, should split into different list elements"#
            ]],
        );
        check(
            &with("{aesgcm: {keys: []}}"),
            &expect![
                "error while parsing file: resources[0].providers[0].aesgcm.keys: Required value: at least one keys is required"
            ],
        );
        check(
            &with("{aesgcm: {keys: [{name: a, secret: '!'}, {secret: ''}]}}"),
            &expect![[
                r#"error while parsing file: [resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded, resources[0].providers[0].aesgcm.keys[1].name: Required value: name is a mandatory field for a key, resources[0].providers[0].aesgcm.keys[1].secret: Required value: secret is a mandatory field for a key]"#
            ]],
        );
        check(
            &with(&format!("{{secretbox: {{keys: [{{name: a, secret: '{KEY16}'}}]}}}}")),
            &expect![[
                r#"error while parsing file: resources[0].providers[0].secretbox.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 16, expected one of [32]"#
            ]],
        );
        check(&with(&format!("{{aescbc: {{keys: [{{name: a, secret: '{KEY16}'}}]}}}}")), &expect!["valid"]);
        check(
            &with("{aescbc: {keys: [{name: a, secret: 7}]}}"),
            &expect![
                r#"error while parsing file: error decoding encryption provider configuration file "c.yaml": invalid type, expected a string"#
            ],
        );
        check(
            &with("{aescbc: {kyes: []}}"),
            &expect![
                r#"error while parsing file: error decoding encryption provider configuration file "c.yaml": strict decoding error: unknown field "resources[0].providers[0].aescbc.kyes""#
            ],
        );
    }

    #[test]
    fn faults_of_kms_providers_are_told_in_upstreams_words() {
        let with = |kms: &str| format!("[{{resources: [secrets], providers: [{{kms: {{{kms}}}}}]}}]");
        check(&with("apiVersion: v2, name: a, endpoint: 'unix:///k', timeout: 1m30s"), &expect!["valid"]);
        check(
            &with("apiVersion: v3, name: a, endpoint: 'unix:///k'"),
            &expect![[
                r#"error while parsing file: resources[0].providers[0].kms.apiVersion: Invalid value: "v3": unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"#
            ]],
        );
        check(
            &with("apiVersion: v2, name: 'a:b', endpoint: 'tcp://k', timeout: 0s, cachesize: 5"),
            &expect![[
                r#"error while parsing file: [resources[0].providers[0].kms.name: Invalid value: "a:b": invalid KMS provider name a:b, must not contain ':', resources[0].providers[0].kms.timeout: Invalid value: "0s": timeout should be a positive value, resources[0].providers[0].kms.endpoint: Invalid value: "tcp://k": unsupported scheme "tcp" for KMS provider, only unix is supported, resources[0].providers[0].kms.cachesize: Invalid value: 5: cachesize is not supported in v2]"#
            ]],
        );
        check(
            &with("apiVersion: v2"),
            &expect![[
                r#"error while parsing file: [resources[0].providers[0].kms.name: Required value: name is a mandatory field for a provider, resources[0].providers[0].kms.endpoint: Invalid value: "": endpoint is a mandatory field for a kms]"#
            ]],
        );
        let kms = "{kms: {apiVersion: v2, name: a, endpoint: 'unix:///k'}}";
        check(
            &format!("[{{resources: [secrets], providers: [{kms}, {kms}]}}]"),
            &expect![[
                r#"error while parsing file: resources[0].providers[1].kms.name: Invalid value: "a": duplicate KMS provider name a, names must be unique"#
            ]],
        );
    }
}
