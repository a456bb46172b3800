//! ServiceCIDRs and IPAddresses: where addresses come from, and the object that says whose one is.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use jiff::Timestamp;
use oarlock_api::GroupResource;
use oarlock_apiserver_access::Objects;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::range::AddressRange;
use crate::registry::{Hand, Storage, key_of, time_text};

pub(super) static SERVICE_CIDRS: LazyLock<GroupResource> =
    LazyLock::new(|| GroupResource::new("networking.k8s.io", "servicecidrs"));
pub(super) static IP_ADDRESSES: LazyLock<GroupResource> =
    LazyLock::new(|| GroupResource::new("networking.k8s.io", "ipaddresses"));

pub(super) const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";
pub(super) const MANAGER_LABEL: &str = "ipaddress.kubernetes.io/managed-by";
pub(super) const MANAGER: &str = "ipallocator.k8s.io";

/// One range of a ServiceCIDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServiceRange {
    pub(super) range: AddressRange,
    /// New addresses may come from it.
    pub(super) ready: bool,
}

/// The ranges that services get addresses from now.
pub(super) struct Ranges {
    /// Used until there is a ServiceCIDR.
    configured: Vec<AddressRange>,
    compiled: Mutex<Option<(u64, Arc<Vec<ServiceRange>>)>>,
}

impl Ranges {
    pub(super) fn new(configured: Vec<AddressRange>) -> Self {
        Self { configured, compiled: Mutex::default() }
    }

    /// The families that services may have, the first one by default.
    pub(super) fn families(&self) -> Vec<&'static str> {
        self.configured.iter().map(AddressRange::family).collect()
    }

    pub(super) fn now(&self, objects: &dyn Objects) -> Arc<Vec<ServiceRange>> {
        let generation = objects.generation(&SERVICE_CIDRS);
        if let Some((of, ranges)) = &*self.compiled.lock()
            && *of == generation
        {
            return ranges.clone();
        }
        let mut ranges = ranges_of(&objects.list(&SERVICE_CIDRS, ""));
        if ranges.is_empty() {
            ranges.extend(self.configured.iter().map(|range| ServiceRange { range: *range, ready: true }));
        }
        let ranges = Arc::new(ranges);
        *self.compiled.lock() = Some((generation, ranges.clone()));
        ranges
    }
}

/// A range that several name is ready when one of them is.
fn ranges_of(cidrs: &[Arc<Value>]) -> Vec<ServiceRange> {
    let mut ranges: Vec<ServiceRange> = Vec::new();
    for cidr in cidrs {
        let ready = is_ready(cidr);
        for range in ranges_in(cidr) {
            match ranges.iter_mut().find(|known| known.range == range) {
                Some(known) => known.ready |= ready,
                None => ranges.push(ServiceRange { range, ready }),
            }
        }
    }
    ranges
}

pub(super) fn ranges_in(cidr: &Value) -> impl Iterator<Item = AddressRange> {
    crate::registry::meta::strings(&cidr["spec"]["cidrs"]).filter_map(AddressRange::parse)
}

/// Without a condition it is, so that services do not wait for whoever sets it.
fn is_ready(cidr: &Value) -> bool {
    let conditions = cidr["status"]["conditions"].as_array().into_iter().flatten();
    cidr["metadata"]["deletionTimestamp"].is_null()
        && conditions.filter(|c| c["type"] == "Ready").all(|c| c["status"] == "True")
}

pub(super) fn address_key(storage: &Storage, address: IpAddr) -> Bytes {
    key_of(&storage.prefix, "", &address.to_string()).into()
}

/// The bytes of the IPAddress that gives `address` to a service.
pub(super) fn address_object(storage: &Storage, address: IpAddr, service: &Value) -> Bytes {
    let meta = &service["metadata"];
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(), "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": time_text(Timestamp::now()),
            "labels": { FAMILY_LABEL: family_of(address), MANAGER_LABEL: MANAGER },
        },
        "spec": { "parentRef": {
            "resource": "services", "namespace": meta["namespace"], "name": meta["name"],
        } },
    });
    Hand::SERVER.record((&storage.schema, &storage.gvk), false, None, &mut object);
    if storage.strategy.has_generation() {
        object["metadata"]["generation"] = 1.into();
    }
    crate::encode::stored(storage, &object)
}

pub(super) fn family_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Whether an IPAddress stands for this service.
pub(super) fn belongs_to(address: &Value, service: &Value) -> bool {
    let (parent, meta) = (&address["spec"]["parentRef"], &service["metadata"]);
    refers_to_service(address) && parent["namespace"] == meta["namespace"] && parent["name"] == meta["name"]
}

pub(super) fn refers_to_service(address: &Value) -> bool {
    let parent = &address["spec"]["parentRef"];
    parent["group"].as_str().unwrap_or_default().is_empty() && parent["resource"] == "services"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_ready_when_one_of_its_objects_is() {
        let cidr = |range: &str, ready: Option<&str>, deleted: bool| {
            let mut cidr = json!({"spec": {"cidrs": [range]}});
            if let Some(ready) = ready {
                cidr["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
            }
            if deleted {
                cidr["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            Arc::new(cidr)
        };
        let check = |cidrs: &[Arc<Value>], want: &[(&str, bool)]| {
            let got: Vec<_> = ranges_of(cidrs).iter().map(|r| (r.range.to_string(), r.ready)).collect();
            let want: Vec<_> = want.iter().map(|(range, ready)| ((*range).to_string(), *ready)).collect();
            assert_eq!(got, want);
        };
        check(&[cidr("10.0.0.0/8", None, false)], &[("10.0.0.0/8", true)]);
        check(&[cidr("10.0.0.0/8", Some("False"), false)], &[("10.0.0.0/8", false)]);
        check(&[cidr("10.0.0.0/8", Some("True"), true)], &[("10.0.0.0/8", false)]);
        check(
            &[cidr("10.0.0.0/8", Some("True"), true), cidr("10.0.0.0/8", None, false)],
            &[("10.0.0.0/8", true)],
        );
    }
}
