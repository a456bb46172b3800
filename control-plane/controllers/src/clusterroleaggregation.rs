//! clusterrole-aggregation: a ClusterRole with an aggregation rule has the rules of all ClusterRoles that it selects.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::PostParams;
use kube::{Api, Client};
use oarlock_base::Tasks;
use oarlock_client::{Change, ObjectKey, Outcome, Store, WorkQueue, is_conflict, is_not_found};

use crate::common::context::work;
use crate::common::{Context, Controller, selectors};

pub(crate) struct ClusterRoleAggregation {
    client: Client,
    roles: Store<ClusterRole>,
    queue: WorkQueue<ObjectKey>,
}

impl ClusterRoleAggregation {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let roles = context.informers.of::<ClusterRole>();
        let controller = Arc::new(Self {
            client: context.client("clusterrole-aggregation-controller"),
            roles: roles.store(),
            queue: WorkQueue::new("ClusterRoleAggregator"),
        });
        let handler = controller.clone();
        roles.subscribe(move |change| handler.changed(change));
        Box::new(Handle(controller))
    }

    /// Those that select the role now, or did so before, and the role itself.
    fn changed(&self, change: &Change<ClusterRole>) {
        let before = match change {
            Change::Updated { old, .. } => Some(old),
            _ => None,
        };
        let touched: Vec<&ClusterRole> =
            before.into_iter().chain([change.object()]).map(|role| &**role).collect();
        for role in self.roles.list() {
            let itself = role.metadata.name == change.object().metadata.name;
            if role.aggregation_rule.is_some()
                && (itself || touched.iter().any(|other| selects(&role, other)))
            {
                self.queue.add(ObjectKey::of(&*role));
            }
        }
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(role) = self.roles.get_key(&key) else { return Ok(Outcome::Done) };
        let Some(rules) = plan(&role, &self.roles.list()) else { return Ok(Outcome::Done) };
        let new = ClusterRole { rules: Some(rules), ..(*role).clone() };
        let api: Api<ClusterRole> = Api::all(self.client.clone());
        match api.replace(&key.name, &PostParams::default(), &new).await {
            Err(error) if is_not_found(&error) => Ok(Outcome::Done),
            Err(error) if is_conflict(&error) => Ok(Outcome::Requeue),
            written => written.map(|_| Outcome::Done),
        }
    }
}

fn selects(role: &ClusterRole, other: &ClusterRole) -> bool {
    let terms = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    terms.into_iter().any(|selector| {
        selectors::matcher(Some(selector)).is_ok_and(|matcher| matcher.matches(&other.metadata.labels))
    })
}

/// The rules that the role should have, if these are others than it has.
fn plan(role: &ClusterRole, roles: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    role.aggregation_rule.as_ref()?;
    let mut others: Vec<&Arc<ClusterRole>> = roles.iter().collect();
    others.retain(|other| other.metadata.name != role.metadata.name && selects(role, other));
    others.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut rules: Vec<PolicyRule> = vec![];
    for rule in others.iter().flat_map(|other| other.rules.iter().flatten()) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    (role.rules.as_deref().unwrap_or_default() != rules).then_some(rules)
}

struct Handle(Arc<ClusterRoleAggregation>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, 1, ClusterRoleAggregation::sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use oarlock_client::testing::FakeApi;
    use serde_json::{Value, json};

    fn role(name: &str, verb: &str) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"to-view": "true"}},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}],
        })
    }

    #[tokio::test]
    async fn rules_are_gathered_in_the_order_of_names() {
        let api = FakeApi::new();
        let mut view = role("view", "none");
        view["metadata"]["labels"] = Value::Null;
        view["rules"] = Value::Null;
        view["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}]});
        api.put(view);
        api.put(role("b", "list"));
        api.put(role("c", "list"));
        let world = World::start(api.clone(), ClusterRoleAggregation::register).await;
        let verbs = |api: &FakeApi| {
            let view = api.get("clusterroles", "", "view").expect("exists");
            let rules = view["rules"].as_array().cloned().unwrap_or_default();
            rules
                .iter()
                .map(|rule| rule["verbs"][0].as_str().unwrap_or_default().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        api.until(|api| (verbs(api) == "list").then_some(())).await;
        api.put(role("a", "get"));
        api.until(|api| (verbs(api) == "get list").then_some(())).await;
        api.remove("clusterroles", "", "a");
        api.until(|api| (verbs(api) == "list").then_some(())).await;
        world.end().await;
    }
}
