//! The further credentials, alone and together.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use oarlock_apiserver_webhook::testing::{Answer, TestServer, clients};
use oarlock_apiserver_webhook::{ClientConfig, NoServices};
use oarlock_pki::{Authority, Profile};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use super::*;
use crate::resources::SECRETS;
use crate::testing::{FakeObjects, object};

async fn name(
    tokens: &dyn TokenAuthenticator,
    token: &str,
    audiences: &[&str],
) -> Result<Option<String>, String> {
    let audiences: Vec<String> = audiences.iter().map(ToString::to_string).collect();
    let holder = tokens.check(token, &audiences).await;
    holder.map(|holder| holder.map(|h| h.user.name)).map_err(|error| error.0)
}

/// Whose a token is, by name.
type Known = Result<Option<String>, String>;

fn bootstrap_secret(change: impl Fn(&mut Value)) -> Value {
    let mut secret = object("kube-system", "bootstrap-token-abcdef", "");
    secret["type"] = "bootstrap.kubernetes.io/token".into();
    let mut data = json!({
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:worker",
    });
    change(&mut data);
    for (_, value) in data.as_object_mut().expect("a map") {
        *value = STANDARD.encode(value.as_str().expect("text")).into();
    }
    secret["data"] = data;
    secret
}

#[tokio::test]
async fn bootstrap_tokens() {
    const TOKEN: &str = "abcdef.0123456789abcdef";
    let some = Ok(Some("system:bootstrap:abcdef".to_string()));
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str, Known); 6] = [
        ("good", |_| {}, TOKEN, some),
        ("another secret", |_| {}, "abcdef.0123456789abcdee", Ok(None)),
        ("no bootstrap token", |_| {}, "abcdef", Ok(None)),
        ("expired", |d| d["expiration"] = "2020-01-01T00:00:00Z".into(), TOKEN, Ok(None)),
        ("not for this", |d| d["usage-bootstrap-authentication"] = "false".into(), TOKEN, Ok(None)),
        (
            "a strange group",
            |d| d["auth-extra-groups"] = "system:masters".into(),
            TOKEN,
            Err("bootstrap group \"system:masters\" is invalid (must match \
                 \\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\\z)"
                .into()),
        ),
    ];
    for (what, change, token, want) in cases {
        let objects = FakeObjects::with(&[(&SECRETS, bootstrap_secret(change))]);
        let tokens = BootstrapTokens::new(objects, vec!["api".into()]);
        assert_eq!(name(&tokens, token, &[]).await, want, "{what}");
    }
    let tokens =
        BootstrapTokens::new(FakeObjects::with(&[(&SECRETS, bootstrap_secret(|_| {}))]), vec!["api".into()]);
    let holder = tokens.check(TOKEN, &["api".into(), "other".into()]).await.expect("good").expect("known");
    assert_eq!(holder.user.groups, ["system:bootstrappers", "system:bootstrappers:worker"]);
    assert_eq!(holder.audiences, ["api"]);
    assert_eq!(name(&tokens, TOKEN, &["other"]).await, Ok(None));
}

#[tokio::test]
async fn token_files() {
    let file = "# people\nt1,jane,1,\"a,b\"\n\nt2, joe,2\n,nobody,3\n";
    let tokens = StaticTokens::parse(file, vec![]).expect("well formed");
    assert_eq!(name(&tokens, "t1", &[]).await, Ok(Some("jane".into())));
    assert_eq!(name(&tokens, "t2", &[]).await, Ok(Some("joe".into())));
    assert_eq!(name(&tokens, "", &[]).await, Ok(None));
    let jane = tokens.check("t1", &[]).await.expect("good").expect("known").user;
    assert_eq!(jane.groups, ["a", "b"]);
    assert!(StaticTokens::parse("t1,jane", vec![]).is_err_and(|why| why.contains("at least 3 columns")));
}

fn authority(name: &str) -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (cert, key) = (dir.path().join("ca.crt"), dir.path().join("ca.key"));
    let authority = Authority::load_or_create(&cert, &key, name).expect("an authority");
    (dir, authority)
}

