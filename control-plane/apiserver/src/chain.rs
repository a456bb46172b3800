//! A request's way through the server, step by step, whatever transport brought it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body as _;
use oarlock_api::Status;
use oarlock_apiserver_access::{Annotations, User};
use oarlock_apiserver_admission::truncate_warnings;
use oarlock_apiserver_audit::Record;
use oarlock_apiserver_flow::Classified;
use rustls_pki_types::CertificateDer;

use crate::body::{Body, empty};
use crate::duration::parse_duration;
use crate::encode::{self, Accepted};
use crate::endpoints::{self, Call};
use crate::metrics::Asked;
use crate::request_info::{Query, RequestInfo};
use crate::server::Server;
use crate::{aggregate, audit, authenticate, authorise, discovery, flow_control, impersonate, manners};

pub(crate) const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Who is at the other end, as far as the transport knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// A component of this process.
    pub(crate) identity: Option<Arc<User>>,
    /// What the client has shown, leaf first: it has the key of the leaf, and nothing else is known of it.
    pub(crate) certificates: Arc<[CertificateDer<'static>]>,
    /// Where the connection comes from.
    pub(crate) remote: Option<IpAddr>,
}

impl Peer {
    pub(crate) fn inside(user: User) -> Self {
        Self { identity: Some(Arc::new(user)), ..Self::default() }
    }
}

/// What the steps of one request leave for its answer.
#[derive(Default)]
struct Traces {
    flow: Option<Classified>,
    /// There were too many requests.
    turned_away: bool,
    record: Option<Arc<Record>>,
    /// Of a request that was refused.
    warnings: Vec<String>,
}

/// [`answer`] as one type, whatever the transport; its future is allocated once per request.
pub(crate) fn handle(
    server: Arc<Server>,
    peer: Peer,
    request: Request<Body>,
) -> BoxFuture<'static, Response<Body>> {
    Box::pin(async move { answer(&server, &peer, request).await })
}

/// Answers a request. Every failure becomes a Status here.
async fn answer(server: &Arc<Server>, peer: &Peer, request: Request<Body>) -> Response<Body> {
    let started = Instant::now();
    let told = manners::of(&server.manners, request.headers());
    if let Some(mut response) = manners::instead(server, peer, &request) {
        response.headers_mut().extend(told);
        return response;
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let info = RequestInfo::parse(request.method(), request.uri().path(), &query);
    let accepted = encode::negotiate(request.headers(), &query, false).unwrap_or(Accepted::JSON);
    let bodiless = request.method() == Method::HEAD;
    let asked = Asked::of(request.method(), request.headers(), &query);
    let mut traces = Traces::default();
    let answered = bounded(server, peer, &info, &query, request, &mut traces).await;
    let mut response = answered.unwrap_or_else(|status| {
        if let Some(record) = &traces.record {
            record.response_status(&status);
        }
        let mut response = match traces.turned_away {
            true => flow_control::turned_away(&status),
            false => encode::status(&accepted, &status),
        };
        encode::warn(&mut response, &traces.warnings);
        response
    });
    if let Some(flow) = &traces.flow {
        flow_control::tell(&mut response, flow);
    }
    let headers = response.headers_mut();
    headers.extend(told);
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    }
    match traces.record {
        Some(record) => response = audit::conclude(&record, &info, response).await,
        None => {
            let mut text = [0; 36];
            if let Ok(mut id) =
                HeaderValue::from_str(uuid::Uuid::new_v4().as_hyphenated().encode_lower(&mut text))
            {
                // Never to be seen again: it has no place in HTTP/2's table of headers, and would drive others out of it.
                id.set_sensitive(true);
                headers.insert(AUDIT_ID, id);
            }
        }
    }
    let size = response.body().size_hint().exact();
    // What was refused before it was looked for may name anything.
    let known = response.status().as_u16() < 400 || is_served(server, &info);
    let asked = if known { asked } else { asked.of_nothing_served() };
    server.metrics.observe(&info, asked, response.status(), size, started.elapsed());
    if bodiless { without_body(response) } else { response }
}

fn is_served(server: &Server, info: &RequestInfo) -> bool {
    let served = || server.resources.find(&info.group, &info.version, &info.resource);
    let has = |served: &crate::registry::Served| {
        info.subresource.is_empty() || served.api.subresource(&info.subresource).is_some()
    };
    !info.is_resource || served().is_some_and(|served| has(&served))
}

