//! Mutations that know nothing of what the bytes mean.

use crate::rng::Rng;

const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "127",
    "128",
    "255",
    "256",
    "32768",
    "65535",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "1e309",
];

pub(super) fn mutate(mut input: Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    for _ in 0..=rng.below(6) {
        step(&mut input, other, words, rng);
    }
    input
}

fn step(input: &mut Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) {
    let at = rng.below(input.len() + 1);
    let (start, end) = range(input.len(), rng);
    match rng.below(11) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b'\\', b'\n']).unwrap_or(&0);
            }
        }
        2 => drop(input.drain(start..end)),
        3 => {
            let piece = input[start..end].to_vec();
            input.splice(at..at, piece);
        }
        4 => {
            // Many times over: nesting and quadratic work.
            let piece = input[start..end.min(start + 16)].to_vec();
            let times = 1 + rng.below(300);
            input.splice(at..at, piece.repeat(times));
        }
        5 | 6 => {
            let word = rng.pick(words).copied().unwrap_or("{");
            let end = if rng.one_in(2) { at } else { (at + word.len()).min(input.len()) };
            input.splice(at..end, word.bytes());
        }
        7 => {
            let number = rng.pick(&NUMBERS).copied().unwrap_or("0");
            let digits = input[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            input.splice(at..at + digits, number.bytes());
        }
        8 => {
            let (from, to) = range(other.len(), rng);
            input.splice(at..at, other[from..to].iter().copied());
        }
        9 => {
            let (from, _) = range(other.len(), rng);
            input.truncate(at);
            input.extend(&other[from..]);
        }
        _ => {
            let byte = rng.draw().to_le_bytes()[0];
            input.insert(at, byte);
        }
    }
}

/// Some bytes; mostly few.
fn range(len: usize, rng: &mut Rng) -> (usize, usize) {
    let start = rng.below(len + 1);
    let most = if rng.one_in(4) { len } else { 8 };
    (start, (start + rng.below(most + 1)).min(len))
}
