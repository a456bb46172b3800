//! Static pods: manifests in a directory, and the mirror pods by which the API sees them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use oarlock_client::is_already_exists;
use tracing::{info, warn};

use crate::context::Context;
use crate::logs::Inotify;
use crate::manager::Manager;
use crate::pod::{CONFIG_HASH, CONFIG_MIRROR, CONFIG_SOURCE, PodExt as _, PodUid};

type Pods = HashMap<PodUid, Arc<Pod>>;

/// Reads the manifests once and takes their pods in.
pub(crate) async fn read_all(dir: &Path, manager: &Manager) -> Pods {
    let ctx = manager.context();
    let pods = read_dir(dir.to_owned(), &ctx.config.node_name).await;
    for pod in pods.values() {
        manager.upsert(pod.clone());
        mirror(ctx, manager, pod).await;
    }
    pods
}

/// Follows the directory. Returns only when it cannot be watched.
pub(crate) async fn follow(dir: PathBuf, manager: &Manager) {
    let watch = match Inotify::watch_dir(&dir) {
        Ok(watch) => watch,
        Err(error) => return warn!(path = %dir.display(), %error, "static pods are not followed"),
    };
    let mut known = read_all(&dir, manager).await;
    while watch.changed().await.is_ok() {
        let now = read_all(&dir, manager).await;
        for (uid, pod) in known.iter().filter(|(uid, _)| !now.contains_key(uid)) {
            info!(pod = %pod.display(), "static pod removed");
            manager.gone(pod);
            let replaced =
                now.values().any(|other| other.name() == pod.name() && other.namespace() == pod.namespace());
            remove_mirror(manager.context(), manager, pod).await;
            if replaced {
                info!(pod = %uid, "replaced by a changed manifest");
            }
        }
        known = now;
    }
}

async fn read_dir(dir: PathBuf, node: &str) -> Pods {
    let mut pods = Pods::new();
    let Ok(mut entries) = tokio::fs::read_dir(&dir).await else { return pods };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = [".json", ".yaml", ".yml"].iter().any(|ending| name.ends_with(ending));
        if manifest && !name.starts_with('.') {
            read_manifest(&path, node, &mut pods).await;
        }
    }
    pods
}

async fn read_manifest(path: &Path, node: &str, pods: &mut Pods) {
    let read = async {
        let text = tokio::fs::read_to_string(path).await.map_err(|error| error.to_string())?;
        let pod: Pod = parse(&text)?;
        finish(pod, path, node, &text)
    };
    match read.await {
        Ok(pod) => {
            pods.insert(pod.uid(), Arc::new(pod));
        }
        Err(error) => warn!(path = %path.display(), error, "manifest not understood"),
    }
}

/// A manifest in JSON or YAML.
fn parse(text: &str) -> Result<Pod, String> {
    let value = oarlock_api::codec::yaml::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Gives the pod what the API would have given it: a name of this node, a uid, defaults.
fn finish(mut pod: Pod, path: &Path, node: &str, text: &str) -> Result<Pod, String> {
    let hash = hash_of(&format!("{node}{}{text}", path.display()));
    let meta = &mut pod.metadata;
    let name = meta.name.take().filter(|name| !name.is_empty()).ok_or("the pod has no name")?;
    meta.name = Some(format!("{name}-{node}"));
    meta.namespace.get_or_insert_with(|| "default".into());
    meta.uid = Some(hash.clone());
    let notes = meta.annotations.get_or_insert_default();
    notes.insert(CONFIG_SOURCE.into(), "file".into());
    notes.insert(CONFIG_HASH.into(), hash);
    let spec = pod.spec.as_mut().ok_or("the pod has no spec")?;
    spec.node_name = Some(node.to_owned());
    spec.restart_policy.get_or_insert_with(|| "Always".into());
    spec.dns_policy.get_or_insert_with(|| "ClusterFirst".into());
    spec.termination_grace_period_seconds.get_or_insert(30);
    let everything = Toleration {
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        ..Default::default()
    };
    spec.tolerations.get_or_insert_default().push(everything);
    Ok(pod)
}

/// 128 bits by which a manifest is known; another content is another pod.
fn hash_of(text: &str) -> String {
    let step = |seed: u64| {
        text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    format!("{:016x}{:016x}", step(0xcbf2_9ce4_8422_2325), step(0x9ae1_6a3b_2f90_404f))
}

/// Makes the mirror pod in the API, or again where it stands for another manifest.
async fn mirror(ctx: &Context, manager: &Manager, pod: &Pod) {
    let api: Api<Pod> = Api::namespaced(ctx.config.client.clone(), pod.namespace());
    let hash = pod.annotation(CONFIG_HASH).unwrap_or_default();
    match api.get_opt(pod.name()).await {
        Ok(Some(existing)) if existing.annotation(CONFIG_MIRROR) == Some(hash) => {
            ctx.status.set_mirror(&pod.uid(), existing.uid_str());
            return;
        }
        Ok(Some(_)) => remove_mirror(ctx, manager, pod).await,
        Ok(None) => {}
        Err(error) => return warn!(pod = %pod.display(), %error, "no mirror pod"),
    }
    let mut copy = pod.clone();
    copy.metadata.uid = None;
    copy.metadata.annotations.get_or_insert_default().insert(CONFIG_MIRROR.into(), hash.into());
    let node = ctx.node.borrow().clone();
    copy.metadata.owner_references = node.metadata.uid.clone().map(|uid| {
        vec![OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: ctx.config.node_name.clone(),
            uid,
            controller: Some(true),
            ..OwnerReference::default()
        }]
    });
    match api.create(&PostParams::default(), &copy).await {
        Ok(made) => ctx.status.set_mirror(&pod.uid(), made.uid_str()),
        Err(error) if is_already_exists(&error) => {}
        Err(error) => warn!(pod = %pod.display(), %error, "mirror pod not made"),
    }
}

async fn remove_mirror(ctx: &Context, manager: &Manager, pod: &Pod) {
    if manager.mirror_of(pod).is_none() {
        return;
    }
    let api: Api<Pod> = Api::namespaced(ctx.config.client.clone(), pod.namespace());
    let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    if let Err(error) = api.delete(pod.name(), &params).await {
        warn!(pod = %pod.display(), %error, "mirror pod not removed");
    }
}
