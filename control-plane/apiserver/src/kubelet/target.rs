//! Where a node's kubelet listens, and which container of a pod is meant.

use oarlock_api::Status;
use serde_json::Value;

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

impl Target {
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

const KUBELET_PORT: u16 = 10250;

/// The kubelet of a node, from its status; the first address of the first of these types that it has.
pub(crate) fn kubelet_of(node: &Value, preferred: &[String]) -> Result<Target, Status> {
    let addresses = || node["status"]["addresses"].as_array().into_iter().flatten();
    let of_type = |kind: &str| addresses().find(|a| a["type"] == kind).and_then(|a| a["address"].as_str());
    let host = preferred.iter().find_map(|kind| of_type(kind));
    let Some(host) = host else {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Status::internal(format!(
            "no preferred addresses found for node {name:?}; known addresses: []"
        )));
    };
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port =
        port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    Ok(Target { host: host.to_string(), port, tls: true })
}

/// The container that a request means: the one it names, or the only one there is.
pub(crate) fn container_of(pod: &Value, asked: &str) -> Result<String, Status> {
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let names = |list: &str| -> Vec<String> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.filter_map(|c| c["name"].as_str().map(str::to_string)).collect()
    };
    let (main, init, ephemeral) =
        (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if !asked.is_empty() {
        if [&main, &init, &ephemeral].iter().any(|list| list.iter().any(|name| name == asked)) {
            return Ok(asked.to_string());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {pod_name}")));
    }
    match main.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {pod_name}"))),
        several => {
            let mut told = format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                several.join(" ")
            );
            if !init.is_empty() {
                told.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            if !ephemeral.is_empty() {
                told.push_str(&format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" ")));
            }
            Err(Status::bad_request(told))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::kubelet::KubeletTls;

    fn check(containers: Value, asked: &str, want: &str) {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
        let got = container_of(&pod, asked).unwrap_or_else(|status| status.message);
        assert_eq!(got, want);
    }

    #[test]
    fn the_container_is_named_or_the_only_one() {
        check(json!([{"name": "a"}]), "", "a");
        check(json!([{"name": "a"}, {"name": "b"}]), "b", "b");
        check(
            json!([{"name": "a"}, {"name": "b"}]),
            "",
            "a container name must be specified for pod p, choose one of: [a b]",
        );
        check(json!([{"name": "a"}]), "x", "container x is not valid for pod p");
    }

    #[test]
    fn the_kubelet_is_found_by_address() {
        let node = json!({"metadata": {"name": "n"}, "status": {
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10251}},
        }});
        let target = kubelet_of(&node, &KubeletTls::default().addresses).expect("it has an address");
        assert_eq!(target.authority(), "10.0.0.1:10251");
        let names = ["ExternalIP".to_string(), "Hostname".to_string()];
        assert_eq!(kubelet_of(&node, &names).expect("it has a name").host, "n");
        assert!(kubelet_of(&node, &names[..1]).is_err());
    }
}
