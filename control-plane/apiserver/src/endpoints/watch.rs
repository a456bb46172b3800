//! WATCH: a stream of framed events that starts from a state or resumes from a revision.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use oarlock_api::{FieldError, Path, Status};
use oarlock_base::Shutdown;
use rand::Rng as _;
use tokio::time::Instant;

use super::Call;
use super::get::{not_older_than, parse_revision};
use crate::body::{Body, full, stream};
use crate::cache::{Batch, Change, ChangeKind, Entry, Filter, Told, WatchEvent, WatchReader, WatchStart};
use crate::decode::Format;
use crate::encode::{Accepted, WatchEncoder};
use crate::metrics::{Running, WatchLabels};
use crate::registry::{Served, store_failed};
use crate::server::Server;

/// Events that are ready are sent together where they are smaller than this: a copy is then cheaper than another frame.
const SMALL: usize = 4 * 1024;

pub(super) async fn watch(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let accepted = negotiate(call)?;
    let (filter, late) = super::list::by_version(call, super::list::filter(call)?);
    let bookmarks = call.query.flag("allowWatchBookmarks");
    check_options(call)?;
    let start = match start(call).await? {
        Ok(start) => start,
        Err(status) => return Ok(failed_watch(accepted, &status)),
    };
    let Some(stored) = &call.served.stored else { return Err(super::not_allowed()) };
    let readable = super::list::check_readable(call, &filter).await;
    readable.map_err(|fault| super::list::not_ready(call, &fault))?;
    let cache = &call.server.cache;
    let reader = match stored.cache.watch(filter, start, bookmarks, cache.revision()) {
        Ok(reader) => reader,
        Err(old) => {
            let asked = if let WatchStart::After(asked) = start { asked } else { 0 };
            let status = Status::expired(format!("too old resource version: {asked} ({})", old.oldest));
            return Ok(failed_watch(accepted, &status));
        }
    };
    if bookmarks {
        cache.want_bookmarks();
    }
    let encoder = WatchEncoder::new(accepted);
    let content_type = HeaderValue::from_static(encoder.content_type());
    let feed = Feed {
        reader,
        encoder,
        late,
        served: call.served.clone(),
        server: call.server.clone(),
        over: over(
            Instant::now() + timeout(call),
            call.server.draining.clone(),
            call.server.manners.watch_grace,
        ),
        ended: false,
        bookmarks,
        listing: listing(call),
        _running: call.server.metrics.watching(call.info),
    };
    let mut response = Response::new(stream(futures::stream::unfold(feed, |mut feed| async move {
        feed.next().await.map(|bytes| (Ok(bytes), feed))
    })));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// A watch without a timeout ends by itself after one to two times `--min-request-timeout`: so watches spread.
fn timeout(call: &Call<'_>) -> Duration {
    match call.query.number("timeoutSeconds").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0) {
        Some(seconds) => Duration::from_secs(seconds),
        None => call.server.min_request_timeout.mul_f64(1.0 + rand::rng().random::<f64>()),
    }
}

/// A watch that begins with a list is timed.
fn listing(call: &Call<'_>) -> Option<(Instant, WatchLabels)> {
    call.query.flag("sendInitialEvents").then(|| (Instant::now(), WatchLabels::of(call.info)))
}

/// When a watch is over.
type Over = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// When the server stops, watches end one after the other over `grace`.
fn over(deadline: Instant, stop: Shutdown, grace: Duration) -> Over {
    Box::pin(async move {
        let ended = stop.or(tokio::time::sleep_until(deadline)).await;
        if ended.is_none() && !grace.is_zero() {
            let last = Instant::now() + grace.mul_f64(rand::random());
            tokio::time::sleep_until(last.min(deadline)).await;
        }
    })
}

/// Not every format can be streamed.
fn negotiate(call: &Call<'_>) -> Result<Accepted, Status> {
    let accepted = crate::encode::negotiate(call.headers, call.query, true).ok();
    accepted.filter(|accepted| accepted.format != Format::Yaml).ok_or_else(|| {
        Status::not_acceptable(
            "only the following media types are accepted: application/json;stream=watch, \
             application/vnd.kubernetes.protobuf;stream=watch",
        )
    })
}

