//! What a Service is given by the server: cluster addresses and node ports.
//!
//! The store is the only truth, so that several API servers share it: an address is taken by the IPAddress of its name,
//! a node port by its bit in one RangeAllocation. [`allocate`] chooses with the cache as a hint, [`commit`] writes the
//! Service and what it was given in one transaction and chooses again where another server was quicker. [`repair`]
//! brings both in line with the stored services; [`cidrs`] keeps the ServiceCIDRs.

mod addresses;
mod allocate;
mod cidrs;
mod commit;
mod families;
mod fields;
mod ports;
mod range;
mod repair;

pub(crate) use cidrs::keep as keep_ranges;
pub(crate) use range::{AddressRange, parse_ranges};
pub(crate) use repair::{Finding, keep as keep_allocations};

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use oarlock_api::Status;
use oarlock_apiserver_access::Objects;
use oarlock_store::{KeyValue, Revision, Store};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Storage, store_failed};
use addresses::Ranges;
use ports::{PORTS_KEY, PortMap};

pub(crate) struct ServiceAllocator {
    store: Arc<dyn Store>,
    objects: Arc<dyn Objects>,
    /// Of the IPAddresses.
    addresses: Arc<Storage>,
    ranges: Ranges,
    ports: RangeInclusive<u16>,
    known: Mutex<Known>,
    /// What requests of this server have chosen and not yet written.
    pending: Mutex<HashSet<Grant>>,
    /// Ports are written by one request at a time, which would otherwise fail each other.
    turn: tokio::sync::Mutex<()>,
}

/// The taken ports as last seen in the store.
#[derive(Debug, Clone)]
struct Known {
    revision: Revision,
    ports: PortMap,
}

/// One thing that is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Grant {
    Address(IpAddr),
    Port(u16),
}

/// Something new that a service is to have.
#[derive(Debug, Clone, Copy)]
struct Claim {
    grant: Grant,
    /// The client asked for just this.
    chosen: bool,
}

/// What a request has chosen for its service, and what its service gives up: both happen when the service is written.
pub(crate) struct Held<'a> {
    allocator: Option<&'a ServiceAllocator>,
    claims: Vec<Claim>,
    freed: Vec<Grant>,
}

impl Held<'_> {
    fn nothing() -> Self {
        Self { allocator: None, claims: Vec::new(), freed: Vec::new() }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(allocator) = self.allocator
            && !self.claims.is_empty()
        {
            let mut pending = allocator.pending.lock();
            for claim in &self.claims {
                pending.remove(&claim.grant);
            }
        }
    }
}

impl ServiceAllocator {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        objects: Arc<dyn Objects>,
        addresses: Arc<Storage>,
        ranges: Vec<AddressRange>,
        ports: RangeInclusive<u16>,
    ) -> Self {
        let known = Known { revision: Revision(0), ports: PortMap::new(ports.clone()) };
        Self {
            store,
            objects,
            addresses,
            ranges: Ranges::new(ranges),
            ports,
            known: Mutex::new(known),
            pending: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Chooses what a new service lacks. Nothing is written.
    pub(crate) async fn for_create(
        &self,
        storage: &Storage,
        object: &mut Value,
        dry_run: bool,
    ) -> Result<Held<'_>, Status> {
        self.allocate(storage, object, None, dry_run).await
    }

    pub(crate) async fn for_update(
        &self,
        storage: &Storage,
        new: &mut Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<Held<'_>, Status> {
        self.allocate(storage, new, Some(old), dry_run).await
    }

    /// What goes with a service.
    pub(crate) fn for_delete(&self, storage: &Storage, object: &Value) -> Held<'_> {
        if !is_services(storage) {
            return Held::nothing();
        }
        let freed = self.freed_by(object, &grants_of(object), &[]);
        Held { allocator: Some(self), claims: Vec::new(), freed }
    }

    /// What a service had and has no longer. An IPAddress that stands for another service stays.
    fn freed_by(&self, service: &Value, had: &[Grant], has: &[Grant]) -> Vec<Grant> {
        let foreign = |grant: &Grant| match grant {
            Grant::Address(address) => self
                .objects
                .get(&addresses::IP_ADDRESSES, "", &address.to_string())
                .is_some_and(|object| !addresses::belongs_to(&object, service)),
            Grant::Port(_) => false,
        };
        had.iter().filter(|grant| !has.contains(grant) && !foreign(grant)).copied().collect()
    }

    /// Reads the taken ports from the store.
    async fn refresh_ports(&self) -> Result<(), Status> {
        let (kv, _) = self.store.get(PORTS_KEY.as_bytes(), None).await.map_err(store_failed)?;
        self.learn(kv.as_ref())
    }

    /// Takes over what the store says, unless something newer is known.
    fn learn(&self, kv: Option<&KeyValue>) -> Result<(), Status> {
        let read = match kv {
            Some(kv) => {
                let ports = PortMap::read(self.ports.clone(), &kv.value);
                let ports = ports.ok_or_else(|| Status::internal(format!("{PORTS_KEY} cannot be read")))?;
                Known { revision: kv.mod_revision, ports }
            }
            None => Known { revision: Revision(0), ports: PortMap::new(self.ports.clone()) },
        };
        let mut known = self.known.lock();
        if read.revision >= known.revision || kv.is_none() {
            *known = read;
        }
        Ok(())
    }
}

fn is_services(storage: &Storage) -> bool {
    storage.group_resource.group.is_empty() && &*storage.group_resource.resource == "services"
}

/// What a stored service holds.
fn grants_of(service: &Value) -> Vec<Grant> {
    let mut grants: Vec<Grant> = addresses_of(service).map(Grant::Address).collect();
    grants.extend(ports_of(service).map(Grant::Port));
    let mut seen = HashSet::new();
    grants.retain(|grant| seen.insert(*grant));
    grants
}

fn addresses_of(service: &Value) -> impl Iterator<Item = IpAddr> + '_ {
    let spec = &service["spec"];
    let external = spec["type"] == "ExternalName";
    super::meta::strings(&spec["clusterIPs"])
        .chain(spec["clusterIP"].as_str())
        .filter(move |_| !external)
        .filter_map(|text| text.parse().ok())
}

fn ports_of(service: &Value) -> impl Iterator<Item = u16> + '_ {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
    ports
        .chain([&spec["healthCheckNodePort"]])
        .filter_map(|n| n.as_u64().and_then(|n| u16::try_from(n).ok()))
        .filter(|n| *n != 0)
}
