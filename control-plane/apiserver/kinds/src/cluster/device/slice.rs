//! ResourceSlices: the devices of a driver.

use std::sync::LazyLock;

use oarlock_api::{FieldError, FieldErrors, Path};
use regex::Regex;
use serde_json::Value;

use super::capacity;
use super::parts::{at_most, binding, named, pool_name, qualified, taint, unique};
use crate::podspec::{self, sources::csi_driver};
use crate::strategy::Context;
use crate::value::{entries, int, is_set, is_true, items, items_mut, remove, text};
use crate::{check, names};

const DEVICES_MAX: usize = 128;
/// Of slices that have taints or counters.
const ADVANCED_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
const CONSUMED_SETS_MAX: usize = 2;
const TAINTS_MAX: usize = 16;
const PROPERTIES_MAX: usize = 32;
const VALUE_MAX: usize = 64;
/// Of features that are off: DRAListTypeAttributes, DRANodeAllocatableResources.
const LIST_ATTRIBUTES: [&str; 4] = ["bools", "ints", "strings", "versions"];
const WHERE: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
const ONE_WHERE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const ONE_DEVICE_WHERE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

static SEMVER: LazyLock<Regex> = LazyLock::new(|| {
    let (number, pre, build) =
        ("(0|[1-9][0-9]*)", "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)", "[0-9a-zA-Z-]+");
    let whole = format!(r"^{number}\.{number}\.{number}(-{pre}(\.{pre})*)?(\+{build}(\.{build})*)?$");
    Regex::new(&whole).expect("the expression is constant and valid")
});

/// What is off by default is dropped; a taint has a time.
pub(super) fn prepare(context: &Context<'_>, slice: &mut Value, old: Option<&Value>) {
    let before = old.map_or(&[][..], |old| items(&old["spec"]["devices"]));
    let lists = before.iter().any(|device| {
        entries(&device["attributes"]).any(|(_, a)| LIST_ATTRIBUTES.iter().any(|field| !a[*field].is_null()))
    });
    let mapped = before.iter().any(|device| !device["nodeAllocatableResourceMappings"].is_null());
    let now = oarlock_api::meta::print_time(context.now);
    let Some(spec) = slice.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    for device in items_mut(spec, "devices") {
        if !mapped {
            remove(device, "nodeAllocatableResourceMappings");
        }
        if let Some(Value::Object(attributes)) = device.get_mut("attributes").filter(|_| !lists) {
            for attribute in attributes.values_mut() {
                LIST_ATTRIBUTES.iter().for_each(|field| drop(remove(attribute, field)));
            }
        }
        for taint in items_mut(device, "taints") {
            if taint["timeAdded"].is_null() {
                taint["timeAdded"] = now.clone().into();
            }
        }
    }
}

pub(super) fn validate(slice: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&slice["spec"], Path::new("spec"));
    csi_driver(&spec["driver"], &path.child("driver"), errors);
    let (pool, at) = (&spec["pool"], path.child("pool"));
    pool_name(&pool["name"], &at.child("name"), errors);
    let count = int(&pool["resourceSliceCount"]).into();
    check::at_least(&count, 1, "must be greater than zero", &at.child("resourceSliceCount"), errors);
    let words = "must be greater than or equal to zero";
    check::at_least(&pool["generation"], 0, words, &at.child("generation"), errors);
    place(spec, &WHERE, ("must be either unset or set to a non-empty string", ONE_WHERE), &path, errors);
    if spec["nodeSelector"].is_object() && items(&spec["nodeSelector"]["nodeSelectorTerms"]).len() != 1 {
        let at = path.child("nodeSelector").child("nodeSelectorTerms");
        let told = spec["nodeSelector"]["nodeSelectorTerms"].clone();
        errors.push(FieldError::invalid(at, told, "must have exactly one node selector term"));
    }
    if !spec["sharedCounters"].is_null() && !spec["devices"].is_null() {
        let words = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(FieldError::invalid(path.clone(), "", words));
    }
    let advanced = |device: &Value| is_set(&device["taints"]) || is_set(&device["consumesCounters"]);
    let max = if items(&spec["devices"]).iter().any(advanced) { ADVANCED_MAX } else { DEVICES_MAX };
    let at = path.child("devices");
    for (at, given) in at_most(&spec["devices"], max, &at, errors).collect::<Vec<_>>() {
        device(given, is_true(&spec["perDeviceNodeSelection"]), &at, errors);
    }
    unique(&spec["devices"], named, &at, errors);
    let at = path.child("sharedCounters");
    for (at, set) in at_most(&spec["sharedCounters"], COUNTER_SETS_MAX, &at, errors).collect::<Vec<_>>() {
        check::named(&set["name"], names::dns_label, &at.child("name"), errors);
        counters(&set["counters"], &at.child("counters"), errors);
    }
    unique(&spec["sharedCounters"], named, &at, errors);
}

