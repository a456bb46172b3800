//! EventRateLimit: nobody floods the server with events. Off by default.

use std::collections::HashMap;
use std::time::Instant;

use async_trait::async_trait;
use oarlock_api::Status;
use parking_lot::Mutex;
use serde_json::Value;

use super::is_main;
use crate::types::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use crate::value::{items, text};

/// Buckets of one limit; the one longest untouched goes where a further one is needed.
const CACHE_SIZE_DEFAULT: u64 = 4096;

pub struct EventRateLimit {
    limits: Vec<Limit>,
}

struct Limit {
    kind: Kind,
    per_second: f64,
    burst: f64,
    size: usize,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Namespace => "Namespace",
            Self::User => "User",
            Self::SourceAndObject => "SourceAndObject",
        }
    }
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl EventRateLimit {
    /// `configuration` is the plugin's: a list of `limits` (type, qps, burst, cacheSize).
    pub fn new(configuration: &Value) -> Self {
        let limit = |limit: &Value| {
            let number = |field: &str| limit[field].as_u64().unwrap_or_default();
            let kind = match text(limit, &["type"]) {
                "Server" => Kind::Server,
                "Namespace" => Kind::Namespace,
                "User" => Kind::User,
                "SourceAndObject" => Kind::SourceAndObject,
                _ => return None,
            };
            let size = if number("cacheSize") == 0 { CACHE_SIZE_DEFAULT } else { number("cacheSize") };
            Some(Limit {
                kind,
                per_second: number("qps") as f64,
                burst: number("burst") as f64,
                size: usize::try_from(size).unwrap_or(usize::MAX),
                buckets: Mutex::default(),
            })
        };
        Self { limits: items(configuration, &["limits"]).iter().filter_map(limit).collect() }
    }
}

impl Limit {
    fn key(&self, request: &AdmissionRequest<'_>) -> String {
        match self.kind {
            Kind::Server => String::new(),
            Kind::Namespace => request.namespace.into(),
            Kind::User => request.user.name.clone(),
            Kind::SourceAndObject => {
                let event = request.object.as_deref().unwrap_or(&Value::Null);
                let of = |path: &[&str]| text(event, path).to_string();
                let object = if event["involvedObject"].is_object() { "involvedObject" } else { "regarding" };
                [
                    of(&["source", "component"]),
                    of(&["source", "host"]),
                    of(&[object, "kind"]),
                    of(&[object, "namespace"]),
                    of(&[object, "name"]),
                    of(&[object, "uid"]),
                    of(&[object, "apiVersion"]),
                ]
                .concat()
            }
        }
    }

    fn accepts(&self, key: String, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        if !buckets.contains_key(&key) && buckets.len() >= self.size {
            let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.filled).map(|(key, _)| key.clone());
            oldest.and_then(|key| buckets.remove(&key));
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.burst, filled: now });
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(self.burst);
        bucket.filled = now;
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }
}

#[async_trait]
impl AdmissionPlugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        let events = is_main(request, "", "events") || is_main(request, "events.k8s.io", "events");
        phase == Phase::Validate && events && !request.dry_run
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let now = Instant::now();
        let mut refused = None;
        for limit in &self.limits {
            let key = limit.key(request);
            if !limit.accepts(key.clone(), now) {
                refused = Some((limit.kind.name(), key));
            }
        }
        match refused {
            None => Ok(()),
            Some((kind, key)) => {
                Err(Status::too_many_requests(format!("limit reached on type {kind} for key {key}"), 1))
            }
        }
    }
}
