//! Chooses addresses and ports for one service. Reads the store only to confirm that something asked for is taken.

use std::net::IpAddr;

use oarlock_api::{FieldError, GroupKind, Path, Status};
use serde_json::{Value, json};

use super::addresses::{IP_ADDRESSES, ServiceRange, address_key};
use super::range::{Refused, pick};
use super::{Claim, Grant, Held, ServiceAllocator, families, fields, grants_of, is_services};
use crate::registry::{Storage, store_failed};

/// The first port of a dry run, as upstream.
const DRY_PORT: u16 = 32768;

/// The choices for one service so far.
struct Choice<'a> {
    held: Held<'a>,
    /// What the service has already.
    has: Vec<Grant>,
    dry_run: bool,
    dry_ports: u16,
}

impl Choice<'_> {
    fn has(&self, grant: Grant) -> bool {
        self.has.contains(&grant) || self.held.claims.iter().any(|claim| claim.grant == grant)
    }

    /// False when another request of this server is about to take it.
    fn claim(&mut self, allocator: &ServiceAllocator, grant: Grant, chosen: bool) -> bool {
        if self.dry_run {
            return true;
        }
        let free = allocator.pending.lock().insert(grant);
        if free {
            self.held.claims.push(Claim { grant, chosen });
        }
        free
    }
}

impl ServiceAllocator {
    pub(super) async fn allocate(
        &self,
        storage: &Storage,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Held<'_>, Status> {
        if !is_services(storage) {
            return Ok(Held::nothing());
        }
        let errors = fields::prepare(new, old, &self.ranges.families());
        if !errors.is_empty() {
            return Err(refused(new, &errors));
        }
        if families::are_odd(new) {
            return Ok(Held::nothing());
        }
        let has = old.map(grants_of).unwrap_or_default();
        let held = Held { allocator: Some(self), claims: Vec::new(), freed: Vec::new() };
        let mut choice = Choice { held, has, dry_run, dry_ports: 0 };
        self.choose_addresses(new, &mut choice).await?;
        self.choose_ports(new, &mut choice).await?;
        self.choose_health_port(new, &mut choice).await?;
        let Choice { mut held, has, .. } = choice;
        held.freed = self.freed_by(new, &has, &grants_of(new));
        Ok(held)
    }

    async fn choose_addresses(&self, service: &mut Value, choice: &mut Choice<'_>) -> Result<(), Status> {
        if !fields::needs_address(service) {
            return Ok(());
        }
        let texts = |list: &Value| -> Vec<String> {
            crate::registry::meta::strings(list).map(String::from).collect()
        };
        let families = texts(&service["spec"]["ipFamilies"]);
        let asked = texts(&service["spec"]["clusterIPs"]);
        let mut given = Vec::with_capacity(families.len());
        for (index, family) in families.iter().enumerate() {
            let wish = asked.get(index).filter(|a| !a.is_empty());
            let Some(text) = wish else {
                let address = self
                    .any_address(family, choice)
                    .map_err(|why| Status::internal(format!("failed to allocate a serviceIP: {why}")))?;
                given.push(address.to_string());
                continue;
            };
            // What is no address is validation's to refuse.
            if let Ok(address) = text.parse::<IpAddr>()
                && let Err(why) = self.this_address(address, choice).await?
            {
                let detail = format!("failed to allocate IP {address}: {why}");
                let path = Path::new("spec").child("clusterIPs");
                return Err(refused(service, &[FieldError::invalid(path, json!(asked), detail)]));
            }
            given.push(text.clone());
        }
        if let Some(first) = given.first() {
            service["spec"]["clusterIP"] = first.clone().into();
            service["spec"]["clusterIPs"] = given.into();
        }
        Ok(())
    }

