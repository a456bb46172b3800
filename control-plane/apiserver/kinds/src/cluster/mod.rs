//! The small groups: policy, autoscaling, coordination, scheduling, certificates, admission registration, extension,
//! flow control, runtime classes, devices.

mod api_service;
mod certificate;
mod custom_resource;
mod device;

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "apiservices" => &api_service::API_SERVICE,
        "certificatesigningrequests" => &certificate::REQUEST,
        "clustertrustbundles" => &certificate::TRUST_BUNDLE,
        "podcertificaterequests" => &certificate::POD_REQUEST,
        "customresourcedefinitions" => &custom_resource::DEFINITION,
        "deviceclasses" => &device::CLASS,
        "devicetaintrules" => &device::TAINT_RULE,
        "resourceclaims" => &device::CLAIM,
        "resourceslices" => &device::SLICE,
        "flowschemas" => &FLOW_SCHEMA,
        "prioritylevelconfigurations" => &PRIORITY_LEVEL,
        "leases" => &LEASE,
        "leasecandidates" => &LEASE_CANDIDATE,
        "poddisruptionbudgets" => &DISRUPTION_BUDGET,
        "runtimeclasses" => &RUNTIME_CLASS,
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => &WEBHOOKS,
        "mutatingadmissionpolicies" | "validatingadmissionpolicies" => &POLICY,
        "mutatingadmissionpolicybindings" | "validatingadmissionpolicybindings" => &POLICY_BINDING,
        "storageversions" => &STORAGE_VERSION,
        "workloads" => &WORKLOAD,
        _ => return None,
    })
}

static FLOW_SCHEMA: Kind = Kind::COUNTED;
static PRIORITY_LEVEL: Kind = Kind::COUNTED;
static LEASE: Kind = Kind { create_on_update: true, ..Kind::CONDITIONAL };
static LEASE_CANDIDATE: Kind = Kind { create_on_update: true, ..Kind::CONDITIONAL };
static DISRUPTION_BUDGET: Kind = Kind::COUNTED_CONDITIONAL;
static RUNTIME_CLASS: Kind = Kind::CONDITIONAL;
static WEBHOOKS: Kind = Kind::COUNTED_CONDITIONAL;
static POLICY: Kind = Kind::COUNTED_CONDITIONAL;
static POLICY_BINDING: Kind = Kind::COUNTED_CONDITIONAL;
static STORAGE_VERSION: Kind = Kind::CONDITIONAL;
static WORKLOAD: Kind = Kind::COUNTED;
