use super::*;

const DEVICE: &str = r#"device.attributes["dra.example.com"]"#;

/// The faults of one expression.
fn faults(text: &str) -> String {
    let mut errors = FieldErrors::new();
    expression(text, &Path::new("expression"), &mut errors);
    errors.iter().map(|error| format!("{}: {}", error.path, error.body())).collect::<Vec<_>>().join("; ")
}

/// Costs that upstream's own tests state.
#[test]
fn costs_are_upstreams() {
    let of = |text: &str| text.replace("DEVICE", DEVICE);
    for (text, want) in [
        ("true", 0),
        (r#"device.attributes["no-such-domain"].noSuchAttr.isGreaterThan(quantity("0"))"#, 6),
        (r#"device.attributes["no-such-domain"]["noSuchAttr"].isGreaterThan(quantity("0"))"#, 6),
        (r#""no-such-domain" in device.attributes"#, 3),
        (r#"device.driver == """#, 2),
        (r#"device.driver == "dra.example.com""#, 4),
        ("DEVICE.name", 4),
        (r#"DEVICE["name"]"#, 4),
        ("cel.bind(dra, DEVICE, dra.name)", 15),
        ("DEVICE.name > 0", 5),
        (r#"DEVICE.name == "fish""#, 5),
        (r#"DEVICE.name.isGreaterThan(semver("0.0.1"))"#, 6),
        (r#"DEVICE.name.isGreaterThan(semver("v0.0.1", true)) && isSemver("v1.0.0", true)"#, 7),
        (r#"device.capacity["dra.example.com"].name.isGreaterThan(quantity("1Ki"))"#, 6),
        (r#""name" in device.capacity["d"] && device.capacity["d"].name.isGreaterThan(quantity("1Ki"))"#, 10),
        (
            r#"!("name" in device.capacity["d"]) || device.capacity["d"].name.isGreaterThan(quantity("1Ki"))"#,
            11,
        ),
        ("DEVICE.a && DEVICE.b && DEVICE.c", 12),
        (r#"device.attributes.exists_one(x, x == "dra.example.com")"#, 164),
        (r#"DEVICE.exists_one(x, x == "services")"#, 133),
        (r#"DEVICE.services.split("example").size() >= 2"#, 19),
        (r#"DEVICE.services.matches("[^a]?sym")"#, 18),
        (r#"device.capacity.exists_one(x, x == "dra.example.com")"#, 164),
        (r#"device.capacity["dra.example.com"].exists_one(x, x == "memory")"#, 133),
        ("device.allowMultipleAllocations == true", 3),
    ] {
        let program = ENVIRONMENT.compile(&of(text)).expect(text);
        assert_eq!(program.estimate().max, want, "{text}");
        assert_eq!(faults(&of(text)), "", "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_as_upstream_tells_it() {
    let loops = |depth: usize| {
        let tens = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
        let opened: String = (0..depth).map(|at| format!("{tens}.all(x{at}, ")).collect();
        format!("{opened}int('1'.find('[0-9]*')) < 100{}", ")".repeat(depth))
    };
    assert_eq!(ENVIRONMENT.compile(&loops(7)).expect("it compiles").estimate().max, 85_555_551);
    assert_eq!(faults(&loops(7)), "expression: Forbidden: too complex, exceeds cost limit");
    assert_eq!(faults(&loops(4)), "");
    let long = format!("\"{}\" == \"\"", "x".repeat(EXPRESSION_MAX));
    assert_eq!(faults(&long), "expression: Too long: may not be more than 10240 bytes");
    for (text, want) in [
        ("1", "must evaluate to bool or the unknown type, not int"),
        ("dyn(true)", "must evaluate to bool or the unknown type, not dyn"),
        ("device", "must evaluate to bool or the unknown type, not kubernetes.DRADevice"),
        (
            "device.attributes",
            "must evaluate to bool or the unknown type, not map(string, map(string, google.protobuf.Any))",
        ),
        (
            "[device.attributes['d'].x]",
            "must evaluate to bool or the unknown type, not list(google.protobuf.Any)",
        ),
        (
            "device.attributes['d'].?x",
            "must evaluate to bool or the unknown type, not optional_type(google.protobuf.Any)",
        ),
        (
            "timestamp('2020-01-01T00:00:00Z')",
            "must evaluate to bool or the unknown type, not google.protobuf.Timestamp",
        ),
        ("null", "must evaluate to bool or the unknown type, not null_type"),
        ("", "compilation failed: ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {"),
        ("?!", "Syntax error"),
        ("device.nothing", "undefined field 'nothing'"),
        (
            "device.attributes['d'].name.exists(x, x > 0)",
            "expression of type 'any' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("device.attributes['d'].name.includes('fish')", "undeclared reference to 'includes'"),
    ] {
        let told = faults(text);
        assert!(told.starts_with(&format!("expression: Invalid value: {text:?}: ")), "{told}");
        assert!(told.contains(want), "{text}: {told}");
    }
}
