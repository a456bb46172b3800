//! LimitRanges. (`ValidateLimitRange`)

use oarlock_api::quantity::Quantity;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::value::{entries, is_set, items, quantity, text};
use crate::{check, names, podspec};

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

pub(super) fn validate(range: &Value, errors: &mut FieldErrors) {
    let path = Path::new("spec").child("limits");
    let mut seen = Seen::new();
    for (index, limit) in items(&range["spec"]["limits"]).iter().enumerate() {
        let path = path.index(index);
        let (kind, at) = (text(&limit["type"]), path.child("type"));
        check::syntax(kind, names::qualified, &at, errors);
        if !names::qualified(kind).is_empty() {
            // Wrong in itself.
        } else if !kind.contains('/') && !TYPES.contains(&kind) {
            let words = "must be a standard limit type or fully qualified";
            errors.push(FieldError::invalid(at.clone(), kind, words));
        }
        seen.add(kind, &at, errors);
        for list in LISTS.iter().filter(|list| is_set(&limit[**list])) {
            if kind == "Pod" && list.starts_with("default") {
                let words = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(path.child(list), words));
                continue;
            }
            for (name, _) in entries(&limit[*list]) {
                resource(kind, name, &path.child(list).key(name), errors);
            }
        }
        let storage = |list: &str| !limit[list]["storage"].is_null();
        if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
            let words = "either minimum or maximum storage value is required, but neither was provided";
            errors.push(FieldError::required(path.child("limits"), words));
        }
        orders(limit, &path, errors);
    }
}

fn resource(kind: &str, name: &str, path: &Path, errors: &mut FieldErrors) {
    if matches!(kind, "Pod" | "Container") {
        podspec::of_container(name, path, errors);
    } else {
        podspec::resource_name(name, path, errors);
    }
}

/// min ≤ defaultRequest ≤ default ≤ max, for every resource that any of them names.
fn orders(limit: &Value, path: &Path, errors: &mut FieldErrors) {
    for (at, list) in LISTS.iter().enumerate() {
        for (name, _) in entries(&limit[*list]) {
            if LISTS[..at].iter().all(|before| limit[*before][name].is_null()) {
                order(limit, name, path, errors);
            }
        }
    }
}

fn order(limit: &Value, name: &str, path: &Path, errors: &mut FieldErrors) {
    let amount = |list: &str| quantity(&limit[list][name]);
    let (min, max, default) = (amount("min"), amount("max"), amount("default"));
    let (request, ratio) = (amount("defaultRequest"), amount("maxLimitRequestRatio"));
    let mut refuse = |list: &str, told: Quantity, words: String| {
        errors.push(FieldError::invalid(path.child(list).key(name), told.to_string(), words));
    };
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        refuse("min", min, format!("min value {min} is greater than max value {max}"));
    }
    if let (Some(min), Some(request)) = (min, request)
        && min > request
    {
        let words = format!("min value {min} is greater than default request value {request}");
        refuse("defaultRequest", request, words);
    }
    if let (Some(request), Some(max)) = (request, max)
        && request > max
    {
        let words = format!("default request value {request} is greater than max value {max}");
        refuse("defaultRequest", request, words);
    }
    if let (Some(request), Some(default)) = (request, default)
        && request > default
    {
        let words = format!("default request value {request} is greater than default limit value {default}");
        refuse("defaultRequest", request, words);
    }
    if let (Some(min), Some(default)) = (min, default)
        && min > default
    {
        refuse("default", min, format!("min value {min} is greater than default value {default}"));
    }
    if let (Some(default), Some(max)) = (default, max)
        && default > max
    {
        refuse("default", max, format!("default value {default} is greater than max value {max}"));
    }
    if let Some(ratio) = ratio {
        if ratio < Quantity::from_milli(1000, oarlock_api::quantity::Format::DecimalSi) {
            refuse("maxLimitRequestRatio", ratio, format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (min, max) {
            let most = max.as_f64() / min.as_f64();
            if ratio.as_f64() > most {
                let words = format!("ratio {ratio} is greater than max/min = {most:.6}");
                refuse("maxLimitRequestRatio", ratio, words);
            }
        }
    }
    if let (Some(default), Some(request)) = (default, request)
        && !podspec::may_be_overcommitted(name)
        && default != request
    {
        let words = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        refuse("defaultRequest", request, words);
    }
}
