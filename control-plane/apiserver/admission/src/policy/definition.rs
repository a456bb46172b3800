//! What both kinds of policy have in common, read and compiled once: constraints, params, variables, conditions, bindings.

use std::sync::Arc;

use oarlock_api::{GroupResource, GroupVersionKind};
use oarlock_cel::{Environment, Variables};
use serde_json::Value;

use super::params::ParamRef;
use crate::World;
use crate::expressions::{Conditions, Returns, Scope, compile};
use crate::matching::Criteria;
use crate::value::{items, name, text};

/// A policy with its bindings; `E` is what it does.
pub(super) struct Policy<E> {
    pub(super) name: String,
    /// None: it has none, which is an error of its configuration.
    pub(super) criteria: Option<Criteria>,
    pub(super) param_kind: Option<GroupVersionKind>,
    /// `failurePolicy: Ignore`
    pub(super) fails_open: bool,
    pub(super) conditions: Option<Conditions>,
    pub(super) variables: Variables,
    pub(super) effect: E,
    pub(super) bindings: Vec<Binding>,
}

pub(super) struct Binding {
    pub(super) name: String,
    /// None: all that its policy means.
    pub(super) criteria: Option<Criteria>,
    pub(super) param_ref: Option<ParamRef>,
    /// `validationActions`, as they stand.
    pub(super) actions: Vec<Value>,
}

/// The environments of a policy's expressions.
pub(super) struct Environments {
    pub(super) rules: Environment,
    /// Of messages and audit annotations.
    pub(super) told: Environment,
}

/// All policies that are bound, by name. One without bindings does nothing.
pub(super) fn compile_all<E>(
    world: &World,
    (policies, bindings): (&GroupResource, &GroupResource),
    scope: fn(bool) -> Scope,
    effect: fn(&Value, &Environments) -> E,
) -> Vec<Policy<E>> {
    let bindings = world.sorted(bindings);
    let mut compiled = Vec::new();
    for policy in world.sorted(policies) {
        let own = bindings.iter().filter(|binding| text(binding, &["spec", "policyName"]) == name(&policy));
        let own: Vec<Binding> = own.map(Binding::of).collect();
        if !own.is_empty() {
            compiled.push(Policy::of(&policy, own, scope, effect));
        }
    }
    compiled
}

impl<E> Policy<E> {
    fn of(
        policy: &Value,
        bindings: Vec<Binding>,
        scope: fn(bool) -> Scope,
        effect: fn(&Value, &Environments) -> E,
    ) -> Self {
        let spec = &policy["spec"];
        let param_kind = param_kind(spec);
        let scope = scope(param_kind.is_some());
        let fails_open = spec["failurePolicy"] == "Ignore";
        let conditions = items(spec, &["matchConditions"]);
        let variables = variables(spec, &scope.environment());
        let environments = Environments {
            rules: scope.environment().variable("variables", variables.decl()),
            told: scope.without_authorizer().environment().variable("variables", variables.decl()),
        };
        Self {
            name: name(policy).to_string(),
            criteria: spec["matchConstraints"]
                .is_object()
                .then(|| Criteria::of_resources(&spec["matchConstraints"])),
            param_kind,
            fails_open,
            conditions: (!conditions.is_empty()).then(|| Conditions::compile(conditions, &scope, fails_open)),
            effect: effect(spec, &environments),
            variables,
            bindings,
        }
    }
}

impl Binding {
    fn of(binding: &Arc<Value>) -> Self {
        let spec = &binding["spec"];
        Self {
            name: name(binding).to_string(),
            criteria: spec["matchResources"]
                .is_object()
                .then(|| Criteria::of_resources(&spec["matchResources"])),
            param_ref: ParamRef::of(&spec["paramRef"]),
            actions: items(spec, &["validationActions"]).to_vec(),
        }
    }
}

pub(super) fn param_kind(spec: &Value) -> Option<GroupVersionKind> {
    let kind = &spec["paramKind"];
    kind.is_object()
        .then(|| GroupVersionKind::from_api_version(text(kind, &["apiVersion"]), text(kind, &["kind"])))
}

/// Each sees those before it. One that does not compile is unknown to those that use it.
pub(super) fn variables(spec: &Value, base: &Environment) -> Variables {
    let mut variables = Variables::new();
    for variable in items(spec, &["variables"]) {
        let environment = base.clone().variable("variables", variables.decl());
        let (name, source) = (text(variable, &["name"]), text(variable, &["expression"]));
        match compile(&environment, source, Returns::Any) {
            Ok(program) => variables.add(name, Arc::new(program)),
            Err(error) => tracing::warn!(variable = name, error, "a variable does not compile"),
        }
    }
    variables
}
