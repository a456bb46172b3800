use serde_json::json;

use super::*;
use crate::authentication::{SigningKey, VerifyingKey};
use crate::resources::SERVICE_ACCOUNTS;
use crate::testing::{FakeObjects, Fixed, object, user};
use crate::token::TokenIssuer;
use crate::types::Attributes;

const KEY: &str = include_str!("../authentication/testdata/ec-sec1.pem");

fn reviews(may: fn(&Attributes) -> bool) -> Reviews {
    let keys = VerifyingKey::all_from_pem(KEY).expect("a key");
    let objects = FakeObjects::with(&[(&SERVICE_ACCOUNTS, object("default", "bot", "sa-1"))]);
    let tokens = ServiceAccountTokens::new(vec!["https://i".into()], vec!["api".into()], keys, objects);
    Reviews::new(Arc::new(tokens), Arc::new(Fixed(may)))
}

fn jane() -> Arc<User> {
    Arc::new(User { uid: "7".into(), ..user("jane", &["devs"]) })
}

async fn ask(
    may: fn(&Attributes) -> bool,
    kind: &str,
    spec: Value,
    namespace: &str,
) -> Result<Value, (u16, String)> {
    let answer = reviews(may).review(kind, json!({"spec": spec}), &jane(), namespace).await;
    answer.map(|answer| answer["status"].clone()).map_err(|status| (status.code, status.message))
}

#[tokio::test]
async fn access_is_told() {
    let pods = |verb: &str| json!({"verb": verb, "resource": "pods", "namespace": "default"});
    let yes = Ok(json!({"allowed": true, "reason": "fixed"}));
    let denied = Ok(json!({"allowed": false}));
    let get: fn(&Attributes) -> bool = |a| a.verb == "get" && a.user.name == "jane";
    let path: fn(&Attributes) -> bool = |a| !a.resource_request && a.path == "/metrics";
    let selected: fn(&Attributes) -> bool = |a| {
        a.field_selector.as_ref().is_some_and(|s| s.required("spec.nodeName") == Some("n1"))
            && a.label_selector.is_some()
    };
    let (subject, own, local) =
        ("SubjectAccessReview", "SelfSubjectAccessReview", "LocalSubjectAccessReview");
    let scoped = json!({"verb": "list", "resource": "pods",
        "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]},
        "labelSelector": {"rawSelector": "a=b"}});
    let cases = [
        ("oneself", get, own, json!({"resourceAttributes": pods("get")}), "", yes.clone()),
        ("not oneself", get, own, json!({"resourceAttributes": pods("list")}), "", denied.clone()),
        (
            "another",
            get,
            subject,
            json!({"user": "jane", "resourceAttributes": pods("get")}),
            "",
            yes.clone(),
        ),
        ("not another", get, subject, json!({"user": "bob", "resourceAttributes": pods("get")}), "", denied),
        (
            "a path",
            path,
            own,
            json!({"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}),
            "",
            yes.clone(),
        ),
        ("selectors", selected, own, json!({"resourceAttributes": scoped}), "", yes.clone()),
        ("local", get, local, json!({"user": "jane", "resourceAttributes": pods("get")}), "default", yes),
    ];
    for (what, may, kind, spec, namespace, want) in cases {
        assert_eq!(ask(may, kind, spec, namespace).await, want, "{what}");
    }
}

#[tokio::test]
async fn bad_reviews_are_refused() {
    let pods = json!({"verb": "get", "resource": "pods", "namespace": "x"});
    let (subject, own, local) =
        ("SubjectAccessReview", "SelfSubjectAccessReview", "LocalSubjectAccessReview");
    let cases = [
        (
            subject,
            json!({"resourceAttributes": pods}),
            "",
            422,
            "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ),
        (
            own,
            json!({}),
            "",
            422,
            "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            local,
            json!({"user": "a", "resourceAttributes": pods}),
            "default",
            422,
            "LocalSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"x\": must match metadata.namespace",
        ),
        (local, json!({}), "", 400, "namespace is required on this type: "),
        ("TokenReview", json!({}), "", 400, "token is required for TokenReview in authentication"),
        ("SelfSubjectRulesReview", json!({}), "", 400, "no namespace on request"),
    ];
    for (kind, spec, namespace, code, message) in cases {
        assert_eq!(ask(|_| false, kind, spec, namespace).await, Err((code, message.to_string())), "{kind}");
    }
}

#[tokio::test]
async fn one_learns_who_one_is() {
    let answer =
        reviews(|_| false).review("SelfSubjectReview", json!({}), &jane(), "").await.expect("answered");
    assert_eq!(answer["apiVersion"], "authentication.k8s.io/v1");
    assert_eq!(answer["status"]["userInfo"], json!({"username": "jane", "uid": "7", "groups": ["devs"]}));
}

#[tokio::test]
async fn tokens_are_reviewed() {
    let objects = FakeObjects::with(&[(&SERVICE_ACCOUNTS, object("default", "bot", "sa-1"))]);
    let key = SigningKey::from_pem(KEY).expect("a key");
    let issuer = TokenIssuer::new("https://i".into(), vec!["api".into()], key, objects);
    let issued =
        issuer.request("default", "bot", json!({"spec": {}}), jiff::Timestamp::now()).await.expect("issued");
    let token = &issued["status"]["token"];
    let review = async |spec: Value| ask(|_| false, "TokenReview", spec, "").await.expect("answered");
    let good = review(json!({"token": token})).await;
    assert_eq!((&good["authenticated"], &good["audiences"]), (&json!(true), &json!(["api"])));
    assert_eq!(good["user"]["username"], "system:serviceaccount:default:bot");
    let foreign = review(json!({"token": token, "audiences": ["vault"]})).await;
    assert_eq!(
        foreign["error"],
        "[invalid bearer token, token audiences [\"api\"] is invalid for the target audiences [\"vault\"]]"
    );
    assert_eq!(review(json!({"token": "junk"})).await, json!({"user": {}, "error": "invalid bearer token"}));
}
