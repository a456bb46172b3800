//! What a volume of files shall hold: computed from ConfigMaps, Secrets, tokens and the pod itself.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Node, Pod, Secret, Volume, VolumeProjection,
};

use super::SetUpError;
use super::atomic::{File, Files};
use super::token::Tokens;
use crate::fields::{self, NodeFacts};
use crate::objects::{ObjectError, Objects};
use crate::pod::PodExt as _;

/// The life of a token for which the manifest names none.
const TOKEN_SECONDS: i64 = 3600;
const MODE: i32 = 0o644;

pub(super) struct Payload {
    pub(super) files: Files,
    pub(super) refresh_at: Option<Timestamp>,
}

pub(super) struct Sources {
    pub(super) node_ip: String,
}

/// What one pass over a volume works with.
struct Build<'a> {
    node_ip: &'a str,
    objects: &'a Objects,
    tokens: &'a Tokens,
    node: &'a Node,
    pod: &'a Pod,
    mode: i32,
    payload: Payload,
}

impl Sources {
    pub(super) async fn payload(
        &self,
        objects: &Objects,
        tokens: &Tokens,
        node: &Node,
        pod: &Pod,
        volume: &Volume,
    ) -> Result<Payload, SetUpError> {
        let mode = None
            .or(volume.config_map.as_ref().and_then(|source| source.default_mode))
            .or(volume.secret.as_ref().and_then(|source| source.default_mode))
            .or(volume.downward_api.as_ref().and_then(|source| source.default_mode))
            .or(volume.projected.as_ref().and_then(|source| source.default_mode))
            .unwrap_or(MODE);
        let payload = Payload { files: Files::new(), refresh_at: None };
        let mut build = Build { node_ip: &self.node_ip, objects, tokens, node, pod, mode, payload };
        if let Some(source) = &volume.config_map {
            build.config_map(&source.name, source.items.as_deref(), source.optional == Some(true)).await?;
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            build.secret(name, source.items.as_deref(), source.optional == Some(true)).await?;
        }
        if let Some(source) = &volume.downward_api {
            build.downward(source.items.as_deref().unwrap_or_default())?;
        }
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            build.projection(source).await?;
        }
        Ok(build.payload)
    }
}

impl Build<'_> {
    async fn projection(&mut self, source: &VolumeProjection) -> Result<(), SetUpError> {
        if let Some(source) = &source.config_map {
            self.config_map(&source.name, source.items.as_deref(), source.optional == Some(true)).await?;
        }
        if let Some(source) = &source.secret {
            self.secret(&source.name, source.items.as_deref(), source.optional == Some(true)).await?;
        }
        if let Some(source) = &source.downward_api {
            self.downward(source.items.as_deref().unwrap_or_default())?;
        }
        if let Some(source) = &source.service_account_token {
            let seconds = source.expiration_seconds.unwrap_or(TOKEN_SECONDS);
            let audience = source.audience.as_deref().unwrap_or_default();
            let token = self.tokens.get(self.pod, audience, seconds).await?;
            let at = token.refresh_at;
            self.payload.refresh_at = Some(self.payload.refresh_at.map_or(at, |known| known.min(at)));
            self.token_file(&source.path, token.text)?;
        }
        if source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
            return Err(SetUpError::Invalid("this projection is not supported by this node yet".into()));
        }
        Ok(())
    }

    /// A token is for the user that the containers run as, where they agree, and for nobody else.
    fn token_file(&mut self, path: &str, text: String) -> Result<(), SetUpError> {
        let grouped =
            self.pod.spec().security_context.as_ref().is_some_and(|security| security.fs_group.is_some());
        let owner = common_user(self.pod).and_then(|uid| u32::try_from(uid).ok());
        let mode = match (grouped, owner) {
            (true, _) | (_, Some(_)) => 0o600,
            _ => self.mode,
        };
        let mode = u32::try_from(mode).unwrap_or(0o600);
        self.put(path, File { content: text.into_bytes(), mode, owner })
    }

    async fn config_map(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), SetUpError> {
        let found = self.objects.config_map(self.pod, name).await;
        let Some(map) = present(found, optional)? else { return Ok(()) };
        let map: &ConfigMap = &map;
        let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
        self.keys(&text.chain(binary).collect(), items, optional)
    }

    async fn secret(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), SetUpError> {
        let found = self.objects.secret(self.pod, name).await;
        let Some(secret) = present(found, optional)? else { return Ok(()) };
        let secret: &Secret = &secret;
        let data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
        self.keys(&data.collect(), items, optional)
    }

    fn keys(
        &mut self,
        data: &BTreeMap<String, Vec<u8>>,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), SetUpError> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            for (key, content) in data {
                self.file(key, content.clone(), None)?;
            }
            return Ok(());
        };
        for item in items {
            match data.get(&item.key) {
                Some(content) => self.file(&item.path, content.clone(), item.mode)?,
                None if optional => {}
                None => {
                    return Err(SetUpError::Invalid(format!(
                        "references non-existent config key: {}",
                        item.key
                    )));
                }
            }
        }
        Ok(())
    }

    fn downward(&mut self, items: &[DownwardAPIVolumeFile]) -> Result<(), SetUpError> {
        let facts = NodeFacts { host_ip: self.node_ip.to_owned(), pod_ips: Vec::new() };
        for item in items {
            let text = if let Some(field) = &item.field_ref {
                fields::field(self.pod, &field.field_path, &facts)
            } else if let Some(resource) = &item.resource_field_ref {
                fields::resource(self.pod, None, resource, self.node)
            } else {
                Ok(String::new())
            };
            self.file(&item.path, text.map_err(SetUpError::Invalid)?.into_bytes(), item.mode)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &str, content: Vec<u8>, mode: Option<i32>) -> Result<(), SetUpError> {
        let mode = u32::try_from(mode.unwrap_or(self.mode)).unwrap_or(0o644);
        self.put(path, File { content, mode, owner: None })
    }

    fn put(&mut self, path: &str, file: File) -> Result<(), SetUpError> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || path.starts_with("..") {
            return Err(SetUpError::Invalid(format!("invalid path: {path}")));
        }
        self.payload.files.insert(path.to_owned(), file);
        Ok(())
    }
}

fn present<T>(found: Result<T, ObjectError>, optional: bool) -> Result<Option<T>, SetUpError> {
    match found {
        Ok(object) => Ok(Some(object)),
        Err(ObjectError::NotFound { .. }) if optional => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The user of all containers, if they have one in common.
fn common_user(pod: &Pod) -> Option<i64> {
    let shared = pod.spec().security_context.as_ref().and_then(|security| security.run_as_user);
    let mut users = pod
        .all_containers()
        .into_iter()
        .map(|(_, c)| c.security_context.as_ref().and_then(|security| security.run_as_user).or(shared));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}
