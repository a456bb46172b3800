//! How the server shows itself to kubelets, and whether it checks who they are.

use std::sync::Arc;
use std::time::Duration;

use oarlock_pki::{Identity, PkiError, client_config, client_config_for_any_server};
use rustls::ClientConfig;

/// How kubelets are reached. `--kubelet-client-certificate`, `--kubelet-client-key` and `--kubelet-certificate-authority`.
#[derive(Debug, Clone)]
pub struct KubeletTls {
    pub identity: Option<Identity>,
    /// None: kubelets are not verified, which is upstream's default.
    pub ca_pem: Option<String>,
    /// `--kubelet-preferred-address-types`
    pub addresses: Vec<String>,
    /// `--kubelet-timeout`: how long a connection may take to come about.
    pub timeout: Duration,
}

impl Default for KubeletTls {
    /// kubeadm puts addresses before names, for names of nodes are seldom resolvable; so do we.
    fn default() -> Self {
        let order = ["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"];
        let addresses = order.map(str::to_string).to_vec();
        Self { identity: None, ca_pem: None, addresses, timeout: Duration::from_secs(10) }
    }
}

pub(crate) fn client_tls(settings: &KubeletTls) -> Result<Arc<ClientConfig>, PkiError> {
    let identity = settings.identity.as_ref();
    match &settings.ca_pem {
        Some(ca) => client_config(ca, identity),
        None => client_config_for_any_server(identity),
    }
    .map(Arc::new)
}
