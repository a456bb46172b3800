use std::path::Path;

use clap::Parser;
use oarlock_pki::{Authority, Identity, Profile};

use super::*;

#[derive(Parser)]
#[command(args_override_self = true)]
struct Probe {
    #[command(flatten)]
    api: ApiFlags,
}

fn parse(flags: &[&str]) -> Result<ApiFlags, String> {
    let all = std::iter::once("oarlock").chain(flags.iter().copied());
    Probe::try_parse_from(all).map(|probe| probe.api).map_err(|error| error.to_string())
}

fn told(flags: &[&str]) -> Told {
    parse(flags).expect("known flags").read().expect("good settings")
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        oarlock_pki::install_crypto_provider();
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.path().join(name), text).expect("written");
        self.path(name)
    }

    fn identity(&self) -> (Authority, Identity) {
        let (cert, key) = (self.path("ca.crt"), self.path("ca.key"));
        let authority = Authority::load_or_create(Path::new(&cert), Path::new(&key), "ca").expect("a CA");
        let identity = authority.issue(&Profile::client("proxy", "")).expect("a certificate");
        (authority, identity)
    }
}

#[test]
fn defaults_are_those_of_upstream() {
    let flags = parse(&[]).expect("no flags");
    let running = flags.read().expect("good settings").running;
    assert_eq!(running.request_timeout, Duration::from_secs(60));
    assert_eq!(running.min_request_timeout, Duration::from_secs(1800));
    assert_eq!(running.event_ttl, Duration::from_secs(3600));
    assert!(running.shutdown_delay.is_zero() && running.tokens.extends);
    assert_eq!(flags.etcd_compaction_interval, Duration::from_secs(300));
    assert_eq!(flags.service_node_port_range, 30000..=32767);
    assert_eq!(flags.storage_media_type(), StorageMediaType::Json);
    let admission = flags.admission();
    assert_eq!(
        (admission.not_ready_toleration_seconds, admission.unreachable_toleration_seconds),
        (300, 300)
    );
    let etcd = parse(&["--etcd-servers=https://etcd.test:2379"]).expect("known flags");
    assert_eq!(etcd.storage_media_type(), StorageMediaType::Protobuf);
}

#[test]
fn flags_become_settings() {
    let running = told(&[
        "--request-timeout=5s",
        "--min-request-timeout=60",
        "--shutdown-delay-duration=1m30s",
        "--goaway-chance=0.01",
        "--event-ttl=10m",
        "--service-account-max-token-expiration=2h",
        "--service-account-extend-token-expiration=false",
        "--service-account-issuer=https://one.test",
        "--service-account-issuer=https://two.test",
        "--service-account-jwks-uri=https://keys.test/jwks",
    ])
    .running;
    assert_eq!(running.request_timeout, Duration::from_secs(5));
    assert_eq!(running.min_request_timeout, Duration::from_secs(60));
    assert_eq!(running.shutdown_delay, Duration::from_secs(90));
    assert_eq!(running.event_ttl, Duration::from_secs(600));
    assert!((running.goaway_chance - 0.01).abs() < f64::EPSILON);
    assert_eq!(running.tokens, TokenLimits { max_seconds: Some(7200), extends: false });
    assert_eq!(running.further_issuers, ["https://two.test"]);
    assert_eq!(running.jwks_uri.as_deref(), Some("https://keys.test/jwks"));
    let flags = parse(&[
        "--storage-media-type=application/vnd.kubernetes.protobuf",
        "--service-node-port-range=31000+10",
        "--default-not-ready-toleration-seconds=5",
        "--default-unreachable-toleration-seconds=6",
        "--etcd-compaction-interval=0",
    ])
    .expect("known flags");
    assert_eq!(flags.storage_media_type(), StorageMediaType::Protobuf);
    assert_eq!(flags.service_node_port_range, 31000..=31010);
    let admission = flags.admission();
    assert_eq!((admission.not_ready_toleration_seconds, admission.unreachable_toleration_seconds), (5, 6));
    assert!(flags.etcd_compaction_interval.is_zero());
}

