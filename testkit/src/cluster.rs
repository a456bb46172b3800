//! A cluster as a user has it: the built binary, started with `up`, spoken to with kubectl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::output::{Output, run};
use crate::process::{Process, oarlock_path};
use crate::{NetNs, busybox_archive, eventually};

/// The image that tests run containers from.
const BUSYBOX: &str = "localhost/busybox:test";
/// Ends a broken test; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a cluster is started.
#[derive(Default, Clone)]
pub struct Settings {
    /// Further arguments of `oarlock up`.
    pub arguments: Vec<String>,
    /// Bring the busybox image along.
    pub busybox: bool,
    /// `server` and `agent` in two processes instead of `up`.
    pub apart: bool,
}

/// A running cluster; gone, with its containers, when dropped.
pub struct Cluster {
    processes: Vec<(&'static str, Process)>,
    pub(crate) netns: NetNs,
    dir: tempfile::TempDir,
    settings: Settings,
}

impl Cluster {
    pub fn start(settings: Settings) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("oarlock-test-").tempdir()?;
        let mut cluster = Self { processes: Vec::new(), netns: NetNs::new()?, dir, settings };
        cluster.up()?;
        if cluster.settings.busybox {
            let archive = cluster.dir.path().join("busybox.tar");
            busybox_archive(&archive, BUSYBOX)?;
            let imported = cluster.oarlock(&["image", "import", &archive.display().to_string()]);
            if !imported.ok {
                bail!("import of {BUSYBOX}: {}", imported.stderr);
            }
        }
        Ok(cluster)
    }

    /// A cluster with the busybox image, for tests that run containers.
    pub fn with_busybox() -> Result<Self> {
        Self::start(Settings { busybox: true, ..Settings::default() })
    }

