//! Which policies, bindings and params a request meets.

use std::sync::Arc;

use oarlock_api::Status;
use serde_json::Value;

use super::definition::{Binding, Policy};
use super::params::collect;
use crate::World;
use crate::facts::Facts;
use crate::matching::{Criteria, Matched, Subjects, namespace};
use crate::versions::Versioned;

/// One policy as bound once, with all its params.
pub(super) struct Met<'p, E> {
    pub(super) policy: &'p Policy<E>,
    pub(super) binding: &'p Binding,
    pub(super) matched: Matched,
    pub(super) params: Vec<Option<Arc<Value>>>,
    /// Among all that is met or misconfigured.
    pub(super) order: usize,
}

/// A policy or binding that cannot be used as it is. The failure policy has been asked: it refuses.
pub(super) struct Misconfigured<'p> {
    pub(super) policy: &'p str,
    pub(super) binding: Option<&'p str>,
    pub(super) message: String,
    pub(super) order: usize,
}

/// What the rules of policies and bindings say; the first step, without a wait.
pub(super) struct Ruled<'p, E> {
    policy: &'p Policy<E>,
    /// None without criteria.
    matched: Option<Matched>,
    bindings: Vec<(&'p Binding, Option<Matched>)>,
}

pub(super) fn by_rules<'p, E>(
    world: &World,
    facts: &Facts<'_>,
    policies: &'p [Policy<E>],
) -> Vec<Ruled<'p, E>> {
    let subjects = Subjects::new(facts, &*world.surface);
    let mut ruled = Vec::new();
    for policy in policies {
        let Some(criteria) = &policy.criteria else {
            ruled.push(Ruled { policy, matched: None, bindings: Vec::new() });
            continue;
        };
        let Some(matched) = criteria.by_rules(&subjects) else { continue };
        let bindings = policy.bindings.iter().filter_map(|binding| match &binding.criteria {
            None => Some((binding, None)),
            Some(criteria) => Some((binding, Some(Criteria::by_rules(criteria, &subjects)?))),
        });
        ruled.push(Ruled { policy, matched: Some(matched), bindings: bindings.collect() });
    }
    ruled
}

/// Everything that a request meets, and what is misconfigured.
pub(super) struct Meeting<'p, E> {
    pub(super) met: Vec<Met<'p, E>>,
    pub(super) faults: Vec<Misconfigured<'p>>,
}

impl<E> Default for Meeting<'_, E> {
    fn default() -> Self {
        Self { met: Vec::new(), faults: Vec::new() }
    }
}

impl<'p, E> Meeting<'p, E> {
    pub(super) async fn of(
        world: &World,
        facts: &Facts<'_>,
        ruled: Vec<Ruled<'p, E>>,
        objects: Versioned<'_>,
    ) -> Self {
        let mut meeting = Self::default();
        for ruled in ruled {
            meeting.meet(world, facts, ruled, objects).await;
        }
        meeting
    }

    fn fault(&mut self, policy: &'p Policy<E>, binding: Option<&'p Binding>, why: &str) {
        if policy.fails_open {
            return;
        }
        let what = if binding.is_some() { "binding" } else { "policy" };
        self.faults.push(Misconfigured {
            policy: &policy.name,
            binding: binding.map(|binding| binding.name.as_str()),
            message: format!("failed to configure {what}: {why}"),
            order: self.met.len() + self.faults.len(),
        });
    }

    async fn meet(&mut self, world: &World, facts: &Facts<'_>, ruled: Ruled<'p, E>, objects: Versioned<'_>) {
        let policy = ruled.policy;
        let (Some(criteria), Some(matched)) = (&policy.criteria, ruled.matched) else {
            return self.fault(policy, None, "policy contained no match constraints, a required field");
        };
        let both = (objects.object, objects.old);
        let matched = match criteria.matches(facts, Some(matched), &*world.objects, both).await {
            Ok(Some(matched)) => matched,
            Ok(None) => return,
            Err(status) => return self.fault(policy, None, &status.message),
        };
        if let Some(kind) = &policy.param_kind
            && world.surface.resource_of_kind(kind).is_none()
        {
            let why = format!("failed to find resource referenced by paramKind: '{kind}'");
            return self.fault(policy, None, &why);
        }
        for (binding, rules) in ruled.bindings {
            if let Some(criteria) = &binding.criteria {
                match criteria.matches(facts, rules, &*world.objects, both).await {
                    Ok(Some(_)) => {}
                    Ok(None) => continue,
                    Err(status) => {
                        self.fault(policy, Some(binding), &status.message);
                        continue;
                    }
                }
            }
            let kind = policy.param_kind.as_ref();
            match collect(world, kind, binding.param_ref.as_ref(), &facts.namespace).await {
                Ok(params) => {
                    let order = self.met.len() + self.faults.len();
                    self.met.push(Met { policy, binding, matched: matched.clone(), params, order });
                }
                Err(why) => self.fault(policy, Some(binding), &why),
            }
        }
    }
}

/// The variable `namespaceObject`: none for what has no namespace, and for namespaces themselves.
pub(super) async fn namespace_object(world: &World, facts: &Facts<'_>) -> Result<Option<Value>, Status> {
    if facts.namespace.is_empty() || facts.is_namespace() {
        return Ok(None);
    }
    let found = namespace(&*world.objects, &facts.namespace).await?;
    Ok(Some(crate::expressions::namespace_value(&found)))
}
