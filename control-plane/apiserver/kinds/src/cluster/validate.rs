//! Validation of the small groups' kinds.

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{entries, int, is_true, items, name, text};
use crate::{check, names, podspec};

const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

pub(super) fn lease(lease: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&lease["spec"], Path::new("spec"));
    let seconds = path.child("leaseDurationSeconds");
    check::at_least(&spec["leaseDurationSeconds"], 1, "must be greater than 0", &seconds, errors);
    check::not_negative(&spec["leaseTransitions"], &path.child("leaseTransitions"), errors);
    if let Some(strategy) = spec["strategy"].as_str().filter(|strategy| *strategy != "OldestEmulationVersion")
    {
        check::domain_path(strategy, &path.child("strategy"), errors);
    }
    if spec["strategy"].is_null() && !text(&spec["preferredHolder"]).is_empty() {
        let words = "may only be specified when `strategy` is defined";
        errors.push(FieldError::forbidden(path.child("preferredHolder"), words));
    }
}

/// Who would hold a lease. (`ValidateLeaseCandidate`)
pub(super) fn candidate(candidate: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&candidate["spec"], Path::new("spec"));
    check::named(&spec["leaseName"], names::subdomain, &path.child("leaseName"), errors);
    check::required(&spec["binaryVersion"], &path.child("binaryVersion"), errors);
    let strategy = text(&spec["strategy"]);
    if strategy == "OldestEmulationVersion" {
        check::required(&spec["emulationVersion"], &path.child("emulationVersion"), errors);
    } else {
        check::domain_path(strategy, &path.child("strategy"), errors);
    }
}

pub(super) fn candidate_changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let at = Path::new("spec").child("leaseName");
    check::immutable(&new["spec"]["leaseName"], &old["spec"]["leaseName"], &at, errors);
}

pub(super) fn disruption_budget(budget: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&budget["spec"], Path::new("spec"));
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let words = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(path.clone(), spec.clone(), words));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let at = path.child(field);
        check::int_or_percent(&spec[field], &at, errors);
        if check::percent(text(&spec[field])).is_some_and(|percent| percent > 100) {
            errors.push(FieldError::invalid(at, spec[field].clone(), "must not be greater than 100%"));
        }
    }
    check::selector(&spec["selector"], &path.child("selector"), errors);
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    check::given_one_of(
        &spec["unhealthyPodEvictionPolicy"],
        &policies,
        &path.child("unhealthyPodEvictionPolicy"),
        errors,
    );
}

pub(super) fn budget_changes(context: &Context<'_>, new: &Value, _old: &Value, errors: &mut FieldErrors) {
    if context.subresource != "status" {
        return;
    }
    let path = Path::new("status");
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        check::not_negative(&new["status"][field], &path.child(field), errors);
    }
    check::conditions(&new["status"]["conditions"], &path.child("conditions"), errors);
}

pub(super) fn new_priority_class(class: &Value, errors: &mut FieldErrors) {
    let (supported, at) = (["PreemptLowerPriority", "Never"], Path::new("preemptionPolicy"));
    if !class["preemptionPolicy"].is_null() {
        check::must_be_one_of(&class["preemptionPolicy"], &supported, &at, errors);
    }
    let (class_name, value) = (name(class), int(&class["value"]));
    if class_name.starts_with(SYSTEM_PREFIX) {
        let known = SYSTEM_CLASSES.iter().find(|(known, _)| *known == class_name);
        let words = match known {
            None => format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: \
                 {class_name} is not a known system priority class"
            ),
            Some((_, wanted)) if *wanted != value => format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: value of \
                 {class_name} PriorityClass must be {wanted}"
            ),
            Some(_) if is_true(&class["globalDefault"]) => format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: \
                 globalDefault of {class_name} PriorityClass must be false"
            ),
            Some(_) => return,
        };
        errors.push(FieldError::forbidden(Path::new("metadata").child("name"), words));
    } else if value > USER_PRIORITY_MAX {
        let words = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        errors.push(FieldError::forbidden(Path::new("value"), words));
    }
}

pub(super) fn priority_class_changes(
    _context: &Context<'_>,
    new: &Value,
    old: &Value,
    errors: &mut FieldErrors,
) {
    if int(&new["value"]) != int(&old["value"]) {
        errors.push(FieldError::forbidden(Path::new("value"), "may not be changed in an update."));
    }
    check::immutable(
        &new["preemptionPolicy"],
        &old["preemptionPolicy"],
        &Path::new("preemptionPolicy"),
        errors,
    );
}

pub(super) fn runtime_class(class: &Value, errors: &mut FieldErrors) {
    check::named(&class["handler"], names::dns_label, &Path::new("handler"), errors);
    podspec::overhead(&class["overhead"]["podFixed"], &Path::new("overhead").child("limits"), errors);
    let (scheduling, path) = (&class["scheduling"], Path::new("scheduling"));
    check::labels(&scheduling["nodeSelector"], &path.child("nodeSelector"), errors);
    let (list, at) = (items(&scheduling["tolerations"]), path.child("tolerations"));
    podspec::tolerations(&scheduling["tolerations"], &at, errors);
    for index in check::repeats(list, |t| [&t["key"], &t["operator"], &t["value"], &t["effect"]]) {
        let told = dump::object("io.k8s.api.core.v1.Toleration", &list[index]);
        errors.push(FieldError::duplicate_of(at.index(index), &told, ""));
    }
}

pub(super) fn runtime_class_warnings(class: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    let path = Path::new("scheduling").child("nodeSelector");
    for (key, _) in entries(&class["scheduling"]["nodeSelector"]) {
        if let Some(words) = podspec::warnings::deprecated_label(key) {
            warnings.push(format!("{}: {words}", path.key(key)));
        }
    }
}

pub(super) fn runtime_class_changes(
    _context: &Context<'_>,
    new: &Value,
    old: &Value,
    errors: &mut FieldErrors,
) {
    check::immutable(&new["handler"], &old["handler"], &Path::new("handler"), errors);
}
