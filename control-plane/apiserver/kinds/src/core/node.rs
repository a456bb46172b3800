//! Nodes. (`ValidateNode`)

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::kind::Kind;
use crate::podspec::TAINT_EFFECTS;
use crate::strategy::Context;
use crate::value::{is_set, is_true, items, remove, text, texts};
use crate::{check, names};

pub(crate) static NODE: Kind = Kind {
    prepare_create: |_, node| same_ranges(node),
    prepare_update: |context, new, old| {
        if context.subresource.is_empty() {
            same_ranges(new);
        } else if old["status"]["config"].is_null()
            && let Some(status) = new.get_mut("status")
        {
            remove(status, "config");
        }
    },
    validate,
    changes,
    warn,
    keeps_status_on_create: true,
    fields: |node| vec![("spec.unschedulable", is_true(&node["spec"]["unschedulable"]).to_string())],
    cells: Some(super::cells::node),
    ..Kind::PLAIN
};

/// The one pod range and the first of the list are the same; the one decides where they differ.
fn same_ranges(node: &mut Value) {
    let Some(spec) = node.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    // Dynamic configuration of kubelets is gone.
    remove(spec, "configSource");
    if let Some(spec) = spec.as_object_mut() {
        oarlock_api::conversion::same_ranges(spec);
    }
}

/// Taints, told of where upstream does: under metadata.
pub(crate) fn taints(taints: &Value, path: &Path, errors: &mut FieldErrors) {
    let list = items(taints);
    let repeated = check::repeats(list, |taint| [&taint["key"], &taint["effect"]]);
    for (index, taint) in list.iter().enumerate() {
        let at = path.index(index);
        check::syntax(text(&taint["key"]), names::qualified, &at.child("key"), errors);
        let faults = names::label_value(text(&taint["value"]));
        if !faults.is_empty() {
            errors.push(FieldError::invalid(at.child("value"), text(&taint["value"]), faults.join(";")));
        }
        check::must_be_one_of(&taint["effect"], &TAINT_EFFECTS, &at.child("effect"), errors);
        if repeated.binary_search(&index).is_ok() {
            let told = dump::object("io.k8s.api.core.v1.Taint", taint);
            errors.push(FieldError::duplicate_of(at, &told, "taints must be unique by key and effect pair"));
        }
    }
}

fn validate(node: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&node["spec"], Path::new("spec").child("podCIDRs"));
    taints(&spec["taints"], &Path::new("metadata").child("taints"), errors);
    let ranges: Vec<&str> = texts(&spec["podCIDRs"]).collect();
    for (index, range) in ranges.iter().enumerate() {
        check::syntax(range, names::cidr, &path.index(index), errors);
    }
    let unread = ranges.iter().position(|range| !names::cidr(range).is_empty());
    if let Some(index) = unread.filter(|_| ranges.len() > 1) {
        let fault = format!("invalid CIDR[{index}]: <nil> (invalid CIDR address: {})", ranges[index]);
        let words = format!("invalid PodCIDRs. failed to check with dual stack with error:{fault}");
        errors.push(FieldError::internal(path.clone(), words));
    }
    let of_v4 = |range: &&&str| {
        range.split('/').next().is_some_and(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()))
    };
    if ranges.len() > 2 || ranges.len() == 2 && (unread.is_some() || ranges.iter().filter(of_v4).count() != 1)
    {
        let words = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(path, spec["podCIDRs"].clone(), words));
    }
}

/// What identifies a node is set once.
fn changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let addresses = items(&new["status"]["addresses"]);
    for index in check::repeats(addresses, |address| [address]) {
        let at = Path::new("status").child("addresses").index(index);
        let told = dump::object("io.k8s.api.core.v1.NodeAddress", &addresses[index]);
        errors.push(FieldError::duplicate_of(at, &told, ""));
    }
    let path = Path::new("spec");
    let (now, was) = (&new["spec"], &old["spec"]);
    if is_set(&was["podCIDRs"]) && items(&was["podCIDRs"]) != items(&now["podCIDRs"]) {
        let words = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(path.child("podCIDRs"), words));
    }
    if is_set(&was["providerID"]) && was["providerID"] != now["providerID"] {
        let words = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(path.child("providerID"), words));
    }
    if text(&was["externalID"]) != text(&now["externalID"]) {
        errors.push(FieldError::forbidden(path.child("externalID"), "may not be updated"));
    }
}

fn warn(node: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    let (spec, path) = (&node["spec"], Path::new("spec"));
    if !spec["configSource"].is_null() {
        warnings.push(format!("{}: the feature is no longer supported", path.child("configSource")));
    }
    if is_set(&spec["externalID"]) {
        let at = path.child("externalID");
        warnings.push(format!("{at}: this field is deprecated, and is unused by Kubernetes"));
    }
    for (index, range) in texts(&spec["podCIDRs"]).enumerate() {
        check::cidr_warning(range, &path.child("podCIDRs").index(index), warnings);
    }
}
