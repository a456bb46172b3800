//! The configuration as its file has it. [`crate::validate`] says what is wrong with one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{decode, validate};

pub(crate) const API_VERSION: &str = "apiserver.config.k8s.io/v1";
pub(crate) const KIND: &str = "EncryptionConfiguration";

/// What is encrypted how; of several entries for a resource the first counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncryptionConfiguration {
    pub api_version: String,
    pub kind: String,
    #[serde(default)]
    pub resources: Vec<ResourceConfiguration>,
}

/// Some resources, and what reads and (the first) writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceConfiguration {
    /// `secrets`, `deployments.apps`, `*.` (the core group), `*.apps`, `*.*`.
    #[serde(default)]
    pub resources: Vec<String>,
    #[serde(default)]
    pub providers: Vec<ProviderConfiguration>,
}

/// Exactly one field is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfiguration {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aesgcm: Option<AesConfiguration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aescbc: Option<AesConfiguration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secretbox: Option<AesConfiguration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms: Option<KmsConfiguration>,
}

/// A plugin that holds the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KmsConfiguration {
    /// `v2`; upstream's default, `v1`, is not served any more.
    #[serde(default = "v1")]
    pub api_version: String,
    #[serde(default)]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cachesize: Option<i32>,
    /// `unix:///run/kms.sock`
    #[serde(default)]
    pub endpoint: String,
    /// Of each call; `3s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

fn v1() -> String {
    "v1".into()
}

impl KmsConfiguration {
    const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);

    /// `None` where it is not a duration, or not a positive one.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match &self.timeout {
            None => Some(Self::TIMEOUT_DEFAULT),
            Some(text) => decode::duration(text).filter(|timeout| !timeout.is_zero()),
        }
    }
}

/// Values as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {}

/// Keys of a provider: the first writes, all read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AesConfiguration {
    #[serde(default)]
    pub keys: Vec<Key>,
}

/// A key by name. Printing it for debugging withholds the secret.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    #[serde(default)]
    pub name: String,
    /// Base64 of the raw key.
    #[serde(default)]
    pub secret: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "error while parsing file: error while loading file: error opening encryption provider configuration file {path:?}"
    )]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "error while parsing file: error while loading file: encryption provider configuration file {path:?} is empty"
    )]
    Empty { path: PathBuf },
    #[error(
        "error while parsing file: error decoding encryption provider configuration file {path:?}: {why}"
    )]
    Decode { path: PathBuf, why: String },
    #[error("error while parsing file: {0}")]
    Invalid(String),
    #[error("error while building transformers: resource {resource:?} is masked by earlier rule {by:?}")]
    Masked { resource: String, by: String },
    #[error(
        "error while building transformers: KMSv1 is deprecated and will only receive security updates going forward. Use \
         KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
    )]
    KmsV1,
    #[error("write {path:?}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("make a key")]
    Random,
    #[error("watch {path:?}")]
    Watch {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl EncryptionConfiguration {
    pub fn new(resources: Vec<ResourceConfiguration>) -> Self {
        Self { api_version: API_VERSION.into(), kind: KIND.into(), resources }
    }

    /// A configuration from YAML or JSON, checked. Unknown fields are errors; `path` is where they are told to be.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ConfigError> {
        let configuration =
            decode::decode(bytes).map_err(|why| ConfigError::Decode { path: path.into(), why })?;
        validate::validate(&configuration)?;
        Ok(configuration)
    }

    /// A file: see [`parse`](Self::parse). An empty one is an error.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        if bytes.is_empty() {
            return Err(ConfigError::Empty { path: path.into() });
        }
        Self::parse(path, &bytes)
    }
}
