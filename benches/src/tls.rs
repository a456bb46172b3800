//! TLS towards API servers: with the trust and the identity of a kubeconfig, or with none, to ask for health.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Kubeconfig};
use oarlock_pki::AnyServer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server and how to speak to it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
    tls: Arc<ClientConfig>,
}

impl Target {
    /// The current context of a kubeconfig, over HTTP/2.
    pub(crate) fn of_kubeconfig(path: &Path) -> Result<Self> {
        let config = Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()))?;
        Self::of(&config).with_context(|| format!("in {}", path.display()))
    }

    fn of(config: &Kubeconfig) -> Result<Self> {
        let wanted = config.current_context.as_deref().context("no current context")?;
        let context = config.contexts.iter().find(|c| c.name == wanted).and_then(|c| c.context.as_ref());
        let context = context.with_context(|| format!("no context {wanted}"))?;
        let cluster =
            config.clusters.iter().find(|c| c.name == context.cluster).and_then(|c| c.cluster.as_ref());
        let cluster = cluster.context("the context's cluster is missing")?;
        let user = config.auth_infos.iter().find(|u| Some(&u.name) == context.user.as_ref());
        let user = user.and_then(|u| u.auth_info.clone()).unwrap_or_default();
        let ca =
            pem(cluster.certificate_authority_data.as_deref(), cluster.certificate_authority.as_deref())?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&ca.context("no certificate authority")?) {
            roots.add(certificate?)?;
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut tls = match identity(&user)? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let token = secret(&user, "token");
        Ok(Self {
            address: own_address(cluster.server.as_deref().unwrap_or_default())?,
            token,
            tls: Arc::new(tls),
        })
    }

    /// Any server at this address, over HTTP/1.1, whoever it is. For health only.
    pub(crate) fn unverified(address: SocketAddr) -> Self {
        let tls = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer::new(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))))
            .with_no_client_auth();
        Self { address, token: None, tls: Arc::new(tls) }
    }

    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        Ok(TlsConnector::from(self.tls.clone()).connect(name, stream).await?)
    }
}

/// A secret of a user. The struct hides these from debug output, but writes them as a kubeconfig does.
fn secret(user: &AuthInfo, field: &str) -> Option<String> {
    Some(serde_json::to_value(user).ok()?.get(field)?.as_str()?.to_string())
}

fn pem(data: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>> {
    Ok(match (data, file) {
        (Some(data), _) => Some(STANDARD.decode(data)?),
        (None, Some(file)) => Some(std::fs::read(file).with_context(|| format!("read {file}"))?),
        (None, None) => None,
    })
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(user: &AuthInfo) -> Result<Option<Identity>> {
    let chain = pem(user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let key = secret(user, "client-key-data");
    let key = pem(key.as_deref(), user.client_key.as_deref())?;
    let (Some(chain), Some(key)) = (chain, key) else { return Ok(None) };
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>()?;
    Ok(Some((chain, PrivateKeyDer::from_pem_slice(&key)?)))
}

/// The address in `https://address:port`. Only of this machine and its private networks: load is not for strangers.
fn own_address(server: &str) -> Result<SocketAddr> {
    let rest = server.strip_prefix("https://").with_context(|| format!("{server:?} is not https://"))?;
    let rest = rest.trim_end_matches('/').replace("localhost", "127.0.0.1");
    let address: SocketAddr = match rest.parse() {
        Ok(address) => address,
        Err(_) => {
            format!("{rest}:443").parse().with_context(|| format!("{server} has no address but a name"))?
        }
    };
    let own = match address.ip() {
        // 198.18/15 is for benchmarks (RFC 2544).
        std::net::IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_private() || matches!(ip.octets(), [198, 18 | 19, ..])
        }
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    };
    if !own {
        bail!("{address} is neither this machine nor a private network");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_servers_are_loaded() {
        for (server, want) in [
            ("https://127.0.0.1:6443", Some("127.0.0.1:6443")),
            ("https://localhost:6443/", Some("127.0.0.1:6443")),
            ("https://198.18.0.2:1", Some("198.18.0.2:1")),
            ("https://10.0.0.1", Some("10.0.0.1:443")),
            ("https://[::1]:8", Some("[::1]:8")),
            ("https://8.8.8.8:443", None),
            ("https://example.com", None),
            ("http://127.0.0.1:80", None),
        ] {
            assert_eq!(own_address(server).ok().map(|a| a.to_string()).as_deref(), want, "{server}");
        }
    }
}
