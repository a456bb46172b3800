//! Issues service-account tokens: POST of `serviceaccounts/token`, after admission.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use oarlock_api::{FieldError, FieldErrors, GroupKind, GroupResource, GroupVersionKind, Path, Status};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::authentication::SigningKey;
use crate::authentication::jwt::{self, Claims, PrivateClaims, Ref};
use crate::names::service_account_user;
use crate::resources::{NODES, PODS, SECRETS, SERVICE_ACCOUNTS};
use crate::types::Objects;
use crate::value::{at, name as name_of, text, texts, uid};

const DEFAULT_EXPIRATION_SECONDS: i64 = 60 * 60;
const MIN_EXPIRATION_SECONDS: i64 = 10 * 60;
const MAX_EXPIRATION_SECONDS: i64 = 1 << 32;
/// What the ServiceAccount admission plugin asks for: old clients that never read the file again go on working for a
/// year, and are warned of. (KEP-1205)
const WARN_ONLY_EXPIRATION_SECONDS: i64 = 60 * 60 + 7;
const EXTENDED_EXPIRATION_SECONDS: i64 = 365 * 24 * 60 * 60;

pub struct TokenIssuer {
    issuer: String,
    audiences: Vec<String>,
    key: SigningKey,
    objects: Arc<dyn Objects>,
    max_seconds: Option<i64>,
    extends: bool,
}

/// What a token is bound to.
#[derive(Default)]
struct Bound {
    pod: Option<Ref>,
    node: Option<Ref>,
    secret: Option<Ref>,
}

impl TokenIssuer {
    /// `audiences` are the API server's: what a token is for where the request does not say.
    pub fn new(issuer: String, audiences: Vec<String>, key: SigningKey, objects: Arc<dyn Objects>) -> Self {
        Self { issuer, audiences, key, objects, max_seconds: None, extends: true }
    }

    /// `--service-account-max-token-expiration`, and `--service-account-extend-token-expiration` (on where not told).
    #[must_use]
    pub fn limited(mut self, max_seconds: Option<i64>, extends: bool) -> Self {
        (self.max_seconds, self.extends) = (max_seconds.filter(|max| *max > 0), extends);
        self
    }

    /// What the sender of a request is to be warned of.
    pub fn warning(&self, request: &Value) -> Option<String> {
        let asked = at(request, &["spec", "expirationSeconds"]).and_then(Value::as_i64)?;
        let max = self.max_seconds.filter(|max| asked > *max)?;
        Some(format!("requested expiration of {asked} seconds shortened to {max} seconds"))
    }

