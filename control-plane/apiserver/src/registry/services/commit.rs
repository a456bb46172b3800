//! Writes a service together with what it was given and what it gave up, as one step.

use std::net::IpAddr;

use bytes::Bytes;
use oarlock_api::{FieldError, Path, Status};
use oarlock_store::{Compare, KeyValue, Op, Revision, Txn, TxnReply};
use serde_json::{Value, json};

use super::addresses::{address_key, address_object, family_of};
use super::allocate::refused;
use super::ports::{PORTS_KEY, PortMap};
use super::range::Refused;
use super::{Claim, Grant, Held, Known, ServiceAllocator};
use crate::encode::Encoded;
use crate::registry::{CONFLICT_TRIES, Put, Registry, Storage, store_failed};

/// What becomes of the service itself.
enum Change<'a> {
    Put(&'a Storage, &'a mut Value),
    Delete,
}

impl Change<'_> {
    fn op(&self, key: &Bytes) -> Op {
        match self {
            Change::Put(storage, object) => {
                Op::Put { key: key.clone(), value: crate::encode::stored(storage, object), lease: None }
            }
            Change::Delete => Op::Delete { key: key.clone() },
        }
    }

    fn object(&self) -> &Value {
        match self {
            Change::Put(_, object) => object,
            Change::Delete => &Value::Null,
        }
    }
}

type Done<T> = Result<T, Option<KeyValue>>;

impl Registry {
    /// Like `put_away`, with what was held for the object. The object may be given something else than was chosen for it.
    pub(in crate::registry) async fn put_with(
        &self,
        storage: &Storage,
        key: &Bytes,
        encoded: Encoded,
        expected: Revision,
        object: &mut Value,
        held: &mut Held<'_>,
    ) -> Result<Done<Put>, Status> {
        match held.allocator.filter(|_| !held.is_empty()) {
            Some(allocator) => {
                let done = allocator.commit(key, expected, Change::Put(storage, object), held).await?;
                Ok(done.map(|revision| Put { revision, json: None }))
            }
            None => self.put_away(storage, key, encoded, expected, object).await,
        }
    }

    /// Like `remove`, with what was held for the object.
    pub(in crate::registry) async fn remove_with(
        &self,
        key: &Bytes,
        expected: Revision,
        mut held: Held<'_>,
    ) -> Result<Done<Revision>, Status> {
        match held.allocator.filter(|_| !held.is_empty()) {
            Some(allocator) => allocator.commit(key, expected, Change::Delete, &mut held).await,
            None => self.remove(key, expected).await,
        }
    }
}

impl Held<'_> {
    fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.freed.is_empty()
    }

    fn has_ports(&self) -> bool {
        let port = |grant: &Grant| matches!(grant, Grant::Port(_));
        self.claims.iter().map(|claim| &claim.grant).chain(&self.freed).any(port)
    }

    fn claimed_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.claims.iter().filter_map(|claim| match claim.grant {
            Grant::Address(address) => Some(address),
            Grant::Port(_) => None,
        })
    }

    /// The ports as they are afterwards.
    fn ports_after(&self, ports: &PortMap) -> PortMap {
        let mut ports = ports.clone();
        for grant in &self.freed {
            if let Grant::Port(port) = grant {
                ports.set(*port, false);
            }
        }
        for claim in &self.claims {
            if let Grant::Port(port) = claim.grant {
                ports.set(port, true);
            }
        }
        ports
    }
}

impl ServiceAllocator {
    async fn commit(
        &self,
        key: &Bytes,
        expected: Revision,
        mut change: Change<'_>,
        held: &mut Held<'_>,
    ) -> Result<Done<Revision>, Status> {
        let with_ports = held.has_ports();
        let _turn = if with_ports { Some(self.turn.lock().await) } else { None };
        for _ in 0..CONFLICT_TRIES {
            let mut txn = Txn {
                guards: vec![Compare { key: key.clone(), mod_revision: expected }],
                ops: vec![change.op(key)],
            };
            self.add_addresses(held, change.object(), &mut txn);
            let after = with_ports.then(|| self.add_ports(held, &mut txn));
            match self.store.transact(txn).await.map_err(store_failed)? {
                TxnReply::Done { revision } => {
                    if let Some(ports) = after {
                        *self.known.lock() = Known { revision, ports };
                    }
                    return Ok(Ok(revision));
                }
                TxnReply::Failed { current, .. } => {
                    let mut current = current.into_iter();
                    let object = current.next().flatten();
                    if object.as_ref().map_or(Revision(0), |kv| kv.mod_revision) != expected {
                        return Ok(Err(object));
                    }
                    let rest: Vec<Option<KeyValue>> = current.collect();
                    if with_ports {
                        self.learn(rest.last().and_then(Option::as_ref))?;
                    }
                    if let Change::Put(_, object) = &mut change {
                        self.choose_again(held, &rest, object)?;
                    }
                }
            }
        }
        Err(Status::internal("the service allocations change too fast"))
    }

