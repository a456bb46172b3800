//! Where objects are kept: upstream's key layout, so that either server reads the other's store.

use oarlock_api::GroupResource;

/// Everything of ours is below this.
pub(crate) const ROOT: &str = "/registry/";

/// `/registry/pods/`, `/registry/services/specs/`, `/registry/apiregistration.k8s.io/apiservices/`.
pub(crate) fn prefix_of(resource: &GroupResource) -> String {
    let place = match (&*resource.group, &*resource.resource) {
        ("", "replicationcontrollers") => "controllers".to_string(),
        ("", "endpoints") => "services/endpoints".to_string(),
        ("", "services") => "services/specs".to_string(),
        ("", "nodes") => "minions".to_string(),
        ("networking.k8s.io", "ingresses") => "ingress".to_string(),
        // These are served by servers of their own upstream, which put the group into the key.
        (group @ ("apiextensions.k8s.io" | "apiregistration.k8s.io"), resource) => {
            format!("{group}/{resource}")
        }
        (_, resource) => resource.to_string(),
    };
    format!("{ROOT}{place}/")
}

/// The key of one object; `namespace` is empty for what has none.
pub(crate) fn key_of(prefix: &str, namespace: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + namespace.len() + name.len() + 1);
    key.extend_from_slice(prefix.as_bytes());
    if !namespace.is_empty() {
        key.extend_from_slice(namespace.as_bytes());
        key.push(b'/');
    }
    key.extend_from_slice(name.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_upstreams() {
        let check = |group, resource, namespace, want: &str| {
            let prefix = prefix_of(&GroupResource::new(group, resource));
            assert_eq!(String::from_utf8(key_of(&prefix, namespace, "x")).expect("text"), want);
        };
        check("", "pods", "a", "/registry/pods/a/x");
        check("", "nodes", "", "/registry/minions/x");
        check("", "services", "a", "/registry/services/specs/a/x");
        check("apps", "deployments", "a", "/registry/deployments/a/x");
        check("networking.k8s.io", "ingresses", "a", "/registry/ingress/a/x");
        check("apiregistration.k8s.io", "apiservices", "", "/registry/apiregistration.k8s.io/apiservices/x");
    }
}
