//! Brings IPAddresses and node ports in line with the stored services: at start, and every few minutes while something
//! changed. [`plan`] decides; every write is guarded by what the decision was made from.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::Annotations;
use oarlock_base::Shutdown;
use oarlock_store::{Compare, Op, Revision, Txn, TxnReply};
use serde_json::{Value, json};

use super::addresses::{
    FAMILY_LABEL, IP_ADDRESSES, MANAGER, MANAGER_LABEL, ServiceRange, address_key, address_object,
    belongs_to, family_of, refers_to_service,
};
use super::ports::{PORTS_KEY, PortMap};
use super::{Known, ServiceAllocator, addresses_of, fields, ports_of};
use crate::config::Error;
use crate::registry::{CONFLICT_TRIES, Write, key_of, store_failed, time_text};
use crate::server::Server;

static SERVICES: LazyLock<GroupResource> = LazyLock::new(|| GroupResource::new("", "services"));

const PERIOD: Duration = Duration::from_secs(180);

/// An IPAddress without its service may be one of a service that another server is about to write.
const GRACE_SECONDS: i64 = 60;

/// A port is free again when it was found without a service so many times in a row.
const LEAK_ROUNDS: u32 = 3;

/// Something that was not as it should be, as an Event tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    about: Arc<Value>,
    reason: &'static str,
    action: &'static str,
    note: String,
}

/// What is to be done about an IPAddress.
#[derive(Debug, PartialEq)]
enum Action {
    Create { address: IpAddr, service: Arc<Value> },
    Recreate { address: IpAddr, service: Arc<Value>, existing: Arc<Value> },
    Remove { existing: Arc<Value> },
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

fn revision(object: &Value) -> Revision {
    Revision(text(object, "resourceVersion").parse().unwrap_or(0))
}

/// What the world looks like to the plan.
struct Seen<'a> {
    services: HashMap<(&'a str, &'a str), &'a Arc<Value>>,
    addresses: HashMap<&'a str, &'a Arc<Value>>,
    ranges: &'a [ServiceRange],
    now: Timestamp,
}

#[derive(Debug, Default, PartialEq)]
struct Plan {
    actions: Vec<Action>,
    findings: Vec<Finding>,
}

impl Plan {
    fn tell(&mut self, about: &Arc<Value>, reason: &'static str, action: &'static str, note: String) {
        self.findings.push(Finding { about: about.clone(), reason, action, note });
    }
}

fn plan(services: &[Arc<Value>], addresses: &[Arc<Value>], ranges: &[ServiceRange], now: Timestamp) -> Plan {
    let seen = Seen {
        services: services.iter().map(|s| ((text(s, "namespace"), text(s, "name")), s)).collect(),
        addresses: addresses.iter().map(|a| (text(a, "name"), a)).collect(),
        ranges,
        now,
    };
    let mut plan = Plan::default();
    for service in services.iter().filter(|service| fields::needs_address(service)) {
        let mut done = HashSet::new();
        for address in addresses_of(service).filter(|address| done.insert(*address)) {
            check_service(&seen, service, address, &mut plan);
        }
    }
    for address in addresses.iter().filter(|a| a["metadata"]["labels"][MANAGER_LABEL] == MANAGER) {
        check_address(&seen, address, &mut plan);
    }
    plan
}