#[test]
fn files_become_settings() {
    let files = Files::new();
    let (authority, identity) = files.identity();
    let (cert, key) = (files.write("p.crt", &identity.cert_pem), files.write("p.key", &identity.key_pem));
    let ca = files.path("ca.crt");
    let told = told(&[
        &format!("--client-ca-file={ca}"),
        &format!("--requestheader-client-ca-file={ca}"),
        "--requestheader-allowed-names=front,back",
        &format!("--proxy-client-cert-file={cert}"),
        &format!("--proxy-client-key-file={key}"),
        &format!("--tls-cert-file={cert}"),
        &format!("--tls-private-key-file={key}"),
        &format!("--tls-sni-cert-key={cert},{key}:a.test,*.b.test"),
        &format!("--tls-sni-cert-key={cert},{key}"),
        &format!("--service-account-key-file={key}"),
        &format!("--service-account-signing-key-file={key}"),
        "--oidc-issuer-url=https://issuer.test",
        "--oidc-client-id=me",
        "--oidc-required-claim=team=a",
        "--api-audiences=one,two",
    ]);
    assert_eq!(told.authentication.client_ca_pem.as_deref(), Some(authority.cert_pem()));
    let header = told.authentication.request_header.expect("front proxies");
    assert_eq!(header.allowed_names, ["front", "back"]);
    assert_eq!(header.username_headers, ["X-Remote-User"]);
    assert_eq!(told.proxy_client.expect("an identity").cert_pem, identity.cert_pem);
    let files = told.running.proxy_client.expect("files");
    assert_eq!(
        (files.cert.display().to_string(), files.key.display().to_string()),
        (cert.clone(), key.clone())
    );
    let serving = told.running.serving;
    assert_eq!(serving.main.expect("a certificate").cert.display().to_string(), cert);
    let names: Vec<&[String]> = serving.by_name.iter().map(|(_, names)| &names[..]).collect();
    assert_eq!(names, [&["a.test".to_string(), "*.b.test".into()][..], &[]]);
    assert_eq!(told.accounts.signing_pem, Some(identity.key_pem.clone()));
    assert_eq!(told.accounts.verification_pem, [identity.key_pem]);
    assert_eq!(told.authentication.oidc.issuer_url, "https://issuer.test");
    assert_eq!(told.authentication.oidc.required_claims, [("team".to_string(), "a".to_string())]);
    assert_eq!(told.authentication.api_audiences, ["one", "two"]);
}

#[test]
fn values_that_cannot_be_are_refused() {
    let cases = [
        ("--request-timeout=5", "missing unit in duration \"5\""),
        ("--event-ttl=soon", "invalid duration \"soon\""),
        ("--storage-media-type=application/yaml", "application/yaml"),
        ("--service-node-port-range=9-1", "\"9-1\" is not a range of ports"),
        ("--service-node-port-range=60000+9999", "\"60000+9999\" is not a range of ports"),
        ("--authorization-webhook-version=v2", "v2"),
        ("--tls-cert-file=/x", "--tls-private-key-file"),
        ("--requestheader-allowed-names=x", "--requestheader-client-ca-file"),
        ("--anonymous-auth=perhaps", "perhaps"),
        ("--no-such-flag", "--no-such-flag"),
        ("--storage-backend=etcd2", "etcd2"),
        ("--watch-cache=false", "false"),
        ("--watch-cache-sizes=pods#0", "every resource has a watch cache"),
        ("--watch-cache-sizes=pods", "is not of the form resource[.group]#size"),
        ("--profiling", "true"),
        ("--kubelet-client-certificate=/x", "--kubelet-client-key"),
        ("--kubelet-preferred-address-types=Guess", "Guess"),
        ("--audit-log-mode=sometimes", "sometimes"),
        ("--tls-min-version=SSL3", "SSL3"),
    ];
    for (flag, want) in cases {
        let error = parse(&[flag]).map(drop).expect_err(flag);
        assert!(error.contains(want), "{flag}: {error}");
    }
    let both = parse(&["--authorization-config=/x", "--authorization-mode=RBAC"]).map(drop);
    assert!(both.is_err_and(|error| error.contains("cannot be used with")));
}

