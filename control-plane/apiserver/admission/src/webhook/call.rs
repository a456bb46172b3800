//! One call of one webhook: whether it may be made, the call, and what its failure means.

use bytes::Bytes;
use oarlock_api::Status;
use oarlock_apiserver_webhook::CallError;

use super::hook::Hook;
use super::review::{ReviewVersion, with_head};
use super::verdict::{self, Verdict};
use crate::facts::Facts;
use crate::metrics::Ended;

/// The code of a call that nobody answered.
const UNAVAILABLE: u16 = 503;

/// A call without a verdict.
#[derive(Debug)]
pub(super) enum Failure {
    /// The failure policy decides. The text is upstream's behind `failed calling webhook "x": `; the code is for metrics.
    Call { why: String, code: u16 },
    /// Refused whatever the failure policy.
    Refused(Status),
}

/// The version to ask in, if the webhook may be asked at all.
pub(super) fn may_ask(hook: &Hook, facts: &Facts<'_>) -> Result<ReviewVersion, Failure> {
    if facts.dry_run {
        match hook.dry_run {
            Some(true) => {}
            Some(false) => {
                let told = format!("admission webhook {:?} does not support dry run", hook.name);
                return Err(Failure::Refused(Status::bad_request(told)));
            }
            None => return Err(Failure::call("Webhook SideEffects is nil", 400)),
        }
    }
    let none = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
    hook.review.ok_or_else(|| Failure::call(none, 400))
}

pub(super) async fn ask(
    hook: &Hook,
    version: ReviewVersion,
    tail: &Bytes,
    mutating: bool,
) -> Result<Verdict, Failure> {
    let client = hook
        .client
        .as_ref()
        .map_err(|why| Failure::call(format!("could not get REST client: {why}"), 400))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let body = with_head(version, &uid, tail);
    let answer = client.post(body, Some(hook.timeout)).await.map_err(|e: CallError| {
        let code = e.status().map_or(UNAVAILABLE, |status| status.code);
        Failure::call(format!("failed to call webhook: {e}"), code)
    })?;
    verdict::read(version, &uid, mutating, &answer).map_err(|why| Failure::call(why, UNAVAILABLE))
}

impl Failure {
    pub(super) fn call(why: impl Into<String>, code: u16) -> Self {
        Self::Call { why: why.into(), code }
    }

    /// For metrics.
    pub(super) fn ended(&self, hook: &Hook) -> Ended {
        match self {
            Self::Refused(status) => Ended::Unusable(status.code),
            Self::Call { code, .. } if hook.fails_open => Ended::FailedOpen(*code),
            Self::Call { code, .. } => Ended::Failed(*code),
        }
    }

    /// What the failure policy makes of it: nothing (it fails open), or the status to refuse with.
    pub(super) fn settle(self, hook: &Hook) -> Result<(), Status> {
        match self {
            Self::Refused(status) => Err(status),
            Self::Call { why, .. } => {
                let told = format!("failed calling webhook {:?}: {why}", hook.name);
                tracing::warn!(webhook = hook.name, open = hook.fails_open, error = %told, "webhook failed");
                if hook.fails_open { Ok(()) } else { Err(Status::internal(told)) }
            }
        }
    }
}