/// The IPAddress of one address of a service.
fn check_service(seen: &Seen<'_>, service: &Arc<Value>, address: IpAddr, plan: &mut Plan) {
    const ACTION: &str = "ClusterIPAllocation";
    let family = family_of(address);
    if !seen.ranges.iter().any(|range| range.range.holds(address)) {
        let note = format!(
            "Cluster IP [{family}]: {address} is not within any configured Service CIDR; please recreate service"
        );
        return plan.tell(service, "ClusterIPOutOfRange", ACTION, note);
    }
    let Some(existing) = seen.addresses.get(address.to_string().as_str()) else {
        let note = format!("Cluster IP [{family}]: {address} is not allocated; repairing");
        plan.tell(service, "ClusterIPNotAllocated", ACTION, note);
        return plan.actions.push(Action::Create { address, service: service.clone() });
    };
    let recreate = || Action::Recreate { address, service: service.clone(), existing: Arc::clone(existing) };
    if belongs_to(existing, service) {
        let labels = &existing["metadata"]["labels"];
        if labels[MANAGER_LABEL] != MANAGER || labels[FAMILY_LABEL] != family {
            plan.actions.push(recreate());
        }
        return;
    }
    let parent = &existing["spec"]["parentRef"];
    let other =
        (parent["namespace"].as_str().unwrap_or_default(), parent["name"].as_str().unwrap_or_default());
    let owner = seen.services.get(&other).filter(|_| refers_to_service(existing));
    if owner.is_some_and(|owner| addresses_of(owner).any(|its| its == address)) {
        let note = format!(
            "Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service"
        );
        return plan.tell(service, "ClusterIPAlreadyAllocated", ACTION, note);
    }
    let (namespace, name) = (text(service, "namespace"), text(service, "name"));
    let note = format!(
        "the ClusterIP [{family}]: {address} for Service {namespace}/{name} has a wrong reference; repairing"
    );
    plan.tell(service, "ClusterIPNotAllocated", ACTION, note);
    plan.actions.push(recreate());
}

/// The service of an IPAddress that the allocator made.
fn check_address(seen: &Seen<'_>, address: &Arc<Value>, plan: &mut Plan) {
    const ACTION: &str = "IPAddressAllocation";
    let (name, parent) = (text(address, "name"), &address["spec"]["parentRef"]);
    let remove = Action::Remove { existing: address.clone() };
    // Whatever a service has was looked at from its side.
    let planned = |plan: &Plan| {
        plan.actions
            .iter()
            .any(|action| matches!(action, Action::Recreate { existing, .. } if existing == address))
    };
    if planned(plan) {
        return;
    }
    if !refers_to_service(address) {
        let note = format!(
            "IPAddress {name} appears to have been modified, not referencing a Service {parent}: cleaning up"
        );
        plan.tell(address, "IPAddressNotAllocated", ACTION, note);
        return plan.actions.push(remove);
    }
    let of = (parent["namespace"].as_str().unwrap_or_default(), parent["name"].as_str().unwrap_or_default());
    let Some(service) = seen.services.get(&of) else {
        let created: Option<Timestamp> = text(address, "creationTimestamp").parse().ok();
        let age = created.map_or(i64::MAX, |created| seen.now.as_second() - created.as_second());
        if age > GRACE_SECONDS {
            let (namespace, service) = of;
            let note = format!(
                "IPAddress: {name} for Service {namespace}/{service} appears to have leaked: cleaning up"
            );
            plan.tell(address, "IPAddressNotAllocated", ACTION, note);
            plan.actions.push(remove);
        }
        return;
    };
    if !addresses_of(service).any(|its| its.to_string() == name) {
        let (namespace, service) = of;
        let note =
            format!("IPAddress: {name} for Service {namespace}/{service} has a wrong reference; cleaning up");
        plan.tell(address, "IPAddressWrongReference", ACTION, note);
        plan.actions.push(remove);
    }
}

