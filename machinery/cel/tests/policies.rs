//! What admission policies need: lazy variables, the authorizer, mutations, untyped objects.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use oarlock_cel::{
    Activation, Authorize, AuthorizerCheck, CheckResult, Decision, Environment, EvalError,
    RUNTIME_COST_BUDGET, ResourceCheck, Subject, Target, Type, Variables,
};
use serde_json::{Value as Json, json};

fn object() -> Json {
    json!({
        "metadata": {"name": "web", "labels": {"app": "web"}, "namespace": "default"},
        "spec": {"replicas": 3, "paused": null, "containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]},
    })
}

fn evaluate(environment: &Environment, expression: &str) -> Result<Json, EvalError> {
    let program = match environment.compile(expression) {
        Ok(program) => program,
        Err(error) => panic!("{expression}: {error}"),
    };
    let object = object();
    let mut activation = Activation::new();
    activation.json("object", &object);
    let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
    outcome.value.and_then(|value| value.to_json())
}

#[test]
fn untyped_objects() {
    let environment = Environment::kubernetes().variable("object", Type::Dyn);
    for (expression, value) in [
        ("object.spec.replicas <= 5", json!(true)),
        ("object.metadata.namespace == 'default'", json!(true)),
        ("has(object.spec.paused) && object.spec.paused == null", json!(true)),
        ("has(object.metadata.annotations)", json!(false)),
        ("object.spec.containers.all(c, c.image.contains(':'))", json!(true)),
        ("object.spec.containers.map(c, c.name)", json!(["a", "b"])),
        ("object.metadata.?annotations[?'x'].orValue('none')", json!("none")),
        ("object.metadata.labels", json!({"app": "web"})),
        ("'app' in object.metadata.labels && object.metadata.labels['app'] == 'web'", json!(true)),
        ("object.spec.containers[1].name + string(object.spec.replicas)", json!("b3")),
        ("object == object", json!(true)),
        ("object.metadata.labels.all(k, v, v == 'web')", json!(true)),
    ] {
        assert_eq!(evaluate(&environment, expression), Ok(value), "{expression}");
    }
    let missing = evaluate(&environment, "object.spec.nothing == 1").expect_err("it is missing");
    assert_eq!(missing.to_string(), "no such key: nothing");
    let unbound =
        Environment::kubernetes().variable("params", Type::Dyn).compile("params.x").expect("it compiles");
    let error = unbound.evaluate(&Activation::new(), 1000).value.expect_err("it is not bound");
    assert_eq!(error.to_string(), "no such attribute(s): params");
}

/// `variables.a`, `variables.b` which uses it, and one that fails.
fn variables(base: &Environment) -> Variables {
    let mut variables = Variables::new();
    for (name, expression) in [
        ("images", "object.spec.containers.map(c, c.image)"),
        ("count", "variables.images.size()"),
        ("broken", "object.spec.nothing"),
    ] {
        let environment = base.clone().variable("variables", variables.decl());
        variables.add(name, Arc::new(environment.compile(expression).expect(expression)));
    }
    variables
}

#[test]
fn variables_are_evaluated_once_and_when_used() {
    let base = Environment::kubernetes().variable("object", Type::Dyn);
    let variables = variables(&base);
    let environment = base.variable("variables", variables.decl());
    let program = environment.compile("variables.count == 2 && variables.count < 3").expect("it compiles");
    assert_eq!(
        environment.compile("variables.images").expect("it compiles").result_type(),
        &Type::list(Type::Dyn)
    );
    let object = object();
    let mut activation = Activation::new();
    activation.json("object", &object).variables(&variables);
    let first = program.evaluate(&activation, RUNTIME_COST_BUDGET);
    let second = program.evaluate(&activation, RUNTIME_COST_BUDGET);
    assert_eq!(first.value.expect("it is true").as_bool(), Some(true));
    assert!(first.cost > second.cost, "the variables cost once: {} and {}", first.cost, second.cost);
    let broken = environment.compile("variables.broken == 1 || true").expect("it compiles");
    assert_eq!(
        broken.evaluate(&activation, RUNTIME_COST_BUDGET).value.expect("absorbed").as_bool(),
        Some(true)
    );
    assert!(environment.compile("variables.nothing").is_err());
}

/// Knows some answers; others are pending.
#[derive(Default)]
struct Recorded {
    known: HashMap<AuthorizerCheck, Decision>,
    asked: Mutex<RefCell<Vec<AuthorizerCheck>>>,
}

impl Authorize for Recorded {
    fn check(&self, check: &AuthorizerCheck) -> CheckResult {
        self.asked.lock().expect("nobody panicked").borrow_mut().push(check.clone());
        self.known.get(check).map_or(CheckResult::Pending, |decision| CheckResult::Decided(decision.clone()))
    }
}

#[test]
fn the_authorizer_is_asked_and_may_take_time() {
    let environment = Environment::kubernetes()
        .variable("authorizer", Type::authorizer())
        .variable("authorizer.requestResource", Type::resource_check());
    let expression = "true && (false || authorizer.serviceAccount('ns', 'sa').group('apps').resource('deployments').subresource('scale').namespace('ns').name('web').fieldSelector('a=b').labelSelector('c').check('update').allowed())";
    let program = environment.compile(expression).expect("it compiles");
    let mut authorizer = Recorded::default();
    let pending = {
        let mut activation = Activation::new();
        activation.authorizer(&authorizer);
        match program.evaluate(&activation, RUNTIME_COST_BUDGET).value {
            Err(EvalError::Pending(check)) => *check,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        pending,
        AuthorizerCheck {
            user: Subject::ServiceAccount { namespace: "ns".to_owned(), name: "sa".to_owned() },
            verb: "update".to_owned(),
            target: Target::Resource(ResourceCheck {
                group: "apps".to_owned(),
                resource: "deployments".to_owned(),
                subresource: "scale".to_owned(),
                namespace: "ns".to_owned(),
                name: "web".to_owned(),
                field_selector: "a=b".to_owned(),
                label_selector: "c".to_owned(),
            }),
        }
    );
    authorizer.known.insert(pending, Decision { allowed: true, ..Decision::default() });
    let mut activation = Activation::new();
    activation.authorizer(&authorizer);
    let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
    assert_eq!(outcome.value.expect("it is known").as_bool(), Some(true));
    assert!(outcome.cost > 350_000);
}

#[test]
fn the_request_resource_and_paths() {
    let environment = Environment::kubernetes()
        .variable("authorizer", Type::authorizer())
        .variable("authorizer.requestResource", Type::resource_check());
    let resource = ResourceCheck { resource: "pods".to_owned(), ..ResourceCheck::default() };
    let mut authorizer = Recorded::default();
    for (target, decision) in [
        (
            Target::Resource(resource.clone()),
            Decision { allowed: false, reason: "no".to_owned(), error: Some("x".to_owned()) },
        ),
        (Target::Path("/healthz".to_owned()), Decision { allowed: true, ..Decision::default() }),
    ] {
        let check = AuthorizerCheck { user: Subject::Requester, verb: "get".to_owned(), target };
        authorizer.known.insert(check, decision);
    }
    for (expression, value) in [
        ("authorizer.path('/healthz').check('get').allowed()", json!(true)),
        ("authorizer.requestResource.check('get').allowed()", json!(false)),
        ("authorizer.requestResource.check('get').reason()", json!("no")),
        ("authorizer.requestResource.check('get').errored()", json!(true)),
        ("authorizer.requestResource.check('get').error()", json!("x")),
    ] {
        let program = environment.compile(expression).expect(expression);
        let mut activation = Activation::new();
        activation.authorizer(&authorizer).request_resource(resource.clone());
        let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
        assert_eq!(outcome.value.and_then(|value| value.to_json()), Ok(value), "{expression}");
    }
    let empty = environment.compile("authorizer.path(' ').check('get').allowed()").expect("it compiles");
    let mut activation = Activation::new();
    activation.authorizer(&authorizer);
    let error = empty.evaluate(&activation, RUNTIME_COST_BUDGET).value.expect_err("it is refused");
    assert_eq!(error.to_string(), "path must not be empty");
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<oarlock_cel::Program>();
    shared::<Environment>();
    sent::<Activation<'static>>();
    sent::<EvalError>();
}

#[test]
fn mutations() {
    let environment = Environment::kubernetes().variable("object", Type::Dyn).mutation();
    for (expression, value) in [
        (
            "Object{spec: Object.spec{replicas: object.spec.replicas + 1, ?none: optional.none()}}",
            json!({"spec": {"replicas": 4}}),
        ),
        (
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'x', image: 'i'}]}}",
            json!({"spec": {"containers": [{"name": "x", "image": "i"}]}}),
        ),
        (
            "Object{metadata: Object.metadata{labels: {'a': 'b'}}}",
            json!({"metadata": {"labels": {"a": "b"}}}),
        ),
        (
            "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/x~y'), value: 'v'}, JSONPatch{op: 'move', from: '/a', path: '/b'}]",
            json!([
                {"op": "add", "path": "/metadata/labels/example.com~1x~0y", "value": "v"},
                {"op": "move", "from": "/a", "path": "/b"},
            ]),
        ),
        ("has(object.spec.x) ? [JSONPatch{op: 'remove', path: '/spec/x'}] : []", json!([])),
    ] {
        assert_eq!(evaluate(&environment, expression), Ok(value), "{expression}");
    }
    for (expression, issue) in [
        ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        ("JSONPatch{nothing: 1}", "undefined field 'nothing'"),
        ("Other{x: 1}", "undeclared reference to 'Other' (in container '')"),
    ] {
        let error = environment.compile(expression).expect_err(expression).to_string();
        assert!(error.contains(issue), "{expression}: {error}");
    }
}

