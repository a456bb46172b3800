//! What expressions come to: the language itself.

mod common;

use common::{check, fails};

#[test]
fn arithmetic() {
    for (expression, value) in [
        ("1 + 2 * 3", "7"),
        ("7 / 2", "3"),
        ("-7 % 3", "-1"),
        ("2.5 + 0.5", "3.0"),
        ("5u - 3u", "2"),
        ("'a' + 'b'", "\"ab\""),
        ("b'ab' + b'c'", "\"YWJj\""),
        ("[1] + [2, 3]", "[1,2,3]"),
        ("-(5)", "-5"),
        ("0x1F", "31"),
        ("1 < 2 && 2.0 < 3 && 1u < 2", "true"),
        ("dyn(1) == 1.0 && dyn(1u) == 1", "true"),
        ("dyn(1) == 'a'", "false"),
        ("dyn('a') != 1", "true"),
        ("9223372036854775807 < 9223372036854775808u", "true"),
        ("1 in [1, 2] && !(3 in [1, 2])", "true"),
        ("'a' in {'a': 1}", "true"),
        ("1.0 in {1: 'x'}.map(k, dyn(k))", "true"),
    ] {
        check(expression, value);
    }
}

#[test]
fn arithmetic_that_fails() {
    for (expression, error) in [
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("[1, 2][5]", "index out of bounds: 5"),
        ("{'a': 1}['b']", "no such key: b"),
        ("{'a': 1}.b", "no such key: b"),
        ("dyn(1) + dyn('a')", "no such overload"),
        ("dyn(1) < dyn('a')", "no such overload"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
        ("int(1e30)", "integer overflow"),
        ("uint(-1)", "unsigned integer overflow"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1h')", "timestamp overflow"),
        ("{1: 'a', 1: 'b'}", "Failed with repeated key: 1"),
        ("optional.none().value()", "optional.none() dereference"),
    ] {
        fails(expression, error);
    }
}

#[test]
fn errors_are_absorbed() {
    for (expression, value) in [
        ("true || 1 / 0 == 1", "true"),
        ("1 / 0 == 1 || true", "true"),
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 && false", "false"),
        ("[1, 0].exists(x, 1 / x == 1)", "true"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
        ("[0, 1].all(x, 1 / x == 2)", "false"),
        ("true ? 1 : 1 / 0", "1"),
    ] {
        check(expression, value);
    }
    fails("false || 1 / 0 == 1", "division by zero");
    fails("[0].all(x, 1 / x == 1)", "division by zero");
    fails("[1, 0].map(x, 1 / x)", "division by zero");
}

#[test]
fn macros() {
    for (expression, value) in [
        ("[1, 2, 3].all(x, x > 0)", "true"),
        ("[1, 2, 3].exists(x, x == 2)", "true"),
        ("[1, 2, 2].exists_one(x, x == 2)", "false"),
        ("[1, 2, 3].map(x, x * 2)", "[2,4,6]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4,6]"),
        ("[1, 2, 3].filter(x, x > 1)", "[2,3]"),
        ("{'a': 1, 'b': 2}.all(k, k != '')", "true"),
        ("{'a': 1, 'b': 2}.map(k, k)", "[\"a\",\"b\"]"),
        ("[1, 2].map(x, [3, 4].map(y, x * y))", "[[3,4],[6,8]]"),
        ("has({'a': 1}.a) && !has({'a': 1}.b)", "true"),
        ("[1, 2].all(i, v, v == i + 1)", "true"),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"),
        ("[5, 6].existsOne(i, v, i == 1)", "true"),
        ("[5, 6].transformList(i, v, i * v)", "[0,6]"),
        ("[5, 6].transformList(i, v, i > 0, v)", "[6]"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", "{\"a\":2,\"b\":3}"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v)", "{\"b\":2}"),
        ("{'a': 'x'}.transformMapEntry(k, v, {v: k})", "{\"x\":\"a\"}"),
        ("[1, 2, 3].sortBy(x, -x)", "[3,2,1]"),
    ] {
        check(expression, value);
    }
    fails("{'a': 'x', 'b': 'x'}.transformMapEntry(k, v, {v: k})", "insert failed: key x already exists");
}

#[test]
fn optionals() {
    for (expression, value) in [
        ("{'a': {'b': 1}}.?a.?b.orValue(5)", "1"),
        ("{'a': {'b': 1}}.?a.?c.orValue(5)", "5"),
        ("{'a': {'b': 1}}.?x.b.orValue(5)", "5"),
        ("{'a': 1}[?'b'].hasValue()", "false"),
        ("[1, 2][?1].value()", "2"),
        ("[1, 2][?7].orValue(0)", "0"),
        ("optional.of(1).optMap(x, x + 1).value()", "2"),
        ("optional.none().optMap(x, x + 1).hasValue()", "false"),
        ("optional.of({'a': 1}).optFlatMap(m, m.?a).value()", "1"),
        ("[?optional.of(1), ?optional.none()]", "[1]"),
        ("{?'a': optional.none(), 'b': optional.of(2).value()}", "{\"b\":2}"),
        ("optional.ofNonZeroValue('').or(optional.of('x')).value()", "\"x\""),
        ("[1, 2].first().value() + [1, 2].last().value()", "3"),
        ("[optional.of(1), optional.none()].unwrapOpt()", "[1]"),
        ("optional.of(1) == optional.of(1)", "true"),
        ("has({'a': {'b': 1}}.?a.b)", "true"),
    ] {
        check(expression, value);
    }
}

#[test]
fn conversions() {
    for (expression, value) in [
        ("int('42') + int(3.9) + int(2u)", "47"),
        ("uint(3.9)", "3"),
        ("double('1.5') + double(2)", "3.5"),
        ("string(1.0) + string(true) + string(7u)", "\"1true7\""),
        ("string(1e30) + string(1e6) + string(123456.0) + string(0.00001)", "\"1e+301e+061234561e-05\""),
        ("string(b'abc')", "\"abc\""),
        ("bool('true') && !bool('0')", "true"),
        ("type(1) == int && type('') == string && type([]) == list && type(type(1)) == type", "true"),
        ("type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp", "true"),
        ("string(duration('1h30m'))", "\"5400s\""),
        ("string(duration('1.5s'))", "\"1.5s\""),
        ("string(timestamp('2020-01-02T03:04:05.600Z'))", "\"2020-01-02T03:04:05.6Z\""),
        ("string(timestamp('2020-01-02T03:04:05+01:00'))", "\"2020-01-02T03:04:05+01:00\""),
        ("int(timestamp('1970-01-01T00:00:10Z'))", "10"),
        ("bytes('é').size()", "2"),
        ("'é'.size()", "1"),
    ] {
        check(expression, value);
    }
}

#[test]
fn times() {
    for (expression, value) in [
        ("timestamp('2020-02-03T04:05:06.007Z').getFullYear()", "2020"),
        ("timestamp('2020-02-03T04:05:06.007Z').getMonth()", "1"),
        ("timestamp('2020-02-03T04:05:06.007Z').getDate()", "3"),
        ("timestamp('2020-02-03T04:05:06.007Z').getDayOfMonth()", "2"),
        ("timestamp('2020-02-03T04:05:06.007Z').getDayOfYear()", "33"),
        ("timestamp('2020-02-03T04:05:06.007Z').getDayOfWeek()", "1"),
        ("timestamp('2020-02-03T04:05:06.007Z').getHours('+02:30')", "6"),
        ("timestamp('2020-02-03T04:05:06.007Z').getMilliseconds()", "7"),
        ("duration('90m').getHours() + duration('90m').getMinutes()", "91"),
        ("timestamp('2020-01-01T00:00:00Z') - timestamp('2019-12-31T00:00:00Z') == duration('24h')", "true"),
        ("timestamp('2020-01-01T00:00:00Z') < timestamp('2020-01-01T00:00:01Z')", "true"),
    ] {
        check(expression, value);
    }
}

#[test]
fn sources_may_have_comments_and_escapes() {
    check("'a\\n\\u00e9' // comment\n + \"b\"", "\"a\\néb\"");
    check("r'a\\d'", "\"a\\\\d\"");
    check("'''it's'''", "\"it's\"");
}

#[test]
fn bindings_where_they_are() {
    let environment = oarlock_cel::Environment::kubernetes().bindings();
    for (expression, value) in [
        ("cel.bind(x, [1, 2], x.size() + x[0])", 3),
        ("cel.bind(x, 1, cel.bind(y, x + 1, x + y))", 3),
        ("cel.bind(x, 1 / 0, 5)", 5),
        ("[1, 2].map(v, cel.bind(w, v * 10, w + v))[1]", 22),
    ] {
        let program = environment.compile(expression).expect(expression);
        let outcome = program.evaluate(&oarlock_cel::Activation::new(), oarlock_cel::RUNTIME_COST_BUDGET);
        assert_eq!(outcome.value.expect(expression).as_int(), Some(value), "{expression}");
    }
    assert!(environment.compile("cel.bind(x.y, 1, 2)").is_err());
    assert!(oarlock_cel::Environment::kubernetes().compile("cel.bind(x, 1, x)").is_err());
}
