//! What is made to hurt: it is refused, or stopped, in bounded time, and nothing panics. Tests run with the stack that a
//! worker thread of the server has.

use oarlock_cel::{Activation, Environment, EvalError, PER_CALL_LIMIT, RUNTIME_COST_BUDGET, Type};
use serde_json::json;

fn environment() -> Environment {
    Environment::kubernetes().variable("x", Type::Dyn)
}

#[test]
fn long_and_deep_expressions_are_refused_or_work() {
    let deep = |open: &str, middle: &str, close: &str, times: usize| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    for times in [10, 60, 80, 120, 240, 260, 1000, 20_000, 500_000] {
        for expression in [
            deep("(", "1", ")", times),
            deep("[", "1", "]", times),
            deep("{1:", "1", "}", times),
            deep("-", "1", "", times),
            deep("!", "true", "", times),
            deep("true ? 1 : ", "1", "", times),
            deep("x[", "1", "]", times),
            deep("f(", "1", ")", times),
            deep("[1].map(y, ", "1", ")", times),
            deep("[1].all(y, ", "true", ")", times),
            deep("{1: 1}.exists(k, v, ", "true", ")", times),
            deep("{1: 1}.transformMap(k, v, ", "true", ")", times),
            deep("optional.of(1).optMap(o, ", "1", ")", times),
            deep("[1].sortBy(o, ", "1", ")", times),
            deep("[1].filter(o, x == [", "1", "])", times),
            format!("x{}", ".a".repeat(times)),
            format!("x{}", "[0]".repeat(times)),
            format!("x{}", ".a()".repeat(times)),
            format!("1{}", " + 1".repeat(times)),
            format!("1{}", " < 1".repeat(times)),
            format!("1{}", " in [1]".repeat(times)),
            format!("x{}", ".?a".repeat(times)),
            format!("true{}", " && true".repeat(times)),
            format!("true{}", " || x".repeat(times)),
            format!("[1{}]", ", 1".repeat(times)),
            "(".repeat(times),
            "[".repeat(times),
            "'".repeat(times),
            "a ".repeat(times),
            "?".repeat(times),
            "\u{0}".repeat(times),
            "é".repeat(times),
            format!("`\n{}", "((".repeat(times)),
            format!("\"\\q{}", "(".repeat(times)),
            format!("`\n{}", "true ? 1 : ".repeat(times)),
            format!("`\n{}1", "-".repeat(times)),
        ] {
            if let Ok(program) = environment().compile(&expression) {
                let value = json!({"a": 1});
                let mut activation = Activation::new();
                activation.json("x", &value);
                let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
                assert!(outcome.cost <= PER_CALL_LIMIT + 1000);
            }
        }
    }
    let error = environment().compile(&"a".repeat(100_001)).expect_err("it is too long");
    assert_eq!(
        error.issues(),
        "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100001, limit 100000"
    );
    let error = environment().compile(&deep("(", "1", ")", 400)).expect_err("it is too deep");
    assert_eq!(error.issues(), "ERROR: <input>:-1:0: expression recursion limit exceeded: 250");
}

#[test]
fn long_flat_expressions_work() {
    for expression in [
        format!("true{}", " && x == 1".repeat(2000)),
        format!("[1{}].size() > 0", ", 1".repeat(5000)),
        format!("x == '{}'", "a".repeat(50_000)),
    ] {
        environment().compile(&expression).expect("it is long, not deep");
    }
}

