//! Roles and bindings, compiled for look-up by who asks. Pure: objects in, index out.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::rule::Rule;
use crate::names::service_account_user;
use crate::value::{items, name, namespace, text};

pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// The four kinds, as listed from the cache.
pub(super) struct Sources {
    pub(super) cluster_roles: Vec<Arc<Value>>,
    pub(super) roles: Vec<Arc<Value>>,
    pub(super) cluster_role_bindings: Vec<Arc<Value>>,
    pub(super) role_bindings: Vec<Arc<Value>>,
}

/// What a binding gives to one of its subjects. A role that does not exist is an error that a refusal tells.
#[derive(Clone)]
pub(super) struct Grant {
    binding: Arc<BindingName>,
    /// `RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "g"`, printed once for all decisions.
    pub(super) reason: Arc<str>,
    pub(super) rules: Result<Arc<[Rule]>, Arc<str>>,
}

struct BindingName {
    kind: &'static str,
    name: String,
    role_kind: String,
    role_name: String,
}

impl Grant {
    fn to(&self, subject: &str) -> Self {
        let BindingName { kind, name, role_kind, role_name } = &*self.binding;
        let reason = format!("RBAC: allowed by {kind} {name:?} of {role_kind} {role_name:?} to {subject}");
        Self { reason: reason.into(), ..self.clone() }
    }
}

#[derive(Default)]
pub(super) struct Subjects {
    users: HashMap<Box<str>, Vec<Grant>>,
    groups: HashMap<Box<str>, Vec<Grant>>,
}

impl Subjects {
    pub(super) fn of<'a>(
        &'a self,
        user: &'a str,
        groups: &'a [String],
    ) -> impl Iterator<Item = &'a Grant> + 'a {
        let by_group = groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        self.users.get(user).into_iter().chain(by_group).flatten()
    }
}

type RoleKey = (Box<str>, Box<str>);

/// The parsed rules of roles by (namespace, name), beside the object they came from: an unchanged object (the very same
/// allocation of the cache) is not parsed again.
#[derive(Default)]
pub(super) struct RoleRules(HashMap<RoleKey, (Arc<Value>, Arc<[Rule]>)>);

impl RoleRules {
    fn compile(roles: &[Arc<Value>], before: &Self) -> Self {
        let parse = |role: &Arc<Value>| {
            let key: RoleKey = (namespace(role).into(), name(role).into());
            match before.0.get(&key) {
                Some((object, rules)) if Arc::ptr_eq(object, role) => (key, (role.clone(), rules.clone())),
                _ => (key, (role.clone(), items(role, &["rules"]).iter().map(Rule::from_value).collect())),
            }
        };
        Self(roles.iter().map(parse).collect())
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<[Rule]>> {
        self.0.get(&(namespace.into(), name.into())).map(|(_, rules)| rules.clone())
    }
}

#[derive(Default)]
pub(super) struct Compiled {
    pub(super) roles: RoleRules,
    pub(super) cluster_roles: RoleRules,
    pub(super) cluster: Subjects,
    pub(super) namespaced: HashMap<Box<str>, Subjects>,
}

impl Compiled {
    pub(super) fn compile(sources: &Sources, before: &Self) -> Self {
        let mut compiled = Self {
            roles: RoleRules::compile(&sources.roles, &before.roles),
            cluster_roles: RoleRules::compile(&sources.cluster_roles, &before.cluster_roles),
            ..Self::default()
        };
        for binding in &sources.cluster_role_bindings {
            let grant = compiled.grant_of("ClusterRoleBinding", name(binding).to_string(), binding);
            index(&mut compiled.cluster, binding, &grant);
        }
        for binding in &sources.role_bindings {
            let full_name = format!("{}/{}", name(binding), namespace(binding));
            let grant = compiled.grant_of("RoleBinding", full_name, binding);
            index(compiled.namespaced.entry(namespace(binding).into()).or_default(), binding, &grant);
        }
        compiled
    }

    /// The rules that a roleRef stands for, or upstream's words for a role that is not there.
    pub(super) fn role_rules(&self, role_ref: &Value, namespace: &str) -> Result<Arc<[Rule]>, String> {
        let role = text(role_ref, &["name"]);
        let (found, kind) = match text(role_ref, &["kind"]) {
            "ClusterRole" => (self.cluster_roles.get("", role), "clusterrole"),
            "Role" => (self.roles.get(namespace, role), "role"),
            other => return Err(format!("unsupported role reference kind: {other:?}")),
        };
        found.ok_or_else(|| format!("{kind}.{GROUP} {role:?} not found"))
    }

    fn grant_of(&self, kind: &'static str, full_name: String, binding: &Value) -> Grant {
        let role_ref = &binding["roleRef"];
        Grant {
            rules: self.role_rules(role_ref, namespace(binding)).map_err(Into::into),
            binding: Arc::new(BindingName {
                kind,
                name: full_name,
                role_kind: text(role_ref, &["kind"]).into(),
                role_name: text(role_ref, &["name"]).into(),
            }),
            reason: "".into(),
        }
    }
}

/// Files a grant under each of its binding's subjects.
fn index(subjects: &mut Subjects, binding: &Value, grant: &Grant) {
    for subject in items(binding, &["subjects"]) {
        let (kind, who) = (text(subject, &["kind"]), text(subject, &["name"]));
        let (map, key, described) = match kind {
            "User" => (&mut subjects.users, who.to_string(), format!("User {who:?}")),
            "Group" => (&mut subjects.groups, who.to_string(), format!("Group {who:?}")),
            "ServiceAccount" => {
                let own = text(subject, &["namespace"]);
                let ns = if own.is_empty() { namespace(binding) } else { own };
                if ns.is_empty() {
                    continue;
                }
                let described = format!("ServiceAccount {:?}", format!("{who}/{ns}"));
                (&mut subjects.users, service_account_user(ns, who), described)
            }
            _ => continue,
        };
        map.entry(key.into()).or_default().push(grant.to(&described));
    }
}
