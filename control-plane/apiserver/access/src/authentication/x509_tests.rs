use oarlock_pki::{Authority, Profile};
use rustls_pki_types::CertificateDer;

use super::*;

fn issue(profile: &Profile) -> CertificateDer<'static> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::load_or_create(&dir.path().join("ca.crt"), &dir.path().join("ca.key"), "test")
        .expect("an authority is made");
    let identity = authority.issue(profile).expect("a certificate is issued");
    identity.certificates().expect("the certificate is PEM").remove(0)
}

fn check(what: &str, profile: &Profile, now: Timestamp, want: Result<Option<(&str, &[&str])>, &str>) {
    let got = user_of(&issue(profile), now);
    let got = match &got {
        Ok(user) => Ok(user
            .as_ref()
            .map(|u| (u.name.as_str(), u.groups.iter().map(String::as_str).collect::<Vec<_>>()))),
        Err(error) => Err(error.0.split(": current time").next().unwrap_or_default()),
    };
    assert_eq!(got, want.map(|user| user.map(|(name, groups)| (name, groups.to_vec()))), "{what}");
}

#[test]
fn certificates_name_users() {
    let now = Timestamp::now();
    let late = now + jiff::SignedDuration::from_hours(24 * 365 * 200);
    let early = now - jiff::SignedDuration::from_hours(24);
    let client = Profile::client("system:node:n1", "system:nodes");
    let expired = Err("x509: certificate has expired or is not yet valid");
    check("a client", &client, now, Ok(Some(("system:node:n1", &["system:nodes"]))));
    check(
        "no group",
        &Profile { organization: None, ..client.clone() },
        now,
        Ok(Some(("system:node:n1", &[]))),
    );
    check("no name", &Profile { common_name: String::new(), ..client.clone() }, now, Ok(None));
    check("expired", &client, late, expired);
    check("not yet valid", &client, early, expired);
    check(
        "a server's",
        &Profile { common_name: "x".into(), server: true, ..Profile::default() },
        now,
        Err("x509: certificate specifies an incompatible key usage"),
    );
    check("any use", &Profile { common_name: "x".into(), ..Profile::default() }, now, Ok(Some(("x", &[]))));
}

#[test]
fn the_credential_is_identified() {
    let user = user_of(&issue(&Profile::client("a", "b")), Timestamp::now()).expect("valid").expect("named");
    let id = &user.extra["authentication.kubernetes.io/credential-id"][0];
    assert_eq!(id.len(), "X509SHA256=".len() + 64, "{id}");
}
