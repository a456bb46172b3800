//! KMS v2: values are sealed with keys that come from a seed, and the seed is sealed by a plugin.
//!
//! One seed is used for as long as the plugin's key stays the same. The plugin is asked for that at most once a minute,
//! and only when something is written. Seeds that were opened are kept, so reads ask it once for each.

mod plugin;
mod wire;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::time::Instant;

use crate::cipher::{Cipher, OpenError, Provider};
use crate::config::KmsConfiguration;
pub(crate) use plugin::{Grpc, Plugin};
use wire::{EncryptedObject, SourceType};

/// How long what the plugin said of its key is believed without asking again.
const FRESH: Duration = Duration::from_secs(60);
/// How long it is believed that the plugin is well, and that it is not.
const WELL: Duration = Duration::from_secs(20);
const UNWELL: Duration = Duration::from_secs(3);
/// How long it is written with the last seed while the plugin does not answer.
const WRITABLE: Duration = Duration::from_secs(3 * 60);
/// Most opened seeds that are kept; there is one for each start of a server and each key of the plugin.
const SEEDS_MAX: usize = 4096;
/// Bytes of a seed, of what a key is derived from, and of the key.
const SIZE: usize = 32;
const KEY_ID_MAX: usize = 1 << 10;
const SOURCE_MAX: usize = 1 << 10;
const ANNOTATIONS_MAX: usize = 32 << 10;

/// An opened source of keys.
pub(crate) enum Source {
    /// Each value has a key of its own, derived from its first bytes.
    Seed(Box<Prk>),
    /// Written by upstream's first versions: one key for all.
    Key(Cipher),
}

/// What a value says of its source: its digest tells it from others.
#[derive(Clone)]
pub(crate) struct Wanted {
    kms: Arc<Kms>,
    digest: [u8; 32],
    object: Arc<EncryptedObject>,
}

/// Sources that opening some values asked for.
#[derive(Default)]
pub(crate) struct Lookups {
    missing: Vec<Wanted>,
    found: HashMap<[u8; 32], Result<Arc<Source>, String>>,
}

impl Lookups {
    pub(crate) fn are_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Asks the plugins for what is missing. After it, opening the same values asks for nothing.
    pub(crate) async fn resolve(&mut self) {
        for wanted in std::mem::take(&mut self.missing) {
            if let Entry::Vacant(unknown) = self.found.entry(wanted.digest) {
                unknown.insert(wanted.kms.fetch(&wanted).await);
            }
        }
    }
}

/// A plugin and what is known through it.
pub(crate) struct Kms {
    pub(crate) configuration: KmsConfiguration,
    plugin: Arc<dyn Plugin>,
    timeout: Duration,
    writing: ArcSwapOption<Writing>,
    /// One refreshes, the others wait for it.
    refreshing: tokio::sync::Mutex<()>,
    /// When its health was last asked for, and what was found.
    health: Mutex<Option<(Instant, Result<(), String>)>>,
    sources: Mutex<HashMap<[u8; 32], Arc<Source>>>,
}

/// What new values are sealed with.
struct Writing {
    source: Arc<Source>,
    /// Without data.
    object: EncryptedObject,
    checked: Instant,
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        SIZE
    }
}

impl Kms {
    pub(crate) fn new(configuration: &KmsConfiguration, plugin: Arc<dyn Plugin>) -> Arc<Self> {
        Arc::new(Self {
            configuration: configuration.clone(),
            plugin,
            timeout: configuration.timeout().expect("the timeout was validated"),
            writing: ArcSwapOption::empty(),
            refreshing: tokio::sync::Mutex::new(()),
            health: Mutex::new(None),
            sources: Mutex::new(HashMap::new()),
        })
    }

    /// `k8s:enc:kms:v2:<name>:`
    pub(crate) fn prefix(&self) -> String {
        format!("k8s:enc:kms:v2:{}:", self.configuration.name)
    }

    /// Sees to it that [`seal`](Self::seal) has a seed of the plugin's present key.
    pub(crate) async fn prepare(&self) {
        if self.is_fresh() {
            return;
        }
        let _one_at_a_time = self.refreshing.lock().await;
        if self.is_fresh() {
            return;
        }
        if let Err(error) = self.refresh().await {
            // The last seed serves on for a while; when it does not, the write says so.
            tracing::warn!(provider = %self.configuration.name, %error, "the KMS plugin is not well");
        }
    }

