//! ValidatingAdmissionWebhook: all webhooks that are meant are asked at the same time.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::{AdmissionPlugin, AdmissionRequest, Operation, Phase};
use oarlock_apiserver_webhook::{Authentication, Clients};
use serde_json::Value;

use super::annotate;
use super::call::{Failure, ask, may_ask};
use super::configuration::authentication;
use super::hook::{Hook, compile};
use super::review::{ReviewVersion, Reviews, print_tail};
use crate::World;
use crate::compiled::Compiled;
use crate::expressions::{Asker, Inputs, Outcome};
use crate::facts::{Facts, is_exempt};
use crate::matching::{Criteria, Matched, Subjects};
use crate::metrics::{self, Ended, Holder};
use crate::versions::{Seen, Versioned, Versions};
use crate::world::GROUP;

static RESOURCE: LazyLock<GroupResource> =
    LazyLock::new(|| GroupResource::new(GROUP, "validatingwebhookconfigurations"));

/// The plugin.
pub struct ValidatingAdmissionWebhook {
    world: World,
    clients: Clients,
    authentication: Authentication,
    hooks: Compiled<Vec<Hook>>,
}

/// A webhook that will be asked.
struct Ready<'a> {
    index: usize,
    hook: &'a Hook,
    asked: Result<(ReviewVersion, Bytes), Failure>,
}

impl ValidatingAdmissionWebhook {
    pub fn new(world: World, clients: Clients) -> Self {
        Self { world, clients, authentication: Authentication::default(), hooks: Compiled::default() }
    }

    /// With its part of the admission configuration: a `WebhookAdmissionConfiguration`, or null. The error is for who starts
    /// the server.
    pub fn with_configuration(self, configuration: &Value) -> Result<Self, String> {
        Ok(Self { authentication: authentication(configuration)?, ..self })
    }

    fn hooks(&self) -> Arc<Vec<Hook>> {
        let generation = self.world.generation(&[&RESOURCE]);
        self.hooks
            .get(generation, || compile(&self.world.sorted(&RESOURCE), &self.clients, &self.authentication))
    }
}

/// What each webhook's rules say, in their order.
pub(super) fn by_rules(world: &World, facts: &Facts<'_>, hooks: &[Hook]) -> Vec<Option<Matched>> {
    let subjects = Subjects::new(facts, &*world.surface);
    hooks.iter().map(|hook| Criteria::by_rules(&hook.criteria, &subjects)).collect()
}

/// Whether a webhook's conditions let it be asked.
pub(super) async fn by_conditions(
    world: &World,
    facts: &Facts<'_>,
    hook: &Hook,
    matched: &Matched,
    objects: Versioned<'_>,
    mutating: bool,
) -> Result<bool, Status> {
    let Some(conditions) = &hook.conditions else { return Ok(true) };
    let request = crate::expressions::request_value(facts, matched);
    let seen = Seen::of(world, &matched.kind, objects);
    let inputs = Inputs { objects: seen.objects(), request: &request, namespace: None, params: None };
    let asker = Asker::new(world.authorizer.clone(), facts);
    let holder = Holder { name: &hook.name, kind: "webhook", mutating };
    match asker.resolve(|asker| conditions.evaluate(facts, &inputs, asker)).await {
        Outcome::Matches => Ok(true),
        Outcome::Excluded => {
            holder.excluded(facts.operation);
            Ok(false)
        }
        Outcome::Failed(why) => {
            holder.failed(facts.operation);
            tracing::warn!(webhook = hook.name, error = why, "match conditions failed");
            Err(Status::forbidden(&facts.resource.group_resource(), &facts.name, why))
        }
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
        phase == Phase::Validate && !is_exempt(request.kind) && !self.hooks().is_empty()
    }

    async fn validate(&self, request: &AdmissionRequest<'_>) -> Result<(), Status> {
        let hooks = self.hooks();
        if hooks.is_empty() || is_exempt(request.kind) {
            return Ok(());
        }
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
        let (world, mut ready) = (&self.world, Vec::new());
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
