//! Declared types of schemas, and the costs of rules that upstream's own tests state for them.

use std::sync::Arc;

use oarlock_api::structural::{Additional, JsonType, Structural};
use oarlock_api::table::ListType as Rule;
use serde_json::{Value as Json, json};

use super::{escape, unescape};
use crate::{Activation, Decl, Environment, RUNTIME_COST_BUDGET, Type, Value};

fn schema(kind: JsonType, validation: Json) -> Structural {
    let Json::Object(validation) = validation else { panic!("validation is an object") };
    Structural { kind: Some(kind), validation, ..Structural::default() }
}

/// `string`, `date-time`, `int-or-string`, `object` (of upstream's tests) …
fn named(name: &str) -> Structural {
    match name {
        "number" => schema(JsonType::Number, json!({})),
        "integer" => schema(JsonType::Integer, json!({})),
        "boolean" => schema(JsonType::Boolean, json!({})),
        "string" => schema(JsonType::String, json!({})),
        "int-or-string" => Structural { int_or_string: true, ..Structural::default() },
        "object" => {
            let mut object = schema(JsonType::Object, json!({"required": ["required"]}));
            object.properties = [("required", named("string")), ("optional", named("string"))]
                .map(|(name, schema)| (name.to_owned(), schema))
                .into();
            object
        }
        "numbers" => array(named("number")),
        "number map" => map(named("number")),
        format => schema(JsonType::String, json!({"format": format})),
    }
}

fn array(items: Structural) -> Structural {
    Structural { items: Some(Box::new(items)), ..schema(JsonType::Array, json!({})) }
}

fn map(values: Structural) -> Structural {
    Structural { additional: Additional::Schema(Box::new(values)), ..schema(JsonType::Object, json!({})) }
}

fn limited(mut schema: Structural, max: u64) -> Structural {
    let key = match schema.kind {
        Some(JsonType::Array) => "maxItems",
        Some(JsonType::Object) => "maxProperties",
        _ => "maxLength",
    };
    schema.validation.insert(key.to_owned(), json!(max));
    schema
}

fn environment(schema: &Structural) -> Environment {
    let decl = Decl::from_structural(schema, false).expect("it has a type");
    Environment::kubernetes().variable("self", decl.clone()).variable("oldSelf", decl)
}

