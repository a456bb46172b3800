//! The plugins of a server: upstream's order, which of them run, and what each is made from.

use std::sync::Arc;

use super::config::AdmissionConfig;
use super::*;
use crate::metrics::AccessMetrics;
use crate::types::Surface;

/// Every plugin that can be named, in the order in which they run. (`AllOrderedPlugins`)
pub const ALL_PLUGINS: [&str; 39] = [
    "AlwaysAdmit",
    "NamespaceAutoProvision",
    "NamespaceLifecycle",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "AlwaysPullImages",
    "ImagePolicyWebhook",
    "PodSecurity",
    "PodNodeSelector",
    "Priority",
    "DefaultTolerationSeconds",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DenyServiceExternalIPs",
    "PodTopologyLabels",
    "NodeDeclaredFeatureValidator",
    "JobValidation",
    "PodResizeValidator",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
    "AlwaysDeny",
];

/// Plugins that run only where they are named.
const OFF: [&str; 13] = [
    "AlwaysAdmit",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "AlwaysPullImages",
    "ImagePolicyWebhook",
    "PodNodeSelector",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "OwnerReferencesPermissionEnforcement",
    "DenyServiceExternalIPs",
    "AlwaysDeny",
];

/// Plugins that run only where their maker hands them over (`AdmissionParts::others`): naming one that is not there is a
/// fault, not a wish that is forgotten.
const HANDED: [&str; 2] = ["NamespaceAutoProvision", "ImagePolicyWebhook"];

/// `--enable-admission-plugins` and `--disable-admission-plugins`. NodeRestriction, which upstream leaves to its
/// installers, is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginChoice {
    enabled: Vec<String>,
    disabled: Vec<String>,
}

impl PluginChoice {
    pub fn new(enabled: &[String], disabled: &[String]) -> Result<Self, Vec<String>> {
        Self::given(enabled, disabled, &[])
    }

    /// Where `handed` of NamespaceAutoProvision and ImagePolicyWebhook are among the plugins of other makers.
    pub fn given(enabled: &[String], disabled: &[String], handed: &[&str]) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        for (flag, names) in [("enable", enabled), ("disable", disabled)] {
            for name in names {
                if !ALL_PLUGINS.contains(&name.as_str()) {
                    faults.push(format!("{flag}-admission-plugins plugin \"{name}\" is unknown"));
                } else if flag == "enable"
                    && HANDED.contains(&name.as_str())
                    && !handed.contains(&name.as_str())
                {
                    faults.push(format!("{flag}-admission-plugins plugin \"{name}\" is not configured"));
                }
            }
        }
        let both: Vec<&String> = enabled.iter().filter(|name| disabled.contains(name)).collect();
        if !both.is_empty() {
            faults.push(format!(
                "{} in enable-admission-plugins and disable-admission-plugins overlapped",
                crate::value::quoted(&both)
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self { enabled: enabled.to_vec(), disabled: disabled.to_vec() })
    }

    pub fn runs(&self, name: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|named| named == name);
        !has(&self.disabled) && (has(&self.enabled) || !OFF.contains(&name))
    }
}

/// What plugins are made from.
pub struct AdmissionParts {
    pub objects: Arc<dyn Objects>,
    pub rbac: Arc<Rbac>,
    pub authorizer: Arc<dyn Authorizer>,
    pub surface: Arc<dyn Surface>,
    pub quotas: Arc<dyn QuotaUpdater>,
    pub metrics: AccessMetrics,
    pub config: AdmissionConfig,
    /// `--default-not-ready-toleration-seconds`, `--default-unreachable-toleration-seconds`.
    pub not_ready_toleration_seconds: i64,
    pub unreachable_toleration_seconds: i64,
    /// Plugins of other crates (webhooks, policies); each takes the place of its name.
    pub others: Vec<Arc<dyn AdmissionPlugin>>,
}

