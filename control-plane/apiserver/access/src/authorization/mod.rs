//! What a user may do: a chain of authorisers, first opinion wins, and the words of a refusal.

mod config;
mod node;
mod plain;
mod rbac;
mod reload;
mod review_spec;
mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupResource, Status};

pub use config::{AuthorizationConfig, AuthorizationParts};
pub use node::NodeAuthorizer;
pub use plain::{Abac, AlwaysAllow, AlwaysDeny};
pub(crate) use rbac::escalation;
pub use rbac::{BindingAction, Rbac, aggregate, reconcile_binding, reconcile_role};
pub use reload::ReloadableAuthorization;
pub use webhook::{WebhookAuthorizer, WebhookAuthorizerConfig};

use crate::names::MASTERS;
use crate::types::{Attributes, Authorizer, Decision, Rules, User};

/// Asks its links in order; the first that allows or denies decides.
pub struct AuthorizationChain {
    links: Vec<Arc<dyn Authorizer>>,
}

impl AuthorizationChain {
    pub fn new(links: Vec<Arc<dyn Authorizer>>) -> Self {
        Self { links }
    }
}

#[async_trait]
impl Authorizer for AuthorizationChain {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let mut reasons: Vec<String> = Vec::new();
        for link in &self.links {
            match link.authorize(attributes).await {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    async fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        let mut errors: Vec<String> = Vec::new();
        for link in &self.links {
            let rules = link.rules_for(user, namespace).await;
            all.resource_rules.extend(rules.resource_rules);
            all.non_resource_rules.extend(rules.non_resource_rules);
            all.incomplete |= rules.incomplete;
            if !rules.evaluation_error.is_empty() {
                errors.push(rules.evaluation_error);
            }
        }
        all.evaluation_error = aggregated(&errors);
        all
    }
}

/// `system:masters` may do everything, whatever the rules say: nobody can lock the owners of a cluster out.
pub struct Superusers;

#[async_trait]
impl Authorizer for Superusers {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if is_superuser(&attributes.user) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion(String::new())
        }
    }

    async fn rules_for(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }
}

pub(crate) fn is_superuser(user: &User) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}

/// `User "x" cannot list resource "pods" in API group "" in the namespace "default"`.
pub fn denied_message(attributes: &Attributes) -> String {
    let Attributes { user, verb, path, group, namespace, .. } = attributes;
    let user = &user.name;
    if !attributes.resource_request {
        return format!("User {user:?} cannot {verb} path {path:?}");
    }
    let resource = match attributes.subresource.as_str() {
        "" => attributes.resource.clone(),
        subresource => format!("{}/{subresource}", attributes.resource),
    };
    let what = format!("User {user:?} cannot {verb} resource {resource:?} in API group {group:?}");
    if namespace.is_empty() {
        format!("{what} at the cluster scope")
    } else {
        format!("{what} in the namespace {namespace:?}")
    }
}

/// The 403 of a request that nobody allowed.
pub fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let message = denied_message(attributes).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let why = if reason.is_empty() { message } else { format!("{message}: {reason}") };
    let resource = GroupResource::new(&attributes.group, &attributes.resource);
    Status::forbidden(&resource, &attributes.name, why)
}

/// Several errors in one line, as upstream's aggregate prints them.
pub(crate) fn aggregated(errors: &[String]) -> String {
    match errors {
        [] => String::new(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod config_tests;
#[cfg(test)]
mod tests;