    /// Answers a TokenRequest for a service account with the same object, its status filled.
    pub async fn request(
        &self,
        namespace: &str,
        name: &str,
        mut request: Value,
        now: Timestamp,
    ) -> Result<Value, Status> {
        self.complete(namespace, name, &mut request)?;
        let errors = validate(&request);
        if !errors.is_empty() {
            return Err(Status::invalid(
                &GroupKind::new("authentication.k8s.io", "TokenRequest"),
                "",
                &errors,
            ));
        }
        self.shorten(&mut request);
        let account = self
            .objects
            .get_fresh(&SERVICE_ACCOUNTS, namespace, name)
            .await?
            .ok_or_else(|| Status::not_found(&SERVICE_ACCOUNTS, name))?;
        let bound = match at(&request, &["spec", "boundObjectRef"]) {
            Some(reference) if !reference.is_null() => self.bind(namespace, name, reference).await?,
            _ => Bound::default(),
        };
        let asked = at(&request, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or_default();
        let claims =
            self.claims(namespace, &account, bound, asked, texts(&request, &["spec", "audiences"]), now);
        let token = jwt::sign(&self.key, &claims)
            .map_err(|e| Status::internal(format!("failed to generate token: {e}")))?;
        // The extension is the server's secret: clients see, and renew by, what they asked for.
        let expires = now + SignedDuration::from_secs(asked);
        request["metadata"]["name"] = name.into();
        request["metadata"]["namespace"] = namespace.into();
        request["metadata"]["creationTimestamp"] = second(now).into();
        request["status"] = json!({"token": token, "expirationTimestamp": second(expires)});
        Ok(request)
    }

    /// Defaults, and agreement between the path and the body.
    fn complete(&self, namespace: &str, name: &str, request: &mut Value) -> Result<(), Status> {
        if !request.is_object() {
            return Err(Status::bad_request("the object provided is not a TokenRequest"));
        }
        for (field, path) in [("name", name), ("namespace", namespace)] {
            let body = text(request, &["metadata", field]);
            if !body.is_empty() && body != path {
                return Err(Status::bad_request(format!(
                    "the {field} of the object ({body}) does not match the {field} on the URL ({path})"
                )));
            }
        }
        request["apiVersion"] = "authentication.k8s.io/v1".into();
        request["kind"] = "TokenRequest".into();
        if !request["spec"].is_object() {
            request["spec"] = json!({});
        }
        if request["spec"]["expirationSeconds"].is_null() {
            request["spec"]["expirationSeconds"] = DEFAULT_EXPIRATION_SECONDS.into();
        }
        if request["spec"]["audiences"].as_array().is_none_or(Vec::is_empty) {
            request["spec"]["audiences"] = self.audiences.clone().into();
        }
        if request["spec"]["boundObjectRef"].is_null() {
            // The field is always written by upstream, null where nothing is bound.
            request["spec"]["boundObjectRef"] = Value::Null;
        }
        Ok(())
    }

    fn shorten(&self, request: &mut Value) {
        let asked = request["spec"]["expirationSeconds"].as_i64().unwrap_or_default();
        if let Some(max) = self.max_seconds.filter(|max| asked > *max) {
            request["spec"]["expirationSeconds"] = max.into();
        }
    }

    async fn bind(&self, namespace: &str, account: &str, reference: &Value) -> Result<Bound, Status> {
        let name = text(reference, &["name"]);
        let gvk =
            GroupVersionKind::from_api_version(text(reference, &["apiVersion"]), text(reference, &["kind"]));
        let mut bound = Bound::default();
        match (&*gvk.group, &*gvk.kind) {
            ("", "Pod") => {
                let pod = self.bindable(&PODS, "Pod", namespace, name, reference).await?;
                let runs_as = text(&pod, &["spec", "serviceAccountName"]);
                if runs_as != account {
                    return Err(Status::bad_request(format!(
                        "cannot bind token for serviceaccount {account:?} to pod running with different \
                         serviceaccount name."
                    )));
                }
                bound.node = self.node_of(&pod);
                bound.pod = Some(reference_to(&pod));
            }
            ("", "Node") => {
                let node = self.bindable(&NODES, "Node", "", name, reference).await?;
                bound.node = Some(reference_to(&node));
            }
            ("", "Secret") => {
                let secret = self.bindable(&SECRETS, "Secret", namespace, name, reference).await?;
                bound.secret = Some(reference_to(&secret));
            }
            _ => return Err(Status::bad_request(format!("cannot bind token to object of type {gvk}"))),
        }
        Ok(bound)
    }

    async fn bindable(
        &self,
        resource: &GroupResource,
        kind: &str,
        namespace: &str,
        name: &str,
        reference: &Value,
    ) -> Result<Arc<Value>, Status> {
        let found = self
            .objects
            .get_fresh(resource, namespace, name)
            .await?
            .ok_or_else(|| Status::not_found(resource, name))?;
        let wanted = text(reference, &["uid"]);
        if !wanted.is_empty() && wanted != uid(&found) {
            return Err(Status::conflict(
                &GroupResource::new("", kind),
                name,
                format!(
                    "the UID in the bound object reference ({wanted}) does not match the UID in record. The object \
                     might have been deleted and then recreated"
                ),
            ));
        }
        Ok(found)
    }

    /// The node a pod runs on, for information in its token; its UID where the node is known.
    fn node_of(&self, pod: &Value) -> Option<Ref> {
        let name = text(pod, &["spec", "nodeName"]);
        if name.is_empty() {
            return None;
        }
        let uid = self.objects.get(&NODES, "", name).map(|node| uid(&node).to_string()).unwrap_or_default();
        Some(Ref { name: name.into(), uid })
    }

    fn claims(
        &self,
        namespace: &str,
        account: &Value,
        bound: Bound,
        asked: i64,
        audiences: Vec<String>,
        now: Timestamp,
    ) -> Claims {
        let now = now.as_second();
        let for_api = audiences.iter().all(|audience| self.audiences.contains(audience));
        let extended =
            self.extends && asked == WARN_ONLY_EXPIRATION_SECONDS && bound.pod.is_some() && for_api;
        let longest =
            self.max_seconds.map_or(EXTENDED_EXPIRATION_SECONDS, |max| max.min(EXTENDED_EXPIRATION_SECONDS));
        let (lives, warnafter) = if extended { (longest, now + asked) } else { (asked, 0) };
        Claims {
            aud: audiences,
            exp: now + lives,
            iat: now,
            iss: self.issuer.clone(),
            jti: Uuid::new_v4().to_string(),
            kubernetes: PrivateClaims {
                namespace: namespace.into(),
                node: bound.node,
                pod: bound.pod,
                secret: bound.secret,
                serviceaccount: reference_to(account),
                warnafter,
            },
            nbf: now,
            sub: service_account_user(namespace, name_of(account)),
            ..Claims::default()
        }
    }
}

fn reference_to(object: &Value) -> Ref {
    Ref { name: name_of(object).into(), uid: uid(object).into() }
}

/// RFC 3339 to the second, as `metav1.Time`.
fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn validate(request: &Value) -> FieldErrors {
    let spec = Path::new("spec");
    let mut errors = FieldErrors::new();
    let path = spec.child("expirationSeconds");
    let seconds = at(request, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or_default();
    if seconds < MIN_EXPIRATION_SECONDS {
        errors.push(FieldError::invalid(
            path.clone(),
            seconds,
            "may not specify a duration less than 10 minutes",
        ));
    }
    if seconds > MAX_EXPIRATION_SECONDS {
        errors.push(FieldError::invalid(
            path,
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
    errors
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
