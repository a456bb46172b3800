use serde_json::json;

use super::*;
use crate::testing::{FakeObjects, Fixed, ask, ask_path, object, user};
use cover::{compact, missing};
use oarlock_api::GroupResource;

fn role(namespace: &str, name: &str, rules: Value) -> Value {
    let mut role = object(namespace, name, "");
    role["rules"] = rules;
    role
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str, subjects: Value) -> Value {
    let mut binding = object(namespace, name, "");
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role});
    binding["subjects"] = subjects;
    binding
}

fn cluster() -> Arc<FakeObjects> {
    let readers = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}]);
    FakeObjects::with(&[
        (&CLUSTER_ROLES, role("", "reader", readers)),
        (
            &CLUSTER_ROLES,
            role("", "health", json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/openapi/*"]}])),
        ),
        (
            &CLUSTER_ROLES,
            role("", "scaler", json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}])),
        ),
        (
            &ROLES,
            role(
                "default",
                "one-secret",
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["s"]}]),
            ),
        ),
        (
            &CLUSTER_ROLE_BINDINGS,
            binding(
                "",
                "all",
                "ClusterRole",
                "health",
                json!([{"kind": "Group", "name": "system:authenticated"}]),
            ),
        ),
        (
            &ROLE_BINDINGS,
            binding(
                "default",
                "read",
                "ClusterRole",
                "reader",
                json!([{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "bot"}]),
            ),
        ),
        (
            &ROLE_BINDINGS,
            binding("default", "secret", "Role", "one-secret", json!([{"kind": "User", "name": "jane"}])),
        ),
        (
            &ROLE_BINDINGS,
            binding("apps", "scale", "ClusterRole", "scaler", json!([{"kind": "Group", "name": "ops"}])),
        ),
        (&ROLE_BINDINGS, binding("apps", "lost", "Role", "gone", json!([{"kind": "Group", "name": "ops"}]))),
    ])
}

#[tokio::test]
async fn decisions_follow_bindings() {
    let rbac = Rbac::new(cluster());
    let jane = user("jane", &["system:authenticated"]);
    let bot = user("system:serviceaccount:default:bot", &["system:serviceaccounts"]);
    let ops = user("olga", &["ops"]);
    let cases = [
        ("in the namespace of the binding", ask(&jane, "list", "pods", "default", ""), true),
        ("not in another", ask(&jane, "list", "pods", "kube-system", ""), false),
        ("not everywhere", ask(&jane, "list", "pods", "", ""), false),
        ("subresource by name", ask(&jane, "get", "pods/log", "default", "a"), true),
        ("another subresource", ask(&jane, "get", "pods/exec", "default", "a"), false),
        ("another verb", ask(&jane, "delete", "pods", "default", "a"), false),
        ("another group", ask(&jane, "list", "apps:pods", "default", ""), false),
        ("the named object", ask(&jane, "get", "secrets", "default", "s"), true),
        ("another object", ask(&jane, "get", "secrets", "default", "t"), false),
        ("a path", ask_path(&jane, "get", "/healthz"), true),
        ("a path below a wildcard", ask_path(&jane, "get", "/openapi/v3/apis"), true),
        ("another path", ask_path(&jane, "get", "/metrics"), false),
        ("service account of the binding's namespace", ask(&bot, "get", "pods", "default", "a"), true),
        ("wildcard subresource", ask(&ops, "update", "apps:deployments/scale", "apps", "web"), true),
        ("not the resource itself", ask(&ops, "update", "apps:deployments", "apps", "web"), false),
    ];
    for (what, asked, allowed) in cases {
        let decision = rbac.authorize(&asked).await;
        assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{what}: {decision:?}");
    }
}

#[tokio::test]
async fn reasons_read_as_upstreams() {
    let rbac = Rbac::new(cluster());
    let jane = user("jane", &[]);
    let bot = user("system:serviceaccount:default:bot", &[]);
    let ops = user("olga", &["ops"]);
    let check = async |asked: Attributes, want: Decision| assert_eq!(rbac.authorize(&asked).await, want);
    check(
        ask(&jane, "list", "pods", "default", ""),
        Decision::Allow(
            "RBAC: allowed by RoleBinding \"read/default\" of ClusterRole \"reader\" to User \"jane\"".into(),
        ),
    )
    .await;
    check(
        ask(&bot, "list", "pods", "default", ""),
        Decision::Allow(
            "RBAC: allowed by RoleBinding \"read/default\" of ClusterRole \"reader\" to ServiceAccount \"bot/default\""
                .into(),
        ),
    )
    .await;
    check(
        ask(&ops, "list", "pods", "apps", ""),
        Decision::NoOpinion("RBAC: role.rbac.authorization.k8s.io \"gone\" not found".into()),
    )
    .await;
}

#[tokio::test]
async fn changes_count_at_once_and_nothing_is_compiled_without_them() {
    let objects = cluster();
    let rbac = Rbac::new(objects.clone());
    let jane = user("jane", &[]);
    let asked = ask(&jane, "list", "pods", "default", "");
    assert!(matches!(rbac.authorize(&asked).await, Decision::Allow(_)));
    let lists = objects.lists();
    assert!(matches!(rbac.authorize(&asked).await, Decision::Allow(_)));
    assert_eq!(objects.lists(), lists, "an unchanged cluster is not listed again");
    objects.delete(&ROLE_BINDINGS, "default", "read");
    assert!(matches!(rbac.authorize(&asked).await, Decision::NoOpinion(_)));
}

#[tokio::test]
async fn rules_are_told() {
    let rbac = Rbac::new(cluster());
    let rules = rbac.rules_for(&user("olga", &["ops", "system:authenticated"]), "apps").await;
    assert_eq!(rules.resource_rules, [json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]})]);
    assert_eq!(
        rules.non_resource_rules,
        [json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/openapi/*"]})]
    );
    assert_eq!(rules.evaluation_error, "role.rbac.authorization.k8s.io \"gone\" not found");
    assert!(!rules.incomplete);
}

fn rules(rules: Value) -> Vec<Rule> {
    rules.as_array().expect("a list of rules").iter().map(Rule::from_value).collect()
}

#[test]
fn covering() {
    let pods = |verbs: Value| rules(json!([{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]));
    let all = rules(json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
    let named =
        rules(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]));
    let scale = rules(json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}]));
    let deployments =
        rules(json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}]));
    let url = |url: &str| rules(json!([{"verbs": ["get"], "nonResourceURLs": [url]}]));
    let cases = [
        ("same", pods(json!(["get"])), pods(json!(["get"])), 0),
        ("one verb more", pods(json!(["get"])), pods(json!(["get", "list", "watch"])), 2),
        ("everything", all.clone(), pods(json!(["get", "list"])), 0),
        ("paths are not resources", all, url("/healthz"), 1),
        ("one name is less than all", named.clone(), pods(json!(["get"])), 1),
        ("all is more than one name", pods(json!(["get"])), named, 0),
        ("any scale", scale, deployments, 0),
        ("path below", url("/apis/*"), url("/apis/apps"), 0),
        ("wildcard is more", url("/apis/apps"), url("/apis/*"), 1),
    ];
    for (what, held, wanted, lacking) in cases {
        assert_eq!(missing(&held, &wanted).len(), lacking, "{what}");
    }
}

#[test]
fn missing_verbs_of_one_resource_are_told_together() {
    let wanted = rules(json!([{"verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods"]}]));
    let told: Vec<String> = compact(missing(&[], &wanted)).iter().map(Rule::describe).collect();
    assert_eq!(
        told,
        [
            "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}",
            "{APIGroups:[\"apps\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}",
        ]
    );
}

struct Case {
    what: &'static str,
    resource: &'static str,
    new: Value,
    old: Option<Value>,
    may: fn(&Attributes) -> bool,
    want: Result<(), (u16, &'static str)>,
}

fn nobody(_: &Attributes) -> bool {
    false
}

/// Writes each as Jane, who may read pods.
async fn check_writes(cases: impl IntoIterator<Item = Case>) {
    let rbac = Rbac::new(cluster());
    for case in cases {
        let resource = GroupResource::new("rbac.authorization.k8s.io", case.resource);
        let jane = user("jane", &["devs"]);
        let write = escalation::Write {
            resource: &resource,
            user: &jane,
            namespace: if case.resource.starts_with("cluster") { "" } else { "default" },
            name: if case.old.is_some() { "r" } else { "" },
            new: &case.new,
            old: case.old.as_ref(),
        };
        let got = escalation::check(&rbac, &Fixed(case.may), &write).await;
        let got = got.as_ref().copied().map_err(|s| (s.code, s.message.as_str()));
        assert_eq!(got, case.want, "{}", case.what);
    }
}

#[tokio::test]
async fn nobody_writes_roles_beyond_their_own() {
    let reading =
        || role("default", "r", json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]));
    let writing =
        || role("default", "r", json!([{"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}]));
    let refused = "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"jane\" (groups=[\"devs\"]) is attempting to \
                   grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"create\"]}";
    let mut aggregating = role("", "agg", json!([]));
    aggregating["aggregationRule"] = json!({"clusterRoleSelectors": []});
    let mut orphaned = writing();
    orphaned["metadata"]["finalizers"] = json!(["x"]);
    check_writes([
        Case { what: "held", resource: "roles", new: reading(), old: None, may: nobody, want: Ok(()) },
        Case {
            what: "not held",
            resource: "roles",
            new: writing(),
            old: None,
            may: nobody,
            want: Err((403, refused)),
        },
        Case {
            what: "escalate",
            resource: "roles",
            new: writing(),
            old: None,
            may: |a| a.verb == "escalate" && a.resource == "roles" && a.name.is_empty(),
            want: Ok(()),
        },
        Case {
            what: "garbage collection",
            resource: "roles",
            new: writing(),
            old: Some(orphaned),
            may: nobody,
            want: Ok(()),
        },
        Case {
            what: "aggregation",
            resource: "clusterroles",
            new: aggregating,
            old: None,
            may: nobody,
            want: Err((
                403,
                "clusterroles.rbac.authorization.k8s.io \"agg\" is forbidden: must have cluster-admin privileges to \
                 use the aggregationRule",
            )),
        },
    ])
    .await;
}

#[tokio::test]
async fn nobody_binds_what_they_do_not_hold() {
    let me = json!([{"kind": "User", "name": "jane"}]);
    let bind = |kind: &str, role: &str| binding("default", "b", kind, role, me.clone());
    check_writes([
        Case {
            what: "bind held",
            resource: "rolebindings",
            new: bind("ClusterRole", "reader"),
            old: None,
            may: nobody,
            want: Ok(()),
        },
        Case {
            what: "bind not held",
            resource: "rolebindings",
            new: bind("ClusterRole", "health"),
            old: None,
            may: nobody,
            want: Err((
                403,
                "rolebindings.rbac.authorization.k8s.io \"b\" is forbidden: user \"jane\" (groups=[\"devs\"]) is \
                 attempting to grant RBAC permissions not currently held:\n{NonResourceURLs:[\"/healthz\"], \
                 Verbs:[\"get\"]}\n{NonResourceURLs:[\"/openapi/*\"], Verbs:[\"get\"]}",
            )),
        },
        Case {
            what: "bind verb",
            resource: "rolebindings",
            new: bind("ClusterRole", "health"),
            old: None,
            may: |a| {
                a.verb == "bind"
                    && a.resource == "clusterroles"
                    && a.name == "health"
                    && a.namespace == "default"
            },
            want: Ok(()),
        },
        Case {
            what: "bind nothing",
            resource: "rolebindings",
            new: bind("Role", "gone"),
            old: None,
            may: nobody,
            want: Err((404, "role.rbac.authorization.k8s.io \"gone\" not found")),
        },
    ])
    .await;
}

#[test]
fn aggregation_is_the_union_of_the_selected() {
    let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
    let part = |name: &str, label: &str, rules: Value| {
        let mut part = role("", name, rules);
        part["metadata"]["labels"] = json!({label: "true"});
        Arc::new(part)
    };
    let parts = [
        part("b", "to-view", json!([rule("list"), rule("get")])),
        part("a", "to-view", json!([rule("get")])),
        part("c", "to-edit", json!([rule("create")])),
        part("view", "to-view", json!([rule("delete")])),
    ];
    let mut view = role("", "view", json!([]));
    assert_eq!(aggregate(&view, &parts), None, "not an aggregated role");
    view["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}]});
    let want = vec![rule("get"), rule("list")];
    assert_eq!(aggregate(&view, &parts), Some(want.clone()));
    view["rules"] = want.into();
    assert_eq!(aggregate(&view, &parts), None, "nothing changes twice");
}

#[test]
fn roles_are_reconciled() {
    let get = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    let list = json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]});
    let both = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]});
    let mut expected = role("", "r", json!([both]));
    expected["metadata"]["labels"] = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    assert_eq!(reconcile_role(None, &expected), Some(expected.clone()));
    assert_eq!(reconcile_role(Some(&expected), &expected), None);

    let mut extended = expected.clone();
    extended["rules"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"verbs": ["x"], "nonResourceURLs": ["/x"]}));
    assert_eq!(reconcile_role(Some(&extended), &expected), None, "what people added stays");

    let mut reduced = expected.clone();
    reduced["rules"] = json!([get]);
    reduced["metadata"]["labels"] = json!({"mine": "yes"});
    let repaired = reconcile_role(Some(&reduced), &expected).expect("a rule is missing");
    assert_eq!(repaired["rules"], json!([get, list]));
    assert_eq!(
        repaired["metadata"]["labels"],
        json!({"mine": "yes", "kubernetes.io/bootstrapping": "rbac-defaults"})
    );
    assert_eq!(reconcile_role(Some(&repaired), &expected), None, "repaired once");

    reduced["metadata"]["annotations"] = json!({"rbac.authorization.kubernetes.io/autoupdate": "false"});
    assert_eq!(reconcile_role(Some(&reduced), &expected), None, "protected");
}

#[test]
fn bindings_are_reconciled() {
    let (a, b) = (json!({"kind": "User", "name": "a"}), json!({"kind": "User", "name": "b"}));
    let expected = binding("", "x", "ClusterRole", "r", json!([a]));
    assert_eq!(reconcile_binding(None, &expected), Some(BindingAction::Write(expected.clone())));
    assert_eq!(reconcile_binding(Some(&expected), &expected), None);
    let other = binding("", "x", "ClusterRole", "r", json!([b]));
    let want = binding("", "x", "ClusterRole", "r", json!([b, a]));
    assert_eq!(reconcile_binding(Some(&other), &expected), Some(BindingAction::Write(want)));
    let foreign = binding("", "x", "ClusterRole", "other", json!([b]));
    assert!(matches!(reconcile_binding(Some(&foreign), &expected), Some(BindingAction::Recreate(_))));
}

#[test]
fn what_a_fresh_cluster_holds_is_stable() {
    let bootstrap = oarlock_api::table::bootstrap_objects();
    let of = |plural: &str| bootstrap[plural].as_array().expect("a list of objects").clone();
    for role in of("clusterroles").iter().chain(&of("roles")) {
        assert_eq!(reconcile_role(Some(role), role), None, "{}", role["metadata"]["name"]);
    }
    for binding in of("clusterrolebindings").iter().chain(&of("rolebindings")) {
        assert_eq!(reconcile_binding(Some(binding), binding), None, "{}", binding["metadata"]["name"]);
    }
    let all: Vec<Arc<Value>> = of("clusterroles").into_iter().map(Arc::new).collect();
    for role in &all {
        assert_eq!(aggregate(role, &all), None, "{}", role["metadata"]["name"]);
    }
}
