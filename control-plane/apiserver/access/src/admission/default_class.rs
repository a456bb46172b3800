//! DefaultStorageClass and DefaultIngressClass: who does not say which class gets the one marked as default; of several
//! the newest.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupResource, Status};
use serde_json::Value;

use super::is_main;
use crate::resources::{INGRESS_CLASSES, STORAGE_CLASSES};
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{annotation, at, name, text};

pub struct DefaultStorageClass {
    objects: Arc<dyn Objects>,
}

impl DefaultStorageClass {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }
}

pub struct DefaultIngressClass {
    objects: Arc<dyn Objects>,
}

impl DefaultIngressClass {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }
}

/// The name of the class that one of the annotations marks.
fn default_class(objects: &dyn Objects, classes: &GroupResource, marks: &[&str]) -> Option<String> {
    let marked = |class: &Arc<Value>| marks.iter().any(|mark| annotation(class, mark) == Some("true"));
    let mut classes: Vec<Arc<Value>> = objects.list(classes, "").into_iter().filter(marked).collect();
    // RFC 3339 in UTC sorts as text.
    let age = |class: &Arc<Value>| text(class, &["metadata", "creationTimestamp"]).to_string();
    classes.sort_by(|a, b| age(b).cmp(&age(a)).then_with(|| name(a).cmp(name(b))));
    classes.first().map(|class| name(class).to_string())
}

fn says(object: &Value, field: &str) -> bool {
    at(object, &["spec", field]).is_some_and(|class| !class.is_null())
}

#[async_trait]
impl AdmissionPlugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && is_main(request, "", "persistentvolumeclaims")
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        const MARKS: [&str; 2] = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ];
        let Some(claim) = request.object.as_deref_mut() else { return Ok(()) };
        let old_way = annotation(claim, "volume.beta.kubernetes.io/storage-class").is_some();
        if !old_way
            && !says(claim, "storageClassName")
            && let Some(class) = default_class(&*self.objects, &STORAGE_CLASSES, &MARKS)
        {
            claim["spec"]["storageClassName"] = class.into();
        }
        Ok(())
    }
}

#[async_trait]
impl AdmissionPlugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && is_main(request, "networking.k8s.io", "ingresses")
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        const MARKS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
        let Some(ingress) = request.object.as_deref_mut() else { return Ok(()) };
        let old_way = annotation(ingress, "kubernetes.io/ingress.class").is_some();
        if !old_way
            && !says(ingress, "ingressClassName")
            && let Some(class) = default_class(&*self.objects, &INGRESS_CLASSES, &MARKS)
        {
            ingress["spec"]["ingressClassName"] = class.into();
        }
        Ok(())
    }
}
