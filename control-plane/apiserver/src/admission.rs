//! The admission chain put together: upstream's plugins in upstream's order, the configured ones among them.

use std::path::Path;
use std::sync::Arc;

use oarlock_apiserver_access::admission::{
    AdmissionChain, AdmissionConfig, AdmissionParts, PluginChoice, QuotaUpdater,
};
use oarlock_apiserver_access::authorization::Rbac;
use oarlock_apiserver_access::{AccessMetrics, AdmissionPlugin, Authorizer, Objects, Surface};
use oarlock_apiserver_admission::{
    MutatingAdmissionPolicy, MutatingAdmissionWebhook, PolicyParamAccess, ValidatingAdmissionPolicy,
    ValidatingAdmissionWebhook, World,
};
use oarlock_apiserver_webhook::Clients;
use oarlock_base::Features;
use serde_json::Value;

use crate::config::{Admission, Error};

/// What the plugins stand on.
pub(crate) struct Ground {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) surface: Arc<dyn Surface>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) rbac: Arc<Rbac>,
    pub(crate) quotas: Arc<dyn QuotaUpdater>,
    pub(crate) clients: Clients,
    pub(crate) metrics: AccessMetrics,
}

impl Ground {
    pub(crate) fn world(&self) -> World {
        World {
            objects: self.objects.clone(),
            surface: self.surface.clone(),
            authorizer: self.authorizer.clone(),
        }
    }

    /// The chain as it is configured; all faults of the configuration come together.
    pub(crate) fn chain(self, configured: &Admission, features: &Features) -> Result<AdmissionChain, Error> {
        let choice = PluginChoice::new(&configured.enable, &configured.disable);
        let config = read(configured.config_file.as_deref());
        let (choice, config) = match (choice, config) {
            (Ok(choice), Ok(config)) => (choice, config),
            (choice, config) => {
                let faults = choice.err().into_iter().flatten().chain(config.err().into_iter().flatten());
                return Err(Error::Admission(faults.collect::<Vec<_>>().join("; ")));
            }
        };
        let (world, clients) = (self.world(), self.clients);
        let (mutating, validating) = webhooks(&world, &clients, &config)?;
        let others: Vec<Arc<dyn AdmissionPlugin>> = vec![
            Arc::new(MutatingAdmissionPolicy::new(world.clone())),
            Arc::new(mutating),
            Arc::new(ValidatingAdmissionPolicy::new(world.clone())),
            Arc::new(validating),
        ];
        let metrics = self.metrics.clone();
        let parts = AdmissionParts {
            objects: self.objects,
            rbac: self.rbac,
            authorizer: self.authorizer,
            surface: self.surface,
            quotas: self.quotas,
            metrics: self.metrics,
            config,
            not_ready_toleration_seconds: configured.not_ready_toleration_seconds,
            unreachable_toleration_seconds: configured.unreachable_toleration_seconds,
            others,
        };
        let mut plugins = parts.build(&choice);
        plugins.retain(|plugin| gate_of(plugin.name()).is_none_or(|gate| features.is_on(gate)));
        // Upstream has this in its storage layer: nobody can turn it off.
        plugins.push(Arc::new(PolicyParamAccess::new(world)));
        Ok(AdmissionChain::new(plugins).timed(metrics))
    }
}

/// The feature without which a plugin does nothing.
fn gate_of(plugin: &str) -> Option<&'static str> {
    (plugin == "PodTopologyLabels").then_some("PodTopologyLabelsAdmission")
}

/// The plugins that call webhooks, with the credentials that their configuration names.
fn webhooks(
    world: &World,
    clients: &Clients,
    config: &AdmissionConfig,
) -> Result<(MutatingAdmissionWebhook, ValidatingAdmissionWebhook), Error> {
    let of = |plugin: &str| config.others.get(plugin).unwrap_or(&Value::Null);
    let mutating = MutatingAdmissionWebhook::new(world.clone(), clients.clone())
        .with_configuration(of("MutatingAdmissionWebhook"));
    let validating = ValidatingAdmissionWebhook::new(world.clone(), clients.clone())
        .with_configuration(of("ValidatingAdmissionWebhook"));
    match (mutating, validating) {
        (Ok(mutating), Ok(validating)) => Ok((mutating, validating)),
        (mutating, validating) => {
            let faults: Vec<String> = mutating.err().into_iter().chain(validating.err()).collect();
            Err(Error::Admission(faults.join("; ")))
        }
    }
}

fn read(file: Option<&Path>) -> Result<AdmissionConfig, Vec<String>> {
    let Some(path) = file else { return Ok(AdmissionConfig::default()) };
    let text = std::fs::read(path).map_err(|error| vec![format!("read {}: {error}", path.display())])?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    AdmissionConfig::parse(&text, folder, &|path| std::fs::read(path))
}
