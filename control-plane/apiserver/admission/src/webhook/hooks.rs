//! All webhooks of one kind of configuration, compiled once for each change, and what the server is to them.

use std::sync::Arc;

use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::AdmissionRequest;
use oarlock_apiserver_webhook::{Authentication, Clients};
use serde_json::Value;

use super::configuration::authentication;
use super::hook::{Hook, compile};
use crate::World;
use crate::compiled::Compiled;
use crate::expressions::{Asker, Inputs, Outcome, request_value};
use crate::facts::{Facts, is_exempt};
use crate::matching::{Criteria, Matched, Subjects};
use crate::metrics::Holder;
use crate::versions::{Seen, Versioned};
use crate::world::GROUP;

pub(super) struct Hooks {
    pub(super) world: World,
    resource: GroupResource,
    clients: Clients,
    authentication: Authentication,
    compiled: Compiled<Vec<Hook>>,
}

impl Hooks {
    /// The webhooks of the configurations that bear this plural.
    pub(super) fn new(world: World, clients: Clients, plural: &str) -> Self {
        Self {
            world,
            resource: GroupResource::new(GROUP, plural),
            clients,
            authentication: Authentication::default(),
            compiled: Compiled::default(),
        }
    }

    /// With a `WebhookAdmissionConfiguration`, or null.
    pub(super) fn with_configuration(self, configuration: &Value) -> Result<Self, String> {
        Ok(Self { authentication: authentication(configuration)?, ..self })
    }

    /// Those that may concern a request; none where there is nothing to ask.
    pub(super) fn of(&self, request: &AdmissionRequest<'_>) -> Option<Arc<Vec<Hook>>> {
        if is_exempt(request.kind) {
            return None;
        }
        let generation = self.world.generation(&[&self.resource]);
        let hooks = self.compiled.get(generation, || {
            compile(&self.world.sorted(&self.resource), &self.clients, &self.authentication)
        });
        (!hooks.is_empty()).then_some(hooks)
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
    let request = request_value(facts, matched);
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
