//! From what Services want to the elements of the packet filter's maps, and from one state to the next by what differs.
//! Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};

use oarlock_client::ObjectKey;
use oarlock_netfilter::Front;

use crate::services::{At, Entry, Masquerade, Protocol};

/// The chain that spreads over so many endpoints. Services with like ones share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spread {
    pub node_port: bool,
    pub masquerade: Masquerade,
    pub endpoints: u32,
}

impl Spread {
    pub(crate) fn chain(&self) -> String {
        let front = if self.node_port { "node" } else { "addr" };
        let masquerade = match self.masquerade {
            Masquerade::Never => "keep",
            Masquerade::OutsideOfCluster => "outside",
            Masquerade::Always => "masq",
        };
        format!("{front}-{masquerade}-{}", self.endpoints)
    }
}

/// What one Service puts into the maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elements {
    pub fronts: BTreeMap<Front, Spread>,
    pub endpoints: BTreeMap<(Front, u32), SocketAddrV4>,
}

/// What one transaction changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub new_chains: BTreeSet<Spread>,
    pub del_fronts: BTreeMap<Front, Spread>,
    pub add_fronts: BTreeMap<Front, Spread>,
    pub del_endpoints: BTreeMap<(Front, u32), SocketAddrV4>,
    pub add_endpoints: BTreeMap<(Front, u32), SocketAddrV4>,
    pub del_hairpins: BTreeSet<Ipv4Addr>,
    pub add_hairpins: BTreeSet<Ipv4Addr>,
    /// UDP flows that lead to endpoints which are gone, or to where nothing was before.
    pub stale_flows: BTreeSet<StaleFlow>,
}

/// Connection tracking keeps a UDP flow on its endpoint while packets come; these must be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StaleFlow {
    pub front: Front,
    /// Only the flows to this endpoint; `None`: all.
    pub endpoint: Option<Ipv4Addr>,
}

impl Delta {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) fn elements(entries: &[Entry]) -> Elements {
    let mut out = Elements::default();
    for entry in entries.iter().filter(|entry| !entry.endpoints.is_empty()) {
        let (address, node_port) = match entry.at {
            At::Address(address) => (address, false),
            At::NodePort => (Ipv4Addr::UNSPECIFIED, true),
        };
        let front = Front { address, protocol: entry.protocol.number(), port: entry.port };
        let count =
            u32::try_from(entry.endpoints.len()).expect("a Service has fewer than four billion endpoints");
        out.fronts.insert(front, Spread { node_port, masquerade: entry.masquerade, endpoints: count });
        for (index, endpoint) in (0..count).zip(&entry.endpoints) {
            out.endpoints.insert((front, index), *endpoint);
        }
    }
    out
}

/// What is in the kernel, by Service.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    services: HashMap<ObjectKey, Elements>,
    /// How many elements lead to each endpoint address; it may reach itself while there is one.
    hairpins: HashMap<Ipv4Addr, usize>,
    chains: BTreeSet<Spread>,
}

impl Installed {
    /// Everything again, for an empty table.
    pub(crate) fn all(&self) -> Delta {
        let mut delta = Delta { new_chains: self.chains.clone(), ..Delta::default() };
        for elements in self.services.values() {
            delta.add_fronts.extend(elements.fronts.clone());
            delta.add_endpoints.extend(elements.endpoints.clone());
        }
        delta.add_hairpins.extend(self.hairpins.keys());
        delta
    }

    /// Puts each Service's new elements in the place of what it had; the delta is what that changes. Everything is
    /// released before anything is claimed, so that an address may change hands within one batch.
    pub(crate) fn replace(&mut self, batch: Vec<(ObjectKey, Elements)>) -> Delta {
        let mut delta = Delta::default();
        let mut claims = Vec::with_capacity(batch.len());
        for (key, new) in batch {
            let old = self.services.remove(&key).unwrap_or_default();
            self.release(&old, &new, &mut delta);
            claims.push((key, old, new));
        }
        for (key, old, new) in claims {
            self.claim(&old, &new, &mut delta);
            if !new.fronts.is_empty() {
                self.services.insert(key, new);
            }
        }
        delta
    }

    fn release(&mut self, old: &Elements, new: &Elements, delta: &mut Delta) {
        for (front, spread) in &old.fronts {
            if new.fronts.get(front) != Some(spread) {
                delta.del_fronts.insert(*front, *spread);
            }
        }
        for (key, endpoint) in &old.endpoints {
            if new.endpoints.get(key) == Some(endpoint) {
                continue;
            }
            delta.del_endpoints.insert(*key, *endpoint);
            self.release_hairpin(*endpoint.ip(), delta);
            let still = new.endpoints.iter().any(|((front, _), e)| *front == key.0 && e == endpoint);
            if key.0.protocol == Protocol::Udp.number() && !still {
                delta.stale_flows.insert(StaleFlow { front: key.0, endpoint: Some(*endpoint.ip()) });
            }
        }
    }