/// Once its options are good, a watch fails by an event in its stream, as upstream's.
fn failed_watch(accepted: Accepted, status: &Status) -> Response<Body> {
    let encoder = WatchEncoder::new(accepted);
    let mut response = Response::new(full(encoder.error(status)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoder.content_type()));
    response
}

/// Where the watch starts. The outer error is the request's, the inner one that of the state it asks for.
async fn start(call: &Call<'_>) -> Result<Result<WatchStart, Status>, Status> {
    let text = call.query.get("resourceVersion").unwrap_or_default();
    let initial = call.query.get("sendInitialEvents").map(|_| call.query.flag("sendInitialEvents"));
    let revision = if text.is_empty() { None } else { Some(parse_revision(text)?) };
    Ok(match (initial, revision) {
        (Some(true), revision) => {
            let announce = call.query.flag("allowWatchBookmarks");
            catch_up(call, revision).await.map(|()| WatchStart::State { announce })
        }
        (Some(false), None | Some(0)) => {
            Ok(WatchStart::After(call.server.cache.fresh().await.map_err(store_failed)?))
        }
        (None, None | Some(0)) => {
            catch_up(call, revision).await.map(|()| WatchStart::State { announce: false })
        }
        // A revision that has not come yet is waited for.
        (_, Some(revision)) => Ok(WatchStart::After(revision)),
    })
}

/// A state is as new as was asked for; as new as the store where nothing was said.
async fn catch_up(call: &Call<'_>, revision: Option<u64>) -> Result<(), Status> {
    match revision {
        None => call.server.cache.fresh().await.map(drop).map_err(store_failed),
        Some(0) => Ok(()),
        Some(revision) => not_older_than(call, revision).await,
    }
}

fn check_options(call: &Call<'_>) -> Result<(), Status> {
    let matching = call.query.get("resourceVersionMatch").unwrap_or_default();
    let initial = call.query.get("sendInitialEvents").is_some();
    let path = || Path::new("resourceVersionMatch");
    let mut errors = Vec::new();
    if initial && !call.server.features.is_on("WatchList") {
        let detail = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        errors.push(FieldError::forbidden(Path::new("sendInitialEvents"), detail));
    }
    if initial && matching != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(path(), detail));
    }
    if !matching.is_empty() {
        if !initial {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(path(), detail));
        }
        if matching != "NotOlderThan" {
            errors.push(FieldError::not_supported(path(), matching, &["NotOlderThan"]));
        }
    }
    if call.query.get("continue").is_some_and(|text| !text.is_empty()) {
        let detail = "resourceVersionMatch is forbidden when continue is provided";
        errors.push(FieldError::forbidden(path(), detail));
    }
    super::list::refuse(&errors)
}

