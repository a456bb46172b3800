//! LimitRanges and ResourceQuotas.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::Context;
use crate::value::{entries, items, quantity, text};
use crate::{check, names, podspec};

pub(crate) static LIMIT_RANGE: Kind = Kind {
    create_on_update: true,
    validate: limit_range,
    cells: Some(crate::print::name_and_creation),
    ..Kind::PLAIN
};

pub(crate) static RESOURCE_QUOTA: Kind =
    Kind { validate: quota, changes: quota_changes, cells: Some(super::cells::quota), ..Kind::PLAIN };

fn limit_range(range: &Value, errors: &mut FieldErrors) {
    let path = Path::new("spec").child("limits");
    for (index, limit) in items(&range["spec"]["limits"]).iter().enumerate() {
        let path = path.index(index);
        check::named(&limit["type"], names::qualified, &path.child("type"), errors);
        if limit["type"] == "Pod" {
            for field in
                ["default", "defaultRequest"].iter().filter(|f| entries(&limit[**f]).next().is_some())
            {
                errors.push(FieldError::forbidden(
                    path.child(field),
                    "may not be specified when `type` is 'Pod'",
                ));
            }
        }
        limit_order(limit, &path, errors);
    }
}

/// min ≤ defaultRequest ≤ default ≤ max.
fn limit_order(limit: &Value, path: &Path, errors: &mut FieldErrors) {
    const ORDER: [(&str, &str, &str); 5] = [
        ("min", "max", "min"),
        ("defaultRequest", "max", "defaultRequest"),
        ("default", "max", "default"),
        ("min", "defaultRequest", "defaultRequest"),
        ("defaultRequest", "default", "defaultRequest"),
    ];
    const WORDS: [(&str, &str); 5] = [
        ("min value", "max value"),
        ("default request value", "max value"),
        ("default value", "max value"),
        ("min value", "default request value"),
        ("default request value", "default limit value"),
    ];
    for ((low, high, at), (low_words, high_words)) in ORDER.iter().zip(WORDS) {
        for (resource, value) in entries(&limit[*low]) {
            if let (Some(a), Some(b)) = (quantity(value), quantity(&limit[*high][resource]))
                && a > b
            {
                let told = if at == low { a } else { b };
                let words = format!("{low_words} {a} is greater than {high_words} {b}");
                errors.push(FieldError::invalid(path.child(at).key(resource), told.to_string(), words));
            }
        }
    }
}

fn quota(quota: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&quota["spec"], Path::new("spec"));
    for (resource, value) in entries(&spec["hard"]) {
        let at = path.child("hard").key(resource);
        check::syntax(resource, names::qualified, &at, errors);
        if let Some(amount) = quantity(value) {
            podspec::not_negative(amount, &at, errors);
        }
    }
    for (index, requirement) in items(&spec["scopeSelector"]["matchExpressions"]).iter().enumerate() {
        let at = path.child("scopeSelector").child("matchExpressions").index(index);
        let operators = ["DoesNotExist", "Exists", "In", "NotIn"];
        if !operators.contains(&text(&requirement["operator"])) {
            let words = "not a valid selector operator";
            errors.push(FieldError::invalid(at.child("operator"), text(&requirement["operator"]), words));
        }
    }
}

fn quota_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let changed = new["spec"]["scopes"] != old["spec"]["scopes"];
    if context.subresource.is_empty() && changed {
        let at = Path::new("spec").child("scopes");
        errors.push(FieldError::invalid(at, new["spec"]["scopes"].clone(), check::IMMUTABLE));
    }
}