#[test]
fn dear_evaluations_are_stopped() {
    let list = format!("[{}]", vec!["1"; 100].join(", "));
    let nested = |times: usize| {
        let mut expression = "true".to_owned();
        for depth in 0..times {
            expression = format!("{list}.all(v{depth}, {expression})");
        }
        expression
    };
    let doubled = |start: &str, times: usize| {
        let mut expression = start.to_owned();
        for depth in 0..times {
            expression = format!("[{expression}].map(v{depth}, v{depth} + v{depth})[0]");
        }
        expression
    };
    let paired = |times: usize| {
        let mut expression = "[1]".to_owned();
        for depth in 0..times {
            expression = format!("[{expression}].map(v{depth}, [v{depth}, v{depth}])[0]");
        }
        expression
    };
    for expression in [
        nested(5),
        format!("{} == ''", doubled("'aaaaaaaaaaaaaaaaaaaaaaaa'", 40)),
        format!("size({}) == 1", doubled("[1, 2, 3]", 40)),
        format!("[{0}].map(p, p == p)[0]", paired(30)),
        "lists.range(1000000000).size() > 0".to_owned(),
        "lists.range(900000).map(v, lists.range(900000)).size() > 0".to_owned(),
        "lists.range(100000).distinct().size() > 0".to_owned(),
        "lists.range(1000).map(v, 'a').join().replace('', lists.range(1000).map(v, 'abcdefghij').join()).replace('', lists.range(1000).map(v, 'abcdefghij').join()) == ''".to_owned(),
    ] {
        let program = match environment().compile(&expression) {
            Ok(program) => program,
            Err(error) => panic!("{}: {}", &expression[..expression.len().min(80)], error.issues().lines().next().unwrap_or_default()),
        };
        let outcome = program.evaluate(&Activation::new(), RUNTIME_COST_BUDGET);
        assert_eq!(
            outcome.value.map(|value| value.type_of().to_string()),
            Err(EvalError::CostLimit),
            "{}",
            &expression[..expression.len().min(80)]
        );
    }
}

#[test]
fn a_budget_that_is_used_up_stops_too() {
    let program = environment().compile("[1, 2, 3].all(v, v > 0)").expect("it compiles");
    let free = program.evaluate(&Activation::new(), RUNTIME_COST_BUDGET);
    assert!(free.value.is_ok() && free.cost > 5);
    let short = program.evaluate(&Activation::new(), 5);
    assert_eq!(short.value.map(|value| value.as_bool()), Err(EvalError::Budget));
    assert_eq!(EvalError::CostLimit.to_string(), "operation cancelled: actual cost limit exceeded");
}

#[test]
fn a_stop_is_not_absorbed() {
    let program = environment()
        .compile("lists.range(1000000000).size() > 0 || true || [1].exists(v, lists.range(1000000000) == [])")
        .expect("it compiles");
    let outcome = program.evaluate(&Activation::new(), RUNTIME_COST_BUDGET);
    assert_eq!(outcome.value.map(|value| value.as_bool()), Err(EvalError::CostLimit));
}

#[test]
fn expressions_of_random_tokens_do_not_panic() {
    const TOKENS: [&str; 40] = [
        "x",
        "1",
        "'a'",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ".?",
        "[?",
        "?",
        ":",
        ",",
        "+",
        "-",
        "!",
        "&&",
        "||",
        "==",
        "in",
        "has(",
        ".map(y, ",
        ".all(i, v, ",
        ".exists(z, ",
        "true",
        "null",
        "1.5",
        "2u",
        "b'x'",
        "size(",
        ".optMap(o, ",
        ".sortBy(s, ",
        "dyn(",
        "type(",
        "int",
        "optional.of(",
        "string(",
        "'%s'.format([",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut compiled = 0;
    for _ in 0..1000 {
        let mut expression = String::new();
        for _ in 0..(state % 12 + 1) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            expression.push_str(TOKENS[(state % TOKENS.len() as u64) as usize]);
            expression.push(' ');
        }
        let open = expression.matches(['(']).count().saturating_sub(expression.matches([')']).count());
        expression.push_str(&")".repeat(open));
        if let Ok(program) = environment().compile(&expression) {
            compiled += 1;
            let value = json!([{"a": 1}]);
            let mut activation = Activation::new();
            activation.json("x", &value);
            let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
            let _ = outcome.value.and_then(|value| value.to_json());
        }
    }
    assert!(compiled > 20, "some of them mean something: {compiled}");
}
