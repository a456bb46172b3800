use jiff::SignedDuration;
use serde_json::json;

use super::super::keys::SigningKey;
use super::*;
use crate::testing::{FakeObjects, object, pod};

const KEY: &str = include_str!("testdata/ec-sec1.pem");

fn cluster() -> Arc<FakeObjects> {
    FakeObjects::with(&[
        (&SERVICE_ACCOUNTS, object("default", "bot", "sa-1")),
        (&PODS, pod("web", "n1", json!({}))),
        (&NODES, object("", "n1", "node-1")),
        (&SECRETS, object("default", "s", "secret-1")),
    ])
}

fn reference(name: &str, uid: &str) -> Ref {
    Ref { name: name.into(), uid: uid.into() }
}

fn claims(now: Timestamp) -> Claims {
    let now = now.as_second();
    Claims {
        aud: vec!["api".into()],
        exp: now + 600,
        iat: now,
        nbf: now,
        iss: "https://issuer".into(),
        jti: "id-1".into(),
        sub: "system:serviceaccount:default:bot".into(),
        kubernetes: jwt::PrivateClaims {
            namespace: "default".into(),
            serviceaccount: reference("bot", "sa-1"),
            ..jwt::PrivateClaims::default()
        },
        ..Claims::default()
    }
}

struct Case {
    what: &'static str,
    bend: fn(&mut Claims),
    audiences: &'static [&'static str],
    later: i64,
    want: Result<Option<&'static str>, &'static str>,
}

const BOT: Result<Option<&'static str>, &'static str> = Ok(Some("system:serviceaccount:default:bot"));
const GONE: Result<Option<&'static str>, &'static str> = Err("service account token has been invalidated");

fn case(what: &'static str, bend: fn(&mut Claims), want: Result<Option<&'static str>, &'static str>) -> Case {
    Case { what, bend, audiences: &[], later: 0, want }
}

#[tokio::test]
async fn tokens_are_checked() {
    let cases = [
        case("good", |_| {}, BOT),
        case("another issuer", |c| c.iss = "https://other".into(), Ok(None)),
        case(
            "no audience of ours",
            |c| c.aud = vec!["vault".into()],
            Err("token audiences [\"vault\"] is invalid for the target audiences [\"api\"]"),
        ),
        Case {
            audiences: &["vault"],
            ..case("asked for another audience", |c| c.aud = vec!["vault".into()], BOT)
        },
        Case { later: 660, ..case("at its end, within the leeway", |_| {}, BOT) },
        Case { later: 661, ..case("expired", |_| {}, Err("service account token has expired")) },
        Case { later: -61, ..case("early", |_| {}, Err("service account token is not valid yet")) },
        case(
            "account gone",
            |c| {
                c.kubernetes.serviceaccount.name = "x".into();
                c.sub = "system:serviceaccount:default:x".into()
            },
            Err("serviceaccounts \"x\" not found"),
        ),
        case(
            "account made anew",
            |c| c.kubernetes.serviceaccount.uid = "sa-0".into(),
            Err("service account UID (sa-1) does not match claim (sa-0)"),
        ),
        case(
            "another subject",
            |c| c.sub = "system:serviceaccount:default:admin".into(),
            Err("sub claim does not match the service account of the token"),
        ),
        case("bound to a pod", |c| c.kubernetes.pod = Some(reference("web", "uid-web")), BOT),
        case(
            "bound to a pod made anew",
            |c| c.kubernetes.pod = Some(reference("web", "old")),
            Err("pod UID (uid-web) does not match service account pod ref claim (old)"),
        ),
        case("bound to a pod that is gone", |c| c.kubernetes.pod = Some(reference("x", "y")), GONE),
        case("bound to a secret", |c| c.kubernetes.secret = Some(reference("s", "secret-1")), BOT),
        case("bound to a secret that is gone", |c| c.kubernetes.secret = Some(reference("t", "y")), GONE),
        case("bound to a node", |c| c.kubernetes.node = Some(reference("n1", "node-1")), BOT),
        case("bound to a node that is gone", |c| c.kubernetes.node = Some(reference("n2", "y")), GONE),
        case(
            "a pod's token tells of a node",
            |c| {
                c.kubernetes.pod = Some(reference("web", "uid-web"));
                c.kubernetes.node = Some(reference("n2", "y"))
            },
            BOT,
        ),
    ];
    let key = SigningKey::from_pem(KEY).expect("a key");
    let tokens = ServiceAccountTokens::new(
        vec!["https://issuer".into()],
        vec!["api".into()],
        vec![key.verifying_key()],
        cluster(),
    );
    let now = Timestamp::now();
    for case in cases {
        let mut claims = claims(now);
        (case.bend)(&mut claims);
        let token = jwt::sign(&key, &claims).expect("signed");
        let audiences: Vec<String> = case.audiences.iter().map(ToString::to_string).collect();
        for again in ["first", "cached"] {
            let got = tokens.check(&token, &audiences, now + SignedDuration::from_secs(case.later)).await;
            let got = got.map(|found| found.map(|holder| holder.user.name)).map_err(|error| error.0);
            let got = got.as_ref().map(Option::as_deref).map_err(String::as_str);
            assert_eq!(got, case.want, "{} ({again})", case.what);
        }
    }
}

