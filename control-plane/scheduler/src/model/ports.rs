//! Ports that pods take on their node.

use k8s_openapi::api::core::v1::PodSpec;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Empty: every address.
    ip: String,
    protocol: String,
    port: i32,
}

impl HostPort {
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip.is_empty() || other.ip.is_empty() || self.ip == other.ip)
    }
}

/// The ports of the containers that run as long as the pod does.
pub(super) fn pod_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let taken = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let ip = port.host_ip.clone().filter(|ip| ip != "0.0.0.0").unwrap_or_default();
        let protocol = port.protocol.clone().filter(|protocol| !protocol.is_empty());
        Some(HostPort { ip, protocol: protocol.unwrap_or_else(|| "TCP".into()), port: number })
    });
    taken.collect()
}

/// The ports that are taken on one node.
#[derive(Debug, Clone, Default)]
pub struct UsedPorts(Vec<HostPort>);

impl UsedPorts {
    pub fn add(&mut self, ports: &[HostPort]) {
        self.0.extend_from_slice(ports);
    }

    pub fn remove(&mut self, ports: &[HostPort]) {
        for port in ports {
            if let Some(at) = self.0.iter().position(|used| used == port) {
                self.0.swap_remove(at);
            }
        }
    }

    pub fn conflict(&self, wanted: &[HostPort]) -> bool {
        wanted.iter().any(|port| self.0.iter().any(|used| used.conflicts(port)))
    }
}
