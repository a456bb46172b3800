//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable, unless it says
//! otherwise.

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::{Value, json};

use super::is_main;
use crate::types::{AdmissionPlugin, AdmissionRequest, Operation};
use crate::value::{items, list_mut, text};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub struct DefaultTolerationSeconds;

#[async_trait]
impl AdmissionPlugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if is_main(request, "", "pods")
            && let Some(pod) = request.object.as_deref_mut()
        {
            add_tolerations(pod);
        }
        Ok(())
    }
}

fn add_tolerations(pod: &mut Value) {
    for taint in TAINTS {
        let tolerates = |toleration: &Value| {
            matches!(text(toleration, &["key"]), key if key == taint || key.is_empty())
                && matches!(text(toleration, &["effect"]), "NoExecute" | "")
        };
        if !items(pod, &["spec", "tolerations"]).iter().any(tolerates) {
            list_mut(&mut pod["spec"], "tolerations").push(json!({
                "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
            }));
        }
    }
}
