//! The batch group.

mod cells;
mod cron;
mod job;
mod policies;
mod schedule;
mod status;
mod validate;

use crate::kind::Kind;
use crate::template;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "cronjobs" => &CRON_JOB,
        "jobs" => &job::JOB,
        _ => return None,
    })
}

/// Where the pods' template of a CronJob stands.
const CRON_TEMPLATE: &[&str] = &["spec", "jobTemplate", "spec", "template"];

static CRON_JOB: Kind = Kind {
    name: crate::names::cron_job,
    validate: cron::validate,
    validate_new: cron::new,
    changes: cron::changes,
    warn: cron::warn,
    prepare_create: |_, cron| template::drop_disabled(cron, None, CRON_TEMPLATE),
    prepare_update: |_, new, old| template::drop_disabled(new, Some(old), CRON_TEMPLATE),
    cells: Some(cells::cron_job),
    ..Kind::COUNTED
};