#[test]
fn all_faults_are_told_together() {
    let files = Files::new();
    let wrong = files.write("wrong.yaml", "kind: Nothing\nno-such-key: 1\n");
    let key = files.write("no-key.pem", "this is no key");
    let flags = [
        &format!("--authentication-config={wrong}"),
        &format!("--authorization-config={wrong}"),
        &format!("--service-account-signing-key-file={key}"),
        "--client-ca-file=/nowhere/ca.crt",
        "--etcd-cafile=/nowhere/etcd.crt",
        "--service-account-max-token-expiration=1m",
        "--service-account-jwks-uri=http://plain.test",
        "--goaway-chance=0.5",
        "--runtime-config=api/all=false",
        "--max-requests-inflight=0",
        "--max-mutating-requests-inflight=0",
        "--tls-sni-cert-key=alone",
        "--oidc-required-claim=nothing",
        "--audit-webhook-batch-buffer-size=0",
        "--audit-log-truncate-enabled",
        "--audit-log-truncate-max-batch-size=9",
        "--tls-cipher-suites=TLS_MADE_UP",
        "--tls-curve-preferences=7",
        "--strict-transport-security-directives=soon",
        "--cors-allowed-origins=example",
        "--delete-collection-workers=0",
    ];
    let error = parse(&flags).expect("known flags").read().map(drop).expect_err("faults").to_string();
    let wanted = [
        "no-such-key",
        "authorization-config",
        "--service-account-signing-key-file: ",
        "--client-ca-file: read /nowhere/ca.crt: No such file",
        "--etcd-cafile: read /nowhere/etcd.crt: No such file",
        "must be between 1 hour and 2^32 seconds",
        "service-account-jwks-uri requires https scheme",
        "--goaway-chance can not be less than 0 or greater than 0.02",
        "they must add up to something positive",
        "invalid runtime-config with only api/all=false",
        "expected comma separated certificate and key file paths",
        "\"nothing\" is not claim=value",
        "invalid audit batch webhook buffer size 0, must be a positive number",
        "invalid audit truncate log max batch size 9, must be greater than or equal to max event size (102400)",
        "Cipher suite TLS_MADE_UP not supported or doesn't exist",
        "there is no key exchange 7 here",
        "--strict-transport-security-directives invalid",
        "does not pin to the start and end of the host name",
        "--delete-collection-workers must be at least 1",
    ];
    for want in wanted {
        assert!(error.contains(want), "{want:?} in {error}");
    }
    assert!(!error.contains('\n'), "one line: {error}");
    assert!(!error.contains("this is no key"), "contents stay out: {error}");
}

/// The flags that kubeadm 1.36 writes into the API server's static pod, and those that hardening guides add.
#[test]
fn a_static_pod_of_kubeadm_is_taken() {
    let files = Files::new();
    let (authority, identity) = files.identity();
    let cert = files.write("client.crt", &identity.cert_pem);
    let key = files.write("client.key", &identity.key_pem);
    let ca = files.path("ca.crt");
    let policy =
        files.write("policy.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n");
    let told = told(&[
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        &format!("--client-ca-file={ca}"),
        "--enable-admission-plugins=NodeRestriction",
        "--enable-bootstrap-token-auth=true",
        "--etcd-servers=https://127.0.0.1:2379",
        &format!("--etcd-cafile={ca}"),
        &format!("--etcd-certfile={cert}"),
        &format!("--etcd-keyfile={key}"),
        &format!("--kubelet-client-certificate={cert}"),
        &format!("--kubelet-client-key={key}"),
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        "--profiling=false",
        "--service-account-lookup=true",
        "--tls-min-version=VersionTLS12",
        "--tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA,TLS_AES_128_GCM_SHA256",
        &format!("--audit-policy-file={policy}"),
        "--audit-log-path=/var/log/audit.log",
        "--audit-log-maxage=30",
        "--audit-log-mode=batch",
        "--audit-log-compress",
        "--audit-log-batch-max-wait=5s",
        "--kubelet-timeout=7s",
        "--strict-transport-security-directives=max-age=31536000,includeSubDomains",
        "--shutdown-watch-termination-grace-period=3s",
        "--watch-cache-sizes=pods#1000,deployments.apps#5",
    ]);
    assert_eq!(told.running.socket.ciphers, ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]);
    let manners = told.running.manners;
    assert_eq!(manners.transport_security.expect("directives"), "max-age=31536000; includeSubDomains");
    assert_eq!(manners.watch_grace, Duration::from_secs(3));
    let own = authority.issue(&Profile::client("own", "")).expect("a certificate");
    let kubelets = told.kubelets.or(own, "own authority");
    assert_eq!(kubelets.addresses, ["InternalIP", "ExternalIP", "Hostname"]);
    assert_eq!((kubelets.timeout, kubelets.ca_pem), (Duration::from_secs(7), None), "as upstream's");
    assert_eq!(kubelets.identity.expect("the told one").cert_pem, identity.cert_pem);
}
