//! What a Service is given by the server: cluster addresses and node ports. Allocations live in memory and are rebuilt
//! from the stored services at start.

mod fields;
mod range;

pub(crate) use range::{AddressRange, parse_ranges};

use std::net::IpAddr;
use std::ops::RangeInclusive;

use oarlock_api::{FieldError, GroupKind, Path, Status};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Storage;
use range::{Pool, Refused};

pub(crate) struct ServiceAllocator {
    ranges: Vec<AddressRange>,
    ports: RangeInclusive<u16>,
    state: Mutex<State>,
}

struct State {
    addresses: Vec<Pool>,
    ports: Pool,
}

/// One thing that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    Address(IpAddr),
    Port(u16),
}

/// What a request has been given. Returned when it is dropped, unless the object was stored.
pub(crate) struct Held<'a> {
    allocator: Option<&'a ServiceAllocator>,
    granted: Vec<Grant>,
    /// What the object had and has no longer: free once the new one is stored.
    replaced: Vec<Grant>,
}

impl Held<'_> {
    /// The object was stored.
    pub(crate) fn keep(mut self) {
        self.granted.clear();
        if let Some(allocator) = self.allocator {
            allocator.give_back(&std::mem::take(&mut self.replaced));
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(allocator) = self.allocator
            && !self.granted.is_empty()
        {
            allocator.give_back(&self.granted);
        }
    }
}

impl ServiceAllocator {
    pub(crate) fn new(ranges: Vec<AddressRange>, ports: RangeInclusive<u16>) -> Self {
        let addresses = ranges.iter().map(|range| Pool::new(range.size())).collect();
        let state = State { addresses, ports: Pool::new(u128::from(ports.end() - ports.start()) + 1) };
        Self { ranges, ports, state: Mutex::new(state) }
    }

