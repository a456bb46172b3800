//! How the server shows itself to kubelets, and whether it checks who they are.

use std::sync::Arc;

use oarlock_pki::{Identity, PkiError, client_config, client_config_for_any_server};
use rustls::ClientConfig;

/// `--kubelet-client-certificate`, `--kubelet-client-key` and `--kubelet-certificate-authority`.
#[derive(Debug, Clone, Default)]
pub struct KubeletTls {
    pub identity: Option<Identity>,
    /// None: kubelets are not verified, which is upstream's default.
    pub ca_pem: Option<String>,
}

pub(crate) fn client_tls(settings: &KubeletTls) -> Result<Arc<ClientConfig>, PkiError> {
    let identity = settings.identity.as_ref();
    match &settings.ca_pem {
        Some(ca) => client_config(ca, identity),
        None => client_config_for_any_server(identity),
    }
    .map(Arc::new)
}
