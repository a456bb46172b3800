//! The ciphers, with upstream's bytes: what a value looks like after its prefix and key name.
//!
//! | cipher | bytes | authenticated with the key's place |
//! |---|---|---|
//! | aesgcm | nonce (12), sealed, tag (16) | yes: the store key is the additional data |
//! | aescbc | initialisation vector (16), padded blocks (PKCS#7) | no |
//! | secretbox | nonce (24), tag (16), sealed (XSalsa20, Poly1305) | no |

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aead::generic_array::typenum::U12;
use aes_gcm::aead::{AeadInPlace, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use crypto_secretbox::XSalsa20Poly1305;

/// Why stored bytes cannot be opened, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("identity transformer tried to read encrypted data")]
    NotPlain,
    #[error("no matching prefix found")]
    NoProvider,
    #[error("no matching key was found for the provided {0} transformer")]
    NoKey(&'static str),
    #[error("the stored data was shorter than the required size")]
    TooShort,
    #[error("the stored data is not a multiple of the block size")]
    BlockSize,
    #[error("invalid PKCS7 data (empty or not padded)")]
    NotPadded,
    #[error("invalid padding on input")]
    Padding,
    #[error("cipher: message authentication failed")]
    Forged,
    #[error("output array was not large enough for encryption")]
    ForgedBox,
    /// What a KMS plugin could not do, or what is wrong with what it sealed.
    #[error("{0}")]
    Kms(String),
    /// Several providers matched, none could.
    #[error("[{}]", .0.join(", "))]
    Several(Vec<String>),
}

const GCM_NONCE: usize = 12;
const BLOCK: usize = 16;
const BOX_NONCE: usize = 24;
const TAG: usize = 16;

type Aes192Gcm = AesGcm<Aes192, U12>;

/// One key, ready to use.
pub(crate) enum Cipher {
    Gcm128(Box<Aes128Gcm>),
    Gcm192(Box<Aes192Gcm>),
    Gcm256(Box<Aes256Gcm>),
    /// The key schedule is made anew for each value: CBC is here for what was written with it.
    Cbc(Vec<u8>),
    Secretbox(Box<XSalsa20Poly1305>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    AesGcm,
    AesCbc,
    Secretbox,
}

impl Cipher {
    /// `None` where the key has a length that the provider does not take.
    pub(crate) fn new(provider: Provider, key: &[u8]) -> Option<Self> {
        match (provider, key.len()) {
            (Provider::AesGcm, 16) => Some(Self::Gcm128(Box::new(Aes128Gcm::new_from_slice(key).ok()?))),
            (Provider::AesGcm, 24) => Some(Self::Gcm192(Box::new(Aes192Gcm::new_from_slice(key).ok()?))),
            (Provider::AesGcm, 32) => Some(Self::Gcm256(Box::new(Aes256Gcm::new_from_slice(key).ok()?))),
            (Provider::AesCbc, 16 | 24 | 32) => Some(Self::Cbc(key.to_vec())),
            (Provider::Secretbox, 32) => {
                Some(Self::Secretbox(Box::new(XSalsa20Poly1305::new_from_slice(key).ok()?)))
            }
            _ => None,
        }
    }

    fn nonce_len(&self) -> usize {
        match self {
            Self::Cbc(_) => BLOCK,
            Self::Secretbox(_) => BOX_NONCE,
            _ => GCM_NONCE,
        }
    }

    /// `prefix`, then the sealed value under a fresh nonce.
    pub(crate) fn seal(&self, prefix: &[u8], plain: &[u8], place: &[u8]) -> Vec<u8> {
        let mut nonce = [0; BOX_NONCE];
        let nonce = &mut nonce[..self.nonce_len()];
        SystemRandom::new().fill(nonce).expect("the kernel's random source does not fail once it has begun");
        self.seal_with(prefix, nonce, plain, place)
    }

    pub(crate) fn seal_with(&self, prefix: &[u8], nonce: &[u8], plain: &[u8], place: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(prefix.len() + nonce.len() + plain.len() + TAG);
        out.extend_from_slice(prefix);
        out.extend_from_slice(nonce);
        let start = out.len();
        match self {
            Self::Gcm128(cipher) => seal_gcm(&**cipher, &mut out, nonce, plain, place),
            Self::Gcm192(cipher) => seal_gcm(&**cipher, &mut out, nonce, plain, place),
            Self::Gcm256(cipher) => seal_gcm(&**cipher, &mut out, nonce, plain, place),
            Self::Cbc(key) => {
                let padding = BLOCK - plain.len() % BLOCK;
                out.extend_from_slice(plain);
                out.resize(out.len() + padding, u8::try_from(padding).expect("at most a block"));
                encrypt_cbc(key, nonce, &mut out[start..]);
            }
            Self::Secretbox(cipher) => {
                out.resize(start + TAG, 0);
                out.extend_from_slice(plain);
                let nonce = GenericArray::from_slice(nonce);
                let tag = cipher
                    .encrypt_in_place_detached(nonce, b"", &mut out[start + TAG..])
                    .expect("a value is shorter than the cipher's limit");
                out[start..start + TAG].copy_from_slice(&tag);
            }
        }
        out
    }

    /// The plain value of what [`seal`](Self::seal) put after its prefix.
    pub(crate) fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, OpenError> {
        let least = self.nonce_len() + if matches!(self, Self::Secretbox(_)) { TAG } else { 0 };
        if sealed.len() < least {
            return Err(OpenError::TooShort);
        }
        let (nonce, sealed) = sealed.split_at(self.nonce_len());
        match self {
            Self::Gcm128(cipher) => open_gcm(&**cipher, nonce, sealed, place),
            Self::Gcm192(cipher) => open_gcm(&**cipher, nonce, sealed, place),
            Self::Gcm256(cipher) => open_gcm(&**cipher, nonce, sealed, place),
            Self::Cbc(key) => open_cbc(key, nonce, sealed),
            Self::Secretbox(cipher) => {
                let (tag, sealed) = sealed.split_at(TAG);
                let mut plain = sealed.to_vec();
                let (nonce, tag) = (GenericArray::from_slice(nonce), GenericArray::from_slice(tag));
                cipher
                    .decrypt_in_place_detached(nonce, b"", &mut plain, tag)
                    .map_err(|_| OpenError::ForgedBox)?;
                Ok(plain)
            }
        }
    }
}

fn seal_gcm<C: AeadInPlace>(cipher: &C, out: &mut Vec<u8>, nonce: &[u8], plain: &[u8], place: &[u8]) {
    let start = out.len();
    out.extend_from_slice(plain);
    let tag = cipher
        .encrypt_in_place_detached(GenericArray::from_slice(nonce), place, &mut out[start..])
        .expect("a value is shorter than the cipher's limit");
    out.extend_from_slice(&tag);
}

fn open_gcm<C: AeadInPlace>(
    cipher: &C,
    nonce: &[u8],
    sealed: &[u8],
    place: &[u8],
) -> Result<Vec<u8>, OpenError> {
    use aes_gcm::aead::Aead as _;
    let payload = Payload { msg: sealed, aad: place };
    cipher.decrypt(GenericArray::from_slice(nonce), payload).map_err(|_| OpenError::Forged)
}

fn encrypt_cbc(key: &[u8], iv: &[u8], blocks: &mut [u8]) {
    let (len, fits) = (blocks.len(), "the blocks are whole, key and vector have the cipher's sizes");
    let done = match key.len() {
        16 => cbc::Encryptor::<Aes128>::new_from_slices(key, iv)
            .expect(fits)
            .encrypt_padded_mut::<NoPadding>(blocks, len)
            .is_ok(),
        24 => cbc::Encryptor::<Aes192>::new_from_slices(key, iv)
            .expect(fits)
            .encrypt_padded_mut::<NoPadding>(blocks, len)
            .is_ok(),
        _ => cbc::Encryptor::<Aes256>::new_from_slices(key, iv)
            .expect(fits)
            .encrypt_padded_mut::<NoPadding>(blocks, len)
            .is_ok(),
    };
    assert!(done, "{fits}");
}

fn open_cbc(key: &[u8], iv: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    if !sealed.len().is_multiple_of(BLOCK) {
        return Err(OpenError::BlockSize);
    }
    let (mut plain, fits) = (sealed.to_vec(), "key and vector have the cipher's sizes");
    let done = match key.len() {
        16 => cbc::Decryptor::<Aes128>::new_from_slices(key, iv)
            .expect(fits)
            .decrypt_padded_mut::<NoPadding>(&mut plain)
            .is_ok(),
        24 => cbc::Decryptor::<Aes192>::new_from_slices(key, iv)
            .expect(fits)
            .decrypt_padded_mut::<NoPadding>(&mut plain)
            .is_ok(),
        _ => cbc::Decryptor::<Aes256>::new_from_slices(key, iv)
            .expect(fits)
            .decrypt_padded_mut::<NoPadding>(&mut plain)
            .is_ok(),
    };
    if !done {
        return Err(OpenError::BlockSize);
    }
    let padding = usize::from(*plain.last().ok_or(OpenError::NotPadded)?);
    if padding == 0 || padding > plain.len() {
        return Err(OpenError::NotPadded);
    }
    let size = plain.len() - padding;
    if plain[size..].iter().any(|byte| usize::from(*byte) != padding) {
        return Err(OpenError::Padding);
    }
    plain.truncate(size);
    Ok(plain)
}

#[cfg(test)]
#[path = "cipher_tests.rs"]
mod tests;
