//! Pulls from registries: through mirrors if there are any, by platform, with credentials, again after a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures::{StreamExt as _, TryStreamExt as _};
use oarlock_base::{Backoff, Shutdown};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Remote};
use tracing::{debug, warn};

use super::content::Writer;
use super::store::{Descriptor, Manifest};
use super::{Image, ImageError, ImageStore, Reference};

/// Layers fetched at once for one image, as containerd's default.
const LAYERS_AT_ONCE: usize = 3;
const ATTEMPTS: u32 = 3;
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(5));
const STALL: Duration = Duration::from_secs(60);

const ACCEPT: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// How registries are reached. Loopback registries are always spoken to in plain HTTP, as by every runtime.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// Hosts (with their port) that speak plain HTTP.
    pub insecure: Vec<String>,
    /// PEM certificates trusted beside the public ones.
    pub certificates_pem: Vec<Vec<u8>>,
    /// Hosts asked before the registry itself, by registry.
    pub mirrors: BTreeMap<String, Vec<String>>,
}

/// Credentials for one pull.
#[derive(Clone, Default)]
pub struct Auth {
    pub username: String,
    pub password: String,
    /// `username:password` in base64, as in Docker's configuration file.
    pub encoded: String,
    /// A bearer token for the registry itself.
    pub registry_token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Auth {
    fn for_registry(&self) -> RegistryAuth {
        if !self.registry_token.is_empty() {
            return RegistryAuth::Bearer(self.registry_token.clone());
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            return RegistryAuth::Basic(self.username.clone(), self.password.clone());
        }
        let decoded =
            base64::engine::general_purpose::STANDARD.decode(self.encoded.trim_end_matches('\0')).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((user, password)) => {
                RegistryAuth::Basic(user.to_string(), password.trim_end_matches('\0').to_string())
            }
            None => RegistryAuth::Anonymous,
        }
    }
}

/// One pull from one host.
struct Pull<'a> {
    client: Client,
    auth: RegistryAuth,
    remote: Remote,
    host: &'a str,
    reference: &'a Reference,
}

impl ImageStore {
    /// Pulls an image, through the registry's mirrors first. Cancelled by dropping it or by `stop`.
    pub async fn pull(
        self: &Arc<Self>,
        reference: &Reference,
        auth: &Auth,
        registries: &Registries,
        stop: &Shutdown,
    ) -> Result<Image, ImageError> {
        let _growing = self.grow();
        let mirrors = registries.mirrors.get(&reference.registry).into_iter().flatten();
        let hosts = mirrors.chain(std::iter::once(&reference.registry));
        let mut last = Err(ImageError::NotFound(reference.to_string()));
        for host in hosts {
            let pull = Pull::new(reference, host, auth, registries);
            let stopped = || ImageError::Stopped { reference: reference.to_string() };
            last = stop.or(self.pull_from(&pull)).await.ok_or_else(stopped)?;
            match &last {
                Ok(_) => break,
                Err(error) => debug!(%reference, host, error = error.chain(), "host cannot give the image"),
            }
        }
        last
    }

    async fn pull_from(self: &Arc<Self>, pull: &Pull<'_>) -> Result<Image, ImageError> {
        let (bytes, digest) = pull.manifest(&pull.remote).await?;
        let mut manifest = Manifest::parse(&bytes)?;
        let mut blobs = BTreeSet::from([self.content.put(&bytes)?]);
        let mut size = bytes.len() as u64;
        if manifest.config.is_none() {
            let entry = manifest.for_this_machine().cloned();
            let entry =
                entry.ok_or_else(|| ImageError::Malformed("no image for this machine in it".to_string()))?;
            let (bytes, _) = pull.manifest(&pull.remote.clone_with_digest(entry.digest)).await?;
            manifest = Manifest::parse(&bytes)?;
            size = bytes.len() as u64;
            blobs.insert(self.content.put(&bytes)?);
        }
        let config = manifest.config.as_ref();
        let config = config.ok_or_else(|| ImageError::Malformed("an index in an index".to_string()))?;
        let writer = self.fetch(pull, config).await?;
        blobs.insert(commit(writer, config).await?);
        let parsed = self.parse_config(&self.content.read(&config.digest)?)?;
        if parsed.diff_ids.len() != manifest.layers.len() {
            return Err(ImageError::Malformed("as many layers as diff_ids are expected".to_string()));
        }
        self.pull_layers(pull, &manifest.layers, &parsed.diff_ids).await?;
        size += config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        let tags = pull.reference.tagged().into_iter().collect();
        let digests = BTreeSet::from([pull.reference.with_digest(&digest)]);
        self.finish(parsed, (tags, digests), blobs, size)
    }

    /// Fetches layers at once and unpacks them in order, for a layer may link into those below it.
    async fn pull_layers(
        self: &Arc<Self>,
        pull: &Pull<'_>,
        layers: &[Descriptor],
        diff_ids: &[String],
    ) -> Result<(), ImageError> {
        let names = Self::layer_names(diff_ids);
        // Futures first, then the stream of them: the compiler cannot see through a closure that borrows its argument.
        let fetches: Vec<_> =
            layers.iter().zip(&names).map(|(layer, name)| self.fetch_missing(pull, layer, name)).collect();
        let mut fetched = futures::stream::iter(fetches).buffered(LAYERS_AT_ONCE);
        let mut at = 0;
        while let Some(writer) = fetched.try_next().await? {
            if let Some(writer) = writer {
                let (store, want) = (self.clone(), layers[at].digest.clone());
                let (names, diff_id) = (names[..=at].to_vec(), diff_ids[at].clone());
                // Of its own: it goes on to its end when the pull is dropped.
                let growing = self.grow();
                blocking(move || {
                    let _growing = growing;
                    let (digest, _) = writer.commit(Some(&want))?;
                    let path = store.content.path(&digest);
                    let file = std::fs::File::open(&path).map_err(ImageError::io("open", &path))?;
                    let (name, below) = names.split_last().expect("at least this layer's name");
                    let added = store.add_layer(name, &diff_id, below, file);
                    // Unpacked, the archive is of no further use; a blob that stays is collected later.
                    let _ = std::fs::remove_file(&path);
                    added
                })
                .await?;
            }
            at += 1;
        }
        Ok(())
    }

