//! Who asks, and may they? The identity is the client certificate's; the permission is the API's answer to a
//! SubjectAccessReview, kept for a short while.

use std::collections::HashMap;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Body, text};

/// Upstream's `webhook.cacheAuthorizedTTL` and its counterpart.
const KEEP_YES: Duration = Duration::from_secs(300);
const KEEP_NO: Duration = Duration::from_secs(30);
/// Few ask a kubelet; beyond this many the cache begins anew.
const CACHE_MAX: usize = 1024;

/// A user and its groups, as a certificate names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
}

impl Identity {
    /// The common name and the organisations of a verified certificate's subject.
    pub(super) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let text =
            |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let user = subject.iter_common_name().next().and_then(text)?;
        Some(Self { user, groups: subject.iter_organization().filter_map(text).collect() })
    }
}

/// What a request is, as the API authorises it: a verb and a subresource of this node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Attributes {
    verb: &'static str,
    subresource: &'static str,
}

fn attributes(method: &Method, path: &str) -> Attributes {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    };
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let subresource = match first {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "checkpoint" => "checkpoint",
        "healthz" => "healthz",
        "pods" | "runningpods" => "pods",
        "configz" => "configz",
        _ => "proxy",
    };
    Attributes { verb, subresource }
}

pub(super) struct Authoriser {
    client: kube::Client,
    known: Mutex<HashMap<(Identity, Attributes), (bool, Instant)>>,
}

impl Authoriser {
    pub(super) fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    pub(super) async fn allows(
        &self,
        identity: &Identity,
        method: &Method,
        path: &str,
        node: &str,
    ) -> Result<(), Response<Body>> {
        let wanted = attributes(method, path);
        if self.decide(identity, &wanted, node).await? {
            return Ok(());
        }
        // The finer permissions include the broad one, as upstream tries `proxy` last.
        let broad = Attributes { subresource: "proxy", ..wanted.clone() };
        if wanted.subresource != "proxy"
            && ["healthz", "pods", "configz"].contains(&wanted.subresource)
            && self.decide(identity, &broad, node).await?
        {
            return Ok(());
        }
        info!(user = identity.user, path, "refused");
        let message = format!(
            "Forbidden (user={}, verb={}, resource=nodes, subresource(s)=[{}])\n",
            identity.user, wanted.verb, wanted.subresource
        );
        Err(text(StatusCode::FORBIDDEN, message))
    }

    async fn decide(
        &self,
        identity: &Identity,
        wanted: &Attributes,
        node: &str,
    ) -> Result<bool, Response<Body>> {
        let key = (identity.clone(), wanted.clone());
        if let Some((allowed, until)) = self.known.lock().get(&key).copied()
            && Instant::now() < until
        {
            return Ok(allowed);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(identity.user.clone()),
                groups: Some(identity.groups.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(wanted.verb.into()),
                    version: Some("v1".into()),
                    resource: Some("nodes".into()),
                    subresource: Some(wanted.subresource.into()),
                    name: Some(node.into()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await.map_err(|error| {
            warn!(user = identity.user, %error, "authorisation");
            text(StatusCode::INTERNAL_SERVER_ERROR, "Authorization error\n")
        })?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        let mut known = self.known.lock();
        if known.len() >= CACHE_MAX {
            known.clear();
        }
        known.insert(key, (allowed, Instant::now() + if allowed { KEEP_YES } else { KEEP_NO }));
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_asks_for() {
        for (method, path, verb, subresource) in [
            (Method::GET, "/containerLogs/a/b/c", "get", "proxy"),
            (Method::POST, "/exec/a/b/c", "create", "proxy"),
            (Method::GET, "/metrics/resource", "get", "metrics"),
            (Method::GET, "/stats/summary", "get", "stats"),
            (Method::GET, "/pods", "get", "pods"),
            (Method::GET, "/logs/x", "get", "log"),
        ] {
            assert_eq!(attributes(&method, path), Attributes { verb, subresource }, "{path}");
        }
    }
}
