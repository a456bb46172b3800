//! How kubelets are reached.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use oarlock_apiserver::{KubeletTls, parse_duration};
use oarlock_pki::Identity;

use super::faults::Faults;

const TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];

#[derive(Args, Debug, Clone)]
pub(crate) struct KubeletFlags {
    /// The certificate to show to kubelets [default: one of the cluster's authority]
    #[arg(long, value_name = "FILE", requires = "kubelet_client_key")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "kubelet_client_certificate")]
    pub kubelet_client_key: Option<PathBuf>,
    /// The authority of the kubelets' own certificates [default: the cluster's; none where --kubelet-client-certificate is told]
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Which addresses of a node are tried, the best first
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = TYPES, default_value = "InternalIP,ExternalIP,Hostname,InternalDNS,ExternalDNS")]
    pub kubelet_preferred_address_types: Vec<String>,
    /// How long a connection to a kubelet may take to come about
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub kubelet_timeout: Duration,
}

/// What is told of kubelets; what is not is the cluster's own.
#[derive(Debug, Default)]
pub(crate) struct ToldKubelets {
    identity: Option<Identity>,
    ca_pem: Option<String>,
    addresses: Vec<String>,
    timeout: Duration,
}

impl KubeletFlags {
    pub(super) fn read(&self, faults: &mut Faults) -> ToldKubelets {
        let cert = self.kubelet_client_certificate.as_deref();
        let cert_pem = faults.text("kubelet-client-certificate", cert);
        let key_pem = faults.text("kubelet-client-key", self.kubelet_client_key.as_deref());
        let identity = cert_pem.zip(key_pem).map(|(cert_pem, key_pem)| Identity { cert_pem, key_pem });
        if let Some(identity) = &identity {
            faults.take("kubelet-client-certificate", identity.certificates());
            faults.take("kubelet-client-key", identity.private_key());
        }
        let file = self.kubelet_certificate_authority.as_deref();
        ToldKubelets {
            identity,
            ca_pem: faults.text("kubelet-certificate-authority", file),
            addresses: self.kubelet_preferred_address_types.clone(),
            timeout: self.kubelet_timeout,
        }
    }
}

impl ToldKubelets {
    /// Whoever shows a certificate of another cluster's making finds kubelets that this cluster's authority does not know:
    /// they are verified where their authority is told, as upstream does.
    pub(crate) fn or(self, own: Identity, own_ca: &str) -> KubeletTls {
        let ca_pem = match (self.ca_pem, &self.identity) {
            (Some(ca), _) => Some(ca),
            (None, None) => Some(own_ca.to_string()),
            (None, Some(_)) => None,
        };
        let identity = Some(self.identity.unwrap_or(own));
        KubeletTls { identity, ca_pem, addresses: self.addresses, timeout: self.timeout }
    }
}
