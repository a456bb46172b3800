//! The Container Network Interface, from the runtime's side: finds the network's configuration and runs its plugins
//! in a chain (CNI specification 1.1, sections 1 to 5).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use oarlock_cri::v1::{PodSandboxConfig, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long one plugin may take. Upstream's kubelet gives up on a whole pod after four minutes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a pod has no network.
#[derive(Debug, Error)]
pub(crate) enum CniError {
    #[error("cni plugin not initialized: no network config found in {}", .0.display())]
    NoConfig(PathBuf),
    #[error("parse the network config {}: {reason}", path.display())]
    Config { path: PathBuf, reason: String },
    #[error("failed to find plugin {plugin:?} in path [{}]", searched.join(" "))]
    NoPlugin { plugin: String, searched: Vec<String> },
    #[error("run plugin {plugin:?}")]
    Run {
        plugin: String,
        #[source]
        source: io::Error,
    },
    #[error("plugin type={plugin:?} failed ({command}): {message}")]
    Failed { plugin: String, command: &'static str, message: String },
}

/// Where configurations and plugins lie.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cni {
    pub conf_dir: PathBuf,
    pub bin_dirs: Vec<PathBuf>,
}

/// A network: a chain of plugins.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Network {
    pub name: String,
    #[serde(rename = "cniVersion", default)]
    version: String,
    plugins: Vec<Map<String, Value>>,
}

/// What is kept of an attachment, to undo it later even when the configuration has changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attachment {
    name: String,
    version: String,
    plugins: Vec<Map<String, Value>>,
    runtime: Map<String, Value>,
    result: Value,
}

/// What a plugin is told about the pod.
pub(crate) struct Pod<'a> {
    pub id: &'a str,
    pub netns: &'a Path,
    pub config: &'a PodSandboxConfig,
}

impl Attachment {
    /// The pod's addresses, the first of them the primary one.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let ips = self.result["ips"].as_array().map(Vec::as_slice).unwrap_or_default();
        let address = |ip: &Value| Some(ip["address"].as_str()?.split('/').next()?.to_string());
        ips.iter().filter_map(address).collect()
    }
}

impl Cni {
    /// The configuration in force: the first by name, as every runtime takes it.
    pub(crate) fn network(&self) -> Result<Network, CniError> {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.conf_dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                ["conflist", "conf", "json"].iter().any(|ext| path.extension() == Some(OsStr::new(ext)))
            })
            .collect();
        files.sort();
        let mut first_fault = None;
        for path in files {
            let parsed = fs::read_to_string(&path).map_err(|e| e.to_string()).and_then(|text| parse(&text));
            match parsed {
                Ok(network) => return Ok(network),
                Err(reason) => drop(first_fault.get_or_insert(CniError::Config { path, reason })),
            }
        }
        Err(first_fault.unwrap_or_else(|| CniError::NoConfig(self.conf_dir.clone())))
    }

    /// What attaching a pod will be, by the configuration in force.
    pub(crate) fn plan(&self, config: &PodSandboxConfig) -> Result<Attachment, CniError> {
        let network = self.network()?;
        Ok(Attachment {
            runtime: runtime_config(config),
            name: network.name,
            version: network.version,
            plugins: network.plugins,
            result: Value::Null,
        })
    }

    /// Attaches a pod. What a failure leaves is undone by [`del`](Self::del).
    pub(crate) async fn add(&self, pod: &Pod<'_>, attachment: &mut Attachment) -> Result<(), CniError> {
        for at in 0..attachment.plugins.len() {
            attachment.result = self.run("ADD", pod, attachment, at).await?;
        }
        Ok(())
    }

    /// Detaches a pod. May be called again, and for what was never attached.
    pub(crate) async fn del(&self, pod: &Pod<'_>, attachment: &Attachment) -> Result<(), CniError> {
        let mut outcome = Ok(());
        for at in (0..attachment.plugins.len()).rev() {
            outcome = outcome.and(self.run("DEL", pod, attachment, at).await.map(|_| ()));
        }
        outcome
    }

    async fn run(
        &self,
        command: &'static str,
        pod: &Pod<'_>,
        attachment: &Attachment,
        at: usize,
    ) -> Result<Value, CniError> {
        let config = plugin_config(attachment, at);
        let plugin = config.get("type").and_then(Value::as_str).unwrap_or_default().to_string();
        let path = self.find(&plugin)?;
        let failed = |source| CniError::Run { plugin: plugin.clone(), source };
        let search = std::env::join_paths(&self.bin_dirs).unwrap_or_default();
        let mut child = Command::new(path)
            .envs(std::env::vars_os().filter(|(key, _)| key == "PATH"))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", pod.id)
            .env("CNI_NETNS", pod.netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", arguments(pod))
            .env("CNI_PATH", search)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        let text = serde_json::to_vec(&config).expect("plain data");
        let talk = async {
            // A plugin that does not read its configuration says so by its result.
            let _ = stdin.write_all(&text).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let talked = tokio::time::timeout(PATIENCE, talk).await;
        let output = talked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap_or(attachment.result.clone()));
        }
        let message = error_message(&output.stdout, &output.stderr, output.status.code());
        Err(CniError::Failed { plugin, command, message })
    }

    fn find(&self, plugin: &str) -> Result<PathBuf, CniError> {
        let name = Path::new(plugin).file_name().filter(|name| *name == plugin);
        let found = name.and_then(|name| {
            self.bin_dirs.iter().map(|directory| directory.join(name)).find(|path| path.exists())
        });
        let searched = || self.bin_dirs.iter().map(|directory| directory.display().to_string()).collect();
        found.ok_or_else(|| CniError::NoPlugin { plugin: plugin.to_string(), searched: searched() })
    }
}

