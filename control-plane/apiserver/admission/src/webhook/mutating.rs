//! MutatingAdmissionWebhook: one webhook after the other, each sees what those before it made of the object.

use std::time::Instant;

use async_trait::async_trait;
use oarlock_api::{Status, patch};
use oarlock_apiserver_access::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use oarlock_apiserver_webhook::Clients;
use serde_json::Value;

use super::annotate;
use super::call::{Failure, ask, may_ask};
use super::hook::Hook;
use super::hooks::{Hooks, by_conditions, by_rules};
use super::review::{Reviews, print_tail};
use super::verdict::Verdict;
use crate::World;
use crate::facts::Facts;
use crate::matching::Matched;
use crate::metrics::{self, Ended};
use crate::owners::keep_readable;
use crate::reinvoke::Plugin;
use crate::versions::Versioned;

/// The plugin.
pub struct MutatingAdmissionWebhook(Hooks);

/// One round over one request.
struct Round<'a> {
    world: &'a World,
    facts: &'a Facts<'a>,
    number: usize,
    reviews: Reviews,
}

impl MutatingAdmissionWebhook {
    pub fn new(world: World, clients: Clients) -> Self {
        Self(Hooks::new(world, clients, "mutatingwebhookconfigurations"))
    }

    /// With its part of the admission configuration: a `WebhookAdmissionConfiguration`, or null. The error is for who starts
    /// the server.
    pub fn with_configuration(self, configuration: &Value) -> Result<Self, String> {
        self.0.with_configuration(configuration).map(Self)
    }
}

#[async_trait]
impl AdmissionPlugin for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    fn handles(&self, _operation: Operation) -> bool {
        true
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Mutate && self.0.of(request).is_some()
    }

    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(hooks) = self.0.of(request) else { return Ok(()) };
        let facts = Facts::of(request);
        let ruled = by_rules(&self.0.world, &facts, &hooks);
        if ruled.iter().all(Option::is_none) {
            return Ok(());
        }
        let number = Plugin::Webhooks.begin(request.object.as_deref());
        let mut round = Round { world: &self.0.world, facts: &facts, number, reviews: Reviews::default() };
        for ((index, hook), matched) in hooks.iter().enumerate().zip(ruled) {
            if matched.is_some() {
                round.visit(request, index, hook, matched).await?;
            }
        }
        Plugin::Webhooks.end(request.object.as_deref());
        Ok(())
    }
}

impl Round<'_> {
    async fn visit(
        &mut self,
        request: &mut AdmissionRequest<'_>,
        index: usize,
        hook: &Hook,
        matched: Option<Matched>,
    ) -> Result<(), Status> {
        let (world, facts) = (self.world, self.facts);
        let both = (request.object.as_deref(), request.old_object);
        let Some(matched) = hook.criteria.matches(facts, matched, &*world.objects, both).await? else {
            return Ok(());
        };
        let other = matched.kind != *facts.kind;
        let converted = match other {
            true => (self.convert(&matched, both.0).await?, self.convert(&matched, both.1).await?),
            false => (None, None),
        };
        let objects = match other {
            true => Versioned { object: converted.0.as_ref(), old: converted.1.as_ref() },
            false => Versioned { object: both.0, old: both.1 },
        };
        if !by_conditions(world, facts, hook, &matched, objects, true).await?
            || !Plugin::Webhooks.may_call(&hook.id)
        {
            return Ok(());
        }
        let begun = Instant::now();
        let verdict = self.ask(hook, &matched, objects).await;
        let took = begun.elapsed();
        let observe = |ended| metrics::webhook(&hook.name, true, facts.operation, took, ended);
        let changed = match verdict {
            Ok(verdict) => {
                let allowed = verdict.allowed;
                let taken = self.take(request, index, hook, &matched, objects, verdict);
                observe(match &taken {
                    Ok(_) => Ended::Allowed,
                    Err(status) if allowed => Ended::Unusable(status.code),
                    Err(status) => Ended::Refused(status.code),
                });
                taken?
            }
            Err(failure) => {
                observe(failure.ended(hook));
                annotate::mutation(request.annotations, self.number, index, hook, false);
                failure.settle(hook)?;
                annotate::failed_open_mutating(request.annotations, self.number, index, hook);
                None
            }
        };
        if let Some(changed) = changed {
            let back = world.convert(&changed, &matched.kind, facts.kind).await;
            let back = back.map_err(|status| Status::internal(status.message))?;
            let object = request.object.as_deref_mut().expect("only an object that is there can change");
            if *object != back {
                *object = back;
                self.reviews.clear();
                Plugin::Webhooks.changed();
            }
        }
        if hook.if_needed {
            Plugin::Webhooks.called(&hook.id);
        }
        Ok(())
    }

    async fn convert(&self, matched: &Matched, object: Option<&Value>) -> Result<Option<Value>, Status> {
        match object {
            None => Ok(None),
            Some(object) => {
                let converted = self.world.convert(object, self.facts.kind, &matched.kind).await;
                converted.map(Some).map_err(|status| Status::internal(status.message))
            }
        }
    }

    async fn ask(
        &mut self,
        hook: &Hook,
        matched: &Matched,
        objects: Versioned<'_>,
    ) -> Result<Verdict, Failure> {
        let version = may_ask(hook, self.facts)?;
        let (world, facts) = (self.world, self.facts);
        let tail = self.reviews.tail(version, matched, || print_tail(world, facts, matched, objects));
        ask(hook, version, &tail, true).await
    }

    /// What an answer makes of the object, if it changes it; in the version that the webhook was asked in.
    fn take(
        &self,
        request: &AdmissionRequest<'_>,
        index: usize,
        hook: &Hook,
        matched: &Matched,
        objects: Versioned<'_>,
        verdict: Verdict,
    ) -> Result<Option<Value>, Status> {
        let annotations = request.annotations;
        annotate::own(annotations, hook, &verdict.audit);
        verdict.warnings.iter().for_each(|warning| annotations.warn(warning.as_str()));
        let patched = if verdict.allowed {
            self.patched(request, index, hook, matched, objects, &verdict)
        } else {
            Err(verdict.refusal(&hook.name))
        };
        let mutated = matches!(&patched, Ok(Some(changed)) if Some(changed) != objects.object);
        annotate::mutation(annotations, self.number, index, hook, mutated);
        patched
    }

    fn patched(
        &self,
        request: &AdmissionRequest<'_>,
        index: usize,
        hook: &Hook,
        matched: &Matched,
        objects: Versioned<'_>,
        verdict: &Verdict,
    ) -> Result<Option<Value>, Status> {
        let Some(text) = &verdict.patch else { return Ok(None) };
        let operations: Value = serde_json::from_slice(text).map_err(Status::internal)?;
        if operations.as_array().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let Some(object) = objects.object else {
            let why = "attempted to modify the object, which is not supported for this operation";
            return Err(Status::internal(format!("admission webhook {:?} {why}", hook.name)));
        };
        if verdict.patch_type != "JSONPatch" {
            let why = format!("unsupported patch type {:?}", verdict.patch_type);
            return Failure::call(why, 503).settle(hook).map(|()| None);
        }
        let written = self.world.on_the_wire(&matched.kind, object)?;
        let mut patched = patch::json_patch(&written, text).map_err(Status::internal)?;
        if let Some(warning) = keep_readable(&written, &mut patched) {
            request.annotations.warn(warning);
        }
        annotate::patch(request.annotations, self.number, index, hook, &operations);
        self.world.read_back(&matched.kind, patched, false).map(Some).map_err(Status::internal)
    }
}
