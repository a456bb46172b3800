//! The status of ResourceClaims: what was allocated, for whom, and what drivers say of it.

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::{Value, json};

use super::claim::{CONFIGS_MAX, Requests, reference, references, requests_of};
use super::parts::{at_most, binding, configuration, parameters, pool_name, toleration, unique};
use crate::podspec::{self, sources::csi_driver};
use crate::strategy::Context;
use crate::value::{is_set, items, text};
use crate::{check, names};

const RESERVED_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 8;
const ADDRESSES_MAX: usize = 16;
const INTERFACE_MAX: usize = 256;
const HARDWARE_MAX: usize = 128;

/// A claim's spec never changes.
pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource != "status" {
        return check::immutable(&new["spec"], &old["spec"], &Path::new("spec"), errors);
    }
    let (status, was, path) = (&new["status"], &old["status"], Path::new("status"));
    let known = requests_of(&new["spec"]);
    reserved(new, old, &path.child("reservedFor"), errors);
    devices(status, &path.child("devices"), errors);
    let at = path.child("allocation");
    if was["allocation"].is_object() && status["allocation"].is_object() {
        check::immutable(&status["allocation"], &was["allocation"], &at, errors);
    } else if status["allocation"].is_object() {
        allocation(&status["allocation"], &known, &at, errors);
    }
}

fn reserved(new: &Value, old: &Value, path: &Path, errors: &mut FieldErrors) {
    let list = &new["status"]["reservedFor"];
    for (at, consumer) in at_most(list, RESERVED_MAX, path, errors).collect::<Vec<_>>() {
        for field in ["resource", "name", "uid"] {
            check::required(&consumer[field], &at.child(field), errors);
        }
    }
    unique(list, |consumer| consumer["uid"].clone(), path, errors);
    if !is_set(list) {
        return;
    }
    if !new["status"]["allocation"].is_object() {
        let words = "may not be specified when `allocated` is not set";
        return errors.push(FieldError::forbidden(path.clone(), words));
    }
    let before = items(&old["status"]["reservedFor"]);
    let deleted = !new["metadata"]["deletionTimestamp"].is_null();
    if deleted && items(list).iter().any(|consumer| !before.contains(consumer)) {
        let words =
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.push(FieldError::forbidden(path.clone(), words));
    }
}

fn device_key(device: &Value) -> Value {
    json!([device["driver"], device["pool"], device["device"], device["shareID"]])
}

fn devices(status: &Value, path: &Path, errors: &mut FieldErrors) {
    let allocated: Vec<Value> =
        items(&status["allocation"]["devices"]["results"]).iter().map(device_key).collect();
    for (index, device) in items(&status["devices"]).iter().enumerate() {
        let at = path.index(index);
        csi_driver(&device["driver"], &at.child("driver"), errors);
        pool_name(&device["pool"], &at.child("pool"), errors);
        check::syntax(text(&device["device"]), names::dns_label, &at.child("device"), errors);
        if !allocated.contains(&device_key(device)) {
            let words = "must be an allocated device in the claim";
            let told =
                format!("{}/{}/{}", text(&device["driver"]), text(&device["pool"]), text(&device["device"]));
            errors.push(FieldError::invalid(at.clone(), told, words));
        }
        let conditions = at.child("conditions");
        if items(&device["conditions"]).len() > CONDITIONS_MAX {
            let count = items(&device["conditions"]).len();
            errors.push(FieldError::too_many(conditions.clone(), count, CONDITIONS_MAX));
        }
        check::conditions(&device["conditions"], &conditions, errors);
        if !device["data"].is_null() {
            parameters(&device["data"], &at.child("data"), errors);
        }
        network(&device["networkData"], &at.child("networkData"), errors);
    }
    unique(&status["devices"], device_key, path, errors);
}

fn network(data: &Value, path: &Path, errors: &mut FieldErrors) {
    for (field, max) in [("interfaceName", INTERFACE_MAX), ("hardwareAddress", HARDWARE_MAX)] {
        if text(&data[field]).len() > max {
            errors.push(FieldError::too_long(path.child(field), max));
        }
    }
    let at = path.child("ips");
    for (at, address) in at_most(&data["ips"], ADDRESSES_MAX, &at, errors).collect::<Vec<_>>() {
        let given = text(address);
        let canonical = given.split_once('/').and_then(|(ip, bits)| {
            Some(format!("{}/{}", ip.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?))
        });
        match canonical {
            Some(canonical) if names::cidr(given).is_empty() => {
                if canonical != given {
                    let words = format!("must be in canonical form ({canonical:?})");
                    errors.push(FieldError::invalid(at, given, words));
                }
            }
            _ => {
                let words = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
                errors.push(FieldError::invalid(at, given, words));
            }
        }
    }
    unique(&data["ips"], Value::clone, &at, errors);
}

fn allocation(allocation: &Value, known: &Requests<'_>, path: &Path, errors: &mut FieldErrors) {
    let (devices, at) = (&allocation["devices"], path.child("devices"));
    let results = at.child("results");
    for (at, result) in at_most(&devices["results"], RESULTS_MAX, &results, errors).collect::<Vec<_>>() {
        reference(text(&result["request"]), known, &at.child("request"), errors);
        csi_driver(&result["driver"], &at.child("driver"), errors);
        pool_name(&result["pool"], &at.child("pool"), errors);
        check::syntax(text(&result["device"]), names::dns_label, &at.child("device"), errors);
        binding(result, &at, errors);
        for (index, given) in items(&result["tolerations"]).iter().enumerate() {
            toleration(given, &at.child("tolerations").index(index), errors);
        }
    }
    let configs = at.child("config");
    for (at, config) in at_most(&devices["config"], 2 * CONFIGS_MAX, &configs, errors).collect::<Vec<_>>() {
        let sources = ["FromClaim", "FromClass"];
        check::must_be_one_of(&config["source"], &sources, &at.child("source"), errors);
        references(&config["requests"], known, &at.child("requests"), errors);
        configuration(config, &at, errors);
    }
    if allocation["nodeSelector"].is_object() {
        podspec::node_selector(&allocation["nodeSelector"], &path.child("nodeSelector"), errors);
    }
}
