//! The debugging pages below `/debug/api_priority_and_fairness/`.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::flow::{Flow, Member};
use crate::level::Kind;

const LEVELS: [&str; 10] = [
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
];

const QUEUES: [&str; 9] = [
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
];

const REQUESTS: [&str; 9] = [
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
];

impl Flow {
    /// `dump_priority_levels`
    pub fn dump_priority_levels(&self) -> String {
        let rows = self.members().into_iter().map(|(name, member)| {
            let (active, waiting, executing) = match &member.level.kind {
                Kind::Exempt { seats, .. } => (0, 0, seats.load(Ordering::Relaxed)),
                Kind::Limited(queues) => {
                    let queues = queues.lock();
                    let active =
                        queues.states().iter().filter(|(_, s)| s.waiting > 0 || s.executing > 0).count();
                    (active, queues.waiting(), queues.executing())
                }
            };
            let [dispatched, refused, late, gone] = self.metrics().totals(&name);
            let idle = waiting == 0 && executing == 0;
            vec![
                name,
                active.to_string(),
                idle.to_string(),
                "false".into(),
                waiting.to_string(),
                executing.to_string(),
                dispatched.to_string(),
                refused.to_string(),
                late.to_string(),
                gone.to_string(),
            ]
        });
        table(&LEVELS, rows.collect())
    }

    /// `dump_queues`: those that have requests.
    pub fn dump_queues(&self) -> String {
        let mut rows = Vec::new();
        for (name, member) in self.members() {
            let Kind::Limited(queues) = &member.level.kind else {
                rows.push(std::iter::once(name).chain((1..QUEUES.len()).map(|_| "<none>".into())).collect());
                continue;
            };
            for (index, state) in queues.lock().states() {
                rows.push(vec![
                    name.clone(),
                    index.to_string(),
                    state.waiting.to_string(),
                    state.executing.to_string(),
                    state.seats.to_string(),
                    seat_seconds(state.next),
                    state.initial_seats.to_string(),
                    state.seats_max.to_string(),
                    seat_seconds(state.work),
                ]);
            }
        }
        table(&QUEUES, rows)
    }

    /// `dump_requests`: those that wait. `now` is what the wall clock says.
    pub fn dump_requests(&self, now: std::time::SystemTime) -> String {
        let mut rows = Vec::new();
        for (name, member) in self.members() {
            let Kind::Limited(queues) = &member.level.kind else { continue };
            let elapsed = member.level.shared.now();
            for (index, place, waiting) in queues.lock().all_waiting() {
                let age = std::time::Duration::from_nanos(elapsed.saturating_sub(waiting.arrived));
                rows.push(vec![
                    name.clone(),
                    waiting.owner.details.schema.to_string(),
                    index.to_string(),
                    place.to_string(),
                    waiting.owner.details.distinguisher.to_string(),
                    rfc3339(now.checked_sub(age).unwrap_or(now)),
                    waiting.work.initial_seats.to_string(),
                    waiting.work.final_seats.to_string(),
                    milliseconds(waiting.work.additional_latency),
                ]);
            }
        }
        table(&REQUESTS, rows)
    }

    fn members(&self) -> Vec<(String, std::sync::Arc<Member>)> {
        let current = self.current();
        let mut all: Vec<_> = current.levels.iter().map(|(name, m)| (name.clone(), m.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// Upstream's notation of virtual time.
fn seat_seconds(nanos: f64) -> String {
    format!("{:.8}ss", nanos / 1e9)
}

/// Go's notation of a short duration.
fn milliseconds(duration: std::time::Duration) -> String {
    if duration.is_zero() { "0s".into() } else { format!("{}ms", duration.as_secs_f64() * 1e3) }
}

fn rfc3339(time: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Cells followed by commas, in aligned columns.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let mut widths = vec![0; head.len()];
    for row in std::iter::once(&head).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len() + 2);
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let last = row.len() - 1;
        for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if place == last {
                text.push_str(cell);
            } else {
                // Writing to a string does not fail.
                let _ = write!(text, "{:<width$}", format!("{cell},"));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![
            vec!["exempt".into(), "0".into(), "true".into()],
            vec!["x".into(), "12".into(), "false".into()],
        ];
        expect![[r#"
            Name,   Active, IsIdle
            exempt, 0,      true
            x,      12,     false
        "#]]
        .assert_eq(&table(&["Name", "Active", "IsIdle"], rows));
        assert_eq!(seat_seconds(77.642_340_19e9), "77.64234019ss");
    }
}