    fn add_addresses(&self, held: &Held<'_>, service: &Value, txn: &mut Txn) {
        for address in held.claimed_addresses() {
            let key = address_key(&self.addresses, address);
            txn.guards.push(Compare { key: key.clone(), mod_revision: Revision(0) });
            let value = address_object(&self.addresses, address, service);
            txn.ops.push(Op::Put { key, value, lease: None });
        }
        for grant in &held.freed {
            if let Grant::Address(address) = grant {
                txn.ops.push(Op::Delete { key: address_key(&self.addresses, *address) });
            }
        }
    }

    /// The guard of the ports is the last one.
    fn add_ports(&self, held: &Held<'_>, txn: &mut Txn) -> PortMap {
        let Known { revision, ports } = self.known.lock().clone();
        let (key, after) = (Bytes::from_static(PORTS_KEY.as_bytes()), held.ports_after(&ports));
        txn.guards.push(Compare { key: key.clone(), mod_revision: revision });
        txn.ops.push(Op::Put { key, value: after.to_bytes(self.addresses.protobuf), lease: None });
        after
    }

    /// Replaces what others have taken meanwhile, and refuses where the client asked for just that. `current` are the
    /// IPAddresses of the claimed addresses in their order.
    fn choose_again(
        &self,
        held: &mut Held<'_>,
        current: &[Option<KeyValue>],
        service: &mut Value,
    ) -> Result<(), Status> {
        let mut current = current.iter();
        let claims: Vec<(usize, Claim)> = held.claims.iter().copied().enumerate().collect();
        for (index, claim) in claims {
            let grant = match claim.grant {
                Grant::Address(address) => {
                    if current.next().is_none_or(Option::is_none) {
                        continue;
                    }
                    if claim.chosen {
                        return Err(address_taken(service, address));
                    }
                    let free = self.free_address(family_of(address), &[address]);
                    Grant::Address(free.ok_or_else(|| failed("a serviceIP"))?)
                }
                Grant::Port(port) => {
                    if !self.known.lock().ports.has(port) {
                        continue;
                    }
                    if claim.chosen {
                        return Err(port_taken(service, port));
                    }
                    Grant::Port(self.free_port(&[port]).ok_or_else(|| failed("a nodePort"))?)
                }
            };
            substitute(service, claim.grant, grant);
            let mut pending = self.pending.lock();
            pending.remove(&claim.grant);
            pending.insert(grant);
            held.claims[index].grant = grant;
        }
        Ok(())
    }
}

fn failed(what: &str) -> Status {
    Status::internal(format!("failed to allocate {what}: {}", Refused::Full))
}

fn address_taken(service: &Value, address: IpAddr) -> Status {
    let detail = format!("failed to allocate IP {address}: {}", Refused::AddressTaken);
    let path = Path::new("spec").child("clusterIPs");
    refused(service, &[FieldError::invalid(path, service["spec"]["clusterIPs"].clone(), detail)])
}

fn port_taken(service: &Value, port: u16) -> Status {
    let ports = service["spec"]["ports"].as_array();
    let index = ports.and_then(|ports| ports.iter().position(|p| p["nodePort"] == json!(port)));
    let Some(index) = index else {
        let why = Refused::PortTaken;
        return Status::internal(format!("failed to allocate requested HealthCheck NodePort {port}: {why}"));
    };
    let path = Path::new("spec").child("ports").index(index).child("nodePort");
    refused(service, &[FieldError::invalid(path, port, Refused::PortTaken.to_string())])
}

/// Puts another address or port into every place where the service has this one.
fn substitute(service: &mut Value, was: Grant, now: Grant) {
    let (was, now) = match (was, now) {
        (Grant::Address(was), Grant::Address(now)) => (json!(was.to_string()), json!(now.to_string())),
        (Grant::Port(was), Grant::Port(now)) => (json!(was), json!(now)),
        (Grant::Address(_), Grant::Port(_)) | (Grant::Port(_), Grant::Address(_)) => return,
    };
    let replace = |place: Option<&mut Value>| {
        if let Some(place) = place
            && *place == was
        {
            *place = now.clone();
        }
    };
    let spec = &mut service["spec"];
    replace(spec.get_mut("clusterIP"));
    replace(spec.get_mut("healthCheckNodePort"));
    for address in spec.get_mut("clusterIPs").and_then(Value::as_array_mut).into_iter().flatten() {
        replace(Some(address));
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        replace(port.get_mut("nodePort"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_choice_goes_into_every_place() {
        let mut service = json!({"spec": {
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "healthCheckNodePort": 30001,
            "ports": [{"nodePort": 30000}, {"nodePort": 30000}, {"nodePort": 30002}, {}],
        }});
        let ip = |text: &str| Grant::Address(text.parse().expect("an address"));
        substitute(&mut service, ip("10.0.0.1"), ip("10.0.0.2"));
        substitute(&mut service, Grant::Port(30000), Grant::Port(30005));
        substitute(&mut service, Grant::Port(30001), Grant::Port(30006));
        let want = json!({"spec": {
            "clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2", "fd00::1"], "healthCheckNodePort": 30006,
            "ports": [{"nodePort": 30005}, {"nodePort": 30005}, {"nodePort": 30002}, {}],
        }});
        assert_eq!(service, want);
    }
}