#[tokio::test]
async fn the_holder_is_described() {
    let key = SigningKey::from_pem(KEY).expect("a key");
    let tokens = ServiceAccountTokens::new(
        vec!["https://issuer".into()],
        vec!["api".into()],
        vec![key.verifying_key()],
        cluster(),
    );
    let now = Timestamp::now();
    let mut claims = claims(now);
    claims.kubernetes.pod = Some(reference("web", "uid-web"));
    claims.kubernetes.node = Some(reference("n1", "node-1"));
    let token = jwt::sign(&key, &claims).expect("signed");
    let holder = tokens.check(&token, &[], now).await.expect("good").expect("ours");
    let want = User {
        name: "system:serviceaccount:default:bot".into(),
        uid: "sa-1".into(),
        groups: vec![
            "system:serviceaccounts".into(),
            "system:serviceaccounts:default".into(),
            "system:authenticated".into(),
        ],
        extra: [
            ("authentication.kubernetes.io/credential-id", "JTI=id-1"),
            ("authentication.kubernetes.io/node-name", "n1"),
            ("authentication.kubernetes.io/node-uid", "node-1"),
            ("authentication.kubernetes.io/pod-name", "web"),
            ("authentication.kubernetes.io/pod-uid", "uid-web"),
        ]
        .map(|(k, v)| (k.to_string(), vec![v.to_string()]))
        .into(),
    };
    assert_eq!(holder, TokenHolder { user: want, audiences: vec!["api".into()] });
}

#[tokio::test]
async fn a_deleted_pod_ends_its_token_and_a_new_one_need_not_be_cached() {
    let key = SigningKey::from_pem(KEY).expect("a key");
    let objects = cluster();
    let tokens = ServiceAccountTokens::new(
        vec!["https://issuer".into()],
        vec!["api".into()],
        vec![key.verifying_key()],
        objects.clone(),
    );
    let now = Timestamp::now();
    let mut claims = claims(now);
    claims.kubernetes.pod = Some(reference("late", "uid-late"));
    let token = jwt::sign(&key, &claims).expect("signed");
    assert!(tokens.check(&token, &[], now).await.is_err(), "not there");
    objects.hide(&PODS, pod("late", "n1", json!({})));
    assert!(tokens.check(&token, &[], now).await.is_ok(), "found by a fresh read");
    let mut leaving = pod("late", "n1", json!({}));
    leaving["metadata"]["deletionTimestamp"] = now.to_string().into();
    objects.put(&PODS, leaving);
    assert!(
        tokens.check(&token, &[], now + SignedDuration::from_secs(30)).await.is_ok(),
        "it may still say goodbye"
    );
    assert!(tokens.check(&token, &[], now + SignedDuration::from_secs(90)).await.is_err());
}

#[derive(Default)]
struct Told(parking_lot::Mutex<Vec<String>>);

impl LegacyTokenUse for Told {
    fn used(&self, namespace: &str, secret: &str, day: &str) {
        self.0.lock().push(format!("{namespace}/{secret} {day}"));
    }
}

#[tokio::test]
async fn tokens_that_stand_in_secrets() {
    let now: Timestamp = "2026-01-31T12:00:00Z".parse().expect("a time");
    let key = SigningKey::from_pem(KEY).expect("a key");
    let claims = Claims {
        iss: LEGACY_ISSUER.into(),
        sub: "system:serviceaccount:default:bot".into(),
        legacy: jwt::LegacyClaims {
            namespace: "default".into(),
            secret: "bot-token".into(),
            account: "bot".into(),
            uid: "sa-1".into(),
        },
        ..Claims::default()
    };
    let token = jwt::sign(&key, &claims).expect("signed");
    let secret = |data: &str, labels: Value| {
        let mut secret = object("default", "bot-token", "secret-2");
        secret["data"] = json!({"token": STANDARD.encode(data)});
        secret["metadata"]["labels"] = labels;
        secret
    };
    let told = Arc::new(Told::default());
    let check = async |stored: Option<Value>, audiences: &[String]| {
        let objects = cluster();
        stored.into_iter().for_each(|secret| objects.put(&SECRETS, secret));
        let keys = vec![key.verifying_key()];
        let tokens =
            ServiceAccountTokens::new(vec![], vec!["api".into()], keys, objects).telling(told.clone());
        let holder = tokens.check(&token, audiences, now).await;
        holder.map(|holder| holder.map(|holder| holder.user.name)).map_err(|error| error.0)
    };
    let bot = Ok(Some("system:serviceaccount:default:bot".to_string()));
    assert_eq!(check(Some(secret(&token, json!({}))), &[]).await, bot);
    assert_eq!(*told.0.lock(), ["default/bot-token 2026-01-31"]);
    let today = json!({"kubernetes.io/legacy-token-last-used": "2026-01-31"});
    assert_eq!(check(Some(secret(&token, today)), &["api".into()]).await, bot);
    assert_eq!(told.0.lock().len(), 1, "the label says it already");
    assert_eq!(check(None, &[]).await, Err("Token has been invalidated".into()));
    assert_eq!(
        check(Some(secret("other", json!({}))), &[]).await,
        Err("Token does not match server's copy".into())
    );
    let marked = secret(&token, json!({"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}));
    assert!(check(Some(marked), &[]).await.is_err_and(|error| error.contains("has been marked invalid")));
    assert!(check(Some(secret(&token, json!({}))), &["vault".into()]).await.is_err());
}
