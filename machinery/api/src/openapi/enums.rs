//! Which named strings the documents close: others tell only some of what may stand there (a Secret's type, a
//! condition's), and a client that held them to a list would refuse what the server takes.

/// Types without `io.k8s.api.`, and those that every version of `resource.k8s.io` has.
const CLOSED: &[&str] = &[
    "admissionregistration.v1.FailurePolicyType",
    "admissionregistration.v1.MatchPolicyType",
    "admissionregistration.v1.OperationType",
    "admissionregistration.v1.PatchType",
    "admissionregistration.v1.ReinvocationPolicyType",
    "admissionregistration.v1.ScopeType",
    "admissionregistration.v1.SideEffectClass",
    "admissionregistration.v1.ValidationAction",
    "apps.v1.DaemonSetUpdateStrategyType",
    "apps.v1.DeploymentStrategyType",
    "apps.v1.PodManagementPolicyType",
    "apps.v1.StatefulSetUpdateStrategyType",
    "autoscaling.v1.MetricSourceType",
    "batch.v1.CompletionMode",
    "batch.v1.ConcurrencyPolicy",
    "batch.v1.PodFailurePolicyAction",
    "batch.v1.PodFailurePolicyOnExitCodesOperator",
    "batch.v1.PodReplacementPolicy",
    "certificates.v1.KeyUsage",
    "core.v1.AppArmorProfileType",
    "core.v1.AzureDataDiskCachingMode",
    "core.v1.AzureDataDiskKind",
    "core.v1.ClaimResourceStatus",
    "core.v1.DNSPolicy",
    "core.v1.HostPathType",
    "core.v1.IPFamily",
    "core.v1.IPFamilyPolicy",
    "core.v1.MountPropagationMode",
    "core.v1.NamespacePhase",
    "core.v1.NodeInclusionPolicy",
    "core.v1.NodePhase",
    "core.v1.NodeSelectorOperator",
    "core.v1.PersistentVolumeAccessMode",
    "core.v1.PersistentVolumeClaimModifyVolumeStatus",
    "core.v1.PersistentVolumeClaimPhase",
    "core.v1.PersistentVolumeMode",
    "core.v1.PersistentVolumePhase",
    "core.v1.PersistentVolumeReclaimPolicy",
    "core.v1.PodFSGroupChangePolicy",
    "core.v1.PodPhase",
    "core.v1.PodQOSClass",
    "core.v1.PreemptionPolicy",
    "core.v1.ProcMountType",
    "core.v1.Protocol",
    "core.v1.PullPolicy",
    "core.v1.ResourceQuotaScope",
    "core.v1.RestartPolicy",
    "core.v1.ScopeSelectorOperator",
    "core.v1.SeccompProfileType",
    "core.v1.ServiceAffinity",
    "core.v1.ServiceExternalTrafficPolicy",
    "core.v1.ServiceInternalTrafficPolicy",
    "core.v1.ServiceType",
    "core.v1.Signal",
    "core.v1.SupplementalGroupsPolicy",
    "core.v1.TaintEffect",
    "core.v1.TerminationMessagePolicy",
    "core.v1.TolerationOperator",
    "core.v1.URIScheme",
    "core.v1.UnsatisfiableConstraintAction",
    "discovery.v1.AddressType",
    "networking.v1.PathType",
    "networking.v1.PolicyType",
    "policy.v1.UnhealthyPodEvictionPolicyType",
    "resource.v1.AllocationConfigSource",
    "resource.v1.DeviceAllocationMode",
    "resource.v1.DeviceTaintEffect",
    "resource.v1.DeviceTolerationOperator",
    "storage.v1.VolumeBindingMode",
];

/// Whether the documents list the values of a named string type.
pub(super) fn is_closed(name: &str) -> bool {
    name == REASONS || name.strip_prefix("io.k8s.api.").is_some_and(|short| CLOSED.contains(&short))
}

/// Of validation rules.
const REASONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.FieldValueErrorReason";

/// The values of a named string type that the table has none of.
pub(super) fn further_values(name: &str) -> &'static [&'static str] {
    match name {
        "io.k8s.api.discovery.v1.AddressType" => &["FQDN", "IPv4", "IPv6"],
        "io.k8s.api.resource.v1.DeviceAllocationMode" => &["All", "ExactCount"],
        "io.k8s.api.networking.v1.PathType" => &["Exact", "ImplementationSpecific", "Prefix"],
        _ => &[],
    }
}
