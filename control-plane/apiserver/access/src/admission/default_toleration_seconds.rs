//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable, unless it says
//! otherwise.

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::{Value, json};

use super::is_main;
use crate::types::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use crate::value::{items, list_mut, text};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// For how long, by taint.
pub struct DefaultTolerationSeconds([(&'static str, i64); 2]);

impl DefaultTolerationSeconds {
    /// `--default-not-ready-toleration-seconds`, `--default-unreachable-toleration-seconds`.
    pub fn lasting(not_ready: i64, unreachable: i64) -> Self {
        Self([(TAINTS[0], not_ready), (TAINTS[1], unreachable)])
    }
}

impl Default for DefaultTolerationSeconds {
    fn default() -> Self {
        Self::lasting(SECONDS, SECONDS)
    }
}

#[async_trait]
impl AdmissionPlugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && is_main(request, "", "pods")
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if let Some(pod) = request.object.as_deref_mut() {
            add_tolerations(pod, &self.0);
        }
        Ok(())
    }
}

fn add_tolerations(pod: &mut Value, taints: &[(&str, i64)]) {
    for (taint, seconds) in taints {
        let tolerates = |toleration: &Value| {
            matches!(text(toleration, &["key"]), key if key == *taint || key.is_empty())
                && matches!(text(toleration, &["effect"]), "NoExecute" | "")
        };
        if !items(pod, &["spec", "tolerations"]).iter().any(tolerates) {
            list_mut(&mut pod["spec"], "tolerations").push(json!({
                "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds,
            }));
        }
    }
}
