use super::*;
use crate::authentication::ServiceAccountTokens;
use crate::testing::{FakeObjects, object, pod};

const KEY: &str = include_str!("authentication/testdata/rsa-pkcs1.pem");

fn issuer() -> (TokenIssuer, ServiceAccountTokens) {
    let objects = FakeObjects::with(&[
        (&SERVICE_ACCOUNTS, object("default", "bot", "sa-1")),
        (&PODS, pod("web", "n1", json!({"serviceAccountName": "bot"}))),
        (&PODS, pod("other", "n1", json!({"serviceAccountName": "else"}))),
        (&NODES, object("", "n1", "node-1")),
    ]);
    let key = SigningKey::from_pem(KEY).expect("a key");
    let public = vec![key.verifying_key()];
    let audiences = vec!["https://api".to_string()];
    let tokens =
        ServiceAccountTokens::new(vec!["https://issuer".into()], audiences.clone(), public, objects.clone());
    (TokenIssuer::new("https://issuer".into(), audiences, key, objects), tokens)
}

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().expect("a time")
}

#[tokio::test]
async fn a_plain_request_is_completed_and_its_token_works() {
    let (issuer, tokens) = issuer();
    let answer = issuer.request("default", "bot", json!({"spec": {}}), now()).await.expect("issued");
    assert_eq!(
        answer["spec"],
        json!({"audiences": ["https://api"], "expirationSeconds": 3600, "boundObjectRef": null})
    );
    assert_eq!(answer["status"]["expirationTimestamp"], "2026-05-01T13:00:00Z");
    assert_eq!(answer["metadata"]["name"], "bot");
    let token = answer["status"]["token"].as_str().expect("a token");
    let holder = tokens.check(token, &[], now()).await.expect("good").expect("ours");
    assert_eq!(holder.user.name, "system:serviceaccount:default:bot");
}

#[tokio::test]
async fn a_pods_token_is_extended_in_secret() {
    let (issuer, _) = issuer();
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web"});
    let claims = async |spec: Value| {
        let answer = issuer.request("default", "bot", json!({"spec": spec}), now()).await.expect("issued");
        assert_eq!(answer["status"]["expirationTimestamp"], "2026-05-01T13:00:07Z");
        jwt::unverified(answer["status"]["token"].as_str().expect("a token")).expect("a JWT")
    };
    let start = now().as_second();
    let extended = claims(json!({"expirationSeconds": 3607, "boundObjectRef": reference})).await;
    assert_eq!(extended.exp, start + 365 * 24 * 3600);
    assert_eq!(extended.kubernetes.warnafter, start + 3607);
    assert_eq!(extended.kubernetes.pod, Some(Ref { name: "web".into(), uid: "uid-web".into() }));
    assert_eq!(extended.kubernetes.node, Some(Ref { name: "n1".into(), uid: "node-1".into() }));
    let foreign =
        claims(json!({"expirationSeconds": 3607, "boundObjectRef": reference, "audiences": ["vault"]})).await;
    assert_eq!((foreign.exp, foreign.kubernetes.warnafter), (start + 3607, 0));
    let unbound = claims(json!({"expirationSeconds": 3607})).await;
    assert_eq!(unbound.exp, start + 3607);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let (issuer, _) = issuer();
    let bound = |kind: &str, name: &str, uid: &str| json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}}});
    let cases = [
        (
            "too short",
            "bot",
            json!({"spec": {"expirationSeconds": 599}}),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        ),
        (
            "too long",
            "bot",
            json!({"spec": {"expirationSeconds": 4294967297i64}}),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
        ("no account", "x", json!({"spec": {}}), 404, "serviceaccounts \"x\" not found"),
        ("no pod", "bot", bound("Pod", "x", ""), 404, "pods \"x\" not found"),
        (
            "another account's pod",
            "bot",
            bound("Pod", "other", ""),
            400,
            "cannot bind token for serviceaccount \"bot\" to pod running with different serviceaccount name.",
        ),
        (
            "pod made anew",
            "bot",
            bound("Pod", "web", "old"),
            409,
            "Operation cannot be fulfilled on Pod \"web\": the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated",
        ),
        (
            "a kind that binds nothing",
            "bot",
            bound("ConfigMap", "x", ""),
            400,
            "cannot bind token to object of type v1, Kind=ConfigMap",
        ),
        (
            "another name",
            "bot",
            json!({"metadata": {"name": "x"}, "spec": {}}),
            400,
            "the name of the object (x) does not match the name on the URL (bot)",
        ),
        ("nothing", "bot", json!(null), 400, "the object provided is not a TokenRequest"),
    ];
    for (what, name, request, code, message) in cases {
        let status = issuer.request("default", name, request, now()).await.expect_err(what);
        assert_eq!((status.code, status.message.as_str()), (code, message), "{what}");
    }
}

#[tokio::test]
async fn tokens_live_no_longer_than_they_may() {
    let (issuer, _) = issuer();
    let issuer = issuer.limited(Some(1800), true);
    let request = |seconds: i64| json!({"spec": {"expirationSeconds": seconds}});
    let warning = issuer.warning(&request(7200));
    assert_eq!(warning.as_deref(), Some("requested expiration of 7200 seconds shortened to 1800 seconds"));
    assert_eq!(issuer.warning(&request(600)), None);
    let answer = issuer.request("default", "bot", request(7200), now()).await.expect("issued");
    assert_eq!(answer["spec"]["expirationSeconds"], 1800);
    assert_eq!(answer["status"]["expirationTimestamp"], "2026-05-01T12:30:00Z");
}
