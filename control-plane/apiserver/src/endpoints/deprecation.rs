//! What upstream warns of whoever uses an old kind or version.

use std::borrow::Cow;

use crate::registry::Served;

/// Versions that upstream has given up: group, version, since when, and from when on they are gone.
const OLD: [(&str, &str, &str, &str); 9] = [
    ("admissionregistration.k8s.io", "v1alpha1", "1.35", "1.38"),
    ("certificates.k8s.io", "v1alpha1", "1.34", "1.37"),
    ("coordination.k8s.io", "v1alpha2", "1.35", "1.38"),
    ("coordination.k8s.io", "v1beta1", "1.36", "1.39"),
    ("networking.k8s.io", "v1beta1", "1.34", "1.37"),
    ("resource.k8s.io", "v1alpha3", "1.36", "1.39"),
    ("resource.k8s.io", "v1beta1", "1.35", "1.38"),
    ("resource.k8s.io", "v1beta2", "1.36", "1.39"),
    ("storage.k8s.io", "v1beta1", "1.34", "1.37"),
];

/// Kinds of these versions that are not old yet.
const YOUNG: [(&str, &str); 2] = [("v1alpha3", "ResourcePoolStatusRequest"), ("v1beta2", "DeviceTaintRule")];

pub(crate) fn deprecation(served: &Served) -> Option<Cow<'_, str>> {
    if let Some(custom) = &served.custom {
        return custom.version.deprecation.as_deref().map(Cow::from);
    }
    match (served.api.group, served.api.plural) {
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+".into()),
        ("", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into())
        }
        _ if served.api.served_by_default => None,
        (group, _) => of_version(group, served.api.version, served.api.kind).map(Cow::from),
    }
}

/// The release that does not serve it any more; empty where that is not said.
pub(crate) fn removed_release(served: &Served) -> &'static str {
    let (group, version) = (served.api.group, served.api.version);
    if served.custom.is_some() || served.api.served_by_default {
        return "";
    }
    OLD.iter().find(|(g, v, ..)| (*g, *v) == (group, version)).map_or("", |(.., until)| until)
}

fn of_version(group: &str, version: &str, kind: &str) -> Option<String> {
    let (.., since, until) = OLD.iter().find(|(g, v, ..)| (*g, *v) == (group, version))?;
    if YOUNG.contains(&(version, kind)) {
        return None;
    }
    let told = format!("{group}/{version} {kind} is deprecated in v{since}+, unavailable in v{until}+");
    Some(match kind {
        "VolumeAttributesClass" => format!("{told}; use {group}/v1 {kind}"),
        _ => told,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_in_upstreams_words() {
        let cases = [
            (
                ("networking.k8s.io", "v1beta1", "IPAddress"),
                Some("networking.k8s.io/v1beta1 IPAddress is deprecated in v1.34+, unavailable in v1.37+"),
            ),
            (
                ("storage.k8s.io", "v1beta1", "VolumeAttributesClass"),
                Some(
                    "storage.k8s.io/v1beta1 VolumeAttributesClass is deprecated in v1.34+, unavailable in v1.37+; use \
                     storage.k8s.io/v1 VolumeAttributesClass",
                ),
            ),
            (("resource.k8s.io", "v1beta2", "DeviceTaintRule"), None),
            (("scheduling.k8s.io", "v1alpha2", "Workload"), None),
        ];
        for ((group, version, kind), want) in cases {
            assert_eq!(of_version(group, version, kind).as_deref(), want);
        }
    }
}
