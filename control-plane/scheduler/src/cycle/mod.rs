//! One decision: which node a pod goes to, or why to none. Pure: reads a snapshot and the pod; chance comes in as an
//! argument.

mod fit_error;
mod score;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::cache::Snapshot;
use crate::framework::{Code, CycleState, PluginSet, Status};
use crate::model::{NodeInfo, PodInfo};
pub use fit_error::FitError;

/// Up to so many nodes all are looked at.
const FEASIBLE_MIN: usize = 100;
/// However many nodes there are, at least this share of them is looked for.
const FEASIBLE_PERCENT_MIN: usize = 5;

pub(crate) enum Decision {
    Host {
        node: Arc<str>,
        state: CycleState,
    },
    NoNodes,
    Unfit(FitError),
    /// A plugin failed.
    Failed(Status),
}

/// What goes on from one decision to the next.
pub(crate) struct Chance<'a> {
    /// Where the search begins, so that all nodes get their turn.
    pub(crate) start: &'a mut usize,
    /// A number below its argument.
    pub(crate) pick: &'a mut dyn FnMut(usize) -> usize,
}

pub(crate) fn cycle(snapshot: &Snapshot, pod: &PodInfo, plugins: &PluginSet, chance: Chance<'_>) -> Decision {
    if snapshot.nodes().is_empty() {
        return Decision::NoNodes;
    }
    let mut state = CycleState::default();
    let mut why = FitError::new(snapshot.nodes().len());
    let allowed = match pre_filter(snapshot, pod, plugins, &mut state) {
        Ok(allowed) => allowed,
        Err(status) if status.is_rejected() => {
            why.pre_filter(status);
            return unfit(snapshot, pod, plugins, &state, why);
        }
        Err(status) => return Decision::Failed(status),
    };
    let feasible = match &allowed {
        Some(Allowed { nodes, by }) => {
            why.others_not_allowed(by, snapshot.nodes().len() - nodes.len());
            let nodes = nodes.iter().map(|at| &snapshot.nodes()[*at]);
            filter(nodes, usize::MAX, pod, plugins, &state, &mut why).map(|(feasible, _)| feasible)
        }
        None => filter_in_turn(snapshot, pod, plugins, &state, &mut why, chance.start),
    };
    match feasible {
        Err(status) => Decision::Failed(status),
        Ok(feasible) if feasible.is_empty() => unfit(snapshot, pod, plugins, &state, why),
        Ok(feasible) => match score::choose(&feasible, pod, plugins, &mut state, chance.pick) {
            Ok(node) => Decision::Host { node: node.facts.name.clone(), state },
            Err(status) => Decision::Failed(status),
        },
    }
}

/// Asks the PostFilter plugins; what they say ends the message.
fn unfit(
    snapshot: &Snapshot,
    pod: &PodInfo,
    plugins: &PluginSet,
    state: &CycleState,
    mut why: FitError,
) -> Decision {
    for plugin in &plugins.post_filter {
        let status = plugin.post_filter(state, pod, snapshot, &why);
        if status.code == Code::Error {
            return Decision::Failed(status.by(plugin.name()));
        }
        why.post_filter(&status);
    }
    Decision::Unfit(why)
}

/// The nodes to which PreFilter plugins narrowed the search, by their place, and who did.
struct Allowed {
    nodes: Vec<usize>,
    by: Vec<&'static str>,
}

fn pre_filter(
    snapshot: &Snapshot,
    pod: &PodInfo,
    plugins: &PluginSet,
    state: &mut CycleState,
) -> Result<Option<Allowed>, Status> {
    let mut allowed: Option<Allowed> = None;
    for plugin in &plugins.pre_filter {
        let found = plugin.pre_filter(state, pod, snapshot);
        match found.status.code {
            Code::Success => {}
            Code::Skip => state.filters_skipped.push(plugin.name()),
            _ => return Err(found.status.by(plugin.name())),
        }
        let Some(names) = found.nodes else { continue };
        let mut nodes: Vec<usize> = names.iter().filter_map(|name| snapshot.place(name)).collect();
        nodes.sort_unstable();
        let mut by = vec![plugin.name()];
        if let Some(before) = allowed.take() {
            nodes.retain(|at| before.nodes.contains(at));
            by.splice(0..0, before.by);
        }
        allowed = Some(Allowed { nodes, by });
    }
    Ok(allowed)
}

/// How many feasible nodes are enough: all of up to a hundred, a shrinking share of more.
fn enough(nodes: usize) -> usize {
    if nodes < FEASIBLE_MIN {
        return nodes;
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(FEASIBLE_PERCENT_MIN);
    (nodes * percent / 100).max(FEASIBLE_MIN)
}

fn filter_in_turn<'a>(
    snapshot: &'a Snapshot,
    pod: &PodInfo,
    plugins: &PluginSet,
    state: &CycleState,
    why: &mut FitError,
    start: &mut usize,
) -> Result<Vec<&'a NodeInfo>, Status> {
    let nodes = snapshot.nodes();
    let first = *start % nodes.len();
    let in_turn = nodes[first..].iter().chain(&nodes[..first]);
    let (feasible, seen) = filter(in_turn, enough(nodes.len()), pod, plugins, state, why)?;
    *start = (first + seen) % nodes.len();
    Ok(feasible)
}

/// The first `wanted` feasible nodes, and how many were looked at.
fn filter<'a>(
    nodes: impl Iterator<Item = &'a NodeInfo>,
    wanted: usize,
    pod: &PodInfo,
    plugins: &PluginSet,
    state: &CycleState,
    why: &mut FitError,
) -> Result<(Vec<&'a NodeInfo>, usize), Status> {
    let active = plugins.filter.iter().filter(|plugin| !state.filters_skipped.contains(&plugin.name()));
    let active: Vec<_> = active.collect();
    let (mut feasible, mut seen) = (vec![], 0);
    for node in nodes {
        seen += 1;
        let rejected = active.iter().find_map(|plugin| {
            let status = plugin.filter(state, pod, node);
            (!status.is_success()).then(|| status.by(plugin.name()))
        });
        match rejected {
            None => feasible.push(node),
            Some(status) if status.is_rejected() => why.node(status),
            Some(status) => return Err(status),
        }
        if feasible.len() >= wanted {
            break;
        }
    }
    Ok((feasible, seen))
}
