//! The pieces of nftables that node components share: rules that translate a packet's destination by a map.
//!
//! A *front* is `ip daddr . proto . port`, packed into registers from word 0 on; a front with the address 0.0.0.0 stands
//! for every address of the node. Owns how these pieces look to the kernel; knows nothing of what a front means.

use std::net::{Ipv4Addr, SocketAddrV4};

use nlink::netlink::nftables::{
    BaseChain, Chain, Expr, Family, FibFlags, LookupExpr, MetaKey, NatHook, NumgenKind, PacketField,
    PayloadBase, Priority, RawExpr, Register, Rule, Set, SetDataType, SetElement, SetKeyType,
};
use nlink::netlink::types::route::RouteType;
use nlink::netlink::{Connection, Nftables};

/// All our tables are IPv4.
pub const FAMILY: Family = Family::Ip;

/// `NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED`.
const NAT_ADDRESS_AND_PORT: u32 = 3;
const NFT_NAT_DNAT: u32 = 1;

/// An address, protocol and port that packets are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Front {
    /// `0.0.0.0`: every address of the node.
    pub address: Ipv4Addr,
    /// The number in the IP header.
    pub protocol: u8,
    pub port: u16,
}

impl Front {
    pub fn is_any_address(&self) -> bool {
        self.address.is_unspecified()
    }

    /// Its fields, for the key of a map.
    pub fn parts(&self) -> [SetElement; 3] {
        [SetElement::ipv4(self.address), SetElement::inet_proto(self.protocol), SetElement::port(self.port)]
    }
}

/// One of our tables. Its methods name the table and the family, so that no rule can forget them.
#[derive(Debug, Clone, Copy)]
pub struct Table(pub &'static str);

impl Table {
    pub fn rule(&self, chain: &str) -> Rule {
        Rule::new(self.0, chain).family(FAMILY)
    }

    pub fn chain(&self, name: &str) -> nlink::Result<Chain> {
        Ok(Chain::new(self.0, name)?.family(FAMILY))
    }

    /// A chain that translates destinations (prerouting, output) or sources (postrouting).
    pub fn nat_chain(&self, name: &str, hook: NatHook) -> nlink::Result<Chain> {
        let priority = if hook == NatHook::Postrouting { Priority::SrcNat } else { Priority::DstNat };
        Ok(self.chain(name)?.base(BaseChain::nat(hook, priority)))
    }

    /// A map from a front (and the fields in `more`) to what a packet becomes.
    pub fn front_map(&self, name: &str, more: &[SetKeyType], value: SetDataType) -> Set {
        let mut key = vec![SetKeyType::Ipv4Addr, SetKeyType::InetProto, SetKeyType::InetService];
        key.extend_from_slice(more);
        let set = Set::new(self.0, name).family(FAMILY).key_type(SetKeyType::Concat(key));
        if value == SetDataType::Verdict { set.vmap() } else { set.map(value) }
    }

    /// `ip saddr . ip daddr` of the pods that may reach themselves.
    pub fn hairpins(&self) -> Set {
        let key = SetKeyType::Concat(vec![SetKeyType::Ipv4Addr, SetKeyType::Ipv4Addr]);
        Set::new(self.0, "hairpins").family(FAMILY).key_type(key)
    }

    /// A pod that reaches itself through a translation must see another source than itself.
    pub fn masquerade_hairpins(&self, chain: &str) -> Rule {
        self.rule(chain)
            .match_concat_in_set(&[PacketField::Ip4Saddr, PacketField::Ip4Daddr], "hairpins")
            .masquerade()
    }

    /// A rule for packets to the node itself. Loopback is left out: its answers could not come back (route_localnet).
    pub fn to_this_node(&self, chain: &str) -> Rule {
        self.rule(chain)
            .match_fib_type(FibFlags::DADDR, RouteType::Local)
            .match_daddr_v4_not(Ipv4Addr::new(127, 0, 0, 0), 8)
    }
}

/// The value type of a map to an address and a port.
pub fn endpoint_type() -> SetDataType {
    SetDataType::Value(SetKeyType::Concat(vec![SetKeyType::Ipv4Addr, SetKeyType::InetService]))
}

/// A value of a map to an address and a port.
pub fn endpoint(to: SocketAddrV4) -> SetElement {
    SetElement::concat([SetElement::ipv4(*to.ip()), SetElement::port(to.port())])
}

/// An element of [`Table::hairpins`].
pub fn hairpin(pod: Ipv4Addr) -> SetElement {
    SetElement::concat([SetElement::ipv4(pod), SetElement::ipv4(pod)])
}

/// Goes where the verdict map `map` says for the packet's front.
pub fn dispatch(rule: Rule, any_address: bool, map: &str) -> Rule {
    load_front(rule, any_address)
        .expr(Expr::Lookup(LookupExpr::new(map, Register::R0).dreg(Register::Verdict)))
}

/// Sends the packet to what `map` has for its front; with `spread`, for its front and a random number below that.
pub fn translate(rule: Rule, any_address: bool, spread: Option<u32>, map: &str) -> Rule {
    let mut rule = load_front(rule, any_address);
    if let Some(modulus) = spread {
        rule = rule.expr(Expr::Numgen {
            dreg: Register::Reg32_03,
            kind: NumgenKind::Random,
            modulus,
            offset: 0,
        });
    }
    rule.expr(Expr::Lookup(LookupExpr::new(map, Register::R0).dreg(Register::R2)))
        .expr(Expr::Raw(RawExpr::new("nat", dnat_attributes(Register::R2, Register::Reg32_09))))
}

/// Whether the table is in the kernel.
pub async fn table_exists(connection: &Connection<Nftables>, table: Table) -> nlink::Result<bool> {
    Ok(connection.list_tables_in(FAMILY).await?.iter().any(|found| found.name == table.0))
}

/// Takes a table away; none there is as good.
pub async fn remove_table(table: Table) -> nlink::Result<()> {
    Connection::<Nftables>::new()?.del_table_if_exists(table.0, FAMILY).await.map(|_was_there| ())
}

fn load_front(rule: Rule, any_address: bool) -> Rule {
    let address = if any_address {
        Expr::Immediate { dreg: Register::R0, data: vec![0; 4] }
    } else {
        Expr::Payload { dreg: Register::R0, base: PayloadBase::Network, offset: 16, len: 4 }
    };
    rule.expr(address)
        .expr(Expr::Meta { dreg: Register::Reg32_01, key: MetaKey::L4Proto })
        // The ports of TCP, UDP and SCTP lie in the same place.
        .expr(Expr::Payload { dreg: Register::Reg32_02, base: PayloadBase::Transport, offset: 2, len: 2 })
}

/// `dnat to <address register>:<port register>`, which nlink cannot say: NFTA_NAT_TYPE, FAMILY, REG_ADDR_MIN/MAX,
/// REG_PROTO_MIN/MAX and FLAGS, in this order from 1 on, big-endian.
fn dnat_attributes(address: Register, port: Register) -> Vec<u8> {
    let values = [
        NFT_NAT_DNAT,
        FAMILY as u32,
        address.wire(),
        address.wire(),
        port.wire(),
        port.wire(),
        NAT_ADDRESS_AND_PORT,
    ];
    let mut out = Vec::with_capacity(8 * values.len());
    for (kind, value) in (1_u16..).zip(values) {
        out.extend_from_slice(&8_u16.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    out
}
