//! The forms of CNI: configuration in, result and error out.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use oarlock_base::Cidr;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::veth::{GATEWAY, Pair};

/// What the node's half wrote, with what the runtime added.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetConf {
    pub cni_version: String,
    /// The node's pods.
    #[serde(default)]
    pub pod_cidr: String,
    #[serde(default)]
    pub mtu: u32,
    /// The address from which the node speaks to its pods.
    pub node_ip: Option<Ipv4Addr>,
    #[serde(default)]
    pub state_dir: PathBuf,
    #[serde(default)]
    pub runtime_config: RuntimeConfig,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid_attachments: Vec<Attachment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeConfig {
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
}

/// A port of the node that leads to the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortMapping {
    pub host_port: u16,
    pub container_port: u16,
    #[serde(default)]
    pub protocol: String,
    #[serde(default, rename = "hostIP")]
    pub host_ip: String,
}

impl PortMapping {
    pub(crate) fn protocol_number(&self) -> u8 {
        match self.protocol.to_ascii_lowercase().as_str() {
            "udp" => 17,
            "sctp" => 132,
            _ => 6,
        }
    }

    /// `0.0.0.0` is every address of the node.
    pub(crate) fn host_address(&self) -> Option<Ipv4Addr> {
        if self.host_ip.is_empty() { Some(Ipv4Addr::UNSPECIFIED) } else { self.host_ip.parse().ok() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

impl NetConf {
    pub(crate) fn parse(input: &str) -> Result<Self, CniError> {
        let conf: Self = serde_json::from_str(input).map_err(|e| CniError {
            code: 6,
            message: "decode the configuration".into(),
            details: e.to_string(),
        })?;
        if !super::VERSIONS.contains(&conf.cni_version.as_str()) {
            return Err(CniError::new(1, &format!("incompatible CNI version {:?}", conf.cni_version)));
        }
        Ok(conf)
    }

    pub(crate) fn pod_range(&self) -> Result<Cidr, CniError> {
        self.pod_cidr.parse().map_err(|e: oarlock_base::CidrError| CniError::new(7, &e.to_string()))
    }

    pub(crate) fn is_valid_attachment(&self, container: &str, interface: &str) -> bool {
        self.valid_attachments.iter().any(|a| a.container_id == container && a.ifname == interface)
    }
}

/// What ADD prints.
pub(crate) fn result(conf: &NetConf, interface: &str, netns: &str, address: Ipv4Addr, pair: &Pair) -> Value {
    json!({
        "cniVersion": conf.cni_version,
        "interfaces": [
            {"name": pair.host_name, "mac": mac(pair.host_mac)},
            {"name": interface, "mac": mac(pair.pod_mac), "sandbox": netns},
        ],
        "ips": [{"address": format!("{address}/32"), "gateway": GATEWAY.to_string(), "interface": 1}],
        "routes": [{"dst": "0.0.0.0/0", "gw": GATEWAY.to_string()}],
        "dns": {},
    })
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// A failed command, with the codes of the CNI spec (100 and up are ours).
#[derive(Debug)]
pub(crate) struct CniError {
    pub code: u32,
    pub message: String,
    pub details: String,
}

impl CniError {
    pub(crate) fn new(code: u32, message: &str) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    pub(crate) fn io(tried: &str, source: &std::io::Error) -> Self {
        Self { code: 5, message: tried.into(), details: source.to_string() }
    }

    pub(crate) fn netlink(tried: &str, source: &nlink::Error) -> Self {
        Self { code: 101, message: tried.into(), details: source.to_string() }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"cniVersion": "1.1.0", "code": self.code, "msg": self.message, "details": self.details})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_with_what_the_runtime_added() {
        let conf = NetConf::parse(
            r#"{"cniVersion": "1.0.0", "name": "oarlock", "type": "oarlock-cni", "podCidr": "10.244.0.0/24",
                "mtu": 1500, "nodeIp": "10.0.0.5", "stateDir": "/run/x",
                "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}]},
                "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}"#,
        )
        .expect("a configuration");
        let mapping = &conf.runtime_config.port_mappings[0];
        assert_eq!((mapping.protocol_number(), mapping.host_address()), (6, Some(Ipv4Addr::UNSPECIFIED)));
        assert!(conf.is_valid_attachment("c1", "eth0") && !conf.is_valid_attachment("c1", "eth1"));
        assert_eq!(conf.pod_range().expect("a range").to_string(), "10.244.0.0/24");
    }

    #[test]
    fn bad_configurations_have_the_codes_of_the_specification() {
        assert_eq!(NetConf::parse("{").expect_err("not JSON").code, 6);
        assert_eq!(NetConf::parse(r#"{"cniVersion": "9.0.0"}"#).expect_err("a version").code, 1);
        let conf = NetConf::parse(r#"{"cniVersion": "1.1.0", "podCidr": "ten"}"#).expect("a configuration");
        assert_eq!(conf.pod_range().expect_err("no range").code, 7);
    }
}
