//! JSON against the type table.

use oarlock_api::Table;
use oarlock_api::codec::json;

use super::type_of;
use crate::Seen;

pub(super) fn run(input: &[u8]) -> Seen {
    let table = Table::builtin();
    let mut seen = Seen::NOTHING.result("type", &json::type_meta(input));
    let tree = json::parse(input);
    seen = seen.result("parse", &tree);
    let Ok(tree) = tree else { return seen };
    let ty = type_of(&tree);
    let decoded = json::decode(table, ty, input);
    seen = seen.result("decode", &decoded);
    let from_tree = json::decode_value(table, ty, &tree);
    // A tree has lost what a later field of the same name replaced.
    let whole = json::decode_untyped(input).is_ok_and(|untyped| untyped.strict.is_empty());
    let same = decoded.is_ok() == from_tree.is_ok();
    assert!(same || !whole, "bytes and tree differ: {decoded:?} {from_tree:?}");
    let Ok(decoded) = decoded else { return seen };
    seen = decoded.strict.iter().fold(seen, |seen, told| seen.and("strict", told));
    // What is printed reads back the same, without complaints.
    let printed = json::encode(table, ty, &decoded.value);
    let again = json::decode(table, ty, &printed).expect("what is printed can be read");
    assert!(again.strict.is_empty(), "{:?}", again.strict);
    assert_eq!(json::encode(table, ty, &again.value), printed);
    let text = String::from_utf8(printed).expect("JSON is text");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    seen
}
