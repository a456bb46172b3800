//! A cluster as a user has it: the built binary, started with `up`, spoken to with kubectl.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

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
}

/// A running cluster; gone, with its containers, when dropped.
pub struct Cluster {
    child: Option<Child>,
    netns: NetNs,
    dir: tempfile::TempDir,
    settings: Settings,
}

/// What a command gave.
pub struct Output {
    pub ok: bool,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Cluster {
    pub fn start(settings: Settings) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("oarlock-test-").tempdir()?;
        let mut cluster = Self { child: None, netns: NetNs::new()?, dir, settings };
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

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the process and waits for its word that it is ready.
    pub fn up(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = self.netns.command(&oarlock_path()?.display().to_string());
        command
            .args(["up", "--data-dir", &self.data_dir().display().to_string()])
            .args(["--node-name", "node-1"])
            .args(&self.settings.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().context("start oarlock")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        self.child = Some(child);
        let (told, ready) = std::sync::mpsc::channel();
        let mut copy = std::fs::OpenOptions::new().append(true).open(self.log_path())?;
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The log is for people who look into a failed test.
                let _ = writeln!(copy, "{line}");
                if line.trim_start().starts_with("ready") {
                    // Told twice is as good as once.
                    let _ = told.send(());
                }
            }
        });
        ready.recv_timeout(PATIENCE).map_err(|e| anyhow::anyhow!("not ready ({e}); its log:\n{}", self.log()))
    }

    /// SIGTERM, and wait for the end.
    pub fn stop(&mut self) -> Result<()> {
        self.end(nix::sys::signal::Signal::SIGTERM)
    }

    /// SIGKILL: nothing is said to anybody.
    pub fn kill(&mut self) -> Result<()> {
        self.end(nix::sys::signal::Signal::SIGKILL)
    }

    fn end(&mut self, signal: nix::sys::signal::Signal) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id())?);
        nix::sys::signal::kill(pid, signal).context("signal oarlock")?;
        child.wait()?;
        Ok(())
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
            if output.ok && holds(&output.stdout) { Ok(output.stdout) } else { Err(output.stdout + &output.stderr) }
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
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = std::fs::read_to_string(self.data_dir().join("kubeconfig"))?;
        let text = text.replace("127.0.0.1", &self.netns.address.to_string());
        let config = kube::config::Kubeconfig::from_yaml(&text)?;
        let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
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

/// The binary that was built with these tests: two folders above the test's own executable.
fn oarlock_path() -> Result<PathBuf> {
    if let Ok(path) = std::env::var("OARLOCK") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let path = own.parent().and_then(Path::parent).context("a test executable lies in target/…/deps")?.join("oarlock");
    if !path.exists() {
        bail!("{} is not built: make test builds it first", path.display());
    }
    Ok(path)
}

fn run(command: &mut Command, input: Option<&str>) -> Output {
    let result = (|| {
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), input) {
            stdin.write_all(text.as_bytes())?;
        }
        child.wait_with_output()
    })();
    match result {
        Ok(output) => Output {
            ok: output.status.success(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(e) => Output { ok: false, code: None, stdout: String::new(), stderr: e.to_string() },
    }
}
