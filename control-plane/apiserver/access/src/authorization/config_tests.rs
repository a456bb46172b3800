use std::time::Duration;

use oarlock_api::selector::{FieldSelector, LabelSelector};
use oarlock_apiserver_webhook::testing::{Answer, TestServer, clients};
use oarlock_apiserver_webhook::{ClientConfig, NoServices};
use serde_json::json;

use super::*;
use crate::testing::{FakeObjects, ask, ask_path, user};

fn build(config: &AuthorizationConfig) -> Result<Arc<dyn Authorizer>, Vec<String>> {
    let objects = FakeObjects::with(&[]);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let node = NodeAuthorizer::new(objects.clone(), &[]);
    config.build(&AuthorizationParts { node, rbac: Rbac::new(objects), clients })
}

fn modes(modes: &[&str]) -> AuthorizationConfig {
    let modes = modes.iter().map(ToString::to_string).collect();
    AuthorizationConfig { modes, ..AuthorizationConfig::default() }
}

#[tokio::test]
async fn modes_are_asked_in_order() {
    let jane = user("jane", &[]);
    let asked = ask(&jane, "get", "pods", "default", "");
    let told = async |config: AuthorizationConfig| match build(&config) {
        Ok(authorizer) => format!("{:?}", authorizer.authorize(&asked).await),
        Err(faults) => faults.join("; "),
    };
    let everything = "NoOpinion(\"Everything is forbidden.\")";
    let cases = [
        (modes(&["RBAC", "Node"]), "NoOpinion(\"\")"),
        (modes(&["AlwaysDeny"]), everything),
        (modes(&["AlwaysDeny", "AlwaysAllow"]), "Allow(\"\")"),
        (modes(&[]), "at least one authorization-mode must be passed"),
        (modes(&["Magic"]), "authorization-mode \"Magic\" is not a valid mode"),
        (modes(&["ABAC"]), "authorization-mode ABAC's authorization policy file not passed"),
        (modes(&["Webhook"]), "authorization-mode Webhook's authorization config file not passed"),
    ];
    for (config, want) in cases {
        assert_eq!(told(config).await, want);
    }
}

#[tokio::test]
async fn policies_of_attributes() {
    let file = r#"
        # jane reads, devs do everything in dev, everybody sees the version
        {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "jane", "namespace": "*", "resource": "pods", "readonly": true}}
        {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"group": "devs", "namespace": "dev", "resource": "*", "apiGroup": "*"}}
        {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "*", "nonResourcePath": "/version*", "readonly": true}}
    "#;
    let config = AuthorizationConfig { policy_file: Some(file.into()), ..modes(&["ABAC"]) };
    let abac = build(&config).expect("valid");
    let (jane, joe) = (user("jane", &[]), user("joe", &["devs"]));
    let cases = [
        (ask(&jane, "get", "pods", "x", ""), true),
        (ask(&jane, "create", "pods", "x", ""), false),
        (ask(&jane, "get", "secrets", "x", ""), false),
        (ask(&joe, "delete", "apps:deployments", "dev", "d"), true),
        (ask(&joe, "delete", "apps:deployments", "prod", "d"), false),
        (ask_path(&joe, "get", "/version"), true),
        (ask_path(&joe, "post", "/version"), false),
        (ask_path(&joe, "get", "/metrics"), false),
    ];
    for (asked, want) in cases {
        let got = matches!(abac.authorize(&asked).await, Decision::Allow(_));
        assert_eq!(got, want, "{asked:?}");
    }
    assert!(Abac::parse("{}").is_err());
}

