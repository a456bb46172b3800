//! TaintNodesByCondition: a new node takes no pods before the node lifecycle controller has seen it ready.

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::{Value, json};

use super::is_main;
use crate::types::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use crate::value::{list_mut, text};

const KEY: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

pub struct TaintNodesByCondition;

#[async_trait]
impl AdmissionPlugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && is_main(request, "", "nodes")
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if is_main(request, "", "nodes")
            && let Some(node) = request.object.as_deref_mut()
        {
            let taints = list_mut(&mut node["spec"], "taints");
            let tainted = |t: &Value| text(t, &["key"]) == KEY && text(t, &["effect"]) == EFFECT;
            if !taints.iter().any(tainted) {
                taints.push(json!({"key": KEY, "effect": EFFECT}));
            }
        }
        Ok(())
    }
}
