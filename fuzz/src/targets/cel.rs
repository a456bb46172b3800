//! CEL: compiling and evaluating a stranger's expression over a fixed object.

use std::sync::LazyLock;

use oarlock_cel::{Activation, Environment, EvalError, Type};
use serde_json::{Value, json};

use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    "self",
    "oldSelf",
    "object",
    "has(",
    "size(",
    ".all(x, ",
    ".exists(x, ",
    ".map(x, ",
    ".filter(x, ",
    ".exists_one(x, ",
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "in",
    "?",
    ":",
    "[0]",
    "[1, 2, 3]",
    "{'a': 1}",
    "'abc'",
    "\"x\"",
    "b'x'",
    "r'\\d'",
    "1",
    "1u",
    "1.5",
    "true",
    "null",
    "matches('[a-z]+')",
    ".startsWith('a')",
    ".contains('b')",
    "string(",
    "int(",
    "uint(",
    "double(",
    "bytes(",
    "timestamp('2024-01-01T00:00:00Z')",
    "duration('1h')",
    "quantity('1Gi')",
    "url('https://a/b')",
    "ip('10.0.0.1')",
    "cidr('10.0.0.0/8')",
    ".findAll('a')",
    ".split(',')",
    ".join('-')",
    ".lowerAscii()",
    ".replace('a', 'b')",
    ".substring(1)",
    ".isSorted()",
    ".sum()",
    ".min()",
    "sets.contains(",
    "optional.of(1)",
    ".orValue(2)",
    "[?0]",
    ".?name",
    "format.dns1123Label().value()",
    "semver('1.2.3')",
    "dyn(",
    "type(",
    "cel.bind(a, 1, a)",
    ".transformList(i, v, v)",
    "spec",
    "name",
    "replicas",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
];

/// What one evaluation may cost; a fraction of a rule's budget keeps the fuzzer quick.
const BUDGET: u64 = 200_000;

static ENVIRONMENT: LazyLock<Environment> =
    LazyLock::new(|| Environment::kubernetes().variable("self", Type::Dyn).variable("oldSelf", Type::Dyn));
static OBJECT: LazyLock<Value> = LazyLock::new(|| {
    json!({"name": "abc", "spec": {"replicas": 3, "items": [1, 2, 3, 1], "names": ["a", "b"]}, "when": "2024-01-01T00:00:00Z",
        "labels": {"a": "b"}, "on": true, "size": 1.5, "none": null})
});

pub(super) fn run(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let program = ENVIRONMENT.compile(&text);
    let seen = Seen::NOTHING.result("compile", &program);
    let Ok(program) = program else { return seen };
    let estimate = program.estimate();
    assert!(estimate.min <= estimate.max, "{text}: {estimate:?}");
    let mut activation = Activation::new();
    activation.json("self", &OBJECT);
    activation.json("oldSelf", &OBJECT);
    let outcome = program.evaluate(&activation, BUDGET);
    let seen = seen.result("evaluate", &outcome.value).and("type", program.result_type());
    match outcome.value {
        Ok(value) => {
            let json = value.to_json();
            seen.result("json", &json)
        }
        Err(EvalError::Budget | EvalError::CostLimit) => seen.and("dear", ""),
        Err(_) => seen,
    }
}
