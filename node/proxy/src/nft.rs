//! The ruleset in the kernel, spoken over netlink.
//!
//! ```text
//! table ip oarlock-proxy
//!   map services  : ip daddr . proto . port         → goto a spreading chain     (node ports under 0.0.0.0)
//!   map endpoints : ip daddr . proto . port . index → endpoint ip . port
//!   set hairpins  : ip saddr . ip daddr               a pod that reaches itself
//!   chain dispatch       look the packet up in `services`, then its port as a node port where the address is ours
//!   chain addr-…-K       mark for masquerading where due, then dnat to endpoints[key . random mod K]
//!   chain prerouting, output (nat)     → dispatch
//!   chain postrouting (nat)            masquerade what is marked, and hairpins
//!   chain reject-* (filter)            whatever still wants an address of the service range is refused
//! ```
//!
//! So a Service costs elements, not chains, and a change of an endpoint is one element.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use nlink::netlink::netfilter::{ConntrackFilter, IpProtocol};
use nlink::netlink::nftables::{
    BaseChain, ChainName, FilterHook, NatHook, Priority, Rule, Set, SetDataType, SetElement, SetKeyType,
    Transaction, Verdict,
};
use nlink::netlink::{Connection, Netfilter, Nftables};
use oarlock_base::Cidr;
use oarlock_netfilter::{
    FAMILY, Front, Table, dispatch, endpoint, endpoint_type, hairpin, remove_table, table_exists, translate,
};

use crate::ProxyError;
use crate::compile::{Delta, Spread, StaleFlow};
use crate::services::Masquerade;

const TABLE: Table = Table("oarlock-proxy");
const SERVICES: &str = "services";
const ENDPOINTS: &str = "endpoints";
/// Upstream's mark for "masquerade this packet".
const MASQUERADE_MARK: u32 = 0x4000;
const TCP: u8 = 6;
/// Elements of one netlink message: nested attributes end at 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 400;

/// The kernel's side of the proxy.
pub(crate) struct Ruleset {
    connection: Connection<Nftables>,
    cluster_cidr: Cidr,
    service_cidr: Cidr,
}

impl Ruleset {
    pub(crate) fn open(cluster_cidr: Cidr, service_cidr: Cidr) -> Result<Self, ProxyError> {
        let connection = connect()?;
        Ok(Self { connection, cluster_cidr, service_cidr })
    }

    /// Replaces whatever table of ours is there by one that holds `all`, in one transaction.
    pub(crate) async fn reset(&self, all: &Delta) -> Result<(), ProxyError> {
        let there = table_exists(&self.connection, TABLE)
            .await
            .map_err(|source| failed("look for the service rules", source))?;
        let mut fresh = self.connection.transaction();
        if there {
            fresh = fresh.del_table(TABLE.0, FAMILY);
        }
        let fresh = fresh.add_table(TABLE.0, FAMILY);
        let with_frame = self.frame(fresh).map_err(|source| failed("build the service rules", source))?;
        let full =
            self.changes(with_frame, all).map_err(|source| failed("build the service rules", source))?;
        full.commit(&self.connection).await.map_err(|source| failed("replace the service rules", source))
    }

    /// Makes one change. When it fails, nothing of it has happened.
    pub(crate) async fn apply(&self, delta: &Delta) -> Result<(), ProxyError> {
        let transaction = self
            .changes(self.connection.transaction(), delta)
            .map_err(|source| failed("build a change of the service rules", source))?;
        transaction
            .commit(&self.connection)
            .await
            .map_err(|source| failed("change the service rules", source))
    }

    /// Everything that does not depend on any Service.
    fn frame(&self, mut t: Transaction) -> nlink::Result<Transaction> {
        t = t
            .add_set(services_map())
            .add_set(endpoints_map())
            .add_set(TABLE.hairpins())
            .add_chain(TABLE.chain("dispatch")?)
            .add_rule(dispatch(TABLE.rule("dispatch"), false, SERVICES))
            .add_rule(dispatch(TABLE.to_this_node("dispatch"), true, SERVICES));
        for (name, hook) in [("prerouting", NatHook::Prerouting), ("output", NatHook::Output)] {
            t = t
                .add_chain(TABLE.nat_chain(name, hook)?)
                .add_rule(TABLE.rule(name).jump(ChainName::new("dispatch")?));
        }
        t = t
            .add_chain(TABLE.nat_chain("postrouting", NatHook::Postrouting)?)
            .add_rule(
                TABLE.rule("postrouting").match_mark_masked(MASQUERADE_MARK, MASQUERADE_MARK).masquerade(),
            )
            .add_rule(TABLE.masquerade_hairpins("postrouting"));
        let hooks = [FilterHook::Input, FilterHook::Forward, FilterHook::Output];
        for (name, hook) in ["reject-input", "reject-forward", "reject-output"].into_iter().zip(hooks) {
            let (address, prefix) = (self.service_cidr.address(), self.service_cidr.prefix());
            t = t
                .add_chain(TABLE.chain(name)?.base(BaseChain::filter(hook, Priority::Filter)))
                // Not ICMP alone: the kernel sends none back over loopback, where the service range is routed.
                .add_rule(
                    TABLE.rule(name).match_daddr_v4(address, prefix).match_l4proto(TCP).reject_tcp_reset(),
                )
                .add_rule(TABLE.rule(name).match_daddr_v4(address, prefix).reject());
        }
        Ok(t)
    }

