//! Costs that upstream's own tests state. There nothing is worked out beforehand, so it is not here.

use crate::authorizer::{Authorize, AuthorizerCheck, CheckResult, Decision};
use crate::{Activation, Environment, RUNTIME_COST_BUDGET, Type};

struct Allow;

impl Authorize for Allow {
    fn check(&self, _: &AuthorizerCheck) -> CheckResult {
        CheckResult::Decided(Decision { allowed: true, ..Decision::default() })
    }
}

/// An expression, its cost at least and at most by the estimate, and its cost when run.
type Case = (&'static str, Option<(u64, u64)>, u64);

const CASES: &[Case] = &[
    ("'ABCDEFGHIJ abcdefghij'.lowerAscii()", Some((3, 3)), 3),
    ("'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()", Some((7, 9)), 9),
    ("'ABCDEFGHIJ abcdefghij'.upperAscii()", Some((3, 3)), 3),
    ("'ABCDEFGHIJ abcdefghij'.upperAscii() == 'abcdefghij ABCDEFGHIJ'.upperAscii()", Some((7, 9)), 9),
    ("strings.quote('ABCDEFGHIJ abcdefghij')", Some((3, 3)), 3),
    ("strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')", Some((7, 11)), 9),
    ("'abc 123 def 123'.replace('123', '456')", Some((3, 3)), 3),
    ("'abc 123 def 123'.replace('', 'x')", Some((3, 3)), 3),
    ("'abc 123 def 123'.replace('123', '')", Some((3, 3)), 3),
    ("'abc 123 def 123'.replace('123', '456', 1)", Some((3, 3)), 3),
    ("'abc 123 def 123'.split(' ')", Some((3, 3)), 3),
    ("'abc 123 def 123'.split(' ', 1)", Some((3, 3)), 3),
    ("'abc 123 def 123'.substring(5)", Some((2, 2)), 2),
    ("'abc 123 def 123'.substring(5, 8)", Some((2, 2)), 2),
    ("'  abc 123 def 123  '.trim()", Some((2, 2)), 2),
    ("['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join(' ')", None, 15),
    ("['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join()", None, 13),
    ("'abc 123 def 123'.find('123')", Some((2, 2)), 2),
    ("'abc 123 def 123'.findAll('123')", Some((2, 2)), 2),
    ("'abc 123 def 123'.findAll('123', 1)", Some((2, 2)), 2),
    ("jsonpatch.escapeKey('abc/def~ abc/def~')", Some((2, 2)), 2),
    ("authorizer.path('/healthz')", Some((2, 2)), 2),
    (
        "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')",
        Some((6, 6)),
        6,
    ),
    (
        "authorizer.group('').resource('pods').fieldSelector('spec.nodeName=example-node-name.fully.qualified.domain.name.example.com')",
        Some((1821, 1821)),
        1821,
    ),
    (
        "authorizer.group('').resource('pods').labelSelector('spec.nodeName=example-node-name.fully.qualified.domain.name.example.com')",
        Some((1821, 1821)),
        1821,
    ),
    ("authorizer.path('/healthz').check('get').allowed()", Some((350003, 350003)), 350003),
    (
        "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend').check('create').allowed()",
        Some((350007, 350007)),
        350007,
    ),
    (
        "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend').check('create').errored()",
        Some((350007, 350007)),
        350007,
    ),
    (
        "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend').check('create').error()",
        Some((350007, 350007)),
        350007,
    ),
    (r#"quantity("12Mi")"#, Some((1, 1)), 1),
    (r#"isQuantity("20")"#, Some((1, 1)), 1),
    (r#"isQuantity("20M")"#, Some((1, 1)), 1),
    (r#"quantity("200M") == quantity("200M")"#, Some((3, 3)), 3),
    (r#"quantity("200M") == quantity("0.2G") && quantity("0.2G") == quantity("200M")"#, Some((3, 6)), 6),
    (
        r#"quantity("2M") == quantity("0.002G") && quantity("2000k") == quantity("2M") && quantity("0.002G") == quantity("2000k")"#,
        Some((3, 9)),
        9,
    ),
    (r#"quantity("50M").isLessThan(quantity("50Mi"))"#, Some((3, 3)), 3),
    (r#"quantity("50Mi").isGreaterThan(quantity("50M"))"#, Some((3, 3)), 3),
    (r#"quantity("200M").compareTo(quantity("0.2G")) > 0"#, Some((4, 4)), 4),
    (r#"quantity("50k").add(quantity("20")) == quantity("50.02k")"#, Some((5, 5)), 5),
    (r#"quantity("50k").sub(quantity("20")) == quantity("49.98k")"#, Some((5, 5)), 5),
    (r#"quantity("50k").sub(20) == quantity("49980")"#, Some((4, 4)), 4),
    (r#"quantity("50k").add(20).sub(quantity("100k")).asInteger() > 0"#, Some((6, 6)), 6),
    (r#"quantity("50k").add(20).sub(quantity("100k")).sub(-50000).asInteger() > 0"#, Some((7, 7)), 7),
    (r#"quantity("50k").asInteger() > 0"#, Some((3, 3)), 3),
    (r#"quantity("50").isInteger()"#, Some((2, 2)), 2),
    (r#"quantity("50.703k").asApproximateFloat() > 0.0"#, Some((3, 3)), 3),
    (r#"format.named("dns1123subdomain")"#, Some((1, 1)), 1),
    (r#"format.named("dns1123Label").value().validate("my-name")"#, Some((34, 34)), 10),
    (r#"format.named("dns1123Label").value() == format.named("dns1123Label").value()"#, Some((5, 11)), 5),
    ("sets.contains([], [])", Some((21, 21)), 21),
    ("sets.contains([1], [])", Some((21, 21)), 21),
    ("sets.contains([1], [1])", Some((22, 22)), 22),
    ("sets.contains([1], [1, 1])", Some((23, 23)), 23),
    ("sets.contains([1, 1], [1])", Some((23, 23)), 23),
    ("sets.contains([2, 1], [1])", Some((23, 23)), 23),
    ("sets.contains([1, 2, 3, 4], [2, 3])", Some((29, 29)), 29),
    ("!sets.contains([1], [2])", Some((23, 23)), 23),
    ("!sets.contains([1], [1, 2])", Some((24, 24)), 24),
    ("sets.equivalent([], [])", Some((21, 21)), 21),
    ("sets.equivalent([1], [1])", Some((23, 23)), 23),
    ("sets.equivalent([1], [1, 1])", Some((25, 25)), 25),
    ("sets.equivalent([1, 1], [1])", Some((25, 25)), 25),
    ("!sets.equivalent([2, 1], [1])", Some((26, 26)), 26),
    ("!sets.equivalent([1], [1, 2])", Some((26, 26)), 26),
    ("sets.intersects([1], [1])", Some((22, 22)), 22),
    ("sets.intersects([1], [1, 1])", Some((23, 23)), 23),
    ("sets.intersects([1, 1], [1])", Some((23, 23)), 23),
    ("sets.intersects([2, 1], [1])", Some((23, 23)), 23),
    ("sets.intersects([1], [1, 2])", Some((23, 23)), 23),
    ("!sets.intersects([], [])", Some((22, 22)), 22),
    ("!sets.intersects([1], [])", Some((22, 22)), 22),
    ("!sets.intersects([1], [2])", Some((23, 23)), 23),
    (r#"semver("1.0.0")"#, Some((1, 1)), 1),
    (r#"semver("1234.56789012345.67890123456789")"#, Some((4, 4)), 4),
    (r#"isSemver("1.0.0")"#, Some((1, 1)), 1),
    (r#"isSemver("1234.56789012345.67890123456789")"#, Some((4, 4)), 4),
    (r#"semver("1.2.3").major()"#, Some((2, 2)), 2),
    (r#"semver("1.2.3").minor()"#, Some((2, 2)), 2),
    (r#"semver("1.2.3").patch()"#, Some((2, 2)), 2),
    (r#"semver("1.0.0").isLessThan(semver("1.1.0"))"#, Some((3, 3)), 3),
    (r#"semver("1.1.0").isGreaterThan(semver("1.0.0"))"#, Some((3, 3)), 3),
    (r#"semver("1.0.0").compareTo(semver("1.2.3"))"#, Some((3, 3)), 3),
    ("{'a': 1, 'b': 2}.all(k, v, v > 0)", Some((37, 41)), 41),
    ("{'a': 1, 'b': 2}.exists(k, v, v > 0)", Some((39, 43)), 40),
    ("{'a': 1, 'b': 2}.existsOne(k, v, v > 0)", Some((38, 40)), 40),
    ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", Some((71, 71)), 71),
    ("{'a': 1, 'b': 2}.transformMap(k, v, v < 5, v + 1)", Some((67, 75)), 75),
    ("{'a': 1, 'b': 2}.transformMapEntry(k, v, {k: v + 1})", Some((131, 131)), 131),
    ("{'a': 1, 'b': 2}.transformMapEntry(k, v, v < 5, {k: v + 1})", Some((67, 135)), 135),
    ("[1, 2].all(i, v, v > 0)", Some((17, 21)), 21),
    ("[1, 2].exists(i, v, v > 0)", Some((19, 23)), 20),
    ("[1, 2].existsOne(i, v, v > 0)", Some((18, 20)), 20),
    ("[1, 2].transformList(i, v, v + 1)", Some((49, 49)), 49),
    ("[1, 2].transformList(i, v, v < 5, v + 1)", Some((27, 53)), 53),
    ("[1, 2, 3, 4, 5].sum()", Some((15, 15)), 15),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].sum()", Some((20, 20)), 20),
    ("[1.0, 2.0, 3.0, 4.0, 5.0].sum()", Some((15, 15)), 15),
    (
        "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')].sum()",
        Some((20, 20)),
        20,
    ),
    ("[1, 2, 3, 4, 5].isSorted()", Some((15, 15)), 15),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].isSorted()", Some((20, 20)), 20),
    ("[1.0, 2.0, 3.0, 4.0, 5.0].isSorted()", Some((15, 15)), 15),
    ("[false, true, false, true, false].isSorted()", Some((15, 15)), 15),
    (
        "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')].isSorted()",
        Some((20, 20)),
        20,
    ),
    ("[1, 2, 3, 4, 5].max()", Some((15, 15)), 15),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].max()", Some((20, 20)), 20),
    ("[1.0, 2.0, 3.0, 4.0, 5.0].max()", Some((15, 15)), 15),
    ("[false, true, false, true, false].max()", Some((15, 15)), 15),
    (
        "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')].max()",
        Some((20, 20)),
        20,
    ),
    ("[1, 2, 3, 4, 5].min()", Some((15, 15)), 15),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].min()", Some((20, 20)), 20),
    ("[1.0, 2.0, 3.0, 4.0, 5.0].min()", Some((15, 15)), 15),
    ("[false, true, false, true, false].min()", Some((15, 15)), 15),
    (
        "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')].min()",
        Some((20, 20)),
        20,
    ),
    ("[1, 2, 3, 4, 5].indexOf(3)", Some((15, 15)), 15),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].indexOf(uint(3))", Some((21, 21)), 21),
    ("[1.0, 2.0, 3.0, 4.0, 5.0].indexOf(3.0)", Some((15, 15)), 15),
    ("[false, true, false, true, false].indexOf(true)", Some((15, 15)), 15),
    (
        "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')].indexOf(duration('3s'))",
        Some((21, 21)),
        21,
    ),
    ("'01234567890123456789012345678901234567890123456789'.indexOf('123')", Some((5, 5)), 5),
    ("[1, 2, 3, 4, 5].lastIndexOf(3)", Some((15, 15)), 15),
    ("[uint(1), uint(2), uint(3), uint(4), uint(5)].lastIndexOf(uint(3))", Some((21, 21)), 21),
    ("[1.0, 2.0, 3.0, 4.0, 5.0].lastIndexOf(3.0)", Some((15, 15)), 15),
    ("[false, true, false, true, false].lastIndexOf(true)", Some((15, 15)), 15),
    (
        "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')].lastIndexOf(duration('3s'))",
        Some((21, 21)),
        21,
    ),
    ("'01234567890123456789012345678901234567890123456789'.lastIndexOf('123')", Some((5, 5)), 5),
    ("url('https:://kubernetes.io/').getScheme()", Some((4, 4)), 4),
    ("url('https:://kubernetes.io/').getHostname()", Some((4, 4)), 4),
    ("url('https:://kubernetes.io/').getHost()", Some((4, 4)), 4),
    ("url('https:://kubernetes.io/').getPort()", Some((4, 4)), 4),
    ("url('https:://kubernetes.io/').getEscapedPath()", Some((4, 4)), 4),
    ("url('https:://kubernetes.io/').getQuery()", Some((4, 4)), 4),
    ("url('https:://kubernetes.io/') == url('https:://kubernetes.io/')", Some((7, 9)), 7),
    ("url('https:://kubernetes.io/') == url('http://x.b')", Some((5, 5)), 5),
    ("ip('192.168.0.1')", Some((2, 2)), 2),
    ("ip('192.168.0.1').family()", Some((3, 3)), 3),
    ("ip('192.168.0.1').isUnspecified()", Some((3, 3)), 3),
    ("ip('192.168.0.1').isLoopback()", Some((3, 3)), 3),
    ("ip('192.168.0.1').isLinkLocalMulticast()", Some((3, 3)), 3),
    ("ip('192.168.0.1').isLinkLocalUnicast()", Some((3, 3)), 3),
    ("ip('192.168.0.1').isGlobalUnicast()", Some((3, 3)), 3),
    ("ip('192.168.0.1') == ip('192.168.0.1')", Some((5, 5)), 5),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888')", Some((4, 4)), 4),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888').family()", Some((5, 5)), 5),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888').isUnspecified()", Some((5, 5)), 5),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888').isLoopback()", Some((5, 5)), 5),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888').isLinkLocalMulticast()", Some((5, 5)), 5),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888').isLinkLocalUnicast()", Some((5, 5)), 5),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888').isGlobalUnicast()", Some((5, 5)), 5),
    ("ip('2001:db8:3333:4444:5555:6666:7777:8888') == ip('192.168.0.1')", Some((7, 7)), 7),
    ("cidr('192.168.0.0/16')", Some((2, 2)), 2),
    ("cidr('192.168.0.0/16').ip()", Some((3, 3)), 3),
    ("cidr('192.168.0.0/16').prefixLength()", Some((3, 3)), 3),
    ("cidr('192.168.0.0/16').masked()", Some((3, 3)), 3),
    ("cidr('192.168.0.0/16') == cidr('2001:db8::/32')", Some((5, 5)), 5),
    ("cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))", Some((7, 11)), 7),
    ("cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", Some((7, 11)), 7),
];

#[test]
fn costs_are_upstreams() {
    let environment =
        Environment::kubernetes().variable("authorizer", Type::authorizer()).mutation().unfolded();
    let mut wrong = Vec::new();
    for (expression, estimated, run) in CASES {
        let program = match environment.compile(expression) {
            Ok(program) => program,
            Err(error) => panic!("{expression}: {error}"),
        };
        let estimate = program.estimate();
        if estimated.is_some_and(|estimated| estimated != (estimate.min, estimate.max)) {
            wrong.push(format!("{expression}: estimated {estimate:?}, upstream {estimated:?}"));
        }
        let mut activation = Activation::new();
        activation.authorizer(&Allow);
        let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
        if outcome.value.is_err() || outcome.cost != *run {
            wrong.push(format!(
                "{expression}: {:?} cost {}, upstream {run}",
                outcome.value.err(),
                outcome.cost
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The costs of the language itself, as the tests of cel-go state them.
#[test]
fn costs_of_the_language_are_upstreams() {
    let text: String = "x".repeat(500);
    let long = serde_json::json!({
        "m": {"key": "v"}, "l": ["v"], "o": {"a": {"b": {"c": 1}}}, "t": text, "idc": "idc", "five": "500",
        "deep": {"val": {"single": 1}}, "none": {}, "one": [{}], "empty": [], "s1": "val1", "s2": "val2222222", "n": 1,
        "f": false,
    });
    let fields = [
        ("m", Type::map(Type::String, Type::String)),
        ("l", Type::list(Type::String)),
        ("o", Type::Dyn),
        ("t", Type::String),
        ("idc", Type::String),
        ("five", Type::String),
        ("deep", Type::map(Type::String, Type::Dyn)),
        ("none", Type::map(Type::String, Type::map(Type::String, Type::Dyn))),
        ("one", Type::list(Type::Dyn)),
        ("empty", Type::list(Type::Int)),
        ("s1", Type::String),
        ("s2", Type::String),
        ("n", Type::Int),
        ("f", Type::Bool),
    ];
    let mut environment = Environment::kubernetes().unfolded();
    for (name, ty) in fields.clone() {
        environment = environment.variable(name, ty);
    }
    let cases = [
        ("'Hello World!'", 0),
        ("l", 1),
        ("m['key']", 2),
        ("l[0]", 2),
        ("m['ke' + 'y']", 3),
        ("l[3-3]", 3),
        ("has(o.a)", 1),
        ("has(o.a.b)", 2),
        ("[1, 2, 3]", 10),
        ("{'a': 1, 'b': 2, 'c': 3}", 30),
        ("empty.all(x, true)", 2),
        ("[1, 2, 3].all(x, true)", 20),
        ("t.matches('[0-9]')", 103),
        ("'123'.matches('[0-9]')", 2),
        ("false || false", 0),
        ("f || f || f || f", 4),
        ("true && false", 0),
        ("1 < 2", 1),
        ("1 == 2", 1),
        ("2 in [1, 2, 3]", 13),
        ("1 + 1", 1),
        ("true ? 1 : 2", 0),
        ("size('123')", 1),
        ("'12345678901234567890' == '123456789012345678901234567890'", 2),
        ("bytes(t)", 51),
        ("string(1)", 1),
        ("t.contains(t)", 2502),
        ("idc.startsWith(idc)", 3),
        ("five.size()", 2),
        ("size(five)", 2),
        ("(n > 2 ? one : one).all(y, true)", 6),
        ("true ? false : 1 > 3", 0),
        ("false ? false : 1 > 3", 1),
        ("deep.all(k, deep[k].single > 3)", 9),
        ("none.all(k, none[k].all(x, true))", 2),
        ("none.all(k, k.contains(k))", 2),
        ("(empty + empty).all(x, true)", 4),
        ("'abcdefg'.contains(s1 + s2)", 6),
        ("(1 > 2 ? 5 : 3) > 1", 2),
        ("(1 > 2 || 2 > 1) == true", 3),
        ("[{'k1': 1}, {'k2': 2}].all(x, true)", 77),
        ("[1,2,3,4,5].filter(x, x % 2 == 0)", 62),
        ("[1,2,3,4,5].map(x, x)", 86),
        ("[1,2,3,4,5].map(x, x).filter(x, x % 2 == 0)", 138),
        ("[1,2,3,4,5].map(x, x).exists(x, x == 5) == true", 118),
        ("[1,2,3,4,5].map(x, x).map(x, x)", 162),
        ("[1,2,3,4,5].map(x, [x, x]).filter(z, z.size() == 2)", 232),
        ("[1,2,3,4,5].map(x, [x, x]).all(y, y.all(y, y == 1))", 171),
        ("[1,2,3,4,5].map(x, x).map(x, x) + [1]", 173),
        ("[1,2,3].all(i, i in [1,2,3].map(j, j + j))", 86),
    ];
    let mut wrong = Vec::new();
    for (expression, cost) in cases {
        let program = match environment.compile(expression) {
            Ok(program) => program,
            Err(error) => panic!("{expression}: {error}"),
        };
        let mut activation = Activation::new();
        for (name, _) in &fields {
            activation.json(name, &long[*name]);
        }
        let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
        if outcome.value.is_err() || outcome.cost != cost {
            wrong.push(format!(
                "{expression}: {:?} cost {}, upstream {cost}",
                outcome.value.err(),
                outcome.cost
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
