//! Service-account tokens: asked for by TokenRequest, bound to the pod, kept until four fifths of their life are over.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;

use crate::pod::{PodExt as _, PodUid};

/// No token is used for longer than this, whatever its life (upstream: 24 h).
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) refresh_at: Timestamp,
}

type Key = (PodUid, String, i64);

pub(super) struct Tokens {
    client: kube::Client,
    known: Mutex<HashMap<Key, Token>>,
}

impl Tokens {
    pub(super) fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    pub(super) fn forget(&self, uid: &PodUid) {
        self.known.lock().retain(|(of, ..), _| of != uid);
    }

    /// A token for this pod and audience that is good for a while.
    pub(super) async fn get(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<Token, kube::Error> {
        let key = (pod.uid(), audience.to_owned(), seconds);
        let now = Timestamp::now();
        if let Some(known) = self.known.lock().get(&key).filter(|known| now < known.refresh_at) {
            return Ok(known.clone());
        }
        let token = self.request(pod, audience, seconds).await?;
        self.known.lock().insert(key, token.clone());
        Ok(token)
    }

    async fn request(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<Token, kube::Error> {
        let account =
            pod.spec().service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: (!audience.is_empty()).then(|| vec![audience.to_owned()]),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: Some(pod.name().into()),
                    uid: Some(pod.uid_str().into()),
                }),
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), pod.namespace());
        let issued = api.create_token_request(account, &PostParams::default(), &request).await?;
        let status = issued.status.unwrap_or_default();
        let now = Timestamp::now();
        let asked = now + SignedDuration::from_secs(seconds);
        let expires = status.expiration_timestamp.map_or(asked, |time| time.0);
        let refresh = (expires.duration_since(now) * 4 / 5).min(AGE_MAX);
        Ok(Token { text: status.token.unwrap_or_default(), refresh_at: now + refresh })
    }
}