    async fn fetch_missing(
        &self,
        pull: &Pull<'_>,
        layer: &Descriptor,
        name: &str,
    ) -> Result<Option<Writer>, ImageError> {
        if self.has_layer(name) { Ok(None) } else { self.fetch(pull, layer).await.map(Some) }
    }

    async fn fetch(&self, pull: &Pull<'_>, blob: &Descriptor) -> Result<Writer, ImageError> {
        let mut backoff = BACKOFF.start();
        loop {
            match self.fetch_once(pull, blob).await {
                Ok(writer) => return Ok(writer),
                Err(error) if backoff.attempts() + 1 < ATTEMPTS && is_passing(&error) => {
                    warn!(digest = blob.digest, error = error.chain(), "blob will be fetched again");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn fetch_once(&self, pull: &Pull<'_>, blob: &Descriptor) -> Result<Writer, ImageError> {
        let remote = oci_client::client::LayerDescriptor { digest: &blob.digest, urls: &None };
        let mut stream =
            pull.client.pull_blob_stream(&pull.remote, &remote).await.map_err(|error| pull.failed(error))?;
        let mut writer = self.content.writer()?;
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| pull.failed(OciDistributionError::IoError(error)))?;
            writer.write_all(&bytes).map_err(ImageError::io("write", writer.path()))?;
        }
        Ok(writer)
    }
}

async fn commit(writer: Writer, blob: &Descriptor) -> Result<String, ImageError> {
    let want = blob.digest.clone();
    blocking(move || writer.commit(Some(&want)).map(|(digest, _)| digest)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ImageError::Malformed(format!("unpacking panicked: {error}"))),
    }
}

/// Whether the same request may work later.
fn is_passing(error: &ImageError) -> bool {
    match error {
        ImageError::Pull { source, .. } => {
            matches!(**source, OciDistributionError::RequestError(_) | OciDistributionError::IoError(_))
                || matches!(**source, OciDistributionError::ServerError { code, .. } if code >= 500)
        }
        _ => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let name =
        host.rsplit_once(':').map_or(host, |(name, port)| if port.contains(']') { host } else { name });
    name == "localhost" || name.starts_with("127.") || name == "[::1]"
}

impl<'a> Pull<'a> {
    fn new(reference: &'a Reference, host: &'a str, auth: &Auth, registries: &Registries) -> Self {
        let plain = is_loopback(host) || registries.insecure.iter().any(|insecure| insecure == host);
        let certificates = registries
            .certificates_pem
            .iter()
            .map(|pem| Certificate { encoding: CertificateEncoding::Pem, data: pem.clone() });
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: certificates.collect(),
            read_timeout: Some(STALL),
            connect_timeout: Some(STALL),
            user_agent: concat!("oarlock/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let (host_text, repository) = (host.to_string(), reference.repository.clone());
        let remote = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => Remote::with_digest(host_text, repository, digest.clone()),
            (None, tag) => {
                Remote::with_tag(host_text, repository, tag.clone().unwrap_or_else(|| "latest".to_string()))
            }
        };
        // Says no when one is there already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // A mirror is not the registry that the credentials are for.
        let auth = if host == reference.registry { auth.for_registry() } else { RegistryAuth::Anonymous };
        Self { client: Client::new(config), auth, remote, host, reference }
    }

    fn failed(&self, source: OciDistributionError) -> ImageError {
        ImageError::Pull {
            reference: self.reference.to_string(),
            registry: self.host.to_string(),
            source: Box::new(source),
        }
    }

    async fn manifest(&self, remote: &Remote) -> Result<(bytes::Bytes, String), ImageError> {
        let mut backoff = BACKOFF.start();
        loop {
            match self.client.pull_manifest_raw(remote, &self.auth, ACCEPT).await.map_err(|e| self.failed(e))
            {
                Err(error) if backoff.attempts() + 1 < ATTEMPTS && is_passing(&error) => {
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_registries_speak_http() {
        for (host, want) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("docker.io", false),
            ("localhost.example.org", false),
        ] {
            assert_eq!(is_loopback(host), want, "{host}");
        }
    }

    #[test]
    fn credentials_come_in_three_forms() {
        let pair = RegistryAuth::Basic("u".into(), "p".into());
        for (auth, want) in [
            (Auth { username: "u".into(), password: "p".into(), ..Auth::default() }, pair.clone()),
            (Auth { encoded: "dTpw".into(), ..Auth::default() }, pair),
            (Auth { registry_token: "t".into(), ..Auth::default() }, RegistryAuth::Bearer("t".into())),
            (Auth::default(), RegistryAuth::Anonymous),
        ] {
            assert_eq!(auth.for_registry(), want);
        }
    }
}
