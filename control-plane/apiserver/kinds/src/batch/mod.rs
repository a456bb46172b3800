//! The batch group.

mod job;

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "cronjobs" => &CRON_JOB,
        "jobs" => &job::JOB,
        _ => return None,
    })
}

static CRON_JOB: Kind = Kind::COUNTED;
