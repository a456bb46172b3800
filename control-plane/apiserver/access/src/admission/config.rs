//! `AdmissionConfiguration`: what `--admission-control-config-file` says of single plugins. Plugins' configurations stand
//! in the file or in files that it names; all faults are told together.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::builder::ALL_PLUGINS;
use super::pod_security::PodSecurityConfig;
use super::resource_quota::{LimitedResource, limited_resources};
use crate::value::{items, text};

/// What is wrong with a configuration, gathered.
#[derive(Debug, Default)]
pub(crate) struct ConfigFaults {
    at: String,
    found: Vec<String>,
}

impl ConfigFaults {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// From here on faults are of this part.
    pub(crate) fn enter(&mut self, at: impl Into<String>) {
        self.at = at.into();
    }

    pub(crate) fn add(&mut self, fault: impl Into<String>) {
        let fault = fault.into();
        self.found.push(if self.at.is_empty() { fault } else { format!("{}: {fault}", self.at) });
    }

    /// Unknown fields are faults: a misspelt one would silently not hold.
    pub(crate) fn known(&mut self, value: &Value, path: &str, known: &[&str]) {
        let Some(fields) = value.as_object() else {
            if !value.is_null() {
                self.add(format!("{path}: must be an object"));
            }
            return;
        };
        for field in fields.keys().filter(|field| !known.contains(&field.as_str())) {
            let dot = if path.is_empty() { "" } else { "." };
            self.add(format!("unknown field \"{path}{dot}{field}\""));
        }
    }

    /// Any version of the kind will do: they differ in nothing.
    pub(crate) fn type_is(&mut self, value: &Value, group: &str, kind: &str) {
        let (given_group, _) = oarlock_api::gvk::split_api_version(text(value, &["apiVersion"]));
        if given_group != group || text(value, &["kind"]) != kind {
            let given = (text(value, &["apiVersion"]), text(value, &["kind"]));
            self.add(format!(
                "no kind {:?} is registered for version {:?}; want {kind} of {group}",
                given.1, given.0
            ));
        }
    }

    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }
}

/// What plugins are told. Plain data.
#[derive(Debug, Clone, Default)]
pub struct AdmissionConfig {
    pub pod_security: PodSecurityConfig,
    pub limited_resources: Vec<LimitedResource>,
    /// The configurations of plugins that are not of this crate (webhooks), or that read their own, by plugin.
    pub others: BTreeMap<String, Value>,
}

impl AdmissionConfig {
    /// Reads the file and the files that it names, whose paths are relative to `directory`.
    pub fn parse(
        file: &[u8],
        directory: &Path,
        read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Self, Vec<String>> {
        let mut faults = ConfigFaults::new();
        let mut config = Self::default();
        let value = match oarlock_api::codec::yaml::parse(file) {
            Ok(value) => value,
            Err(error) => return Err(vec![error.to_string()]),
        };
        faults.type_is(&value, "apiserver.config.k8s.io", "AdmissionConfiguration");
        faults.known(&value, "", &["apiVersion", "kind", "plugins"]);
        for plugin in items(&value, &["plugins"]) {
            let name = text(plugin, &["name"]);
            faults.enter(format!("plugin {name:?}"));
            faults.known(plugin, "", &["name", "path", "configuration"]);
            if !ALL_PLUGINS.contains(&name) {
                faults.add("no such admission plugin");
                continue;
            }
            let path = text(plugin, &["path"]);
            let given = if plugin["configuration"].is_null() && !path.is_empty() {
                let bytes = read(&directory.join(path)).map_err(|error| error.to_string());
                match bytes.and_then(|b| oarlock_api::codec::yaml::parse(&b).map_err(|e| e.to_string())) {
                    Ok(value) => value,
                    Err(error) => {
                        faults.add(format!("read {path:?}: {error}"));
                        continue;
                    }
                }
            } else {
                plugin["configuration"].clone()
            };
            if !given.is_null() {
                config.take(name, given, &mut faults);
            }
        }
        faults.into_result(config)
    }

    fn take(&mut self, plugin: &str, given: Value, faults: &mut ConfigFaults) {
        match plugin {
            "PodSecurity" => self.pod_security = PodSecurityConfig::parse(&given, faults),
            "ResourceQuota" => self.limited_resources = limited_resources(&given, faults),
            _ => {
                check_other(plugin, &given, faults);
                self.others.insert(plugin.to_string(), given);
            }
        }
    }
}

/// The configurations that plugins read themselves: a misspelt one must not silently be none.
fn check_other(plugin: &str, given: &Value, faults: &mut ConfigFaults) {
    match plugin {
        "EventRateLimit" => check_event_limits(given, faults),
        "PodTolerationRestriction" => {
            faults.type_is(given, "podtolerationrestriction.admission.k8s.io", "Configuration");
            faults.known(given, "", &["apiVersion", "kind", "default", "whitelist"]);
        }
        "PodNodeSelector" => {
            let map = given.get("podNodeSelectorPluginConfig").unwrap_or(given);
            match map.as_object() {
                Some(map) if map.values().all(Value::is_string) => {}
                _ => faults.add("must map namespaces to node selectors"),
            }
        }
        // Read by their makers.
        "ImagePolicyWebhook" | "MutatingAdmissionWebhook" | "ValidatingAdmissionWebhook" => {}
        "MutatingAdmissionPolicy" | "ValidatingAdmissionPolicy" => {}
        _ => faults.add("takes no configuration"),
    }
}

fn check_event_limits(given: &Value, faults: &mut ConfigFaults) {
    const TYPES: [&str; 4] = ["Server", "Namespace", "User", "SourceAndObject"];
    faults.type_is(given, "eventratelimit.admission.k8s.io", "Configuration");
    faults.known(given, "", &["apiVersion", "kind", "limits"]);
    let limits = items(given, &["limits"]);
    if limits.is_empty() {
        faults.add("limits: Invalid value: [] must not be empty");
    }
    for (i, limit) in limits.iter().enumerate() {
        let path = format!("limits[{i}]");
        faults.known(limit, &path, &["type", "qps", "burst", "cacheSize"]);
        let kind = text(limit, &["type"]);
        if !TYPES.contains(&kind) {
            faults.add(format!("{path}.type: Unsupported value: {kind:?}"));
        }
        for field in ["qps", "burst"] {
            if limit[field].as_u64().is_none_or(|number| number == 0) {
                faults.add(format!("{path}.{field}: Invalid value: {}: must be positive", limit[field]));
            }
        }
    }
}
