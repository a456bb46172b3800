//! Quantities.

use oarlock_api::quantity::{Quantity, canonical};

use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    "Ki",
    "Mi",
    "Gi",
    "Ti",
    "Pi",
    "Ei",
    "n",
    "u",
    "m",
    "k",
    "M",
    "G",
    "T",
    "P",
    "E",
    "e3",
    "E-9",
    ".",
    "-",
    "+",
    "000000000",
    "999999999999999999",
];

pub(super) fn run(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let parsed = Quantity::parse(&text);
    let seen = Seen::NOTHING.result("parse", &parsed);
    let Ok(parsed) = parsed else { return seen };
    let printed = canonical(&text).expect("what parses has a canonical form");
    let again = Quantity::parse(&printed).expect("the canonical form parses");
    assert_eq!(canonical(&printed).as_ref(), Ok(&printed), "{text}");
    assert_eq!(parsed.is_negative(), again.is_negative(), "{text} {printed}");
    let sizes = (parsed.value(), parsed.milli_value(), parsed.scaled_value(9), parsed.scaled_value(-9));
    std::hint::black_box((sizes, parsed.as_f64(), parsed.times(3), parsed.round_up(0)));
    seen
}
