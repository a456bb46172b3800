//! Checks that the tables of tests share.
#![allow(dead_code, reason = "every test crate uses some of it")]

use oarlock_cel::{Activation, Environment, RUNTIME_COST_BUDGET};

/// The expression, without variables, comes to this JSON.
pub(crate) fn check(expression: &str, json: &str) {
    let program = match Environment::kubernetes().compile(expression) {
        Ok(program) => program,
        Err(error) => panic!("{expression}: {error}"),
    };
    let outcome = program.evaluate(&Activation::new(), RUNTIME_COST_BUDGET);
    match outcome.value.and_then(|value| value.to_json()) {
        Ok(value) => assert_eq!(value.to_string(), json, "{expression}"),
        Err(error) => panic!("{expression}: {error}"),
    }
}

/// The expression compiles and then fails so.
pub(crate) fn fails(expression: &str, message: &str) {
    let program = match Environment::kubernetes().compile(expression) {
        Ok(program) => program,
        Err(error) => panic!("{expression}: {error}"),
    };
    match program.evaluate(&Activation::new(), RUNTIME_COST_BUDGET).value {
        Ok(value) => panic!("{expression} is {value:?}"),
        Err(error) => assert_eq!(error.to_string(), message, "{expression}"),
    }
}

/// The expression does not compile, with these issues.
pub(crate) fn refused(environment: &Environment, expression: &str, issues: &str) {
    match environment.compile(expression) {
        Ok(program) => panic!("{expression} has type {}", program.result_type()),
        Err(error) => assert_eq!(error.issues(), issues, "{expression}"),
    }
}
