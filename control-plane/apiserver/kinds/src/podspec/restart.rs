//! When containers start again: their own policies and rules, and whether a resize restarts them.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check;
use crate::value::{items, text};

const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const ACTIONS: [&str; 2] = ["Restart", "RestartAllContainers"];
const RULES_MAX: usize = 20;
const VALUES_MAX: usize = 255;

/// A container's own restart policy and its rules. (KEP-5307)
pub(super) fn policy(container: &Value, path: &Path, errors: &mut FieldErrors) {
    let at = path.child("restartPolicy");
    let (policy, rules) = (&container["restartPolicy"], items(&container["restartPolicyRules"]));
    if !policy.is_null() {
        let given = text(policy);
        if !POLICIES.contains(&given) {
            errors.push(FieldError::not_supported(at.clone(), given, &POLICIES));
        }
    }
    if rules.is_empty() {
        return;
    }
    if policy.is_null() {
        errors.push(FieldError::required(at, "must specify restartPolicy when restart rules are used"));
    }
    let at = path.child("restartPolicyRules");
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_long(at.clone(), RULES_MAX));
    }
    for (index, rule) in rules.iter().enumerate() {
        rule_of(rule, &at.index(index), errors);
    }
}

fn rule_of(rule: &Value, path: &Path, errors: &mut FieldErrors) {
    check::must_be_one_of(&rule["action"], &ACTIONS, &path.child("action"), errors);
    let (codes, at) = (&rule["exitCodes"], path.child("exitCodes"));
    if codes.is_null() {
        return errors.push(FieldError::required(at, "must be specified"));
    }
    check::must_be_one_of(&codes["operator"], &["In", "NotIn"], &at.child("operator"), errors);
    let values = items(&codes["values"]);
    if values.is_empty() {
        errors.push(FieldError::required(at.child("values"), "must specify at least one value"));
    } else if values.len() > VALUES_MAX {
        errors.push(FieldError::too_long(at.child("values"), VALUES_MAX));
    }
}

/// Whether a change of resources restarts the container.
pub(super) fn resize_policy(container: &Value, spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let list = items(&container["resizePolicy"]);
    for index in check::repeats(list, |policy| [&policy["resourceName"]]) {
        errors.push(FieldError::duplicate(path.index(index), text(&list[index]["resourceName"])));
    }
    for policy in list {
        check::must_be_one_of(&policy["resourceName"], &["cpu", "memory"], path, errors);
        let restart = &policy["restartPolicy"];
        check::must_be_one_of(restart, &["NotRequired", "RestartContainer"], path, errors);
        if spec["restartPolicy"] == "Never" && restart != "NotRequired" {
            let words = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path.clone(), text(restart), words));
        }
    }
}
