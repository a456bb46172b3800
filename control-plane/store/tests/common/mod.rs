//! etcd processes for the tests that need them.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod history;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oarlock_base::Shutdown;
use oarlock_store::{Etcd, ListOptions, Op, Store, Txn, etcd};

/// The etcd to test with: `OARLOCK_ETCD`, or the one in the path. A test without one fails, unless `OARLOCK_WITHOUT_ETCD=1` says
/// that this is wanted.
pub(crate) fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("OARLOCK_ETCD") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file());
    if found.is_none() {
        let waived = std::env::var_os("OARLOCK_WITHOUT_ETCD").is_some_and(|v| v == "1");
        assert!(
            waived,
            "no etcd: run tests/setup, set OARLOCK_ETCD, or waive this with OARLOCK_WITHOUT_ETCD=1"
        );
        println!("not run: there is no etcd, and OARLOCK_WITHOUT_ETCD=1");
    }
    found
}

/// One member, killed when dropped.
pub(crate) struct Member {
    command: Command,
    child: Option<Child>,
    pub(crate) endpoint: String,
}

impl Member {
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none());
        self.child = Some(self.command.spawn().expect("start etcd"));
    }

    /// Stops it as if the machine had frozen: connections stay, nothing answers.
    pub(crate) fn freeze(&self, frozen: bool) {
        use nix::sys::signal::{Signal, kill};
        let pid = self.child.as_ref().expect("it runs").id();
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(nix::unistd::Pid::from_raw(pid as i32), signal).expect("a signal");
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill -9");
            child.wait().expect("reap");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    pub(crate) folder: tempfile::TempDir,
}

/// How a cluster's members speak with their clients.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) members: usize,
    pub(crate) further: Vec<String>,
    pub(crate) tls: bool,
}

impl Cluster {
    /// One member that speaks plain HTTP.
    pub(crate) fn single(binary: &Path) -> Self {
        Self::start(binary, Setup { members: 1, ..Setup::default() })
    }

    pub(crate) fn start(binary: &Path, setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        // All are held until all are known, so that none is given twice.
        let held: Vec<TcpListener> =
            (0..setup.members * 2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let ports: Vec<u16> = held.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        drop(held);
        let peers: Vec<String> =
            (0..setup.members).map(|i| format!("m{i}=http://127.0.0.1:{}", ports[i * 2 + 1])).collect();
        let peers = peers.join(",");
        let scheme = if setup.tls { "https" } else { "http" };
        let mut members = Vec::new();
        for i in 0..setup.members {
            let endpoint = format!("{scheme}://127.0.0.1:{}", ports[i * 2]);
            let peer = format!("http://127.0.0.1:{}", ports[i * 2 + 1]);
            let mut command = Command::new(binary);
            command
                .args(["--name", &format!("m{i}"), "--data-dir"])
                .arg(folder.path().join(format!("m{i}")))
                .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &peers, "--initial-cluster-state", "new"])
                .args(["--heartbeat-interval", "20", "--election-timeout", "200", "--log-level", "error"])
                .args(&setup.further)
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(folder.path().join(format!("m{i}.log"))).expect("a log"));
            members.push(Member { command, child: None, endpoint });
        }
        let mut cluster = Self { members, folder };
        cluster.members.iter_mut().for_each(Member::start);
        cluster
    }

    pub(crate) fn config(&self) -> etcd::Config {
        etcd::Config {
            endpoints: self.members.iter().map(|m| m.endpoint.clone()).collect(),
            compaction_interval: None,
            ..etcd::Config::default()
        }
    }

    /// A store on this cluster, which answers.
    pub(crate) async fn connect(&self) -> Arc<Etcd> {
        connect(self.config()).await
    }
}

pub(crate) async fn connect(config: etcd::Config) -> Arc<Etcd> {
    let store = etcd::connect(config, &Shutdown::new()).expect("the configuration is sound");
    // A call is made again until its deadline; a cold machine may need another one.
    for _ in 0..5 {
        if store.revision().await.is_ok() {
            return store;
        }
    }
    panic!("etcd does not answer");
}

/// Takes away all keys.
pub(crate) async fn clear(store: &dyn Store) {
    let all = store.list(b"/", ListOptions::default()).await.expect("list");
    for keys in all.items.chunks(100) {
        let ops = keys.iter().map(|kv| Op::Delete { key: kv.key.clone() }).collect();
        store.transact(Txn { guards: Vec::new(), ops }).await.expect("delete");
    }
}

/// Connects with a short deadline per call, for tests that take members away.
pub(crate) fn impatient(config: etcd::Config) -> etcd::Config {
    etcd::Config { request_timeout: Duration::from_secs(6), ..config }
}
