//! What each Service wants of the packet filter, from the Service and its EndpointSlices. Pure.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// An address at which a Service port is reached, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub at: At,
    pub protocol: Protocol,
    pub port: u16,
    pub masquerade: Masquerade,
    /// In a stable order, without repetition.
    pub endpoints: Vec<SocketAddrV4>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    /// A cluster, external or load balancer address.
    Address(Ipv4Addr),
    /// Every address of the node.
    NodePort,
}

/// Whose source address is replaced, so that the answer comes back through this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Masquerade {
    Never,
    OutsideOfCluster,
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The number in the IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    fn parse(name: Option<&str>) -> Option<Self> {
        match name.unwrap_or("TCP") {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }
}

/// All entries of one Service. Headless and ExternalName Services have none.
pub(crate) fn entries<'a>(
    service: &Service,
    slices: impl Iterator<Item = &'a EndpointSlice> + Clone,
    node_name: &str,
) -> Vec<Entry> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let clusters = addresses(spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip));
    if clusters.is_empty() {
        return Vec::new();
    }
    let externals = external_addresses(service);
    let mut out = Vec::new();
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else { continue };
        let all = endpoints(slices.clone(), port, node_name, false);
        let local = || endpoints(slices.clone(), port, node_name, true);
        let inside =
            if spec.internal_traffic_policy.as_deref() == Some("Local") { local() } else { all.clone() };
        for address in &clusters {
            out.push(Entry {
                at: At::Address(*address),
                protocol,
                port: port_number(port.port),
                masquerade: Masquerade::OutsideOfCluster,
                endpoints: inside.clone(),
            });
        }
        let only_local = spec.external_traffic_policy.as_deref() == Some("Local");
        let masquerade = if only_local { Masquerade::Never } else { Masquerade::Always };
        let outside = if only_local { local() } else { all };
        for address in &externals {
            out.push(Entry {
                at: At::Address(*address),
                protocol,
                port: port_number(port.port),
                masquerade,
                endpoints: outside.clone(),
            });
        }
        if let Some(node_port) = port.node_port.filter(|p| *p > 0) {
            out.push(Entry {
                at: At::NodePort,
                protocol,
                port: port_number(node_port),
                masquerade,
                endpoints: outside,
            });
        }
    }
    out
}

fn addresses<'a>(texts: impl Iterator<Item = &'a String>) -> BTreeSet<Ipv4Addr> {
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn external_addresses(service: &Service) -> BTreeSet<Ipv4Addr> {
    let given = service.spec.iter().flat_map(|spec| spec.external_ips.iter().flatten());
    let mut found = addresses(given);
    let balancer =
        service.status.iter().flat_map(|s| &s.load_balancer).flat_map(|b| b.ingress.iter().flatten());
    for ingress in balancer {
        // Mode Proxy: the balancer wants the traffic for itself.
        if ingress.ip_mode.as_deref() != Some("Proxy") {
            found.extend(ingress.ip.as_ref().and_then(|ip| ip.parse::<Ipv4Addr>().ok()));
        }
    }
    found
}

/// The validated API holds ports in 1..=65535; anything else becomes a port that nothing reaches.
fn port_number(port: i32) -> u16 {
    u16::try_from(port).unwrap_or(0)
}

/// The endpoints of a port: those that are ready; where there are none, those that still serve while they end (KEP-1669).
fn endpoints<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    port: &ServicePort,
    node_name: &str,
    only_local: bool,
) -> Vec<SocketAddrV4> {
    let mut ready = BTreeSet::new();
    let mut serving = BTreeSet::new();
    for slice in slices.filter(|slice| slice.address_type == "IPv4") {
        let Some(number) = slice_port(slice, port) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            if only_local && endpoint.node_name.as_deref() != Some(node_name) {
                continue;
            }
            let group = if is_ready(endpoint) {
                &mut ready
            } else if is_serving(endpoint) {
                &mut serving
            } else {
                continue;
            };
            let addresses = endpoint.addresses.iter().filter_map(|a| a.parse::<Ipv4Addr>().ok());
            group.extend(addresses.map(|address| SocketAddrV4::new(address, number)));
        }
    }
    let chosen = if ready.is_empty() { serving } else { ready };
    chosen.into_iter().collect()
}

fn slice_port(slice: &EndpointSlice, port: &ServicePort) -> Option<u16> {
    let found = slice.ports.iter().flatten().find(|candidate| {
        candidate.name.as_deref().unwrap_or("") == port.name.as_deref().unwrap_or("")
            && candidate.protocol.as_deref().unwrap_or("TCP") == port.protocol.as_deref().unwrap_or("TCP")
    })?;
    u16::try_from(found.port?).ok()
}

/// Unset means ready.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true)
}

fn is_serving(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.and_then(|c| c.serving).unwrap_or_else(|| is_ready(endpoint))
        && conditions.and_then(|c| c.terminating).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(spec: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}))
            .expect("a Service")
    }

    fn slice(endpoints: Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": "web-1"}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints,
        }))
        .expect("an EndpointSlice")
    }

    fn check(name: &str, spec: Value, endpoints: Value, want: &[&str]) {
        let slices = [slice(endpoints)];
        let got: Vec<String> = entries(&service(spec), slices.iter(), "here")
            .iter()
            .map(|e| {
                let front = match e.at {
                    At::Address(a) => a.to_string(),
                    At::NodePort => "node".into(),
                };
                let ends: Vec<String> = e.endpoints.iter().map(ToString::to_string).collect();
                format!("{front}:{} {:?} {:?} [{}]", e.port, e.protocol, e.masquerade, ends.join(" "))
            })
            .collect();
        assert_eq!(got, want, "{name}");
    }

    #[test]
    fn a_service_becomes_its_entries() {
        let cluster = json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]});
        let two = json!([
            {"addresses": ["10.244.0.3"], "nodeName": "here", "conditions": {"ready": true}},
            {"addresses": ["10.244.1.3"], "nodeName": "there"},
        ]);
        let want = ["10.96.0.9:80 Tcp OutsideOfCluster [10.244.0.3:8080 10.244.1.3:8080]"];
        check("unset ready is ready", cluster.clone(), two.clone(), &want);
        let draining = json!([
            {"addresses": ["10.244.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["10.244.0.4"], "conditions": {"ready": false, "serving": false, "terminating": true}},
        ]);
        let want = ["10.96.0.9:80 Tcp OutsideOfCluster [10.244.0.3:8080]"];
        check("without a ready one, the draining serve", cluster, draining, &want);
        let local = json!({"type": "NodePort", "clusterIP": "10.96.0.9", "externalTrafficPolicy": "Local",
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
        check(
            "a local policy keeps the source and the node",
            local,
            two.clone(),
            &[
                "10.96.0.9:80 Tcp OutsideOfCluster [10.244.0.3:8080 10.244.1.3:8080]",
                "node:30080 Tcp Never [10.244.0.3:8080]",
            ],
        );
        check("headless has none", json!({"clusterIP": "None", "ports": [{"port": 80}]}), two.clone(), &[]);
        check("an alias has none", json!({"type": "ExternalName", "externalName": "x.test"}), two, &[]);
    }
}
