//! Security contexts of pods and containers.

use std::sync::LazyLock;

use oarlock_api::{FieldError, FieldErrors, Path};
use regex::Regex;
use serde_json::Value;

use crate::check;
use crate::check::Seen;
use crate::value::{is_true, items, text, texts};

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL: &str = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

static SYSCTL_NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("^{SYSCTL}$")).expect("the expression is constant and valid"));

fn id(value: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some(id) = value.as_i64().filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
        errors.push(FieldError::invalid(path.clone(), id, "must be between 0 and 2147483647, inclusive"));
    }
}

pub(super) fn pod(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let (context, path) = (&spec["securityContext"], path.child("securityContext"));
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        id(&context[field], &path.child(field), errors);
    }
    for (index, group) in items(&context["supplementalGroups"]).iter().enumerate() {
        id(group, &path.child("supplementalGroups").index(index), errors);
    }
    let change = path.child("fsGroupChangePolicy");
    check::one_of(&context["fsGroupChangePolicy"], &["Always", "OnRootMismatch"], &change, errors);
    let groups = path.child("supplementalGroupsPolicy");
    check::one_of(&context["supplementalGroupsPolicy"], &["Merge", "Strict"], &groups, errors);
    sysctls(&context["sysctls"], &path.child("sysctls"), errors);
    profiles(context, &path, errors);
}

fn sysctls(sysctls: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut seen = Seen::new();
    for (index, sysctl) in items(sysctls).iter().enumerate() {
        let (at, name) = (path.index(index).child("name"), text(&sysctl["name"]));
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if name.len() > 253 || !SYSCTL_NAME.is_match(name) {
            let words = format!("must have at most 253 characters and match regex ^{SYSCTL}$");
            errors.push(FieldError::invalid(at, name, words));
        } else {
            seen.add(name, &at, errors);
        }
    }
}

fn profiles(context: &Value, path: &Path, errors: &mut FieldErrors) {
    for (field, word) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        if context[field].is_object() {
            profile(&context[field], word, &path.child(field), errors);
        }
    }
}

fn profile(profile: &Value, word: &str, path: &Path, errors: &mut FieldErrors) {
    let (local, at) = (&profile["localhostProfile"], path.child("localhostProfile"));
    check::must_be_one_of(&profile["type"], &PROFILES, &path.child("type"), errors);
    if profile["type"] == "Localhost" {
        if text(local).is_empty() {
            errors.push(FieldError::required(at, format!("must be set when {word} type is Localhost")));
        } else if word == "seccomp" {
            super::volume::inner_path(text(local), &at, errors);
        }
    } else if !local.is_null() {
        errors.push(FieldError::invalid(
            at,
            local.clone(),
            format!("can only be set when {word} type is Localhost"),
        ));
    }
}

pub(super) fn container(context: &Value, path: &Path, errors: &mut FieldErrors) {
    for field in ["runAsUser", "runAsGroup"] {
        id(&context[field], &path.child(field), errors);
    }
    check::one_of(&context["procMount"], &["Default", "Unmasked"], &path.child("procMount"), errors);
    profiles(context, path, errors);
    if context["allowPrivilegeEscalation"] == false {
        let refuse = |words: &str| FieldError::invalid(path.clone(), context.clone(), words);
        if is_true(&context["privileged"]) {
            errors.push(refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
        }
        if texts(&context["capabilities"]["add"]).any(|c| c == "CAP_SYS_ADMIN") {
            errors.push(refuse(
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ));
        }
    }
}