#[test]
fn estimates_are_upstreams() {
    let cases: Vec<(Structural, &str, u64, u64, u64)> = vec![
        (array(named("number")), "self.all(x, true)", 4718591, 10, 32),
        (array(named("string")), "self.all(x, true)", 3145727, 20, 62),
        (array(named("boolean")), "self.all(x, true)", 1887437, 5, 17),
        (array(named("numbers")), "self.all(x, true)", 3145727, 100, 302),
        (array(named("object")), "self.all(x, true)", 555128, 50, 152),
        (map(named("number")), "self.all(x, true)", 1348169, 10, 32),
        (map(named("string")), "self.all(x, true)", 1179647, 3, 11),
        (map(named("boolean")), "self.all(x, true)", 943718, 100, 302),
        (named("string"), "self.contains('test')", 314574, 10, 5),
        (named("string"), "self.startsWith('test')", 2, 15, 2),
        (named("string"), "size(self + 'hello') > size('hello')", 314578, 4, 7),
        (array(named("number")), "self[1] == 0.0", 2, 5000, 2),
        (array(named("string")), "self[1] == self[1]", 314577, 8, 314577),
        (named("string"), "self.matches('x')", 314574, 50, 22),
        (named("string"), "''.matches('(((((((((())))))))))[0-9]')", 7, 10, 7),
        (named("string"), "self.matches('')", 1, 100, 1),
        (map(named("number")), "self['x'] == 0.0", 2, 0, 2),
        (named("string"), "self == 'x'", 2, 0, 1),
        (named("byte"), "self == b'x'", 2, 0, 1),
        (array(named("number")), "self.all(x, x == 0.0)", 6291454, 3 * 1024 * 2048, 25165826),
        (array(named("int-or-string")), "self.all(x, true)", 4718591, 10, 32),
        (array(named("int-or-string")), "self[0] == 5", 3, 10, 3),
        (array(named("boolean")), "self[0] == false", 2, 25, 2),
        (array(named("object")), "self[0] == null", 2, 422, 2),
        (array(named("numbers")), "self[0][0] == -1.0", 3, 51, 3),
        (array(named("number map")), "self.all(x, x.y == 25.2)", 6291452, 12, 74),
        (array(named("number map")), "self[0].x > 2.0", 4, 3000, 4),
        (array(named("duration")), "self.all(x, true)", 2359295, 5, 17),
        (array(named("duration")), "self[0].getHours() == 2", 4, 525, 4),
        (array(named("date")), "self.all(x, true)", 725936, 15, 47),
        (array(named("date-time")), "self.all(x, true)", 428963, 25, 77),
        (map(named("int-or-string")), "self.all(x, true)", 1348169, 15, 47),
        (map(named("object")), "self.all(x, true)", 428963, 20, 62),
        (map(named("number map")), "self.all(x, true)", 1179647, 10, 32),
        (map(named("duration")), "self.all(x, true)", 1048577, 5, 17),
        (map(named("date-time")), "self.all(x, true)", 349526, 25, 77),
        (named("string"), "self.find('[0-9]+') == ''", 629147, 10, 11),
        (named("string"), "self.lowerAscii() == 'lower!'", 314575, 10, 6),
        (map(named("integer")), "oldSelf.size() == self.size()", 5, 10, 5),
        (map(named("date-time")), "self['a'] == self['b']", 8, 7, 8),
        (map(named("duration")), "self['c'] == self['d']", 8, 42, 8),
        (
            schema(JsonType::String, json!({"enum": ["A", "B", "C", "LongValue"]})),
            "self.contains('A')",
            2,
            1000,
            401,
        ),
        (named("int-or-string"), "isQuantity(self)", 314574, 20, 9),
    ];
    let mut wrong = Vec::new();
    for (schema, rule, free, max, bound) in cases {
        for (schema, expected) in [(schema.clone(), free), (limited(schema, max), bound)] {
            match environment(&schema).compile(rule) {
                Ok(program) if program.estimate().max == expected => {}
                Ok(program) => {
                    wrong.push(format!("{rule}: {} instead of {expected}", program.estimate().max))
                }
                Err(error) => panic!("{rule}: {error}"),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn estimates_of_text_in_lists_are_upstreams() {
    let strings = || array(named("string"));
    let bound = || limited(array(limited(named("string"), 10)), 10);
    for (schema, rule, expected) in [
        (strings(), "self.join(' ') == 'aa bb'", 329853068905),
        (bound(), "self.join(' ') == 'aa bb'", 43),
        (strings(), "self.isSorted() == true", 329854432052),
        (bound(), "self.isSorted() == true", 52),
    ] {
        let program = environment(&schema).compile(rule).expect(rule);
        assert_eq!(program.estimate().max, expected, "{rule}");
    }
    for rule in ["self.all(x, self.all(y, true))", "self.all(x, self.all(y, self.all(z, true)))"] {
        let free = environment(&array(named("number"))).compile(rule).expect(rule).estimate().max;
        assert!(free > crate::STATIC_COST_LIMIT, "{rule} is too dear: {free}");
        let bound =
            environment(&limited(array(named("number")), 10)).compile(rule).expect(rule).estimate().max;
        assert!(bound < 4000, "{rule} is not too dear: {bound}");
    }
}

#[test]
fn names_are_escaped_and_back() {
    for (name, escaped) in [
        ("spec", Some("spec")),
        ("my-prop", Some("my__dash__prop")),
        ("a.b/c", Some("a__dot__b__slash__c")),
        ("a__b", Some("a__underscores__b")),
        ("namespace", Some("__namespace__")),
        ("in", Some("__in__")),
        ("_x_", Some("_x_")),
        ("int", Some("int")),
        ("1x", None),
        ("", None),
        ("a$b", None),
        ("é", None),
    ] {
        assert_eq!(escape(name).as_deref(), escaped, "{name}");
        if let Some(escaped) = escaped {
            assert_eq!(unescape(escaped).as_deref(), Some(name), "{escaped}");
        }
    }
    assert_eq!(unescape("a__b__c"), None);
    assert_eq!(unescape("x__namespace__"), None);
}

/// A schema with a bit of everything.
fn rich() -> Structural {
    let mut set = array(named("string"));
    set.list_type = Some(Rule::Set);
    let mut port = schema(JsonType::Object, json!({}));
    port.properties =
        [("name", named("string")), ("port", named("integer"))].map(|(n, s)| (n.to_owned(), s)).into();
    let mut ports = array(port);
    ports.list_type = Some(Rule::Map);
    ports.list_map_keys = vec!["name".to_owned()];
    let mut nullable = named("string");
    nullable.nullable = true;
    let mut preserved = schema(JsonType::Object, json!({}));
    preserved.preserve_unknown = true;
    let mut root = schema(JsonType::Object, json!({}));
    root.properties = [
        ("replicas", named("integer")),
        ("ratio", named("number")),
        ("tags", set),
        ("ports", ports),
        ("labels", map(named("string"))),
        ("maybe", nullable),
        ("my-prop", named("string")),
        ("namespace", named("string")),
        ("when", named("date-time")),
        ("day", named("date")),
        ("wait", named("duration")),
        ("data", named("byte")),
        ("target", named("int-or-string")),
        ("free", preserved),
        ("untyped", Structural { preserve_unknown: true, ..Structural::default() }),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into();
    root
}

#[test]
fn objects_are_read_against_their_schema() {
    let object = json!({
        "metadata": {"name": "x", "labels": {"hidden": "y"}},
        "replicas": 3, "ratio": 1, "tags": ["a", "b"], "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}],
        "labels": {"app": "web"}, "maybe": null, "my-prop": "p", "namespace": "ns", "when": "2020-01-02T03:04:05Z",
        "day": "2020-01-02", "wait": "1h30m", "data": "aGk=", "target": "50%", "free": {"x": 1}, "untyped": [1],
    });
    let decl = Decl::from_structural(&rich(), true).expect("it has a type");
    let environment = Environment::kubernetes().variable("self", decl);
    for (rule, value) in [
        ("self.metadata.name == 'x'", "true"),
        ("self.replicas + 1", "4"),
        ("self.ratio / 2.0", "0.5"),
        ("self.tags == ['b', 'a']", "true"),
        ("self.tags + ['b', 'c']", r#"["a","b","c"]"#),
        ("['c', 'a'] + self.tags", r#"["c","a","a","b"]"#),
        ("self.ports.filter(p, p.port > 60).map(p, p.name)", r#"["http"]"#),
        ("self.labels.app", r#""web""#),
        ("'app' in self.labels", "true"),
        ("has(self.maybe)", "false"),
        ("self.my__dash__prop + self.__namespace__ + self.namespace", r#""pnsns""#),
        ("self.when.getFullYear() + self.day.getDate()", "2022"),
        ("self.wait == duration('90m')", "true"),
        ("string(self.data)", r#""hi""#),
        ("type(self.target) == string && self.target.endsWith('%')", "true"),
        ("self.?labels[?'none'].orValue('-')", r#""-""#),
        ("self.labels", r#"{"app":"web"}"#),
        ("self == self", "true"),
        ("self.ports.exists_one(p, p.name == 'dns')", "true"),
    ] {
        let program = match environment.compile(rule) {
            Ok(program) => program,
            Err(error) => panic!("{rule}: {error}"),
        };
        let mut activation = Activation::new();
        activation.json("self", &object);
        match program.evaluate(&activation, RUNTIME_COST_BUDGET).value.and_then(|value| value.to_json()) {
            Ok(json) => assert_eq!(json.to_string(), value, "{rule}"),
            Err(error) => panic!("{rule}: {error}"),
        }
    }
    for (rule, issue) in [
        ("self.metadata.labels", "undefined field 'labels'"),
        ("self.free.x", "undefined field 'x'"),
        ("self.untyped", "undefined field 'untyped'"),
        ("self.metadata.namespace", "undefined field 'namespace'"),
        ("self.replicas.x", "type 'int' does not support field selection"),
    ] {
        let error = environment.compile(rule).expect_err(rule).to_string();
        assert!(error.contains(&format!(": {issue}\n")), "{rule}: {error}");
    }
}

#[test]
fn lists_of_type_map_compare_and_add_by_key() {
    let ports = |json: Json| json!({ "ports": json });
    let one = ports(json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]));
    let two = ports(json!([{"name": "b", "port": 2}, {"name": "a", "port": 1}]));
    let three = ports(json!([{"name": "b", "port": 9}, {"name": "c", "port": 3}]));
    let decl = Decl::from_structural(&rich(), false).expect("it has a type");
    let environment = Environment::kubernetes().variable("self", decl.clone()).variable("oldSelf", decl);
    for (old, rule, value) in [
        (&two, "self.ports == oldSelf.ports", "true"),
        (&three, "self.ports == oldSelf.ports", "false"),
        (&three, "(self.ports + oldSelf.ports).map(p, p.name + string(p.port))", r#"["a1","b9","c3"]"#),
    ] {
        let program = environment.compile(rule).expect(rule);
        let mut activation = Activation::new();
        activation.json("self", &one).json("oldSelf", old);
        let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
        let json = outcome.value.and_then(|value| value.to_json()).expect(rule);
        assert_eq!(json.to_string(), value, "{rule}");
    }
}

#[test]
fn wrong_data_is_an_error_where_it_is_read() {
    let decl = Decl::from_structural(&rich(), false).expect("it has a type");
    let environment = Environment::kubernetes().variable("self", decl);
    for (object, rule, error) in [
        (json!({"replicas": "x"}), "self.replicas == 1", "invalid data, expected int, got string"),
        (
            json!({"tags": {}}),
            "self.tags == []",
            "invalid data, expected an array for the provided schema with type=array",
        ),
        (
            json!({"labels": {"a": null}}),
            "self.labels.a == ''",
            "invalid data, got null for schema with nullable=false",
        ),
        (json!({}), "self.replicas == 1", "no such key: replicas"),
    ] {
        let program = environment.compile(rule).expect(rule);
        let mut activation = Activation::new();
        activation.json("self", &object);
        let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
        assert_eq!(outcome.value.expect_err(rule).to_string(), error, "{rule}");
    }
}

#[test]
fn old_self_may_be_optional() {
    let decl = Decl::from_structural(&rich(), false).expect("it has a type");
    let environment =
        Environment::kubernetes().variable("self", decl.clone()).variable("oldSelf", decl.optional());
    let rule = "oldSelf.optMap(o, o.replicas <= self.replicas).orValue(true)";
    let program = environment.compile(rule).expect(rule);
    assert!(program.references("oldSelf") && *program.result_type() == Type::Bool);
    let (new, old) = (json!({"replicas": 2}), json!({"replicas": 3}));
    let run = |old: Option<&Json>| {
        let mut activation = Activation::new();
        activation.json("self", &new);
        match old {
            Some(old) => activation.json("oldSelf", old),
            None => activation.value("oldSelf", Value::optional(None)),
        };
        program.evaluate(&activation, RUNTIME_COST_BUDGET).value.expect(rule).as_bool()
    };
    assert_eq!(run(None), Some(true));
    assert_eq!(run(Some(&old)), Some(false));
}

#[test]
fn built_in_types_are_declared() {
    let table = oarlock_api::Table::builtin();
    let pod = Decl::of(table.type_of("", "v1", "Pod").expect("pods exist"));
    let crd = Decl::of(
        table.type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition").expect("definitions exist"),
    );
    let environment = Environment::kubernetes().variable("object", pod).variable("crd", crd);
    for (expression, ty) in [
        ("object.spec.containers", "list(io.k8s.api.core.v1.Container)"),
        ("object.metadata.creationTimestamp", "timestamp"),
        ("object.metadata.namespace", "string"),
        ("object.metadata.labels", "map(string, string)"),
        ("object.spec.containers[0].resources.limits['cpu']", "string"),
        ("crd.spec.versions[0].schema.openAPIV3Schema.properties['a'].properties['b'].type", "string"),
    ] {
        match environment.compile(expression) {
            Ok(program) => assert_eq!(program.result_type().to_string(), ty, "{expression}"),
            Err(error) => panic!("{expression}: {error}"),
        }
    }
    assert!(environment.compile("object.spec.nothing").is_err());
    assert!(Arc::new(environment).compile("object.spec.replicas == 1").is_err());
}
