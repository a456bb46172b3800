//! The Endpoints object of a service: addresses grouped by the ports they serve on, ready and not ready apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};
use kube::api::ObjectMeta;

use crate::common::addresses::{hostname_in, is_headless, pod_ips, should_be_listed, target_port};
use crate::common::pods;

/// Addresses in one object; beyond it is cut, and the annotation says so.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

pub(super) fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

/// What is to be written, if it is another than what is there.
pub(super) fn plan(service: &Service, pods: &[Arc<Pod>], seen: Option<&Endpoints>) -> Option<Endpoints> {
    let (subsets, truncated) = subsets(service, pods);
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut new = seen.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    new.metadata.labels = Some(labels);
    new.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
    if truncated {
        new.metadata.annotations.get_or_insert_default().insert(OVER_CAPACITY.into(), "truncated".into());
    } else if let Some(annotations) = &mut new.metadata.annotations {
        annotations.remove(OVER_CAPACITY);
    }
    let same = seen.is_some_and(|seen| {
        let empty = |subsets: &Option<Vec<EndpointSubset>>| subsets.as_ref().is_none_or(Vec::is_empty);
        let subsets_same = seen.subsets == new.subsets || (empty(&seen.subsets) && empty(&new.subsets));
        subsets_same
            && seen.metadata.labels == new.metadata.labels
            && seen.metadata.annotations == new.metadata.annotations
    });
    (!same).then_some(new)
}

/// Ports as an order and a key.
type PortKey = (String, String, i32);

/// Addresses that serve on the same ports.
struct Group {
    ports: Vec<EndpointPort>,
    ready: Vec<EndpointAddress>,
    not_ready: Vec<EndpointAddress>,
}

fn subsets(service: &Service, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let publish_all =
        service.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true));
    let mut groups: BTreeMap<Vec<PortKey>, Group> = BTreeMap::new();
    let mut listed: Vec<&Arc<Pod>> = pods.iter().filter(|pod| should_be_listed(pod, publish_all)).collect();
    // When there are too many, those that serve stay.
    listed.sort_by_key(|pod| (!(publish_all || pods::is_ready(pod)), address_order(pod)));
    let truncated = listed.len() > CAPACITY;
    listed.truncate(CAPACITY);
    for pod in listed {
        let Some(address) = address(service, pod) else { continue };
        let ports = ports(service, pod);
        // A service with ports of which this pod has none does not reach it.
        if ports.is_empty() && !is_headless(service) {
            continue;
        }
        let key = ports.iter().map(|port| {
            (port.name.clone().unwrap_or_default(), port.protocol.clone().unwrap_or_default(), port.port)
        });
        let group =
            groups.entry(key.collect()).or_insert_with(|| Group { ports, ready: vec![], not_ready: vec![] });
        if publish_all || pods::is_ready(pod) {
            group.ready.push(address)
        } else {
            group.not_ready.push(address)
        }
    }
    let some = |addresses: Vec<EndpointAddress>| Some(addresses).filter(|addresses| !addresses.is_empty());
    let subsets = groups.into_values().map(|group| EndpointSubset {
        addresses: some(group.ready),
        not_ready_addresses: some(group.not_ready),
        ports: Some(group.ports).filter(|ports| !ports.is_empty()),
    });
    (subsets.collect(), truncated)
}

fn address_order(pod: &Pod) -> (Option<std::net::IpAddr>, String) {
    (pod_ips(pod).next().and_then(|ip| ip.parse().ok()), pods::uid(pod).to_string())
}

fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    let six = families.and_then(|families| families.first()).is_some_and(|family| family == "IPv6");
    let ip = pod_ips(pod).find(|ip| ip.contains(':') == six)?;
    Some(EndpointAddress {
        ip: ip.into(),
        hostname: hostname_in(pod, service).map(String::from),
        node_name: Some(pods::node_name(pod).to_string()).filter(|node| !node.is_empty()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    })
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let served = ports.filter_map(|port| {
        Some(EndpointPort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: target_port(pod, port)?,
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    let mut served: Vec<EndpointPort> = served.collect();
    served.sort_by(|a, b| (&a.name, &a.protocol, a.port).cmp(&(&b.name, &b.protocol, b.port)));
    served
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::{from_value, json};

    fn service() -> Service {
        let service = json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"clusterIP": "10.96.0.2", "selector": {}, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
        });
        from_value(service).expect("a service")
    }

    fn some_pods() -> Vec<Arc<Pod>> {
        let ready =
            |name: &str, ip: &str| pod(name).phase("Running").ip(ip).ready_since("2026-01-01T00:00:00Z");
        let all = [
            ready("b", "10.0.0.10"),
            ready("a", "10.0.0.9"),
            pod("c").phase("Running").ip("10.0.0.3"),
            ready("d", "10.0.0.4").deleting(),
            pod("e").phase("Pending"),
        ];
        all.into_iter().map(|pod| Arc::new(pod.build())).collect()
    }

    fn shown(endpoints: &Endpoints) -> String {
        let ips = |addresses: &Option<Vec<EndpointAddress>>| {
            addresses.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>().join(",")
        };
        let subsets = endpoints.subsets.iter().flatten().map(|subset| {
            let port = subset.ports.as_ref().map_or(0, |ports| ports[0].port);
            format!("{} not {} :{port}", ips(&subset.addresses), ips(&subset.not_ready_addresses))
        });
        subsets.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn addresses_are_listed_by_readiness() {
        let first = plan(&service(), &some_pods(), None).expect("is new");
        assert_eq!(shown(&first), "10.0.0.9,10.0.0.10 not 10.0.0.3 :8080");
        assert!(is_ours(&first));
        assert_eq!(plan(&service(), &some_pods(), Some(&first)), None);
        let mut publish = service();
        publish.spec.get_or_insert_default().publish_not_ready_addresses = Some(true);
        let all = plan(&publish, &some_pods(), Some(&first)).expect("differs");
        assert_eq!(shown(&all), "10.0.0.3,10.0.0.4,10.0.0.9,10.0.0.10 not  :8080");
        let none = plan(&service(), &[], Some(&first)).expect("differs");
        assert_eq!(none.subsets, None);
    }
}