/// Which nodes see the devices: said in one way.
fn place(holder: &Value, ways: &[&str], (empty, one): (&str, &str), path: &Path, errors: &mut FieldErrors) {
    let mut given = Vec::new();
    for way in ways.iter().filter(|way| !holder[**way].is_null()) {
        let (value, at) = (&holder[*way], path.child(way));
        match *way {
            "nodeName" if text(value).is_empty() => {
                errors.push(FieldError::invalid(at, "", empty));
                continue;
            }
            "nodeName" => check::syntax(text(value), names::subdomain, &at, errors),
            "nodeSelector" => podspec::node_selector(value, &at, errors),
            _ if !is_true(value) => {
                errors.push(FieldError::invalid(at, false, "must be either unset or set to true"));
                continue;
            }
            _ => {}
        }
        given.push(format!("`{way}`"));
    }
    match given.len() {
        0 => errors.push(FieldError::required(path.clone(), one)),
        1 => {}
        _ => {
            let several = if one == ONE_WHERE { ", but multiple fields are set" } else { "" };
            let told = format!("{{{}}}", given.join(", "));
            errors.push(FieldError::invalid(path.clone(), told, format!("{one}{several}")));
        }
    }
}

fn counters(counters: &Value, path: &Path, errors: &mut FieldErrors) {
    let count = entries(counters).count();
    if count == 0 {
        return errors.push(FieldError::required(path.clone(), ""));
    }
    if count > COUNTERS_MAX {
        return errors.push(FieldError::too_many(path.clone(), count, COUNTERS_MAX));
    }
    for (name, _) in entries(counters) {
        check::syntax(name, names::dns_label, &path.key(name), errors);
    }
}

fn device(device: &Value, placed: bool, path: &Path, errors: &mut FieldErrors) {
    check::syntax(text(&device["name"]), names::dns_label, &path.child("name"), errors);
    let properties = entries(&device["attributes"]).count() + entries(&device["capacity"]).count();
    if properties > PROPERTIES_MAX {
        let words = format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
        errors.push(FieldError::invalid(path.clone(), properties, words));
    }
    for (name, given) in entries(&device["attributes"]) {
        let at = path.child("attributes").key(name);
        qualified(name, &at, errors);
        attribute(given, &at, errors);
    }
    for (name, given) in entries(&device["capacity"]) {
        let at = path.child("capacity").key(name);
        qualified(name, &at, errors);
        capacity::validate(given, is_true(&device["allowMultipleAllocations"]), &at, errors);
    }
    let at = path.child("taints");
    for (at, given) in at_most(&device["taints"], TAINTS_MAX, &at, errors).collect::<Vec<_>>() {
        taint(given, &at, errors);
    }
    let (list, at) = (&device["consumesCounters"], path.child("consumesCounters"));
    for (at, given) in at_most(list, CONSUMED_SETS_MAX, &at, errors).collect::<Vec<_>>() {
        check::named(&given["counterSet"], names::dns_label, &at.child("counterSet"), errors);
        counters(&given["counters"], &at.child("counters"), errors);
    }
    unique(list, |given| given["counterSet"].clone(), &at, errors);
    if placed {
        place(device, &WHERE[..3], ("must not be empty", ONE_DEVICE_WHERE), path, errors);
    } else if WHERE[..3].iter().any(|way| !device[*way].is_null()) {
        let words = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        errors.push(FieldError::invalid(path.clone(), Value::Null, words));
    }
    binding(device, path, errors);
}

fn attribute(attribute: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in ["string", "version"] {
        let (value, at) = (text(&attribute[field]), path.child(field));
        if field == "version" && !attribute[field].is_null() && !SEMVER.is_match(value) {
            let words = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(FieldError::invalid(at.clone(), value, words));
        }
        if value.len() > VALUE_MAX {
            errors.push(FieldError::too_long(at, VALUE_MAX));
        }
    }
    match entries(attribute).filter(|(_, value)| !value.is_null()).count() {
        0 => errors.push(FieldError::invalid(path.clone(), "", "exactly one value must be specified")),
        1 => {}
        _ => {
            let words = "exactly one value must be specified";
            errors.push(FieldError::invalid(path.clone(), attribute.clone(), words));
        }
    }
}

pub(super) fn changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (now, was, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let pool = path.child("pool").child("name");
    check::immutable(&now["pool"]["name"], &was["pool"]["name"], &pool, errors);
    for field in ["driver", "nodeName"] {
        check::immutable(&now[field], &was[field], &path.child(field), errors);
    }
}
