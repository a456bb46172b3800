//! How to learn that a quiet watch has seen everything up to a revision.
//!
//! etcd answers a progress request on the stream. Before 3.4.31 and 3.5.13 that answer could overtake events that were still to
//! come (upstream reads from etcd instead of its cache there); with such a member a key is written under the watched
//! prefix, whose event cannot overtake anything. It is rarely needed: whatever changes under `/registry` is itself an event.

use std::time::Duration;

use tonic::Status;

use super::connection::Member;
use super::wire::{Empty, StatusResponse};
use super::{STATUS, Shared};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Request,
    Write,
}

impl Way {
    /// What comes by itself within this time need not be asked for.
    pub(super) fn grace(self) -> Duration {
        match self {
            Self::Request => Duration::from_millis(2),
            Self::Write => Duration::from_millis(20),
        }
    }

    /// A server that is still catching up does not answer: it is asked again.
    pub(super) fn period(self) -> Duration {
        match self {
            Self::Request => Duration::from_millis(100),
            Self::Write => Duration::from_millis(500),
        }
    }
}

/// What this member can be trusted with.
pub(super) async fn way(shared: &Shared, member: &Member) -> Result<Way, Status> {
    if let Some(way) = shared.forced_way {
        return Ok(way);
    }
    let status: StatusResponse = member.unary(STATUS, Empty {}).await?;
    Ok(if trusted(&status.version) { Way::Request } else { Way::Write })
}

fn trusted(version: &str) -> bool {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse::<u32>());
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    match (major, minor) {
        (3, 4) => patch >= 31,
        (3, 5) => patch >= 13,
        newer => newer > (3, 5),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_members_that_keep_the_order_are_trusted() {
        for (version, want) in [
            ("3.4.23", false),
            ("3.4.31", true),
            ("3.5.1", false),
            ("3.5.13", true),
            ("3.6.0", true),
            ("3.6.0-rc.1", true),
            ("4.0.0", true),
            ("3.3.99", false),
            ("", false),
        ] {
            assert_eq!(super::trusted(version), want, "{version}");
        }
    }
}
