//! Protobuf: envelopes and messages.

use oarlock_api::Table;
use oarlock_api::codec::{json, protobuf};

use crate::Seen;

pub(super) const WORDS: &[&str] = &["k8s\0", "\n\u{9}\n\u{2}v1\u{12}\u{3}Pod", "\u{12}\0", "\u{1a}\0"];

pub(super) fn run(input: &[u8]) -> Seen {
    let table = Table::builtin();
    let seen = Seen::NOTHING.result("envelope", &protobuf::unwrap(input));
    let decoded = protobuf::decode_object(table, input);
    let seen = seen.result("object", &decoded);
    let Ok((ty, value)) = decoded else { return seen };
    // What was read can be written, and reads back the same.
    let bytes = protobuf::encode(table, ty, &value);
    let again = protobuf::decode(table, ty, &bytes).expect("what is written can be read");
    assert_eq!(protobuf::encode(table, ty, &again), bytes);
    let printed = json::encode(table, ty, &value);
    assert!(
        serde_json::from_slice::<serde_json::Value>(&printed).is_ok(),
        "{}",
        String::from_utf8_lossy(&printed)
    );
    seen
}
