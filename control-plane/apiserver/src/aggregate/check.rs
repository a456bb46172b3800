//! Whether the other servers answer, and what they say of themselves: asked when an APIService or what stands behind it
//! changes, and twice a minute while there is any. Without other servers nothing here runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::User;
use oarlock_base::Shutdown;
use serde_json::Value;

use super::plan::{Availability, Backend, Backends, service_fault, with_condition};
use super::proxy::{user_headers, way_to};
use super::{Described, RemoteGroups, api_services};
use crate::body::empty;
use crate::cache::{Changes, Filter};
use crate::config::Error;
use crate::registry::{Hand, time_text};
use crate::server::Server;

const PERIOD: Duration = Duration::from_secs(30);
/// Several changes at once are one look.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that a server may say of itself.
const DOCUMENT_MAX: usize = 32 * 1024 * 1024;

/// Keeps conditions and descriptions true until the shutdown.
pub(crate) async fn run(server: &Arc<Server>, stop: Shutdown) -> Result<(), Error> {
    let work = async {
        loop {
            let backends = server.aggregator.backends(&*server.objects);
            // Watched first, checked then: no change falls between.
            let mut changes = watch(server, &backends);
            check_all(server, &backends).await;
            let changed = async {
                tokio::select! {
                    () = changes.any() => {}
                    () = server.aggregator.identity_changed.notified() => {}
                }
            };
            if backends.is_empty() {
                changed.await;
            } else {
                // Whichever comes first means to look again.
                let _ = tokio::time::timeout(PERIOD, changed).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    // The shutdown ends it.
    let _: Option<()> = stop.or(work).await;
    Ok(())
}

/// The APIServices, and where there are backends the Services and endpoints of their namespaces.
fn watch(server: &Server, backends: &Backends) -> Changes {
    let mut wanted = vec![(api_services().clone(), String::new())];
    let mut namespaces: Vec<&String> = backends.all().map(|backend| &backend.namespace).collect();
    namespaces.sort();
    namespaces.dedup();
    for namespace in namespaces {
        wanted.push((GroupResource::new("", "services"), namespace.clone()));
        wanted.push((GroupResource::new("discovery.k8s.io", "endpointslices"), namespace.clone()));
    }
    let watched =
        wanted.into_iter().map(|(resource, namespace)| (resource, Filter { namespace, ..Filter::default() }));
    Changes::of(&server.resources, &server.cache, watched)
}

async fn check_all(server: &Arc<Server>, backends: &Backends) {
    let mut described = BTreeMap::new();
    let before = server.aggregator.remote();
    for service in server.objects.list(api_services(), "") {
        let text = |field: &str| service["spec"][field].as_str().unwrap_or_default();
        let found = match backends.find(text("group"), text("version")) {
            None => Availability::local(),
            Some(backend) => {
                let key = (backend.group.clone(), backend.version.clone());
                match check(server, backend).await {
                    Ok(description) => {
                        described.insert(key, description);
                        Availability::passed()
                    }
                    Err(fault) => {
                        // What it said last stays, marked stale by its condition.
                        if let Some(last) = before.described(&key.0, &key.1) {
                            described.insert(key, last.clone());
                        }
                        fault
                    }
                }
            }
        };
        if let Err(status) = tell(server, &service, &found).await {
            tracing::warn!(%status, "the status of an APIService could not be written");
        }
    }
    let remote = RemoteGroups::new(described);
    if remote != *before {
        server.aggregator.set_remote(remote);
    }
}

async fn tell(server: &Server, service: &Value, found: &Availability) -> Result<(), Status> {
    let now = time_text(Timestamp::now());
    if with_condition(service, found, &now).is_none() {
        return Ok(());
    }
    let Some(cached) = server.resources.cached(api_services()) else { return Ok(()) };
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let change = |object: &mut Value| {
        if let Some(status) = with_condition(object, found, &now) {
            object["status"] = status;
        }
        Ok(())
    };
    server.registry.amend_as(&cached.storage, ("", name), Hand::STATUS, change).await.map(drop)
}

/// Asks a backend for the resources of its group version, as upstream's availability check does.
async fn check(server: &Arc<Server>, backend: &Backend) -> Result<Described, Availability> {
    let service =
        server.objects.get(&GroupResource::new("", "services"), &backend.namespace, &backend.service);
    let slices =
        server.objects.list(&GroupResource::new("discovery.k8s.io", "endpointslices"), &backend.namespace);
    if let Some(fault) = service_fault(backend, service.as_deref(), &slices) {
        return Err(fault);
    }
    let failed = |why: String| Availability::failed("FailedDiscoveryCheck", why);
    let root = backend.root();
    let (target, _) = way_to(server, backend).map_err(failed)?;
    let url = format!("https://{}{root}", target.authority());
    let missing = |why: String| failed(format!("failing or missing response from {url}: {why}"));
    let (code, body) = fetch(server, backend, &root).await.map_err(missing)?;
    if !(200..300).contains(&code) {
        return Err(missing(format!("bad status from {url}: {code}")));
    }
    let resources: Value = serde_json::from_slice(&body).map_err(|error| missing(error.to_string()))?;
    let openapi_v2 = match fetch(server, backend, "/openapi/v2").await {
        Ok((200, body)) => Some(body),
        _ => None,
    };
    let openapi_v3 = match fetch(server, backend, "/openapi/v3").await {
        Ok((200, body)) => v3_hash(&body, &backend.root()),
        _ => None,
    };
    Ok(Described { resources, openapi_v2, openapi_v3 })
}

/// What tells one version of a document from the next.
fn v3_hash(index: &[u8], root: &str) -> Option<String> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let address = index["paths"][root.trim_start_matches('/')]["serverRelativeURL"].as_str()?;
    Some(address.split_once("hash=").map_or("", |(_, hash)| hash).to_string())
}

/// One document of a backend, asked for in the server's own name.
pub(super) async fn fetch(server: &Server, backend: &Backend, path: &str) -> Result<(u16, Bytes), String> {
    let (target, trust) = way_to(server, backend)?;
    let mut request = Request::new(empty());
    *request.uri_mut() = path.parse().map_err(|_| "the path cannot be asked for".to_string())?;
    let user = User {
        name: "system:kube-aggregator".into(),
        groups: vec!["system:masters".into()],
        ..User::default()
    };
    request.headers_mut().extend(user_headers(&user));
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(host) = target.authority().parse() {
        request.headers_mut().insert(HOST, host);
    }
    let work = async {
        let response =
            server.dialer.send_to(&target, Some(&trust), request).await.map_err(|e| e.to_string())?;
        let code = response.status().as_u16();
        let body =
            Limited::new(response.into_body(), DOCUMENT_MAX).collect().await.map_err(|e| e.to_string())?;
        Ok((code, body.to_bytes()))
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into())
    })
}
