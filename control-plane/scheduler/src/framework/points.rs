//! The extension points.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{ClusterChange, CycleState, Hint, NODE_SCORE_MAX, Status};
use crate::cache::Snapshot;
use crate::cycle::FitError;
use crate::model::{NodeInfo, PodInfo};

/// What every plugin is, wherever it extends.
pub trait Plugin: Send + Sync {
    fn name(&self) -> &'static str;

    /// Whether a change may make a pod schedulable that this plugin rejected. Saying `Queue` too often costs cycles;
    /// saying `Skip` wrongly lets the pod wait for five minutes.
    fn hint(&self, _pod: &PodInfo, _change: &ClusterChange) -> Hint {
        Hint::Queue
    }
}

/// Before a pod enters the active queue; what is not a success gates it.
pub trait PreEnqueue: Plugin {
    fn pre_enqueue(&self, pod: &PodInfo) -> Status;
}

/// The active queue gives the least key first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortKey(pub i64, pub i64);

/// The order of the active queue. One per scheduler.
pub trait QueueSort: Plugin {
    fn key(&self, pod: &PodInfo, queued: Timestamp) -> SortKey;
}

/// What a PreFilter found out.
#[derive(Debug, Default)]
pub struct PreFiltered {
    /// `Skip` leaves the plugin's Filter out for this pod.
    pub status: Status,
    /// The only nodes that come into question; `None` for all.
    pub nodes: Option<Vec<Arc<str>>>,
}

impl From<Status> for PreFiltered {
    fn from(status: Status) -> Self {
        Self { status, nodes: None }
    }
}

pub trait PreFilter: Plugin {
    fn pre_filter(&self, state: &mut CycleState, pod: &PodInfo, snapshot: &Snapshot) -> PreFiltered;
}

pub trait Filter: Plugin {
    fn filter(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status;
}

/// When no node fits. What it says ends the message of the pod's condition.
pub trait PostFilter: Plugin {
    fn post_filter(&self, state: &CycleState, pod: &PodInfo, snapshot: &Snapshot, why: &FitError) -> Status;
}

pub trait PreScore: Plugin {
    /// `Skip` leaves the plugin's Score out for this pod.
    fn pre_score(&self, state: &mut CycleState, pod: &PodInfo, nodes: &[&NodeInfo]) -> Status;
}

pub trait Score: Plugin {
    fn score(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64;

    /// Brings the scores of all nodes into 0 ..= `NODE_SCORE_MAX`.
    fn normalize(&self, _scores: &mut [i64]) {}
}

/// Stretches scores so that the greatest is `NODE_SCORE_MAX`; `reverse` makes much bad.
pub fn normalize_by_max(scores: &mut [i64], reverse: bool) {
    let greatest = scores.iter().copied().max().unwrap_or_default();
    for score in scores {
        let share = if greatest == 0 { 0 } else { *score * NODE_SCORE_MAX / greatest };
        *score = if reverse { NODE_SCORE_MAX - share } else { share };
    }
}

/// Book-keeping of a plugin about a node that was chosen. `unreserve` must be repeatable.
pub trait Reserve: Plugin {
    fn reserve(&self, state: &mut CycleState, pod: &PodInfo, node: &str) -> Status;
    fn unreserve(&self, state: &mut CycleState, pod: &PodInfo, node: &str);
}

pub enum Permission {
    Now(Status),
    /// The pod waits for this answer, at most so long; other pods are scheduled meanwhile.
    Wait(BoxFuture<'static, Status>, Duration),
}

pub trait Permit: Plugin {
    fn permit(&self, state: &mut CycleState, pod: &PodInfo, node: &str) -> Permission;
}

#[async_trait]
pub trait PreBind: Plugin {
    async fn pre_bind(&self, state: &CycleState, pod: &PodInfo, node: &str) -> Status;
}

/// The first plugin that does not answer `Skip` has bound the pod, or failed to.
#[async_trait]
pub trait Bind: Plugin {
    async fn bind(&self, state: &CycleState, pod: &PodInfo, node: &str) -> Status;
}

pub trait PostBind: Plugin {
    fn post_bind(&self, state: &CycleState, pod: &PodInfo, node: &str);
}
