//! Aggregation: group versions that another server answers for, as the APIServices say. Requests are proxied with the
//! user's name in headers; discovery and OpenAPI take in what the other servers say of themselves.

mod check;
mod ends;
mod identity;
mod merge;
mod plan;
mod proxy;
mod registration;

pub(crate) use check::run;
pub(crate) use ends::{NoEnd, ServiceEnds, end_of};
pub(crate) use identity::follow as follow_identity;
pub(crate) use merge::{RemoteGroups, merge_openapi_v2};
pub(crate) use plan::Backends;
pub(crate) use proxy::serve;
pub(crate) use registration::{Duty, Kept, duty, registration};

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use oarlock_api::GroupResource;
use oarlock_apiserver_access::Objects;
use oarlock_pki::{Identity, PkiError, client_config, client_config_for_any_server};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::kubelet::Trust;
use plan::Backend;

/// What this server shows to those it proxies to. (`--proxy-client-cert-file`, `--requestheader-…`)
#[derive(Debug, Clone, Default)]
pub struct FrontProxy {
    pub identity: Option<Identity>,
    /// Who signs the identity: published for the other servers in `kube-system/extension-apiserver-authentication`.
    pub ca_pem: Option<String>,
    /// `--requestheader-allowed-names`
    pub allowed_names: Vec<String>,
}

/// What is known of the other servers.
pub(crate) struct Aggregator {
    /// Shown to the other servers.
    identity: ArcSwapOption<Identity>,
    /// Who did not believe this server may do so by now.
    identity_changed: Notify,
    /// Backends as of a generation of the APIServices.
    backends: ArcSwap<(u64, Arc<Backends>)>,
    /// What each backend's last check brought.
    remote: ArcSwap<RemoteGroups>,
    /// TLS settings by backend; dropped when backends change.
    trusts: Mutex<HashMap<String, Arc<Trust>>>,
    /// Grows when `remote` changes.
    generation: std::sync::atomic::AtomicU64,
}

/// Asked for on every request.
pub(crate) fn api_services() -> &'static GroupResource {
    static NAME: LazyLock<GroupResource> =
        LazyLock::new(|| GroupResource::new("apiregistration.k8s.io", "apiservices"));
    &NAME
}

impl Aggregator {
    pub(crate) fn new(front: FrontProxy) -> Self {
        Self {
            identity: front.identity.map(Arc::new).into(),
            identity_changed: Notify::new(),
            backends: ArcSwap::from_pointee((u64::MAX, Arc::default())),
            remote: ArcSwap::default(),
            trusts: Mutex::default(),
            generation: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// The backends as the APIServices are now; read again only when one has changed.
    pub(crate) fn backends(&self, objects: &dyn Objects) -> Arc<Backends> {
        let resource = api_services();
        let generation = objects.generation(resource);
        let known = self.backends.load();
        if known.0 == generation {
            return known.1.clone();
        }
        let backends = Arc::new(Backends::of(&objects.list(resource, "")));
        self.trusts.lock().clear();
        self.backends.store(Arc::new((generation, backends.clone())));
        backends
    }

    pub(crate) fn remote(&self) -> Arc<RemoteGroups> {
        self.remote.load_full()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(std::sync::atomic::Ordering::Acquire)
    }

    fn set_remote(&self, remote: RemoteGroups) {
        self.remote.store(Arc::new(remote));
        self.generation.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    }

    /// How a backend is known.
    fn trust(&self, backend: &Backend) -> Result<Arc<Trust>, PkiError> {
        if let Some(trust) = self.trusts.lock().get(&backend.name) {
            return Ok(trust.clone());
        }
        let shown = self.identity.load_full();
        let identity = shown.as_deref();
        let config = match &backend.ca_pem {
            _ if backend.insecure => client_config_for_any_server(identity)?,
            Some(ca) => client_config(ca, identity)?,
            // No authority is trusted by default.
            None => client_config("", identity)?,
        };
        let trust = Arc::new(Trust { config: Arc::new(config), name: backend.tls_name() });
        let mut trusts = self.trusts.lock();
        // What was made of an identity that was replaced meanwhile is for this request alone.
        if self.identity.load().as_ref().map(Arc::as_ptr) == shown.as_ref().map(Arc::as_ptr) {
            trusts.insert(backend.name.clone(), trust.clone());
        }
        Ok(trust)
    }

    /// Shows another identity from now on; whether it is new.
    fn show(&self, identity: Identity) -> bool {
        let same = |known: &Arc<Identity>| {
            (&known.cert_pem, &known.key_pem) == (&identity.cert_pem, &identity.key_pem)
        };
        if self.identity.load().as_ref().is_some_and(same) {
            return false;
        }
        self.identity.store(Some(Arc::new(identity)));
        self.trusts.lock().clear();
        self.identity_changed.notify_one();
        true
    }
}

/// What one backend said of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Described {
    /// Its APIResourceList.
    pub(crate) resources: Value,
    /// Its whole OpenAPI v2 document, where it has one.
    pub(crate) openapi_v2: Option<Bytes>,
    /// Whether it has an OpenAPI v3 document of the group version.
    pub(crate) openapi_v3: Option<String>,
}
