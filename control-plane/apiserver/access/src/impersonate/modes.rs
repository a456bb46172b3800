//! Constrained impersonation (KEP-5284): to act as somebody takes a permission on whom, and one on what is then done.
//! Who was simply allowed to impersonate (`impersonate`) still is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use oarlock_api::Status;
use oarlock_api::selector::{dns1123_subdomain_faults, qualified_name_faults};

use super::{checks, complete_groups, wanted};
use crate::authorization::forbidden;
use crate::names::{
    EXTRA_NODE_NAME, MASTERS, NODE_PREFIX, NODES_GROUP, service_account_groups, split_service_account,
};
use crate::ttl_cache::TtlCache;
use crate::types::{Attributes, Authorizer, Decision, User};

const GROUP: &str = "authentication.k8s.io";
/// From so many checks on it is first asked for all of them at once.
const MANY: usize = 4;
const REMEMBERED: usize = 1024;
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Who a request is by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonated {
    pub user: Arc<User>,
    /// The verb that allowed it (`impersonate:user-info`), for audit; empty where it was plain `impersonate`.
    pub constraint: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// Decides over wishes to act as somebody else.
pub struct Impersonator {
    authorizer: Arc<dyn Authorizer>,
    /// By which mode a user last succeeded: it is tried first.
    last: TtlCache<String, Mode>,
}

impl Impersonator {
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer, last: TtlCache::new(REMEMBERED) }
    }

    /// `asked` is what the request asks for, as its caller. `None`: it does not ask to be somebody else.
    pub async fn act(&self, headers: &HeaderMap, asked: &Attributes) -> Result<Option<Impersonated>, Status> {
        let Some(wanted) = wanted(headers) else { return Ok(None) };
        if wanted.name.is_empty() {
            return Err(Status::bad_request(format!(
                "requested {} without impersonating a user name",
                printed(&wanted)
            )));
        }
        let last = self.last.get(&asked.user.name);
        let others = MODES.into_iter().filter(|mode| Some(*mode) != last);
        let mut refused = None;
        for mode in last.into_iter().chain(others).filter(|mode| mode.applies(&wanted, &asked.user)) {
            match self.check(mode, &wanted, asked).await {
                Ok(user) => {
                    self.last.put(asked.user.name.clone(), mode, REMEMBERED_FOR);
                    return Ok(Some(Impersonated { user: Arc::new(user), constraint: mode.verb() }));
                }
                Err(status) => {
                    refused.get_or_insert(status);
                }
            }
        }
        Err(refused.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
    }

    async fn check(&self, mode: Mode, wanted: &User, asked: &Attributes) -> Result<User, Status> {
        let mut user = wanted.clone();
        if mode == Mode::Legacy {
            for check in checks(&asked.user, &wanted.name, &wanted.uid, &wanted.groups, &wanted.extra) {
                self.allowed(&check).await?;
            }
            complete_groups(&wanted.name, &mut user.groups);
            return Ok(user);
        }
        let caller = mode.caller(&asked.user);
        let on = Attributes {
            user: caller.clone(),
            verb: format!("impersonate-on:{}:{}", mode.name(), asked.verb),
            ..asked.clone()
        };
        self.allowed(&on).await?;
        self.allowed(&mode.on_name(&caller, &wanted.name)).await?;
        if !wanted.uid.is_empty() {
            self.allowed(&mode.ask(&caller, "uids", "", "", &wanted.uid)).await?;
        }
        self.check_groups(mode, &caller, &wanted.groups).await?;
        self.check_extra(mode, &caller, &wanted.extra).await?;
        if node_of(&wanted.name).is_some() {
            user.groups = vec![NODES_GROUP.into()];
        } else if let Some((namespace, _)) = split_service_account(&wanted.name) {
            user.groups = service_account_groups(namespace).to_vec();
        }
        complete_groups(&wanted.name, &mut user.groups);
        Ok(user)
    }

    async fn check_groups(&self, mode: Mode, caller: &Arc<User>, groups: &[String]) -> Result<(), Status> {
        let ask = |name: &str| mode.ask(caller, "groups", "", "", name);
        if groups.iter().any(String::is_empty) {
            return Err(forbidden(&ask(""), "impersonating the empty string group is not allowed"));
        }
        if groups.iter().any(|group| group == MASTERS) {
            return Err(forbidden(&ask(MASTERS), "impersonating the system:masters group is not allowed"));
        }
        if groups.len() >= MANY && self.allowed(&ask("*")).await.is_ok() {
            return Ok(());
        }
        for group in groups {
            self.allowed(&ask(group)).await?;
        }
        Ok(())
    }

    async fn check_extra(
        &self,
        mode: Mode,
        caller: &Arc<User>,
        extra: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), Status> {
        let ask = |key: &str, value: &str| mode.ask(caller, "userextras", key, "", value);
        if let Some(why) = extra.iter().find_map(|(key, values)| extra_fault(key, values)) {
            return Err(forbidden(&ask("", ""), &why));
        }
        let many = extra.len() >= MANY || extra.values().map(Vec::len).sum::<usize>() >= MANY;
        if many && self.allowed(&ask("*", "*")).await.is_ok() {
            return Ok(());
        }
        for (key, values) in extra {
            for value in values {
                self.allowed(&ask(key, value)).await?;
            }
        }
        Ok(())
    }

    async fn allowed(&self, asked: &Attributes) -> Result<(), Status> {
        match self.authorizer.authorize(asked).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(forbidden(asked, &reason)),
        }
    }
}

