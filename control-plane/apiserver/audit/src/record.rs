//! What is told of one request, filled on its way, and emitted at each stage.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use oarlock_api::{Status, User};
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::audit::Audit;
use crate::event::{AuthenticationMetadata, Event, ResponseStatus};
use crate::policy::{Level, Stage, Verdict};

/// Requests that took longer say so in an annotation.
const SLOW_MS: i64 = 500;

/// Annotations of level Request.
const PATCHES: &str = "patch.webhook.admission.k8s.io/";

/// What a Status has among its first bytes, and how many these are at most.
const STATUS: &[u8] = br#""kind":"Status""#;
const HEAD: usize = 128;

/// The event of the beginning could not be stored, and the mode is strict: the request must fail (500, reason
/// InternalError).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to store audit event")]
pub struct NotStored;

/// One request under audit. Shared by those who fill it; the last event is sent, without waiting, when the record is
/// dropped before it was told that the answer is complete (the client went away, a watch has ended).
pub struct Record {
    audit: Arc<Audit>,
    verdict: Verdict,
    id: Arc<str>,
    long_running: bool,
    state: Mutex<State>,
}

struct State {
    event: Event,
    started: bool,
    ended: bool,
}

impl Record {
    pub(crate) fn new(audit: Arc<Audit>, verdict: Verdict, event: Event, long_running: bool) -> Self {
        let id = event.audit_id.clone();
        let state = Mutex::new(State { event, started: false, ended: false });
        Self { audit, verdict, id, long_running, state }
    }

    /// For the answer's header `Audit-Id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the policy says of this request.
    pub fn level(&self) -> Level {
        self.verdict.level
    }

    /// Whether [`request_object`](Self::request_object) is of use.
    pub fn wants_request(&self) -> bool {
        self.verdict.level >= Level::Request
    }

    /// Whether [`response_object`](Self::response_object) is of use.
    pub fn wants_response(&self) -> bool {
        self.verdict.level >= Level::RequestResponse
    }

    /// Stage RequestReceived: before anything is done.
    pub async fn request_received(&self) -> Result<(), NotStored> {
        if self.emit(Stage::RequestReceived, |_| {}).await {
            return Ok(());
        }
        self.audit.metrics.rejected();
        self.state.lock().ended = true;
        Err(NotStored)
    }

    /// Authentication failed: the only event of such a request. `methods` says what was tried:
    /// `Authentication failed, attempted: bearer`.
    pub async fn authentication_failed(&self, methods: &str, code: u16) {
        self.state.lock().ended = true;
        let status = ResponseStatus { message: methods.into(), code, ..ResponseStatus::default() };
        self.emit(Stage::ResponseStarted, |event| event.response_status = Some(status)).await;
    }

    /// Who the request is by now, where that is not who asked.
    pub fn impersonated(&self, user: &User) {
        self.state.lock().event.impersonated_user = Some(user.into());
    }

    /// The verb of constrained impersonation (`impersonate:user-info`) that was enough for it.
    pub fn constrained(&self, verb: &str) {
        let metadata = AuthenticationMetadata { impersonation_constraint: verb.into() };
        self.state.lock().event.authentication_metadata = Some(metadata);
    }

    /// `authorization.k8s.io/decision` (`allow`, `forbid`) and `/reason`.
    pub fn authorized(&self, allowed: bool, reason: &str) {
        let decision = if allowed { "allow" } else { "forbid" };
        self.annotate("authorization.k8s.io/decision", decision);
        self.annotate("authorization.k8s.io/reason", reason);
    }

    /// A key that was said once is not said again.
    pub fn annotate(&self, key: &str, value: &str) {
        let annotations = &mut self.state.lock().event.annotations;
        if !annotations.contains_key(key) {
            annotations.insert(key.into(), value.into());
        }
    }

    /// What admission plugins said. What a webhook changed is part of the object, and told only where that is.
    pub fn annotations(&self, all: BTreeMap<String, String>) {
        let whole = self.wants_request();
        let annotations = &mut self.state.lock().event.annotations;
        for (key, value) in all.into_iter().filter(|(key, _)| whole || !key.starts_with(PATCHES)) {
            annotations.entry(key).or_insert(value);
        }
    }

