use std::sync::OnceLock;

use oarlock_apiserver_webhook::NoServices;
use oarlock_apiserver_webhook::testing::{Answer, TestServer, clients};
use oarlock_base::Tasks;
use parking_lot::Mutex as Lock;
use serde_json::json;

use super::*;
use crate::admission::config::ConfigFaults;
use crate::authentication::{SigningKey, jwks};

const EC: &str = include_str!("../testdata/ec-sec1.pem");
const RSA: &str = include_str!("../testdata/rsa-pkcs1.pem");
const EC_521: &str = include_str!("../testdata/ec521-pkcs8.pem");

/// An issuer on loopback whose keys can change.
struct Provider {
    server: TestServer,
    keys: Arc<Lock<Value>>,
}

impl Provider {
    async fn start(key: &SigningKey) -> Self {
        oarlock_pki::install_crypto_provider();
        let url: Arc<OnceLock<String>> = Arc::default();
        let keys = Arc::new(Lock::new(jwks(&[key.verifying_key()])));
        let (at, served) = (url.clone(), keys.clone());
        let server = TestServer::start(&[], move |received| {
            let url = at.get().expect("started");
            match received.path.as_str() {
                "/.well-known/openid-configuration" => {
                    Answer::json(&json!({"issuer": url, "jwks_uri": format!("{url}/keys")}))
                }
                "/keys" => Answer::json(&served.lock()),
                _ => Answer::text(404, "not here"),
            }
        })
        .await;
        url.set(server.url("")).expect("set once");
        Self { server, keys }
    }

    fn url(&self) -> String {
        self.server.url("")
    }

    fn tokens(&self, flags: OidcFlags) -> (OidcTokens, Tasks) {
        let mut faults = ConfigFaults::new();
        let flags = OidcFlags {
            issuer_url: self.url(),
            client_id: "kubernetes".into(),
            ca_pem: Some(self.server.ca_pem.clone()),
            ..flags
        };
        let issuer = flags.issuer(&mut faults).expect("flags are set");
        assert_eq!(faults.into_result(()), Ok(()));
        let (clients, tasks) = clients(Arc::new(NoServices));
        (OidcTokens::new(issuer, clients, vec!["api".into()]), tasks)
    }

    fn claims(&self) -> Value {
        let exp = Timestamp::now().as_second() + 600;
        json!({"iss": self.url(), "aud": "kubernetes", "sub": "jane", "exp": exp, "groups": ["dev", "ops"]})
    }
}

