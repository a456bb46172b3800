//! PrioritySort: the higher priority first; among equals, who has waited longer.

use jiff::Timestamp;

use crate::framework::{Plugin, QueueSort, SortKey};
use crate::model::PodInfo;

pub struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }
}

impl QueueSort for PrioritySort {
    fn key(&self, pod: &PodInfo, queued: Timestamp) -> SortKey {
        SortKey(-i64::from(pod.spec.priority), queued.as_microsecond())
    }
}