    fn changes(&self, mut t: Transaction, delta: &Delta) -> nlink::Result<Transaction> {
        for spread in &delta.new_chains {
            let chain = spread.chain();
            t = t.add_chain(TABLE.chain(&chain)?);
            for rule in self.spread_rules(&chain, spread) {
                t = t.add_rule(rule);
            }
        }
        let fronts = |map: &BTreeMap<Front, Spread>| -> nlink::Result<Vec<SetElement>> {
            map.iter().map(|(front, spread)| front_element(front, spread)).collect()
        };
        let endpoints = |map: &BTreeMap<(Front, u32), SocketAddrV4>| -> Vec<SetElement> {
            map.iter().map(|(key, endpoint)| endpoint_element(key, *endpoint)).collect()
        };
        let hairpins =
            |set: &BTreeSet<Ipv4Addr>| -> Vec<SetElement> { set.iter().copied().map(hairpin).collect() };
        t = delete(t, &services_map(), &fronts(&delta.del_fronts)?);
        t = delete(t, &endpoints_map(), &endpoints(&delta.del_endpoints));
        t = delete(t, &TABLE.hairpins(), &hairpins(&delta.del_hairpins));
        t = add(t, &endpoints_map(), &endpoints(&delta.add_endpoints));
        t = add(t, &TABLE.hairpins(), &hairpins(&delta.add_hairpins));
        Ok(add(t, &services_map(), &fronts(&delta.add_fronts)?))
    }

    /// Masquerading where it is due, then the choice of an endpoint.
    fn spread_rules(&self, chain: &str, spread: &Spread) -> Vec<Rule> {
        let (address, prefix) = (self.cluster_cidr.address(), self.cluster_cidr.prefix());
        let mark = |rule: Rule| rule.set_mark_masked(MASQUERADE_MARK, MASQUERADE_MARK);
        let mut rules = match spread.masquerade {
            Masquerade::Never => vec![],
            Masquerade::OutsideOfCluster => vec![mark(TABLE.rule(chain).match_saddr_v4_not(address, prefix))],
            Masquerade::Always => vec![mark(TABLE.rule(chain))],
        };
        rules.push(translate(TABLE.rule(chain), spread.node_port, Some(spread.endpoints), ENDPOINTS));
        rules
    }
}

/// Forgets the UDP flows that would go on to where nothing answers.
pub(crate) async fn forget_flows(flows: impl IntoIterator<Item = &StaleFlow>) -> Result<(), ProxyError> {
    let mut flows = flows.into_iter().peekable();
    if flows.peek().is_none() {
        return Ok(());
    }
    let told = |source| failed("forget stale UDP flows", source);
    let connection = Connection::<Netfilter>::new().map_err(told)?;
    for flow in flows {
        let mut filter = ConntrackFilter::new().proto(IpProtocol::Udp).orig_dst_port(flow.front.port);
        if !flow.front.is_any_address() {
            filter = filter.orig_dst(flow.front.address);
        }
        if let Some(endpoint) = flow.endpoint {
            filter = filter.reply_src(endpoint);
        }
        connection.del_conntrack_matching(&filter).await.map_err(told)?;
    }
    Ok(())
}

/// Takes the whole table away; none there is as good.
pub(crate) async fn remove() -> Result<(), ProxyError> {
    remove_table(TABLE).await.map_err(|source| failed("remove the service rules", source))
}

fn connect() -> Result<Connection<Nftables>, ProxyError> {
    Connection::<Nftables>::new().map_err(|source| failed("open a netlink socket for nftables", source))
}

fn failed(tried: &'static str, source: nlink::Error) -> ProxyError {
    ProxyError::Netlink { tried, source }
}

fn services_map() -> Set {
    TABLE.front_map(SERVICES, &[], SetDataType::Verdict)
}

fn endpoints_map() -> Set {
    TABLE.front_map(ENDPOINTS, &[SetKeyType::Mark], endpoint_type())
}

fn front_element(front: &Front, spread: &Spread) -> nlink::Result<SetElement> {
    Ok(SetElement::concat(front.parts()).verdict(Verdict::GotoTo(ChainName::new(spread.chain())?)))
}