fn sign(key: &SigningKey, claims: &Value) -> String {
    let public = key.verifying_key();
    let header = json!({"alg": public.algorithm(), "kid": public.id()}).to_string();
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(message.as_bytes()).expect("signed");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn algorithms() -> OidcFlags {
    OidcFlags {
        signing_algorithms: ["RS256", "ES256", "ES512"].map(str::to_string).to_vec(),
        ..OidcFlags::default()
    }
}

async fn name(tokens: &OidcTokens, token: &str) -> Result<Option<String>, String> {
    let holder = tokens.check(token, &[]).await;
    holder.map(|holder| holder.map(|holder| holder.user.name)).map_err(|error| error.0)
}

#[tokio::test]
async fn tokens_of_an_issuer() {
    for pem in [EC, RSA, EC_521] {
        let key = SigningKey::from_pem(pem).expect("a key");
        let provider = Provider::start(&key).await;
        let flags =
            OidcFlags { groups_claim: "groups".into(), groups_prefix: "oidc:".into(), ..algorithms() };
        let (tokens, _tasks) = provider.tokens(flags);
        let good = sign(&key, &provider.claims());
        let holder = tokens.check(&good, &[]).await.expect("good").expect("known");
        assert_eq!(holder.user.name, format!("{}#jane", provider.url()));
        assert_eq!(holder.user.groups, ["oidc:dev", "oidc:ops"]);
        assert_eq!(holder.audiences, ["api"]);
        let bent = |change: fn(&mut Value)| {
            let mut claims = provider.claims();
            change(&mut claims);
            sign(&key, &claims)
        };
        let cases = [
            (bent(|c| c["iss"] = "https://other".into()), Ok(None)),
            (
                bent(|c| c["aud"] = json!(["else"])),
                Err("oidc: expected audience in [\"kubernetes\"] got [\"else\"]"),
            ),
            (bent(|c| c["exp"] = 5.into()), Err("oidc: token is expired")),
            (bent(|c| drop(c.as_object_mut().map(|c| c.remove("exp")))), Err("oidc: token is expired")),
            (
                bent(|c| c["sub"] = 5.into()),
                Err("oidc: parse username claims \"sub\": json: cannot unmarshal into a string"),
            ),
        ];
        for (token, want) in cases {
            assert_eq!(name(&tokens, &token).await, want.map_err(str::to_string));
        }
        let (message, _) = good.rsplit_once('.').expect("three parts");
        let forged = name(&tokens, &format!("{message}.{}", URL_SAFE_NO_PAD.encode([1; 64]))).await;
        assert!(forged.is_err_and(|why| why.contains("failed to verify")));
        let fetched = provider.server.requests().iter().filter(|request| request.path == "/keys").count();
        assert_eq!(fetched, 1, "strangers' tokens do not make it ask again at once");
    }
}

#[tokio::test]
async fn keys_that_change_are_fetched_again() {
    let (old, new) = (SigningKey::from_pem(EC).expect("a key"), SigningKey::from_pem(RSA).expect("a key"));
    let provider = Provider::start(&old).await;
    let (tokens, _tasks) = provider.tokens(algorithms());
    assert!(name(&tokens, &sign(&old, &provider.claims())).await.is_ok());
    *provider.keys.lock() = jwks(&[new.verifying_key()]);
    let token = sign(&new, &provider.claims());
    assert!(name(&tokens, &token).await.is_err(), "too soon");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert!(name(&tokens, &token).await.is_ok());
}

#[tokio::test]
async fn required_claims_and_unverified_addresses() {
    let key = SigningKey::from_pem(EC).expect("a key");
    let provider = Provider::start(&key).await;
    let flags = OidcFlags {
        username_claim: "email".into(),
        required_claims: vec![("hd".into(), "acme.com".into())],
        ..algorithms()
    };
    let (tokens, _tasks) = provider.tokens(flags);
    let with = |more: Value| {
        let mut claims = provider.claims();
        claims["email"] = "jane@acme.com".into();
        claims.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        sign(&key, &claims)
    };
    let cases = [
        (json!({"hd": "acme.com", "email_verified": true}), Ok(Some("jane@acme.com".to_string()))),
        (json!({"hd": "acme.com"}), Ok(Some("jane@acme.com".to_string()))),
        (json!({"hd": "acme.com", "email_verified": false}), Err("oidc: email not verified".to_string())),
        (json!({}), Err("oidc: required claim hd not present in ID token".to_string())),
        (
            json!({"hd": "x"}),
            Err("oidc: required claim hd value does not match. Got = x, want = acme.com".to_string()),
        ),
    ];
    for (more, want) in cases {
        assert_eq!(name(&tokens, &with(more)).await, want);
    }
}

#[tokio::test]
async fn expressions_map_claims() {
    let key = SigningKey::from_pem(EC).expect("a key");
    let provider = Provider::start(&key).await;
    let jwt = |mappings: Value| {
        json!({"jwt": [{
            "issuer": {
                "url": provider.url(), "audiences": ["kubernetes", "k8s"], "audienceMatchPolicy": "MatchAny",
                "certificateAuthority": provider.server.ca_pem,
            },
            "claimMappings": mappings,
            "claimValidationRules": [
                {"expression": "claims.exp - claims.iat <= 86400", "message": "lives too long"},
                {"claim": "hd", "requiredValue": "acme.com"},
            ],
            "userValidationRules": [
                {"expression": "!user.username.startsWith('system:')", "message": "reserved name"},
            ],
        }]})
    };
    let mappings = json!({
        "username": {"expression": "'acme:' + claims.sub"},
        "groups": {"expression": "claims.roles.split(',')"},
        "uid": {"claim": "uid"},
        "extra": [{"key": "acme.com/team", "valueExpression": "claims.team"}],
    });
    let mut faults = ConfigFaults::new();
    let mut issuers = issuers(&jwt(mappings), &[], &mut faults);
    assert_eq!(faults.into_result(()), Ok(()));
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let tokens = OidcTokens::new(issuers.remove(0), clients, vec![]);
    let with = |more: Value| {
        let mut claims = provider.claims();
        claims["iat"] = Timestamp::now().as_second().into();
        for (claim, value) in [("hd", "acme.com"), ("roles", "a,b"), ("team", "core"), ("uid", "7")] {
            claims[claim] = value.into();
        }
        claims.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        sign(&key, &claims)
    };
    let user = tokens.check(&with(json!({})), &[]).await.expect("good").expect("known").user;
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("acme:jane", "7"));
    assert_eq!(
        (user.groups, &user.extra["acme.com/team"]),
        (vec!["a".into(), "b".into()], &vec!["core".into()])
    );
    let old = name(&tokens, &with(json!({"iat": 5}))).await.expect_err("refused");
    assert!(old.ends_with("failed: lives too long"), "{old}");
    let lacking = with(json!({"roles": null}));
    assert!(name(&tokens, &lacking).await.is_err(), "no such overload is an error, not a pass");
}

#[test]
fn faults_of_expressions() {
    let jwt = json!({"jwt": [{
        "issuer": {"url": "https://i", "audiences": ["a", "a"]},
        "claimMappings": {
            "username": {"expression": "claims.email"},
            "groups": {"expression": "1 +"},
            "extra": [{"key": "kubernetes.io/x", "valueExpression": "true"}],
        },
        "userValidationRules": [{"expression": "user.name"}],
    }]});
    let mut faults = ConfigFaults::new();
    issuers(&jwt, &["https://i".to_string()], &mut faults);
    let faults = faults.into_result(()).expect_err("faulty");
    let want = [
        "jwt[0].issuer.audiences[1]: Duplicate value",
        "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny",
        "jwt[0].claimMappings.groups.expression: Invalid value: \"1 +\": compilation failed: ",
        "jwt[0].claimMappings.extra[0].key: Invalid value: \"kubernetes.io/x\"",
        "jwt[0].claimMappings.extra[0].valueExpression: Invalid value: \"true\": must evaluate to one of",
        "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must be used",
        "jwt[0].userValidationRules[0].expression: Invalid value: \"user.name\": ",
        "jwt[0].issuer.url: Invalid value: \"https://i\": URL must not overlap with disallowed issuers",
    ];
    assert_eq!(faults.len(), want.len(), "{faults:#?}");
    for (fault, want) in faults.iter().zip(want) {
        assert!(fault.starts_with(want), "{fault} wanted {want}");
    }
}
