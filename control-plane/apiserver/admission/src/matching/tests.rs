//! Tables of matching.

use oarlock_api::{GroupVersionKind, GroupVersionResource};
use oarlock_apiserver_access::Operation;
use serde_json::{Value, json};

use super::{Criteria, Rule, Subjects};
use crate::facts::Facts;
use crate::testing::{FakeSurface, Sent, config_map, widget_v1, world};

fn rule(operations: &[&str], groups: &[&str], versions: &[&str], resources: &[&str]) -> Value {
    json!({"operations": operations, "apiGroups": groups, "apiVersions": versions, "resources": resources})
}

fn namespace(name: &str, labels: Value) -> Sent {
    let object =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    Sent::create(GroupVersionResource::new("", "v1", "namespaces"), object)
}

#[test]
fn rules_mean_what_they_say() {
    let mut log = config_map("a", json!({}));
    log.resource = GroupVersionResource::new("", "v1", "pods");
    log.subresource = "log";
    let check = |sent: &mut Sent, rule: &Value, want: bool| {
        let request = sent.request();
        let facts = Facts::of(&request);
        assert_eq!(Rule::of(rule).matches(&facts, facts.resource), want, "{rule}");
    };
    let mut map = config_map("a", json!({}));
    check(&mut map, &rule(&["CREATE"], &[""], &["v1"], &["configmaps"]), true);
    check(&mut map, &rule(&["*"], &["*"], &["*"], &["*"]), true);
    check(&mut map, &rule(&["UPDATE", "DELETE"], &[""], &["v1"], &["configmaps"]), false);
    check(&mut map, &rule(&["CREATE"], &["apps"], &["v1"], &["configmaps"]), false);
    check(&mut map, &rule(&["CREATE"], &[""], &["v2"], &["configmaps"]), false);
    check(&mut map, &rule(&["CREATE"], &[""], &["v1"], &["configmaps/*"]), true);
    check(&mut map, &rule(&["CREATE"], &[""], &["v1"], &["*/status"]), false);
    check(&mut log, &rule(&["*"], &[""], &["v1"], &["pods"]), false);
    check(&mut log, &rule(&["*"], &[""], &["v1"], &["*"]), false);
    check(&mut log, &rule(&["*"], &[""], &["v1"], &["pods/log"]), true);
    check(&mut log, &rule(&["*"], &[""], &["v1"], &["*/log"]), true);
    check(&mut log, &rule(&["*"], &[""], &["v1"], &["*/*"]), true);
    let scoped = |scope: &str| {
        let mut rule = rule(&["*"], &["*"], &["*"], &["*"]);
        rule["scope"] = scope.into();
        rule
    };
    check(&mut map, &scoped("Namespaced"), true);
    check(&mut map, &scoped("Cluster"), false);
    let mut itself = namespace("n", json!({}));
    check(&mut itself, &scoped("Namespaced"), false);
    check(&mut itself, &scoped("Cluster"), true);
    let mut named = rule(&["*"], &["*"], &["*"], &["*"]);
    named["resourceNames"] = json!(["b"]);
    check(&mut map, &named, false);
    named["resourceNames"] = json!(["b", "a"]);
    check(&mut map, &named, true);
}

fn by_rules(sent: &mut Sent, criteria: &Criteria) -> Option<String> {
    let request = sent.request();
    let facts = Facts::of(&request);
    let subjects = Subjects::new(&facts, &FakeSurface);
    criteria.by_rules(&subjects).map(|matched| format!("{}", matched.kind))
}

#[test]
fn an_equivalent_version_is_meant_unless_the_policy_is_exact() {
    let v2 = rule(&["*"], &["example.com"], &["v2"], &["widgets"]);
    let criteria = |policy: &str| Criteria::of_webhook(&json!({"rules": [v2], "matchPolicy": policy}));
    let mut sent = widget_v1("w");
    assert_eq!(by_rules(&mut sent, &criteria("Exact")), None);
    let found = by_rules(&mut sent, &criteria("Equivalent"));
    assert_eq!(found.as_deref(), Some("example.com/v2, Kind=Widget"));
    // A subresource keeps its own kind.
    sent.subresource = "scale";
    sent.kind = GroupVersionKind::new("autoscaling", "v1", "Scale");
    let scale = rule(&["*"], &["example.com"], &["v2"], &["widgets/scale"]);
    let found = by_rules(&mut sent, &Criteria::of_webhook(&json!({"rules": [scale]})));
    assert_eq!(found.as_deref(), Some("autoscaling/v1, Kind=Scale"));
}

#[test]
fn policies_without_rules_mean_everything_and_exclusions_win() {
    let mut sent = config_map("a", json!({}));
    assert_eq!(by_rules(&mut sent, &Criteria::of_webhook(&json!({}))), None);
    assert!(by_rules(&mut sent, &Criteria::of_resources(&json!({}))).is_some());
    let all = rule(&["*"], &["*"], &["*"], &["*"]);
    let excluded = json!({"resourceRules": [all], "excludeResourceRules": [all]});
    assert_eq!(by_rules(&mut sent, &Criteria::of_resources(&excluded)), None);
}

async fn matches(sent: &mut Sent, hook: Value) -> Result<bool, String> {
    let (world, _) = world();
    let criteria = Criteria::of_resources(&hook);
    let request = sent.request();
    let facts = Facts::of(&request);
    let matched = criteria.by_rules(&Subjects::new(&facts, &FakeSurface));
    let both = (request.object.as_deref(), request.old_object);
    let result = criteria.matches(&facts, matched, &*world.objects, both).await;
    result.map(|matched| matched.is_some()).map_err(|status| status.message)
}

#[tokio::test]
async fn selectors_look_at_new_and_old_objects_and_at_namespaces() {
    let labelled = |labels: Value| {
        let mut sent = config_map("a", json!({}));
        sent.object.as_mut().expect("an object")["metadata"]["labels"] = labels;
        sent
    };
    let objects = json!({"objectSelector": {"matchLabels": {"a": "b"}}});
    assert_eq!(matches(&mut labelled(json!({"a": "b"})), objects.clone()).await, Ok(true));
    assert_eq!(matches(&mut labelled(json!({"a": "c"})), objects.clone()).await, Ok(false));
    let mut updated = labelled(json!({}));
    updated.old = labelled(json!({"a": "b"})).object;
    assert_eq!(matches(&mut updated, objects.clone()).await, Ok(true), "the old object bears it");
    // What has no metadata has no labels, not even absent ones.
    let mut options = config_map("a", json!({}));
    options.object = Some(json!({"kind": "PodExecOptions", "command": ["sh"]}));
    options.operation = Operation::Connect;
    let absent = json!({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}});
    assert_eq!(matches(&mut options, absent).await, Ok(false));

    let team = |team: &str| json!({"namespaceSelector": {"matchLabels": {"team": team}}});
    assert_eq!(matches(&mut labelled(json!({})), team("a")).await, Ok(true));
    assert_eq!(matches(&mut labelled(json!({})), team("b")).await, Ok(false));
    let mut lost = labelled(json!({}));
    lost.namespace = "lost".into();
    assert_eq!(matches(&mut lost, team("a")).await, Err("namespaces \"lost\" not found".into()));
    // A namespace's own labels, as they are being written.
    assert_eq!(matches(&mut namespace("n", json!({"team": "b"})), team("b")).await, Ok(true));
    // What is in no namespace is never exempt.
    let mut node = labelled(json!({}));
    node.namespace = String::new();
    node.resource = GroupVersionResource::new("", "v1", "nodes");
    assert_eq!(matches(&mut node, team("b")).await, Ok(true));
}