/// What the taken ports should be. `leaks` counts how often a port was found without a service.
fn plan_ports(
    ports: &PortMap,
    services: &[Arc<Value>],
    leaks: &mut BTreeMap<u16, u32>,
    findings: &mut Vec<Finding>,
) -> PortMap {
    let mut used: HashMap<u16, &Arc<Value>> = HashMap::new();
    let mut after = ports.clone();
    let mut tell = |about: &Arc<Value>, reason, note| {
        findings.push(Finding { about: about.clone(), reason, action: "PortAllocation", note });
    };
    for service in services.iter().filter(|service| fields::has_node_ports(service)) {
        let mut own = HashSet::new();
        for port in ports_of(service).filter(|port| own.insert(*port)) {
            if ports.check_range(port).is_err() {
                let note = format!(
                    "Port {port} is not within the port range {}; please recreate service",
                    ports.range_text()
                );
                tell(service, "PortOutOfRange", note);
            } else if used.insert(port, service).is_some() {
                let note = format!("Port {port} was assigned to multiple services; please recreate service");
                tell(service, "PortAlreadyAllocated", note);
            } else if !ports.has(port) {
                tell(service, "PortNotAllocated", format!("Port {port} is not allocated; repairing"));
                after.set(port, true);
            }
        }
    }
    let mut still = BTreeMap::new();
    for port in ports.taken().filter(|port| !used.contains_key(port)) {
        let rounds = leaks.get(&port).copied().unwrap_or(0) + 1;
        if rounds > LEAK_ROUNDS {
            tracing::warn!(port, "a node port without a service is free again");
            after.set(port, false);
        } else {
            still.insert(port, rounds);
        }
    }
    *leaks = still;
    after
}

impl ServiceAllocator {
    /// Looks at everything once.
    pub(crate) async fn repair(&self, leaks: &mut BTreeMap<u16, u32>) -> Result<Vec<Finding>, Status> {
        let services = self.objects.list(&SERVICES, "");
        let addresses = self.objects.list(&IP_ADDRESSES, "");
        let ranges = self.ranges.now(&*self.objects);
        let Plan { actions, mut findings } = plan(&services, &addresses, &ranges, Timestamp::now());
        for action in actions {
            let txn = self.repairing(action);
            // Where a guard fails something has changed: the next round looks at it again.
            self.store.transact(txn).await.map_err(store_failed)?;
        }
        findings.extend(self.repair_ports(&services, leaks).await?);
        Ok(findings)
    }

    fn repairing(&self, action: Action) -> Txn {
        let at = |key: &Bytes, mod_revision| Compare { key: key.clone(), mod_revision };
        let service_key = |service: &Value| -> Bytes {
            key_of("/registry/services/specs/", text(service, "namespace"), text(service, "name")).into()
        };
        let put = |key: Bytes, address, service: &Value| Op::Put {
            key,
            value: address_object(&self.addresses, address, service),
            lease: None,
        };
        let existing_key =
            |existing: &Value| -> Bytes { key_of(&self.addresses.prefix, "", text(existing, "name")).into() };
        match action {
            Action::Create { address, service } => {
                let key = address_key(&self.addresses, address);
                let guards = vec![at(&service_key(&service), revision(&service)), at(&key, Revision(0))];
                Txn { guards, ops: vec![put(key, address, &service)] }
            }
            Action::Recreate { address, service, existing } => {
                let key = address_key(&self.addresses, address);
                let guards =
                    vec![at(&service_key(&service), revision(&service)), at(&key, revision(&existing))];
                Txn { guards, ops: vec![put(key, address, &service)] }
            }
            Action::Remove { existing } => {
                let key = existing_key(&existing);
                Txn { guards: vec![at(&key, revision(&existing))], ops: vec![Op::Delete { key }] }
            }
        }
    }

    async fn repair_ports(
        &self,
        services: &[Arc<Value>],
        leaks: &mut BTreeMap<u16, u32>,
    ) -> Result<Vec<Finding>, Status> {
        let _turn = self.turn.lock().await;
        self.refresh_ports().await?;
        let counted = leaks.clone();
        for _ in 0..CONFLICT_TRIES {
            let Known { revision, ports } = self.known.lock().clone();
            let mut findings = Vec::new();
            *leaks = counted.clone();
            let after = plan_ports(&ports, services, leaks, &mut findings);
            if after == ports && revision != Revision(0) {
                return Ok(findings);
            }
            let key = Bytes::from_static(PORTS_KEY.as_bytes());
            let guards = vec![Compare { key: key.clone(), mod_revision: revision }];
            let ops = vec![Op::Put { key, value: after.to_bytes(self.addresses.protobuf), lease: None }];
            match self.store.transact(Txn { guards, ops }).await.map_err(store_failed)? {
                TxnReply::Done { revision } => {
                    *self.known.lock() = Known { revision, ports: after };
                    return Ok(findings);
                }
                TxnReply::Failed { current, .. } => self.learn(current.first().and_then(Option::as_ref))?,
            }
        }
        Err(Status::internal("the node ports change too fast to be repaired"))
    }

