//! All policies of one kind, with their bindings, compiled once for each change of either.

use std::sync::Arc;

use oarlock_api::GroupResource;
use oarlock_apiserver_access::AdmissionRequest;
use serde_json::Value;

use super::definition::{Environments, Policy, compile_all};
use crate::World;
use crate::compiled::Compiled;
use crate::expressions::Scope;
use crate::facts::{is_exempt, is_virtual};
use crate::world::GROUP;

/// `E` is what a policy does.
pub(super) struct Policies<E> {
    pub(super) world: World,
    policies: GroupResource,
    bindings: GroupResource,
    scope: fn(bool) -> Scope,
    effect: fn(&Value, &Environments) -> E,
    compiled: Compiled<Vec<Policy<E>>>,
}

impl<E> Policies<E> {
    /// Those under two plurals; what they do is compiled by `effect` in the environments of `scope`.
    pub(super) fn new(
        world: World,
        (policies, bindings): (&str, &str),
        scope: fn(bool) -> Scope,
        effect: fn(&Value, &Environments) -> E,
    ) -> Self {
        Self {
            world,
            policies: GroupResource::new(GROUP, policies),
            bindings: GroupResource::new(GROUP, bindings),
            scope,
            effect,
            compiled: Compiled::default(),
        }
    }

    /// Those that may concern a request; none where there is nothing to ask.
    pub(super) fn of(&self, request: &AdmissionRequest<'_>) -> Option<Arc<Vec<Policy<E>>>> {
        if is_exempt(request.kind) || is_virtual(request.resource) {
            return None;
        }
        let resources = (&self.policies, &self.bindings);
        let generation = self.world.generation(&[resources.0, resources.1]);
        let make = || compile_all(&self.world, resources, self.scope, self.effect);
        let policies = self.compiled.get(generation, make);
        (!policies.is_empty()).then_some(policies)
    }
}
