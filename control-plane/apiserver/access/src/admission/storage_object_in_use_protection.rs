//! StorageObjectInUseProtection: volumes, claims and volume attributes classes do not go while they are used.

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::is_main;
use crate::types::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use crate::value::list_mut;

pub struct StorageObjectInUseProtection;

fn finalizer(request: &AdmissionRequest<'_>) -> Option<&'static str> {
    let protected = [
        ("", "persistentvolumes", "kubernetes.io/pv-protection"),
        ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
        ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
    ];
    protected.iter().find(|(group, resource, _)| is_main(request, group, resource)).map(|(.., name)| *name)
}

#[async_trait]
impl AdmissionPlugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && finalizer(request).is_some()
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(finalizer) = finalizer(request) else { return Ok(()) };
        if let Some(object) = request.object.as_deref_mut() {
            let finalizers = list_mut(&mut object["metadata"], "finalizers");
            if !finalizers.iter().any(|had: &Value| had == finalizer) {
                finalizers.push(finalizer.into());
            }
        }
        Ok(())
    }
}