    /// What a round would look at: while it stays the same there is nothing to find.
    fn state(&self) -> (u64, u64, Revision) {
        let generation = |resource| self.objects.generation(resource);
        (generation(&SERVICES), generation(&IP_ADDRESSES), self.known.lock().revision)
    }
}

/// Repairs again and again until the shutdown. `found` is what the repair at the start has found.
pub(crate) async fn keep(server: &Arc<Server>, found: Vec<Finding>, stop: Shutdown) -> Result<(), Error> {
    let mut ready = server.ready.subscribe();
    if stop.or(ready.wait_for(|ready| *ready)).await.is_none_or(|ready| ready.is_err()) {
        return Ok(());
    }
    let allocator = &server.registry.services;
    let (mut leaks, mut looked_at, mut found) = (BTreeMap::new(), None, found);
    loop {
        for finding in std::mem::take(&mut found) {
            tell(server, &finding).await;
        }
        if stop.or(tokio::time::sleep(PERIOD)).await.is_none() {
            return Ok(());
        }
        let state = allocator.state();
        if looked_at == Some(state) && leaks.is_empty() {
            continue;
        }
        match allocator.repair(&mut leaks).await {
            Ok(findings) => {
                found = findings;
                looked_at = Some(state);
            }
            Err(status) => tracing::warn!(%status, "the service allocations could not be repaired"),
        }
    }
}

