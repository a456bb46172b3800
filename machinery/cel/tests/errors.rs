//! What does not compile, and how it is said.

mod common;

use common::refused;
use oarlock_cel::{Decl, Environment, Type};

fn environment() -> Environment {
    let inner: Decl = Type::object("inner", [("name", Type::String.into())]).into();
    let fields = [("count", Type::Int.into()), ("inner", inner), ("list", Type::list(Type::String).into())];
    Environment::kubernetes().variable("self", Type::object("selfType", fields)).variable("any", Type::Dyn)
}

#[test]
fn types_that_do_not_agree() {
    for (expression, issues) in [
        ("x", "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x\n | ^"),
        ("self.foo", "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^"),
        ("self.inner.foo", "ERROR: <input>:1:11: undefined field 'foo'\n | self.inner.foo\n | ..........^"),
        (
            "1 + 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
        (
            "self.count == 'a'",
            "ERROR: <input>:1:12: found no matching overload for '_==_' applied to '(int, string)'\n | self.count == 'a'\n | ...........^",
        ),
        (
            "self.count.startsWith('a')",
            "ERROR: <input>:1:22: found no matching overload for 'startsWith' applied to 'int.(string)'\n | self.count.startsWith('a')\n | .....................^",
        ),
        (
            "nothing(1)",
            "ERROR: <input>:1:8: undeclared reference to 'nothing' (in container '')\n | nothing(1)\n | .......^",
        ),
        (
            "self.count.nothing()",
            "ERROR: <input>:1:19: undeclared reference to 'nothing' (in container '')\n | self.count.nothing()\n | ..................^",
        ),
        ("1 && true", "ERROR: <input>:1:1: expected type 'bool' but found 'int'\n | 1 && true\n | ^"),
        (
            "self.count.x",
            "ERROR: <input>:1:11: type 'int' does not support field selection\n | self.count.x\n | ..........^",
        ),
        (
            "self.count.all(x, x)",
            "ERROR: <input>:1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.count.all(x, x)\n | ....^",
        ),
        (
            "self.list.all(x, x)",
            "ERROR: <input>:1:18: expected type 'bool' but found 'string'\n | self.list.all(x, x)\n | .................^",
        ),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "[1, dyn(2)]",
            "ERROR: <input>:1:8: expected type 'int' but found 'dyn'\n | [1, dyn(2)]\n | .......^",
        ),
        (
            "{'a': 1, 'b': 'c'}",
            "ERROR: <input>:1:15: expected type 'int' but found 'string'\n | {'a': 1, 'b': 'c'}\n | ..............^",
        ),
        (
            "'a'.matches('[')",
            "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('[')\n | ............^",
        ),
        (
            "duration('1x')",
            "ERROR: <input>:1:10: invalid duration argument\n | duration('1x')\n | .........^",
        ),
        (
            "timestamp('x')",
            "ERROR: <input>:1:11: invalid timestamp argument\n | timestamp('x')\n | ..........^",
        ),
        (
            "Object{}",
            "ERROR: <input>:1:7: undeclared reference to 'Object' (in container '')\n | Object{}\n | ......^",
        ),
        (
            "x + y",
            "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x + y\n | ^\nERROR: <input>:1:5: undeclared reference to 'y' (in container '')\n | x + y\n | ....^",
        ),
        ("true &&\n  x", "ERROR: <input>:2:3: undeclared reference to 'x' (in container '')\n |   x\n | ..^"),
        (
            "'é' + x",
            "ERROR: <input>:1:7: undeclared reference to 'x' (in container '')\n | 'é' + x\n | .．....^",
        ),
        (
            "cel.bind(x, 1, x)",
            "ERROR: <input>:1:1: undeclared reference to 'cel' (in container '')\n | cel.bind(x, 1, x)\n | ^\nERROR: <input>:1:9: undeclared reference to 'bind' (in container '')\n | cel.bind(x, 1, x)\n | ........^\nERROR: <input>:1:10: undeclared reference to 'x' (in container '')\n | cel.bind(x, 1, x)\n | .........^\nERROR: <input>:1:16: undeclared reference to 'x' (in container '')\n | cel.bind(x, 1, x)\n | ...............^",
        ),
    ] {
        refused(&environment(), expression, issues);
    }
}

#[test]
fn syntax() {
    for (expression, issue) in [
        ("1 +", "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting "),
        ("self.", "ERROR: <input>:1:6: Syntax error: "),
        ("", "ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting "),
        ("'abc", "ERROR: <input>:1:1: Syntax error: token recognition error at: ''abc'"),
        ("'éé' + )", "ERROR: <input>:1:8: Syntax error: "),
        ("self.true", "ERROR: <input>:1:6: Syntax error: mismatched input 'true' expecting IDENTIFIER"),
        ("timestamp(-62135596801)", "ERROR: <input>:1:11: invalid timestamp argument"),
        ("'x'.matches('x++')", "ERROR: <input>:1:13: invalid matches argument"),
        ("self.`foo`", "ERROR: <input>:1:5: unsupported syntax: '`'"),
        ("if", "ERROR: <input>:1:1: reserved identifier: if"),
        ("has(1)", "ERROR: <input>:1:5: invalid argument to has() macro"),
        ("[1].all(1, true)", "ERROR: <input>:1:9: argument must be a simple name"),
        ("[1].all(x, x, true)", "ERROR: <input>:1:12: duplicate variable name: x"),
        ("[1].exists(a.b, c, true)", "ERROR: <input>:1:13: argument must be a simple name"),
        ("99999999999999999999", "ERROR: <input>:1:1: invalid int literal"),
    ] {
        let error = environment().compile(expression).expect_err(expression);
        assert!(error.issues().starts_with(issue), "{expression}: {}", error.issues());
        assert!(error.to_string().starts_with("compilation failed: ERROR: <input>:"), "{error}");
    }
}

#[test]
fn patterns_are_compiled_with_the_program() {
    let error = environment().compile("'x'.find(')') == ''").expect_err("the pattern is not closed");
    assert_eq!(error.to_string(), "program instantiation failed: error parsing regexp: unexpected ): `)`");
}

#[test]
fn types_of_results() {
    for (expression, ty) in [
        ("self", "selfType"),
        ("self.list", "list(string)"),
        ("self.list.map(x, size(x))", "list(int)"),
        ("{'a': [1]}", "map(string, list(int))"),
        ("any.x.y", "dyn"),
        ("any + 1", "int"),
        ("any == 1", "bool"),
        ("[]", "list(dyn)"),
        ("self.?count", "optional_type(int)"),
        ("self.list[?0]", "optional_type(string)"),
        ("type(1)", "type(int)"),
        ("int", "type(int)"),
        ("null", "null"),
        ("timestamp('2020-01-01T00:00:00Z')", "timestamp"),
        ("true ? 1 : any", "dyn"),
        ("quantity('1')", "kubernetes.Quantity"),
        ("url('http://a').getQuery()", "map(string, list(string))"),
        ("self.list.transformMap(i, v, v)", "map(int, string)"),
        ("optional.of(self.list).or(optional.none())", "optional_type(list(string))"),
        ("'%d %s'.format([1, 'a'])", "string"),
    ] {
        match environment().compile(expression) {
            Ok(program) => assert_eq!(program.result_type().to_string(), ty, "{expression}"),
            Err(error) => panic!("{expression}: {error}"),
        }
    }
}