#[tokio::test]
async fn webhooks_decide() {
    let server = TestServer::start(&[], |received| {
        let status = match received.body["spec"]["resourceAttributes"]["verb"].as_str() {
            Some("get") => json!({"allowed": true, "reason": "fine"}),
            Some("delete") => json!({"allowed": false, "denied": true, "reason": "never"}),
            Some("create") => return Answer::text(404, "gone"),
            _ => json!({"allowed": false}),
        };
        Answer::json(&json!({"status": status}))
    })
    .await;
    let client = ClientConfig::from_client_config(&server.client_config("/authorize")).expect("valid");
    let (minute, none) = (Duration::from_secs(60), Duration::ZERO);
    let mut webhook = WebhookAuthorizerConfig::by_flags(client, "v1", minute, none);
    webhook.conditions = vec![
        crate::expressions::Expression::compile(
            "has(request.resourceAttributes) && request.resourceAttributes.namespace != 'kube-system'",
            crate::expressions::Over::Request,
            crate::expressions::Want::Bool,
        )
        .expect("compiles"),
    ];
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let make = |config: WebhookAuthorizerConfig| {
        WebhookAuthorizer::new(config.clone(), clients.client(&config.client).expect("a client"))
    };
    let authorizer = make(webhook.clone());
    let jane = user("jane", &["devs"]);
    let asked = Attributes {
        field_selector: Some(Arc::new(FieldSelector::parse("spec.nodeName=n1").expect("valid"))),
        label_selector: Some(Arc::new(LabelSelector::parse("a=b,!c").expect("valid"))),
        ..ask(&jane, "get", "pods", "default", "")
    };
    for _ in 0..2 {
        assert_eq!(authorizer.authorize(&asked).await, Decision::Allow("fine".into()));
    }
    assert_eq!(server.requests().len(), 1, "kept");
    let sent = json!({
        "user": "jane", "groups": ["devs"],
        "resourceAttributes": {
            "namespace": "default", "verb": "get", "version": "v1", "resource": "pods",
            "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]},
            "labelSelector": {"requirements": [
                {"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "DoesNotExist"},
            ]},
        },
    });
    assert_eq!(server.requests()[0].body["spec"], sent);
    let verb = |verb: &str, namespace: &str| ask(&jane, verb, "pods", namespace, "");
    assert_eq!(authorizer.authorize(&verb("delete", "default")).await, Decision::Deny("never".into()));
    assert_eq!(authorizer.authorize(&verb("list", "default")).await, Decision::NoOpinion(String::new()));
    assert_eq!(authorizer.authorize(&verb("get", "kube-system")).await, Decision::NoOpinion(String::new()));
    assert_eq!(authorizer.authorize(&ask_path(&jane, "get", "/x")).await, Decision::NoOpinion(String::new()));
    assert!(matches!(authorizer.authorize(&verb("create", "default")).await, Decision::NoOpinion(_)));
    let strict = make(WebhookAuthorizerConfig { deny_on_failure: true, ..webhook });
    assert!(matches!(strict.authorize(&verb("create", "default")).await, Decision::Deny(_)));
}

#[test]
fn structured_configuration() {
    let file = r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: hook
  webhook:
    timeout: 60s
    subjectAccessReviewVersion: v2
    failurePolicy: Maybe
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: relative}
    matchConditions: [{expression: "request.user"}]
- type: Node
  name: node
- type: Node
  name: node
- type: RBAC
  name: rbac
  webhook: {}
"#;
    let config = AuthorizationConfig { file: Some(file.into()), ..AuthorizationConfig::default() };
    let faults = config.check().expect_err("faulty");
    let want = [
        "authorizers[0].webhook.timeout: Invalid value: must be <= 30s",
        "authorizers[0].webhook.subjectAccessReviewVersion: Unsupported value: \"v2\"",
        "authorizers[0].webhook.failurePolicy: Unsupported value: \"Maybe\"",
        "authorizers[0].webhook.matchConditions[0].expression: Invalid value: \"request.user\": must evaluate to bool",
        "authorizers[0].webhook.matchConditionSubjectAccessReviewVersion: Required value",
        "authorizers[0].webhook.connectionInfo.kubeConfigFile: Invalid value: \"relative\": must be an absolute path",
        "authorizers[2].type: Duplicate value: \"Node\"",
        "authorizers[2].name: Duplicate value: \"node\"",
        "authorizers[3].webhook: Invalid value: may only be specified when type=Webhook",
    ];
    assert_eq!(faults.len(), want.len(), "{faults:#?}");
    for (fault, want) in faults.iter().zip(want) {
        assert!(fault.starts_with(&format!("authorization-config: {want}")), "{fault}");
    }
    let good = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- {type: RBAC, \
                name: rbac}\n";
    assert_eq!(
        AuthorizationConfig { file: Some(good.into()), ..AuthorizationConfig::default() }.check(),
        Ok(())
    );
}

#[tokio::test]
async fn a_file_that_changes_is_taken_where_it_is_valid() {
    let file = |kind: &str| {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n";
        format!("{head}- {{type: {kind}, name: one}}\n").into_bytes()
    };
    let config = AuthorizationConfig { file: Some(file("AlwaysDeny")), ..AuthorizationConfig::default() };
    let objects = FakeObjects::with(&[]);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let node = NodeAuthorizer::new(objects.clone(), &[]);
    let parts = AuthorizationParts { node, rbac: Rbac::new(objects), clients };
    let authorizer = ReloadableAuthorization::new(config, parts).expect("valid");
    let asked = ask(&user("jane", &[]), "get", "pods", "default", "");
    let allowed = async || matches!(authorizer.authorize(&asked).await, Decision::Allow(_));
    assert_eq!(authorizer.reload(file("AlwaysDeny")), Ok(false));
    assert!(!allowed().await);
    assert!(authorizer.reload(file("Magic")).is_err() && !allowed().await, "what held goes on to hold");
    assert_eq!(authorizer.reload(file("AlwaysAllow")), Ok(true));
    assert!(allowed().await);
}