/// Writes a finding as an Event.
async fn tell(server: &Arc<Server>, finding: &Finding) {
    let Finding { about, reason, action, note } = finding;
    tracing::warn!(reason, note, "a service allocation was not as it should be");
    let Some(served) = server.resources.known("", "v1", "events") else { return };
    let namespace = Some(text(about, "namespace")).filter(|n| !n.is_empty()).unwrap_or("default");
    let now = Timestamp::now();
    let kind = if refers_to_service(about) { "IPAddress" } else { "Service" };
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {
            "name": format!("{}.{:x}", text(about, "name").replace(':', "-"), now.as_nanosecond()),
            "namespace": namespace,
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"], "kind": about["kind"].as_str().unwrap_or(kind),
            "name": text(about, "name"), "namespace": text(about, "namespace"), "uid": text(about, "uid"),
            "resourceVersion": text(about, "resourceVersion"),
        },
        "type": "Warning", "reason": reason, "action": action, "message": note,
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        "firstTimestamp": time_text(now), "lastTimestamp": time_text(now), "count": 1,
        "reportingComponent": "ipallocator-repair-controller", "reportingInstance": "oarlock", "source": {},
    });
    let user = Arc::new(crate::bootstrap::system_user());
    let annotations = Annotations::default();
    let mut write = Write::of_server(&user, &annotations);
    if let Err(status) = server.registry.create(&served, namespace, event, &mut write).await {
        tracing::warn!(%status, "an event could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::super::range::parse_ranges;
    use super::*;

    fn ranges() -> Vec<ServiceRange> {
        vec![ServiceRange { range: parse_ranges("10.0.0.0/24").expect("a range")[0], ready: true }]
    }

    fn service(name: &str, ip: &str) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"namespace": "a", "name": name, "resourceVersion": "7"},
            "spec": {"clusterIP": ip, "clusterIPs": [ip]},
        }))
    }

    fn address(ip: &str, service: &str) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {
                "name": ip, "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { FAMILY_LABEL: "IPv4", MANAGER_LABEL: MANAGER },
            },
            "spec": {"parentRef": {"resource": "services", "namespace": "a", "name": service}},
        }))
    }

    fn brief(plan: &Plan) -> (Vec<String>, Vec<&'static str>) {
        let action = |action: &Action| match action {
            Action::Create { address, service } => format!("create {address} for {}", text(service, "name")),
            Action::Recreate { address, service, .. } => {
                format!("recreate {address} for {}", text(service, "name"))
            }
            Action::Remove { existing } => format!("remove {}", text(existing, "name")),
        };
        (plan.actions.iter().map(action).collect(), plan.findings.iter().map(|f| f.reason).collect())
    }

    #[test]
    fn addresses_follow_their_services() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("a time");
        let check =
            |services: &[Arc<Value>], addresses: &[Arc<Value>], actions: &[&str], reasons: &[&str]| {
                let plan = plan(services, addresses, &ranges(), now);
                let (did, told) = brief(&plan);
                assert_eq!(
                    (did.as_slice(), told.as_slice()),
                    (&actions.iter().map(|a| (*a).to_string()).collect::<Vec<_>>()[..], reasons)
                );
            };
        check(&[service("x", "10.0.0.1")], &[address("10.0.0.1", "x")], &[], &[]);
        check(&[service("x", "None")], &[], &[], &[]);
        check(&[service("x", "10.0.0.1")], &[], &["create 10.0.0.1 for x"], &["ClusterIPNotAllocated"]);
        check(&[service("x", "10.1.0.1")], &[], &[], &["ClusterIPOutOfRange"]);
        check(&[], &[address("10.0.0.1", "x")], &["remove 10.0.0.1"], &["IPAddressNotAllocated"]);
        check(
            &[service("x", "10.0.0.1")],
            &[address("10.0.0.1", "gone")],
            &["recreate 10.0.0.1 for x"],
            &["ClusterIPNotAllocated"],
        );
        check(
            &[service("x", "10.0.0.1"), service("y", "10.0.0.1")],
            &[address("10.0.0.1", "x")],
            &[],
            &["ClusterIPAlreadyAllocated"],
        );
        check(
            &[service("x", "10.0.0.1")],
            &[address("10.0.0.1", "x"), address("10.0.0.2", "x")],
            &["remove 10.0.0.2"],
            &["IPAddressWrongReference"],
        );
    }

    #[test]
    fn a_young_address_may_wait_for_its_service() {
        let now: Timestamp = "2026-01-01T00:00:30Z".parse().expect("a time");
        let plan = plan(&[], &[address("10.0.0.1", "x")], &ranges(), now);
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn leaked_ports_are_freed_in_the_fourth_round() {
        let node_port = |name: &str, port: u16| {
            Arc::new(json!({
                "metadata": {"namespace": "a", "name": name},
                "spec": {"type": "NodePort", "ports": [{"nodePort": port, "protocol": "TCP"}, {"nodePort": port, "protocol": "UDP"}]},
            }))
        };
        let services = [node_port("x", 30001), node_port("y", 30001), node_port("z", 80)];
        let mut ports = PortMap::new(30000..=30100);
        ports.set(30050, true);
        let mut leaks = BTreeMap::new();
        let mut findings = Vec::new();
        ports = plan_ports(&ports, &services, &mut leaks, &mut findings);
        let reasons: Vec<_> = findings.iter().map(|f| f.reason).collect();
        assert_eq!(reasons, ["PortNotAllocated", "PortAlreadyAllocated", "PortOutOfRange"]);
        for round in 1..=LEAK_ROUNDS {
            assert!(ports.has(30050) && ports.has(30001), "round {round}");
            ports = plan_ports(&ports, &services, &mut leaks, &mut findings);
        }
        assert!(!ports.has(30050) && ports.has(30001) && leaks.is_empty());
    }
}
