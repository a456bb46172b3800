//! The authorizer: `authorizer.group("apps").resource("deployments").namespace("x").check("create").allowed()`.

use std::sync::Arc;

use super::{Call, Outcome, Row, no_overload, row};
use crate::authorizer::{AuthorizerCheck, CheckResult, ResourceCheck, Subject, Target};
use crate::error::EvalError;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    row("path", &[("authorizer_path", ".Authorizer, string -> PathCheck")], |_, args| match args {
        [Value::Library(Opaque::Authorizer(_)), Value::String(path)] if path.trim().is_empty() => {
            Err(EvalError::message("path must not be empty"))
        }
        [Value::Library(Opaque::Authorizer(user)), Value::String(path)] => {
            Ok(Value::Library(Opaque::PathCheck(Arc::new(((**user).clone(), path.to_string())))))
        }
        _ => no_overload(),
    }),
    row("group", &[("authorizer_group", ".Authorizer, string -> GroupCheck")], |_, args| match args {
        [Value::Library(Opaque::Authorizer(user)), Value::String(group)] => {
            Ok(Value::Library(Opaque::GroupCheck(Arc::new(((**user).clone(), group.to_string())))))
        }
        _ => no_overload(),
    }),
    row(
        "serviceAccount",
        &[("authorizer_serviceaccount", ".Authorizer, string, string -> Authorizer")],
        |_, args| {
            let [Value::Library(Opaque::Authorizer(_)), Value::String(namespace), Value::String(name)] = args
            else {
                return no_overload();
            };
            if !oarlock_api::selector::dns1123_subdomain_faults(name).is_empty() {
                return Err(EvalError::message("Invalid service account name"));
            }
            if namespace.contains('.')
                || namespace.len() > 63
                || !oarlock_api::selector::dns1123_subdomain_faults(namespace).is_empty()
            {
                return Err(EvalError::message("Invalid service account namespace"));
            }
            let subject =
                Subject::ServiceAccount { namespace: namespace.to_string(), name: name.to_string() };
            Ok(Value::Library(Opaque::Authorizer(Arc::new(subject))))
        },
    ),
    row(
        "resource",
        &[("groupcheck_resource", ".GroupCheck, string -> ResourceCheck")],
        |_, args| match args {
            [Value::Library(Opaque::GroupCheck(_)), Value::String(resource)]
                if resource.trim().is_empty() =>
            {
                Err(EvalError::message("resource must not be empty"))
            }
            [Value::Library(Opaque::GroupCheck(check)), Value::String(resource)] => {
                let (user, group) = (**check).clone();
                let check =
                    ResourceCheck { group, resource: resource.to_string(), ..ResourceCheck::default() };
                Ok(resource_check(user, check))
            }
            _ => no_overload(),
        },
    ),
    row(
        "subresource",
        &[("resourcecheck_subresource", ".ResourceCheck, string -> ResourceCheck")],
        |_, args| narrow(args, |check, value| check.subresource = value),
    ),
    row("namespace", &[("resourcecheck_namespace", ".ResourceCheck, string -> ResourceCheck")], |_, args| {
        narrow(args, |check, value| check.namespace = value)
    }),
    row("name", &[("resourcecheck_name", ".ResourceCheck, string -> ResourceCheck")], |_, args| {
        narrow(args, |check, value| check.name = value)
    }),
    row(
        "fieldSelector",
        &[("authorizer_fieldselector", ".ResourceCheck, string -> ResourceCheck")],
        |_, args| narrow(args, |check, value| check.field_selector = value),
    ),
    row(
        "labelSelector",
        &[("authorizer_labelselector", ".ResourceCheck, string -> ResourceCheck")],
        |_, args| narrow(args, |check, value| check.label_selector = value),
    ),
    row(
        "check",
        &[
            ("pathcheck_check", ".PathCheck, string -> Decision"),
            ("resourcecheck_check", ".ResourceCheck, string -> Decision"),
        ],
        check,
    ),
    row("allowed", &[("decision_allowed", ".Decision -> bool")], |_, args| match args {
        [Value::Library(Opaque::Decision(decision))] => Ok(Value::Bool(decision.allowed)),
        _ => no_overload(),
    }),
    row("reason", &[("decision_reason", ".Decision -> string")], |_, args| match args {
        [Value::Library(Opaque::Decision(decision))] => Ok(Value::text(decision.reason.as_str())),
        _ => no_overload(),
    }),
    row("errored", &[("decision_errored", ".Decision -> bool")], |_, args| match args {
        [Value::Library(Opaque::Decision(decision))] => Ok(Value::Bool(decision.error.is_some())),
        _ => no_overload(),
    }),
    row("error", &[("decision_error", ".Decision -> string")], |_, args| match args {
        [Value::Library(Opaque::Decision(decision))] => {
            Ok(Value::text(decision.error.clone().unwrap_or_default()))
        }
        _ => no_overload(),
    }),
];

pub(crate) fn resource_check<'a>(user: Subject, check: ResourceCheck) -> Value<'a> {
    Value::Library(Opaque::ResourceCheck(Arc::new((user, check))))
}

fn narrow<'a>(args: &[Value<'a>], set: impl Fn(&mut ResourceCheck, String)) -> Outcome<'a> {
    let [Value::Library(Opaque::ResourceCheck(check)), Value::String(value)] = args else {
        return no_overload();
    };
    let (user, mut check) = (**check).clone();
    set(&mut check, value.to_string());
    Ok(resource_check(user, check))
}

fn check<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (user, target, verb) = match args {
        [Value::Library(Opaque::PathCheck(check)), Value::String(verb)] => {
            (check.0.clone(), Target::Path(check.1.clone()), verb)
        }
        [Value::Library(Opaque::ResourceCheck(check)), Value::String(verb)] => {
            (check.0.clone(), Target::Resource(check.1.clone()), verb)
        }
        _ => return no_overload(),
    };
    let Some(authorizer) = call.activation.authorizer_trait() else {
        return Err(EvalError::message("no authorizer is available"));
    };
    let check = AuthorizerCheck { user, verb: verb.to_string(), target };
    match authorizer.check(&check) {
        CheckResult::Decided(decision) => Ok(Value::Library(Opaque::Decision(Arc::new(decision)))),
        CheckResult::Pending => Err(EvalError::Pending(Box::new(check))),
    }
}
