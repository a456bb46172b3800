//! The small groups: policy, autoscaling, coordination, scheduling, certificates, admission registration, extension,
//! flow control, runtime classes, devices.

mod api_service;
mod autoscaler;
mod cells;
mod certificate;
mod custom_resource;
mod device;
mod flow;
mod scaling;
mod signing;
mod trust;
mod validate;

use crate::kind::{Kind, STATUS_ALONE};

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
        "resourceclaimtemplates" => &device::CLAIM_TEMPLATE,
        "horizontalpodautoscalers" => &autoscaler::AUTOSCALER,
        "priorityclasses" => &PRIORITY_CLASS,
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

static FLOW_SCHEMA: Kind = Kind {
    status_keeps: STATUS_ALONE,
    validate: flow::schema,
    changes: flow::status,
    cells: Some(cells::flow_schema),
    ..Kind::COUNTED
};
static PRIORITY_LEVEL: Kind = Kind {
    status_keeps: STATUS_ALONE,
    validate: flow::level,
    changes: flow::status,
    cells: Some(cells::priority_level),
    ..Kind::COUNTED
};
static PRIORITY_CLASS: Kind = Kind {
    // It is one for ever.
    generation_changes: Some(|_, _| false),
    validate_new: validate::new_priority_class,
    changes: validate::priority_class_changes,
    cells: Some(cells::priority_class),
    ..Kind::COUNTED
};
static LEASE: Kind = Kind {
    validate: validate::lease,
    create_on_update: true,
    cells: Some(cells::lease),
    ..Kind::CONDITIONAL
};
static LEASE_CANDIDATE: Kind = Kind {
    create_on_update: true,
    validate: validate::candidate,
    changes: validate::candidate_changes,
    ..Kind::CONDITIONAL
};
static DISRUPTION_BUDGET: Kind = Kind {
    name: crate::names::anything,
    validate: validate::disruption_budget,
    changes: validate::budget_changes,
    cells: Some(cells::disruption_budget),
    ..Kind::COUNTED_CONDITIONAL
};
static RUNTIME_CLASS: Kind = Kind {
    validate: validate::runtime_class,
    changes: validate::runtime_class_changes,
    warn: validate::runtime_class_warnings,
    cells: Some(cells::runtime_class),
    ..Kind::CONDITIONAL
};
static WEBHOOKS: Kind = Kind { cells: Some(cells::webhooks), ..Kind::COUNTED_CONDITIONAL };
static POLICY: Kind =
    Kind { status_keeps: STATUS_ALONE, cells: Some(cells::policy), ..Kind::COUNTED_CONDITIONAL };
static POLICY_BINDING: Kind = Kind { cells: Some(cells::policy_binding), ..Kind::COUNTED_CONDITIONAL };
static STORAGE_VERSION: Kind =
    Kind { status_keeps: STATUS_ALONE, name: crate::names::anything, ..Kind::CONDITIONAL };
static WORKLOAD: Kind = Kind::COUNTED;
