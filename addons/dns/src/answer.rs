//! What the cluster answers to a question. Pure: the question and a view of the cluster in, records out.
//! (Kubernetes DNS-Based Service Discovery, 1.1.0)

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use crate::view::View;

/// Seconds that an answer may be kept, as kubeadm configures CoreDNS.
const TTL: u32 = 30;
const VERSION: &str = "1.1.0";

/// The outcome of a question.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// At least one record. Additional records spare the client a question.
    Records {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// The name is another name (ExternalName): the record, and where to go on.
    Alias {
        record: Box<Record>,
        target: Name,
    },
    /// The name exists, but nothing of this type.
    NoData,
    NoSuchName,
    /// Not the cluster's to say.
    Elsewhere,
}

/// The part of the name space that the cluster owns.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    domain: String,
    name: Name,
}

/// An address with the name of its endpoint.
struct Target {
    name: String,
    ip: IpAddr,
}

impl Zone {
    pub(crate) fn new(domain: &str) -> Option<Self> {
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        let name = Name::from_ascii(format!("{domain}.")).ok().filter(|_| !domain.is_empty())?;
        Some(Self { domain, name })
    }

    /// The record that says "ask here, and keep a no for so long".
    pub(crate) fn authority(&self) -> Record {
        let server = Name::from_ascii("ns.dns.").expect("a valid name").append_domain(&self.name);
        let host = Name::from_ascii("hostmaster.").expect("a valid name").append_domain(&self.name);
        let (server, host) =
            (server.unwrap_or_else(|_| self.name.clone()), host.unwrap_or_else(|_| self.name.clone()));
        let soa = SOA::new(server, host, 1, 7200, 1800, 86400, TTL);
        Record::from_rdata(self.name.clone(), TTL, RData::SOA(soa))
    }

    pub(crate) fn answer(&self, name: &Name, kind: RecordType, view: &dyn View) -> Answer {
        let text = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        if let Some(ip) = reverse_address(&text) {
            return self.reverse(name, kind, ip, view);
        }
        let Some(below) = text.strip_suffix(&self.domain) else { return Answer::Elsewhere };
        let labels: Vec<&str> = match below.strip_suffix('.') {
            Some(rest) => rest.split('.').collect(),
            None if below.is_empty() => return self.apex(name, kind),
            None => return Answer::Elsewhere,
        };
        self.inside(name, kind, &labels, view)
    }

    fn apex(&self, _name: &Name, kind: RecordType) -> Answer {
        if kind == RecordType::SOA {
            return Answer::Records { answers: vec![self.authority()], additionals: vec![] };
        }
        Answer::NoData
    }

    fn inside(&self, name: &Name, kind: RecordType, labels: &[&str], view: &dyn View) -> Answer {
        match labels {
            ["dns-version"] => match kind {
                RecordType::TXT => one(name, RData::TXT(TXT::new(vec![VERSION.into()]))),
                _ => Answer::NoData,
            },
            ["svc" | "pod"] => Answer::NoData,
            [namespace, "svc" | "pod"] => exists(view.namespace_exists(namespace)),
            [ip, namespace, "pod"] => pod(name, kind, ip, namespace, view),
            [rest @ .., service, namespace, "svc"] => match view.service(namespace, service) {
                Some(found) => self.service(name, kind, rest, &found, view),
                None => Answer::NoSuchName,
            },
            _ => Answer::NoSuchName,
        }
    }

    fn service(
        &self,
        name: &Name,
        kind: RecordType,
        rest: &[&str],
        service: &Service,
        view: &dyn View,
    ) -> Answer {
        let spec = service.spec.clone().unwrap_or_default();
        if spec.type_.as_deref() == Some("ExternalName") {
            return if rest.is_empty() {
                alias(name, spec.external_name.as_deref())
            } else {
                Answer::NoSuchName
            };
        }
        let at = Located { zone: self, service, view };
        match rest {
            [] if kind == RecordType::SRV => at.ports(name, None),
            [] => addresses(name, kind, at.addresses()),
            [port, protocol] if port.starts_with('_') && protocol.starts_with('_') => match kind {
                RecordType::SRV => at.ports(name, Some((&port[1..], &protocol[1..]))),
                _ => Answer::NoData,
            },
            [host] => {
                let found: Vec<IpAddr> =
                    at.endpoints().into_iter().filter(|t| t.name == **host).map(|t| t.ip).collect();
                if found.is_empty() { Answer::NoSuchName } else { addresses(name, kind, found) }
            }
            _ => Answer::NoSuchName,
        }
    }

