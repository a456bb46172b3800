//! YAML.

use oarlock_api::Table;
use oarlock_api::codec::yaml;

use super::type_of;
use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    "- ",
    ": ",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!!binary ",
    "|\n ",
    ">-\n ",
    "---\n",
    "...\n",
    "# ",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "? ",
    "yes",
    "no",
    "null",
    "~",
    "0x1f",
    "0o17",
    "1e3",
    ".inf",
    ".nan",
    "\n  ",
    "\t",
    "apiVersion: v1\n",
    "kind: Pod\n",
    "metadata:\n  name: x\n",
    "spec:\n",
    "\u{feff}",
    "\\u0041",
];

pub(super) fn run(input: &[u8]) -> Seen {
    let parsed = yaml::parse(input);
    let seen = Seen::NOTHING.result("parse", &parsed);
    let Ok(tree) = parsed else { return seen };
    let table = Table::builtin();
    let decoded = yaml::decode(table, type_of(&tree), input);
    let seen = seen.result("decode", &decoded);
    if let Ok(decoded) = decoded {
        let printed = yaml::encode(table, type_of(&tree), &decoded.value);
        let again =
            yaml::parse(&printed).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&printed)));
        assert!(again.is_object());
    }
    seen
}
