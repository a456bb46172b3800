//! Trying again, as the webhooks of authentication, authorisation and audit do. (apiserver `util/webhook`)

use std::time::Duration;

use bytes::Bytes;
use oarlock_base::Backoff;

use crate::{CallError, Client};

/// Upstream's default: five tries, from half a second on.
pub const RETRY_BACKOFF: (Backoff, u32) = (
    Backoff { initial: Duration::from_millis(500), max: Duration::from_secs(30), factor: 1.5, jitter: 0.2 },
    5,
);

/// Whether another try may succeed.
pub fn should_retry(error: &CallError) -> bool {
    match error {
        CallError::Transport { retriable, .. } => *retriable,
        CallError::Status(status) => {
            let delay = status.details.as_ref().is_some_and(|details| details.retry_after_seconds > 0);
            delay || matches!(status.code, 429 | 500 | 504)
        }
        CallError::Deadline { .. } | CallError::TooLarge { .. } | CallError::Token { .. } => false,
    }
}

/// Posts until it succeeds, fails for good, or `tries` are used up; `timeout` is each try's.
pub async fn post_with_retries(
    client: &Client,
    body: Bytes,
    timeout: Option<Duration>,
    (backoff, tries): (Backoff, u32),
) -> Result<Bytes, CallError> {
    let mut delays = backoff.start();
    let mut left = tries.max(1);
    loop {
        left -= 1;
        match client.post(body.clone(), timeout).await {
            Err(error) if left > 0 && should_retry(&error) => {
                tracing::debug!(error = %error, left, "webhook call is tried again");
                tokio::time::sleep(delays.next_delay()).await;
            }
            result => return result,
        }
    }
}