    fn service_name(&self, service: &Service, below: Option<&str>) -> Option<Name> {
        let (namespace, name) = (service.metadata.namespace.as_deref()?, service.metadata.name.as_deref()?);
        let below = below.map(|label| format!("{label}.")).unwrap_or_default();
        Name::from_ascii(format!("{below}{name}.{namespace}.svc.{}.", self.domain)).ok()
    }

    fn reverse(&self, name: &Name, kind: RecordType, ip: IpAddr, view: &dyn View) -> Answer {
        let mut names: Vec<Name> =
            view.services_at(ip).iter().filter_map(|service| self.service_name(service, None)).collect();
        if names.is_empty() {
            for slice in view.slices_at(ip) {
                names.extend(self.endpoint_names(&slice, ip, view));
            }
        }
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Answer::Elsewhere;
        }
        if kind != RecordType::PTR {
            return Answer::NoData;
        }
        let answers =
            names.into_iter().map(|n| Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(n)))).collect();
        Answer::Records { answers, additionals: vec![] }
    }

    /// Only endpoints of headless Services have names.
    fn endpoint_names(&self, slice: &EndpointSlice, ip: IpAddr, view: &dyn View) -> Vec<Name> {
        let find = || {
            let service = slice.metadata.labels.as_ref()?.get("kubernetes.io/service-name")?;
            view.service(slice.metadata.namespace.as_deref()?, service).filter(|s| is_headless(s))
        };
        let Some(service) = find() else { return vec![] };
        let at = slice.endpoints.iter().flatten().filter(|e| e.addresses.iter().any(|a| a.parse() == Ok(ip)));
        at.filter_map(|endpoint| self.service_name(&service, Some(&endpoint_name(endpoint, ip)))).collect()
    }
}

/// A Service that has been found, with what is needed to tell of it.
struct Located<'a> {
    zone: &'a Zone,
    service: &'a Service,
    view: &'a dyn View,
}

impl Located<'_> {
    fn addresses(&self) -> Vec<IpAddr> {
        if is_headless(self.service) {
            return self.endpoints().into_iter().map(|target| target.ip).collect();
        }
        let spec = self.service.spec.as_ref();
        let all: BTreeSet<IpAddr> = spec
            .iter()
            .flat_map(|s| s.cluster_ips.iter().flatten().chain(&s.cluster_ip))
            .filter_map(|ip| ip.parse().ok())
            .collect();
        all.into_iter().collect()
    }

    fn slices(&self) -> Vec<std::sync::Arc<EndpointSlice>> {
        let metadata = &self.service.metadata;
        self.view.slices(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }

    fn endpoints(&self) -> Vec<Target> {
        if !is_headless(self.service) {
            return vec![];
        }
        let slices = self.slices();
        let mut out: Vec<Target> = slices.iter().flat_map(|slice| targets(slice)).collect();
        out.sort_by(|a, b| (a.ip, &a.name).cmp(&(b.ip, &b.name)));
        out.dedup_by(|a, b| a.ip == b.ip && a.name == b.name);
        out
    }

    /// SRV records of all ports, or of one by name and protocol.
    fn ports(&self, name: &Name, wanted: Option<(&str, &str)>) -> Answer {
        let found =
            if is_headless(self.service) { self.endpoint_ports(wanted) } else { self.cluster_ports(wanted) };
        if found.is_empty() {
            return if wanted.is_some() { Answer::NoSuchName } else { Answer::NoData };
        }
        let weight = u16::try_from(100 / found.len().min(100)).unwrap_or(1);
        let mut answers = Vec::with_capacity(found.len());
        let mut additionals = Vec::new();
        for (port, target, ips) in found {
            answers.push(Record::from_rdata(
                name.clone(),
                TTL,
                RData::SRV(SRV::new(0, weight, port, target.clone())),
            ));
            for ip in ips {
                let record = Record::from_rdata(target.clone(), TTL, address(ip));
                if !additionals.contains(&record) {
                    additionals.push(record);
                }
            }
        }
        Answer::Records { answers, additionals }
    }

    fn cluster_ports(&self, wanted: Option<(&str, &str)>) -> Vec<(u16, Name, Vec<IpAddr>)> {
        let Some(target) = self.zone.service_name(self.service, None) else { return vec![] };
        let ports = self.service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        ports
            .filter(|port| matches_port(port.name.as_deref(), port.protocol.as_deref(), wanted))
            .filter_map(|port| Some((u16::try_from(port.port).ok()?, target.clone(), self.addresses())))
            .collect()
    }

    fn endpoint_ports(&self, wanted: Option<(&str, &str)>) -> Vec<(u16, Name, Vec<IpAddr>)> {
        let mut out = Vec::new();
        for slice in self.slices() {
            let ports: Vec<&EndpointPort> = slice
                .ports
                .iter()
                .flatten()
                .filter(|port| matches_port(port.name.as_deref(), port.protocol.as_deref(), wanted))
                .collect();
            for target in targets(&slice) {
                let Some(name) = self.zone.service_name(self.service, Some(&target.name)) else { continue };
                for number in ports.iter().filter_map(|port| u16::try_from(port.port?).ok()) {
                    out.push((number, name.clone(), vec![target.ip]));
                }
            }
        }
        out
    }
}

