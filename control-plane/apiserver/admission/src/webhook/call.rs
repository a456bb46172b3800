//! One call of one webhook: whether it may be made, the call, and what its failure means.

use bytes::Bytes;
use oarlock_api::Status;
use oarlock_apiserver_webhook::CallError;

use super::hook::Hook;
use super::review::{ReviewVersion, with_head};
use super::verdict::{self, Verdict};
use crate::facts::Facts;

/// A call without a verdict.
#[derive(Debug)]
pub(super) enum Failure {
    /// The failure policy decides. The text is upstream's behind `failed calling webhook "x": `.
    Call(String),
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
            None => return Err(Failure::Call("Webhook SideEffects is nil".into())),
        }
    }
    hook.review.ok_or_else(|| {
        Failure::Call(
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
                .into(),
        )
    })
}

pub(super) async fn ask(
    hook: &Hook,
    version: ReviewVersion,
    tail: &Bytes,
    mutating: bool,
) -> Result<Verdict, Failure> {
    let client =
        hook.client.as_ref().map_err(|why| Failure::Call(format!("could not get REST client: {why}")))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let body = with_head(version, &uid, tail);
    let answer = client
        .post(body, Some(hook.timeout))
        .await
        .map_err(|e: CallError| Failure::Call(format!("failed to call webhook: {e}")))?;
    verdict::read(version, &uid, mutating, &answer).map_err(Failure::Call)
}

impl Failure {
    /// What the failure policy makes of it: nothing (it fails open), or the status to refuse with.
    pub(super) fn settle(self, hook: &Hook) -> Result<(), Status> {
        match self {
            Self::Refused(status) => Err(status),
            Self::Call(why) => {
                let told = format!("failed calling webhook {:?}: {why}", hook.name);
                tracing::warn!(webhook = hook.name, open = hook.fails_open, error = %told, "webhook failed");
                if hook.fails_open { Ok(()) } else { Err(Status::internal(told)) }
            }
        }
    }
}