    fn is_fresh(&self) -> bool {
        self.writing.load().as_ref().is_some_and(|writing| writing.checked.elapsed() < FRESH)
    }

    /// Whether the plugin is well, or was a short while ago.
    pub(crate) async fn health(&self) -> Result<(), String> {
        let asked = Instant::now();
        let fresh = |(at, said): &&(Instant, Result<(), String>)| {
            let good_for = if said.is_ok() { WELL } else { UNWELL };
            asked.duration_since(*at) < good_for
        };
        if let Some((_, said)) = self.health.lock().as_ref().filter(fresh) {
            return said.clone();
        }
        let said = self.status().await.map(drop);
        *self.health.lock() = Some((asked, said.clone()));
        said
    }

    /// Whether the plugin answers as it should, in upstream's words.
    pub(crate) async fn status(&self) -> Result<String, String> {
        let status = self.within(self.plugin.status()).await.map_err(|error| {
            let name = &self.configuration.name;
            format!("failed to perform status section of the healthz check for KMS Provider {name}, error: {error}")
        })?;
        let mut faults = Vec::new();
        if status.healthz != "ok" {
            faults.push(format!("got unexpected healthz status: {}", status.healthz));
        }
        if !matches!(status.version.as_str(), "v2" | "v2beta1") {
            faults.push(format!("expected KMSv2 API version v2, got {}", status.version));
        }
        if let Err(fault) = check_key_id(&status.key_id) {
            faults.push(format!("expected KMSv2 KeyID to be set, got {fault}"));
        }
        match faults.len() {
            0 => Ok(status.key_id),
            1 => Err(format!(
                "kmsv2 Provider {} is not healthy, error: {}",
                self.configuration.name, faults[0]
            )),
            _ => Err(format!(
                "kmsv2 Provider {} is not healthy, error: [{}]",
                self.configuration.name,
                faults.join(", ")
            )),
        }
    }

    async fn refresh(&self) -> Result<(), String> {
        let key_id = self.status().await?;
        let checked = Instant::now();
        if let Some(now) = self.writing.load_full()
            && now.object.key_id == key_id
        {
            let (source, object) = (now.source.clone(), now.object.clone());
            self.writing.store(Some(Arc::new(Writing { source, object, checked })));
            return Ok(());
        }
        let mut seed = [0; SIZE];
        SystemRandom::new().fill(&mut seed).map_err(|_| "failed to generate DEK".to_string())?;
        let uid = uuid::Uuid::new_v4().to_string();
        let sealed = self.within(self.plugin.encrypt(&uid, &seed)).await;
        let sealed = sealed.map_err(|error| format!("failed to encrypt DEK, error: {error}"))?;
        let object = EncryptedObject {
            encrypted_data: Vec::new(),
            key_id: sealed.key_id,
            encrypted_dek_source: sealed.ciphertext,
            annotations: sealed.annotations,
            encrypted_dek_source_type: SourceType::Seed as i32,
        };
        check_source(&object)?;
        let source = Arc::new(Source::Seed(Box::new(Prk::new_less_safe(HKDF_SHA256, &seed))));
        self.keep(digest(&object), source.clone());
        self.writing.store(Some(Arc::new(Writing { source, object, checked })));
        Ok(())
    }

    /// The value as it is stored, prefix included.
    pub(crate) fn seal(&self, prefix: &[u8], plain: &[u8], place: &[u8]) -> Result<Bytes, OpenError> {
        let writing = self.writing.load_full();
        let Some(writing) = writing.filter(|writing| writing.checked.elapsed() < WRITABLE) else {
            let name = &self.configuration.name;
            return Err(OpenError::Kms(format!("got unexpected nil transformer of KMSv2 provider {name}")));
        };
        let mut object = writing.object.clone();
        object.encrypted_data = match &*writing.source {
            Source::Seed(seed) => {
                let mut info = [0; SIZE];
                SystemRandom::new().fill(&mut info).expect("the kernel's random source does not fail");
                derive(seed, &info)?.seal(&info, plain, place)
            }
            Source::Key(cipher) => cipher.seal(&[], plain, place),
        };
        let mut out = Vec::with_capacity(prefix.len() + object.encoded_len());
        out.extend_from_slice(prefix);
        object.encode(&mut out).expect("a vector grows");
        Ok(out.into())
    }

