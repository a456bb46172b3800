//! WATCH: a stream of framed events that starts from a state or resumes from a revision.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use oarlock_api::{FieldError, GroupKind, Path, Status};
use oarlock_base::Shutdown;
use rand::Rng as _;
use tokio::time::Instant;

use super::Call;
use super::get::{not_older_than, parse_revision};
use crate::body::{Body, stream};
use crate::cache::{WatchEvent, WatchReader, WatchStart};
use crate::encode::WatchEncoder;
use crate::registry::{Served, store_failed};
use crate::server::Server;

/// A watch without a timeout ends by itself after one to two times this, as upstream: so watches spread.
const TIMEOUT_MIN: Duration = Duration::from_secs(30 * 60);

/// Events that are ready are sent together up to this size.
const BATCH: usize = 32 * 1024;

pub(super) async fn watch(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let accepted = crate::encode::negotiate(call.headers, call.query, true)?;
    if accepted.format == crate::decode::Format::Yaml {
        return Err(Status::not_acceptable(
            "only the following media types are accepted: application/json, \
             application/vnd.kubernetes.protobuf;stream=watch",
        ));
    }
    let filter = super::list::filter(call)?;
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let start = start(call).await?;
    let Some((index, _)) = call.served.stored else { return Err(super::not_allowed()) };
    let cache = &call.server.cache;
    let reader = match cache.resources()[index].watch(filter, start, bookmarks, cache.revision()) {
        Ok(reader) => reader,
        Err(old) => {
            let asked = if let WatchStart::After(asked) = start { asked } else { 0 };
            return Err(Status::expired(format!("too old resource version: {asked} ({})", old.oldest)));
        }
    };
    if bookmarks {
        cache.want_bookmarks();
    }
    let encoder = WatchEncoder::new(accepted);
    let mut response_type = HeaderValue::from_static(encoder.content_type());
    response_type.set_sensitive(false);
    let feed = Feed {
        reader,
        encoder,
        server: call.server.clone(),
        served: find_served(call.served),
        deadline: Instant::now() + timeout(call),
        stop: call.server.draining.clone(),
        ended: false,
        bookmarks,
    };
    let mut response = Response::new(stream(futures::stream::unfold(feed, |mut feed| async move {
        feed.next().await.map(|bytes| (Ok(bytes), feed))
    })));
    response.headers_mut().insert(CONTENT_TYPE, response_type);
    Ok(response)
}

/// How a stream finds its resource again without borrowing it.
fn find_served(served: &Served) -> (&'static str, &'static str, &'static str) {
    (served.api.group, served.api.version, served.api.plural)
}

fn timeout(call: &Call<'_>) -> Duration {
    match call.query.number("timeoutSeconds").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0) {
        Some(seconds) => Duration::from_secs(seconds),
        None => TIMEOUT_MIN.mul_f64(1.0 + rand::rng().random::<f64>()),
    }
}

async fn start(call: &Call<'_>) -> Result<WatchStart, Status> {
    let text = call.query.get("resourceVersion").unwrap_or_default();
    let initial = call.query.get("sendInitialEvents").map(|_| call.query.flag("sendInitialEvents"));
    check_initial(call, initial)?;
    let revision = if text.is_empty() { None } else { Some(parse_revision(call, text)?) };
    match (initial, revision) {
        (Some(true), revision) => {
            catch_up(call, revision).await?;
            Ok(WatchStart::State { announce: call.query.flag("allowWatchBookmarks") })
        }
        (Some(false), None | Some(0)) => {
            Ok(WatchStart::After(call.server.cache.fresh().await.map_err(store_failed)?))
        }
        (_, None | Some(0)) => {
            catch_up(call, revision).await?;
            Ok(WatchStart::State { announce: false })
        }
        (_, Some(revision)) => {
            not_older_than(call, revision).await?;
            Ok(WatchStart::After(revision))
        }
    }
}

/// A state is as new as was asked for; as new as the store where nothing was said.
async fn catch_up(call: &Call<'_>, revision: Option<u64>) -> Result<(), Status> {
    match revision {
        None => call.server.cache.fresh().await.map(drop).map_err(store_failed),
        Some(0) => Ok(()),
        Some(revision) => not_older_than(call, revision).await,
    }
}

fn check_initial(call: &Call<'_>, initial: Option<bool>) -> Result<(), Status> {
    let matching = call.query.get("resourceVersionMatch").unwrap_or_default();
    let detail = match (initial, matching) {
        (None, "") => return Ok(()),
        (None, _) => "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        (Some(_), "NotOlderThan") => return Ok(()),
        (Some(_), _) => "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    };
    let error = FieldError::forbidden(Path::new("resourceVersionMatch"), detail);
    Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &[error]))
}

/// The body of a watch, made as it is read: nothing runs for it while its client is away.
struct Feed {
    reader: WatchReader,
    encoder: WatchEncoder,
    server: std::sync::Arc<Server>,
    served: (&'static str, &'static str, &'static str),
    deadline: Instant,
    stop: Shutdown,
    ended: bool,
    bookmarks: bool,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let event = tokio::select! {
            event = self.reader.next() => event,
            () = tokio::time::sleep_until(self.deadline) => self.last_word(),
            () = self.stop.wait() => self.last_word(),
        };
        let server = self.server.clone();
        let (group, version, plural) = self.served;
        let served = server.resources.find(group, version, plural)?;
        let first = self.encoder.event(served, &event?);
        let Some(second) = (!self.ended).then(|| self.reader.ready()).flatten() else { return Some(first) };
        let mut batch = BytesMut::from(&first[..]);
        batch.extend_from_slice(&self.encoder.event(served, &second));
        while batch.len() < BATCH
            && let Some(event) = self.reader.ready()
        {
            batch.extend_from_slice(&self.encoder.event(served, &event));
        }
        Some(batch.freeze())
    }

    /// Before it ends, a watch with bookmarks says how far it came: its client resumes there.
    fn last_word(&mut self) -> Option<WatchEvent> {
        self.ended = true;
        self.bookmarks
            .then(|| WatchEvent::Bookmark { revision: self.reader.seen(), initial_events_end: false })
    }
}