fn exists(it_does: bool) -> Answer {
    if it_does { Answer::NoData } else { Answer::NoSuchName }
}

fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// The ready endpoints of a slice.
fn targets(slice: &EndpointSlice) -> Vec<Target> {
    let ready = |endpoint: &&Endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
    let mut out = Vec::new();
    for endpoint in slice.endpoints.iter().flatten().filter(ready) {
        for ip in endpoint.addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()) {
            out.push(Target { name: endpoint_name(endpoint, ip), ip });
        }
    }
    out
}

/// The endpoint's host name, or its address in a form that is a label.
fn endpoint_name(endpoint: &Endpoint, ip: IpAddr) -> String {
    match endpoint.hostname.as_deref() {
        Some(host) if !host.is_empty() => host.to_ascii_lowercase(),
        _ => ip.to_string().replace(['.', ':'], "-"),
    }
}

fn matches_port(name: Option<&str>, protocol: Option<&str>, wanted: Option<(&str, &str)>) -> bool {
    wanted.is_none_or(|(want_name, want_protocol)| {
        name.unwrap_or_default().eq_ignore_ascii_case(want_name)
            && protocol.unwrap_or("TCP").eq_ignore_ascii_case(want_protocol)
    })
}

/// `10-244-0-3.default.pod`: any address that is written so, in a namespace that is there (CoreDNS's `pods insecure`).
fn pod(name: &Name, kind: RecordType, label: &str, namespace: &str, view: &dyn View) -> Answer {
    if !view.namespace_exists(namespace) {
        return Answer::NoSuchName;
    }
    let v4 = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    match v4.or_else(|_| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6)) {
        Ok(ip) => addresses(name, kind, vec![ip]),
        Err(_) => Answer::NoSuchName,
    }
}

fn addresses(name: &Name, kind: RecordType, ips: Vec<IpAddr>) -> Answer {
    let fits = |ip: &IpAddr| match kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    };
    let answers: Vec<Record> =
        ips.into_iter().filter(fits).map(|ip| Record::from_rdata(name.clone(), TTL, address(ip))).collect();
    if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additionals: vec![] } }
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

fn alias(name: &Name, target: Option<&str>) -> Answer {
    let target = target.and_then(|t| Name::from_ascii(format!("{}.", t.trim_end_matches('.'))).ok());
    match target {
        Some(target) => {
            let record = Record::from_rdata(name.clone(), TTL, RData::CNAME(CNAME(target.clone())));
            Answer::Alias { record: Box::new(record), target }
        }
        None => Answer::NoData,
    }
}

fn one(name: &Name, data: RData) -> Answer {
    Answer::Records { answers: vec![Record::from_rdata(name.clone(), TTL, data)], additionals: vec![] }
}