    /// The object that was sent, decoded, in the version of the request. Fills the reference, too.
    pub fn request_object(&self, object: &Value) {
        let kept = self.wants_request().then(|| self.raw(object)).flatten();
        let mut state = self.state.lock();
        if let Some(reference) = &mut state.event.object_ref {
            let meta = &object["metadata"];
            let text = |field: &str| meta[field].as_str().unwrap_or_default().to_string();
            let fill = |to: &mut String, field: &str| {
                if to.is_empty() {
                    *to = text(field);
                }
            };
            fill(&mut reference.name, "name");
            fill(&mut reference.namespace, "namespace");
            fill(&mut reference.uid, "uid");
            fill(&mut reference.resource_version, "resourceVersion");
        }
        if kept.is_some() {
            state.event.request_object = kept;
        }
    }

    /// A patch as it was sent (JSON).
    pub fn request_patch(&self, patch: &[u8]) {
        if self.wants_request()
            && let Some(kept) = std::str::from_utf8(patch).ok().and_then(raw_text)
        {
            self.state.lock().event.request_object = Some(kept);
        }
    }

    /// The object or list that is answered. A `v1` Status is told at every level; others only if the level asks for it.
    pub fn response_object(&self, object: &Value) {
        if object["kind"] == "Status" && object["apiVersion"] == "v1" {
            self.state.lock().event.response_status = Some(ResponseStatus::read(object));
        }
        if self.wants_response()
            && let Some(kept) = self.raw(object)
        {
            self.state.lock().event.response_object = Some(kept);
        }
    }

    /// The same from the JSON that goes on the wire. Other bytes (protobuf) tell nothing.
    pub fn response_json(&self, json: &[u8]) {
        let is_status = json.get(..HEAD).unwrap_or(json).windows(STATUS.len()).any(|part| part == STATUS);
        if is_status || (self.wants_response() && self.verdict.omit_managed_fields) {
            if let Ok(object) = serde_json::from_slice::<Value>(json) {
                self.response_object(&object);
            }
        } else if self.wants_response()
            && let Some(kept) = std::str::from_utf8(json).ok().and_then(raw_text)
        {
            self.state.lock().event.response_object = Some(kept);
        }
    }

    /// The answer is a failure.
    pub fn response_status(&self, status: &Status) {
        let kept =
            self.wants_response().then(|| to_raw_value(&status.to_value()).ok().map(Arc::from)).flatten();
        let event = &mut self.state.lock().event;
        event.response_status = Some(ResponseStatus::failure(status));
        if kept.is_some() {
            event.response_object = kept;
        }
    }

    /// Stage ResponseStarted, for requests that last: its head is sent, its body follows.
    pub async fn response_started(&self, code: u16) {
        if self.long_running && !std::mem::replace(&mut self.state.lock().started, true) {
            self.emit(Stage::ResponseStarted, |event| set_code(event, code)).await;
        }
    }

    /// Stage ResponseComplete: nothing more is sent.
    pub async fn response_complete(&self, code: u16) {
        if !std::mem::replace(&mut self.state.lock().ended, true) {
            self.emit(Stage::ResponseComplete, |event| complete(event, Some(code))).await;
        }
    }

    /// Stage Panic.
    pub async fn panicked(&self, message: &str) {
        if std::mem::replace(&mut self.state.lock().ended, true) {
            return;
        }
        let status = ResponseStatus {
            status: "Failure".into(),
            reason: "InternalError".into(),
            message: format!("APIServer panic'd: {message}"),
            code: 500,
            ..ResponseStatus::default()
        };
        self.emit(Stage::Panic, |event| event.response_status = Some(status)).await;
    }

