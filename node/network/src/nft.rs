//! What pods need of the packet filter apart from Services: masquerading to the world, and host ports.
//!
//! ```text
//! table ip oarlock-network
//!   map ports    : ip daddr . proto . port → pod ip . port      (0.0.0.0: every address of the node)
//!   set hairpins : ip saddr . ip daddr                           a pod that reaches itself through a host port
//!   chain prerouting, output (nat)   dnat by `ports`
//!   chain postrouting (nat)          masquerade what leaves the cluster, and hairpins
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};

use nlink::netlink::nftables::{NatHook, Set, SetElement};
use nlink::netlink::{Connection, Nftables};
use oarlock_base::Cidr;
use oarlock_netfilter::{
    FAMILY, Front, Table, endpoint, endpoint_type, hairpin, remove_table, table_exists, translate,
};

use crate::cni::PortMapping;

const TABLE: Table = Table("oarlock-network");
const PORTS: &str = "ports";
const CHAINS: [(&str, NatHook); 3] =
    [("prerouting", NatHook::Prerouting), ("output", NatHook::Output), ("postrouting", NatHook::Postrouting)];

/// Makes the table, or writes the rules of the one that is there anew; host ports that pods have already stay. One
/// transaction.
pub(crate) async fn install(pods: Cidr, cluster: Cidr) -> nlink::Result<()> {
    let connection = Connection::<Nftables>::new()?;
    let mut t = connection.transaction();
    if table_exists(&connection, TABLE).await? {
        for chain in CHAINS.map(|(name, _)| name) {
            t = t.flush_chain(TABLE.0, chain, FAMILY);
        }
    } else {
        t = t.add_table(TABLE.0, FAMILY).add_set(ports_map()).add_set(TABLE.hairpins());
        for (name, hook) in CHAINS {
            t = t.add_chain(TABLE.nat_chain(name, hook)?);
        }
    }
    for name in ["prerouting", "output"] {
        t = t.add_rule(translate(TABLE.to_this_node(name), false, None, PORTS)).add_rule(translate(
            TABLE.to_this_node(name),
            true,
            None,
            PORTS,
        ));
    }
    let to_the_world = TABLE
        .rule("postrouting")
        .match_saddr_v4(pods.address(), pods.prefix())
        .match_daddr_v4_not(cluster.address(), cluster.prefix())
        .masquerade();
    t.add_rule(to_the_world).add_rule(TABLE.masquerade_hairpins("postrouting")).commit(&connection).await
}

/// Takes the table away; none there is as good.
pub(crate) async fn remove() -> nlink::Result<()> {
    remove_table(TABLE).await
}

pub(crate) async fn map_ports(pod: Ipv4Addr, ports: &[PortMapping]) -> nlink::Result<()> {
    let connection = Connection::<Nftables>::new()?;
    let elements: Vec<SetElement> = ports.iter().filter_map(|port| element(pod, port)).collect();
    connection
        .transaction()
        .add_set_elements(&ports_map(), &elements)
        .add_set_elements(&TABLE.hairpins(), &[hairpin(pod)])
        .commit(&connection)
        .await
}

/// Idempotent: elements, and a whole table, that are gone already are as good.
pub(crate) async fn unmap_ports(pod: Ipv4Addr, ports: &[PortMapping]) -> nlink::Result<()> {
    let connection = Connection::<Nftables>::new()?;
    let elements = ports.iter().filter_map(|port| element(pod, port)).map(|e| (ports_map(), e));
    for (set, element) in elements.chain([(TABLE.hairpins(), hairpin(pod))]) {
        match connection.del_set_elements(&set, &[element]).await {
            Err(e) if !e.is_not_found() => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn ports_map() -> Set {
    TABLE.front_map(PORTS, &[], endpoint_type())
}

fn element(pod: Ipv4Addr, port: &PortMapping) -> Option<SetElement> {
    let front =
        Front { address: port.host_address()?, protocol: port.protocol_number(), port: port.host_port };
    Some(SetElement::concat(front.parts()).value(endpoint(SocketAddrV4::new(pod, port.container_port))))
}
