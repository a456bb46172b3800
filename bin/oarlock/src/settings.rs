//! Flag over file over default. A file of `--config` holds the same names as the flags; it becomes arguments that stand
//! before those of the command line, so the later, typed ones win and an unknown key is refused like an unknown flag.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use oarlock_base::{Cidr, Features};
use serde_json::Value;

use crate::api_flags::ApiFlags;
use crate::layout::DEFAULT_DATA_DIR;

/// Where the cluster keeps its state; all commands about a cluster on this machine take it.
#[derive(Args, Debug, Clone)]
pub(crate) struct Place {
    /// Where the cluster keeps its state
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
}

/// The ranges of Services: one of IPv4, which the node works with, and perhaps one of IPv6, before or behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceRanges {
    pub v4: Cidr,
    /// The first address of the other range, which is this server's, too.
    pub v6_first: Option<Ipv6Addr>,
    text: String,
}

impl std::fmt::Display for ServiceRanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ServiceRanges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let (six, four): (Vec<&str>, Vec<&str>) = parts.iter().partition(|part| part.contains(':'));
        let ([four], true) = (four.as_slice(), six.len() < 2) else {
            return Err(format!("{text:?} is not one IPv4 range, or one of each family"));
        };
        let v4 = four.parse::<Cidr>().map_err(|error| error.to_string())?;
        let v6_first = six.first().map(|range| first_v6(range)).transpose()?;
        Ok(Self { v4, v6_first, text: parts.join(",") })
    }
}

fn first_v6(range: &str) -> Result<Ipv6Addr, String> {
    let parsed = range.split_once('/').and_then(|(address, prefix)| {
        let prefix = prefix.parse::<u32>().ok().filter(|prefix| *prefix < 128)?;
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        Some(Ipv6Addr::from((u128::from(address.parse::<Ipv6Addr>().ok()?) & mask) + 1))
    });
    parsed.ok_or_else(|| format!("{range:?} is not an IPv6 range such as fd00:10:96::/112"))
}

/// What `up`, `server` and `agent` have in common.
#[derive(Args, Debug, Clone)]
pub(crate) struct Common {
    #[command(flatten)]
    pub place: Place,
    /// A YAML file with any of these settings, by the names of their flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Domain of the cluster's DNS names
    #[arg(long, value_name = "D", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Addresses of pods
    #[arg(long, value_name = "C", default_value = "10.244.0.0/16")]
    pub cluster_cidr: Cidr,
    /// Addresses of Services; of both families with a comma
    #[arg(
        long,
        value_name = "C",
        default_value = "10.96.0.0/12",
        visible_alias = "service-cluster-ip-range"
    )]
    pub service_cidr: ServiceRanges,
    /// Verbosity of the log: 0 to 10
    #[arg(long, short = 'v', value_name = "N", default_value_t = 0)]
    pub v: u8,
}

/// What `up` and `server` take for the API server.
#[derive(Args, Debug, Clone)]
pub(crate) struct ServerFlags {
    /// Port of the API server; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 6443, visible_alias = "secure-port")]
    pub https_port: u16,
    /// Address that the API server listens on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub bind_address: std::net::IpAddr,
    /// Address of this machine for the other members of the cluster; found by itself where it is not given
    #[arg(long, value_name = "IP")]
    pub advertise_address: Option<Ipv4Addr>,
    /// Where the administrator's kubeconfig is written [default: DIR/kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the server's own certificate is kept [default: DATA-DIR/pki]
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
    /// Further names and addresses for the API server's certificate
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub tls_san: Vec<String>,
    #[command(flatten)]
    pub api: ApiFlags,
}

/// What `up` and `agent` take for the node.
#[derive(Args, Debug, Clone)]
pub(crate) struct NodeFlags {
    /// Name of the Node [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Address of the Node; found by itself where it is not given
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<Ipv4Addr>,
    /// CRI socket of another container runtime, instead of the built-in one
    #[arg(long, value_name = "SOCKET")]
    pub container_runtime_endpoint: Option<String>,
    /// Port of the kubelet; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 10250)]
    pub kubelet_port: u16,
    /// Port of kube-proxy's health and metrics; 0 serves none
    #[arg(long, value_name = "N", default_value_t = 10256)]
    pub proxy_health_port: u16,
    /// Labels of the Node: key=value
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// Registries spoken to over plain HTTP: host:port
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub insecure_registries: Vec<String>,
}

