//! A pod's cable: one end in the pod with its address, the other a route on the node.

use std::net::Ipv4Addr;
use std::path::Path;

use nlink::netlink::addr::Ipv4Address;
use nlink::netlink::link::VethLink;
use nlink::netlink::neigh::Neighbor;
use nlink::netlink::route::Ipv4Route;
use nlink::netlink::types::route::RouteScope;
use nlink::netlink::{Connection, Route};

use super::types::{CniError, NetConf};

/// Where a pod sends everything. No interface has this address: the neighbour entry below leads to the node's end.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The two ends of one cable.
pub(crate) struct Pair {
    pub host_name: String,
    pub host_mac: [u8; 6],
    pub pod_mac: [u8; 6],
    interface: String,
    address: Ipv4Addr,
}

impl Pair {
    pub(crate) fn new(container: &str, interface: &str, address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self {
            host_name: host_name(container, interface),
            // Locally administered; the pod's is unique in the cluster as its address is.
            host_mac: [0x0a, 0x6f, a, b, c, d],
            pod_mac: [0x0a, 0x70, a, b, c, d],
            interface: interface.to_string(),
            address,
        }
    }

    pub(crate) async fn create(&self, netns: &Path, conf: &NetConf) -> Result<(), CniError> {
        let node =
            Connection::<Route>::new().map_err(|e| CniError::netlink("open netlink on the node", &e))?;
        let pod = Connection::<Route>::new_in(netns)
            .map_err(|e| CniError::netlink("open netlink in the pod", &e))?;
        let namespace =
            std::fs::File::open(netns).map_err(|e| CniError::io("open the pod's namespace", &e))?;
        let mtu = if conf.mtu == 0 { 1500 } else { conf.mtu };
        let link = VethLink::new(&self.host_name, &self.interface)
            .mtu(mtu)
            .peer_mtu(mtu)
            .address(self.host_mac)
            .peer_address(self.pod_mac)
            .peer_netns_fd(&namespace);
        node.add_link(link).await.map_err(|e| CniError::netlink("make the veth", &e))?;
        self.pod_end(&pod).await.map_err(|e| CniError::netlink("set up the pod's end", &e))?;
        self.node_end(&node, conf.node_ip).await.map_err(|e| CniError::netlink("set up the node's end", &e))
    }

    async fn pod_end(&self, pod: &Connection<Route>) -> nlink::Result<()> {
        pod.set_link_up("lo").await?;
        let index = index_of(pod, &self.interface).await?;
        pod.add_address(Ipv4Address::with_index(index, self.address, 32)).await?;
        pod.set_link_up_by_index(index).await?;
        pod.add_neighbor(Neighbor::with_index_v4(index, GATEWAY).lladdr(self.host_mac).permanent()).await?;
        pod.add_route(Ipv4Route::from_addr(GATEWAY, 32).dev_index(index).scope(RouteScope::Link)).await?;
        pod.add_route(Ipv4Route::default_route().gateway(GATEWAY).dev_index(index)).await
    }

    async fn node_end(&self, node: &Connection<Route>, node_ip: Option<Ipv4Addr>) -> nlink::Result<()> {
        let index = index_of(node, &self.host_name).await?;
        node.set_link_up_by_index(index).await?;
        node.add_neighbor(Neighbor::with_index_v4(index, self.address).lladdr(self.pod_mac).permanent())
            .await?;
        let mut route = Ipv4Route::from_addr(self.address, 32).dev_index(index).scope(RouteScope::Link);
        if let Some(source) = node_ip {
            route = route.prefsrc(source);
        }
        node.replace_route(route).await
    }
}

/// Takes the pod's loopback interface up.
pub(crate) async fn loopback_up(netns: &Path) -> Result<(), CniError> {
    let pod =
        Connection::<Route>::new_in(netns).map_err(|e| CniError::netlink("open netlink in the pod", &e))?;
    pod.set_link_up("lo").await.map_err(|e| CniError::netlink("set up loopback", &e))
}

/// Takes the cable out; none there is as good. Its routes and neighbours go with it.
pub(crate) async fn remove(container: &str, interface: &str) -> Result<(), CniError> {
    let node = Connection::<Route>::new().map_err(|e| CniError::netlink("open netlink on the node", &e))?;
    node.del_link_if_exists(host_name(container, interface).as_str())
        .await
        .map(|_was_there| ())
        .map_err(|e| CniError::netlink("remove the veth", &e))
}

pub(crate) async fn check(container: &str, interface: &str) -> Result<(), CniError> {
    let node = Connection::<Route>::new().map_err(|e| CniError::netlink("open netlink on the node", &e))?;
    index_of(&node, &host_name(container, interface))
        .await
        .map(|_index| ())
        .map_err(|e| CniError::netlink("find the veth", &e))
}

async fn index_of(connection: &Connection<Route>, name: &str) -> nlink::Result<u32> {
    connection.resolve_interface(&name.into()).await
}

/// At most 15 bytes, and the same for the same pod: FNV-1a of what CNI identifies an attachment by.
fn host_name(container: &str, interface: &str) -> String {
    let hash = container
        .bytes()
        .chain([0])
        .chain(interface.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("oar{:012x}", hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let one = host_name(&"a".repeat(64), "eth0");
        assert_eq!(one.len(), 15);
        assert_ne!(one, host_name(&"a".repeat(64), "eth1"));
        assert_ne!(one, host_name(&"b".repeat(64), "eth0"));
    }
}
