//! What the status of a job may say. Its controller may be anybody's, so every change of it is held to what clients of jobs rely on:
//! what has ended stays ended, and what is counted is not counted back. (KEP-4368)
//!
//! A law is asked only where what it speaks of has changed: what was wrong before may stay so.

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use super::policies::{counted, intervals};
use crate::check;
use crate::value::{int, is_set, is_true, items, text, texts};

/// How far a job is, by its conditions.
#[derive(Clone, Copy, PartialEq)]
struct Stage {
    complete: bool,
    failed: bool,
    failing: bool,
    succeeding: bool,
}

impl Stage {
    fn of(status: &Value) -> Self {
        let is = |kind: &str| {
            items(&status["conditions"]).iter().any(|c| c["type"] == kind && c["status"] == "True")
        };
        Self {
            complete: is("Complete"),
            failed: is("Failed"),
            failing: is("FailureTarget"),
            succeeding: is("SuccessCriteriaMet"),
        }
    }

    fn is_over(self) -> bool {
        self.complete || self.failed
    }
}

/// The status before and after.
struct Change<'v> {
    spec: &'v Value,
    now: &'v Value,
    was: &'v Value,
    stage: Stage,
    before: Stage,
}

impl Change<'_> {
    fn of(&self, field: &str) -> bool {
        match field {
            // Absent and zero are the same of what is no pointer.
            "active" => int(&self.now[field]) != int(&self.was[field]),
            "completedIndexes" => text(&self.now[field]) != text(&self.was[field]),
            _ => self.now[field] != self.was[field],
        }
    }

    fn ends(&self) -> bool {
        self.stage.is_over() != self.before.is_over()
    }

    fn completes(&self) -> bool {
        self.stage.complete != self.before.complete
    }

    fn is_indexed(&self) -> bool {
        self.spec["completionMode"] == "Indexed"
    }
}

pub(super) fn changes(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (now, was) = (&new["status"], &old["status"]);
    let change = Change { spec: &new["spec"], now, was, stage: Stage::of(now), before: Stage::of(was) };
    let path = Path::new("status");
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        check::not_negative(&now[field], &path.child(field), errors);
    }
    uncounted(&now["uncountedTerminatedPods"], &path.child("uncountedTerminatedPods"), errors);
    conditions(&change, &path.child("conditions"), errors);
    times(&change, &path, errors);
    leftovers(&change, &path, errors);
    indexes(&change, &path, errors);
    counters(&change, &path, errors);
}