    async fn this_address(
        &self,
        address: IpAddr,
        choice: &mut Choice<'_>,
    ) -> Result<Result<(), Refused>, Status> {
        let grant = Grant::Address(address);
        if choice.has(grant) {
            return Ok(Ok(()));
        }
        if let Err(why) = check_address(address, &self.ranges.now(&*self.objects)) {
            return Ok(Err(why));
        }
        if choice.dry_run {
            return Ok(Ok(()));
        }
        // The cache may not yet know that it is free again.
        if self.is_known(address) {
            let key = address_key(&self.addresses, address);
            if self.store.get(&key, None).await.map_err(store_failed)?.0.is_some() {
                return Ok(Err(Refused::AddressTaken));
            }
        }
        Ok(if choice.claim(self, grant, true) { Ok(()) } else { Err(Refused::AddressTaken) })
    }

    fn any_address(&self, family: &str, choice: &mut Choice<'_>) -> Result<IpAddr, Refused> {
        if choice.dry_run {
            let ranges = self.ranges.now(&*self.objects);
            let range = ranges.iter().find(|r| r.range.family() == family).ok_or(Refused::Full)?;
            return Ok(range.range.network());
        }
        loop {
            let address = self.free_address(family, &[]).ok_or(Refused::Full)?;
            // Another request may have come in between: what it chose is no longer free.
            if choice.claim(self, Grant::Address(address), false) {
                return Ok(address);
            }
        }
    }

    /// An address that is free as far as this server knows.
    pub(super) fn free_address(&self, family: &str, avoid: &[IpAddr]) -> Option<IpAddr> {
        let ranges = self.ranges.now(&*self.objects);
        let pending = self.pending.lock().clone();
        let taken = |address: IpAddr| {
            pending.contains(&Grant::Address(address)) || avoid.contains(&address) || self.is_known(address)
        };
        let fitting = ranges.iter().filter(|r| r.ready && r.range.family() == family).map(|r| r.range);
        fitting.into_iter().find_map(|range| {
            let offset = pick(range.size(), range.reserved(), |offset| taken(range.at(offset)))?;
            Some(range.at(offset))
        })
    }

    fn is_known(&self, address: IpAddr) -> bool {
        self.objects.get(&IP_ADDRESSES, "", &address.to_string()).is_some()
    }

    async fn choose_ports(&self, service: &mut Value, choice: &mut Choice<'_>) -> Result<(), Status> {
        if !fields::has_node_ports(service) {
            return Ok(());
        }
        let given_unasked = fields::needs_node_ports(service);
        let count = service["spec"]["ports"].as_array().map_or(0, Vec::len);
        for index in 0..count {
            let port = &service["spec"]["ports"][index];
            let number = match wish_of(&port["nodePort"]) {
                Some(wish) => {
                    if let Err(why) = self.this_port(wish, choice).await? {
                        let path = Path::new("spec").child("ports").index(index).child("nodePort");
                        return Err(refused(service, &[FieldError::invalid(path, wish, why.to_string())]));
                    }
                    continue;
                }
                None if !given_unasked => continue,
                // One number serves every protocol of one port.
                None => match sibling(&service["spec"]["ports"], index) {
                    Some(number) => number,
                    None => self
                        .any_port(choice)
                        .await?
                        .map_err(|why| Status::internal(format!("failed to allocate a nodePort: {why}")))?,
                },
            };
            service["spec"]["ports"][index]["nodePort"] = number.into();
        }
        Ok(())
    }

    async fn choose_health_port(&self, service: &mut Value, choice: &mut Choice<'_>) -> Result<(), Status> {
        if !fields::needs_health_port(service) {
            return Ok(());
        }
        let failed = |what: &str, port: u16, why: &Refused| {
            Status::internal(format!("failed to allocate {what}HealthCheck NodePort {port}: {why}"))
        };
        match wish_of(&service["spec"]["healthCheckNodePort"]) {
            Some(wish) => {
                let taken = self.this_port(wish, choice).await?;
                taken.map_err(|why| failed("requested ", wish, &why))
            }
            None => {
                let number = self.any_port(choice).await?.map_err(|why| failed("a ", 0, &why))?;
                service["spec"]["healthCheckNodePort"] = number.into();
                Ok(())
            }
        }
    }