impl Mode {
    fn name(self) -> &'static str {
        self.verb().trim_start_matches("impersonate:")
    }

    fn verb(self) -> &'static str {
        match self {
            Self::AssociatedNode => "impersonate:associated-node",
            Self::ArbitraryNode => "impersonate:arbitrary-node",
            Self::ServiceAccount => "impersonate:serviceaccount",
            Self::UserInfo => "impersonate:user-info",
            Self::Legacy => "",
        }
    }

    /// Whether the mode is for this wish at all. Nodes and service accounts are what the server says that they are: only
    /// their name may be asked for.
    fn applies(self, wanted: &User, caller: &User) -> bool {
        let bare = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_of(&wanted.name);
        let account = split_service_account(&wanted.name).is_some();
        match self {
            Self::AssociatedNode => {
                let own = caller.extra.get(EXTRA_NODE_NAME).filter(|names| names.len() == 1);
                bare && split_service_account(&caller.name).is_some()
                    && node.is_some_and(|node| own.is_some_and(|names| names[0] == node))
            }
            Self::ArbitraryNode => bare && node.is_some(),
            Self::ServiceAccount => bare && account,
            Self::UserInfo => node.is_none() && !account,
            Self::Legacy => true,
        }
    }

    /// Who asks. A service account is asked for alike on all nodes.
    fn caller(self, caller: &Arc<User>) -> Arc<User> {
        if self != Self::AssociatedNode {
            return caller.clone();
        }
        let keys = caller.extra.keys().cloned().collect();
        let extra = BTreeMap::from([("authentication.kubernetes.io/associated-node-keys".to_string(), keys)]);
        Arc::new(User { extra, ..(**caller).clone() })
    }

    fn on_name(self, caller: &Arc<User>, name: &str) -> Attributes {
        match (node_of(name), split_service_account(name)) {
            (Some(_), _) if self == Self::AssociatedNode => self.ask(caller, "nodes", "", "", "*"),
            (Some(node), _) => self.ask(caller, "nodes", "", "", node),
            (None, Some((namespace, account))) => self.ask(caller, "serviceaccounts", "", namespace, account),
            (None, None) => self.ask(caller, "users", "", "", name),
        }
    }

    fn ask(
        self,
        caller: &Arc<User>,
        resource: &str,
        subresource: &str,
        namespace: &str,
        name: &str,
    ) -> Attributes {
        Attributes {
            group: GROUP.into(),
            version: "v1".into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Attributes::of_resources(caller.clone(), self.verb())
        }
    }
}

/// The node that a name is of.
fn node_of(name: &str) -> Option<&str> {
    name.strip_prefix(NODE_PREFIX).filter(|node| dns1123_subdomain_faults(node).is_empty())
}

fn extra_fault(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".into());
    }
    if !key.contains('/') || !qualified_name_faults(key).is_empty() {
        return Some(format!(
            "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {key:?}: must be a \
             domain-prefixed path (such as \"acme.io/foo\")"
        ));
    }
    if key != key.to_lowercase() {
        return Some(format!("impersonating a non-lowercase key in extra is not allowed: {key:?}"));
    }
    values
        .iter()
        .any(String::is_empty)
        .then(|| "impersonating the empty string value in extra is not allowed".into())
}

/// As Go prints the struct (`%#v`).
fn printed(user: &User) -> String {
    let list = |values: &[String]| {
        let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        if values.is_empty() { "[]string(nil)".into() } else { format!("[]string{{{}}}", quoted.join(", ")) }
    };
    let pairs: Vec<String> =
        user.extra.iter().map(|(key, values)| format!("{key:?}:{}", list(values))).collect();
    let extra = if pairs.is_empty() {
        "map[string][]string(nil)".to_string()
    } else {
        format!("map[string][]string{{{}}}", pairs.join(", "))
    };
    format!(
        "&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:{}, Extra:{extra}}}",
        user.name,
        user.uid,
        list(&user.groups)
    )
}
