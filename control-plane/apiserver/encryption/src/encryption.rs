//! A configuration compiled for a layout, replaced whole when its file changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use prometheus::IntCounter;

use crate::cipher::OpenError;
use crate::config::{ConfigError, EncryptionConfiguration, KmsConfiguration};
use crate::kms::{Grpc, Kms, Lookups, Plugin};
use crate::layout::{Layout, Rule, segments};
use crate::metrics::Metrics;
use crate::transform::{KmsProviders, Opened, Transformers, open_plain};

/// What is encrypted, and how. Shared by the store and whoever reloads the configuration.
pub struct Encryption {
    layout: Layout,
    compiled: ArcSwap<Compiled>,
    /// The configuration before the present one.
    before: ArcSwapOption<Compiled>,
    /// Grows with every configuration that is taken.
    generation: AtomicU64,
    metrics: Metrics,
    plugins: Plugins,
}

/// Makes the connection to a KMS plugin.
type Plugins = Box<dyn Fn(&KmsConfiguration) -> Arc<dyn Plugin> + Send + Sync>;

/// The rules, found by the place of a key.
#[derive(Default)]
pub(crate) struct Compiled {
    by_rule: HashMap<Rule, Arc<ForResource>>,
    /// Built-in resources that a rule is for, by their place below `/registry/`.
    by_place: HashMap<Box<[u8]>, Arc<ForResource>>,
    /// Some place has two segments.
    two_segments: bool,
    /// Custom resources are looked up by rule: theirs are not known beforehand.
    any_group: bool,
    /// Every KMS provider once, in the order of the configuration.
    kms: Vec<Arc<Kms>>,
}

/// The transformers of a resource, with its counters.
pub(crate) struct ForResource {
    transformers: Arc<Transformers>,
    written: IntCounter,
    /// By provider.
    read: Vec<IntCounter>,
    failed: IntCounter,
}

impl Encryption {
    /// With KMS providers it must be called in a runtime. Nothing is dialled before a plugin is needed.
    pub fn new(configuration: &EncryptionConfiguration, layout: Layout) -> Result<Arc<Self>, ConfigError> {
        Self::with(configuration, layout, Box::new(|kms| Arc::new(Grpc::connect(&kms.endpoint))))
    }

    pub(crate) fn with(
        configuration: &EncryptionConfiguration,
        layout: Layout,
        plugins: Plugins,
    ) -> Result<Arc<Self>, ConfigError> {
        let encryption = Self {
            layout,
            compiled: ArcSwap::default(),
            before: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            metrics: Metrics::new(),
            plugins,
        };
        encryption.replace(configuration)?;
        Ok(Arc::new(encryption))
    }

    /// Takes another configuration; reads and writes under way end with the old one.
    pub fn replace(&self, configuration: &EncryptionConfiguration) -> Result<(), ConfigError> {
        let before = self.compiled.load_full();
        // Providers that stay keep what they know.
        let mut providers = before.kms.clone();
        let mut kms = |wanted: &KmsConfiguration| {
            if let Some(known) = providers.iter().find(|known| known.configuration == *wanted) {
                return known.clone();
            }
            let made = Kms::new(wanted, (self.plugins)(wanted));
            providers.push(made.clone());
            made
        };
        let compiled = Compiled::new(configuration, &self.layout, &self.metrics, &mut kms)?;
        self.compiled.store(Arc::new(compiled));
        self.before.store(Some(before));
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Grows with every configuration that is taken: what was opened before may be closed to the new one.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether values of this key's resource are or may have been sealed.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.current().of(key).is_some()
            || self.before.load().as_ref().is_some_and(|before| before.of(key).is_some())
    }

    /// Whether there are KMS plugins in the present configuration.
    pub fn has_kms(&self) -> bool {
        !self.current().kms.is_empty()
    }

