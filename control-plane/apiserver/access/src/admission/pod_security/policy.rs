//! A namespace's policy: a level and a version for each of enforce, audit and warn, read from its labels.

use std::fmt;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// How strict. The order is strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// `v1.25`, or `latest`, which is newer than all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyVersion {
    Minor(u32),
    Latest,
}

impl PolicyVersion {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be \"latest\" or \"v1.x\"";
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let minor = text.strip_prefix("v1.").ok_or(WRONG)?;
        let plain = minor.bytes().all(|b| b.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
        minor.parse().ok().filter(|_| plain).map(Self::Minor).ok_or(WRONG)
    }

    pub(super) fn reaches(self, minor: u32) -> bool {
        self >= Self::Minor(minor)
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LevelVersion {
    pub level: Level,
    pub version: PolicyVersion,
}

impl LevelVersion {
    pub const PRIVILEGED: Self = Self { level: Level::Privileged, version: PolicyVersion::Latest };

    /// Says the same of every pod.
    fn equals(self, other: Self) -> bool {
        self == other || (self.level == Level::Privileged && other.level == Level::Privileged)
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level.as_str(), self.version)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
}

impl Policy {
    pub const PRIVILEGED: Self = Self {
        enforce: LevelVersion::PRIVILEGED,
        audit: LevelVersion::PRIVILEGED,
        warn: LevelVersion::PRIVILEGED,
    };

    pub(super) fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|mode| mode.level == Level::Privileged)
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        self.enforce.equals(other.enforce) && self.audit.equals(other.audit) && self.warn.equals(other.warn)
    }

    /// A namespace's policy. What cannot be read is enforced as `restricted:latest`, and neither audited nor warned of.
    pub(super) fn of(namespace: &Value, defaults: &Self) -> (Self, FieldErrors) {
        let (mut policy, mut errors) = (*defaults, FieldErrors::new());
        let Some(labels) = namespace["metadata"]["labels"].as_object() else { return (policy, errors) };
        let find = |name: &str| {
            labels
                .iter()
                .find(|(key, _)| key.strip_prefix(PREFIX) == Some(name))
                .and_then(|(_, v)| v.as_str())
        };
        let mut fault = |name: &str, given: &str, why: &str| {
            let path = Path::new("metadata").child("labels").key(&format!("{PREFIX}{name}"));
            errors.push(FieldError::invalid(path, given, why));
        };
        let mut read = |mode: &mut LevelVersion, level_key: &str, version_key: &str, failed: Level| {
            let mut well = false;
            if let Some(given) = find(level_key) {
                let parsed = Level::parse(given);
                well = parsed.is_ok();
                mode.level = parsed.unwrap_or_else(|why| {
                    fault(level_key, given, why);
                    failed
                });
            }
            if let Some(given) = find(version_key) {
                mode.version = PolicyVersion::parse(given).unwrap_or_else(|why| {
                    fault(version_key, given, why);
                    PolicyVersion::Latest
                });
            }
            well
        };
        let enforced = read(&mut policy.enforce, "enforce", "enforce-version", Level::Restricted);
        read(&mut policy.audit, "audit", "audit-version", Level::Privileged);
        // One who enforces wants to hear of it: of a Deployment, whose pods alone would be refused.
        if enforced && find("warn").is_none() && policy.enforce.level > policy.warn.level {
            policy.warn = policy.enforce;
        }
        read(&mut policy.warn, "warn", "warn-version", Level::Privileged);
        (policy, errors)
    }
}

impl Policy {
    /// `enforce=baseline:latest, audit=…`: what the namespace's labels say, the privileged left out.
    pub(super) fn said_by(&self, namespace: &Value) -> String {
        let said = |mode: &str| {
            let label = |suffix: &str| {
                let key = format!("{PREFIX}{mode}{suffix}");
                namespace["metadata"]["labels"].get(key).is_some()
            };
            label("") || label("-version")
        };
        let modes = [("enforce", self.enforce), ("audit", self.audit), ("warn", self.warn)];
        let told: Vec<String> = modes
            .iter()
            .filter(|(name, mode)| mode.level != Level::Privileged && said(name))
            .map(|(name, mode)| format!("{name}={mode}"))
            .collect();
        told.join(", ")
    }
}