/// Features of a component that can do with none but the defaults.
pub(crate) fn check_features(told: &[String]) -> Result<()> {
    Features::parse(told, &[]).map(drop).map_err(|faults| {
        anyhow::anyhow!(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}

/// The flags of the chosen command and their values; `[a,b]` where there may be several.
pub(crate) fn shown(command: &clap::Command, matches: &clap::ArgMatches) -> BTreeMap<String, String> {
    let chosen = matches.subcommand().and_then(|(name, of)| Some((command.find_subcommand(name)?, of)));
    let Some((command, matches)) = chosen else { return BTreeMap::new() };
    let flags = command.get_arguments().filter_map(|argument| Some((argument.get_long()?, argument)));
    let value = |argument: &clap::Arg| {
        let raw = matches.try_get_raw(argument.get_id().as_str()).ok().flatten().into_iter().flatten();
        let told: Vec<_> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
        match argument.get_action() {
            clap::ArgAction::Append => format!("[{}]", told.join(",")),
            _ => told.join(","),
        }
    };
    flags.map(|(name, argument)| (name.to_string(), value(argument))).collect()
}

/// The arguments with those of the `--config` file put before the typed ones.
pub(crate) fn arguments(typed: Vec<OsString>) -> Result<Vec<OsString>> {
    let Some(path) = config_path(&typed) else { return Ok(typed) };
    let text = std::fs::read(&path).with_context(|| format!("read the configuration {}", path.display()))?;
    let from_file =
        file_arguments(&text).with_context(|| format!("in the configuration {}", path.display()))?;
    // After the subcommand, before its flags.
    let at = typed.len().min(2);
    let mut all = typed;
    all.splice(at..at, from_file);
    Ok(all)
}

fn config_path(typed: &[OsString]) -> Option<PathBuf> {
    let mut rest = typed.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_str().unwrap_or_default();
        if text == "--config" {
            return rest.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(Path::new(path).to_path_buf());
        }
    }
    None
}

fn file_arguments(text: &[u8]) -> Result<Vec<OsString>> {
    let value = oarlock_api::codec::yaml::parse(text).map_err(|e| anyhow::anyhow!("{e}"))?;
    let settings = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(settings) => settings,
        _ => bail!("a configuration is a mapping of settings"),
    };
    let mut out = Vec::new();
    for (name, value) in settings {
        if name == "config" {
            bail!("a configuration cannot name another");
        }
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    out.push(format!("--{name}={}", scalar(&name, &item)?).into());
                }
            }
            one => out.push(format!("--{name}={}", scalar(&name, &one)?).into()),
        }
    }
    Ok(out)
}

fn scalar(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => bail!("{name}: a text or a number is needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    #[command(args_override_self = true)]
    struct Probe {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        server: ServerFlags,
    }

    fn parse(file: &str, typed: &[&str]) -> Result<Probe, String> {
        let mut all = vec![OsString::from("oarlock")];
        all.extend(file_arguments(file.as_bytes()).map_err(|e| format!("{e:#}"))?);
        all.extend(typed.iter().map(OsString::from));
        Probe::try_parse_from(all).map_err(|e| e.to_string())
    }

    #[test]
    fn a_flag_goes_over_the_file_and_the_file_over_the_default() {
        let probe =
            parse("https-port: 7443\ntls-san: [a.test, b.test]\n", &["--cluster-cidr", "10.1.0.0/16"])
                .expect("valid settings");
        assert_eq!(probe.server.https_port, 7443);
        assert_eq!(probe.server.tls_san, ["a.test", "b.test"]);
        assert_eq!(probe.common.cluster_cidr.to_string(), "10.1.0.0/16");
        assert_eq!(probe.common.cluster_domain, "cluster.local");
        let probe = parse("https-port: 7443\n", &["--https-port", "8443"]).expect("valid settings");
        assert_eq!(probe.server.https_port, 8443);
        let probe = parse("enable-bootstrap-token-auth: false\nanonymous-auth: true\n", &[]);
        let authentication = probe.expect("valid settings").server.api.authentication;
        assert!(!authentication.enable_bootstrap_token_auth);
        assert_eq!(authentication.anonymous_auth, Some(true));
    }

    #[test]
    fn service_ranges_are_of_one_family_or_both() {
        let read = |text: &str| text.parse::<ServiceRanges>();
        let both = read("fd00:10:96::/112, 10.96.0.0/12").expect("ranges");
        assert_eq!(both.to_string(), "fd00:10:96::/112,10.96.0.0/12");
        assert_eq!(both.v4.to_string(), "10.96.0.0/12");
        assert_eq!(both.v6_first, "fd00:10:96::1".parse().ok());
        assert_eq!(read("10.0.0.0/24").expect("a range").v6_first, None);
        for bad in
            ["", "fd00::/112", "10.0.0.0/24,10.1.0.0/24", "10.0.0.0/24,fd00::/129", "10.0.0.0/24,fd00::/x"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        // Upstream's names of the same flags.
        let probe = parse("secure-port: 7443\n", &["--service-cluster-ip-range=10.1.0.0/16,fd00::/112"]);
        let probe = probe.expect("valid settings");
        assert_eq!((probe.server.https_port, probe.common.service_cidr.v4.prefix()), (7443, 16));
    }

    #[test]
    fn bad_settings_are_refused() {
        assert!(parse("no-such-thing: 1\n", &[]).is_err_and(|e| e.contains("no-such-thing")));
        assert!(parse("https-port: ninety\n", &[]).is_err_and(|e| e.contains("ninety")));
        assert!(parse("- a\n- b\n", &[]).is_err_and(|e| e.contains("mapping")));
        assert!(parse("cluster-cidr: {a: b}\n", &[]).is_err_and(|e| e.contains("cluster-cidr")));
        assert!(parse("service-cidr: 10.0.0.0/99\n", &[]).is_err_and(|e| e.contains("10.0.0.0/99")));
    }
}
