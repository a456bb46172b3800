//! LimitRanger: what a namespace's LimitRanges give containers that do not say, and what they forbid pods and claims.

mod limits;

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::{is, refuse};
use crate::authorization::aggregated;
use crate::resources::LIMIT_RANGES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::at;

pub struct LimitRanger {
    objects: Arc<dyn Objects>,
}

impl LimitRanger {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    /// The namespace's ranges, in the order of their names.
    fn ranges(&self, namespace: &str) -> Vec<Arc<Value>> {
        let mut ranges = self.objects.list(&LIMIT_RANGES, namespace);
        ranges.sort_by(|a, b| crate::value::name(a).cmp(crate::value::name(b)));
        ranges
    }
}

/// Containers are fixed once a pod exists, but for a resize; a claim may grow.
fn is_limited(request: &AdmissionRequest<'_>) -> bool {
    let pod = is(request, "", "pods")
        && match request.subresource {
            "" => request.operation == Operation::Create,
            "resize" => request.operation == Operation::Update,
            _ => false,
        };
    let claim = is(request, "", "persistentvolumeclaims") && request.subresource.is_empty();
    let going = request.operation == Operation::Update
        && request
            .old_object
            .is_some_and(|old| at(old, &["metadata", "deletionTimestamp"]).is_some_and(|at| !at.is_null()));
    (pod || claim) && !going
}

#[async_trait]
impl AdmissionPlugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, _phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        is_limited(request)
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if !is(request, "", "pods") {
            return Ok(());
        }
        let ranges = self.ranges(request.namespace);
        if let Some(pod) = request.object.as_deref_mut() {
            ranges.iter().for_each(|range| limits::apply_defaults(range, pod));
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(object) = request.object.as_deref() else { return Ok(()) };
        let pod = is(request, "", "pods");
        for range in self.ranges(request.namespace) {
            let mut faults =
                if pod { limits::pod_faults(&range, object) } else { limits::claim_faults(&range, object) };
            let mut seen = std::collections::HashSet::new();
            faults.retain(|fault| seen.insert(fault.clone()));
            if !faults.is_empty() {
                return Err(refuse(request, aggregated(&faults)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
