//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use oarlock_base::Shutdown;

use crate::commands;
use crate::settings::{self, Common, NodeFlags, Place, ServerFlags};

/// Kubernetes, whole, in one binary
#[derive(Parser)]
#[command(name = "oarlock", version = oarlock_base::VERSION, args_override_self = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Control plane and node in one, in the foreground; takes its pods with it when it stops
    Up(Box<UpArguments>),
    /// The control plane
    Server(ServerArguments),
    /// The node; its containers go on when it stops
    Agent(AgentArguments),
    /// The API server alone
    #[command(name = "kube-apiserver")]
    KubeApiserver(ServerArguments),
    /// The scheduler alone
    #[command(name = "kube-scheduler")]
    KubeScheduler(ClientArguments),
    /// The controllers alone
    #[command(name = "kube-controller-manager")]
    KubeControllerManager(ControllerArguments),
    /// The node agent alone
    Kubelet(Box<KubeletArguments>),
    /// The Service proxy alone
    #[command(name = "kube-proxy")]
    KubeProxy(ProxyArguments),
    /// The container runtime alone
    Runtime(RuntimeArguments),
    /// Cluster DNS; runs in a pod
    Dns(DnsArguments),
    /// Stops the cluster and takes away its containers and network rules; its state stays
    Down(Place),
    /// Tells how the cluster is
    Status(Place),
    /// Prints the administrator's kubeconfig
    Kubeconfig(Place),
    /// Container images of the node
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// The cluster's memory: status, backup, restore, check, migration to etcd and back
    Datastore {
        #[command(subcommand)]
        command: commands::datastore::DatastoreCommand,
    },
    /// Prints the version
    Version,
}

#[derive(Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub node: NodeFlags,
}

#[derive(Args)]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub server: ServerFlags,
}

#[derive(Args)]
pub(crate) struct AgentArguments {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub node: NodeFlags,
    /// The API server, where it is not on this machine's --https-port: https://host:port
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:6443")]
    pub server: String,
}

/// What a component in a process of its own needs to reach the API.
#[derive(Args)]
pub(crate) struct ClientArguments {
    /// The file that says where the API server is and who asks
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// A YAML file with any of these settings, by the names of their flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Whether several of these take turns by a Lease
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// Features to turn on or off: NAME=true|false
    #[arg(long, value_name = "PAIRS")]
    pub feature_gates: Vec<String>,
    /// Verbosity of the log: 0 to 10
    #[arg(long, short = 'v', value_name = "N", default_value_t = 0)]
    pub v: u8,
}

#[derive(Args)]
pub(crate) struct ControllerArguments {
    #[command(flatten)]
    pub client: ClientArguments,
    /// Addresses of pods, dealt out to nodes
    #[arg(long, value_name = "C", default_value = "10.244.0.0/16")]
    pub cluster_cidr: oarlock_base::Cidr,
    /// The authority that pods are told to trust
    #[arg(long, value_name = "FILE")]
    pub root_ca_file: PathBuf,
    /// Which controllers run: '*' is all, 'name' is on, '-name' is off
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "*",
        allow_hyphen_values = true
    )]
    pub controllers: Vec<String>,
}

#[derive(Args)]
pub(crate) struct KubeletArguments {
    #[command(flatten)]
    pub node: NodeFlags,
    /// The file that says where the API server is and who asks
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// A YAML file with any of these settings, by the names of their flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the kubelet keeps volumes
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    pub root_dir: PathBuf,
    /// The authority whose clients may speak to this kubelet
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// The certificate to serve with
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Name servers of pods
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub cluster_dns: Vec<std::net::IpAddr>,
    /// Domain of the cluster's DNS names
    #[arg(long, value_name = "D", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Static pods
    #[arg(long, value_name = "DIR")]
    pub pod_manifest_path: Option<PathBuf>,
    /// Features to turn on or off: NAME=true|false
    #[arg(long, value_name = "PAIRS")]
    pub feature_gates: Vec<String>,
    /// Verbosity of the log: 0 to 10
    #[arg(long, short = 'v', value_name = "N", default_value_t = 0)]
    pub v: u8,
}

