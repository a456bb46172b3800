//! Keeps a [`Sink`] in step with one resource of the API: list, watch from there, resume, and list again when the API
//! no longer knows the place (410 Gone).

use std::marker::PhantomData;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{ListParams, ObjectList, Request, WatchEvent, WatchParams};
use kube::{Client, Resource};
use oarlock_base::{Backoff, BackoffState};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Selection;
use crate::helpers::is_gone;

/// Short at first, for the time when the server is just starting; long in an outage, as upstream's reflector.
const RETRY: Backoff =
    Backoff { initial: Duration::from_millis(50), max: Duration::from_secs(30), factor: 2.0, jitter: 1.0 };

/// A watch that lasted this long was a good one: the next failure starts the back-off anew.
const GOOD_WATCH: Duration = Duration::from_secs(5);

/// The server ends a watch after this many seconds, so that clients spread over servers (kube refuses 295 and more
/// in its own calls, so the window stays below).
const WATCH_SECONDS: std::ops::Range<u32> = 240..290;

/// Where a reflector puts what it learns.
pub(super) trait Sink<K>: Send + Sync {
    fn upsert(&self, object: K);
    fn remove(&self, object: K);
    /// The whole content, from a list.
    fn replace(&self, objects: Vec<K>);
}

/// Why a watch ended.
enum Ended {
    /// In the normal course; resume at the last version.
    Closed,
    /// The version is too old: list again.
    Gone,
    Failed(kube::Error),
}

pub(super) struct Reflector<K, S> {
    client: Client,
    path: String,
    selection: Selection,
    sink: S,
    retry: BackoffState,
    /// The last version that a list or a watch gave.
    version: Option<String>,
    object: PhantomData<fn() -> K>,
}

impl<K, S> Reflector<K, S>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    S: Sink<K>,
{
    pub(super) fn new(client: Client, path: String, selection: Selection, sink: S) -> Self {
        Self { client, path, selection, sink, retry: RETRY.start(), version: None, object: PhantomData }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(error) = self.list().await {
                self.pause("list", &error).await;
                continue;
            }
            self.watch_while_known().await;
        }
    }

    /// Watches, again and again, until the API no longer knows our version.
    async fn watch_while_known(&mut self) {
        loop {
            let started = Instant::now();
            let before = self.version.clone();
            let ended = self.watch().await;
            if started.elapsed() >= GOOD_WATCH || self.version != before {
                self.retry.reset();
            }
            match ended {
                Ended::Gone => return debug!(path = %self.path, "watch is too old, listing again"),
                Ended::Failed(error) => self.pause("watch", &error).await,
                // A server that closes at once what it just opened must not be asked in a tight loop.
                Ended::Closed if started.elapsed() < GOOD_WATCH && self.version == before => {
                    tokio::time::sleep(self.retry.next_delay()).await;
                }
                Ended::Closed => {}
            }
        }
    }

    async fn pause(&mut self, what: &str, error: &kube::Error) {
        let delay = self.retry.next_delay();
        if self.retry.attempts() > 3 {
            warn!(path = %self.path, error = %error, what, "informer failed, trying again");
        } else {
            debug!(path = %self.path, error = %error, what, "informer failed, trying again");
        }
        tokio::time::sleep(delay).await;
    }

    /// Lists everything. The first list takes what the server's cache has; a later one asks for at least what was
    /// seen before; after a 410 the freshest.
    async fn list(&mut self) -> kube::Result<()> {
        let at_least = self.version.take().unwrap_or_else(|| "0".into());
        let listed = match self.list_at(Some(at_least)).await {
            Err(error) if is_gone(&error) || is_too_large_version(&error) => self.list_at(None).await?,
            listed => listed?,
        };
        self.version = listed.metadata.resource_version;
        self.sink.replace(listed.items);
        self.retry.reset();
        Ok(())
    }

    async fn list_at(&self, version: Option<String>) -> kube::Result<ObjectList<K>> {
        let params = ListParams {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            resource_version: version,
            ..ListParams::default()
        };
        let request = Request::new(self.path.clone());
        let request = if K::metadata_api() { request.list_metadata(&params) } else { request.list(&params) };
        self.client.request(request.map_err(kube::Error::BuildRequest)?).await
    }

    async fn watch(&mut self) -> Ended {
        let params = WatchParams {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            timeout: Some(rand::random_range(WATCH_SECONDS)),
            ..WatchParams::default()
        };
        let Some(version) = self.version.clone() else { return Ended::Gone };
        let request = Request::new(self.path.clone());
        let request = if K::metadata_api() {
            request.watch_metadata(&params, &version)
        } else {
            request.watch(&params, &version)
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return Ended::Failed(kube::Error::BuildRequest(error)),
        };
        let events = match self.client.request_events::<K>(request).await {
            Ok(events) => events,
            Err(error) => return ended_by(error),
        };
        let mut events = std::pin::pin!(events);
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    if let Err(ended) = self.take(event) {
                        return ended;
                    }
                }
                Some(Err(error)) => return ended_by(error),
                None => return Ended::Closed,
            }
        }
    }

    fn take(&mut self, event: WatchEvent<K>) -> Result<(), Ended> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.advance(object.meta().resource_version.clone());
                self.sink.upsert(object);
            }
            WatchEvent::Deleted(object) => {
                self.advance(object.meta().resource_version.clone());
                self.sink.remove(object);
            }
            WatchEvent::Bookmark(bookmark) => self.advance(Some(bookmark.metadata.resource_version)),
            WatchEvent::Error(status) => return Err(ended_by(kube::Error::Api(status))),
        }
        Ok(())
    }

    fn advance(&mut self, version: Option<String>) {
        if version.is_some() {
            self.version = version;
        }
    }
}

fn ended_by(error: kube::Error) -> Ended {
    if is_gone(&error) { Ended::Gone } else { Ended::Failed(error) }
}

/// The server has not yet seen the version we ask for, and gave up waiting for it: it was restored from a backup, or
/// is a follower far behind.
fn is_too_large_version(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 504 || status.message.contains("Too large resource version"))
}
