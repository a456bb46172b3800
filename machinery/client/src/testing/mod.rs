//! A Kubernetes API in memory, for tests of whatever talks to one.
//!
//! [`FakeApi`] is a service under a [`kube::Client`]: it stores any JSON object, knows selectors, watches with resume,
//! patches, graceful deletion, finalizers and the status, scale (to read), binding, eviction and finalize subresources. It validates,
//! defaults and admits nothing. Tests change the world with [`put`](FakeApi::put) and wait for an effect with
//! [`until`](FakeApi::until).

mod kinds;
mod patch;
mod path;
mod select;
mod state;
#[cfg(test)]
mod tests;
mod verbs;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use path::{ResourceId, Target};
use select::Filter;
pub use state::Recorded;
use state::{Entry, Fault, State};
use verbs::Call;

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The fake. Clones are the same one.
#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
}

impl Default for FakeApi {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeApi {
    pub fn new() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(())) }
    }

    /// A client of this fake. To be called within a Tokio runtime.
    pub fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { fake.serve(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Creates or replaces an object, status included, as somebody else's writes would. It must carry `apiVersion`
    /// and `kind` (k8s-openapi's structs print both). Gives the stored form.
    pub fn put(&self, object: impl Serialize) -> Value {
        let mut object = serde_json::to_value(object).expect("a test's object can be serialised");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let resource = kinds::resource_of(&text(&object["apiVersion"]), &text(&object["kind"]));
        let key = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let mut state = self.state.lock();
        let old = state.object(&resource, &key.0, &key.1).cloned();
        let stored = match old {
            Some(old) => {
                if object["metadata"]["uid"].is_null() {
                    object["metadata"]["uid"] = old["metadata"]["uid"].clone();
                }
                state.store(&resource, key, Some(object))
            }
            None => verbs::create(&mut state, &resource, &key.0, object).expect("it does not exist yet"),
        };
        drop(state);
        self.changed.send_replace(());
        stored
    }

    /// An object by its resource's plural name; the namespace is empty for cluster-scoped ones.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.state.lock();
        let key = (namespace.to_string(), name.to_string());
        state.find(plural).find_map(|(_, objects)| objects.get(&key).cloned())
    }

    /// All objects of a resource, by namespace and name.
    pub fn list(&self, plural: &str) -> Vec<Value> {
        self.state.lock().find(plural).flat_map(|(_, objects)| objects.values().cloned()).collect()
    }

    /// Removes an object at once, whatever finalizers it has.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let key = (namespace.to_string(), name.to_string());
        let mut state = self.state.lock();
        let resource =
            state.find(plural).find(|(_, objects)| objects.contains_key(&key)).map(|(id, _)| id.clone());
        if let Some(resource) = resource {
            state.store(&resource, key, None);
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.lock().recorded.clone()
    }

    /// The requests that are not reads.
    pub fn writes(&self) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| request.method != "GET");
        requests
    }

    /// Answers the next request of this method whose path contains this with a failure.
    pub fn fail_next(&self, method: &str, path_contains: &str, code: u16, reason: &str) {
        self.state.lock().faults.push_back(Fault {
            method: method.into(),
            path_contains: path_contains.into(),
            code,
            reason: reason.into(),
        });
    }

    /// Ends every watch, as a connection that breaks does; they can resume.
    pub fn break_watches(&self) {
        self.state.lock().epoch += 1;
        self.changed.send_replace(());
    }

    /// Ends every watch and forgets the history: who resumes is answered 410.
    pub fn expire_watches(&self) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.revision += 1;
        state.compacted = state.revision;
        state.log.clear();
        drop(state);
        self.changed.send_replace(());
    }

    /// Waits until `check` gives something; looks again after every change.
    pub async fn until<T>(&self, mut check: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = check(self) {
                return found;
            }
            changed.changed().await.expect("the sender lives as long as the fake");
        }
    }

    async fn serve(&self, request: Request<Body>) -> Result<Reply, kube::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let query = parts.uri.query().unwrap_or_default();
        let options = parse_query(query);
        let content_type = parts.headers.get(http::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let target = path::parse(path);
        let filter = Filter {
            namespace: match &target {
                Target::Collection { namespace, .. } => namespace.clone(),
                _ => String::new(),
            },
            labels: options.get("labelSelector").cloned(),
            fields: options.get("fieldSelector").cloned(),
        };

        let mut state = self.state.lock();
        state.recorded.push(Recorded {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            body: body.clone(),
        });
        let fault = state.take_fault(method, path);
        if let Some(Fault { code, reason, .. }) = fault {
            drop(state);
            self.changed.send_replace(());
            return Ok(refusal(code, &reason, "injected by a test"));
        }
        let watching = options.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        if let (Target::Collection { resource, .. }, true) = (&target, watching) {
            let from =
                options.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
            let reply = self.watch(&state, resource.clone(), filter, from);
            drop(state);
            self.changed.send_replace(());
            return Ok(reply);
        }
        let call =
            Call { method, content_type, body: &body, filter, apply: content_type.contains("apply-patch") };
        let answer = verbs::answer(&mut state, &target, &call);
        drop(state);
        self.changed.send_replace(());
        Ok(match answer {
            Ok(value) => reply(if method == "POST" { 201 } else { 200 }, &value),
            Err((code, reason, message)) => refusal(code, &reason, &message),
        })
    }

    fn watch(&self, state: &State, resource: ResourceId, filter: Filter, from: u64) -> Reply {
        if from < state.compacted {
            return refusal(
                410,
                "Expired",
                &format!("too old resource version: {from} ({})", state.compacted),
            );
        }
        let watcher = Watcher {
            fake: self.clone(),
            changed: self.changed.subscribe(),
            resource,
            filter,
            seen: from,
            epoch: state.epoch,
        };
        let frames = stream::unfold(watcher, |mut watcher| async move {
            let chunk = watcher.next().await?;
            Some((Ok::<_, Infallible>(http_body_frame(chunk)), watcher))
        });
        let body = StreamBody::new(frames.boxed()).boxed_unsync();
        Response::builder().status(200).body(body).expect("a plain response is valid")
    }
}