/// Pods that ended and are in no counter yet, each once.
fn uncounted(pods: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for list in ["succeeded", "failed"] {
        for (index, uid) in texts(&pods[list]).enumerate() {
            let at = path.child(list).index(index);
            if uid.is_empty() {
                errors.push(FieldError::invalid(at, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(at, uid));
            }
        }
    }
}

/// Which conditions go together, which before which, and which stay.
fn conditions(change: &Change<'_>, path: &Path, errors: &mut FieldErrors) {
    let (is, was) = (change.stage, change.before);
    let (completes, fails) = (change.completes(), is.failed != was.failed);
    let turns = |now: bool, before: bool| now != before;
    let laws: [(bool, bool, &str); 12] = [
        (completes || fails, is.complete && is.failed, "cannot set Complete=True and Failed=true conditions"),
        (
            completes || turns(is.failing, was.failing),
            is.complete && is.failing,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            fails || change.of("failedIndexes"),
            is.failed && !is.failing,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            completes || turns(is.succeeding, was.succeeding),
            is.complete && !is.succeeding,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (true, is.succeeding && is.failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (
            true,
            is.succeeding && is.failing,
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
        (
            is_set(&change.spec["successPolicy"]),
            is.complete && !is.succeeding,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
        (true, was.failed && !is.failed, "cannot disable the terminal Failed=True condition"),
        (true, was.complete && !is.complete, "cannot disable the terminal Complete=True condition"),
        (true, was.failing && !is.failing, "cannot disable the terminal FailureTarget=True condition"),
        (true, was.succeeding && !is.succeeding, "cannot disable the SuccessCriteriaMet=True condition"),
        (
            was.complete,
            !was.succeeding && is.succeeding,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ];
    for (_, _, words) in laws.iter().filter(|(asked, broken, _)| *asked && *broken) {
        errors.push(FieldError::invalid_omitted(path.clone(), *words));
    }
}

/// When it began and when it was complete.
fn times(change: &Change<'_>, path: &Path, errors: &mut FieldErrors) {
    let (start, end) = (&change.now["startTime"], &change.now["completionTime"]);
    let (start_at, end_at) = (path.child("startTime"), path.child("completionTime"));
    let mut refuse = |at: &Path, told: &Value, words: &str| {
        errors.push(FieldError::invalid(at.clone(), told.clone(), words));
    };
    if change.completes() || change.of("completionTime") {
        if !end.is_null() && !change.stage.complete {
            refuse(&end_at, end, "cannot set completionTime when there is no Complete=True condition");
        } else if end.is_null() && change.stage.complete {
            errors.push(FieldError::required(end_at.clone(), "completionTime is required for Complete jobs"));
        }
    }
    let mut refuse = |at: &Path, told: &Value, words: &str| {
        errors.push(FieldError::invalid(at.clone(), told.clone(), words));
    };
    let moved = change.of("startTime") || change.of("completionTime");
    // Times are in one form, so they are in the order of their texts.
    if moved && !start.is_null() && !end.is_null() && text(end) < text(start) {
        refuse(&end_at, end, "must be equal to or after `startTime`");
    }
    let before = &change.was["completionTime"];
    if !end.is_null() && !before.is_null() && end != before {
        refuse(&end_at, end, check::IMMUTABLE);
    }
    let is = |status: &Value, wanted: &str| {
        items(&status["conditions"]).iter().any(|c| c["type"] == "Suspended" && c["status"] == wanted)
    };
    let resumes = is(change.was, "True") && is(change.now, "False");
    let began = !change.was["startTime"].is_null() && change.of("startTime");
    if began && !resumes && !is_true(&change.spec["suspend"]) {
        refuse(&start_at, start, "field is immutable for unsuspended job once set");
    }
    let empty = is_true(&change.spec["suspend"]) && change.spec["completions"] == 0;
    if (change.ends() || change.of("startTime")) && !empty && start.is_null() && change.stage.is_over() {
        errors.push(FieldError::required(start_at, "startTime is required for finished job"));
    }
}

/// A job that is over has nothing left that runs or is to be counted.
fn leftovers(change: &Change<'_>, path: &Path, errors: &mut FieldErrors) {
    let now = change.now;
    for field in ["active", "terminating"] {
        if (change.ends() || change.of(field)) && change.stage.is_over() && int(&now[field]) > 0 {
            let words = format!("{field}>0 is invalid for finished job");
            errors.push(FieldError::invalid(path.child(field), now[field].clone(), words));
        }
    }
    let field = "uncountedTerminatedPods";
    let left = ["succeeded", "failed"].iter().any(|list| !items(&now[field][*list]).is_empty());
    if (change.ends() || change.of(field)) && change.stage.is_over() && left {
        let told = dump::object("io.k8s.api.batch.v1.UncountedTerminatedPods", &now[field]);
        let fault = FieldError::invalid(path.child(field), "", "must be empty for finished job");
        errors.push(fault.told_as(&told));
    }
    if (change.of("ready") || change.of("active")) && int(&now["ready"]) > int(&now["active"]) {
        let words = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(path.child("ready"), now["ready"].clone(), words));
    }
}

/// Which of its indexes have succeeded, and which have failed.
fn indexes(change: &Change<'_>, path: &Path, errors: &mut FieldErrors) {
    let (done, failed) = (text(&change.now["completedIndexes"]), change.now["failedIndexes"].as_str());
    let (done_at, failed_at) = (path.child("completedIndexes"), path.child("failedIndexes"));
    let completions = change.spec["completions"].as_i64();
    let limited = !change.spec["backoffLimitPerIndex"].is_null();
    let (done_moved, failed_moved) = (change.of("completedIndexes"), change.of("failedIndexes"));
    if let Some(completions) = completions {
        if let Some(fault) = counted(done, completions).err().filter(|_| done_moved) {
            let words = format!("error parsing completedIndexes: {fault}");
            errors.push(FieldError::invalid(done_at.clone(), done, words));
        }
        if let Some(failed) = failed.filter(|_| failed_moved && limited)
            && let Err(fault) = counted(failed, completions)
        {
            let words = format!("error parsing failedIndexes: {fault}");
            errors.push(FieldError::invalid(failed_at.clone(), failed, words));
        }
    }
    if done_moved && !done.is_empty() && !change.is_indexed() {
        let words = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(done_at, done, words));
    }
    let Some(failed) = failed else { return };
    if failed_moved && !limited {
        let words = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(failed_at.clone(), failed, words));
    }
    if let Some(index) = completions.and_then(|completions| shared(done, failed, completions))
        && (failed_moved || done_moved)
    {
        let words = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(FieldError::invalid(failed_at, failed, words));
    }
}

/// The first index that is in both.
fn shared(done: &str, failed: &str, completions: i64) -> Option<i64> {
    let mut done = intervals(done, completions).peekable();
    let mut failed = intervals(failed, completions).peekable();
    loop {
        let (&(from, to), &(first, last)) = (done.peek()?, failed.peek()?);
        if from <= last && first <= to {
            return Some(from.max(first));
        }
        if from <= first {
            done.next()
        } else {
            failed.next()
        };
    }
}

/// Counters only grow. Successes may shrink with an indexed job that is made smaller.
fn counters(change: &Change<'_>, path: &Path, errors: &mut FieldErrors) {
    let elastic = change.is_indexed() && change.spec["completions"] == change.spec["parallelism"];
    for (field, grows) in [("failed", true), ("succeeded", !elastic)] {
        let now = int(&change.now[field]);
        if grows && now < int(&change.was[field]) {
            let words = format!("cannot decrease the {field} counter");
            errors.push(FieldError::invalid(path.child(field), now, words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shared;

    #[test]
    fn indexes_in_both_are_found() {
        for (done, failed, want) in [
            ("", "1", None),
            ("0-2,5", "3,4", None),
            ("0-2,5-7", "4,6-8", Some(6)),
            ("1", "0-3", Some(1)),
            ("x,4", "4", Some(4)),
        ] {
            assert_eq!(shared(done, failed, 10), want, "{done} {failed}");
        }
    }
}
