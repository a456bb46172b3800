//! The mounts of one container: its volumes, `/etc/hosts`, the termination message.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use oarlock_cri::v1::{ImageSpec, Mount, MountPropagation};

use super::hosts::hosts_file;
use crate::context::Context;
use crate::env::{Variables, expand};
use crate::observed::Observed;
use crate::pod::PodExt as _;

pub(super) async fn mounts(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    observed: &Observed,
    env: &Variables,
    restarts: i32,
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        mounts.push(volume_mount(ctx, pod, container, wanted, env).await?);
    }
    let has = |mounts: &[Mount], path: &str| mounts.iter().any(|mount| mount.container_path == path);
    if !has(&mounts, "/etc/hosts") {
        mounts.push(hosts_mount(ctx, pod, observed).await?);
    }
    let path = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    if !path.is_empty() {
        mounts.push(message_mount(ctx, pod, container, path, restarts).await?);
    }
    Ok(mounts)
}

async fn volume_mount(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    wanted: &VolumeMount,
    env: &Variables,
) -> Result<Mount, String> {
    let volume = pod.spec().volumes.iter().flatten().find(|volume| volume.name == wanted.name);
    let volume = volume.ok_or_else(|| {
        format!("cannot find volume {:?} to mount into container {:?}", wanted.name, container.name)
    })?;
    let sub_path = match wanted.sub_path_expr.as_deref().filter(|expr| !expr.is_empty()) {
        Some(expr) => expand_strictly(expr, env)?,
        None => wanted.sub_path.clone().unwrap_or_default(),
    };
    let mut mount = Mount {
        container_path: absolute(&wanted.mount_path),
        readonly: wanted.read_only == Some(true),
        propagation: match wanted.mount_propagation.as_deref() {
            Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => MountPropagation::PropagationBidirectional,
            _ => MountPropagation::PropagationPrivate,
        }
        .into(),
        recursive_read_only: matches!(wanted.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible")),
        ..Mount::default()
    };
    if let Some(image) = &volume.image {
        mount.image =
            Some(ImageSpec { image: image.reference.clone().unwrap_or_default(), ..Default::default() });
        mount.image_sub_path = sub_path;
        mount.readonly = true;
        return Ok(mount);
    }
    let host = ctx.volumes.path(pod, volume).ok_or_else(|| {
        format!("cannot find volume {:?} to mount into container {:?}", wanted.name, container.name)
    })?;
    let host = if sub_path.is_empty() { host } else { sub_directory(&host, &sub_path).await? };
    mount.host_path = host.display().to_string();
    mount.readonly |= ctx.volumes.is_read_only(volume);
    Ok(mount)
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// As `$(VAR)` elsewhere, but a variable that is not set is a fault.
fn expand_strictly(expr: &str, env: &Variables) -> Result<String, String> {
    let missing = std::cell::RefCell::new(None);
    let text = expand(expr, |name| {
        let value = env.get(name);
        if value.is_none() {
            missing.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        value
    });
    match missing.into_inner() {
        Some(name) => Err(format!("missing value for {name:?}")),
        None => Ok(text),
    }
}

/// The path below a volume, made if it is missing. A link that leads out of the volume is refused.
async fn sub_directory(volume: &Path, sub_path: &str) -> Result<PathBuf, String> {
    let refused = |why: &str| format!("failed to prepare subPath for volumeMount: {sub_path:?} {why}");
    let relative = Path::new(sub_path);
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(refused("must not leave the volume"));
    }
    let path = volume.join(relative);
    if tokio::fs::symlink_metadata(&path).await.is_err() {
        tokio::fs::create_dir_all(&path).await.map_err(|error| refused(&error.to_string()))?;
    }
    let root = tokio::fs::canonicalize(volume).await.map_err(|error| refused(&error.to_string()))?;
    let real = tokio::fs::canonicalize(&path).await.map_err(|error| refused(&error.to_string()))?;
    if real.starts_with(&root) { Ok(real) } else { Err(refused("leads out of the volume")) }
}

async fn hosts_mount(ctx: &Context, pod: &Pod, observed: &Observed) -> Result<Mount, String> {
    let path = ctx.volumes.pod_dir(&pod.uid()).join("etc-hosts");
    let node = match pod.host_network() {
        true => Some(tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default()),
        false => None,
    };
    let text = hosts_file(pod, &observed.ips(), &ctx.config.cluster_domain, node.as_deref());
    write(&path, text.as_bytes(), 0o644).await?;
    Ok(Mount {
        container_path: "/etc/hosts".into(),
        host_path: path.display().to_string(),
        selinux_relabel: true,
        ..Mount::default()
    })
}

async fn message_mount(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    path: &str,
    restarts: i32,
) -> Result<Mount, String> {
    let dir = ctx.volumes.pod_dir(&pod.uid()).join("containers").join(&container.name);
    let file = dir.join(format!("termination-{restarts}-{:08x}", rand::random::<u32>()));
    // Any user in the container may write its last words.
    write(&file, b"", 0o666).await?;
    Ok(Mount {
        container_path: path.to_owned(),
        host_path: file.display().to_string(),
        selinux_relabel: true,
        ..Mount::default()
    })
}

async fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| format!("write {}: {error}", path.display());
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(failed)?;
    }
    tokio::fs::write(path, content).await.map_err(failed)?;
    tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).await.map_err(failed)
}
