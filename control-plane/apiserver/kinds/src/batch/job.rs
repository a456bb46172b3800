//! Jobs.

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::Context;
use crate::template;
use crate::value::{int, is_true, name, object_mut, text};

pub(crate) static JOB: Kind = Kind {
    // As upstream keeps it for batch/v1.
    propagation: "Orphan",
    validate: super::validate::job,
    validate_new: super::validate::new_job,
    changes: super::validate::job_changes,
    prepare_create: create,
    prepare_update: |_, new, old| template::drop_disabled(new, Some(old), TEMPLATE),
    warn: |job, old, warnings| template::warn(job, old, TEMPLATE, true, warnings),
    fields: |job| vec![("status.successful", int(&job["status"]["succeeded"]).to_string())],
    cells: Some(super::cells::job),
    ..Kind::COUNTED
};

const TEMPLATE: &[&str] = &["spec", "template"];
pub(super) const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
pub(super) const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// Unless the client selects pods itself, the job's uid and name label them and its uid selects them.
fn create(_context: &Context<'_>, job: &mut Value) {
    template::drop_disabled(job, None, TEMPLATE);
    if is_true(&job["spec"]["manualSelector"]) {
        return;
    }
    let (uid, name) = (text(&job["metadata"]["uid"]).to_string(), name(job).to_string());
    let pods = object_mut(job, "spec").entry("template").or_insert(Value::Null);
    object_mut(pods, "metadata");
    let labels = object_mut(&mut pods["metadata"], "labels");
    // What the client gave against it is refused by validation.
    for (label, value) in
        [("job-name", &name), (JOB_NAME, &name), ("controller-uid", &uid), (CONTROLLER_UID, &uid)]
    {
        labels.entry(label).or_insert_with(|| value.clone().into());
    }
    object_mut(&mut job["spec"], "selector");
    let wanted = object_mut(&mut job["spec"]["selector"], "matchLabels");
    wanted.entry(CONTROLLER_UID).or_insert_with(|| uid.into());
    // As whoever reads it fills them in.
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    if job["metadata"]["labels"].as_object().is_none_or(|own| own.is_empty()) {
        job["metadata"]["labels"] = labels;
    }
}
