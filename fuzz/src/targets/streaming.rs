//! What a peer of exec, attach and port-forward sends.

use oarlock_streaming::fuzz;

use super::wait;
use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    "status",
    "Success",
    "Failure",
    "reason",
    "NonZeroExitCode",
    "details",
    "causes",
    "ExitCode",
    "message",
    "Width",
    "Height",
    "1",
    "255",
    "-1",
];

/// The first byte says in what pieces the rest arrives.
pub(super) fn spdy(input: &[u8]) -> Seen {
    let Some((step, bytes)) = input.split_first() else { return Seen::NOTHING };
    Seen::NOTHING.and("end", fuzz::spdy(bytes, usize::from(*step)))
}

pub(super) fn websocket(input: &[u8]) -> Seen {
    let Some((side, bytes)) = input.split_first() else { return Seen::NOTHING };
    Seen::NOTHING.and("end", wait(fuzz::websocket(bytes, side % 2 == 0)))
}

pub(super) fn remote_command(input: &[u8]) -> Seen {
    Seen::NOTHING.and("exit", fuzz::exit(input)).and("sizes", wait(fuzz::sizes(input)).min(3))
}
