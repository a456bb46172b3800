//! The resolver configuration of a pod.

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};
use oarlock_cri::v1::DnsConfig;

use crate::context::Context;
use crate::pod::PodExt as _;

pub(super) fn dns_config(ctx: &Context, pod: &Pod) -> DnsConfig {
    let text = std::fs::read_to_string(&ctx.config.resolv_conf).unwrap_or_default();
    let host = parse(&text);
    let cluster: Vec<String> = ctx.config.cluster_dns.iter().map(ToString::to_string).collect();
    compose(
        pod.spec().dns_policy.as_deref().unwrap_or("ClusterFirst"),
        pod.host_network(),
        pod.namespace(),
        &ctx.config.cluster_domain,
        &cluster,
        host,
        pod.spec().dns_config.as_ref(),
    )
}

fn parse(resolv_conf: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            // The last one wins, as in the resolver.
            Some("search") => {
                config.searches = words.filter(|&word| word != ".").map(str::to_owned).collect()
            }
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config
}

fn compose(
    policy: &str,
    host_network: bool,
    namespace: &str,
    domain: &str,
    cluster_dns: &[String],
    host: DnsConfig,
    extra: Option<&PodDNSConfig>,
) -> DnsConfig {
    let use_cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !host_network,
        _ => false,
    };
    let mut config = match policy {
        "None" => DnsConfig::default(),
        _ if use_cluster && !cluster_dns.is_empty() => {
            let mut searches = Vec::new();
            if !domain.is_empty() {
                searches =
                    vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
            }
            searches.extend(host.searches);
            DnsConfig { servers: cluster_dns.to_vec(), searches, options: vec!["ndots:5".into()] }
        }
        _ => host,
    };
    if let Some(extra) = extra {
        let add = |list: &mut Vec<String>, more: Option<&Vec<String>>| {
            for word in more.into_iter().flatten() {
                if !list.contains(word) {
                    list.push(word.clone());
                }
            }
        };
        add(&mut config.servers, extra.nameservers.as_ref());
        add(&mut config.searches, extra.searches.as_ref());
        for option in extra.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            config.options.retain(|known| known.split(':').next() != Some(name.as_str()));
            config.options.push(match &option.value {
                Some(value) => format!("{name}:{value}"),
                None => name,
            });
        }
    }
    let mut seen = std::collections::HashSet::new();
    config.searches.retain(|search| seen.insert(search.clone()));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let cluster = ["10.96.0.10".to_owned()];
        let host = || parse("# made by hand\nnameserver 1.1.1.1\nsearch corp.example\noptions edns0\n");
        let line = |config: DnsConfig| {
            format!(
                "{} | {} | {}",
                config.servers.join(" "),
                config.searches.join(" "),
                config.options.join(" ")
            )
        };
        let first =
            "10.96.0.10 | shop.svc.cluster.local svc.cluster.local cluster.local corp.example | ndots:5";
        for (policy, host_network, expected) in [
            ("ClusterFirst", false, first),
            ("ClusterFirst", true, "1.1.1.1 | corp.example | edns0"),
            ("ClusterFirstWithHostNet", true, first),
            ("Default", false, "1.1.1.1 | corp.example | edns0"),
            ("None", false, " |  | "),
        ] {
            let config = compose(policy, host_network, "shop", "cluster.local", &cluster, host(), None);
            assert_eq!(line(config), expected, "{policy} {host_network}");
        }
        let extra = serde_json::json!({ "nameservers": ["9.9.9.9"], "searches": ["x"], "options": [{ "name": "ndots", "value": "2" }] });
        let extra: PodDNSConfig = serde_json::from_value(extra).expect("a DNS config");
        let config = compose("ClusterFirst", false, "shop", "", &cluster, DnsConfig::default(), Some(&extra));
        assert_eq!(line(config), "10.96.0.10 9.9.9.9 | x | ndots:2");
    }
}