fn http_body_frame(chunk: Vec<u8>) -> http_body::Frame<Bytes> {
    http_body::Frame::data(Bytes::from(chunk))
}

/// One watch: follows the log from a revision on.
struct Watcher {
    fake: FakeApi,
    changed: watch::Receiver<()>,
    resource: ResourceId,
    filter: Filter,
    seen: u64,
    epoch: u64,
}

impl Watcher {
    /// The next events as they go over the wire; `None` at the end of the watch.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let chunk = {
                let state = self.fake.state.lock();
                if state.epoch != self.epoch {
                    return None;
                }
                let from = state.log.partition_point(|entry| entry.revision <= self.seen);
                let mine = state.log[from..].iter().filter(|entry| entry.resource == self.resource);
                let chunk: Vec<u8> = mine.filter_map(|entry| self.event(entry)).flatten().collect();
                self.seen = state.revision;
                chunk
            };
            if !chunk.is_empty() {
                return Some(chunk);
            }
            self.changed.changed().await.ok()?;
        }
    }

    /// An entry as this watch sees it: an object that begins or ceases to match is added or deleted.
    fn event(&self, entry: &Entry) -> Option<Vec<u8>> {
        let before = entry.old.as_ref().filter(|old| self.filter.matches(old));
        let after = entry.new.as_ref().filter(|new| self.filter.matches(new));
        let (kind, mut object) = match (before, after) {
            (None, None) => return None,
            (None, Some(new)) => ("ADDED", new.clone()),
            (Some(_), Some(new)) => ("MODIFIED", new.clone()),
            (Some(old), None) => ("DELETED", old.clone()),
        };
        object["metadata"]["resourceVersion"] = json!(entry.revision.to_string());
        let mut line = json!({"type": kind, "object": object}).to_string().into_bytes();
        line.push(b'\n');
        Some(line)
    }
}

fn parse_query(query: &str) -> HashMap<String, String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

fn reply(code: u16, value: &Value) -> Reply {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(code).body(body).expect("a plain response is valid")
}

fn refusal(code: u16, reason: &str, message: &str) -> Reply {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    if reason == "NamespaceTerminating" {
        status["reason"] = json!("Forbidden");
        status["details"] = json!({"causes": [{"reason": "NamespaceTerminating", "message": message}]});
    }
    reply(code, &status)
}
