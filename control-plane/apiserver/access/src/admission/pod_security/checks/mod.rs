//! The Pod Security Standards: each check says of a pod what it forbids, in upstream's words.
//!
//! A check holds from a version on. Restricted is baseline and more; a restricted check that says all that a baseline
//! one says stands in its place.

mod baseline;
mod restricted;

use std::collections::BTreeSet;

use serde_json::Value;

use super::policy::{Level, LevelVersion, PolicyVersion};
use crate::value::{at, items, text};

/// What a check found: `reason (detail)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) reason: String,
    pub(super) detail: String,
}

/// A pod as the checks read it.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
    pub(super) version: PolicyVersion,
}

type Check = fn(Pod<'_>) -> Option<Finding>;

struct Row {
    /// The first minor version that has it.
    since: u32,
    check: Check,
    /// For a baseline check: the version from which a restricted check stands in its place.
    replaced: u32,
}

const NEVER: u32 = u32::MAX;

const fn row(since: u32, check: Check, replaced: u32) -> Row {
    Row { since, check, replaced }
}

/// In the order of their upstream names.
const BASELINE: [Row; 12] = [
    row(0, baseline::app_armor, NEVER),
    row(0, baseline::capabilities, 22),
    row(0, baseline::host_namespaces, NEVER),
    row(0, baseline::host_path, 0),
    row(0, baseline::host_ports, NEVER),
    row(34, baseline::host_probes, NEVER),
    row(0, baseline::privileged, NEVER),
    row(0, baseline::proc_mount, 35),
    row(0, baseline::selinux, NEVER),
    row(0, baseline::seccomp, 19),
    row(0, baseline::sysctls, NEVER),
    row(0, baseline::windows_host_process, NEVER),
];

const RESTRICTED: [Row; 7] = [
    row(8, restricted::privilege_escalation, NEVER),
    row(22, restricted::capabilities, NEVER),
    row(35, restricted::proc_mount, NEVER),
    row(0, restricted::volumes, NEVER),
    row(0, restricted::run_as_non_root, NEVER),
    row(23, restricted::run_as_user, NEVER),
    row(19, restricted::seccomp, NEVER),
];

/// Everything that a pod does against a level.
pub(super) fn evaluate(asked: LevelVersion, metadata: &Value, spec: &Value) -> Vec<Finding> {
    let version = asked.version;
    let pod = Pod { metadata, spec, version };
    let holds = |row: &&Row| version.reaches(row.since);
    let run = |row: &Row| (row.check)(pod);
    match asked.level {
        Level::Privileged => Vec::new(),
        Level::Baseline => BASELINE.iter().filter(holds).filter_map(run).collect(),
        Level::Restricted => {
            let kept = BASELINE.iter().filter(|row| row.replaced == NEVER || !version.reaches(row.replaced));
            kept.filter(holds).chain(RESTRICTED.iter().filter(holds)).filter_map(run).collect()
        }
    }
}

/// `a (b), c`.
pub(super) fn details(findings: &[Finding]) -> String {
    let each = |f: &Finding| {
        if f.detail.is_empty() { f.reason.clone() } else { format!("{} ({})", f.reason, f.detail) }
    };
    findings.iter().map(each).collect::<Vec<_>>().join(", ")
}

pub(super) fn reasons(findings: &[Finding]) -> String {
    findings.iter().map(|f| f.reason.as_str()).collect::<Vec<_>>().join(", ")
}

impl<'a> Pod<'a> {
    fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| items(self.spec, &[list]))
    }

    /// Names of the containers that a predicate holds for.
    fn named(self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| bad(container)).map(|c| text(c, &["name"])).collect()
    }

    fn security(self) -> Option<&'a Value> {
        at(self.spec, &["securityContext"]).filter(|context| context.is_object())
    }

    /// Linux security does not concern a pod that says that it is for Windows. (from v1.25)
    fn is_windows(self) -> bool {
        self.version.reaches(25) && text(self.spec, &["os", "name"]) == "windows"
    }

    /// A pod in its own user namespace may be what would else be root. (KEP-127)
    fn in_user_namespace(self) -> bool {
        self.version.reaches(35) && at(self.spec, &["hostUsers"]).and_then(Value::as_bool) == Some(false)
    }
}

fn finding(reason: &str, detail: impl Into<String>) -> Finding {
    Finding { reason: reason.into(), detail: detail.into() }
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`.
fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("\"{}\"", name.as_ref())).collect();
    quoted.join(", ")
}

/// `container "a"`, `containers "a", "b"`.
fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and containers "a", "b"`, of what has set something.
fn setters(pod: bool, names: &[&str]) -> String {
    match (pod, names) {
        (true, []) => "pod".into(),
        (true, names) => format!("pod and {}", containers(names)),
        (false, names) => containers(names),
    }
}

/// One value of a field in the pod's and the containers' security contexts that not every value is allowed of.
struct Told<'a> {
    pod: Option<&'a str>,
    containers: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Told<'a> {
    fn of(pod: Pod<'a>, path: &[&str]) -> Self {
        let told = |context: Option<&'a Value>| {
            let (last, parents) = path.split_last()?;
            let parent = at(context?, parents).filter(|parent| parent.is_object())?;
            Some(text(parent, &[last]))
        };
        let containers = pod.containers().map(|c| (text(c, &["name"]), told(c.get("securityContext"))));
        Self { pod: told(pod.security()), containers: containers.collect() }
    }

    /// Who tells what is not allowed, and what.
    fn bad(&self, allowed: impl Fn(&str) -> bool) -> Option<(String, BTreeSet<&'a str>)> {
        let bad_pod = self.pod.filter(|told| !allowed(told));
        let bad = self.containers.iter().filter_map(|(n, told)| Some((*n, told.filter(|t| !allowed(t))?)));
        let (names, mut values): (Vec<&str>, BTreeSet<&str>) = bad.unzip();
        values.extend(bad_pod);
        (bad_pod.is_some() || !names.is_empty()).then(|| (setters(bad_pod.is_some(), &names), values))
    }

    /// Containers that tell nothing themselves.
    fn silent(&self) -> Vec<&'a str> {
        self.containers.iter().filter(|(_, told)| told.is_none()).map(|(name, _)| *name).collect()
    }
}

/// A `/proc` mount other than the default, which both levels know.
fn proc_mount(pod: Pod<'_>) -> Option<Finding> {
    let told = |c: &Value| text(c, &["securityContext", "procMount"]).to_string();
    let is_bad = |mount: &str| !mount.is_empty() && mount != "Default";
    let names = pod.named(|c| is_bad(&told(c)));
    let values: BTreeSet<String> = pod.containers().map(told).filter(|mount| is_bad(mount)).collect();
    (!names.is_empty()).then(|| {
        let detail =
            format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(values));
        finding("procMount", detail)
    })
}