/// A list, or a single plugin's configuration, which is a list of one.
fn parse(text: &str) -> Result<Network, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let network: Network = if value.get("plugins").is_some() {
        serde_json::from_value(value).map_err(|e| e.to_string())?
    } else {
        let plugin = value.as_object().cloned().ok_or("not an object")?;
        let text_of = |key: &str| plugin.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
        Network { name: text_of("name"), version: text_of("cniVersion"), plugins: vec![plugin] }
    };
    if network.name.is_empty() {
        return Err("it has no name".to_string());
    }
    if network.plugins.is_empty() {
        return Err("it has no plugins".to_string());
    }
    let typed = |plugin: &Map<String, Value>| plugin.get("type").is_some_and(Value::is_string);
    if !network.plugins.iter().all(typed) {
        return Err("a plugin has no type".to_string());
    }
    Ok(network)
}

/// What one plugin of the chain reads: its own part, the network's name and version, the result so far, and the
/// runtime's values for the capabilities that it declares.
fn plugin_config(attachment: &Attachment, at: usize) -> Map<String, Value> {
    let mut config = attachment.plugins[at].clone();
    let version = if attachment.version.is_empty() { "0.2.0" } else { &attachment.version };
    config.insert("name".into(), json!(attachment.name));
    config.insert("cniVersion".into(), json!(version));
    if let Some(capabilities) = config.remove("capabilities") {
        let wanted = |key: &String| capabilities.get(key).and_then(Value::as_bool).unwrap_or(false);
        let values = attachment.runtime.iter().filter(|(key, _)| wanted(key));
        let values: Map<String, Value> = values.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !values.is_empty() {
            config.insert("runtimeConfig".into(), Value::Object(values));
        }
    }
    if !attachment.result.is_null() {
        config.insert("prevResult".into(), attachment.result.clone());
    }
    config
}

fn arguments(pod: &Pod<'_>) -> String {
    let metadata = pod.config.metadata.clone().unwrap_or_default();
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        metadata.namespace, metadata.name, pod.id, metadata.uid
    )
}

/// Values for the capabilities `portMappings` and `bandwidth` (CNI conventions).
fn runtime_config(config: &PodSandboxConfig) -> Map<String, Value> {
    let mut values = Map::new();
    let ports: Vec<Value> = config
        .port_mappings
        .iter()
        .filter(|port| port.host_port > 0)
        .map(|port| {
            let protocol = match Protocol::try_from(port.protocol) {
                Ok(Protocol::Udp) => "udp",
                Ok(Protocol::Sctp) => "sctp",
                _ => "tcp",
            };
            json!({
                "hostPort": port.host_port, "containerPort": port.container_port,
                "protocol": protocol, "hostIP": port.host_ip,
            })
        })
        .collect();
    if !ports.is_empty() {
        values.insert("portMappings".into(), Value::Array(ports));
    }
    let mut bandwidth = Map::new();
    for (annotation, rate, burst) in [
        ("kubernetes.io/ingress-bandwidth", "ingressRate", "ingressBurst"),
        ("kubernetes.io/egress-bandwidth", "egressRate", "egressBurst"),
    ] {
        if let Some(bits) = config.annotations.get(annotation).and_then(|text| bits_per_second(text)) {
            bandwidth.insert(rate.into(), json!(bits));
            bandwidth.insert(burst.into(), json!(i32::MAX));
        }
    }
    if !bandwidth.is_empty() {
        values.insert("bandwidth".into(), Value::Object(bandwidth));
    }
    values
}