/// The body of a watch, made as it is read: nothing runs for it while its client is away.
struct Feed {
    reader: WatchReader,
    encoder: WatchEncoder,
    /// What can be selected only after conversion.
    late: Option<Filter>,
    served: Arc<Served>,
    server: Arc<Server>,
    /// Done when the watch has lasted long enough, or the server stops. One future for the whole watch: a timer is not set
    /// anew for each event.
    over: Over,
    ended: bool,
    bookmarks: bool,
    /// Until the initial events are told: since when.
    listing: Option<(Instant, WatchLabels)>,
    _running: Running,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let told = tokio::select! {
            biased;
            () = &mut self.over => self.last_word().map(Told::Event),
            told = self.reader.next_told() => told,
        };
        let first = self.tell(told?).await;
        if first.len() >= SMALL || self.ended {
            return Some(first);
        }
        let Some(second) = self.reader.ready() else { return Some(first) };
        let mut together = BytesMut::with_capacity(SMALL);
        together.extend_from_slice(&first);
        together.extend_from_slice(&self.tell(second).await);
        while !self.ended
            && together.len() < SMALL
            && let Some(told) = self.reader.ready()
        {
            together.extend_from_slice(&self.tell(told).await);
        }
        Some(together.freeze())
    }

    async fn tell(&mut self, told: Told) -> Bytes {
        let batch = match told {
            Told::Event(event) => return self.encode(event).await,
            Told::Whole(batch) => batch,
        };
        let ours = |batch: &Batch| batch.changes.iter().all(|change| self.served.takes(&change.entry));
        if self.served.custom.is_none() || (self.late.is_none() && ours(&batch)) {
            return self.encoder.batch(&self.served, &batch);
        }
        // Some may have to be converted.
        let mut bytes = BytesMut::new();
        for change in &batch.changes {
            let (kind, entry, shared) = (change.kind, change.entry.clone(), Some(change.clone()));
            bytes.extend_from_slice(&self.encode(WatchEvent::Change { kind, entry, shared }).await);
            if self.ended {
                break;
            }
        }
        bytes.freeze()
    }

    /// The initial events end with a bookmark that says so.
    fn note_listed(&mut self, event: &WatchEvent) {
        if let WatchEvent::Bookmark { initial_events_end: true, .. } = event
            && let Some((began, labels)) = self.listing.take()
        {
            self.server.metrics.watch_listed(&labels, began.elapsed());
        }
    }

    /// One event as bytes. An object of another version is converted before; where that fails, the watch ends.
    async fn encode(&mut self, event: WatchEvent) -> Bytes {
        self.note_listed(&event);
        let event = match event {
            WatchEvent::Change { kind, entry, shared } if self.late.is_some() => {
                match self.selected(kind, entry, shared).await {
                    Ok(Some(event)) => event,
                    Ok(None) => return Bytes::new(),
                    Err(status) => {
                        self.ended = true;
                        return self.encoder.error(&status);
                    }
                }
            }
            WatchEvent::Change { kind, entry, .. }
                if self.served.custom.is_some() && !self.served.takes(&entry) =>
            {
                let webhook = &self.server.registry.conversions;
                match crate::custom::entries(&self.served, vec![entry], webhook).await {
                    Ok(mut entries) => {
                        let entry = entries.pop().expect("as many come out as went in");
                        WatchEvent::Change { kind, entry, shared: None }
                    }
                    Err(status) => {
                        self.ended = true;
                        return self.encoder.error(&status);
                    }
                }
            }
            event => event,
        };
        self.encoder.event(&self.served, &event)
    }

    /// A change as it is seen through a selection that only the served version knows.
    async fn selected(
        &self,
        kind: ChangeKind,
        entry: Arc<Entry>,
        shared: Option<Arc<Change>>,
    ) -> Result<Option<WatchEvent>, Status> {
        let Some(late) = &self.late else { return Ok(Some(WatchEvent::Change { kind, entry, shared })) };
        let before = shared.as_ref().and_then(|change| change.before().cloned());
        let versions = before.into_iter().chain([entry]).collect();
        let mut versions =
            crate::custom::entries(&self.served, versions, &self.server.registry.conversions).await?;
        let entry = versions.pop().expect("as many come out as went in");
        let now = kind != ChangeKind::Deleted && late.matches(&entry);
        let was = match versions.pop() {
            Some(before) => late.matches(&before),
            None => kind == ChangeKind::Deleted && late.matches(&entry),
        };
        let kind = match (was, now) {
            (false, false) => return Ok(None),
            (true, true) => ChangeKind::Modified,
            (false, true) => ChangeKind::Added,
            (true, false) => ChangeKind::Deleted,
        };
        Ok(Some(WatchEvent::Change { kind, entry, shared: None }))
    }

    /// Before it ends, a watch with bookmarks says how far it came: its client resumes there.
    fn last_word(&mut self) -> Option<WatchEvent> {
        self.ended = true;
        self.bookmarks
            .then(|| WatchEvent::Bookmark { revision: self.reader.seen(), initial_events_end: false })
    }
}
