//! A pod's volumes: made before its containers, kept up to date while it runs, taken away after it.
//!
//! Under `pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`, as upstream lays them out. What a volume shall hold is computed
//! in [`payload`]; it is written atomically by [`atomic`].

mod atomic;
mod empty_dir;
mod host_path;
mod owner;
mod payload;
mod token;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::objects::{ObjectError, Objects};
use crate::pod::{PodExt as _, PodUid};
use payload::Sources;
use token::Tokens;

/// Why a volume is not there; reads as upstream's FailedMount.
#[derive(Debug, Error)]
pub(crate) enum VolumeError {
    #[error("MountVolume.SetUp failed for volume {volume:?} : {why}")]
    SetUp { volume: String, why: SetUpError },
    #[error(
        "Unable to attach or mount volumes: unmounted volumes=[{volume}]: {kind} volumes are not supported by this node yet"
    )]
    Unsupported { volume: String, kind: &'static str },
}

#[derive(Debug, Error)]
pub(crate) enum SetUpError {
    #[error("{0}")]
    Object(#[from] ObjectError),
    #[error("{0}")]
    Invalid(String),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("failed to fetch token: {0}")]
    Token(#[from] kube::Error),
}

impl SetUpError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// The node's volumes.
pub(crate) struct Volumes {
    root: PathBuf,
    tokens: Tokens,
    /// When tokens of each pod must be fetched anew.
    refresh: Mutex<HashMap<PodUid, Timestamp>>,
    sources: Sources,
}

enum Plugin<'a> {
    EmptyDir(&'a k8s_openapi::api::core::v1::EmptyDirVolumeSource),
    HostPath(&'a k8s_openapi::api::core::v1::HostPathVolumeSource),
    /// Files computed from objects: configMap, secret, downwardAPI, projected.
    Files(&'static str),
    /// Mounted by the runtime.
    Image,
    Unsupported(&'static str),
}

fn plugin(volume: &Volume) -> Plugin<'_> {
    if let Some(source) = &volume.empty_dir {
        Plugin::EmptyDir(source)
    } else if let Some(source) = &volume.host_path {
        Plugin::HostPath(source)
    } else if volume.config_map.is_some() {
        Plugin::Files("configmap")
    } else if volume.secret.is_some() {
        Plugin::Files("secret")
    } else if volume.downward_api.is_some() {
        Plugin::Files("downward-api")
    } else if volume.projected.is_some() {
        Plugin::Files("projected")
    } else if volume.image.is_some() {
        Plugin::Image
    } else if volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() {
        Plugin::Unsupported("persistentVolumeClaim")
    } else if volume.csi.is_some() {
        Plugin::Unsupported("csi")
    } else if volume.nfs.is_some() {
        Plugin::Unsupported("nfs")
    } else {
        Plugin::Unsupported("such")
    }
}

impl Volumes {
    pub(crate) fn new(root: PathBuf, client: kube::Client, node_ip: String) -> Self {
        Self { root, tokens: Tokens::new(client), refresh: Mutex::default(), sources: Sources { node_ip } }
    }

    pub(crate) fn pod_dir(&self, uid: &PodUid) -> PathBuf {
        self.root.join("pods").join(uid.to_string())
    }

    fn volume_dir(&self, uid: &PodUid, plugin: &str, name: &str) -> PathBuf {
        self.pod_dir(uid).join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// Where a volume stands on this node; `None` where it has no such place.
    pub(crate) fn path(&self, pod: &Pod, volume: &Volume) -> Option<PathBuf> {
        let uid = pod.uid();
        match plugin(volume) {
            Plugin::EmptyDir(_) => Some(self.volume_dir(&uid, "empty-dir", &volume.name)),
            Plugin::HostPath(source) => Some(PathBuf::from(&source.path)),
            Plugin::Files(plugin) => Some(self.volume_dir(&uid, plugin, &volume.name)),
            Plugin::Image | Plugin::Unsupported(_) => None,
        }
    }

    /// Whether nobody may write to it, whatever the mount says.
    pub(crate) fn is_read_only(&self, volume: &Volume) -> bool {
        matches!(plugin(volume), Plugin::Files(_))
    }

    /// When [`mount`](Self::mount) should run again for this pod, because a token grows old.
    pub(crate) fn refresh_at(&self, uid: &PodUid) -> Option<Timestamp> {
        self.refresh.lock().get(uid).copied()
    }

    /// Makes every volume that is missing and brings every other one up to date. Idempotent; costs nothing where nothing
    /// changed. Objects that the pod refers to wake `wake` when they change.
    pub(crate) async fn mount_with(
        &self,
        objects: &Objects,
        node: &k8s_openapi::api::core::v1::Node,
        pod: &Pod,
        wake: &Arc<Notify>,
    ) -> Result<(), VolumeError> {
        objects.register(&pod.uid(), wake);
        let mut refresh = None;
        for volume in pod.spec().volumes.iter().flatten() {
            let why = |why: SetUpError| VolumeError::SetUp { volume: volume.name.clone(), why };
            let path = self.path(pod, volume);
            match (plugin(volume), path) {
                (Plugin::EmptyDir(source), Some(path)) => {
                    empty_dir::set_up(source, &path, pod).await.map_err(why)?
                }
                (Plugin::HostPath(source), _) => host_path::check(source).await.map_err(why)?,
                (Plugin::Files(_), Some(path)) => {
                    let made =
                        self.sources.payload(objects, &self.tokens, node, pod, volume).await.map_err(why)?;
                    refresh = min(refresh, made.refresh_at);
                    let group = pod.spec().security_context.as_ref().and_then(|security| security.fs_group);
                    atomic::write(path, made.files, group).await.map_err(why)?;
                }
                (Plugin::Unsupported(kind), _) => {
                    return Err(VolumeError::Unsupported { volume: volume.name.clone(), kind });
                }
                _ => {}
            }
        }
        let mut refreshes = self.refresh.lock();
        match refresh {
            Some(at) => refreshes.insert(pod.uid(), at),
            None => refreshes.remove(&pod.uid()),
        };
        Ok(())
    }

    /// Takes the pod's volumes away: memory is unmounted, directories are removed; what belongs to the host stays.
    pub(crate) async fn unmount_dirs(&self, uid: &PodUid) {
        self.refresh.lock().remove(uid);
        self.tokens.forget(uid);
        let volumes = self.pod_dir(uid).join("volumes");
        let done = tokio::task::spawn_blocking(move || {
            unmount_below(&volumes)?;
            match std::fs::remove_dir_all(&volumes) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
        match done.await {
            Ok(Ok(())) => debug!(pod = %uid, "volumes taken away"),
            Ok(Err(error)) => warn!(pod = %uid, %error, "volumes not taken away"),
            Err(error) => warn!(pod = %uid, %error, "volumes not taken away"),
        }
    }

    /// Removes what is left of a pod: its `etc-hosts`, its termination messages, its directory.
    pub(crate) async fn remove_pod_dir(&self, uid: &PodUid) {
        self.unmount_dirs(uid).await;
        match tokio::fs::remove_dir_all(self.pod_dir(uid)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(pod = %uid, %error, "pod directory not removed");
            }
            _ => {}
        }
    }

    /// The pods that have a directory here.
    pub(crate) async fn pods_on_disk(&self) -> Vec<PodUid> {
        let mut found = Vec::new();
        let Ok(mut entries) = tokio::fs::read_dir(self.root.join("pods")).await else { return found };
        while let Ok(Some(entry)) = entries.next_entry().await {
            found.push(PodUid::new(&entry.file_name().to_string_lossy()));
        }
        found
    }
}

fn min(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Unmounts every mount below a directory, the deepest first.
fn unmount_below(dir: &Path) -> io::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(dir))
        .collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.as_os_str().len()));
    for point in points {
        nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH).map_err(io::Error::from)?;
    }
    Ok(())
}
