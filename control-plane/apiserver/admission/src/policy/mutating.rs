//! MutatingAdmissionPolicy: changes objects as policies and their bindings say, one after the other.

use async_trait::async_trait;
use oarlock_api::Status;
use oarlock_apiserver_access::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use serde_json::Value;

use super::dispatch::{Meeting, Met, by_rules, namespace_object};
use super::mutation::{Mutation, Mutations, Trouble, mutate};
use super::policies::Policies;
use crate::World;
use crate::expressions::{Asker, Inputs, Outcome, Scope, request_value};
use crate::facts::{Facts, forbidden};
use crate::metrics::{self, Holder};
use crate::reinvoke::Plugin;
use crate::value::{name, text};
use crate::versions::{Seen, Versioned};

/// The plugin.
pub struct MutatingAdmissionPolicy(Policies<Mutations>);

/// One round over one request.
struct Round<'a> {
    world: &'a World,
    facts: &'a Facts<'a>,
    asker: Asker,
    namespace: Option<Value>,
}

/// A policy that could not do its work, and does not fail open.
struct Fault {
    message: String,
    reason: &'static str,
}

impl MutatingAdmissionPolicy {
    pub fn new(world: World) -> Self {
        let plurals = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings");
        Self(Policies::new(world, plurals, Scope::mutating, Mutations::of))
    }
}

#[async_trait]
impl AdmissionPlugin for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    fn handles(&self, _operation: Operation) -> bool {
        true
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && self.0.of(request).is_some()
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(policies) = self.0.of(request) else { return Ok(()) };
        let (world, facts) = (&self.0.world, Facts::of(request));
        let ruled = by_rules(world, &facts, &policies);
        if ruled.is_empty() {
            return Ok(());
        }
        let own = Versioned { object: request.object.as_deref(), old: request.old_object };
        let meeting = Meeting::of(world, &facts, ruled, own).await;
        let mut faults: Vec<Fault> = meeting
            .faults
            .iter()
            .map(|fault| Fault { message: denied(fault.policy, fault.binding, &fault.message), reason: "" })
            .collect();
        if !meeting.met.is_empty() {
            Plugin::Policies.begin(request.object.as_deref());
            let namespace = namespace_object(world, &facts).await?;
            let asker = Asker::new(world.authorizer.clone(), &facts);
            let round = Round { world, facts: &facts, asker, namespace };
            for met in &meeting.met {
                for params in &met.params {
                    round.invoke(request, met, params.as_deref(), &mut faults).await?;
                }
            }
            Plugin::Policies.end(request.object.as_deref());
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(refusal(&facts, request.object.as_deref(), &faults)),
        }
    }
}

fn denied(policy: &str, binding: Option<&str>, message: &str) -> String {
    match binding {
        Some(binding) => format!("policy '{policy}' with binding '{binding}' denied request: {message}"),
        None => format!("policy {policy:?} denied request: {message}"),
    }
}

/// The first fault is the message, all are causes.
fn refusal(facts: &Facts<'_>, object: Option<&Value>, faults: &[Fault]) -> Status {
    let mut status = forbidden(facts, object, "admission request denied by policy");
    status.message = faults[0].message.clone();
    if !faults[0].reason.is_empty() {
        status.reason = faults[0].reason.into();
    }
    faults.iter().fold(status, |status, fault| status.with_cause("", fault.message.clone(), ""))
}

