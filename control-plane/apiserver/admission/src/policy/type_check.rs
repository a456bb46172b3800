//! Checks a policy's expressions against the types that it names: warnings for its status, nothing that changes what it
//! does. Pure: a policy and what is served, in; a status, out.

use std::collections::BTreeSet;
use std::sync::Arc;

use oarlock_api::{GroupVersionKind, GroupVersionResource, Schema, Table};
use oarlock_apiserver_access::Surface;
use oarlock_cel::{Decl, Environment, Type, Variables};
use serde_json::{Map, Value, json};

use super::definition::param_kind;
use crate::expressions::Scope;
use crate::value::{items, text, texts};

/// More types than these are not checked.
const TYPES_MAX: usize = 10;

/// The status that a ValidatingAdmissionPolicy should have for its present generation.
pub fn type_check(policy: &Value, surface: &dyn Surface) -> Value {
    let warnings = warnings(&policy["spec"], surface);
    let mut checking = Map::new();
    if !warnings.is_empty() {
        checking.insert("expressionWarnings".into(), warnings.into());
    }
    json!({
        "observedGeneration": policy["metadata"]["generation"].as_i64().unwrap_or_default(),
        "typeChecking": checking,
    })
}

fn warnings(spec: &Value, surface: &dyn Surface) -> Vec<Value> {
    let params = param_kind(spec).and_then(|kind| decl(surface, &kind));
    let environments: Vec<(GroupVersionKind, Environment)> = kinds(spec, surface)
        .into_iter()
        .filter_map(|kind| {
            let environment = environment(spec, decl(surface, &kind)?, params.clone());
            Some((kind, environment))
        })
        .collect();
    let mut warnings = Vec::new();
    for (index, rule) in items(spec, &["validations"]).iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let source = text(rule, &[field]);
            if source.is_empty() && field == "messageExpression" {
                continue;
            }
            let issues: Vec<String> = environments
                .iter()
                .filter_map(|(kind, environment)| {
                    let error = environment.compile(source).err()?;
                    Some(format!("{kind}: {}\n", error.issues()))
                })
                .collect();
            if !issues.is_empty() {
                let field_ref = format!("spec.validations[{index}].{field}");
                warnings.push(json!({"fieldRef": field_ref, "warning": issues.join("\n")}));
            }
        }
    }
    warnings
}

fn environment(spec: &Value, object: Decl, params: Option<Decl>) -> Environment {
    let scope = Scope::policy(params.is_some());
    let base = scope.environment_of(object, params.unwrap_or_default());
    let mut variables = Variables::new();
    for variable in items(spec, &["variables"]) {
        let environment = base.clone().variable("variables", variables.decl());
        // A variable that does not compile is an unknown one to those that use it.
        if let Ok(program) = environment.compile(text(variable, &["expression"])) {
            variables.add(text(variable, &["name"]), Arc::new(program));
        }
    }
    base.variable("variables", variables.decl())
}

fn decl(surface: &dyn Surface, kind: &GroupVersionKind) -> Option<Decl> {
    match surface.schema(kind).or_else(|| Table::builtin().type_for(kind).map(Schema::Typed))? {
        Schema::Typed(ty) => Some(Decl::of(ty)),
        Schema::Structural(schema) => Decl::from_structural(&schema, true),
        Schema::Deduced => Some(Type::Dyn.into()),
    }
}

/// The kinds that the rules name without wildcards, sorted.
fn kinds(spec: &Value, surface: &dyn Surface) -> BTreeSet<GroupVersionKind> {
    let mut kinds = BTreeSet::new();
    for rule in items(spec, &["matchConstraints", "resourceRules"]) {
        let (Some(groups), Some(versions)) = (named(rule, "apiGroups"), named(rule, "apiVersions")) else {
            continue;
        };
        let mut resources = texts(rule, &["resources"]);
        resources.retain(|resource| !resource.contains(['*', '/']));
        resources.sort();
        for group in &groups {
            for version in &versions {
                for resource in &resources {
                    let served = surface.resource(&GroupVersionResource::new(group, version, resource));
                    kinds.extend(served.map(|served| served.kind));
                    if kinds.len() == TYPES_MAX {
                        return kinds;
                    }
                }
            }
        }
    }
    kinds
}

fn named(rule: &Value, field: &str) -> Option<Vec<String>> {
    let mut names = texts(rule, &[field]);
    names.sort();
    (!names.iter().any(|name| name.contains('*'))).then_some(names)
}