fn issue(authority: &Authority, name: &str) -> Vec<CertificateDer<'static>> {
    let identity = authority.issue(&Profile::client(name, "devs")).expect("a certificate");
    identity.certificates().expect("PEM")
}

fn proxied(user: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &str| {
        headers.append(name, HeaderValue::from_str(value).expect("plain"));
    };
    add("x-remote-user", user);
    add("x-remote-group", "a");
    add("x-remote-group", "b");
    add("x-remote-extra-acme.com%2fproject", "p");
    headers
}

#[tokio::test]
async fn front_proxies_and_clients() {
    let ((_c, clients_ca), (_p, proxies_ca)) = (authority("clients"), authority("proxies"));
    let config = AuthenticationConfig {
        client_ca_pem: Some(clients_ca.cert_pem().to_string()),
        request_header: Some(RequestHeaderConfig {
            client_ca_pem: proxies_ca.cert_pem().to_string(),
            allowed_names: vec!["aggregator".into()],
            username_headers: vec!["X-Remote-User".into()],
            uid_headers: vec!["X-Remote-Uid".into()],
            group_headers: vec!["X-Remote-Group".into()],
            extra_headers_prefixes: vec!["X-Remote-Extra-".into()],
        }),
        ..AuthenticationConfig::default()
    };
    let chain = build(&config).expect("valid").chain;
    let proxy = issue(&proxies_ca, "aggregator");
    let ask = async |certificates: &[CertificateDer<'static>], headers: &HeaderMap| {
        let credentials = Credentials { headers, client_certificates: certificates, path: "/api" };
        chain.authenticate(&credentials).await.map(|user| (*user).clone()).map_err(|status| status.code)
    };
    let jane = ask(&proxy, &proxied("jane")).await.expect("believed");
    assert_eq!((jane.name.as_str(), jane.groups.len()), ("jane", 3));
    assert_eq!(jane.extra["acme.com/project"], ["p"]);
    let stranger = issue(&proxies_ca, "stranger");
    assert_eq!(ask(&stranger, &proxied("jane")).await, Err(401), "not an allowed name");
    let client = issue(&clients_ca, "joe");
    for _ in 0..2 {
        let joe = ask(&client, &proxied("jane")).await.expect("a client all the same");
        assert_eq!(joe.name, "joe", "the headers of a client are nobody's");
    }
    assert_eq!(ask(&proxy, &HeaderMap::new()).await, Err(401), "a proxy is no client");
}

fn parts() -> AuthenticationParts {
    let objects = FakeObjects::with(&[]);
    let (clients, _tasks) = clients(Arc::new(NoServices));
    AuthenticationParts {
        objects: objects.clone(),
        service_accounts: Arc::new(ServiceAccountTokens::new(vec![], vec![], vec![], objects)),
        clients,
        metrics: AccessMetrics::new(),
    }
}

fn build(config: &AuthenticationConfig) -> Result<Authentication, Vec<String>> {
    config.build(parts())
}

#[tokio::test]
async fn a_file_that_changes_is_taken_where_it_is_valid() {
    let file = |enabled: bool| {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous:\n";
        format!("{head}  enabled: {enabled}\n").into_bytes()
    };
    let config = AuthenticationConfig { file: Some(file(false)), ..AuthenticationConfig::default() };
    let authentication = ReloadableAuthentication::new(config, parts()).expect("valid");
    let asks = async || {
        let credentials = Credentials { headers: &HeaderMap::new(), client_certificates: &[], path: "/x" };
        authentication.authenticate(&credentials).await.is_ok()
    };
    assert!(!asks().await);
    assert_eq!(authentication.reload(file(false)), Ok(false));
    assert!(authentication.reload(b"kind: Nonsense".to_vec()).is_err() && !asks().await);
    assert_eq!(authentication.reload(file(true)), Ok(true));
    assert!(asks().await);
}

