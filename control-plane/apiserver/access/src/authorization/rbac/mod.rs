//! Role-based access control. The four kinds are compiled into an index by subject when a decision finds that one of
//! them has changed; a decision walks only what is granted to the user.

mod aggregate;
mod compile;
pub(crate) mod cover;
pub(crate) mod escalation;
mod reconcile;
pub(crate) mod rule;

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

pub use aggregate::aggregate;
use compile::{Compiled, Grant, Sources};
pub use reconcile::{BindingAction, reconcile_binding, reconcile_role};
use rule::Rule;

use super::aggregated;
use crate::resources::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
use crate::types::{Attributes, Authorizer, Decision, Objects, Rules, User};

/// The RBAC authoriser.
pub struct Rbac {
    objects: Arc<dyn Objects>,
    current: ArcSwap<Snapshot>,
    compiling: Mutex<()>,
}

#[derive(Default)]
struct Snapshot {
    generations: Option<[u64; 4]>,
    compiled: Compiled,
}

impl Rbac {
    pub fn new(objects: Arc<dyn Objects>) -> Arc<Self> {
        Arc::new(Self { objects, current: ArcSwap::default(), compiling: Mutex::new(()) })
    }

    /// The index as of now: compiled anew where a role or binding has changed since.
    fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        let current = self.current.load();
        if current.generations == Some(self.generations()) {
            return current;
        }
        let _one_at_a_time = self.compiling.lock();
        // Read before the lists: a change in between makes the next decision compile again, never lets it go unseen.
        let generations = self.generations();
        let current = self.current.load();
        if current.generations == Some(generations) {
            return current;
        }
        let sources = Sources {
            cluster_roles: self.objects.list(&CLUSTER_ROLES, ""),
            roles: self.objects.list(&ROLES, ""),
            cluster_role_bindings: self.objects.list(&CLUSTER_ROLE_BINDINGS, ""),
            role_bindings: self.objects.list(&ROLE_BINDINGS, ""),
        };
        let compiled = Compiled::compile(&sources, &current.compiled);
        self.current.store(Arc::new(Snapshot { generations: Some(generations), compiled }));
        self.current.load()
    }

    fn generations(&self) -> [u64; 4] {
        [&CLUSTER_ROLES, &ROLES, &CLUSTER_ROLE_BINDINGS, &ROLE_BINDINGS].map(|r| self.objects.generation(r))
    }

    /// All rules that a user holds in a namespace (or cluster-wide where it is empty), and what could not be resolved.
    pub(crate) fn rules_of(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let snapshot = self.snapshot();
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for grant in grants(&snapshot.compiled, user, namespace) {
            match &grant.rules {
                Ok(granted) => rules.extend(granted.iter().cloned()),
                Err(error) => errors.push(error.to_string()),
            }
        }
        (rules, errors)
    }

    /// The rules of the role that a binding refers to.
    pub(crate) fn role_rules(&self, role_ref: &Value, namespace: &str) -> Result<Arc<[Rule]>, String> {
        self.snapshot().compiled.role_rules(role_ref, namespace)
    }
}

/// What a user is granted: everywhere first, then in the namespace.
fn grants<'a>(
    compiled: &'a Compiled,
    user: &'a User,
    namespace: &'a str,
) -> impl Iterator<Item = &'a Grant> + 'a {
    let local = if namespace.is_empty() { None } else { compiled.namespaced.get(namespace) };
    let everywhere = compiled.cluster.of(&user.name, &user.groups);
    everywhere.chain(local.into_iter().flat_map(|subjects| subjects.of(&user.name, &user.groups)))
}

fn decide(compiled: &Compiled, asked: &Attributes) -> Decision {
    let mut errors: Vec<String> = Vec::new();
    for grant in grants(compiled, &asked.user, &asked.namespace) {
        match &grant.rules {
            Ok(rules) if rules.iter().any(|rule| rule.allows(asked)) => {
                return Decision::Allow(grant.reason.to_string());
            }
            Ok(_) => {}
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() {
        return Decision::NoOpinion(String::new());
    }
    Decision::NoOpinion(format!("RBAC: {}", aggregated(&errors)))
}

#[async_trait]
impl Authorizer for Rbac {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        decide(&self.snapshot().compiled, attributes)
    }

    async fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let (held, errors) = self.rules_of(user, namespace);
        let mut rules = Rules { evaluation_error: aggregated(&errors), ..Rules::default() };
        for rule in held {
            if !rule.resources.is_empty() {
                rules.resource_rules.push(Rule { urls: Vec::new(), ..rule.clone() }.to_value());
            }
            if !rule.urls.is_empty() {
                let urls_only = Rule { verbs: rule.verbs, urls: rule.urls, ..Rule::default() };
                rules.non_resource_rules.push(urls_only.to_value());
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests;
