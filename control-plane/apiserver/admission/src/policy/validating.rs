//! ValidatingAdmissionPolicy: refuses, warns and annotates as policies and their bindings say.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use oarlock_api::Status;
use oarlock_apiserver_access::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use serde_json::{Value, json};

use super::dispatch::{Meeting, Met, by_rules, namespace_object};
use super::policies::Policies;
use super::validation::{Denial, Rules, Verdict, evaluate};
use crate::World;
use crate::expressions::{Asker, Inputs, Scope, request_value};
use crate::facts::{Facts, forbidden};
use crate::metrics;
use crate::versions::{Versioned, Versions};

/// Longer values are cut. (`maxAuditAnnotationValueLength`)
const ANNOTATION_BYTES_MAX: usize = 10 * 1024;

/// The plugin.
pub struct ValidatingAdmissionPolicy(Policies<Rules>);

/// The refusal that is told: the first one.
struct Denied {
    policy: String,
    binding: Option<String>,
    message: String,
    reason: String,
    /// Of what refuses; the first is told.
    order: usize,
}

impl ValidatingAdmissionPolicy {
    pub fn new(world: World) -> Self {
        let plurals = ("validatingadmissionpolicies", "validatingadmissionpolicybindings");
        Self(Policies::new(world, plurals, Scope::policy, Rules::of))
    }
}

#[async_trait]
impl AdmissionPlugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn handles(&self, _operation: Operation) -> bool {
        true
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && self.0.of(request).is_some()
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(policies) = self.0.of(request) else { return Ok(()) };
        let (world, facts) = (&self.0.world, Facts::of(request));
        let ruled = by_rules(world, &facts, &policies);
        if ruled.is_empty() {
            return Ok(());
        }
        let own = Versioned { object: request.object.as_deref(), old: request.old_object };
        let meeting = Meeting::of(world, &facts, ruled, own).await;
        let mut denied: Vec<Denied> = meeting.faults.into_iter().map(Denied::of).collect();
        let mut told = Told::default();
        let namespace = match meeting.met.is_empty() {
            true => None,
            false => namespace_object(world, &facts).await?,
        };
        let asker = Asker::new(world.authorizer.clone(), &facts);
        let mut versions = Versions::default();
        for met in &meeting.met {
            let converted = versions.prepare_seen(world, facts.kind, &met.matched.kind, own).await;
            if let Err(status) = converted {
                let why = format!(
                    "failed to configure binding: failed to convert object version: {}",
                    status.message
                );
                denied.extend((!met.policy.fails_open).then(|| Denied::by(met, &why, "")));
                continue;
            }
            let request_json = request_value(&facts, &met.matched);
            for params in &met.params {
                let inputs = Inputs {
                    objects: versions.get(&met.matched.kind, own),
                    request: &request_json,
                    namespace: namespace.as_ref(),
                    params: params.as_deref(),
                };
                let verdict = asker.resolve(|asker| evaluate(met.policy, &facts, &inputs, asker)).await;
                told.take(request, met, verdict, &mut denied);
            }
            told.publish_failures(request);
        }
        told.publish(request);
        match denied.into_iter().min_by_key(|denied| denied.order) {
            None => Ok(()),
            Some(first) => Err(first.into_status(&facts, request.object.as_deref())),
        }
    }
}

impl Denied {
    fn of(fault: super::dispatch::Misconfigured<'_>) -> Self {
        Self {
            policy: fault.policy.to_string(),
            binding: fault.binding.map(ToString::to_string),
            message: fault.message,
            reason: String::new(),
            order: fault.order,
        }
    }

    fn by(met: &Met<'_, Rules>, message: &str, reason: &str) -> Self {
        Self {
            policy: met.policy.name.clone(),
            binding: Some(met.binding.name.clone()),
            message: message.to_string(),
            reason: reason.to_string(),
            order: met.order,
        }
    }

    fn into_status(self, facts: &Facts<'_>, object: Option<&Value>) -> Status {
        let Self { policy, binding, message, reason, order: _ } = self;
        let told = match binding {
            Some(binding) => {
                format!(
                    "ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}"
                )
            }
            None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
        };
        let mut status = forbidden(facts, object, &told).with_cause("", told, "");
        status.code = match reason.as_str() {
            "Forbidden" => 403,
            "Unauthorized" => 401,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        };
        status.reason = if reason.is_empty() { "Invalid".into() } else { reason };
        status
    }
}

/// What is told beside the refusal.
#[derive(Default)]
struct Told {
    /// Policy and key to the values of all its bindings.
    annotations: BTreeMap<(String, String), BTreeSet<String>>,
    failures: Vec<Value>,
}

impl Told {
    fn take(
        &mut self,
        request: &AdmissionRequest<'_>,
        met: &Met<'_, Rules>,
        verdict: Verdict,
        denied: &mut Vec<Denied>,
    ) {
        let (policy, binding) = (&met.policy.name, &met.binding.name);
        for Denial { index, message, reason } in &verdict.denials {
            for action in met.binding.actions.iter().filter_map(Value::as_str) {
                metrics::validating_policy(policy, binding, reason.is_empty(), &action.to_ascii_lowercase());
                match action {
                    "Deny" => denied.push(Denied::by(met, message, reason)),
                    "Audit" => self.failures.push(json!({
                        "message": message,
                        "policy": policy,
                        "binding": binding,
                        "expressionIndex": index,
                        "validationActions": met.binding.actions,
                    })),
                    "Warn" => request.annotations.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {message}"
                    )),
                    _ => {}
                }
            }
        }
        for (key, value) in verdict.annotations {
            let values = self.annotations.entry((policy.clone(), key)).or_default();
            values.insert(cut(&value).to_string());
        }
        denied.extend(verdict.annotation_errors.iter().map(|why| Denied::by(met, why, "")));
    }

    /// Of one binding; a later one's key is already taken, as upstream has it.
    fn publish_failures(&mut self, request: &AdmissionRequest<'_>) {
        let failures = std::mem::take(&mut self.failures);
        if !failures.is_empty() {
            let key = "validation.policy.admission.k8s.io/validation_failure";
            request.annotations.add(key, Value::Array(failures).to_string());
        }
    }

    fn publish(self, request: &AdmissionRequest<'_>) {
        for ((policy, key), values) in self.annotations {
            let values: Vec<String> = values.into_iter().collect();
            request.annotations.add(format!("{policy}/{key}"), values.join(", "));
        }
    }
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(ANNOTATION_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}