/// `3.0.244.10.in-addr.arpa`, and the nibbles of `ip6.arpa`.
fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<&str> = labels.split('.').rev().collect();
        return octets.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let labels = name.strip_suffix(".ip6.arpa")?;
    let nibbles: Vec<u8> = labels
        .split('.')
        .rev()
        .map(|n| u8::from_str_radix(n, 16).ok().filter(|v| *v < 16))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    <[u8; 16]>::try_from(bytes).ok().filter(|_| nibbles.len() == 32).map(|b| IpAddr::V6(b.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    struct Cluster {
        services: Vec<Arc<Service>>,
        slices: Vec<Arc<EndpointSlice>>,
    }

    impl View for Cluster {
        fn namespace_exists(&self, namespace: &str) -> bool {
            namespace == "default"
        }

        fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
            let fits = |s: &&Arc<Service>| {
                s.metadata.name.as_deref() == Some(name) && s.metadata.namespace.as_deref() == Some(namespace)
            };
            self.services.iter().find(fits).cloned()
        }

        fn slices(&self, _namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
            let of = |s: &&Arc<EndpointSlice>| {
                s.metadata
                    .labels
                    .as_ref()
                    .and_then(|l| l.get("kubernetes.io/service-name"))
                    .is_some_and(|n| n == service)
            };
            self.slices.iter().filter(of).cloned().collect()
        }

        fn services_at(&self, ip: IpAddr) -> Vec<Arc<Service>> {
            let at = |s: &&Arc<Service>| {
                s.spec.as_ref().and_then(|s| s.cluster_ip.clone()) == Some(ip.to_string())
            };
            self.services.iter().filter(at).cloned().collect()
        }

        fn slices_at(&self, ip: IpAddr) -> Vec<Arc<EndpointSlice>> {
            let at = |s: &&Arc<EndpointSlice>| {
                s.endpoints.iter().flatten().any(|e| e.addresses.contains(&ip.to_string()))
            };
            self.slices.iter().filter(at).cloned().collect()
        }
    }

    fn cluster() -> Cluster {
        let service = |value| Arc::new(serde_json::from_value::<Service>(value).expect("a Service"));
        Cluster {
            services: vec![
                service(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.9",
                    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}})),
                service(json!({"metadata": {"name": "db", "namespace": "default"}, "spec": {"clusterIP": "None",
                    "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}})),
                service(json!({"metadata": {"name": "out", "namespace": "default"},
                    "spec": {"type": "ExternalName", "externalName": "example.test"}})),
            ],
            slices: vec![Arc::new(
                serde_json::from_value(json!({
                    "metadata": {"name": "db-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "db"}},
                    "addressType": "IPv4", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
                    "endpoints": [
                        {"addresses": ["10.244.0.3"], "hostname": "db-0", "conditions": {"ready": true}},
                        {"addresses": ["10.244.0.4"], "conditions": {"ready": true}},
                        {"addresses": ["10.244.0.5"], "conditions": {"ready": false}},
                    ],
                }))
                .expect("an EndpointSlice"),
            )],
        }
    }

    fn told(name: &str, kind: RecordType) -> String {
        let zone = Zone::new("cluster.local").expect("a zone");
        let name = Name::from_ascii(name).expect("a name");
        match zone.answer(&name, kind, &cluster()) {
            Answer::Records { answers, .. } => {
                let texts: Vec<String> =
                    answers.iter().map(|r| format!("{} {}", r.record_type(), r.data)).collect();
                texts.join(", ")
            }
            Answer::Alias { target, .. } => format!("alias of {target}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn answers_follow_the_specification() {
        let check = |name: &str, kind, want: &str| assert_eq!(told(name, kind), want, "{name} {kind}");
        check("web.default.svc.cluster.local.", RecordType::A, "A 10.96.0.9");
        check("WEB.default.SVC.cluster.local.", RecordType::A, "A 10.96.0.9");
        check("web.default.svc.cluster.local.", RecordType::AAAA, "NoData");
        check("none.default.svc.cluster.local.", RecordType::A, "NoSuchName");
        check(
            "_http._tcp.web.default.svc.cluster.local.",
            RecordType::SRV,
            "SRV 0 100 80 web.default.svc.cluster.local.",
        );
        check("_ftp._tcp.web.default.svc.cluster.local.", RecordType::SRV, "NoSuchName");
        check("db.default.svc.cluster.local.", RecordType::A, "A 10.244.0.3, A 10.244.0.4");
        check("db-0.db.default.svc.cluster.local.", RecordType::A, "A 10.244.0.3");
        check("10-244-0-4.db.default.svc.cluster.local.", RecordType::A, "A 10.244.0.4");
        check("10-244-0-5.db.default.svc.cluster.local.", RecordType::A, "NoSuchName");
        check(
            "_sql._tcp.db.default.svc.cluster.local.",
            RecordType::SRV,
            "SRV 0 50 5432 db-0.db.default.svc.cluster.local., SRV 0 50 5432 10-244-0-4.db.default.svc.cluster.local.",
        );
        check("out.default.svc.cluster.local.", RecordType::A, "alias of example.test.");
        check("9.0.96.10.in-addr.arpa.", RecordType::PTR, "PTR web.default.svc.cluster.local.");
        check("3.0.244.10.in-addr.arpa.", RecordType::PTR, "PTR db-0.db.default.svc.cluster.local.");
        check("8.8.8.8.in-addr.arpa.", RecordType::PTR, "Elsewhere");
        check("10-244-0-3.default.pod.cluster.local.", RecordType::A, "A 10.244.0.3");
        check("default.svc.cluster.local.", RecordType::A, "NoData");
        check("dns-version.cluster.local.", RecordType::TXT, "TXT 1.1.0");
        check("example.test.", RecordType::A, "Elsewhere");
        check("notcluster.local.", RecordType::A, "Elsewhere");
        check("cluster.local.", RecordType::A, "NoData");
    }
}
