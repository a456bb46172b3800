//! Priority and fairness: a seat for every request that does not last, fairly shared; and how many are under way.

mod keeper;
mod limits;

pub(crate) use keeper::keep;
pub(crate) use limits::MaxInFlight;

use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use oarlock_api::Status;
use oarlock_apiserver_access::User;
use oarlock_apiserver_flow::{Classified, Digest, ListShape, Permit, Work, list_work_by_size, mutating_work};
use tokio::sync::{Notify, SemaphorePermit};

use crate::body::Body;
use crate::encode;
use crate::registry::Served;
use crate::request_info::{Query, RequestInfo};
use crate::server::Server;

const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// Requests that do not last, while they are under way.
#[derive(Default)]
pub(crate) struct InFlight {
    reads: AtomicUsize,
    writes: AtomicUsize,
    idle: Notify,
}

/// One request under way.
pub(crate) struct Slot<'a> {
    counter: &'a AtomicUsize,
    all: &'a InFlight,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.counter.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all.idle.notify_waiters();
        }
    }
}

impl InFlight {
    pub(crate) fn enter(&self, info: &RequestInfo) -> Slot<'_> {
        let reads = matches!(info.verb.as_str(), "get" | "list" | "watch" | "head" | "options");
        let counter = if reads { &self.reads } else { &self.writes };
        counter.fetch_add(1, Ordering::AcqRel);
        Slot { counter, all: self }
    }

    /// Waits until nothing is under way.
    pub(crate) async fn idle(&self) {
        loop {
            // Registered first, counted then: the last end is not missed.
            let ended = self.idle.notified();
            if self.counts() == (0, 0) {
                return;
            }
            ended.await;
        }
    }

    /// Reads and writes under way.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.reads.load(Ordering::Acquire), self.writes.load(Ordering::Acquire))
    }
}

/// Which flow a request belongs to, where there is fairness; its answer says so.
pub(crate) fn classify(server: &Server, info: &RequestInfo, user: &User) -> Option<Classified> {
    server.flow.as_ref().map(|flow| flow.classify(&digest(info, user)))
}

fn digest<'a>(info: &'a RequestInfo, user: &'a User) -> Digest<'a> {
    Digest {
        user,
        resource_request: info.is_resource,
        verb: &info.verb,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        path: &info.path,
    }
}

/// What a request holds until it is answered.
pub(crate) type Held<'a> = (Option<Permit>, Option<SemaphorePermit<'a>>);

/// A seat, now or after waiting, or else a place within the limits, or 429.
pub(crate) async fn admit<'a>(
    server: &'a Server,
    flow: Option<&Classified>,
    info: &RequestInfo,
    query: &Query,
    user: &User,
    served: Option<&Served>,
) -> Result<Held<'a>, Status> {
    match flow {
        Some(flow) => Ok((seat(flow, info, query, user, served).await?, None)),
        None => Ok((None, server.limits.enter(info, user)?)),
    }
}

/// What lasts takes none, but a watch takes one while it begins.
async fn seat(
    flow: &Classified,
    info: &RequestInfo,
    query: &Query,
    user: &User,
    served: Option<&Served>,
) -> Result<Option<Permit>, Status> {
    if info.is_long_running() && info.verb != "watch" {
        return Ok(None);
    }
    let work = work_of(info, query, served, flow.seats_max());
    Ok(Some(flow.admit(&digest(info, user), work).await?))
}

fn work_of(info: &RequestInfo, query: &Query, served: Option<&Served>, seats_max: u32) -> Work {
    let Some(stored) = served.and_then(|served| served.stored.as_ref()) else { return Work::ONE };
    match info.verb.as_str() {
        "list" | "watch" if info.verb == "list" || query.flag("sendInitialEvents") => {
            let limit = query.number("limit").and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            let selector = |name: &str| query.get(name).is_some_and(|text| !text.is_empty());
            let (count, average_bytes) = stored.cache.size();
            let shape = ListShape {
                stored: count as u64,
                limit,
                from_cache: query.get("continue").is_none_or(str::is_empty),
                selective: selector("labelSelector") || selector("fieldSelector"),
                by_name: !info.name.is_empty(),
            };
            list_work_by_size(&shape, average_bytes as u64, seats_max)
        }
        "create" | "update" | "patch" | "delete" | "deletecollection" => {
            mutating_work(stored.cache.watchers() as u64, seats_max)
        }
        _ => Work::ONE,
    }
}

/// What who is turned away is told. (Upstream's, and not a Status.)
pub(crate) const TOO_MANY: &str = "Too many requests, please try again later.";

pub(crate) fn turned_away(status: &Status) -> Response<Body> {
    let mut response = encode::text(StatusCode::TOO_MANY_REQUESTS, format!("{TOO_MANY}\n"));
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Tells a client whose seats it took.
pub(crate) fn tell(response: &mut Response<Body>, flow: &Classified) {
    for (name, uid) in [(FLOW_SCHEMA, flow.flow_schema_uid()), (PRIORITY_LEVEL, flow.priority_level_uid())] {
        if !uid.is_empty()
            && let Ok(value) = HeaderValue::from_str(uid)
        {
            response.headers_mut().insert(name, value);
        }
    }
}