    fn claim(&mut self, old: &Elements, new: &Elements, delta: &mut Delta) {
        for (front, spread) in &new.fronts {
            if old.fronts.get(front) == Some(spread) {
                continue;
            }
            delta.add_fronts.insert(*front, *spread);
            if self.chains.insert(*spread) {
                delta.new_chains.insert(*spread);
            }
            if front.protocol == Protocol::Udp.number() && !old.fronts.contains_key(front) {
                delta.stale_flows.insert(StaleFlow { front: *front, endpoint: None });
            }
        }
        for (key, endpoint) in &new.endpoints {
            if old.endpoints.get(key) != Some(endpoint) {
                delta.add_endpoints.insert(*key, *endpoint);
                self.claim_hairpin(*endpoint.ip(), delta);
            }
        }
    }

    fn claim_hairpin(&mut self, address: Ipv4Addr, delta: &mut Delta) {
        let count = self.hairpins.entry(address).or_default();
        *count += 1;
        if *count == 1 && !delta.del_hairpins.remove(&address) {
            delta.add_hairpins.insert(address);
        }
    }

    fn release_hairpin(&mut self, address: Ipv4Addr, delta: &mut Delta) {
        if let Some(count) = self.hairpins.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.hairpins.remove(&address);
                delta.del_hairpins.insert(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(port: u16, protocol: Protocol, ends: &[&str]) -> Entry {
        Entry {
            at: At::Address(Ipv4Addr::new(10, 96, 0, 9)),
            protocol,
            port,
            masquerade: Masquerade::OutsideOfCluster,
            endpoints: ends.iter().map(|e| e.parse().expect("an address")).collect(),
        }
    }

    fn step(installed: &mut Installed, name: &str, entries: &[Entry]) -> Delta {
        installed.replace(vec![(ObjectKey::new("default", name), elements(entries))])
    }

    #[test]
    fn only_what_differs_is_in_a_delta() {
        let mut installed = Installed::default();
        let first =
            step(&mut installed, "web", &[entry(80, Protocol::Tcp, &["10.244.0.3:80", "10.244.0.4:80"])]);
        assert_eq!((first.add_fronts.len(), first.add_endpoints.len(), first.add_hairpins.len()), (1, 2, 2));
        assert_eq!(first.new_chains.iter().map(Spread::chain).collect::<Vec<_>>(), ["addr-outside-2"]);
        let same =
            step(&mut installed, "web", &[entry(80, Protocol::Tcp, &["10.244.0.3:80", "10.244.0.4:80"])]);
        assert!(same.is_empty());
        let swapped =
            step(&mut installed, "web", &[entry(80, Protocol::Tcp, &["10.244.0.3:80", "10.244.0.5:80"])]);
        assert_eq!((swapped.add_fronts.len(), swapped.del_fronts.len()), (0, 0));
        assert_eq!((swapped.del_endpoints.len(), swapped.add_endpoints.len()), (1, 1));
        assert_eq!(swapped.del_hairpins.len(), 1);
        let gone = step(&mut installed, "web", &[]);
        assert_eq!((gone.del_fronts.len(), gone.del_endpoints.len(), gone.del_hairpins.len()), (1, 2, 2));
        assert_eq!(installed.all(), Delta { new_chains: installed.chains.clone(), ..Delta::default() });
    }

    #[test]
    fn a_shared_endpoint_keeps_its_hairpin_until_the_last_is_gone() {
        let mut installed = Installed::default();
        step(&mut installed, "a", &[entry(80, Protocol::Tcp, &["10.244.0.3:80"])]);
        let second = step(&mut installed, "b", &[entry(81, Protocol::Tcp, &["10.244.0.3:80"])]);
        assert!(second.add_hairpins.is_empty());
        assert!(step(&mut installed, "a", &[]).del_hairpins.is_empty());
        assert_eq!(step(&mut installed, "b", &[]).del_hairpins.len(), 1);
    }

    #[test]
    fn udp_flows_to_a_gone_endpoint_are_stale() {
        let mut installed = Installed::default();
        let first = step(&mut installed, "dns", &[entry(53, Protocol::Udp, &["10.244.0.3:53"])]);
        assert_eq!(first.stale_flows.iter().map(|s| s.endpoint).collect::<Vec<_>>(), [None]);
        let moved = step(&mut installed, "dns", &[entry(53, Protocol::Udp, &["10.244.0.4:53"])]);
        assert_eq!(
            moved.stale_flows.iter().map(|s| s.endpoint).collect::<Vec<_>>(),
            [Some(Ipv4Addr::new(10, 244, 0, 3))]
        );
    }

    #[test]
    fn a_port_that_changes_hands_in_one_delta_is_not_deleted() {
        let mut installed = Installed::default();
        step(&mut installed, "old", &[entry(80, Protocol::Tcp, &["10.244.0.3:80"])]);
        let new = elements(&[entry(80, Protocol::Tcp, &["10.244.0.4:80"])]);
        let delta = installed.replace(vec![
            (ObjectKey::new("default", "new"), new),
            (ObjectKey::new("default", "old"), Elements::default()),
        ]);
        assert_eq!((delta.del_fronts.len(), delta.add_fronts.len()), (1, 1), "deleted first, then added");
    }
}
