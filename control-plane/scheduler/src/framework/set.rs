//! The plugins of one profile, in the order in which they run.

use std::sync::Arc;

use kube::Client;

use super::*;
use crate::model::PodInfo;
use crate::plugins::*;

/// The plugins by extension point. One plugin may stand at several.
#[derive(Clone)]
pub struct PluginSet {
    pub queue_sort: Arc<dyn QueueSort>,
    pub pre_enqueue: Vec<Arc<dyn PreEnqueue>>,
    pub pre_filter: Vec<Arc<dyn PreFilter>>,
    pub filter: Vec<Arc<dyn Filter>>,
    pub post_filter: Vec<Arc<dyn PostFilter>>,
    pub pre_score: Vec<Arc<dyn PreScore>>,
    /// With their weights.
    pub score: Vec<(Arc<dyn Score>, i64)>,
    pub reserve: Vec<Arc<dyn Reserve>>,
    pub permit: Vec<Arc<dyn Permit>>,
    pub pre_bind: Vec<Arc<dyn PreBind>>,
    pub bind: Vec<Arc<dyn Bind>>,
    pub post_bind: Vec<Arc<dyn PostBind>>,
}

impl PluginSet {
    /// Upstream's default plugins and weights, as far as they exist here.
    pub fn defaults(client: Client) -> Self {
        let affinity = Arc::new(NodeAffinityPlugin);
        let taints = Arc::new(TaintToleration);
        let ports = Arc::new(NodePorts);
        let fit = Arc::new(NodeResourcesFit);
        let balance = Arc::new(NodeResourcesBalancedAllocation);
        Self {
            queue_sort: Arc::new(PrioritySort),
            pre_enqueue: vec![Arc::new(SchedulingGates)],
            pre_filter: vec![affinity.clone(), ports.clone()],
            filter: vec![
                Arc::new(NodeUnschedulable),
                Arc::new(NodeName),
                taints.clone(),
                affinity.clone(),
                ports,
                fit.clone(),
            ],
            post_filter: vec![],
            pre_score: vec![affinity.clone(), balance.clone()],
            score: vec![(taints, 3), (affinity, 2), (fit, 1), (balance, 1)],
            reserve: vec![],
            permit: vec![],
            pre_bind: vec![],
            bind: vec![Arc::new(DefaultBinder::new(client))],
            post_bind: vec![],
        }
    }

    /// What holds the pod back from the queue.
    pub(crate) fn gate(&self, pod: &PodInfo) -> Status {
        let answers = self.pre_enqueue.iter().map(|plugin| plugin.pre_enqueue(pod).by(plugin.name()));
        answers.into_iter().find(|status| !status.is_success()).unwrap_or(Status::SUCCESS)
    }

    /// Whether a change may help a pod that these plugins rejected.
    pub(crate) fn hint(&self, rejectors: &[&'static str], pod: &PodInfo, change: &ClusterChange) -> Hint {
        let named = |name: &'static str| rejectors.contains(&name);
        let says = |plugin: &dyn Plugin| named(plugin.name()) && plugin.hint(pod, change) == Hint::Queue;
        // Most PreFilter plugins are Filter plugins too, and have been asked as such.
        let filters = |name: &'static str| self.filter.iter().any(|plugin| plugin.name() == name);
        let queue = self.pre_enqueue.iter().any(|plugin| says(plugin.as_ref()))
            || self.filter.iter().any(|plugin| says(plugin.as_ref()))
            || self.pre_filter.iter().any(|plugin| !filters(plugin.name()) && says(plugin.as_ref()))
            || self.reserve.iter().any(|plugin| says(plugin.as_ref()))
            || self.permit.iter().any(|plugin| says(plugin.as_ref()));
        Hint::queue_if(queue)
    }

    pub(crate) fn unreserve(&self, state: &mut CycleState, pod: &PodInfo, node: &str) {
        for plugin in self.reserve.iter().rev() {
            plugin.unreserve(state, pod, node);
        }
    }
}
