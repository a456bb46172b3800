//! What etcd's refusals mean, and which calls may be made again.

use tonic::{Code, ConnectError, Status};

use crate::types::StoreError;

/// A refusal, before it is said in the store's terms (which may take another question to etcd).
#[derive(Debug)]
pub(super) enum Refusal {
    Compacted,
    Future,
    NoLease,
    TooLarge,
    NoSpace,
    Other(Status),
}

/// May the call be made again, at another endpoint?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It has not been done.
    Safely,
    /// It may have been done: only reads are made again.
    Perhaps,
    Never,
}

pub(super) fn refusal(status: Status) -> Refusal {
    let says = |text| status.message().contains(text);
    match status.code() {
        Code::OutOfRange if says("has been compacted") => Refusal::Compacted,
        Code::OutOfRange if says("future revision") => Refusal::Future,
        Code::NotFound if says("lease not found") => Refusal::NoLease,
        Code::ResourceExhausted if says("database space exceeded") => Refusal::NoSpace,
        Code::ResourceExhausted if says("larger than max") => Refusal::TooLarge,
        Code::InvalidArgument if says("request is too large") => Refusal::TooLarge,
        _ => Refusal::Other(status),
    }
}

pub(super) fn again(status: &Status) -> Again {
    if never_sent(status) {
        return Again::Safely;
    }
    match status.code() {
        // etcd refuses these before it proposes anything to the other members.
        Code::Unavailable if status.message().contains("etcdserver: no leader") => Again::Safely,
        Code::ResourceExhausted if status.message().contains("too many requests") => Again::Safely,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Internal | Code::Unknown => {
            Again::Perhaps
        }
        _ => Again::Never,
    }
}

/// There was no connection to send it over.
fn never_sent(status: &Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The last status of a call that was given up.
pub(super) fn unavailable(status: &Status) -> StoreError {
    StoreError::Unavailable(format!("etcd: {}", describe(status)))
}

/// The message with its causes: a status of the transport alone says too little.
fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    if text.is_empty() { status.code().to_string() } else { text }
}

impl Refusal {
    /// For calls in which a revision has no part.
    pub(super) fn into_error(self, bytes: usize) -> StoreError {
        match self {
            Self::NoLease => StoreError::NoLease,
            Self::TooLarge => StoreError::TooLarge { bytes, limit: crate::REQUEST_LIMIT },
            Self::NoSpace => StoreError::DiskFull,
            Self::Compacted => StoreError::Unavailable("etcd: the revision has been compacted".into()),
            Self::Future => StoreError::Unavailable("etcd: the revision lies in the future".into()),
            Self::Other(status) => unavailable(&status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_understood() {
        let check = |code, message: &str, want: &str| {
            let said = format!("{:?}", refusal(Status::new(code, message)));
            assert!(said.starts_with(want), "{said}");
        };
        check(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", "Compacted");
        check(Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision", "Future");
        check(Code::NotFound, "etcdserver: requested lease not found", "NoLease");
        check(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "NoSpace");
        check(Code::InvalidArgument, "etcdserver: request is too large", "TooLarge");
        check(Code::ResourceExhausted, "trying to send message larger than max (3 vs. 2)", "TooLarge");
        check(Code::Unavailable, "etcdserver: request timed out", "Other");
    }

    #[test]
    fn only_what_was_not_done_is_safe_to_repeat() {
        let check =
            |code, message: &str, want| assert_eq!(again(&Status::new(code, message)), want, "{message}");
        check(Code::Unavailable, "etcdserver: no leader", Again::Safely);
        check(Code::ResourceExhausted, "etcdserver: too many requests", Again::Safely);
        check(Code::Unavailable, "etcdserver: leader changed", Again::Perhaps);
        check(Code::Unavailable, "etcdserver: request timed out", Again::Perhaps);
        check(Code::PermissionDenied, "etcdserver: permission denied", Again::Never);
        let mut lost = Status::unavailable("tcp connect error");
        lost.set_source(std::sync::Arc::new(ConnectError("refused".into())));
        assert_eq!(again(&lost), Again::Safely);
    }
}
