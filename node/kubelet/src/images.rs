//! Images: what is present, what to pull and with whose credentials. One pull of an image at a time; who comes later
//! waits for it and finds the image.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use oarlock_cri::v1::{AuthConfig, Image, ImageSpec, ImageStatusRequest, PullImageRequest};
use oarlock_cri::{CallError, Client};
use parking_lot::Mutex;
use serde::Deserialize;
use thiserror::Error;
use tracing::{debug, info};

use crate::context::Context;
use crate::pod::PodExt as _;

/// Why an image could not be pulled.
#[derive(Debug, Error)]
pub(crate) enum PullError {
    #[error("{0}")]
    Runtime(#[from] CallError),
    #[error("the pod is being deleted")]
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub(crate) fn of(container: &Container, image: &str) -> Self {
        match container.image_pull_policy.as_deref() {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some("IfNotPresent") => Self::IfNotPresent,
            // The API fills this in; a static manifest may not say it.
            _ if image.ends_with(":latest") => Self::Always,
            _ => Self::IfNotPresent,
        }
    }
}

/// What a pull gave.
pub(crate) struct Pulled {
    pub(crate) image_ref: String,
    pub(crate) size: u64,
    took: Duration,
}

impl Pulled {
    /// The time it took, as Go prints it rounded to milliseconds.
    pub(crate) fn took_text(&self) -> String {
        match self.took.as_millis() {
            0 => "0s".into(),
            millis if millis < 1000 => format!("{millis}ms"),
            millis => {
                let text = format!("{}.{:03}", millis / 1000, millis % 1000);
                format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

pub(crate) struct Images {
    cri: Client,
    pulling: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

fn spec(name: &str) -> Option<ImageSpec> {
    Some(ImageSpec { image: name.to_owned(), ..Default::default() })
}

impl Images {
    pub(crate) fn new(cri: Client) -> Self {
        Self { cri, pulling: Mutex::default() }
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, CallError> {
        let request = ImageStatusRequest { image: spec(name), verbose: false };
        Ok(self.cri.image_status(request).await?.image)
    }

    /// The id by which a present image is used.
    pub(crate) async fn status(&self, name: &str) -> Result<Option<String>, CallError> {
        Ok(self.image(name).await?.map(|image| image.id))
    }

    /// The user that an image runs as: a number or a name.
    pub(crate) async fn user(&self, name: &str) -> Result<(Option<i64>, String), CallError> {
        let Some(image) = self.image(name).await? else { return Ok((Some(0), String::new())) };
        let uid = image.uid.map(|uid| uid.value);
        Ok((if uid.is_none() && image.username.is_empty() { Some(0) } else { uid }, image.username))
    }

    pub(crate) async fn pull(&self, ctx: &Context, pod: &Pod, name: &str) -> Result<Pulled, PullError> {
        let turn = self.pulling.lock().entry(name.to_owned()).or_default().clone();
        let held = turn.lock().await;
        let begun = tokio::time::Instant::now();
        let result = self.pull_with_credentials(ctx, pod, name).await;
        drop(held);
        // Nobody else waits for this image: its turn need not be kept.
        self.pulling.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
        let image_ref = result?;
        let size = self.image(name).await?.map_or(0, |image| image.size);
        info!(image = name, size, "image pulled");
        Ok(Pulled { image_ref, size, took: begun.elapsed() })
    }

    /// Tries each credential that fits; none at all when there is none.
    async fn pull_with_credentials(&self, ctx: &Context, pod: &Pod, name: &str) -> Result<String, PullError> {
        let mut tries: Vec<Option<AuthConfig>> = Vec::new();
        for secret in pod.spec().image_pull_secrets.iter().flatten() {
            match ctx.objects.secret(pod, &secret.name).await {
                Ok(secret) => tries.extend(credentials(&secret, name).into_iter().map(Some)),
                Err(error) => debug!(pod = %pod.display(), secret = secret.name, %error, "no pull secret"),
            }
        }
        if tries.is_empty() {
            tries.push(None);
        }
        let mut last = None;
        for auth in tries {
            let request = PullImageRequest { image: spec(name), auth, sandbox_config: None };
            match self.cri.pull_image(request).await {
                Ok(done) => return Ok(done.image_ref),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("at least one try was made").into())
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

/// The credentials in a pull secret that are for this image's registry, the most specific first.
fn credentials(secret: &Secret, image: &str) -> Vec<AuthConfig> {
    let data = secret.data.as_ref();
    let bytes = |key: &str| data.and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let auths = if let Some(json) = bytes(".dockerconfigjson") {
        serde_json::from_slice::<DockerConfig>(json).map(|config| config.auths).ok()
    } else {
        bytes(".dockercfg").and_then(|json| serde_json::from_slice::<HashMap<String, DockerAuth>>(json).ok())
    };
    let mut fitting: Vec<(String, DockerAuth)> =
        auths.into_iter().flatten().filter(|(server, _)| is_for(server, image)).collect();
    fitting.sort_by_key(|(server, _)| std::cmp::Reverse(server.len()));
    fitting.into_iter().map(|(server, auth)| auth_config(server, auth)).collect()
}

fn auth_config(server_address: String, auth: DockerAuth) -> AuthConfig {
    let (mut username, mut password) = (auth.username, auth.password);
    if !auth.auth.is_empty()
        && let Ok(decoded) = base64::engine::general_purpose::STANDARD.decode(&auth.auth)
        && let Some((name, secret)) = String::from_utf8_lossy(&decoded).split_once(':')
    {
        (username, password) = (name.to_owned(), secret.trim_end_matches('\0').to_owned());
    }
    AuthConfig {
        username,
        password,
        server_address,
        identity_token: auth.identitytoken,
        ..Default::default()
    }
}

/// Whether a registry's credentials (`host[:port][/path]`, perhaps with a scheme, `*` for a part of the host) are for an
/// image.
fn is_for(server: &str, image: &str) -> bool {
    let server = server.split_once("://").map_or(server, |(_, rest)| rest).trim_end_matches('/');
    let server = server.trim_end_matches("/v1").trim_end_matches("/v2");
    let (host, path) = server.split_once('/').unwrap_or((server, ""));
    let (registry, repository) = registry_of(image);
    let hub = ["index.docker.io", "docker.io", "registry-1.docker.io"];
    let same_host = host == registry || hub.contains(&host) && registry == "docker.io" || {
        let (a, b): (Vec<&str>, Vec<&str>) = (host.split('.').collect(), registry.split('.').collect());
        host.contains('*') && a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| *a == "*" || a == b)
    };
    let rest = repository.strip_prefix(path);
    same_host
        && (path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@'])))
}

/// The registry's host and the rest of an image's name.
fn registry_of(image: &str) -> (&str, &str) {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", image),
    }
}

/// The image's name with the tag `latest` where it has neither tag nor digest; `None` where it is no name at all.
pub(crate) fn with_tag(image: &str) -> Option<String> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (registry, rest) = registry_of(name);
    let (repository, tag) =
        rest.split_once(':').map_or((rest, None), |(repository, tag)| (repository, Some(tag)));
    let host_ok = registry.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:_[]".contains(&b));
    let part_ok = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
            && edge(part.bytes().next())
            && edge(part.bytes().last())
    };
    let tag_ok = |tag: &str| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let digest_ok = |digest: &str| {
        digest
            .split_once(':')
            .is_some_and(|(_, hex)| hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let valid = host_ok
        && repository.split('/').all(part_ok)
        && tag.is_none_or(tag_ok)
        && digest.is_none_or(digest_ok);
    match (valid, tag, digest) {
        (true, None, None) if !id => Some(format!("{image}:latest")),
        (true, ..) => Some(image.to_owned()),
        // An image id (`sha256:…`) is a name, too.
        _ if digest_ok(image) => Some(image.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags() {
        for (image, expected) in [
            ("busybox", Some("busybox:latest")),
            ("busybox:1.36", Some("busybox:1.36")),
            ("localhost:5000/a/b", Some("localhost:5000/a/b:latest")),
            ("oarlock.local/oarlock:0.1.0", Some("oarlock.local/oarlock:0.1.0")),
            ("UPPER", None),
            ("a//b", None),
            ("a:", None),
            ("", None),
        ] {
            assert_eq!(with_tag(image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn whose_credentials() {
        for (server, image, expected) in [
            ("https://index.docker.io/v1/", "busybox:1", true),
            ("registry.example:5000", "registry.example:5000/a:1", true),
            ("registry.example/team", "registry.example/team/a", true),
            ("registry.example/team", "registry.example/teams/a", false),
            ("*.example", "eu.example/a", true),
            ("quay.io", "busybox", false),
        ] {
            assert_eq!(is_for(server, image), expected, "{server} {image}");
        }
    }

    #[test]
    fn durations_read_as_in_go() {
        for (millis, text) in [(12, "12ms"), (1500, "1.5s"), (2000, "2s"), (61_003, "61.003s")] {
            let pulled = Pulled { image_ref: String::new(), size: 0, took: Duration::from_millis(millis) };
            assert_eq!(pulled.took_text(), text);
        }
    }
}
