//! resource.k8s.io, in all its versions. A taint's timeAdded needs a clock and is set by the kinds' strategies.

use serde_json::{Map, Value};

use super::{Conditional, Constant, text};

pub(super) const CONSTANTS: &[Constant] = &[];

pub(super) const CONDITIONALS: &[Conditional] = &[
    ("resource.v1.ExactDeviceRequest", allocation),
    ("resource.v1.DeviceSubRequest", allocation),
    ("resource.v1beta2.ExactDeviceRequest", allocation),
    ("resource.v1beta2.DeviceSubRequest", allocation),
    ("resource.v1beta1.DeviceRequest", flat_request),
    ("resource.v1beta1.DeviceSubRequest", allocation),
];

/// One device, counted.
fn allocation(request: &mut Map<String, Value>) {
    if text(request, "allocationMode").is_empty() {
        request.insert("allocationMode".to_string(), "ExactCount".into());
    }
    let uncounted = request.get("count").and_then(Value::as_i64).unwrap_or(0) == 0;
    if text(request, "allocationMode") == "ExactCount" && uncounted {
        request.insert("count".to_string(), 1.into());
    }
}

/// In v1beta1 a request holds an exact request's fields itself, unless it lists alternatives.
fn flat_request(request: &mut Map<String, Value>) {
    if request.get("firstAvailable").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        allocation(request);
    }
}
