//! ValidatingAdmissionWebhook: all webhooks that are meant are asked at the same time.

use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use oarlock_api::Status;
use oarlock_apiserver_access::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use oarlock_apiserver_webhook::Clients;
use serde_json::Value;

use super::annotate;
use super::call::{Failure, ask, may_ask};
use super::hook::Hook;
use super::hooks::{Hooks, by_conditions, by_rules};
use super::review::{ReviewVersion, Reviews, print_tail};
use crate::World;
use crate::facts::Facts;
use crate::metrics::{self, Ended};
use crate::versions::{Versioned, Versions};

/// The plugin.
pub struct ValidatingAdmissionWebhook(Hooks);

/// A webhook that will be asked.
struct Ready<'a> {
    index: usize,
    hook: &'a Hook,
    asked: Result<(ReviewVersion, Bytes), Failure>,
}

impl ValidatingAdmissionWebhook {
    pub fn new(world: World, clients: Clients) -> Self {
        Self(Hooks::new(world, clients, "validatingwebhookconfigurations"))
    }

    /// With its part of the admission configuration: a `WebhookAdmissionConfiguration`, or null. The error is for who starts
    /// the server.
    pub fn with_configuration(self, configuration: &Value) -> Result<Self, String> {
        self.0.with_configuration(configuration).map(Self)
    }
}

#[async_trait]
impl AdmissionPlugin for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn handles(&self, _operation: Operation) -> bool {
        true
    }

    fn concerns(&self, phase: Phase, request: &AdmissionRequest<'_>) -> bool {
        phase == Phase::Validate && self.0.of(request).is_some()
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let Some(hooks) = self.0.of(request) else { return Ok(()) };
        let facts = Facts::of(request);
        let own = Versioned { object: request.object.as_deref(), old: request.old_object };
        let ready = self.ready(&facts, &hooks, own).await?;
        let answers = join_all(ready.into_iter().map(|ready| self.ask(request, ready))).await;
        answers.into_iter().collect()
    }
}

impl ValidatingAdmissionWebhook {
    /// The webhooks that are meant, each with its review.
    async fn ready<'a>(
        &self,
        facts: &Facts<'_>,
        hooks: &'a [Hook],
        own: Versioned<'_>,
    ) -> Result<Vec<Ready<'a>>, Status> {
        let (world, mut ready) = (&self.0.world, Vec::new());
        let (mut versions, mut reviews) = (Versions::default(), Reviews::default());
        let ruled = by_rules(world, facts, hooks);
        for ((index, hook), matched) in hooks.iter().enumerate().zip(ruled) {
            if matched.is_none() {
                continue;
            }
            let both = (own.object, own.old);
            let Some(matched) = hook.criteria.matches(facts, matched, &*world.objects, both).await? else {
                continue;
            };
            versions.prepare(world, facts.kind, &matched.kind, own).await?;
            let objects = versions.get(&matched.kind, own);
            if !by_conditions(world, facts, hook, &matched, objects, false).await? {
                continue;
            }
            let asked = may_ask(hook, facts).map(|version| {
                let tail = reviews.tail(version, &matched, || print_tail(world, facts, &matched, objects));
                (version, tail)
            });
            ready.push(Ready { index, hook, asked });
        }
        Ok(ready)
    }

    async fn ask(&self, request: &AdmissionRequest<'_>, ready: Ready<'_>) -> Result<(), Status> {
        let Ready { index, hook, asked } = ready;
        let begun = Instant::now();
        let verdict = match asked {
            Ok((version, tail)) => ask(hook, version, &tail, false).await,
            Err(failure) => Err(failure),
        };
        let ended = match &verdict {
            Ok(verdict) if verdict.allowed => Ended::Allowed,
            Ok(verdict) => Ended::Refused(verdict.refusal(&hook.name).code),
            Err(failure) => failure.ended(hook),
        };
        metrics::webhook(&hook.name, false, request.operation, begun.elapsed(), ended);
        match verdict {
            Ok(verdict) => {
                annotate::own(request.annotations, hook, &verdict.audit);
                verdict.warnings.iter().for_each(|warning| request.annotations.warn(warning.as_str()));
                if verdict.allowed { Ok(()) } else { Err(verdict.refusal(&hook.name)) }
            }
            Err(failure) => {
                failure.settle(hook)?;
                annotate::failed_open_validating(request.annotations, index, hook);
                Ok(())
            }
        }
    }
}
