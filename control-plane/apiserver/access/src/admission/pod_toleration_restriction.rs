//! PodTolerationRestriction: which taints the pods of a namespace tolerate without asking, and which at most. Off by
//! default.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::{Value, json};

use super::{is_main, refuse, tolerations};
use crate::resources::NAMESPACES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{annotation, items};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

pub struct PodTolerationRestriction {
    objects: Arc<dyn Objects>,
    default: Vec<Value>,
    allowed: Vec<Value>,
}

impl PodTolerationRestriction {
    /// `configuration` is the plugin's: `default` and `whitelist`, for namespaces that do not say.
    pub fn new(objects: Arc<dyn Objects>, configuration: &Value) -> Self {
        let list = |field: &str| items(configuration, &[field]).to_vec();
        Self { objects, default: list("default"), allowed: list("whitelist") }
    }

    async fn said(
        &self,
        request: &AdmissionRequest<'_>,
        key: &str,
        otherwise: &[Value],
    ) -> Result<Vec<Value>, Status> {
        let name = request.namespace;
        let found = match self.objects.get(&NAMESPACES, "", name) {
            Some(found) => Some(found),
            None => self.objects.get_fresh(&NAMESPACES, "", name).await?,
        };
        let namespace = found.ok_or_else(|| Status::not_found(&NAMESPACES, name))?;
        match annotation(&namespace, key) {
            None => Ok(otherwise.to_vec()),
            Some("") => Ok(Vec::new()),
            Some(text) => serde_json::from_str(text).map_err(|error| refuse(request, error)),
        }
    }
}

#[async_trait]
impl AdmissionPlugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        "PodTolerationRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, _phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        is_main(request, "", "pods")
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let mut more = Vec::new();
        if request.operation == Operation::Create {
            more = self.said(request, DEFAULTS, &self.default).await?;
        }
        let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
        if super::resource_quota::is_burdened(pod) {
            // The node's own pressure is no reason against a pod that was promised its memory.
            more.push(json!({
                "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule",
            }));
        }
        if !more.is_empty() {
            let merged = tolerations::merge(&more, items(pod, &["spec", "tolerations"]));
            pod["spec"]["tolerations"] = merged.into();
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let allowed = self.said(request, ALLOWED, &self.allowed).await?;
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        let tolerated = items(pod, &["spec", "tolerations"]);
        let inside = |t: &Value| allowed.iter().any(|allowed| tolerations::covers(allowed, t));
        if allowed.is_empty() || tolerated.iter().all(inside) {
            return Ok(());
        }
        Err(refuse(
            request,
            format!(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace \
                 whitelist, pod tolerations: {}, namespace whitelist: {}",
                Value::from(tolerated),
                Value::from(allowed)
            ),
        ))
    }
}
