//! Who is who in a cluster: the certificates of its members, as kubeadm names them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oarlock_apiserver::FrontProxy;
use oarlock_pki::{Authority, Identity, Kubeconfig, Profile, SigningKey, SubjectName, kubeconfig_yaml};

use crate::layout::Layout;

pub(crate) const NODES_GROUP: &str = "system:nodes";
const MASTERS_GROUP: &str = "system:masters";
pub(crate) const SCHEDULER: &str = "system:kube-scheduler";
pub(crate) const PROXY: &str = "system:kube-proxy";

/// The keys of a cluster whose control plane is on this machine.
pub(crate) struct ClusterKeys {
    pub authority: Authority,
    pub service_accounts: SigningKey,
    layout: Layout,
}

/// The names and addresses of the API server.
pub(crate) struct ServerNames {
    pub cluster_domain: String,
    pub first_service_ip: Ipv4Addr,
    pub advertise: IpAddr,
    pub host: String,
    pub further: Vec<String>,
    /// Where the certificate is kept, if not with the others.
    pub kept_in: Option<PathBuf>,
}

impl ClusterKeys {
    pub(crate) fn load_or_create(layout: &Layout) -> Result<Self> {
        let authority =
            Authority::load_or_create(&layout.pki("ca.crt"), &layout.pki("ca.key"), "kubernetes")?;
        let service_accounts = SigningKey::load_or_create(&layout.pki("sa.key"))?;
        Ok(Self { authority, service_accounts, layout: layout.clone() })
    }

    /// Whether a control plane has made its keys here, so that an agent can make its own.
    pub(crate) fn are_there(layout: &Layout) -> bool {
        layout.pki("ca.key").exists()
    }

    pub(crate) fn api_server(&self, names: &ServerNames) -> Result<Identity> {
        let domain = &names.cluster_domain;
        let mut all: Vec<SubjectName> = [
            "kubernetes".to_string(),
            "kubernetes.default".into(),
            "kubernetes.default.svc".into(),
            format!("kubernetes.default.svc.{domain}"),
            "localhost".into(),
            names.host.clone(),
        ]
        .into_iter()
        .map(SubjectName::Dns)
        .collect();
        all.extend(
            [IpAddr::from(Ipv4Addr::LOCALHOST), names.first_service_ip.into(), names.advertise]
                .map(SubjectName::Ip),
        );
        for name in &names.further {
            all.push(name.parse().map_or_else(|_| SubjectName::Dns(name.clone()), SubjectName::Ip));
        }
        all.dedup();
        let (cert, key) = self.api_server_files(names.kept_in.as_deref());
        let profile = Profile::server("kube-apiserver", all);
        self.authority.identity(&cert, &key, &profile).context("make the certificate apiserver")
    }

    /// Certificate and key of the API server.
    pub(crate) fn api_server_files(&self, kept_in: Option<&Path>) -> (PathBuf, PathBuf) {
        let file = |name: &str| kept_in.map_or_else(|| self.layout.pki(name), |dir| dir.join(name));
        (file("apiserver.crt"), file("apiserver.key"))
    }

    pub(crate) fn kubelet_client(&self) -> Result<Identity> {
        self.kept(
            "apiserver-kubelet-client",
            &Profile::client("kube-apiserver-kubelet-client", MASTERS_GROUP),
        )
    }

    /// Who this server is to the servers that it proxies to; their trust in it has an authority of its own.
    pub(crate) fn front_proxy(&self) -> Result<FrontProxy> {
        const NAME: &str = "front-proxy-client";
        let paths = (self.layout.pki("front-proxy-ca.crt"), self.layout.pki("front-proxy-ca.key"));
        let authority = Authority::load_or_create(&paths.0, &paths.1, "front-proxy-ca")?;
        let (cert, key) =
            (self.layout.pki("front-proxy-client.crt"), self.layout.pki("front-proxy-client.key"));
        let identity = authority
            .identity(&cert, &key, &Profile::client(NAME, ""))
            .context("make the certificate front-proxy-client")?;
        Ok(FrontProxy {
            identity: Some(identity),
            ca_pem: Some(authority.cert_pem().to_string()),
            allowed_names: vec![NAME.into()],
        })
    }

    pub(crate) fn admin(&self) -> Result<Identity> {
        self.kept("admin", &Profile::client("kubernetes-admin", MASTERS_GROUP))
    }

    /// The kubelet's side as a server, and as a client of the API.
    pub(crate) fn kubelet_server(&self, node: &str, ip: IpAddr) -> Result<Identity> {
        let names = vec![SubjectName::Dns(node.to_string()), SubjectName::Ip(ip)];
        self.kept(&format!("kubelet-{node}"), &Profile::server(&format!("system:node:{node}"), names))
    }

    /// An identity for a component in a process of its own; made each time, never written.
    pub(crate) fn client(&self, user: &str, group: &str) -> Result<Identity> {
        Ok(self.authority.issue(&Profile::client(user, group))?)
    }

    pub(crate) fn kubeconfig(&self, server: &str, user: &str, identity: &Identity) -> String {
        kubeconfig_yaml(&Kubeconfig {
            cluster: "oarlock",
            user,
            server,
            ca_pem: self.authority.cert_pem(),
            identity,
        })
    }

    fn kept(&self, name: &str, profile: &Profile) -> Result<Identity> {
        let cert = self.layout.pki(&format!("{name}.crt"));
        let key = self.layout.pki(&format!("{name}.key"));
        self.authority.identity(&cert, &key, profile).with_context(|| format!("make the certificate {name}"))
    }
}
