//! What one mutation of a MutatingAdmissionPolicy makes of an object. Pure but for the authorizer.

use oarlock_api::{GroupVersionKind, Schema, apply, meta, patch};
use oarlock_cel::EvalError;
use serde_json::Value;

use super::definition::{Environments, Policy};
use crate::World;
use crate::expressions::{Asker, BUDGET, Compiled, Inputs, Pending, Returns, compile};
use crate::facts::Facts;
use crate::metrics::timed_evaluation;
use crate::value::{items, text};

/// All mutations of a policy.
pub(super) struct Mutations {
    pub(super) all: Vec<Mutation>,
    /// `reinvocationPolicy: IfNeeded`
    pub(super) if_needed: bool,
}

pub(super) enum Mutation {
    /// Merged as server-side apply merges.
    Apply(String, Compiled),
    JsonPatch(String, Compiled),
}

/// Why a mutation did not come about.
#[derive(Debug)]
pub(super) enum Trouble {
    Pending(Pending),
    /// The failure policy decides.
    Failed(String),
    /// Refused whatever the failure policy.
    Internal(String),
}

impl Mutations {
    pub(super) fn of(spec: &Value, environments: &Environments) -> Self {
        let all = items(spec, &["mutations"]).iter().map(|mutation| {
            let source = |field: &str| text(mutation, &[field, "expression"]).to_string();
            if mutation["patchType"] == "JSONPatch" {
                let source = source("jsonPatch");
                let program = compile(&environments.rules, &source, Returns::Patches);
                Mutation::JsonPatch(source, program)
            } else {
                let source = source("applyConfiguration");
                let program = compile(&environments.rules, &source, Returns::Object);
                Mutation::Apply(source, program)
            }
        });
        Self { all: all.collect(), if_needed: spec["reinvocationPolicy"] == "IfNeeded" }
    }
}

/// The object after a mutation, not yet read back against its kind.
pub(super) fn mutate<'a>(
    world: &World,
    policy: &'a Policy<Mutations>,
    mutation: &'a Mutation,
    (facts, kind): (&Facts<'_>, &GroupVersionKind),
    inputs: &Inputs<'a>,
    asker: &'a Asker,
) -> Result<Value, Trouble> {
    let object = inputs.objects.object.unwrap_or(&Value::Null);
    let (Mutation::Apply(source, program) | Mutation::JsonPatch(source, program)) = mutation;
    let program = program.as_ref().map_err(|why| Trouble::Failed(why.clone()))?;
    let mut activation = inputs.activation(facts, asker);
    activation.variables(&policy.variables);
    let evaluated = timed_evaluation(|| program.evaluate(&activation, BUDGET));
    let value = evaluated.value.map_err(|error| match error {
        EvalError::Pending(check) => Trouble::Pending(check),
        EvalError::Budget => Trouble::Failed(error.to_string()),
        error => Trouble::Failed(format!("expression '{source}' resulted in error: {error}")),
    })?;
    let mismatch = |why| Trouble::Failed(format!("type mismatch: {why}"));
    value.check_object_names().map_err(mismatch)?;
    let json = value.to_json();
    match mutation {
        Mutation::Apply(..) => {
            let config = json.map_err(|e| Trouble::Failed(e.to_string()))?;
            merge(&world.schema(kind), kind, object, config)
        }
        Mutation::JsonPatch(..) => {
            let told = "JSONPath valueExpression evaluated to a type that could not marshal to JSON";
            let operations = json.map_err(|e| Trouble::Failed(format!("{told}: {e}")))?;
            patched(world, kind, object, &operations)
        }
    }
}

fn merge(
    schema: &Schema,
    kind: &GroupVersionKind,
    object: &Value,
    mut config: Value,
) -> Result<Value, Trouble> {
    meta::set_gvk(&mut config, kind);
    let merged = apply::merge_unowned(schema, object, &config);
    merged.map_err(|why| Trouble::Failed(format!("error applying patch: {why}")))
}

fn patched(
    world: &World,
    kind: &GroupVersionKind,
    object: &Value,
    operations: &Value,
) -> Result<Value, Trouble> {
    let written = world.on_the_wire(kind, object).map_err(|status| Trouble::Internal(status.message))?;
    match patch::json_patch(&written, operations.to_string().as_bytes()) {
        Ok(patched) => Ok(patched),
        // A `test` that does not hold: the patch is not meant for this object.
        Err(patch::PatchError::Inapplicable(why)) if why.ends_with("test failed") => Ok(object.clone()),
        Err(why) => Err(Trouble::Failed(format!("JSONPath: {why}"))),
    }
}