#[derive(Args)]
pub(crate) struct ProxyArguments {
    #[command(flatten)]
    pub client: ClientArguments,
    /// Name of the Node [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// Address of the Node; found by itself where it is not given
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<std::net::Ipv4Addr>,
    /// Addresses of pods
    #[arg(long, value_name = "C", default_value = "10.244.0.0/16")]
    pub cluster_cidr: oarlock_base::Cidr,
    /// Addresses of Services
    #[arg(long, value_name = "C", default_value = "10.96.0.0/12")]
    pub service_cidr: oarlock_base::Cidr,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10256")]
    pub healthz_bind_address: std::net::SocketAddr,
}

#[derive(Args)]
pub(crate) struct RuntimeArguments {
    #[command(flatten)]
    pub place: Place,
    /// A YAML file with any of these settings, by the names of their flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Registries spoken to over plain HTTP: host:port
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub insecure_registries: Vec<String>,
    /// Verbosity of the log: 0 to 10
    #[arg(long, short = 'v', value_name = "N", default_value_t = 0)]
    pub v: u8,
}

#[derive(Args)]
pub(crate) struct DnsArguments {
    /// Domain of the cluster's DNS names
    #[arg(long, value_name = "D", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Where queries are answered
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:53")]
    pub address: std::net::SocketAddr,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9153")]
    pub health_address: std::net::SocketAddr,
    /// The name servers for the rest of the world
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// The file that says where the API server is [default: the pod's own account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Verbosity of the log: 0 to 10
    #[arg(long, short = 'v', value_name = "N", default_value_t = 0)]
    pub v: u8,
}

#[derive(Subcommand)]
pub(crate) enum ImageCommand {
    /// Takes the images of an archive (OCI layout or docker save; - is standard input)
    Import {
        #[command(flatten)]
        place: Place,
        archive: PathBuf,
    },
    /// Fetches an image from its registry
    Pull {
        #[command(flatten)]
        place: Place,
        image: String,
    },
    /// Lists the images
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Removes an image
    Remove {
        #[command(flatten)]
        place: Place,
        image: String,
    },
}

impl Command {
    /// What is not read flag by flag: the API server tells of all flags, and the others know features by name alone.
    fn finish(&mut self, shown: BTreeMap<String, String>) -> Result<()> {
        match self {
            Self::Up(up) => up.server.api.shown = shown,
            Self::Server(server) | Self::KubeApiserver(server) => server.server.api.shown = shown,
            Self::KubeScheduler(one) => settings::check_features(&one.feature_gates)?,
            Self::KubeControllerManager(one) => settings::check_features(&one.client.feature_gates)?,
            Self::KubeProxy(one) => settings::check_features(&one.client.feature_gates)?,
            Self::Kubelet(one) => settings::check_features(&one.feature_gates)?,
            _ => {}
        }
        Ok(())
    }
}

/// Reads the arguments and runs the command to its end.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    let arguments = settings::arguments(arguments)?;
    let read = Cli::command().try_get_matches_from(&arguments);
    let read = read.and_then(|matches| {
        Ok((Cli::from_arg_matches(&matches)?, settings::shown(&Cli::command(), &matches)))
    });
    let (mut cli, shown) = match read {
        Ok(read) => read,
        Err(e) => e.exit(),
    };
    cli.command.finish(shown)?;
    match cli.command {
        Command::Up(up) => serve(up.common.v, 2, |stop| commands::up::run(*up, stop)),
        Command::Server(server) => serve(server.common.v, 2, |stop| commands::server::run(server, stop)),
        Command::KubeApiserver(server) => {
            serve(server.common.v, 2, |stop| commands::server::api_only(server, stop))
        }
        Command::Agent(agent) => serve(agent.common.v, 2, |stop| commands::agent::run(agent, stop)),
        Command::KubeScheduler(one) => serve(one.v, 2, |stop| commands::components::scheduler(one, stop)),
        Command::KubeControllerManager(one) => {
            serve(one.client.v, 2, |stop| commands::components::controllers(one, stop))
        }
        Command::Kubelet(one) => serve(one.v, 2, |stop| commands::components::kubelet(*one, stop)),
        Command::KubeProxy(one) => serve(one.client.v, 1, |stop| commands::components::proxy(one, stop)),
        Command::Runtime(one) => serve(one.v, 2, |stop| commands::components::runtime(one, stop)),
        Command::Dns(one) => serve(one.v, 1, |stop| commands::components::dns(one, stop)),
        Command::Down(place) => once(commands::down::run(&place)),
        Command::Status(place) => once(commands::status::run(&place)),
        Command::Kubeconfig(place) => commands::kubeconfig::run(&place),
        Command::Image { command } => once(commands::image::run(command)),
        Command::Datastore { command } => once(commands::datastore::run(command)),
        Command::Version => {
            println!("{}", oarlock_base::VERSION);
            Ok(())
        }
    }
}

