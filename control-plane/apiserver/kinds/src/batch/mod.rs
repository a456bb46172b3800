//! The batch group.

mod cells;
mod job;
mod schedule;
mod validate;

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "cronjobs" => &CRON_JOB,
        "jobs" => &job::JOB,
        _ => return None,
    })
}

static CRON_JOB: Kind = Kind {
    name: crate::names::cron_job,
    validate: validate::cron_job,
    cells: Some(cells::cron_job),
    ..Kind::COUNTED
};