#[tokio::test]
async fn who_asks_without_credentials() {
    let paths =
        b"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous:\n  enabled: \
                  true\n  conditions:\n  - path: /livez\n";
    let file = AuthenticationConfig { file: Some(paths.to_vec()), ..AuthenticationConfig::default() };
    let with = |anonymous: Anonymous| AuthenticationConfig { anonymous, ..AuthenticationConfig::default() };
    let cases = [
        (with(Anonymous::Health), [true, true, false]),
        (with(Anonymous::Never), [false; 3]),
        (with(Anonymous::Everywhere), [true; 3]),
        (file, [true, false, false]),
    ];
    for (config, want) in cases {
        let chain = build(&config).expect("valid").chain;
        let mut got = [false; 3];
        for (got, path) in got.iter_mut().zip(["/livez", "/readyz/etcd", "/api"]) {
            let credentials = Credentials { headers: &HeaderMap::new(), client_certificates: &[], path };
            *got = chain.authenticate(&credentials).await.is_ok();
        }
        assert_eq!(got, want, "{config:?}");
        let mut bearer = HeaderMap::new();
        bearer.insert("authorization", HeaderValue::from_static("Bearer nonsense"));
        let credentials = Credentials { headers: &bearer, client_certificates: &[], path: "/livez" };
        assert!(chain.authenticate(&credentials).await.is_err(), "bad credentials are not none");
    }
}

#[tokio::test]
async fn webhooks_know_tokens() {
    let server = TestServer::start(&[], |received| {
        let spec = &received.body["spec"];
        let status = match spec["token"].as_str() {
            Some("good") => json!({"authenticated": true, "user": {"username": "jane", "groups": ["a"]}}),
            Some("vault") => json!({
                "authenticated": true, "user": {"username": "jane"}, "audiences": ["vault"],
            }),
            Some("broken") => json!({"error": "no idea"}),
            _ => json!({"authenticated": false}),
        };
        Answer::json(
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}),
        )
    })
    .await;
    let (clients, _tasks) = clients(Arc::new(NoServices));
    let config = ClientConfig::from_client_config(&server.client_config("/review")).expect("valid");
    let client = clients.client(&config).expect("a client");
    let tokens = WebhookTokens::new(client, "v1", Duration::from_secs(120), vec!["api".into()]);
    let jane = || Ok(Some("jane".to_string()));
    assert_eq!(name(&tokens, "good", &[]).await, jane());
    assert_eq!(name(&tokens, "good", &[]).await, jane());
    assert_eq!(server.requests().len(), 1, "answers are kept");
    assert_eq!(server.requests()[0].body["spec"]["audiences"], json!(["api"]));
    assert_eq!(name(&tokens, "bad", &[]).await, Ok(None));
    assert_eq!(name(&tokens, "vault", &[]).await, Ok(None), "not for the API server");
    assert_eq!(name(&tokens, "vault", &["vault"]).await, jane());
    assert_eq!(name(&tokens, "broken", &[]).await, Err("no idea".into()));
}

#[test]
fn all_faults_are_told() {
    let file =
        b"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {url: \
                 'http://x'}\n  claimMappings: {username: {claim: sub}}\n  surprise: 1\n";
    let config = AuthenticationConfig {
        file: Some(file.to_vec()),
        token_file: Some("a,b".into()),
        client_ca_pem: Some("nothing".into()),
        ..AuthenticationConfig::default()
    };
    let faults = config.check().expect_err("faulty");
    let want = [
        "authentication-config: unknown field \"jwt[0].surprise\"",
        "authentication-config: jwt[0].issuer.url: Invalid value: \"http://x\": URL scheme must be https",
        "authentication-config: jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        "authentication-config: jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is \
         set. It can be set to an empty string to disable prefixing",
        "token file must have at least 3 columns (token, user name, user uid), found 2 in line 1",
        "client-ca-file: ",
    ];
    assert_eq!(faults.len(), want.len(), "{faults:#?}");
    for (fault, want) in faults.iter().zip(want) {
        assert!(fault.starts_with(want), "{fault}");
    }
}