impl Round<'_> {
    /// One policy with one set of params.
    async fn invoke(
        &self,
        request: &mut AdmissionRequest<'_>,
        met: &Met<'_, Mutations>,
        params: Option<&Value>,
        faults: &mut Vec<Fault>,
    ) -> Result<(), Status> {
        let internal = |status: Status| Status::internal(status.message);
        let (world, kind) = (self.world, self.facts.kind);
        let convert = async |object: Option<&Value>| match object {
            None => Ok(None),
            Some(object) => world.convert(object, kind, &met.matched.kind).await.map(Some).map_err(internal),
        };
        let mut object = convert(request.object.as_deref()).await?;
        let old = match met.matched.kind == *kind {
            true => None,
            false => convert(request.old_object).await?,
        };
        let old = old.as_ref().or(request.old_object);
        let id = key(met, params);
        let holder = Holder { name: &met.policy.name, kind: "policy", mutating: true };
        let mut fault = |why: String| {
            if !met.policy.fails_open {
                let message = denied(&met.policy.name, Some(&met.binding.name), &why);
                faults.push(Fault { message, reason: "Invalid" });
            }
        };
        match self.conditions(met, Versioned { object: object.as_ref(), old }, params).await {
            Outcome::Matches => {}
            Outcome::Excluded => {
                holder.excluded(self.facts.operation);
                return Ok(());
            }
            Outcome::Failed(why) => {
                holder.failed(self.facts.operation);
                fault(why);
                return Ok(());
            }
        }
        if !Plugin::Policies.may_call(&id) {
            return Ok(());
        }
        let mut changed = false;
        for index in 0..met.policy.effect.all.len() {
            let Some(current) = &object else { break };
            let objects = Versioned { object: Some(current), old };
            let mutated = self.one(met, index, objects, params).await;
            metrics::mutating_policy(&met.policy.name, &met.binding.name, mutated.is_err());
            match mutated {
                Ok(new) => {
                    changed |= new != *current;
                    object = Some(new);
                }
                Err(Trouble::Internal(why)) => return Err(Status::internal(why)),
                Err(Trouble::Failed(why)) => fault(why),
                Err(Trouble::Pending(_)) => unreachable!("the asker resolves what is pending"),
            }
        }
        if let (true, Some(new), Some(slot)) = (changed, &object, request.object.as_deref_mut()) {
            *slot = world.convert(new, &met.matched.kind, kind).await.map_err(internal)?;
            Plugin::Policies.changed();
        }
        if met.policy.effect.if_needed {
            Plugin::Policies.called(&id);
        }
        Ok(())
    }

    async fn conditions(
        &self,
        met: &Met<'_, Mutations>,
        objects: Versioned<'_>,
        params: Option<&Value>,
    ) -> Outcome {
        let Some(conditions) = &met.policy.conditions else { return Outcome::Matches };
        let request = request_value(self.facts, &met.matched);
        let seen = Seen::of(self.world, &met.matched.kind, objects);
        let inputs =
            Inputs { objects: seen.objects(), request: &request, namespace: self.namespace.as_ref(), params };
        self.asker.resolve(|asker| conditions.evaluate(self.facts, &inputs, asker)).await
    }

    /// One mutation; what comes of it is read as an object of its kind, with defaults.
    async fn one(
        &self,
        met: &Met<'_, Mutations>,
        index: usize,
        objects: Versioned<'_>,
        params: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let request = request_value(self.facts, &met.matched);
        let seen = Seen::of(self.world, &met.matched.kind, objects);
        let inputs =
            Inputs { objects: seen.objects(), request: &request, namespace: self.namespace.as_ref(), params };
        let (world, kind) = (self.world, &met.matched.kind);
        let mutation = &met.policy.effect.all[index];
        let mutated = self.asker.resolve(|asker| {
            match mutate(world, met.policy, mutation, (self.facts, kind), &inputs, asker) {
                Err(Trouble::Pending(check)) => Err(check),
                other => Ok(other),
            }
        });
        let mutated = mutated.await?;
        let strict = matches!(mutation, Mutation::JsonPatch(..));
        world.read_back(kind, mutated, strict).map_err(Trouble::Internal)
    }
}

/// Tells one invocation from all others.
fn key(met: &Met<'_, Mutations>, params: Option<&Value>) -> String {
    let param = params.map(|object| (text(object, &["metadata", "namespace"]), name(object)));
    let (namespace, param) = param.unwrap_or_default();
    format!("{}\n{}\n{namespace}\n{param}", met.policy.name, met.binding.name)
}
