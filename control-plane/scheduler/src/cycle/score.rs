//! Among the nodes that fit, the best; among the best, any.

use crate::framework::{Code, CycleState, PluginSet, Status};
use crate::model::{NodeInfo, PodInfo};

/// `feasible` is not empty.
pub(super) fn choose<'a>(
    feasible: &[&'a NodeInfo],
    pod: &PodInfo,
    plugins: &PluginSet,
    state: &mut CycleState,
    pick: &mut dyn FnMut(usize) -> usize,
) -> Result<&'a NodeInfo, Status> {
    if let [only] = feasible {
        return Ok(only);
    }
    for plugin in &plugins.pre_score {
        let status = plugin.pre_score(state, pod, feasible);
        match status.code {
            Code::Success => {}
            Code::Skip => state.scores_skipped.push(plugin.name()),
            _ => return Err(status.by(plugin.name())),
        }
    }
    let totals = totals(feasible, pod, plugins, state);
    let greatest = totals.iter().copied().max().unwrap_or_default();
    let mut best = totals.iter().zip(feasible).filter(|(total, _)| **total == greatest);
    let count = best.clone().count();
    let chosen = if count == 1 { 0 } else { pick(count) };
    Ok(best.nth(chosen).map_or(feasible[0], |(_, node)| node))
}

fn totals(feasible: &[&NodeInfo], pod: &PodInfo, plugins: &PluginSet, state: &CycleState) -> Vec<i64> {
    let mut totals = vec![0; feasible.len()];
    let mut scores = Vec::with_capacity(feasible.len());
    for (plugin, weight) in &plugins.score {
        if state.scores_skipped.contains(&plugin.name()) {
            continue;
        }
        scores.clear();
        scores.extend(feasible.iter().map(|node| plugin.score(state, pod, node)));
        plugin.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += score * weight;
        }
    }
    totals
}
