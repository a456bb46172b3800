//! One cluster: the binary's `up` on a fresh directory, timed from its exec; gone when dropped.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use oarlock_testkit::NetNs;

use crate::processes;
use crate::tls::Target;

const PORT: u16 = 6443;
/// Ends a broken run.
const PATIENCE: Duration = Duration::from_secs(60);
/// How closely the start is looked at, where there is nothing yet that could tell.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) struct Cluster {
    binary: PathBuf,
    child: Child,
    netns: NetNs,
    dir: tempfile::TempDir,
    pub(crate) client: kube::Client,
    /// Of the image that is the binary itself.
    pub(crate) image: String,
    pub(crate) readyz: Duration,
    pub(crate) node_ready: Duration,
}

/// What is taken down again if the start fails half-way.
struct Starting {
    child: Option<Child>,
    binary: PathBuf,
    netns: Option<NetNs>,
    dir: Option<tempfile::TempDir>,
}

impl Cluster {
    pub(crate) async fn start(binary: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("oarlock-bench-").tempdir()?;
        let netns = NetNs::new()?;
        let version = netns.command(&binary.display().to_string()).arg("version").output()?;
        let version = String::from_utf8(version.stdout)?.trim().to_string();
        let log = dir.path().join("log");
        let address = SocketAddr::from((netns.address, PORT));
        let began = Instant::now();
        let child = netns
            .command(&binary.display().to_string())
            .args(["up", "--node-name", "node-1", "--https-port", &PORT.to_string(), "--data-dir"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("start oarlock")?;
        let mut starting =
            Starting { child: Some(child), binary: binary.into(), netns: Some(netns), dir: Some(dir) };
        let started = starting.wait(address, began).await;
        let (readyz, node_ready, client) = match started {
            Ok(started) => started,
            Err(e) => bail!("{e:#}; its log:\n{}", std::fs::read_to_string(&log).unwrap_or_default()),
        };
        Ok(Self {
            binary: binary.into(),
            child: starting.child.take().context("just started")?,
            netns: starting.netns.take().context("just made")?,
            dir: starting.dir.take().context("just made")?,
            client,
            // A tag has no `+`.
            image: format!("oarlock.local/oarlock:{}", version.replace('+', "-")),
            readyz,
            node_ready,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for cluster DNS, which belongs to an idle cluster.
    pub(crate) async fn dns_ready(&self) -> Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), "kube-system");
        let available =
            |d: &Deployment| d.status.as_ref().and_then(|s| s.available_replicas).is_some_and(|n| n > 0);
        until(&api, "cluster DNS", available).await
    }
}

impl Starting {
    async fn wait(
        &mut self,
        address: SocketAddr,
        began: Instant,
    ) -> Result<(Duration, Duration, kube::Client)> {
        let target = Target::unverified(address);
        while !readyz(&target).await.unwrap_or(false) {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().transpose()).transpose()? {
                bail!("oarlock ended: {status}");
            }
            if began.elapsed() > PATIENCE {
                bail!("/readyz is not ok within {PATIENCE:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        let readyz = began.elapsed();
        let data = self.dir.as_ref().context("just made")?.path().join("data");
        let client = client(&data.join("kubeconfig"), address).await?;
        let ready = |node: &Node| {
            let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
            conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
        };
        until(&Api::<Node>::all(client.clone()), "the Node", ready).await?;
        Ok((readyz, began.elapsed(), client))
    }
}

async fn readyz(target: &Target) -> Result<bool> {
    let stream = target.connect().await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz").header("host", "bench").body(Empty::<Bytes>::new())?;
    tokio::select! {
        answer = sender.send_request(request) => Ok(answer?.status().is_success()),
        ended = connection => { ended?; Ok(false) }
    }
}

async fn client(kubeconfig: &Path, address: SocketAddr) -> Result<kube::Client> {
    let began = Instant::now();
    let text = loop {
        match std::fs::read_to_string(kubeconfig) {
            Ok(text) => break text,
            Err(e) if began.elapsed() > PATIENCE => return Err(e).context("the kubeconfig"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    };
    let config = Kubeconfig::from_yaml(&text.replace("127.0.0.1", &address.ip().to_string()))?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

/// Waits for an object that is as wanted: a list, then a watch from there.
pub(super) async fn until<K>(api: &Api<K>, what: &str, wanted: impl Fn(&K) -> bool) -> Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let watch = async {
        let list = api.list(&ListParams::default()).await?;
        if list.items.iter().any(&wanted) {
            return Ok(());
        }
        let revision = list.metadata.resource_version.unwrap_or_default();
        let mut events = api.watch(&WatchParams::default(), &revision).await?.boxed();
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(one) | WatchEvent::Modified(one) if wanted(&one) => return Ok(()),
                WatchEvent::Error(status) => bail!("watch: {}", status.message),
                _ => {}
            }
        }
        bail!("the watch ended")
    };
    tokio::time::timeout(PATIENCE, watch)
        .await
        .with_context(|| format!("{what} is not ready within {PATIENCE:?}"))?
        .with_context(|| format!("wait for {what}"))
}

/// SIGTERM, which takes the pods along, and `down` for what may be left.
fn end(binary: &Path, child: &mut Child, netns: &NetNs, data: &Path) {
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let stopped = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).map_err(Into::into);
    if let Err(e) = stopped.and_then(|()| child.wait()) {
        eprintln!("stopping the cluster: {e}");
    }
    match netns.command(&binary.display().to_string()).arg("down").arg("--data-dir").arg(data).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => eprintln!("oarlock down: {}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => eprintln!("oarlock down: {e}"),
    }
    processes::reap(None);
}

impl Drop for Cluster {
    fn drop(&mut self) {
        end(&self.binary, &mut self.child, &self.netns, &self.dir.path().join("data"));
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let (Some(child), Some(netns), Some(dir)) = (&mut self.child, &self.netns, &self.dir) {
            end(&self.binary, child, netns, &dir.path().join("data"));
        }
    }
}
