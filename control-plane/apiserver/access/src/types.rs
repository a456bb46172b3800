//! The contract between the request chain and what decides over a request: who asks, for what, and who may refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::selector::{FieldSelector, LabelSelector};
use oarlock_api::{GroupResource, GroupVersionKind, GroupVersionResource, Status};
use serde_json::Value;

pub use oarlock_api::User;

/// What an authenticator looks at.
pub struct Credentials<'a> {
    pub headers: &'a http::HeaderMap,
    /// What the client has shown, leaf first; empty where it has shown nothing. It has the key of the leaf; the rest is to be
    /// verified.
    pub client_certificates: &'a [rustls_pki_types::CertificateDer<'static>],
    /// The request's path: a few paths may be asked for without credentials.
    pub path: &'a str,
}

/// A link of the authentication chain.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// `Ok(None)`: these are not my credentials, ask the next. `Err`: they are, and they are bad.
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<User>, AuthenticationError>;
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AuthenticationError(pub String);

/// What is asked for. (`authorizer.Attributes`) For a non-resource request only `user`, `verb` and `path` are set.
#[derive(Debug, Clone)]
pub struct Attributes {
    pub user: Arc<User>,
    pub verb: String,
    pub resource_request: bool,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub path: String,
    pub field_selector: Option<Arc<FieldSelector>>,
    pub label_selector: Option<Arc<LabelSelector>>,
}

impl Attributes {
    /// A question about resources, of which nothing more is said yet.
    pub fn of_resources(user: Arc<User>, verb: &str) -> Self {
        Self {
            user,
            verb: verb.into(),
            resource_request: true,
            group: String::new(),
            version: String::new(),
            resource: String::new(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            path: String::new(),
            field_selector: None,
            label_selector: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    /// Nobody after this link is asked.
    Deny(String),
    NoOpinion(String),
}

/// A link of the authorisation chain, and the chain itself.
#[async_trait]
pub trait Authorizer: Send + Sync {
    async fn authorize(&self, attributes: &Attributes) -> Decision;

    /// What a user may do in a namespace, for SelfSubjectRulesReview; `incomplete` where not all of it is known.
    async fn rules_for(&self, user: &User, namespace: &str) -> Rules;
}

#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// `authorization.k8s.io/v1` ResourceRule and NonResourceRule as they go on the wire.
    pub resource_rules: Vec<Value>,
    pub non_resource_rules: Vec<Value>,
    pub incomplete: bool,
    pub evaluation_error: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// One object on its way into the store. (`admission.Attributes`)
pub struct AdmissionRequest<'a> {
    pub operation: Operation,
    pub kind: &'a GroupVersionKind,
    pub resource: &'a GroupVersionResource,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub user: &'a Arc<User>,
    /// The new object (the old one's absence makes it a creation); for Connect, the options object.
    pub object: Option<&'a mut Value>,
    pub old_object: Option<&'a Value>,
    /// CreateOptions, UpdateOptions, PatchOptions or DeleteOptions as sent.
    pub options: &'a Value,
    pub dry_run: bool,
    /// Texts for `Warning:` headers.
    pub warnings: &'a mut Vec<String>,
    /// What plugins tell the audit of this request.
    pub annotations: &'a Annotations,
}

/// What plugins tell on a request's way: annotations for its audit, and warnings for its sender. A key that was said
/// once is not said again, nor a warning. Bounded.
#[derive(Debug, Default)]
pub struct Annotations {
    audit: parking_lot::Mutex<BTreeMap<String, String>>,
    warnings: parking_lot::Mutex<Vec<String>>,
}

impl Annotations {
    /// More than any plugin says; what comes after is dropped.
    const MAX: usize = 256;

    pub fn add(&self, key: impl Into<String>, value: impl Into<String>) {
        let mut all = self.audit.lock();
        if all.len() < Self::MAX {
            all.entry(key.into()).or_insert_with(|| value.into());
        }
    }

    /// Everything that was said, by key.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.audit.lock().clone()
    }

    /// A warning from the validating half, which may not change the request.
    pub fn warn(&self, warning: impl Into<String>) {
        let (warning, mut all) = (warning.into(), self.warnings.lock());
        if all.len() < Self::MAX && !all.contains(&warning) {
            all.push(warning);
        }
    }

    /// The warnings since they were last taken.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }
}

impl AdmissionRequest<'_> {
    /// Warns the sender; in either half.
    pub fn warn(&self, warning: impl Into<String>) {
        self.annotations.warn(warning);
    }
}

/// The two halves of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Mutate,
    Validate,
}

/// A link of the admission chain. All `mutate` run in order, then the object is validated, then all `validate` run.
#[async_trait]
pub trait AdmissionPlugin: Send + Sync {
    /// Upstream's name: `NamespaceLifecycle`.
    fn name(&self) -> &'static str;

    fn handles(&self, operation: Operation) -> bool;

    /// Whether this half of this request could concern the plugin. Asked before a future is made for it, of every
    /// write: a look at the resource and the cache, without IO or allocation.
    fn concerns(&self, _phase: Phase, _request: &AdmissionRequest<'_>) -> bool {
        true
    }

    async fn mutate(&self, _request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, _request: &AdmissionRequest<'_>) -> Result<(), Status> {
        Ok(())
    }
}

/// What the deciders read: the API server's own watch cache, without a request in between. Reads are of the cache
/// (possibly a moment old) unless `fresh` is asked for, which is as consistent as a GET.
#[async_trait]
pub trait Objects: Send + Sync {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>>;

    async fn get_fresh(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status>;

    /// All objects of a resource, of one namespace where it is not empty.
    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Value>>;

    /// A counter that grows with every change of the resource: what was compiled from it (RBAC rules) is stale when
    /// it has moved.
    fn generation(&self, resource: &GroupResource) -> u64;

    /// Every change of a resource, first all that exist now. For indexes kept beside the cache (Node authoriser).
    fn subscribe(&self, resource: &GroupResource) -> tokio::sync::mpsc::Receiver<ObjectEvent>;
}

#[derive(Debug, Clone)]
pub enum ObjectEvent {
    /// Added or changed.
    Applied(Arc<Value>),
    Deleted(Arc<Value>),
    /// The receiver fell behind or the cache was rebuilt: drop what you know, all that exists follows.
    Reset,
}

/// One resource that is served, as a kind or a resource is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedResource {
    pub resource: GroupVersionResource,
    pub kind: GroupVersionKind,
    pub namespaced: bool,
}

/// What this server serves now, custom resources included: kinds and resources, their shapes, and the ways between the
/// versions of one resource.
#[async_trait]
pub trait Surface: Send + Sync {
    /// The resource that serves a kind.
    fn resource_of_kind(&self, kind: &GroupVersionKind) -> Option<ServedResource>;

    /// A resource as it is served; none where it is not.
    fn resource(&self, resource: &GroupVersionResource) -> Option<ServedResource>;

    /// Every served version (and group) of the same objects, the asked one included.
    fn equivalents(&self, resource: &GroupVersionResource) -> Vec<ServedResource>;

    fn schema(&self, kind: &GroupVersionKind) -> Option<oarlock_api::Schema>;

    /// The same object in another version of its resource.
    async fn convert(&self, object: Value, to: &GroupVersionKind) -> Result<Value, Status>;
}
