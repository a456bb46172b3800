use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::*;

/// Days from now.
type Day = u64;

fn at(day: Day) -> Timestamp {
    let now = Timestamp::now();
    now + jiff::SignedDuration::from_hours(24 * i64::try_from(day).expect("few days"))
}

fn params(name: &str, until: Day) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
    // A little more, so that the day itself is in.
    params.not_after = (SystemTime::now() + Duration::from_secs(until * 24 * 3600 + 60)).into();
    params
}

struct Made {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str, until: Day, by: Option<&Made>) -> Made {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(name, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let made = match by {
        Some(by) => params.signed_by(&key, &by.issuer),
        None => params.self_signed(&key),
    };
    let made = made.expect("a certificate");
    Made { certificate: made.der().clone(), pem: made.pem(), issuer: Issuer::new(params, key) }
}

fn client(name: &str, until: Day, by: &Made) -> CertificateDer<'static> {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(name, until);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.signed_by(&key, &by.issuer).expect("a certificate").der().clone()
}

#[test]
fn a_chain_is_good_for_as_long_as_all_of_it_is() {
    let (root, short, other) =
        (authority("root", 9, None), authority("short", 3, None), authority("other", 9, None));
    let middle = authority("middle", 5, Some(&root));
    let joe = client("joe", 7, &root);
    let jane = client("jane", 7, &middle);
    let jim = client("jim", 7, &short);
    let both = ClientCertificates::from_pem(&format!("{}{}", root.pem, short.pem)).expect("authorities");
    let only = ClientCertificates::from_pem(&other.pem).expect("authorities");
    let check =
        |why: &str, by: &ClientCertificates, chain: &[&CertificateDer<'static>], day: Day, want: &str| {
            let chain: Vec<_> = chain.iter().map(|part| (*part).clone()).collect();
            // What is remembered says the same.
            for _ in 0..2 {
                let got = by.user(&chain, at(day)).ok().flatten().map_or("", |user| match &*user.name {
                    "joe" => "joe",
                    "jane" => "jane",
                    _ => "jim",
                });
                assert_eq!(got, want, "{why}");
            }
        };
    check("now", &both, &[&joe], 0, "joe");
    check("remembered", &both, &[&joe], 6, "joe");
    check("the leaf has expired", &both, &[&joe], 8, "");
    check("now again", &both, &[&joe], 0, "joe");
    check("another authority", &only, &[&joe], 0, "");
    check("by another root", &both, &[&jim], 2, "jim");
    check("its root has expired", &both, &[&jim], 4, "");
    check("the other root has not", &both, &[&joe], 4, "joe");
    check("through an intermediate", &both, &[&jane, &middle.certificate], 0, "jane");
    check("which is not shown", &both, &[&jane], 0, "");
    check("which has expired", &both, &[&jane, &middle.certificate], 6, "");
    check("more than is needed", &both, &[&joe, &middle.certificate, &other.certificate], 6, "joe");
    check("nothing", &both, &[], 0, "");
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    check("garbage", &both, &[&garbage], 0, "");
    check("garbage beside it", &both, &[&joe, &garbage], 0, "joe");
}

#[test]
fn what_is_remembered_is_bounded() {
    let root = authority("root", 9, None);
    let verified: Verified<()> = Verified::from_pem(&root.pem).expect("authorities");
    let joe = client("joe", 7, &root);
    for extra in 0..=KNOWN_MAX {
        // Anything may stand beside the leaf; each is another chain.
        let beside = CertificateDer::from(extra.to_be_bytes().to_vec());
        verified.of(&[joe.clone(), beside], at(0), |_| Ok(())).expect("good");
    }
    assert!(verified.known.lock().len() <= KNOWN_MAX);
}
