//! Names with a meaning in access decisions.

pub(crate) const ANONYMOUS: &str = "system:anonymous";
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
pub(crate) const MASTERS: &str = "system:masters";
pub(crate) const NODES_GROUP: &str = "system:nodes";
pub(crate) const SERVICE_ACCOUNTS_GROUP: &str = "system:serviceaccounts";
pub(crate) const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
pub(crate) const NODE_PREFIX: &str = "system:node:";
pub(crate) const MIRROR_POD_ANNOTATION: &str = "kubernetes.io/config.mirror";

pub(crate) const EXTRA_POD_NAME: &str = "authentication.kubernetes.io/pod-name";
pub(crate) const EXTRA_POD_UID: &str = "authentication.kubernetes.io/pod-uid";
pub(crate) const EXTRA_NODE_NAME: &str = "authentication.kubernetes.io/node-name";
pub(crate) const EXTRA_NODE_UID: &str = "authentication.kubernetes.io/node-uid";
pub(crate) const EXTRA_CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

use crate::types::User;

/// `system:serviceaccount:NAMESPACE:NAME`.
pub(crate) fn service_account_user(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The inverse of [`service_account_user`]; `None` where it is not one.
pub(crate) fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let good =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    (good(namespace) && !namespace.contains('.') && good(name)).then_some((namespace, name))
}

pub(crate) fn service_account_groups(namespace: &str) -> [String; 2] {
    [SERVICE_ACCOUNTS_GROUP.into(), format!("{SERVICE_ACCOUNTS_GROUP}:{namespace}")]
}

/// The node that a user is. `None`: not a node; the empty string: a node of which nobody knows which.
pub(crate) fn node_identity(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix(NODE_PREFIX)?;
    user.groups.iter().any(|g| g == NODES_GROUP).then_some(name)
}