    fn raw(&self, object: &Value) -> Option<Arc<RawValue>> {
        if !self.verdict.omit_managed_fields {
            return to_raw_value(object).ok().map(Arc::from);
        }
        let mut object = object.clone();
        without_managed_fields(&mut object);
        if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
            items.iter_mut().for_each(without_managed_fields);
        }
        if let Some(rows) = object.get_mut("rows").and_then(Value::as_array_mut) {
            rows.iter_mut().filter_map(|row| row.get_mut("object")).for_each(without_managed_fields);
        }
        to_raw_value(&object).ok().map(Arc::from)
    }

    /// The event of a stage; `None` where it is not told.
    fn at(&self, stage: Stage, change: impl FnOnce(&mut Event)) -> Option<Event> {
        if self.verdict.omit.has(stage) {
            return None;
        }
        let mut state = self.state.lock();
        let now = Timestamp::now();
        state.event.stage = stage;
        if stage != Stage::RequestReceived {
            state.event.stage_timestamp = now;
        }
        change(&mut state.event);
        self.audit.metrics.event();
        Some(state.event.clone())
    }

    /// Whether the request may go on.
    async fn emit(&self, stage: Stage, change: impl FnOnce(&mut Event)) -> bool {
        let Some(event) = self.at(stage, change) else { return true };
        let mut json: Option<Bytes> = None;
        let mut well = true;
        for sink in &self.audit.sinks {
            well &= sink.send(&event, &mut json).await;
        }
        well
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        // Nobody has seen a head: it is told as upstream tells an answer that nobody took.
        let unseen = state.event.response_status.is_none();
        let started = (unseen && self.long_running).then(|| self.at(Stage::ResponseStarted, closed_early));
        let complete = self.at(Stage::ResponseComplete, |event| complete(event, None));
        for event in [started.flatten(), complete].into_iter().flatten() {
            let mut json = None;
            self.audit.sinks.iter().for_each(|sink| sink.send_now(&event, &mut json));
        }
    }
}

fn raw_text(json: &str) -> Option<Arc<RawValue>> {
    serde_json::from_str::<&RawValue>(json).ok().map(|raw| Arc::from(raw.to_owned()))
}

fn without_managed_fields(object: &mut Value) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
}

fn set_code(event: &mut Event, code: u16) {
    event.response_status.get_or_insert_default().code = code;
}

fn closed_early(event: &mut Event) {
    let (status, message) = ("Success".into(), "Connection closed early".into());
    event.response_status = Some(ResponseStatus { status, message, code: 200, ..ResponseStatus::default() });
}

fn complete(event: &mut Event, code: Option<u16>) {
    match code {
        Some(code) => set_code(event, code),
        None if event.response_status.is_none() => closed_early(event),
        None => {}
    }
    let took = event.stage_timestamp.duration_since(event.request_received_timestamp);
    if took.as_millis() > i128::from(SLOW_MS) {
        let nanos = took.as_nanos() as f64;
        event.annotations.insert("apiserver.latency.k8s.io/total".into(), go_duration(nanos));
    }
}

/// `1.234567s`, `1m2.5s`: Go's notation of a duration of at least half a second.
fn go_duration(nanos: f64) -> String {
    if nanos < 1e9 {
        return format!("{}ms", trimmed(nanos / 1e6, 6));
    }
    let seconds = nanos / 1e9;
    let (hours, minutes) = ((seconds / 3600.0).floor(), (seconds / 60.0).floor() % 60.0);
    let rest = trimmed(seconds - hours * 3600.0 - minutes * 60.0, 9);
    match (hours > 0.0, minutes > 0.0) {
        (true, _) => format!("{hours}h{minutes}m{rest}s"),
        (false, true) => format!("{minutes}m{rest}s"),
        (false, false) => format!("{rest}s"),
    }
}

fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("id", &self.id).field("level", &self.level()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(go_duration(512_300_000.0), "512.3ms");
        assert_eq!(go_duration(1_234_567_000.0), "1.234567s");
        assert_eq!(go_duration(62_500_000_000.0), "1m2.5s");
        assert_eq!(go_duration(3_600_000_000_000.0), "1h0m0s");
    }
}