impl AdmissionParts {
    /// The plugins that run, in order; the RBAC checks, which upstream has in its storage layer, last.
    pub fn build(self, choice: &PluginChoice) -> Vec<Arc<dyn AdmissionPlugin>> {
        let mut plugins: Vec<Arc<dyn AdmissionPlugin>> = ALL_PLUGINS
            .iter()
            .filter(|name| choice.runs(name))
            .filter_map(|name| self.plugin(name))
            .collect();
        plugins.push(Arc::new(RbacEscalation::new(self.rbac, self.authorizer)));
        plugins
    }

    /// The plugin of a name. None: what other crates bring and did not, and what is behind a feature gate that is off.
    fn plugin(&self, name: &str) -> Option<Arc<dyn AdmissionPlugin>> {
        let objects = || self.objects.clone();
        let authorizer = || self.authorizer.clone();
        let configuration = self.config.others.get(name).cloned().unwrap_or_default();
        if let Some(other) = self.others.iter().find(|other| other.name() == name) {
            return Some(other.clone());
        }
        Some(match name {
            "AlwaysAdmit" => Arc::new(AlwaysAdmit),
            "AlwaysDeny" => Arc::new(AlwaysDeny),
            "AlwaysPullImages" => Arc::new(AlwaysPullImages),
            "CertificateApproval" => Arc::new(CertificateApproval::new(authorizer())),
            "CertificateSigning" => Arc::new(CertificateSigning::new(authorizer())),
            "CertificateSubjectRestriction" => Arc::new(CertificateSubjectRestriction),
            "ClusterTrustBundleAttest" => Arc::new(ClusterTrustBundleAttest::new(authorizer())),
            "DefaultIngressClass" => Arc::new(DefaultIngressClass::new(objects())),
            "DefaultStorageClass" => Arc::new(DefaultStorageClass::new(objects())),
            "DefaultTolerationSeconds" => Arc::new(DefaultTolerationSeconds::lasting(
                self.not_ready_toleration_seconds,
                self.unreachable_toleration_seconds,
            )),
            "DenyServiceExternalIPs" => Arc::new(DenyServiceExternalIPs),
            "EventRateLimit" => Arc::new(EventRateLimit::new(&configuration)),
            "ExtendedResourceToleration" => Arc::new(ExtendedResourceToleration),
            "LimitPodHardAntiAffinityTopology" => Arc::new(LimitPodHardAntiAffinityTopology),
            "LimitRanger" => Arc::new(LimitRanger::new(objects())),
            "NamespaceExists" => Arc::new(NamespaceExists::new(objects())),
            "NamespaceLifecycle" => Arc::new(NamespaceLifecycle::new(objects())),
            "NodeDeclaredFeatureValidator" => Arc::new(NodeDeclaredFeatureValidator::new(objects())),
            "NodeRestriction" => Arc::new(NodeRestriction::new(objects(), authorizer())),
            "OwnerReferencesPermissionEnforcement" => {
                Arc::new(OwnerReferencesPermissionEnforcement::new(authorizer(), self.surface.clone()))
            }
            "PersistentVolumeClaimResize" => Arc::new(PersistentVolumeClaimResize::new(objects())),
            "PodNodeSelector" => Arc::new(PodNodeSelector::new(objects(), &configuration)),
            "PodResizeValidator" => Arc::new(PodResizeValidator::new(objects())),
            "PodSecurity" => {
                Arc::new(PodSecurity::new(objects(), self.config.pod_security.clone(), self.metrics.clone()))
            }
            "PodTolerationRestriction" => Arc::new(PodTolerationRestriction::new(objects(), &configuration)),
            "PodTopologyLabels" => Arc::new(PodTopologyLabels::new(objects())),
            "Priority" => Arc::new(Priority::new(objects())),
            "ResourceQuota" => Arc::new(ResourceQuota::new(
                objects(),
                self.quotas.clone(),
                self.config.limited_resources.clone(),
            )),
            "RuntimeClass" => Arc::new(RuntimeClass::new(objects())),
            "ServiceAccount" => Arc::new(ServiceAccount::new(objects())),
            "StorageObjectInUseProtection" => Arc::new(StorageObjectInUseProtection),
            "TaintNodesByCondition" => Arc::new(TaintNodesByCondition),
            _ => return None,
        })
    }
}