/// How long after the first signal a second one counts.
const SECOND_THOUGHT: std::time::Duration = std::time::Duration::from_secs(1);

/// A long-running command: logs, signals, and as many threads as it needs (each costs memory; a pod gets one).
fn serve<F>(verbosity: u8, threads: usize, command: impl FnOnce(Shutdown) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    // On a terminal the steps speak for themselves; a log that goes elsewhere is whole.
    let quiet = std::io::IsTerminal::is_terminal(&std::io::stderr());
    oarlock_telemetry::init_logs(&oarlock_telemetry::LogOptions { verbosity, quiet, ..Default::default() });
    oarlock_pki::install_crypto_provider();
    oarlock_client::register_metrics(oarlock_telemetry::Metrics::global().registry())?;
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(std::thread::available_parallelism().map_or(threads, |n| n.get().clamp(2, 8)));
        builder
    };
    let runtime = builder.enable_all().thread_name("oarlock").build()?;
    let stop = Shutdown::new();
    runtime.block_on(async {
        let signals = signals(stop.clone())?;
        tokio::select! {
            ended = command(stop.clone()) => ended,
            never = signals => never,
        }
    })
}

/// SIGTERM or Ctrl-C asks for an orderly stop; another Ctrl-C, of somebody who has read that and waited, ends at once.
fn signals(stop: Shutdown) -> Result<impl Future<Output = Result<()>>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.trigger();
        tokio::time::sleep(SECOND_THOUGHT).await;
        // A signal that came twice at once (to the process and to its group) is one.
        while futures::FutureExt::now_or_never(interrupt.recv()).is_some() {}
        interrupt.recv().await;
        anyhow::bail!("stopped at once; `oarlock down` cleans up")
    })
}

fn once(command: impl Future<Output = Result<()>>) -> Result<()> {
    oarlock_telemetry::init_logs(&oarlock_telemetry::LogOptions::default());
    oarlock_pki::install_crypto_provider();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
    fn finished(arguments: &[&str]) -> Result<Cli, String> {
        let matches = Cli::command().try_get_matches_from(arguments).expect("known flags");
        let mut cli = Cli::from_arg_matches(&matches).expect("known flags");
        cli.command.finish(settings::shown(&Cli::command(), &matches)).map_err(|error| error.to_string())?;
        Ok(cli)
    }

    #[test]
    fn the_api_server_knows_its_flags() {
        let cli =
            finished(&["oarlock", "kube-apiserver", "--etcd-servers", "http://a:1,http://b:2", "-v", "3"]);
        let Ok(Cli { command: Command::KubeApiserver(server) }) = cli else { panic!("an API server") };
        let shown = &server.server.api.shown;
        let told = |name: &str| shown.get(name).map(String::as_str);
        assert_eq!(told("etcd-servers"), Some("[http://a:1,http://b:2]"));
        assert_eq!(told("event-ttl"), Some("1h"));
        assert_eq!(told("feature-gates"), Some("[]"));
        assert_eq!(told("audit-policy-file"), Some(""));
        assert_eq!(told("v"), Some("3"));
        assert_eq!(told("help"), None);
    }

    #[test]
    fn every_component_refuses_features_that_it_cannot_switch() {
        for command in ["kube-scheduler", "kube-proxy", "kubelet"] {
            let check = |gate: &str| {
                let told = format!("--feature-gates={gate}");
                finished(&["oarlock", command, "--kubeconfig", "k", &told]).map(drop)
            };
            assert_eq!(check("Odd=true").expect_err("unknown"), "unrecognized feature gate: Odd");
            assert!(
                check("WatchList=false")
                    .expect_err("no switch")
                    .contains("this component only knows it as true")
            );
            assert_eq!(check("WatchList=true,AllAlpha=false"), Ok(()));
        }
    }
}
