//! The row of a pod: what `kubectl get pods` says of its state.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{NONE, age, has_condition, human_duration, name_of, text_or, time_of};
use crate::value::{int, is_true, items, text};

/// What the statuses of containers add up to.
#[derive(Default)]
struct Tally {
    reason: String,
    ready: usize,
    restarts: Restarts,
    initialising: bool,
}

#[derive(Default, Clone)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += int(&container["restartCount"]);
        self.last = self.last.max(time_of(&container["lastState"]["terminated"]["finishedAt"]));
    }

    fn text(&self, now: Timestamp) -> String {
        match self.last {
            Some(at) if self.count != 0 => {
                format!("{} ({} ago)", self.count, human_duration(now.as_second() - at.as_second()))
            }
            _ => self.count.to_string(),
        }
    }
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let sidecars = items(&spec["initContainers"]).iter().filter(|c| is_sidecar(c)).count();
    let total = items(&spec["containers"]).len() + sidecars;
    let mut tally = Tally { reason: first_reason(status), ..Tally::default() };
    let mut sidecar_restarts = Restarts::default();
    tally_init(pod, &mut tally, &mut sidecar_restarts);
    if !tally.initialising || has_condition(pod, "Initialized") {
        tally.restarts = sidecar_restarts;
        tally_running(pod, &mut tally);
    }
    let deleting = !pod["metadata"]["deletionTimestamp"].is_null();
    if deleting && status["reason"] == "NodeLost" {
        tally.reason = "Unknown".into();
    } else if deleting && !matches!(text(&status["phase"]), "Succeeded" | "Failed") {
        tally.reason = "Terminating".into();
    }
    vec![
        name_of(pod),
        format!("{}/{total}", tally.ready).into(),
        tally.reason.into(),
        tally.restarts.text(now).into(),
        age(pod, now),
        text_or(&status["podIPs"][0]["ip"], NONE),
        text_or(&spec["nodeName"], NONE),
        text_or(&status["nominatedNodeName"], NONE),
        readiness_gates(pod).into(),
    ]
}

fn first_reason(status: &Value) -> String {
    let gated = |c: &Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
    if items(&status["conditions"]).iter().any(gated) {
        return "SchedulingGated".into();
    }
    let reason = text(&status["reason"]);
    crate::print::or(reason, text(&status["phase"])).into()
}

fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// Goes through the init containers up to the first that is not done.
fn tally_init(pod: &Value, tally: &mut Tally, sidecar_restarts: &mut Restarts) {
    let specs = items(&pod["spec"]["initContainers"]);
    for (index, container) in items(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
        let sidecar = specs.iter().any(|spec| spec["name"] == container["name"] && is_sidecar(spec));
        tally.restarts.add(container);
        if sidecar {
            sidecar_restarts.add(container);
        }
        let state = &container["state"];
        let ended = state["terminated"].is_object();
        if ended && int(&state["terminated"]["exitCode"]) == 0 {
            continue;
        }
        if sidecar && is_true(&container["started"]) {
            tally.ready += usize::from(is_true(&container["ready"]));
            continue;
        }
        let waits = text(&state["waiting"]["reason"]);
        tally.reason = if ended {
            format!("Init:{}", ending(&state["terminated"]))
        } else if !waits.is_empty() && waits != "PodInitializing" {
            format!("Init:{waits}")
        } else {
            format!("Init:{index}/{}", specs.len())
        };
        tally.initialising = true;
        break;
    }
}

fn ending(terminated: &Value) -> String {
    let reason = text(&terminated["reason"]);
    match int(&terminated["signal"]) {
        _ if !reason.is_empty() => reason.into(),
        0 => format!("ExitCode:{}", int(&terminated["exitCode"])),
        signal => format!("Signal:{signal}"),
    }
}

/// Goes through the containers backwards, so that the first one's reason is told.
fn tally_running(pod: &Value, tally: &mut Tally) {
    let mut running = false;
    for container in items(&pod["status"]["containerStatuses"]).iter().rev() {
        tally.restarts.add(container);
        let state = &container["state"];
        let waits = text(&state["waiting"]["reason"]);
        if !waits.is_empty() {
            tally.reason = waits.into();
        } else if state["terminated"].is_object() {
            tally.reason = ending(&state["terminated"]);
        } else if is_true(&container["ready"]) && state["running"].is_object() {
            running = true;
            tally.ready += 1;
        }
    }
    if tally.reason == "Completed" && running {
        tally.reason = if has_condition(pod, "Ready") { "Running" } else { "NotReady" }.into();
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return NONE.into();
    }
    let open = gates.iter().filter(|gate| has_condition(pod, text(&gate["conditionType"]))).count();
    format!("{open}/{}", gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(name: &str, pod: Value, want: [&str; 3]) {
        let now = "2026-01-01T01:00:00Z".parse().expect("a time");
        let cells = cells(&pod, now);
        let got: Vec<&str> = cells[1..4].iter().map(text).collect();
        assert_eq!(got, want, "{name}");
    }

    #[test]
    fn states_read_as_upstreams() {
        let spec = json!({"containers": [{"name": "a"}]});
        let with = |phase: &str, container: Value| json!({"spec": spec, "status": {"phase": phase, "containerStatuses": [container]}});
        check("new", json!({"spec": spec, "status": {"phase": "Pending"}}), ["0/1", "Pending", "0"]);
        check(
            "running",
            with("Running", json!({"ready": true, "state": {"running": {}}})),
            ["1/1", "Running", "0"],
        );
        check(
            "crashing",
            with(
                "Running",
                json!({
                    "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:55Z"}},
                }),
            ),
            ["0/1", "CrashLoopBackOff", "3 (5s ago)"],
        );
        check(
            "done",
            with("Succeeded", json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}})),
            ["0/1", "Completed", "0"],
        );
        let mut going = with("Running", json!({"ready": true, "state": {"running": {}}}));
        going["metadata"] = json!({"deletionTimestamp": "2026-01-01T01:00:00Z"});
        check("going", going.clone(), ["1/1", "Terminating", "0"]);
        going["status"]["reason"] = "NodeLost".into();
        check("lost", going, ["1/1", "Unknown", "0"]);
    }

    #[test]
    fn init_containers_and_sidecars_are_told() {
        let spec = json!({
            "containers": [{"name": "a"}],
            "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
        });
        let pod = |statuses: Value| json!({"spec": spec, "status": {"phase": "Pending", "initContainerStatuses": statuses}});
        let up = json!({"name": "s", "started": true, "ready": true, "state": {"running": {}}});
        check(
            "second of two",
            pod(json!([up, {"name": "i", "state": {"running": {}}}])),
            ["1/2", "Init:1/2", "0"],
        );
        check(
            "failed",
            pod(json!([up, {"name": "i", "state": {"terminated": {"exitCode": 2}}}])),
            ["1/2", "Init:ExitCode:2", "0"],
        );
    }
}
