use std::path::Path;

use oarlock_pki::{Authority, Profile, SubjectName};

use super::*;

struct Ground {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Ground {
    fn new() -> Self {
        oarlock_pki::install_crypto_provider();
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        let authority = Authority::load_or_create(&path("ca.crt"), &path("ca.key"), "ca").expect("a CA");
        Self { authority, dir }
    }

    fn issue(&self, name: &str) -> Identity {
        let names = vec![SubjectName::Dns(name.into())];
        self.authority.issue(&Profile::server(name, names)).expect("a certificate")
    }

    fn written(&self, file: &str, name: &str) -> CertificateFiles {
        let path = |end: &str| self.dir.path().join(format!("{file}.{end}"));
        let files = CertificateFiles { cert: path("crt"), key: path("key") };
        write(&files, &self.issue(name));
        files
    }
}

fn write(files: &CertificateFiles, identity: &Identity) {
    let put = |path: &Path, text: &str| std::fs::write(path, text).expect("written");
    put(&files.cert, &identity.cert_pem);
    put(&files.key, &identity.key_pem);
}

fn shown(certificates: &Certificates, name: Option<&str>) -> String {
    names_of(certificates.current.load().of(name)).join(" ")
}

#[test]
fn a_certificate_is_chosen_by_name() {
    let ground = Ground::new();
    let files = ServingFiles {
        main: None,
        by_name: vec![
            (ground.written("one", "one.test"), vec![]),
            (ground.written("wild", "wild"), vec!["*.Two.test".into()]),
            (ground.written("exact", "exact"), vec!["a.two.test".into()]),
        ],
    };
    let certificates = Certificates::new(&ground.issue("own"), &files).expect("certificates");
    let cases = [
        (None, "own"),
        (Some("elsewhere.test"), "own"),
        (Some("two.test"), "own"),
        (Some("one.test"), "one.test"),
        (Some("ONE.test."), "one.test"),
        (Some("b.two.test"), "wild"),
        (Some("a.two.test"), "exact"),
        (Some("c.b.two.test"), "own"),
    ];
    for (name, want) in cases {
        assert_eq!(shown(&certificates, name), want, "{name:?}");
    }
}

#[test]
fn changed_files_are_taken_and_half_changed_ones_are_not() {
    let ground = Ground::new();
    let main = ground.written("main", "first");
    let files = ServingFiles { main: Some(main.clone()), by_name: vec![] };
    let certificates = Certificates::new(&ground.issue("own"), &files).expect("certificates");
    assert_eq!(certificates.paths(), [main.cert.clone(), main.key.clone()]);
    assert_eq!(shown(&certificates, None), "first");
    assert!(!certificates.reload().expect("readable"), "nothing is new");
    let second = ground.issue("second");
    std::fs::write(&main.cert, &second.cert_pem).expect("written");
    assert!(certificates.reload().is_err(), "the key is not its own");
    assert_eq!(shown(&certificates, None), "first");
    std::fs::write(&main.key, &second.key_pem).expect("written");
    assert!(certificates.reload().expect("a pair"));
    assert_eq!(shown(&certificates, None), "second");
    std::fs::remove_file(&main.key).expect("removed");
    let error = certificates.reload().expect_err("no key").to_string();
    assert!(error.contains("main.key: No such file"), "{error}");
}

#[test]
fn what_is_no_certificate_is_refused_with_its_path() {
    let ground = Ground::new();
    let main = ground.written("main", "first");
    let cases = [("", "it holds no certificate"), ("-----BEGIN CERTIFICATE-----\nx", "the certificate")];
    for (text, want) in cases {
        std::fs::write(&main.cert, text).expect("written");
        let files = ServingFiles { main: Some(main.clone()), by_name: vec![] };
        let error = Certificates::new(&ground.issue("own"), &files).expect_err(text).to_string();
        assert!(error.contains("main.crt") && error.contains(want), "{error}");
    }
}