    /// The plain value, and whether it would be written otherwise now. A source that is not known yet is put into
    /// `lookups`.
    pub(crate) fn open(
        self: &Arc<Self>,
        sealed: &[u8],
        place: &[u8],
        lookups: &mut Lookups,
    ) -> Result<(Bytes, bool), OpenError> {
        let mut object = EncryptedObject::decode(sealed).map_err(|e| OpenError::Kms(e.to_string()))?;
        let data = std::mem::take(&mut object.encrypted_data);
        if data.is_empty() {
            return Err(OpenError::Kms("encrypted data is empty".into()));
        }
        check_source(&object).map_err(OpenError::Kms)?;
        let digest = digest(&object);
        let known = self.sources.lock().get(&digest).cloned().map(Ok);
        let source = match known.or_else(|| lookups.found.get(&digest).cloned()) {
            Some(Ok(source)) => source,
            Some(Err(error)) => return Err(OpenError::Kms(format!("failed to decrypt DEK, error: {error}"))),
            None => {
                lookups.missing.push(Wanted { kms: self.clone(), digest, object: Arc::new(object) });
                return Err(OpenError::Kms("the DEK is not known yet".into()));
            }
        };
        let plain = match &*source {
            Source::Seed(seed) => {
                let (info, rest) = data.split_at_checked(SIZE).ok_or(OpenError::TooShort)?;
                derive(seed, info)?.open(rest, place)?
            }
            Source::Key(cipher) => cipher.open(&data, place)?,
        };
        let stale = self.writing.load().as_ref().is_some_and(|writing| {
            (&writing.object.key_id, writing.object.encrypted_dek_source_type)
                != (&object.key_id, object.encrypted_dek_source_type)
        });
        Ok((plain.into(), stale))
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Arc<Source>, String> {
        let uid = uuid::Uuid::new_v4().to_string();
        let key = self.within(self.plugin.decrypt(&uid, &wanted.object)).await?;
        let source = if wanted.object.encrypted_dek_source_type == SourceType::Seed as i32 {
            if key.len() < SIZE {
                return Err("invalid seed length".into());
            }
            Source::Seed(Box::new(Prk::new_less_safe(HKDF_SHA256, &key)))
        } else {
            Source::Key(Cipher::new(Provider::AesGcm, &key).ok_or("crypto/aes: invalid key size")?)
        };
        let source = Arc::new(source);
        self.keep(wanted.digest, source.clone());
        Ok(source)
    }

    fn keep(&self, digest: [u8; 32], source: Arc<Source>) {
        let mut sources = self.sources.lock();
        if sources.len() >= SEEDS_MAX {
            // So many are not seen twice soon; what is needed again is asked for again.
            sources.clear();
        }
        sources.insert(digest, source);
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        tokio::time::timeout(self.timeout, call).await.unwrap_or_else(|_| {
            Err("rpc error: code = DeadlineExceeded desc = context deadline exceeded".into())
        })
    }
}

/// The cipher of one value.
fn derive(seed: &Prk, info: &[u8]) -> Result<Cipher, OpenError> {
    let mut key = [0; SIZE];
    let derived = seed.expand(&[info], Length).and_then(|okm| okm.fill(&mut key));
    derived.ok().and_then(|()| Cipher::new(Provider::AesGcm, &key)).ok_or(OpenError::Forged)
}

fn digest(object: &EncryptedObject) -> [u8; 32] {
    // Annotations are in a sorted map, and there is no data: equal objects have equal bytes.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &object.encode_to_vec());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn check_key_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("keyID is empty".into()),
        1..=KEY_ID_MAX => Ok(()),
        len => Err(format!("keyID is {len} bytes, which exceeds the max size of {KEY_ID_MAX}")),
    }
}

fn check_source(object: &EncryptedObject) -> Result<(), String> {
    let kind = object.encrypted_dek_source_type;
    if kind != SourceType::Key as i32 && kind != SourceType::Seed as i32 {
        return Err(format!("unknown encryptedDEKSourceType: {kind}"));
    }
    match object.encrypted_dek_source.len() {
        0 => return Err("failed to validate encrypted DEK source: encrypted DEK source is empty".into()),
        1..=SOURCE_MAX => {}
        len => {
            return Err(format!(
                "failed to validate encrypted DEK source: encrypted DEK source is {len} bytes, which exceeds the max size of \
                 {SOURCE_MAX}"
            ));
        }
    }
    check_key_id(&object.key_id).map_err(|fault| format!("failed to validate key id: {fault}"))?;
    let size: usize = object.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        return Err(format!(
            "failed to validate annotations: total size of annotations is {size}, which exceeds the max size of {ANNOTATIONS_MAX}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod upstream_tests;