    async fn this_port(&self, port: u16, choice: &mut Choice<'_>) -> Result<Result<(), Refused>, Status> {
        // One number may serve TCP and UDP of the same service.
        if choice.has(Grant::Port(port)) {
            return Ok(Ok(()));
        }
        if let Err(why) = self.known.lock().ports.check_range(port) {
            return Ok(Err(why));
        }
        let taken = || self.known.lock().ports.has(port);
        if taken() {
            self.refresh_ports().await?;
            if taken() {
                return Ok(Err(Refused::PortTaken));
            }
        }
        Ok(if choice.claim(self, Grant::Port(port), true) { Ok(()) } else { Err(Refused::PortTaken) })
    }

    async fn any_port(&self, choice: &mut Choice<'_>) -> Result<Result<u16, Refused>, Status> {
        if choice.dry_run {
            let Some(port) = DRY_PORT.checked_add(choice.dry_ports) else { return Ok(Err(Refused::Full)) };
            choice.dry_ports += 1;
            return Ok(Ok(port));
        }
        if self.free_port(&[]).is_none() {
            self.refresh_ports().await?;
        }
        loop {
            let Some(port) = self.free_port(&[]) else { return Ok(Err(Refused::Full)) };
            if choice.claim(self, Grant::Port(port), false) {
                return Ok(Ok(port));
            }
        }
    }

    /// A port that is free as far as this server knows.
    pub(super) fn free_port(&self, avoid: &[u16]) -> Option<u16> {
        let pending = self.pending.lock().clone();
        let busy = |port| pending.contains(&Grant::Port(port)) || avoid.contains(&port);
        self.known.lock().ports.any(busy)
    }
}

/// Whether new services may have this address.
fn check_address(address: IpAddr, ranges: &[ServiceRange]) -> Result<(), Refused> {
    let within = || ranges.iter().filter(|r| r.ready && r.range.holds(address)).map(|r| r.range);
    let Some(first) = within().next() else { return Err(Refused::Mismatched) };
    if within().any(|range| range.offset(address).is_some()) {
        return Ok(());
    }
    Err(Refused::OutsideAddresses { address, range: first.to_string() })
}

fn wish_of(number: &Value) -> Option<u16> {
    number.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0)
}

/// The node port of another protocol of the same port.
fn sibling(ports: &Value, index: usize) -> Option<u16> {
    let (all, this) = (ports.as_array()?, &ports[index]);
    let same = |port: &&Value| port["port"] == this["port"] && port["protocol"] != this["protocol"];
    all.iter().filter(same).find_map(|port| wish_of(&port["nodePort"]))
}

pub(super) fn refused(service: &Value, errors: &[FieldError]) -> Status {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    Status::invalid(&GroupKind::new("", "Service"), name, errors)
}

#[cfg(test)]
mod tests {
    use super::super::range::parse_ranges;
    use super::*;

    #[test]
    fn addresses_are_checked_against_every_ready_range() {
        let ranges: Vec<ServiceRange> =
            [("10.96.0.0/16", true), ("10.96.0.0/30", true), ("10.1.0.0/24", false)]
                .iter()
                .map(|(text, ready)| ServiceRange {
                    range: parse_ranges(text).expect("a range")[0],
                    ready: *ready,
                })
                .collect();
        let check = |address: &str, want: Option<&str>| {
            let got = check_address(address.parse().expect("an address"), &ranges);
            assert_eq!(got.err().map(|why| why.to_string()).as_deref(), want, "{address}");
        };
        check("10.96.0.1", None);
        // The broadcast address of the small range is usable in the large one.
        check("10.96.0.3", None);
        let edge =
            "the provided IP (10.96.0.0) is not in the valid range. The range of valid IPs is 10.96.0.0/16";
        check("10.96.0.0", Some(edge));
        check("10.1.0.1", Some("the provided network does not match the current range"));
        check("fd00::1", Some("the provided network does not match the current range"));
    }

    #[test]
    fn protocols_of_one_port_share_their_node_port() {
        let ports = json!([
            {"port": 53, "protocol": "UDP", "nodePort": 30053}, {"port": 53, "protocol": "TCP"},
            {"port": 80, "protocol": "TCP"},
        ]);
        assert_eq!(sibling(&ports, 1), Some(30053));
        assert_eq!(sibling(&ports, 2), None);
    }
}