    /// Marks what stored services have.
    pub(crate) fn adopt<'a>(&self, services: impl Iterator<Item = &'a Value>) {
        let mut state = self.state.lock();
        for grant in services.flat_map(grants_of) {
            // An address outside the ranges was given under another configuration; there is nothing to mark.
            let _ = self.take(&mut state, grant);
        }
    }

    pub(crate) fn for_create<'a>(
        &'a self,
        storage: &Storage,
        object: &mut Value,
    ) -> Result<Held<'a>, Status> {
        self.allocate(storage, object, None)
    }

    pub(crate) fn for_update<'a>(
        &'a self,
        storage: &Storage,
        new: &mut Value,
        old: &Value,
    ) -> Result<Held<'a>, Status> {
        self.allocate(storage, new, Some(old))
    }

    /// A service is gone.
    pub(crate) fn release(&self, storage: &Storage, object: &Value) {
        if is_services(storage) {
            self.give_back(&grants_of(object));
        }
    }

    fn allocate<'a>(
        &'a self,
        storage: &Storage,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<Held<'a>, Status> {
        if !is_services(storage) {
            return Ok(Held { allocator: None, granted: Vec::new(), replaced: Vec::new() });
        }
        fields::prepare(new, old, self.families());
        let mut held = Held { allocator: Some(self), granted: Vec::new(), replaced: Vec::new() };
        let has = old.map(grants_of).unwrap_or_default();
        let mut errors = Vec::new();
        {
            let mut state = self.state.lock();
            self.allocate_addresses(&mut state, new, &has, &mut held.granted, &mut errors);
            self.allocate_ports(&mut state, new, &has, &mut held.granted, &mut errors);
        }
        if !errors.is_empty() {
            let name = new["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::invalid(&GroupKind::new("", "Service"), name, &errors));
        }
        let now = grants_of(new);
        held.replaced = has.into_iter().filter(|grant| !now.contains(grant)).collect();
        Ok(held)
    }

    fn families(&self) -> Vec<&'static str> {
        self.ranges.iter().map(AddressRange::family).collect()
    }

    fn allocate_addresses(
        &self,
        state: &mut State,
        service: &mut Value,
        has: &[Grant],
        granted: &mut Vec<Grant>,
        errors: &mut Vec<FieldError>,
    ) {
        if !fields::needs_address(service) {
            return;
        }
        let families: Vec<String> =
            super::meta::strings(&service["spec"]["ipFamilies"]).map(String::from).collect();
        let asked: Vec<String> =
            super::meta::strings(&service["spec"]["clusterIPs"]).map(String::from).collect();
        let mut given = Vec::with_capacity(families.len());
        for (index, family) in families.iter().enumerate() {
            let wish = asked.get(index).filter(|a| !a.is_empty()).and_then(|a| a.parse::<IpAddr>().ok());
            let result = match wish {
                Some(address) if has.contains(&Grant::Address(address)) => Ok(address),
                Some(address) => self.take(state, Grant::Address(address)).map(|()| address),
                None => self.any_address(state, family),
            };
            match result {
                Ok(address) => {
                    if !has.contains(&Grant::Address(address)) {
                        granted.push(Grant::Address(address));
                    }
                    given.push(address.to_string());
                }
                Err(why) => {
                    let path = Path::new("spec").child("clusterIPs");
                    let told = wish.map_or_else(
                        || format!("failed to allocate a serviceIP: {why}"),
                        |address| format!("failed to allocate IP {address}: {why}"),
                    );
                    errors.push(FieldError::invalid(path, json!(asked), told));
                }
            }
        }
        if let Some(first) = given.first() {
            service["spec"]["clusterIP"] = first.clone().into();
            service["spec"]["clusterIPs"] = given.into();
        }
    }

    fn any_address(&self, state: &mut State, family: &str) -> Result<IpAddr, Refused> {
        let index = self.ranges.iter().position(|range| range.family() == family).ok_or(Refused::Full)?;
        state.addresses[index].any().map(|offset| self.ranges[index].at(offset)).ok_or(Refused::Full)
    }

    fn allocate_ports(
        &self,
        state: &mut State,
        service: &mut Value,
        has: &[Grant],
        granted: &mut Vec<Grant>,
        errors: &mut Vec<FieldError>,
    ) {
        let wanted = fields::needs_node_ports(service);
        let path = Path::new("spec").child("ports");
        let ports = service["spec"]["ports"].as_array_mut().into_iter().flatten();
        for (index, port) in ports.enumerate().filter(|_| wanted) {
            let wish = port["nodePort"].as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0);
            match self.port(state, wish, has, granted) {
                Ok(number) => port["nodePort"] = number.into(),
                Err(why) => {
                    let value = wish.unwrap_or(0);
                    errors.push(FieldError::invalid(
                        path.index(index).child("nodePort"),
                        value,
                        why.to_string(),
                    ));
                }
            }
        }
        if fields::needs_health_port(service) {
            let wish = service["spec"]["healthCheckNodePort"].as_u64().and_then(|n| u16::try_from(n).ok());
            match self.port(state, wish.filter(|n| *n != 0), has, granted) {
                Ok(number) => service["spec"]["healthCheckNodePort"] = number.into(),
                Err(why) => {
                    let path = Path::new("spec").child("healthCheckNodePort");
                    errors.push(FieldError::internal(path, format!("failed to allocate a nodePort: {why}")));
                }
            }
        }
    }

    fn port(
        &self,
        state: &mut State,
        wish: Option<u16>,
        has: &[Grant],
        granted: &mut Vec<Grant>,
    ) -> Result<u16, Refused> {
        let number = match wish {
            // One number may serve TCP and UDP of the same service.
            Some(number) if has.contains(&Grant::Port(number)) || granted.contains(&Grant::Port(number)) => {
                return Ok(number);
            }
            Some(number) => self.take(state, Grant::Port(number)).map(|()| number)?,
            None => {
                let offset = state.ports.any().ok_or(Refused::Full)?;
                self.ports.start() + u16::try_from(offset).expect("an offset in a range of ports is a port")
            }
        };
        granted.push(Grant::Port(number));
        Ok(number)
    }

    fn take(&self, state: &mut State, grant: Grant) -> Result<(), Refused> {
        match grant {
            Grant::Address(address) => {
                let place =
                    self.ranges.iter().enumerate().find_map(|(i, range)| Some((i, range.offset(address)?)));
                let Some((index, offset)) = place else {
                    let ranges: Vec<String> = self.ranges.iter().map(ToString::to_string).collect();
                    return Err(Refused::OutsideAddresses { address, range: ranges.join(",") });
                };
                state.addresses[index].take(offset).then_some(()).ok_or(Refused::AddressTaken)
            }
            Grant::Port(port) => {
                if !self.ports.contains(&port) {
                    let (first, last) = (*self.ports.start(), *self.ports.end());
                    return Err(Refused::OutsidePorts { first, last });
                }
                state
                    .ports
                    .take(u128::from(port - self.ports.start()))
                    .then_some(())
                    .ok_or(Refused::PortTaken)
            }
        }
    }

    fn give_back(&self, grants: &[Grant]) {
        let mut state = self.state.lock();
        for grant in grants {
            match grant {
                Grant::Address(address) => {
                    for (pool, range) in self.ranges.iter().enumerate() {
                        if let Some(offset) = range.offset(*address) {
                            state.addresses[pool].free(offset);
                        }
                    }
                }
                Grant::Port(port) if self.ports.contains(port) => {
                    state.ports.free(u128::from(port - self.ports.start()));
                }
                Grant::Port(_) => {}
            }
        }
    }
}

