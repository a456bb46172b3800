//! Priority: a pod's priority and preemption policy come from its PriorityClass, and at most one class is the default.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::Status;
use serde_json::Value;

use super::{is_main, refuse};
use crate::resources::PRIORITY_CLASSES;
use crate::types::{AdmissionPlugin, AdmissionRequest, Objects, Operation, Phase};
use crate::value::{name, text};

const PREEMPT: &str = "PreemptLowerPriority";

pub struct Priority {
    objects: Arc<dyn Objects>,
}

/// What a class says of a pod.
struct Resolved {
    class: String,
    value: i64,
    preemption: String,
}

impl Priority {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    /// The default class; of several (a race made them) the lowest.
    fn default_class(&self) -> Option<Arc<Value>> {
        let classes = self.objects.list(&PRIORITY_CLASSES, "");
        classes.into_iter().filter(|class| class["globalDefault"] == true).min_by_key(|class| value_of(class))
    }

    /// `Ok(None)`: there is no class of that name.
    async fn resolve(&self, class: &str) -> Result<Option<Resolved>, Status> {
        if class.is_empty() {
            return Ok(Some(match self.default_class() {
                Some(class) => Resolved::from(&class),
                None => Resolved { class: String::new(), value: 0, preemption: PREEMPT.into() },
            }));
        }
        let found = match self.objects.get(&PRIORITY_CLASSES, "", class) {
            Some(found) => Some(found),
            None => self.objects.get_fresh(&PRIORITY_CLASSES, "", class).await?,
        };
        Ok(found.as_deref().map(Resolved::from))
    }

    async fn admit_new(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(pod) = request.object.as_deref() else { return Ok(()) };
        let class = text(pod, &["spec", "priorityClassName"]);
        let Some(resolved) = self.resolve(class).await? else {
            return Err(refuse(request, format!("no PriorityClass with name {class} was found")));
        };
        if let Some(given) = pod["spec"]["priority"].as_i64().filter(|given| *given != resolved.value) {
            return Err(refuse(
                request,
                format!(
                    "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
                     controller computed {} from the given PriorityClass name",
                    resolved.value
                ),
            ));
        }
        let given = text(pod, &["spec", "preemptionPolicy"]);
        if !given.is_empty() && given != resolved.preemption {
            return Err(refuse(
                request,
                format!(
                    "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority \
                     admission controller computed {} from the given PriorityClass name",
                    resolved.preemption
                ),
            ));
        }
        if let Some(pod) = request.object.as_deref_mut() {
            resolved.write(pod);
        }
        Ok(())
    }

    fn check_class(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(class) = request.object.as_deref() else { return Ok(()) };
        if class["globalDefault"] != true {
            return Ok(());
        }
        match self.default_class() {
            Some(other) if request.operation == Operation::Create || name(&other) != name(class) => {
                Err(refuse(
                    request,
                    format!(
                        "PriorityClass {} is already marked as default. Only one default can exist",
                        name(&other)
                    ),
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Resolved {
    fn from(class: &Value) -> Self {
        let preemption = match text(class, &["preemptionPolicy"]) {
            "" => PREEMPT,
            policy => policy,
        };
        Self { class: name(class).into(), value: value_of(class), preemption: preemption.into() }
    }

    fn write(self, pod: &mut Value) {
        let spec = &mut pod["spec"];
        if !self.class.is_empty() {
            spec["priorityClassName"] = self.class.into();
        }
        spec["priority"] = self.value.into();
        spec["preemptionPolicy"] = self.preemption.into();
    }
}

#[async_trait]
impl AdmissionPlugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        match phase {
            Phase::Mutate => is_main(request, "", "pods"),
            Phase::Validate => is_main(request, "scheduling.k8s.io", "priorityclasses"),
        }
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        if !is_main(request, "", "pods") {
            return Ok(());
        }
        if request.operation == Operation::Create {
            return self.admit_new(request).await;
        }
        // A client that does not know the fields must not lose them in an update.
        if let (Some(pod), Some(old)) = (request.object.as_deref_mut(), request.old_object) {
            for field in ["priority", "preemptionPolicy"] {
                if pod["spec"][field].is_null() && !old["spec"][field].is_null() {
                    pod["spec"][field] = old["spec"][field].clone();
                }
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        if is_main(request, "scheduling.k8s.io", "priorityclasses") {
            self.check_class(request)
        } else {
            Ok(())
        }
    }
}

fn value_of(class: &Value) -> i64 {
    class["value"].as_i64().unwrap_or_default()
}
