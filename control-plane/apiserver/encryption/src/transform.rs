//! The transformers of one list of providers: the first writes, all read.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::cipher::{Cipher, OpenError, Provider};
use crate::config::{AesConfiguration, KmsConfiguration, ProviderConfiguration};
use crate::kms::{Kms, Lookups};

/// What every sealed value begins with.
pub(crate) const SEALED: &[u8] = b"k8s:enc:";

/// What came out of the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) plain: Bytes,
    /// Another provider or key would write it now.
    pub(crate) stale: bool,
    /// Which provider opened it.
    pub(crate) provider: usize,
}

pub(crate) enum Transformer {
    Identity,
    Sealing { prefix: &'static str, family: &'static str, keys: Vec<NamedCipher> },
    Kms { prefix: Box<str>, kms: Arc<Kms> },
}

/// Gives the KMS provider of a configuration.
pub(crate) type KmsProviders<'a> = &'a mut dyn FnMut(&KmsConfiguration) -> Arc<Kms>;

pub(crate) struct NamedCipher {
    /// `k8s:enc:aesgcm:v1:key1:`
    prefix: Box<[u8]>,
    cipher: Cipher,
}

impl Transformer {
    /// `None` for what [`crate::validate`] refuses.
    fn new(provider: &ProviderConfiguration, kms: KmsProviders<'_>) -> Option<Self> {
        let sealing = |kind, prefix: &'static str, family, settings: &AesConfiguration| {
            let keys = settings.keys.iter().map(|key| {
                let prefix = [prefix, key.name.as_str(), ":"].concat().into_bytes().into_boxed_slice();
                Some(NamedCipher { prefix, cipher: Cipher::new(kind, &STANDARD.decode(&key.secret).ok()?)? })
            });
            Some(Self::Sealing { prefix, family, keys: keys.collect::<Option<Vec<_>>>()? })
        };
        if let Some(settings) = &provider.aesgcm {
            sealing(Provider::AesGcm, "k8s:enc:aesgcm:v1:", "AES", settings)
        } else if let Some(settings) = &provider.aescbc {
            sealing(Provider::AesCbc, "k8s:enc:aescbc:v1:", "AES", settings)
        } else if let Some(settings) = &provider.secretbox {
            sealing(Provider::Secretbox, "k8s:enc:secretbox:v1:", "Secretbox", settings)
        } else if let Some(settings) = &provider.kms {
            let kms = kms(settings);
            Some(Self::Kms { prefix: kms.prefix().into(), kms })
        } else {
            provider.identity.as_ref().map(|_| Self::Identity)
        }
    }

    /// As metrics name it.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Identity => "identity",
            Self::Sealing { prefix, .. } => prefix,
            Self::Kms { prefix, .. } => prefix,
        }
    }
}

/// All providers of a resource, in order. Never empty, but for [`plain`](Self::plain), which is as good as identity.
pub(crate) struct Transformers(Vec<Transformer>);

impl Transformers {
    pub(crate) fn new<'a>(
        providers: impl IntoIterator<Item = &'a ProviderConfiguration>,
        kms: KmsProviders<'_>,
    ) -> Option<Self> {
        let transformers = providers.into_iter().map(|provider| Transformer::new(provider, kms));
        Some(Self(transformers.collect::<Option<Vec<_>>>()?))
    }

    /// The plugin that values are sealed with; it must be [`prepare`](Kms::prepare)d before.
    pub(crate) fn writing_kms(&self) -> Option<&Arc<Kms>> {
        match self.0.first() {
            Some(Transformer::Kms { kms, .. }) => Some(kms),
            _ => None,
        }
    }

    pub(crate) fn kms(&self) -> impl Iterator<Item = &Arc<Kms>> {
        self.0.iter().filter_map(|transformer| match transformer {
            Transformer::Kms { kms, .. } => Some(kms),
            _ => None,
        })
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Transformer::label)
    }

    /// The value as it is stored; `place` is the store key.
    pub(crate) fn seal(&self, plain: Bytes, place: &[u8]) -> Result<Bytes, OpenError> {
        match self.0.first() {
            Some(Transformer::Sealing { keys, .. }) if !keys.is_empty() => {
                Ok(keys[0].cipher.seal(&keys[0].prefix, &plain, place).into())
            }
            Some(Transformer::Kms { prefix, kms }) => kms.seal(prefix.as_bytes(), &plain, place),
            _ => Ok(plain),
        }
    }

    /// The value that was stored. A provider that fails does not keep the next from trying: two of one kind have the
    /// same prefix while keys are rotated.
    pub(crate) fn open(
        &self,
        stored: &Bytes,
        place: &[u8],
        lookups: &mut Lookups,
    ) -> Result<Opened, OpenError> {
        let mut faults: Vec<OpenError> = Vec::new();
        for (provider, transformer) in self.0.iter().enumerate() {
            match transformer {
                Transformer::Identity => {
                    if !stored.starts_with(SEALED) {
                        return Ok(Opened { plain: stored.clone(), stale: provider != 0, provider });
                    }
                }
                Transformer::Sealing { prefix, family, keys } => {
                    if !stored.starts_with(prefix.as_bytes()) {
                        continue;
                    }
                    match open_with(keys, family, stored, place) {
                        Ok((plain, key)) => {
                            return Ok(Opened { plain, stale: provider != 0 || key != 0, provider });
                        }
                        Err(fault) => faults.push(fault),
                    }
                }
                Transformer::Kms { prefix, kms } => {
                    let Some(sealed) = stored.strip_prefix(prefix.as_bytes()) else { continue };
                    match kms.open(sealed, place, lookups) {
                        Ok((plain, stale)) => {
                            return Ok(Opened { plain, stale: stale || provider != 0, provider });
                        }
                        Err(fault) => faults.push(fault),
                    }
                }
            }
        }
        Err(reduce(faults).unwrap_or(OpenError::NoProvider))
    }
}

fn open_with(
    keys: &[NamedCipher],
    family: &'static str,
    stored: &[u8],
    place: &[u8],
) -> Result<(Bytes, usize), OpenError> {
    let mut faults = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let Some(sealed) = stored.strip_prefix(&*key.prefix) else { continue };
        match key.cipher.open(sealed, place) {
            Ok(plain) => return Ok((plain.into(), index)),
            Err(fault) => faults.push(fault),
        }
    }
    Err(reduce(faults).unwrap_or(OpenError::NoKey(family)))
}

/// One fault of several, told once each.
fn reduce(faults: Vec<OpenError>) -> Option<OpenError> {
    let mut distinct: Vec<OpenError> = Vec::new();
    for fault in faults {
        if !distinct.contains(&fault) {
            distinct.push(fault);
        }
    }
    if distinct.len() > 1 {
        return Some(OpenError::Several(distinct.iter().map(ToString::to_string).collect()));
    }
    distinct.pop()
}

/// Reading a resource that no rule is for.
pub(crate) fn open_plain(stored: &Bytes) -> Result<(), OpenError> {
    if stored.starts_with(SEALED) { Err(OpenError::NotPlain) } else { Ok(()) }
}
