//! The configuration of one container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use oarlock_cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Signal,
};

use super::mounts::mounts;
use super::resources::container_resources;
use super::sandbox::pod_labels;
use super::security::{container_security, root_refused};
use crate::context::Context;
use crate::env::{self, expand};
use crate::observed::{
    LABEL_CONTAINER, NOTE_GRACE, NOTE_HASH, NOTE_MESSAGE_PATH, NOTE_MESSAGE_POLICY, NOTE_RESTARTS, Observed,
};
use crate::pod::{Kind, PodExt as _, container_hash, target_container, value};

/// Why a container cannot be configured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ConfigError {
    /// What it refers to is missing or does not fit: `CreateContainerConfigError`.
    Config(String),
    /// The node could not prepare it: `CreateContainerError`.
    Create(String),
}

pub(crate) async fn container_config(
    ctx: &Context,
    pod: &Pod,
    kind: Kind,
    container: &Container,
    observed: &Observed,
    restarts: i32,
    image_ref: &str,
) -> Result<ContainerConfig, ConfigError> {
    let (uid, user) = ctx.images.user(image_ref).await.map_err(|e| ConfigError::Config(e.to_string()))?;
    if let Some(why) = root_refused(pod, container, uid, &user) {
        return Err(ConfigError::Config(why));
    }
    let variables = env::variables(ctx, pod, container, observed).await.map_err(ConfigError::Config)?;
    let mounts =
        mounts(ctx, pod, container, observed, &variables, restarts).await.map_err(ConfigError::Create)?;
    let words = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|word| expand(word, |name| variables.get(name))).collect()
    };
    let log_path = format!("{}/{restarts}.log", container.name);
    let log_dir = ctx.log_dir(pod).join(&container.name);
    let made = tokio::fs::create_dir_all(&log_dir).await;
    made.map_err(|error| ConfigError::Create(format!("create {}: {error}", log_dir.display())))?;
    let target = match kind {
        Kind::Ephemeral => target_container(pod, &container.name).and_then(|name| observed.current(name)),
        _ => None,
    };
    let node_memory = node_memory(ctx);
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: container.name.clone(),
            attempt: u32::try_from(restarts).unwrap_or(0),
        }),
        image: Some(ImageSpec {
            image: image_ref.to_owned(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: words(&container.command),
        args: words(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: variables.into_iter().map(|(key, value)| KeyValue { key, value: value.into_bytes() }).collect(),
        mounts,
        labels: labels(pod, container),
        annotations: annotations(pod, container, restarts),
        log_path,
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(LinuxContainerConfig {
            resources: Some(container_resources(pod, kind, container, node_memory)),
            security_context: Some(container_security(pod, container, target.map(|seen| seen.id()))),
        }),
        stop_signal: stop_signal(container).into(),
        ..Default::default()
    })
}

fn node_memory(ctx: &Context) -> i64 {
    let node = ctx.node.borrow();
    let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref());
    capacity.and_then(|capacity| capacity.get("memory")).map_or(0, value)
}

fn stop_signal(container: &Container) -> Signal {
    let wanted = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let Some(wanted) = wanted else { return Signal::RuntimeDefault };
    let all = (0..=65).filter_map(|number| Signal::try_from(number).ok());
    all.into_iter()
        .find(|signal| signal.as_str_name() == wanted.replace('+', "PLUS").replace('-', "MINUS"))
        .unwrap_or(Signal::RuntimeDefault)
}

fn labels(pod: &Pod, container: &Container) -> BTreeMap<String, String> {
    let mut labels = pod_labels(pod);
    labels.insert(LABEL_CONTAINER.into(), container.name.clone());
    labels
}

fn annotations(pod: &Pod, container: &Container, restarts: i32) -> BTreeMap<String, String> {
    let message_path = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    let policy = container.termination_message_policy.as_deref().unwrap_or("File");
    let mut notes = BTreeMap::from([
        (NOTE_HASH.to_owned(), container_hash(container)),
        (NOTE_RESTARTS.to_owned(), restarts.to_string()),
        (NOTE_MESSAGE_PATH.to_owned(), message_path.to_owned()),
        (NOTE_MESSAGE_POLICY.to_owned(), policy.to_owned()),
    ]);
    if let Some(grace) = pod.spec().termination_grace_period_seconds {
        notes.insert(NOTE_GRACE.to_owned(), grace.to_string());
    }
    notes
}
