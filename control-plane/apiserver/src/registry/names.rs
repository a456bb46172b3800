//! Names that the server makes. (`names.SimpleNameGenerator`)

use rand::Rng as _;

/// No vowels and no look-alikes, as upstream: nothing rude, nothing misread.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
const NAME_MAX: usize = 63;

/// How often a taken name is replaced by another before the client is told.
pub(crate) const NAME_TRIES: usize = 8;

/// `base` with five random characters; the base is cut where both would be too long.
pub(crate) fn generate_name(base: &str) -> String {
    let mut name = String::with_capacity(NAME_MAX);
    let mut cut = base.len().min(NAME_MAX - SUFFIX);
    while !base.is_char_boundary(cut) {
        cut -= 1;
    }
    name.push_str(&base[..cut]);
    let mut random = rand::rng();
    for _ in 0..SUFFIX {
        name.push(char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_base_is_cut() {
        let name = generate_name(&"a".repeat(80));
        assert_eq!(name.len(), NAME_MAX);
        assert!(generate_name("web-").starts_with("web-"));
        assert_eq!(generate_name("web-").len(), 9);
    }
}
