//! What a request's path names.

use percent_encoding::percent_decode_str;

/// A resource of the fake: group, version and plural.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResourceId {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
}

impl ResourceId {
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Object {
        resource: ResourceId,
        namespace: String,
        name: String,
        subresource: String,
    },
    /// An empty namespace is all of them.
    Collection {
        resource: ResourceId,
        namespace: String,
    },
    /// `/api`, `/apis`.
    Groups {
        core: bool,
    },
    /// `/api/v1`, `/apis/apps/v1`.
    Resources {
        group: String,
        version: String,
    },
    Unknown,
}

pub(super) fn parse(path: &str) -> Target {
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["api"] => Target::Groups { core: true },
        ["apis"] => Target::Groups { core: false },
        ["api", version, rest @ ..] => parse_resource("", version, rest),
        ["apis", group, version, rest @ ..] => parse_resource(group, version, rest),
        _ => Target::Unknown,
    }
}

fn parse_resource(group: &str, version: &str, rest: &[&str]) -> Target {
    let resource =
        |plural: &str| ResourceId { group: group.into(), version: version.into(), plural: plural.into() };
    let object = |plural: &str, namespace: &str, name: &str, subresource: &[&str]| Target::Object {
        resource: resource(plural),
        namespace: namespace.into(),
        name: name.into(),
        subresource: subresource.join("/"),
    };
    match rest {
        [] => Target::Resources { group: group.into(), version: version.into() },
        ["namespaces", name] => object("namespaces", "", name, &[]),
        ["namespaces", name, sub @ ("status" | "finalize")] => object("namespaces", "", name, &[sub]),
        ["namespaces", namespace, plural] => {
            Target::Collection { resource: resource(plural), namespace: (*namespace).into() }
        }
        ["namespaces", namespace, plural, name, sub @ ..] => object(plural, namespace, name, sub),
        [plural] => Target::Collection { resource: resource(plural), namespace: String::new() },
        [plural, name, sub @ ..] => object(plural, "", name, sub),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_target() {
        let show = |path: &str| match parse(path) {
            Target::Object { resource, namespace, name, subresource } => {
                format!("{}|{}|{namespace}|{name}|{subresource}", resource.api_version(), resource.plural)
            }
            Target::Collection { resource, namespace } => {
                format!("{}|{}|{namespace}", resource.api_version(), resource.plural)
            }
            other => format!("{other:?}"),
        };
        for (path, expected) in [
            ("/api/v1/pods", "v1|pods|"),
            ("/api/v1/namespaces", "v1|namespaces|"),
            ("/api/v1/namespaces/a", "v1|namespaces||a|"),
            ("/api/v1/namespaces/a/finalize", "v1|namespaces||a|finalize"),
            ("/api/v1/namespaces/a/pods", "v1|pods|a"),
            ("/apis/apps/v1/namespaces/a/deployments/web/status", "apps/v1|deployments|a|web|status"),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                "rbac.authorization.k8s.io/v1|clusterroles||system:node|",
            ),
            ("/apis", "Groups { core: false }"),
        ] {
            assert_eq!(show(path), expected);
        }
    }
}
