//! Nobody grants what they do not hold: the checks on writes of roles and bindings.

use std::sync::Arc;

use oarlock_api::{GroupResource, Status};
use serde_json::{Value, json};

use super::cover::{compact, missing};
use super::rule::Rule;
use super::{Rbac, compile};
use crate::authorization::is_superuser;
use crate::types::{Attributes, Authorizer, Decision, User};
use crate::value::{at, items, name, quoted, text};

/// One write of a role or binding.
pub(crate) struct Write<'a> {
    pub(crate) resource: &'a GroupResource,
    pub(crate) user: &'a User,
    pub(crate) namespace: &'a str,
    /// The name in the path; empty on a creation.
    pub(crate) name: &'a str,
    pub(crate) new: &'a Value,
    pub(crate) old: Option<&'a Value>,
}

/// Refuses a role whose rules, or a binding whose role's rules, exceed what the writer holds.
pub(crate) async fn check(rbac: &Rbac, authorizer: &dyn Authorizer, write: &Write<'_>) -> Result<(), Status> {
    if is_superuser(write.user) || write.old.is_some_and(|old| only_ownership_changes(old, write.new)) {
        return Ok(());
    }
    match &*write.resource.resource {
        "roles" | "clusterroles" => check_role(rbac, authorizer, write).await,
        _ => check_binding(rbac, authorizer, write).await,
    }
}

async fn check_role(rbac: &Rbac, authorizer: &dyn Authorizer, write: &Write<'_>) -> Result<(), Status> {
    let asked = attributes(write, "escalate", &write.resource.resource, write.name);
    if matches!(authorizer.authorize(&asked).await, Decision::Allow(_)) {
        return Ok(());
    }
    let rules: Vec<Rule> = items(write.new, &["rules"]).iter().map(Rule::from_value).collect();
    confirm(rbac, write, &rules)?;
    let aggregates = |role: &Value| at(role, &["aggregationRule"]).is_some_and(|rule| !rule.is_null());
    if aggregates(write.new) || write.old.is_some_and(aggregates) {
        let everything = json!([
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]);
        let everything: Vec<Rule> = items(&everything, &[]).iter().map(Rule::from_value).collect();
        confirm(rbac, write, &everything).map_err(|_| {
            Status::forbidden(
                write.resource,
                name(write.new),
                "must have cluster-admin privileges to use the aggregationRule",
            )
        })?;
    }
    Ok(())
}

async fn check_binding(rbac: &Rbac, authorizer: &dyn Authorizer, write: &Write<'_>) -> Result<(), Status> {
    let role_ref = &write.new["roleRef"];
    let (kind, role) = (text(role_ref, &["kind"]), text(role_ref, &["name"]));
    let resource = match kind {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        // Validation refuses other kinds with better words.
        _ => return Ok(()),
    };
    let asked = attributes(write, "bind", resource, role);
    if matches!(authorizer.authorize(&asked).await, Decision::Allow(_)) {
        return Ok(());
    }
    let singular = resource.strip_suffix('s').expect("both names end in s");
    let rules = rbac
        .role_rules(role_ref, write.namespace)
        .map_err(|_| Status::not_found(&GroupResource::new(compile::GROUP, singular), role))?;
    confirm(rbac, write, &rules)
}

fn confirm(rbac: &Rbac, write: &Write<'_>, rules: &[Rule]) -> Result<(), Status> {
    let (held, errors) = rbac.rules_of(write.user, write.namespace);
    let lacking = missing(&held, rules);
    if lacking.is_empty() {
        return Ok(());
    }
    let mut described: Vec<String> = compact(lacking).iter().map(Rule::describe).collect();
    described.sort_unstable();
    described.dedup();
    let mut message = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        write.user.name,
        quoted(&write.user.groups),
        described.join("\n")
    );
    if !errors.is_empty() {
        message.push_str(&format!("; resolution errors: [{}]", errors.join(" ")));
    }
    Err(Status::forbidden(write.resource, name(write.new), message))
}

fn attributes(write: &Write<'_>, verb: &str, resource: &str, name: &str) -> Attributes {
    Attributes {
        group: compile::GROUP.into(),
        version: "*".into(),
        resource: resource.into(),
        namespace: write.namespace.into(),
        name: name.into(),
        ..Attributes::of_resources(Arc::new(write.user.clone()), verb)
    }
}

/// The garbage collector takes owners and finalizers off without holding what the role grants.
fn only_ownership_changes(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
                metadata.remove(field);
            }
        }
        object
    };
    rest(old) == rest(new)
}
