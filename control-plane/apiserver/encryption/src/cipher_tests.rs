//! Known answers, made by other implementations of the same ciphers (see the file's head).

use super::*;

const PLACE: &[u8] = b"/registry/secrets/default/a";

struct Vector {
    provider: Provider,
    prefix: String,
    key: Vec<u8>,
    plain: Vec<u8>,
    nonce: Vec<u8>,
    stored: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let bytes = |text: &str| if text == "-" { Vec::new() } else { hex::decode(text).expect("hexadecimal") };
    let lines = include_str!("testdata/vectors.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split(' ').collect();
            let provider = match parts[0] {
                "aesgcm" => Provider::AesGcm,
                "aescbc" => Provider::AesCbc,
                "secretbox" => Provider::Secretbox,
                other => panic!("unknown provider {other}"),
            };
            Vector {
                provider,
                prefix: format!("k8s:enc:{}:v1:key1:", parts[0]),
                key: bytes(parts[1]),
                plain: bytes(parts[2]),
                nonce: bytes(parts[3]),
                stored: bytes(parts[4]),
            }
        })
        .collect()
}

#[test]
fn known_answers() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 28, "three sizes of two AES modes, one of secretbox, four values each");
    for v in vectors {
        let cipher = Cipher::new(v.provider, &v.key).expect("a key of the right size");
        let sealed = cipher.seal_with(v.prefix.as_bytes(), &v.nonce, &v.plain, PLACE);
        assert_eq!(hex::encode(&sealed), hex::encode(&v.stored), "{:?}", v.provider);
        let opened = cipher.open(&v.stored[v.prefix.len()..], PLACE).expect("it opens");
        assert_eq!(opened, v.plain, "{:?}", v.provider);
    }
}

#[test]
fn each_value_has_its_own_nonce_and_opens() {
    for (provider, size) in [(Provider::AesGcm, 32), (Provider::AesCbc, 32), (Provider::Secretbox, 32)] {
        let cipher = Cipher::new(provider, &vec![7; size]).expect("a key of the right size");
        let (a, b) = (cipher.seal(b"p:", b"value", PLACE), cipher.seal(b"p:", b"value", PLACE));
        assert_ne!(a, b, "{provider:?}");
        assert_eq!(cipher.open(&a[2..], PLACE).expect("it opens"), b"value");
        assert_eq!(cipher.open(&b[2..], PLACE).expect("it opens"), b"value");
    }
}

#[test]
fn what_was_changed_is_refused() {
    let check = |provider, change: fn(&mut Vec<u8>), place: &[u8], want: Result<(), OpenError>| {
        let cipher = Cipher::new(provider, &[9; 32]).expect("a key of the right size");
        let mut sealed = cipher.seal(b"", b"a value of some length", PLACE);
        change(&mut sealed);
        assert_eq!(cipher.open(&sealed, place).map(drop), want, "{provider:?}");
    };
    let flip: fn(&mut Vec<u8>) = |sealed| *sealed.last_mut().expect("not empty") ^= 1;
    let cut: fn(&mut Vec<u8>) = |sealed| sealed.truncate(11);
    let same: fn(&mut Vec<u8>) = |_| {};
    check(Provider::AesGcm, flip, PLACE, Err(OpenError::Forged));
    check(Provider::AesGcm, same, b"/registry/secrets/default/b", Err(OpenError::Forged));
    check(Provider::AesGcm, cut, PLACE, Err(OpenError::TooShort));
    check(Provider::AesGcm, |sealed| sealed.truncate(12), PLACE, Err(OpenError::Forged));
    check(Provider::Secretbox, flip, PLACE, Err(OpenError::ForgedBox));
    check(Provider::Secretbox, same, b"/registry/secrets/default/b", Ok(()));
    check(Provider::Secretbox, |sealed| sealed.truncate(39), PLACE, Err(OpenError::TooShort));
    check(Provider::AesCbc, cut, PLACE, Err(OpenError::TooShort));
    check(Provider::AesCbc, |sealed| sealed.truncate(16), PLACE, Err(OpenError::NotPadded));
    check(Provider::AesCbc, |sealed| sealed.truncate(17), PLACE, Err(OpenError::BlockSize));
}

#[test]
fn keys_of_other_sizes_are_refused() {
    for (provider, size) in [(Provider::AesGcm, 20), (Provider::AesCbc, 0), (Provider::Secretbox, 16)] {
        assert!(Cipher::new(provider, &vec![0; size]).is_none(), "{provider:?} {size}");
    }
}