    pub fn busybox(&self) -> &'static str {
        BUSYBOX
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A place for a test's files.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    pub fn node_ip(&self) -> std::net::Ipv4Addr {
        self.netns.address
    }

    /// The process of this role: `up`, or `server` and `agent`.
    pub fn pid(&self, role: &str) -> Option<u32> {
        self.processes.iter().find(|(name, _)| *name == role).map(|(_, process)| process.id())
    }

    /// Starts what the settings say, and waits for its word that it is ready.
    pub fn up(&mut self) -> Result<()> {
        for role in if self.settings.apart { &["server", "agent"][..] } else { &["up"] } {
            self.start_role(role)?;
        }
        Ok(())
    }

    /// Starts one process and waits for its word that it is ready.
    pub fn start_role(&mut self, role: &'static str) -> Result<()> {
        let mut command = self.role_command(role)?;
        command.args(&self.settings.arguments);
        let (process, ready) = Process::start(&mut command, &self.log_path())?;
        self.processes.push((role, process));
        ready
            .recv_timeout(PATIENCE)
            .map_err(|e| anyhow::anyhow!("{role} is not ready ({e}); its log:\n{}", self.log()))
    }

    fn role_command(&self, role: &str) -> Result<Command> {
        let mut command = self.netns.command(&oarlock_path()?.display().to_string());
        command.args([role, "--data-dir", &self.data_dir().display().to_string()]);
        if role != "server" {
            command.args(["--node-name", "node-1"]);
        }
        Ok(command)
    }

    /// SIGTERM, and wait for the end.
    pub fn stop(&mut self) -> Result<()> {
        self.end_all(nix::sys::signal::Signal::SIGTERM)
    }

    /// SIGKILL: nothing is said to anybody.
    pub fn kill(&mut self) -> Result<()> {
        self.end_all(nix::sys::signal::Signal::SIGKILL)
    }

    pub fn stop_role(&mut self, role: &str) -> Result<()> {
        self.end(role, nix::sys::signal::Signal::SIGTERM)
    }

    pub fn kill_role(&mut self, role: &str) -> Result<()> {
        self.end(role, nix::sys::signal::Signal::SIGKILL)
    }

    /// The node first: it tells the control plane how it ends.
    fn end_all(&mut self, signal: nix::sys::signal::Signal) -> Result<()> {
        while let Some((_, process)) = self.processes.pop() {
            process.end(signal)?;
        }
        Ok(())
    }

    /// Waits for processes that something else has asked to end.
    pub fn reap(&mut self) -> Result<()> {
        while let Some((_, process)) = self.processes.pop() {
            process.wait()?;
        }
        Ok(())
    }

    fn end(&mut self, role: &str, signal: nix::sys::signal::Signal) -> Result<()> {
        match self.processes.iter().position(|(name, _)| *name == role) {
            Some(at) => self.processes.remove(at).1.end(signal),
            None => bail!("no {role} runs"),
        }
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("oarlock.log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// `oarlock …` on this cluster.
    pub fn oarlock(&self, arguments: &[&str]) -> Output {
        let path = oarlock_path().map(|p| p.display().to_string()).unwrap_or_default();
        let mut command = self.netns.command(&path);
        command.args(arguments).args(["--data-dir", &self.data_dir().display().to_string()]);
        run(&mut command, None)
    }

    /// A command in the cluster's network, as somebody on the node would type it.
    pub fn on_node(&self, program: &str, arguments: &[&str]) -> Output {
        run(self.netns.command(program).args(arguments), None)
    }

    /// A command in the cluster's network, for those who want to keep it running.
    pub fn node_command(&self, program: &str) -> Command {
        self.netns.command(program)
    }

    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.netns.command(&kubectl_path());
        command
            .args(arguments)
            .env("KUBECONFIG", self.data_dir().join("kubeconfig"))
            .env("HOME", self.dir.path());
        command
    }

    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Output {
        run(&mut self.kubectl_command(arguments), Some(input))
    }

    /// What kubectl says, good or bad.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        run(&mut self.kubectl_command(arguments), None)
    }

    /// What kubectl prints; it must succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        assert!(output.ok, "kubectl {arguments:?}: {}{}\n{}", output.stdout, output.stderr, self.tail());
        output.stdout
    }

    #[track_caller]
    pub fn apply(&self, manifest: &str) -> String {
        let output = self.kubectl_with_input(&["apply", "-f", "-"], manifest);
        assert!(output.ok, "kubectl apply: {}\n{}", output.stderr, self.tail());
        output.stdout
    }

    /// Waits until kubectl prints something that `holds`.
    #[track_caller]
    pub fn wait_for(&self, arguments: &[&str], holds: impl Fn(&str) -> bool) -> String {
        eventually(&format!("kubectl {arguments:?}\n{}", self.tail()), PATIENCE, || {
            let output = self.try_kubectl(arguments);
            if output.ok && holds(&output.stdout) {
                Ok(output.stdout)
            } else {
                Err(output.stdout + &output.stderr)
            }
        })
    }

    #[track_caller]
    pub fn wait_ready(&self, pod: &str) {
        let json = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        self.wait_for(&["get", "pod", pod, "-o", json], |status| status == "True");
    }

    /// A client for Rust, from outside of the cluster's network.
    pub async fn client(&self) -> Result<kube::Client> {
        // Another test may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let text = std::fs::read_to_string(self.data_dir().join("kubeconfig"))?;
        let text = text.replace("127.0.0.1", &self.netns.address.to_string());
        let config = kube::config::Kubeconfig::from_yaml(&text)?;
        let config =
            kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// The end of the log, for the message of a failed assertion.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("--- log\n{}", lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = std::env::temp_dir().join(format!("oarlock-failed-{}.log", std::process::id()));
            // Best effort: the test has failed already.
            let _ = std::fs::copy(self.log_path(), &kept);
            eprintln!("the cluster's log: {}", kept.display());
        }
        if let Err(e) = self.stop() {
            eprintln!("stopping the cluster: {e:#}");
        }
        let down = self.oarlock(&["down"]);
        if !down.ok {
            eprintln!("oarlock down: {}", down.stderr);
        }
    }
}

/// Where `tests/setup` has put kubectl.
pub fn kubectl_path() -> String {
    let tools = std::env::var("OARLOCK_TEST_TOOLS").unwrap_or_else(|_| "/usr/local/lib/oarlock-tests".into());
    format!("{tools}/kubectl")
}
