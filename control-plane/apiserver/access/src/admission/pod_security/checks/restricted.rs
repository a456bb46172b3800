//! What a hardened workload does without.

use std::collections::BTreeSet;

use serde_json::Value;

use super::baseline::added_beyond;
use super::{Finding, Pod, Told, containers, finding, plural, quoted, setters};
use crate::value::{at, items, text, texts};

pub(super) fn privilege_escalation(pod: Pod<'_>) -> Option<Finding> {
    if pod.is_windows() {
        return None;
    }
    let names = pod.named(|c| c["securityContext"]["allowPrivilegeEscalation"] != false);
    (!names.is_empty()).then(|| {
        let who = containers(&names);
        let detail = format!("{who} must set securityContext.allowPrivilegeEscalation=false");
        finding("allowPrivilegeEscalation != false", detail)
    })
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Finding> {
    const ALLOWED: [&str; 1] = ["NET_BIND_SERVICE"];
    if pod.is_windows() {
        return None;
    }
    let drops_all = |c: &Value| {
        texts(c, &["securityContext", "capabilities", "drop"]).iter().any(|capability| capability == "ALL")
    };
    let keeping = pod.named(|c| !drops_all(c));
    let adding = pod.named(|c| !added_beyond(c, &ALLOWED).is_empty());
    let added: BTreeSet<String> = pod.containers().flat_map(|c| added_beyond(c, &ALLOWED)).collect();
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details
            .push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        let (who, what) = (containers(&adding), quoted(added));
        details.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    (!details.is_empty()).then(|| finding("unrestricted capabilities", details.join("; ")))
}

/// Here a user namespace is no excuse.
pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Finding> {
    super::proc_mount(pod)
}

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn volumes(pod: Pod<'_>) -> Option<Finding> {
    let is_set = |volume: &Value, kind: &str| volume.get(kind).is_some_and(|source| !source.is_null());
    let bad: Vec<&Value> = items(pod.spec, &["volumes"])
        .iter()
        .filter(|volume| !VOLUMES.iter().any(|kind| is_set(volume, kind)))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let names = bad.iter().map(|volume| text(volume, &["name"]));
    let types: BTreeSet<&str> = bad
        .iter()
        .map(|volume| {
            let fields = volume.as_object().into_iter().flatten();
            let mut set = fields.filter(|(key, source)| *key != "name" && !source.is_null());
            set.next().map_or("unknown", |(key, _)| key.as_str())
        })
        .collect();
    let detail = format!(
        "{} {} {} restricted volume {} {}",
        plural("volume", "volumes", bad.len()),
        quoted(names),
        plural("uses", "use", bad.len()),
        plural("type", "types", types.len()),
        quoted(types),
    );
    Some(finding("restricted volume types", detail))
}

pub(super) fn run_as_non_root(pod: Pod<'_>) -> Option<Finding> {
    const REASON: &str = "runAsNonRoot != true";
    if pod.in_user_namespace() {
        return None;
    }
    let word =
        |context: Option<&Value>| context.and_then(|c| at(c, &["runAsNonRoot"])).and_then(Value::as_bool);
    let of_pod = word(pod.security());
    let explicit = pod.named(|c| word(c.get("securityContext")) == Some(false));
    if of_pod == Some(false) || !explicit.is_empty() {
        let who = setters(of_pod == Some(false), &explicit);
        return Some(finding(REASON, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    let silent = pod.named(|c| word(c.get("securityContext")).is_none());
    (of_pod.is_none() && !silent.is_empty()).then(|| {
        finding(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
    })
}

pub(super) fn run_as_user(pod: Pod<'_>) -> Option<Finding> {
    if pod.in_user_namespace() {
        return None;
    }
    let root = |context: &Value| context["runAsUser"] == 0;
    let names = pod.named(|c| root(&c["securityContext"]));
    let of_pod = pod.security().is_some_and(root);
    (of_pod || !names.is_empty())
        .then(|| finding("runAsUser=0", format!("{} must not set runAsUser=0", setters(of_pod, &names))))
}

pub(super) fn seccomp(pod: Pod<'_>) -> Option<Finding> {
    const REASON: &str = "seccompProfile";
    if pod.is_windows() {
        return None;
    }
    let told = Told::of(pod, &["seccompProfile", "type"]);
    if let Some((who, values)) = told.bad(|profile| matches!(profile, "RuntimeDefault" | "Localhost")) {
        let what = quoted(values);
        return Some(finding(
            REASON,
            format!("{who} must not set securityContext.seccompProfile.type to {what}"),
        ));
    }
    let silent = told.silent();
    (told.pod.is_none() && !silent.is_empty()).then(|| {
        let who = containers(&silent);
        let detail = format!(
            "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
        );
        finding(REASON, detail)
    })
}
