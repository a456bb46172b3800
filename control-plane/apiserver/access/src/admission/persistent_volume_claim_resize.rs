//! PersistentVolumeClaimResize: only a bound claim of a class that allows it may grow.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use oarlock_api::quantity::Quantity;
use serde_json::Value;

use super::{is_main, refuse};
use crate::resources::STORAGE_CLASSES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{annotation, text};

pub struct PersistentVolumeClaimResize {
    objects: Arc<dyn Objects>,
}

impl PersistentVolumeClaimResize {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    async fn may_grow(&self, new: &Value, old: &Value) -> Result<bool, Status> {
        let class = class_of(new);
        if class.is_empty() || class != class_of(old) {
            return Ok(false);
        }
        let found = match self.objects.get(&STORAGE_CLASSES, "", class) {
            Some(found) => Some(found),
            None => self.objects.get_fresh(&STORAGE_CLASSES, "", class).await?,
        };
        Ok(found.is_some_and(|class| class["allowVolumeExpansion"] == true))
    }
}

fn class_of(claim: &Value) -> &str {
    annotation(claim, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| text(claim, &["spec", "storageClassName"]))
}

fn size_of(claim: &Value) -> Quantity {
    Quantity::from_value(&claim["spec"]["resources"]["requests"]["storage"]).unwrap_or_default()
}

#[async_trait]
impl AdmissionPlugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && is_main(request, "", "persistentvolumeclaims")
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let (Some(new), Some(old)) = (request.object.as_deref(), request.old_object) else { return Ok(()) };
        if size_of(new) <= size_of(old) {
            return Ok(());
        }
        if text(old, &["status", "phase"]) != "Bound" {
            return Err(refuse(request, "Only bound persistent volume claims can be expanded"));
        }
        if !self.may_grow(new, old).await? {
            let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc \
                       must support resize";
            return Err(refuse(request, why));
        }
        Ok(())
    }
}
