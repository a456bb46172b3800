//! ImagePolicyWebhook: somebody else says which images may run. Off by default.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oarlock_api::Status;
use oarlock_apiserver_webhook::{Client, Clients, RETRY_BACKOFF, from_kubeconfig, post_with_retries};
use serde_json::{Map, Value, json};

use super::config::ConfigFaults;
use super::{is, refuse};
use crate::ttl_cache::TtlCache;
use crate::types::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use crate::value::{at, items, text};

const TIMEOUT: Duration = Duration::from_secs(30);
const CAPACITY: usize = 1024;
const DEFAULT_ALLOW: bool = false;
const FAILED_OPEN: &str = "imagepolicywebhook.image-policy.k8s.io/failed-open";
const AUDIT_PREFIX: &str = "imagepolicywebhook.image-policy.k8s.io/";

/// The plugin's configuration. Plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePolicyConfig {
    pub kubeconfig: PathBuf,
    pub allow_ttl: Duration,
    pub deny_ttl: Duration,
    /// What holds where the webhook cannot be asked.
    pub default_allow: bool,
}

impl ImagePolicyConfig {
    /// The plugin's configuration in the file that stands in `directory`.
    pub fn read(value: &Value, directory: &Path) -> Result<Self, Vec<String>> {
        let mut faults = ConfigFaults::new();
        let config = Self::parse(value, directory, &mut faults);
        faults.into_result(config)
    }

    fn parse(value: &Value, directory: &Path, faults: &mut ConfigFaults) -> Self {
        faults.known(value, "", &["imagePolicy"]);
        let policy = &value["imagePolicy"];
        faults.known(
            policy,
            "imagePolicy",
            &["kubeConfigFile", "allowTTL", "denyTTL", "retryBackoff", "defaultAllow"],
        );
        let file = text(policy, &["kubeConfigFile"]);
        if file.is_empty() {
            faults.add("imagePolicy.kubeConfigFile: Required value");
        }
        let mut seconds = |field: &str, default: u64, max: u64| match policy[field].as_i64() {
            None | Some(0) => Duration::from_secs(default),
            // Not kept at all.
            Some(-1) => Duration::ZERO,
            Some(given) => match u64::try_from(given) {
                Ok(given) if given <= max => Duration::from_secs(given),
                _ => {
                    faults.add(format!(
                        "valid value is between 1s and {max}s, got {given}s for imagePolicy.{field}"
                    ));
                    Duration::ZERO
                }
            },
        };
        Self {
            allow_ttl: seconds("allowTTL", 300, 1800),
            deny_ttl: seconds("denyTTL", 30, 1800),
            kubeconfig: directory.join(file),
            default_allow: at(policy, &["defaultAllow"]).and_then(Value::as_bool).unwrap_or(DEFAULT_ALLOW),
        }
    }
}

pub struct ImagePolicyWebhook {
    config: ImagePolicyConfig,
    client: Arc<Client>,
    answers: TtlCache<String, Value>,
}

impl ImagePolicyWebhook {
    pub fn new(config: ImagePolicyConfig, clients: &Clients) -> Result<Self, String> {
        let client = from_kubeconfig(&config.kubeconfig).and_then(|client| clients.client(&client));
        let client = client.map_err(|error| error.to_string())?;
        Ok(Self { config, client, answers: TtlCache::new(CAPACITY) })
    }

    async fn ask(&self, spec: &Value) -> Result<Value, String> {
        let key = spec.to_string();
        if let Some(status) = self.answers.get(&key) {
            return Ok(status);
        }
        let review = json!({
            "apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": spec,
        });
        let body = review.to_string().into_bytes().into();
        let answered = post_with_retries(&self.client, body, Some(TIMEOUT), RETRY_BACKOFF).await;
        let answered = answered.map_err(|error| error.to_string())?;
        let review: Value = serde_json::from_slice(&answered).map_err(|error| error.to_string())?;
        let status = review["status"].clone();
        let ttl = if status["allowed"] == true { self.config.allow_ttl } else { self.config.deny_ttl };
        self.answers.put(key, status.clone(), ttl);
        Ok(status)
    }
}

/// What the webhook is told of a pod: its images, and the annotations that are meant for it.
fn review_of(pod: &Value, namespace: &str) -> Value {
    let containers: Vec<Value> = ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| items(pod, &["spec", list]))
        .map(|container| json!({"image": container["image"]}))
        .collect();
    let annotations: Map<String, Value> = pod["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.contains(".image-policy.k8s.io/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut spec = json!({"containers": containers, "namespace": namespace});
    if !annotations.is_empty() {
        spec["annotations"] = annotations.into();
    }
    spec
}

#[async_trait]
impl AdmissionPlugin for ImagePolicyWebhook {
    fn name(&self) -> &'static str {
        "ImagePolicyWebhook"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        let pods = is(request, "", "pods") && matches!(request.subresource, "" | "ephemeralcontainers");
        phase == Phase::Validate && pods
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        let status = match self.ask(&review_of(pod, request.namespace)).await {
            Ok(status) => status,
            Err(error) if self.config.default_allow => {
                tracing::warn!(error, "the image policy webhook failed; the pod is let in");
                request.annotations.add(FAILED_OPEN, "true");
                return Ok(());
            }
            Err(error) => return Err(refuse(request, error)),
        };
        for (key, value) in status["auditAnnotations"].as_object().into_iter().flatten() {
            request.annotations.add(format!("{AUDIT_PREFIX}{key}"), value.as_str().unwrap_or_default());
        }
        match (status["allowed"] == true, text(&status, &["reason"])) {
            (true, _) => Ok(()),
            (false, "") => Err(refuse(request, "one or more images rejected by webhook backend")),
            (false, reason) => Err(refuse(
                request,
                format!("image policy webhook backend denied one or more images: {reason}"),
            )),
        }
    }
}