    /// Whether all KMS plugins answer as they should, in upstream's words; for `/healthz/kms-providers`.
    pub async fn kms_providers(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        for (index, kms) in self.compiled.load_full().kms.iter().enumerate() {
            if let Err(fault) = kms.health().await {
                faults.push(format!("kms-provider-{index}: {fault}"));
            }
        }
        match faults.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The plain value of what is stored under `key`, and whether it should be written again.
    pub async fn open(&self, key: &[u8], stored: &Bytes) -> Result<(Bytes, bool), OpenError> {
        let mut lookups = Lookups::default();
        let mut opened = self.current().open(key, stored, &mut lookups);
        if lookups.are_missing() {
            lookups.resolve().await;
            opened = self.current().open(key, stored, &mut lookups);
        }
        opened.map(|opened| (opened.plain, opened.stale))
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Compiled>> {
        self.compiled.load()
    }

    /// Makes the plugin ready, if any, that the value of `key` would be sealed with.
    pub(crate) async fn prepare(&self, key: &[u8]) {
        let kms = self.current().of(key).and_then(|found| found.transformers.writing_kms().cloned());
        if let Some(kms) = kms {
            kms.prepare().await;
        }
    }
}

impl Compiled {
    fn new(
        configuration: &EncryptionConfiguration,
        layout: &Layout,
        metrics: &Metrics,
        kms: KmsProviders<'_>,
    ) -> Result<Self, ConfigError> {
        crate::validate::validate(configuration)?;
        let mut providers: HashMap<Rule, Vec<_>> = HashMap::new();
        for conf in &configuration.resources {
            if conf.providers.iter().filter_map(|p| p.kms.as_ref()).any(|kms| kms.api_version == "v1") {
                return Err(ConfigError::KmsV1);
            }
            for name in &conf.resources {
                let rule = Rule::parse(name);
                for wider in [Rule::whole_group(&rule.group), Rule::everything()] {
                    if providers.contains_key(&wider) {
                        return Err(ConfigError::Masked { resource: rule.text(), by: wider.text() });
                    }
                }
                providers.entry(rule).or_default().extend(conf.providers.iter());
            }
        }
        let mut compiled = Self::default();
        for (rule, providers) in providers {
            let transformers = Transformers::new(providers, kms)
                .ok_or_else(|| ConfigError::Invalid("a provider cannot be used".into()))?;
            compiled.any_group |= rule.group.contains('.') || rule.group == "*";
            let of = Arc::new(ForResource::new(Arc::new(transformers), &rule.text(), metrics));
            compiled.by_rule.insert(rule, of);
        }
        compiled.kms = compiled.kms_of(configuration);
        for (place, resource) in layout.places() {
            if let Some(found) = compiled.find(&resource.group, &resource.resource) {
                let name = Rule { group: (*resource.group).into(), resource: (*resource.resource).into() };
                let of = Arc::new(ForResource::new(found.transformers.clone(), &name.text(), metrics));
                compiled.two_segments |= place.contains(&b'/');
                compiled.by_place.insert(place.into(), of);
            }
        }
        Ok(compiled)
    }

    /// The most exact rule for a resource.
    fn find(&self, group: &str, resource: &str) -> Option<&Arc<ForResource>> {
        self.by_rule
            .get(&Rule { group: group.into(), resource: resource.into() })
            .or_else(|| self.by_rule.get(&Rule::whole_group(group)))
            .or_else(|| self.by_rule.get(&Rule::everything()))
    }

    /// What reads and writes the value of a key; `None` is plain.
    pub(crate) fn of(&self, key: &[u8]) -> Option<&ForResource> {
        let (first, both) = segments(key)?;
        if let Some(found) = self.by_place.get(first) {
            return Some(found);
        }
        if self.two_segments
            && let Some(found) = both.and_then(|both| self.by_place.get(both))
        {
            return Some(found);
        }
        if !self.any_group || !first.contains(&b'.') {
            return None;
        }
        let both = std::str::from_utf8(both?).ok()?;
        let (group, resource) = both.split_once('/')?;
        self.find(group, resource).map(|found| &**found)
    }

    fn kms_of(&self, configuration: &EncryptionConfiguration) -> Vec<Arc<Kms>> {
        let providers = configuration.resources.iter().flat_map(|conf| &conf.providers);
        let mut all: Vec<Arc<Kms>> = Vec::new();
        for wanted in providers.filter_map(|provider| provider.kms.as_ref()) {
            let mut made = self.by_rule.values().flat_map(|found| found.transformers.kms());
            let found = made.find(|kms| kms.configuration == *wanted);
            all.extend(found.filter(|kms| !all.iter().any(|known| Arc::ptr_eq(known, kms))).cloned());
        }
        all
    }

    pub(crate) fn seal(&self, key: &[u8], plain: Bytes) -> Result<Bytes, OpenError> {
        match self.of(key) {
            Some(found) => {
                let sealed = found.transformers.seal(plain, key)?;
                found.written.inc();
                Ok(sealed)
            }
            None => Ok(plain),
        }
    }

    pub(crate) fn open(
        &self,
        key: &[u8],
        stored: &Bytes,
        lookups: &mut Lookups,
    ) -> Result<Opened, OpenError> {
        let Some(found) = self.of(key) else {
            open_plain(stored)?;
            return Ok(Opened { plain: stored.clone(), stale: false, provider: 0 });
        };
        let opened = found.transformers.open(stored, key, lookups);
        match &opened {
            Ok(opened) => found.read[opened.provider].inc(),
            // It is asked again with what was missing.
            Err(_) if lookups.are_missing() => {}
            Err(_) => found.failed.inc(),
        }
        opened
    }
}

impl ForResource {
    fn new(transformers: Arc<Transformers>, resource: &str, metrics: &Metrics) -> Self {
        let read =
            transformers.labels().map(|label| metrics.operations(resource, "from_storage", label, "OK"));
        let read = read.collect();
        let write_label = transformers.labels().next().unwrap_or("identity");
        Self {
            written: metrics.operations(resource, "to_storage", write_label, "OK"),
            failed: metrics.operations(resource, "from_storage", "unknown", "Unknown"),
            read,
            transformers,
        }
    }
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let compiled = self.current();
        let writer = |of: &ForResource| of.transformers.labels().next().unwrap_or("identity").to_string();
        let rules: Vec<_> = compiled.by_rule.iter().map(|(rule, of)| (rule.text(), writer(of))).collect();
        f.debug_struct("Encryption").field("rules", &rules).finish_non_exhaustive()
    }
}
