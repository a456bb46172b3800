//! The batch group.

mod cells;
mod job;

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "cronjobs" => &CRON_JOB,
        "jobs" => &job::JOB,
        _ => return None,
    })
}

static CRON_JOB: Kind = Kind { cells: Some(cells::cron_job), ..Kind::COUNTED };