/// A quantity as pods write rates: `10M`, `1Gi`, `500k`.
fn bits_per_second(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor: BTreeMap<&str, u64> = BTreeMap::from([
        ("", 1),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
    ]);
    number.parse::<u64>().ok()?.checked_mul(*factor.get(unit)?)
}

/// What a plugin says about its failure (CNI specification, section 5), or what can be said for it.
fn error_message(stdout: &[u8], stderr: &[u8], code: Option<i32>) -> String {
    let value: Value = serde_json::from_slice(stdout).unwrap_or_default();
    if let Some(message) = value["msg"].as_str() {
        return match value["details"].as_str().filter(|details| !details.is_empty()) {
            Some(details) => format!("{message}; {details}"),
            None => message.to_string(),
        };
    }
    let said = String::from_utf8_lossy(if stderr.is_empty() { stdout } else { stderr }).trim().to_string();
    let code = code.map_or("a signal".to_string(), |code| format!("exit status {code}"));
    if said.is_empty() { format!("netplugin failed with no error message: {code}") } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_cri::v1::PortMapping;

    const LIST: &str = r#"{"cniVersion":"1.0.0","name":"net","plugins":[
        {"type":"bridge","bridge":"b0"},{"type":"portmap","capabilities":{"portMappings":true}}]}"#;

    #[test]
    fn configurations_are_lists_or_single() {
        for (text, want) in [
            (LIST, Ok(("net", 2))),
            (r#"{"name":"one","type":"loopback"}"#, Ok(("one", 1))),
            (r#"{"name":"","plugins":[{"type":"x"}]}"#, Err("it has no name")),
            (r#"{"name":"n","plugins":[]}"#, Err("it has no plugins")),
            (r#"{"name":"n","plugins":[{}]}"#, Err("a plugin has no type")),
        ] {
            let got = parse(text);
            let got = got.as_ref().map(|n| (n.name.as_str(), n.plugins.len())).map_err(String::as_str);
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn a_plugin_reads_its_part_and_what_it_declares() {
        let network = parse(LIST).expect("valid");
        let port = PortMapping { host_port: 80, container_port: 8080, ..PortMapping::default() };
        let config = PodSandboxConfig { port_mappings: vec![port], ..PodSandboxConfig::default() };
        let attachment = Attachment {
            runtime: runtime_config(&config),
            name: network.name,
            version: network.version,
            plugins: network.plugins,
            result: json!({"ips": [{"address": "10.0.0.2/24"}, {"address": "fd00::2/64"}]}),
        };
        let first = Value::Object(plugin_config(&attachment, 0));
        assert_eq!(first["runtimeConfig"], Value::Null);
        let second = Value::Object(plugin_config(&attachment, 1));
        assert_eq!(second["runtimeConfig"]["portMappings"][0]["hostPort"], 80);
        assert_eq!(second["prevResult"], attachment.result);
        assert_eq!((second["name"].as_str(), second["cniVersion"].as_str()), (Some("net"), Some("1.0.0")));
        assert_eq!(second["capabilities"], Value::Null);
        assert_eq!(attachment.addresses(), ["10.0.0.2", "fd00::2"]);
    }

    #[test]
    fn rates_are_quantities() {
        for (text, want) in [("10M", Some(10_000_000)), ("1Ki", Some(1024)), ("7", Some(7)), ("x", None)] {
            assert_eq!(bits_per_second(text), want, "{text}");
        }
    }

    #[test]
    fn failures_speak() {
        let error = br#"{"code":11,"msg":"try later","details":"busy"}"#;
        assert_eq!(error_message(error, b"", Some(1)), "try later; busy");
        assert_eq!(error_message(b"", b"boom\n", Some(1)), "boom");
        assert_eq!(error_message(b"", b"", None), "netplugin failed with no error message: a signal");
    }
}
