//! What is not a resource: discovery, version, health, metrics, OpenAPI, token keys.

mod documents;
mod openapi;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Method, Response, StatusCode};
use oarlock_api::Status;
use oarlock_apiserver_access::authentication::{jwks, openid_configuration};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::body::{Body, empty};
use crate::decode::Format;
use crate::encode::{self, Accepted};
use crate::health;
use crate::request_info::{Query, RequestInfo};
use crate::server::Server;
use crate::zpages;
use documents::View;
pub(crate) use documents::{priority, version};

/// Aggregated discovery of one root, ready to send.
struct Aggregated {
    bytes: Bytes,
    etag: HeaderValue,
}

/// Everything that is told of what is served, made anew when that has changed and somebody asks.
pub(crate) struct Discovery {
    ready: ArcSwapOption<Ready>,
}

struct Ready {
    view: View,
    /// Of the remote descriptions.
    generation: u64,
    core: Aggregated,
    groups: Aggregated,
    openapi: openapi::Documents,
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl Discovery {
    pub(crate) fn new() -> Self {
        Self { ready: ArcSwapOption::empty() }
    }

    /// The documents of this moment.
    fn ready(&self, server: &Server) -> Arc<Ready> {
        let generation = server.aggregator.generation();
        let view = View {
            resources: server.resources.now(),
            backends: server.aggregator.backends(&*server.objects),
            remote: server.aggregator.remote(),
        };
        let known = self.ready.load();
        if let Some(known) = &*known
            && known.generation == generation
            && Arc::ptr_eq(&known.view.resources, &view.resources)
            && Arc::ptr_eq(&known.view.backends, &view.backends)
        {
            return known.clone();
        }
        let ready = Arc::new(Ready::new(view, generation, server.features.is_on("OpenAPIEnums")));
        self.ready.store(Some(ready.clone()));
        ready
    }
}

impl Ready {
    fn new(view: View, generation: u64, enums: bool) -> Self {
        let ready = |core: bool| {
            let bytes = Bytes::from(documents::aggregated(&view, core).to_string());
            let etag = HeaderValue::from_str(&format!("\"{}\"", hex::encode_upper(Sha256::digest(&bytes))));
            Aggregated { bytes, etag: etag.expect("hexadecimal digits are a header value") }
        };
        let openapi = openapi::Documents::new(&view, enums);
        Self { core: ready(true), groups: ready(false), openapi, view, generation }
    }
}

/// Answers a request that is not on a resource.
pub(crate) async fn serve(
    server: &Arc<Server>,
    info: &RequestInfo,
    query: &Query,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    let path = info.path.trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    // A tunnel to somewhere has no path; with 200 it would be open.
    if *method == Method::CONNECT {
        return Ok(no_page());
    }
    if *method != Method::GET && is_routed(&segments) {
        return Err(Status::method_is_not_allowed());
    }
    match segments.as_slice() {
        [] => {
            let further = server.health.paths().chain(zpages::paths(server));
            let paths = documents::paths(&server.discovery.ready(server).view, further);
            Ok(json_text(&json!({ "paths": paths })))
        }
        ["api"] => Ok(root(server, headers, query, true)?),
        ["apis"] => Ok(root(server, headers, query, false)?),
        ["api", version] => resource_list(server, headers, query, "", version),
        ["apis", group] => group_document(server, headers, query, group),
        ["apis", group, version] => resource_list(server, headers, query, group, version),
        ["version"] => Ok(json_text(&documents::version())),
        ["healthz" | "livez" | "readyz", ..] => {
            health::serve(server, &segments, query).await.ok_or_else(Status::page_not_found)
        }
        ["metrics"] => Ok(metrics(server).await),
        ["metrics", "slis"] => Ok(prometheus_text(server.health.print())),
        ["debug", "api_priority_and_fairness", page] => flow_page(server, page),
        [".well-known", "openid-configuration"] => {
            openid(headers, JSON, &openid_configuration(&server.issuer, &server.jwks_uri, &server.keys))
        }
        ["openid", "v1", "jwks"] => openid(headers, JWKS, &jwks(&server.keys)),
        ["openapi", "v2"] => server.discovery.ready(server).openapi.v2(headers).await,
        ["openapi", "v3"] => Ok(server.discovery.ready(server).openapi.index(headers)),
        ["openapi", "v3", path @ ..] => {
            server.discovery.ready(server).openapi.v3(&path.join("/"), headers, query).await
        }
        [name] => match zpages::Page::of(server, name) {
            Some(page) => zpages::serve(server, page, headers, query),
            None => Ok(no_page()),
        },
        _ => Ok(no_page()),
    }
}

/// What upstream routes by method; its other handlers take any.
fn is_routed(segments: &[&str]) -> bool {
    matches!(segments, ["api"] | ["api", _] | ["apis", _, _] | ["version"] | [".well-known" | "openid", ..])
}

const JSON: &str = "application/json";
const JWKS: &str = "application/jwk-set+json";

/// What others need to check our tokens; it may be kept for an hour.
fn openid(headers: &HeaderMap, media: &'static str, document: &Value) -> Result<Response<Body>, Status> {
    let accept: Vec<&str> =
        headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let takes = |clause: &str| {
        let wanted = clause.split(';').next().unwrap_or_default().trim();
        wanted == media || wanted == "*/*"
    };
    if !accept.is_empty() && !accept.iter().flat_map(|value| value.split(',')).any(takes) {
        return Err(Status::not_routed(media));
    }
    let mut response = json_text(document);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}

/// What is no API is answered in plain text, as by upstream's last handler.
pub(crate) fn no_page() -> Response<Body> {
    encode::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// What is going on in flow control.
fn flow_page(server: &Server, page: &str) -> Result<Response<Body>, Status> {
    let flow = server.flow.as_ref().ok_or_else(Status::page_not_found)?;
    let text = match page {
        "dump_priority_levels" => flow.dump_priority_levels(),
        "dump_queues" => flow.dump_queues(),
        "dump_requests" => flow.dump_requests(std::time::SystemTime::now()),
        _ => return Err(Status::page_not_found()),
    };
    Ok(encode::page(text))
}

fn json_text(value: &Value) -> Response<Body> {
    encode::respond(StatusCode::OK, Format::Json, value.to_string())
}

/// `/api` and `/apis`: everything at once for those who ask for it.
fn root(server: &Server, headers: &HeaderMap, query: &Query, core: bool) -> Result<Response<Body>, Status> {
    let response = if wants_aggregated(headers) {
        let ready = server.discovery.ready(server);
        let ready = if core { &ready.core } else { &ready.groups };
        if headers.get(IF_NONE_MATCH).is_some_and(|etag| *etag == ready.etag) {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let mut response = encode::respond(StatusCode::OK, Format::Json, ready.bytes.clone());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
            response.headers_mut().insert(ETAG, ready.etag.clone());
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public"));
            response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
            response
        }
    } else {
        let accepted = encode::negotiate(headers, query, false)?;
        let document = if core {
            documents::core_versions(&server.external_address)
        } else {
            documents::group_list(&server.discovery.ready(server).view)
        };
        encode::object(&accepted, StatusCode::OK, &document)
    };
    Ok(response)
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|clause| {
        let parts: Vec<&str> = clause.split(';').map(str::trim).collect();
        ["application/json", "g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"]
            .iter()
            .all(|wanted| parts.contains(wanted))
    })
}

fn resource_list(
    server: &Server,
    headers: &HeaderMap,
    query: &Query,
    group: &str,
    version: &str,
) -> Result<Response<Body>, Status> {
    let accepted: Accepted = encode::negotiate(headers, query, false)?;
    let ready = server.discovery.ready(server);
    let Some(document) = documents::resource_list(&ready.view, group, version) else {
        let known = group.is_empty() || documents::group(&ready.view, group).is_some();
        return if known { Err(Status::page_not_found()) } else { Ok(no_page()) };
    };
    Ok(encode::object(&accepted, StatusCode::OK, &document))
}

fn group_document(
    server: &Server,
    headers: &HeaderMap,
    query: &Query,
    group: &str,
) -> Result<Response<Body>, Status> {
    let accepted = encode::negotiate(headers, query, false)?;
    let Some(document) = documents::group(&server.discovery.ready(server).view, group) else {
        return Ok(no_page());
    };
    Ok(encode::object(&accepted, StatusCode::OK, &document))
}

async fn metrics(server: &Server) -> Response<Body> {
    server.metrics.stored_bytes.look(&*server.registry.store).await;
    prometheus_text(server.metrics.print(&server.cache, &server.in_flight, &server.manners.disabled_metrics))
}

fn prometheus_text(text: Vec<u8>) -> Response<Body> {
    let mut response = encode::page(text);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