fn endpoint_element((front, index): &(Front, u32), to: SocketAddrV4) -> SetElement {
    let [address, protocol, port] = front.parts();
    SetElement::concat([address, protocol, port, SetElement::mark(*index)]).value(endpoint(to))
}

fn add(mut t: Transaction, set: &Set, elements: &[SetElement]) -> Transaction {
    for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
        t = t.add_set_elements(set, chunk);
    }
    t
}

fn delete(mut t: Transaction, set: &Set, elements: &[SetElement]) -> Transaction {
    for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
        t = t.del_set_elements(set, chunk);
    }
    t
}

#[cfg(test)]
mod tests {
    //! Against the kernel, in a network namespace of the test's own (root).

    use std::collections::HashMap;
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use nix::sched::{CloneFlags, unshare};
    use nlink::netlink::Route;
    use nlink::netlink::addr::Ipv4Address;
    use nlink::netlink::route::Ipv4Route;
    use oarlock_client::ObjectKey;

    use super::*;
    use crate::compile::{Elements, Installed, elements};
    use crate::services::{At, Entry, Protocol};

    const SERVICE: &str = "10.96.0.9:80";
    const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn entry(at: At, port: u16, ends: &[SocketAddr]) -> Entry {
        let endpoints = ends
            .iter()
            .map(|end| match end {
                SocketAddr::V4(end) => *end,
                SocketAddr::V6(_) => panic!("the test listens on IPv4"),
            })
            .collect();
        Entry { at, protocol: Protocol::Tcp, port, masquerade: Masquerade::OutsideOfCluster, endpoints }
    }

    fn service(ends: &[SocketAddr]) -> Vec<(ObjectKey, Elements)> {
        let cluster = entry(At::Address(Ipv4Addr::new(10, 96, 0, 9)), 80, ends);
        let node = entry(At::NodePort, 30080, ends);
        vec![(ObjectKey::new("default", "web"), elements(&[cluster, node]))]
    }

    /// A server that says who it is, once per connection.
    fn greeter(address: &str, name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind((address, 0)).expect("bound");
        let bound = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                // The client may have gone.
                let _ = stream.write_all(name.as_bytes());
            }
        });
        bound
    }

    fn greeted(address: &str) -> Result<String, std::io::Error> {
        let address = address.parse().expect("an address");
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        let mut name = String::new();
        stream.read_to_string(&mut name)?;
        Ok(name)
    }

    fn count(address: &str, tries: usize) -> HashMap<String, usize> {
        let mut seen = HashMap::new();
        for _ in 0..tries {
            *seen.entry(greeted(address).expect("answered")).or_default() += 1;
        }
        seen
    }

    async fn namespace() -> nlink::Result<()> {
        let link = Connection::<Route>::new()?;
        link.set_link_up("lo").await?;
        for address in [Ipv4Addr::new(10, 244, 0, 3), Ipv4Addr::new(10, 244, 0, 4), NODE] {
            link.add_address(Ipv4Address::new("lo", address, 32)).await?;
        }
        link.replace_route(Ipv4Route::from_addr(Ipv4Addr::new(10, 96, 0, 0), 12).dev("lo").prefsrc(NODE))
            .await
    }

    async fn scenario() {
        namespace().await.expect("a namespace to test in");
        let one = greeter("10.244.0.3", "one");
        let two = greeter("10.244.0.4", "two");
        let ruleset = Ruleset::open(
            "10.244.0.0/16".parse().expect("a range"),
            "10.96.0.0/12".parse().expect("a range"),
        )
        .expect("netlink");
        let mut installed = Installed::default();
        installed.replace(service(&[one, two]));
        ruleset.reset(&installed.all()).await.expect("installed");
        let seen = count(SERVICE, 60);
        assert!(seen["one"] > 5 && seen["two"] > 5, "spread over both: {seen:?}");
        assert_eq!(count("192.0.2.1:30080", 20).values().sum::<usize>(), 20, "node port");

        let delta = installed.replace(service(&[two]));
        ruleset.apply(&delta).await.expect("changed");
        forget_flows(&delta.stale_flows).await.expect("forgotten");
        assert_eq!(count(SERVICE, 20)["two"], 20, "only the endpoint that is left");

        let delta = installed.replace(vec![(ObjectKey::new("default", "web"), Elements::default())]);
        ruleset.apply(&delta).await.expect("changed");
        let refused = greeted(SERVICE).expect_err("nothing is behind the address");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        ruleset.reset(&installed.all()).await.expect("reset over an existing table");
        remove().await.expect("removed");
        remove().await.expect("removed again");
    }

    #[test]
    fn services_lead_to_their_endpoints() {
        // A thread of its own: a namespace belongs to a thread.
        let test = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root");
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(scenario());
        });
        if let Err(panic) = test.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
