//! The file that tells kubectl where the cluster is and who asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Identity;

/// What goes into a kubeconfig with one cluster, one user and one context.
pub struct Kubeconfig<'a> {
    pub cluster: &'a str,
    pub user: &'a str,
    pub server: &'a str,
    pub ca_pem: &'a str,
    pub identity: &'a Identity,
}

/// The YAML text, in the shape that `kubectl config` writes.
pub fn kubeconfig_yaml(config: &Kubeconfig<'_>) -> String {
    let Kubeconfig { cluster, user, server, .. } = config;
    let ca = STANDARD.encode(config.ca_pem);
    let cert = STANDARD.encode(&config.identity.cert_pem);
    let key = STANDARD.encode(&config.identity.key_pem);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: {server}\n  \
         name: {cluster}\ncontexts:\n- context:\n    cluster: {cluster}\n    user: {user}\n  name: {user}@{cluster}\n\
         current-context: {user}@{cluster}\npreferences: {{}}\nusers:\n- name: {user}\n  user:\n    \
         client-certificate-data: {cert}\n    client-key-data: {key}\n"
    )
}