fn is_services(storage: &Storage) -> bool {
    storage.group_resource.group.is_empty() && &*storage.group_resource.resource == "services"
}

/// What a stored service holds.
fn grants_of(service: &Value) -> Vec<Grant> {
    let spec = &service["spec"];
    let mut grants: Vec<Grant> = super::meta::strings(&spec["clusterIPs"])
        .chain(spec["clusterIP"].as_str())
        .filter_map(|text| text.parse().ok().map(Grant::Address))
        .collect();
    let ports = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
    grants.extend(
        ports
            .chain([&spec["healthCheckNodePort"]])
            .filter_map(|n| n.as_u64().and_then(|n| u16::try_from(n).ok()))
            .filter(|n| *n != 0)
            .map(Grant::Port),
    );
    grants.dedup();
    grants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Resources;
    use oarlock_api::GroupResource;

    fn allocator() -> (ServiceAllocator, std::sync::Arc<Storage>) {
        let resources = Resources::builtin();
        let cached = resources.cached(&GroupResource::new("", "services")).expect("services are stored");
        let ranges = parse_ranges("10.96.0.0/16").expect("a range");
        (ServiceAllocator::new(ranges, 30000..=32767), cached.storage.clone())
    }

    #[test]
    fn an_address_is_given_once_and_comes_back() {
        let (allocator, services) = allocator();
        let service =
            |ip: &str| json!({"metadata": {"name": "a"}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
        let mut first = service("10.96.0.10");
        allocator.for_create(&services, &mut first).expect("it is free").keep();
        assert_eq!(first["spec"]["clusterIPs"], json!(["10.96.0.10"]));
        assert_eq!(first["spec"]["ipFamilies"], json!(["IPv4"]));
        let refused = allocator.for_create(&services, &mut service("10.96.0.10")).err().expect("it is taken");
        assert!(
            refused.message.ends_with("failed to allocate IP 10.96.0.10: provided IP is already allocated")
        );
        allocator.release(&services, &first);
        // Dropped without being kept: it is free again.
        drop(allocator.for_create(&services, &mut service("10.96.0.10")).expect("it is free again"));
        drop(allocator.for_create(&services, &mut service("10.96.0.10")).expect("and again"));
    }

    #[test]
    fn node_ports_stay_with_their_service() {
        let (allocator, services) = allocator();
        let mut old =
            json!({"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        allocator.for_create(&services, &mut old).expect("room").keep();
        let port = old["spec"]["ports"][0]["nodePort"].as_u64().expect("a port");
        assert!((30000..=32767).contains(&port));
        let mut new =
            json!({"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        allocator.for_update(&services, &mut new, &old).expect("nothing new").keep();
        assert_eq!(new["spec"]["ports"][0]["nodePort"], port);
        assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
        let mut wish = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}});
        let refused = allocator.for_create(&services, &mut wish).err().expect("outside the range");
        assert!(refused.message.contains("The range of valid ports is 30000-32767"), "{refused}");
    }
}
