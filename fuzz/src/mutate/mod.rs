//! New inputs from old ones.

mod bytes;
mod tree;

use crate::rng::Rng;
use crate::{Shape, Target};

/// Longer inputs are cut: what is wrong shows in short ones.
pub const INPUT_BYTES_MAX: usize = 32 * 1024;

/// An input made of one of the pool's, sometimes of two.
pub fn mutate(target: &Target, pool: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let base = rng.pick(pool).cloned().unwrap_or_default();
    let other = rng.pick(pool).map_or(&[][..], Vec::as_slice);
    // Well-formed trees go deeper into the code, broken text finds the parsers' edges.
    let mut input = if target.shape == Shape::Json && !rng.one_in(5) {
        tree::mutate(&base, other, target.words, rng)
            .unwrap_or_else(|| bytes::mutate(base, other, target.words, rng))
    } else {
        bytes::mutate(base, other, target.words, rng)
    };
    input.truncate(INPUT_BYTES_MAX);
    input
}
