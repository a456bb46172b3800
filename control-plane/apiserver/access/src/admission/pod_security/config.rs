//! `PodSecurityConfiguration`: defaults and exemptions.

use serde_json::Value;

use super::policy::{Level, LevelVersion, Policy, PolicyVersion};
use crate::admission::config::ConfigFaults;
use crate::value::{text, texts};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSecurityConfig {
    pub defaults: Policy,
    pub exempt_users: Vec<String>,
    pub exempt_namespaces: Vec<String>,
    pub exempt_runtime_classes: Vec<String>,
}

impl Default for PodSecurityConfig {
    fn default() -> Self {
        Self {
            defaults: Policy::PRIVILEGED,
            exempt_users: Vec::new(),
            exempt_namespaces: Vec::new(),
            exempt_runtime_classes: Vec::new(),
        }
    }
}

impl PodSecurityConfig {
    /// Reads the configuration of the plugin; every fault is told.
    pub(crate) fn parse(value: &Value, faults: &mut ConfigFaults) -> Self {
        faults.type_is(value, "pod-security.admission.config.k8s.io", "PodSecurityConfiguration");
        faults.known(value, "", &["apiVersion", "kind", "defaults", "exemptions"]);
        let defaults = &value["defaults"];
        faults.known(
            defaults,
            "defaults",
            &["enforce", "enforce-version", "audit", "audit-version", "warn", "warn-version"],
        );
        let exemptions = &value["exemptions"];
        faults.known(exemptions, "exemptions", &["usernames", "namespaces", "runtimeClasses"]);
        let mut mode = |name: &str| {
            let version = format!("{name}-version");
            let mut read = LevelVersion::PRIVILEGED;
            match text(defaults, &[name]) {
                "" => {}
                given => match Level::parse(given) {
                    Ok(level) => read.level = level,
                    Err(why) => faults.add(format!("defaults.{name}: Invalid value: {given:?}: {why}")),
                },
            }
            match text(defaults, &[&version]) {
                "" => {}
                given => match PolicyVersion::parse(given) {
                    Ok(version) => read.version = version,
                    Err(why) => faults.add(format!("defaults.{version}: Invalid value: {given:?}: {why}")),
                },
            }
            read
        };
        Self {
            defaults: Policy { enforce: mode("enforce"), audit: mode("audit"), warn: mode("warn") },
            exempt_users: texts(exemptions, &["usernames"]),
            exempt_namespaces: texts(exemptions, &["namespaces"]),
            exempt_runtime_classes: texts(exemptions, &["runtimeClasses"]),
        }
    }
}