#[test]
fn names_of_made_objects_follow_their_fields() {
    let environment = Environment::kubernetes().mutation();
    for (expression, fits) in [
        ("Object{spec: Object.spec{x: 1}}", true),
        ("Object{spec: Object.spec{list: [Object.spec.list{x: 1}]}}", true),
        ("Object{spec: Object{x: 1}}", false),
        ("[JSONPatch{op: 'add', path: '/spec', value: Object.spec{x: Object.spec.x{y: 1}}}]", true),
        ("[JSONPatch{op: 'add', path: '/spec', value: Object.spec{x: Object.spec{y: 1}}}]", false),
        ("[JSONPatch{op: 'add', path: '/spec', value: 1}]", true),
        ("Object{spec: Object.spec{list: [Object.spec{x: 1}]}}", false),
    ] {
        let program = environment.compile(expression).expect(expression);
        let value = program.evaluate(&Activation::new(), 1000).value.expect(expression);
        assert_eq!(value.check_object_names().is_ok(), fits, "{expression}");
    }
}

#[test]
fn devices_have_quantities_and_versions() {
    let semver = Type::Library(oarlock_cel::Library::Semver);
    let capacity = Type::map(Type::String, Type::Library(oarlock_cel::Library::Quantity));
    let device = Type::object("DRADevice", [("capacity", capacity.into()), ("version", semver.into())]);
    let environment = Environment::kubernetes().variable("device", device).bindings();
    let json = json!({"capacity": {"memory": "4Gi"}, "version": "1.2.3"});
    let expression = "cel.bind(m, device.capacity['memory'], m.isGreaterThan(quantity('1Gi'))) && device.version.major() == 1";
    let program = environment.compile(expression).expect(expression);
    let mut activation = Activation::new();
    activation.json("device", &json);
    let outcome = program.evaluate(&activation, RUNTIME_COST_BUDGET);
    assert_eq!(outcome.value.expect(expression).as_bool(), Some(true));
}

#[test]
fn variables_may_build_on_each_other() {
    let mut variables = Variables::new();
    variables.add("v0", Arc::new(Environment::kubernetes().compile("1").expect("it compiles")));
    for at in 1..150 {
        let environment = Environment::kubernetes().variable("variables", variables.decl());
        let expression = format!("[1].map(x, [x].map(y, y + variables.v{}))[0][0]", at - 1);
        variables.add(&format!("v{at}"), Arc::new(environment.compile(&expression).expect("it compiles")));
    }
    let environment = Environment::kubernetes().variable("variables", variables.decl());
    let (some, all) = ("variables.v30", "variables.v149");
    let some = environment.compile(some).expect(some);
    let all = environment.compile(all).expect(all);
    let mut activation = Activation::new();
    activation.variables(&variables);
    // So deep a chain is stopped, not followed until the stack ends; what is known of it helps.
    let outcome = all.evaluate(&activation, RUNTIME_COST_BUDGET);
    assert_eq!(outcome.value.map(|value| value.as_int()), Err(EvalError::CostLimit));
    let outcome = some.evaluate(&activation, RUNTIME_COST_BUDGET);
    assert_eq!(outcome.value.map(|value| value.as_int()), Ok(Some(31)));
}
