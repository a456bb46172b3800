//! What controllers share: the context they are made from, and what they all need to know of pods and selectors.

pub(crate) mod addresses;
pub(crate) mod claim;
pub(crate) mod context;
pub(crate) mod discovery;
mod error;
pub(crate) mod finalizer;
pub(crate) mod pods;
pub(crate) mod projection;
pub(crate) mod selectors;

use jiff::Timestamp;

pub(crate) use context::{Context, Controller};
pub(crate) use error::{ApiError, api_error};

/// What an error says, as upstream prints it: the API's message alone.
pub(crate) fn error_text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The time left until `at`; zero when it has passed.
pub(crate) fn until(at: Timestamp, now: Timestamp) -> std::time::Duration {
    std::time::Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// `time` and `seconds` more.
pub(crate) fn plus_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
