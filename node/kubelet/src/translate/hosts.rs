//! A pod's name in its own eyes: the hostname and the managed `/etc/hosts`.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::PodExt as _;

/// The kernel's bound on a hostname.
const HOSTNAME_BYTES_MAX: usize = 63;

/// The hostname and, for pods in a subdomain, the full domain.
pub(crate) fn hostname_of(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = pod.spec();
    if let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (name.to_owned(), String::new());
    }
    let mut hostname = match spec.hostname.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => pod.name().chars().take(HOSTNAME_BYTES_MAX).collect(),
    };
    hostname.truncate(hostname.trim_end_matches(['-', '.']).len());
    let domain = match spec.subdomain.as_deref() {
        Some(subdomain) if !subdomain.is_empty() => {
            format!("{subdomain}.{}.svc.{cluster_domain}", pod.namespace())
        }
        _ => String::new(),
    };
    if spec.set_hostname_as_fqdn == Some(true) && !domain.is_empty() {
        hostname = format!("{hostname}.{domain}");
    }
    (hostname, domain)
}

/// The content of the managed `/etc/hosts`: the pod's own, or the node's for pods on the host's network.
pub(super) fn hosts_file(
    pod: &Pod,
    ips: &[String],
    cluster_domain: &str,
    node_hosts: Option<&str>,
) -> String {
    let mut text = String::new();
    match node_hosts {
        Some(node) => {
            text.push_str("# Kubernetes-managed hosts file (host network).\n");
            text.push_str(node);
        }
        None => {
            text.push_str("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
            text.push_str("fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
            let (hostname, domain) = hostname_of(pod, cluster_domain);
            for ip in ips {
                // Writing to a String cannot fail.
                let _ = if domain.is_empty() || hostname.ends_with(&domain) {
                    writeln!(text, "{ip}\t{hostname}")
                } else {
                    writeln!(text, "{ip}\t{hostname}.{domain}\t{hostname}")
                };
            }
        }
    }
    let aliases = pod.spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.clone().unwrap_or_default().join("\t");
            let _ = writeln!(text, "{}\t{names}", alias.ip); // writing to a String cannot fail
        }
    }
    text
}