/// What HEAD is told: how long the answer would be. HTTP/2 would send it.
fn without_body(response: Response<Body>) -> Response<Body> {
    let size = response.body().size_hint().exact();
    let mut response = response.map(|_| empty());
    if let Some(size) = size {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(size));
    }
    response
}

/// Short requests are bounded in time.
async fn bounded(
    server: &Arc<Server>,
    peer: &Peer,
    info: &RequestInfo,
    query: &Query,
    request: Request<Body>,
    traces: &mut Traces,
) -> Result<Response<Body>, Status> {
    if info.is_long_running() {
        return steps(server, peer, info, query, request, traces).await;
    }
    let _slot = server.in_flight.enter(info);
    let allowed = allowed_time(query, server.request_timeout)?;
    let work = steps(server, peer, info, query, request, traces);
    tokio::time::timeout(allowed, work).await.unwrap_or_else(|_| {
        Err(Status::timeout(
            "request did not complete within requested timeout - context deadline exceeded",
            0,
        ))
    })
}

/// What the client asks for, but not more than the server gives.
fn allowed_time(query: &Query, most: Duration) -> Result<Duration, Status> {
    let Some(text) = query.get("timeout") else { return Ok(most) };
    // A time below zero is no bound.
    let asked = parse_duration(text.strip_prefix('-').unwrap_or(text)).map_err(|error| {
        Status::bad_request(format!("invalid timeout specified in the request URL - {error}"))
    })?;
    Ok(if asked.is_zero() || text.starts_with('-') { most } else { asked.min(most) })
}

async fn steps(
    server: &Arc<Server>,
    peer: &Peer,
    info: &RequestInfo,
    query: &Query,
    request: Request<Body>,
    traces: &mut Traces,
) -> Result<Response<Body>, Status> {
    let user = authenticate::authenticate(server, peer, request.headers(), &info.path).await;
    let user = audit::begin(server, peer, info, (request.uri(), request.headers()), user, &mut traces.record)
        .await?;
    let record = traces.record.as_deref();
    let user = impersonate::impersonate(server, request.headers(), info, query, user, record).await?;
    let served = server.resources.find(&info.group, &info.version, &info.resource);
    traces.flow = flow_control::classify(server, info, &user);
    let admitted =
        flow_control::admit(server, traces.flow.as_ref(), info, query, &user, served.as_deref()).await;
    traces.turned_away = admitted.is_err();
    // Held until the answer is there.
    let _held = admitted?;
    authorise::authorise(server, info, query, &user, traces.record.as_deref()).await?;
    let backends = server.aggregator.backends(&*server.objects);
    if !backends.is_empty()
        && let Some(backend) = backends.of_path(info.path.strip_prefix("/openapi/v3").unwrap_or(&info.path))
    {
        return aggregate::serve(server, backend, &user, request).await;
    }
    let (method, headers) = (request.method().clone(), request.headers().clone());
    if !info.is_resource {
        return discovery::serve(server, info, query, &method, &headers).await;
    }
    let Some(served) = served else {
        let known = server.resources.now().served().iter().any(|served| *served.gvr.group == *info.group);
        return if known { Err(Status::page_not_found()) } else { Ok(discovery::no_page()) };
    };
    let annotations = Annotations::default();
    let record = traces.record.as_deref();
    let call = Call {
        server,
        info,
        query,
        headers: &headers,
        user: &user,
        served: &served,
        annotations: &annotations,
        record,
    };
    let answered = endpoints::serve(call, request).await;
    if let Some(record) = record {
        record.annotations(annotations.all());
    }
    let mut warnings = annotations.take_warnings();
    if let Some(old) = endpoints::deprecation(&served) {
        server.metrics.deprecated(info, endpoints::removed_release(&served));
        warnings.push(old.into_owned());
    }
    let warnings = truncate_warnings(warnings);
    let mut response = match answered {
        Ok(response) => response,
        Err(status) => {
            traces.warnings = status.warnings.clone();
            traces.warnings.extend(warnings);
            traces.warnings.extend(endpoints::deprecation(&served).map(|warning| warning.into_owned()));
            return Err(status);
        }
    };
    encode::warn(&mut response, &warnings);
    Ok(response)
}
