//! Running operations.

use std::sync::Arc;

use super::Meter;
use super::plan::{Attribute, Base, CallOp, Op, OpId, Plan, Qualifier};
use crate::activation::Activation;
use crate::cost;
use crate::error::EvalError;
use crate::functions::{self, Call};
use crate::types::{Decl, Object};
use crate::value::{Key, List, Made, Map, Text, Value, key_error};

pub(super) type Eval<'a> = Result<Value<'a>, EvalError>;

/// One evaluation.
pub(super) struct Run<'r, 'a> {
    pub(super) plan: &'a Plan,
    variables: &'a [(Arc<str>, Decl)],
    activation: &'r Activation<'a>,
    pub(super) meter: &'r Meter,
    /// What variables of macros are; an accumulator may be an error.
    pub(super) locals: Vec<Eval<'a>>,
    budget: u64,
    /// What `variables` of a policy cost beside.
    beside: u64,
}

/// The value, and what variables of a policy cost beside.
pub(crate) fn run<'a>(
    plan: &'a Plan,
    variables: &'a [(Arc<str>, Decl)],
    activation: &Activation<'a>,
    meter: &Meter,
    budget: u64,
) -> (Eval<'a>, u64) {
    let locals = (0..plan.locals).map(|_| Ok(Value::Null)).collect();
    let mut run = Run { plan, variables, activation, meter, locals, budget, beside: 0 };
    let value = run.eval(plan.root);
    (value, run.beside)
}

impl<'a> Run<'_, 'a> {
    pub(super) fn eval(&mut self, id: OpId) -> Eval<'a> {
        let plan = self.plan;
        if let Op::Constant(value) = &plan.ops[id as usize] {
            return Ok(borrowed(value));
        }
        self.activation.enter()?;
        let value = self.operation(id);
        self.activation.leave();
        value
    }

    fn operation(&mut self, id: OpId) -> Eval<'a> {
        let plan = self.plan;
        match &plan.ops[id as usize] {
            Op::Constant(value) => Ok(borrowed(value)),
            Op::Attribute(attribute) => self.attribute(attribute, cost::IDENT),
            Op::Call(call) => self.call(call),
            Op::And(a, b) => self.logic(*a, *b, false),
            Op::Or(a, b) => self.logic(*a, *b, true),
            Op::NotStrictlyFalse(a) => {
                let value = self.eval(*a);
                self.meter.charge(1)?;
                match value {
                    Err(error) if error.is_fatal() => Err(error),
                    Ok(Value::Bool(b)) => Ok(Value::Bool(b)),
                    _ => Ok(Value::Bool(true)),
                }
            }
            Op::OptionalOr(a, b) => match self.eval(*a)? {
                Value::Optional(None) => self.eval(*b),
                some => Ok(some),
            },
            Op::OptionalOrValue(a, b) => match self.eval(*a)? {
                Value::Optional(None) => self.eval(*b),
                Value::Optional(Some(inside)) => Ok((*inside).clone()),
                other => Ok(other),
            },
            Op::Conditional(condition, a, b) => match self.eval(*condition)? {
                Value::Bool(true) => self.branch(*a),
                Value::Bool(false) => self.branch(*b),
                _ => Err(EvalError::NoSuchOverload),
            },
            Op::List(elements) => self.list(elements),
            Op::Map(entries) => self.map(entries),
            Op::Struct(object, fields) => self.make(object, fields),
            Op::Fold(fold) => self.fold(fold),
            Op::Bind(place, value, result) => {
                let value = self.eval(*value);
                if let Err(error) = &value
                    && error.is_fatal()
                {
                    return value;
                }
                self.locals[*place] = value;
                self.eval(*result)
            }
        }
    }

    /// A branch that is but an attribute costs nothing for its name; so upstream reckons.
    fn branch(&mut self, id: OpId) -> Eval<'a> {
        let plan = self.plan;
        match &plan.ops[id as usize] {
            Op::Attribute(attribute) => self.attribute(attribute, 0),
            _ => self.eval(id),
        }
    }

    /// `&&` with `stop` false, `||` with `stop` true: one side that stops decides, whatever the other is.
    fn logic(&mut self, a: OpId, b: OpId, stop: bool) -> Eval<'a> {
        let first = self.eval(a);
        match &first {
            Ok(Value::Bool(decided)) if *decided == stop => return first,
            Err(error) if error.is_fatal() => return first,
            _ => {}
        }
        let second = self.eval(b);
        match &second {
            Ok(Value::Bool(decided)) if *decided == stop => return second,
            Err(error) if error.is_fatal() => return second,
            _ => {}
        }
        match (first?, second?) {
            (Value::Bool(_), Value::Bool(_)) => Ok(Value::Bool(!stop)),
            _ => Err(EvalError::NoSuchOverload),
        }
    }

    fn attribute(&mut self, attribute: &'a Attribute, name_cost: u64) -> Eval<'a> {
        let mut path = attribute.path.as_slice();
        // A test of presence costs its selections only.
        self.meter.charge(if attribute.test { 0 } else { name_cost })?;
        let mut value = match &attribute.base {
            Base::Local(place) => self.locals[*place].clone()?,
            Base::Computed(id) => self.eval(*id)?,
            Base::Variable(slot) => {
                let (name, decl) = &self.variables[*slot];
                match path.first() {
                    Some(Qualifier::Field { name: field, optional }) if &**name == "variables" => {
                        match self.policy_variable(field) {
                            Some(value) => {
                                self.meter.charge(1)?;
                                if attribute.test && path.len() == 1 {
                                    return value.map(|_| Value::Bool(true));
                                }
                                path = &path[1..];
                                if *optional { Value::optional(Some(value?)) } else { value? }
                            }
                            None => self.activation.lookup(name, decl)?,
                        }
                    }
                    _ => self.activation.lookup(name, decl)?,
                }
            }
        };
        for (at, qualifier) in path.iter().enumerate() {
            let test = attribute.test && at + 1 == path.len();
            value = self.qualified(value, qualifier, test)?;
        }
        Ok(value)
    }

    fn policy_variable(&mut self, name: &str) -> Option<Eval<'a>> {
        let left = self.budget.saturating_sub(self.meter.cost()).saturating_sub(self.beside);
        let (value, cost) = self.activation.variable(name, left)?;
        self.beside = self.beside.saturating_add(cost);
        Some(value)
    }

    fn qualified(&mut self, value: Value<'a>, qualifier: &'a Qualifier, test: bool) -> Eval<'a> {
        let (key, optional) = match qualifier {
            Qualifier::Field { name, optional } => {
                self.meter.charge(1)?;
                (Value::String(Text::Borrowed(name)), *optional)
            }
            Qualifier::Index { index, optional } => (self.index(*index)?, *optional),
        };
        // Of an optional the result is optional again.
        let (value, was_optional) = match value {
            Value::Optional(None) if test => return Ok(Value::Bool(false)),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inside)) => ((*inside).clone(), true),
            other => (other, false),
        };
        let found = select(&value, &key)?;
        if test {
            return Ok(Value::Bool(found.is_some()));
        }
        if optional || was_optional {
            return Ok(Value::optional(found));
        }
        found.ok_or_else(|| missing(&value, &key))
    }

    /// An index costs as much as a selection; one that is but an attribute costs what that costs.
    fn index(&mut self, id: OpId) -> Eval<'a> {
        let plan = self.plan;
        if !matches!(&plan.ops[id as usize], Op::Attribute(_)) {
            self.meter.charge(1)?;
        }
        self.eval(id)
    }

    fn call(&mut self, call: &'a CallOp) -> Eval<'a> {
        let mut args: smallvec::SmallVec<[Value<'a>; 3]> = smallvec::SmallVec::new();
        for (at, &arg) in call.args.iter().enumerate() {
            let value = match call.takes {
                Some(place) if at == 0 => {
                    self.meter.charge(cost::IDENT)?;
                    std::mem::replace(&mut self.locals[place], Ok(Value::Null))?
                }
                _ => self.eval(arg)?,
            };
            args.push(value);
        }
        if !call.free {
            let cost = cost::of_call(call.function.name, call.overload.map(|o| o.id), &args, self.meter)?;
            self.meter.charge(cost)?;
        }
        if call.takes.is_some() {
            let first = std::mem::take(&mut args[0]);
            return match call.function.name {
                crate::expr::op::ADD => functions::add(first, &args[1], self.meter),
                _ => functions::insert(first, &args[1..], self.meter),
            };
        }
        let context = Call {
            activation: self.activation,
            meter: self.meter,
            overload: call.overload,
            regex: call.regex.as_ref(),
        };
        let result = (call.function.run.0)(&context, &args)?;
        self.meter.charge(cost::of_result(call.function.name, &result))?;
        Ok(result)
    }

    fn list(&mut self, elements: &'a [(OpId, bool)]) -> Eval<'a> {
        let mut items = Vec::with_capacity(elements.len());
        for (id, optional) in elements {
            match (self.eval(*id)?, optional) {
                (value, false) => items.push(value),
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(inside)), true) => items.push((*inside).clone()),
                (_, true) => {
                    return Err(EvalError::message(
                        "cannot initialize optional list element from non-optional value",
                    ));
                }
            }
        }
        self.meter.charge(cost::LIST)?;
        Ok(Value::List(List::from(items)))
    }

    fn map(&mut self, entries: &'a [(OpId, OpId, bool)]) -> Eval<'a> {
        let mut map = std::collections::BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.eval(*key)?;
            let value = match (self.eval(*value)?, optional) {
                (value, false) => value,
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(inside)), true) => (*inside).clone(),
                (_, true) => {
                    return Err(EvalError::message(
                        "cannot initialize optional entry from non-optional value",
                    ));
                }
            };
            let name = match (&key, Key::of(&key)) {
                (Value::Double(_), _) | (_, None) => return Err(EvalError::message("unsupported key type")),
                (_, Some(name)) => name,
            };
            if map.insert(name, value).is_some() {
                return Err(EvalError::Message(format!(
                    "Failed with repeated key: {}",
                    crate::value::shown(&key)
                )));
            }
        }
        self.meter.charge(cost::MAP)?;
        Ok(Value::Map(Map::Made(Arc::new(map))))
    }

    fn make(&mut self, object: &'a Object, fields: &'a [(Arc<str>, OpId, bool)]) -> Eval<'a> {
        let mut made = Vec::with_capacity(fields.len());
        for (name, value, optional) in fields {
            match (self.eval(*value)?, optional) {
                (value, false) => made.push((name.clone(), value)),
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(inside)), true) => made.push((name.clone(), (*inside).clone())),
                (_, true) => {
                    return Err(EvalError::message(
                        "cannot initialize optional entry from non-optional value",
                    ));
                }
            }
        }
        self.meter.charge(cost::STRUCT)?;
        Ok(Value::Object(Arc::new(Made::new(object.clone(), made))))
    }
}

/// A constant, its text referred to.
fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::String(text) => Value::String(Text::Borrowed(text)),
        other => other.clone(),
    }
}

/// A field, an entry or an element; none if it is not there, or if there can be none.
fn select<'a>(value: &Value<'a>, key: &Value<'a>) -> Result<Option<Value<'a>>, EvalError> {
    match value {
        Value::Map(map) => map.get(key),
        Value::List(list) => match place(key)? {
            Some(at) => list.get(at).transpose(),
            None => Ok(None),
        },
        Value::Object(made) => match key {
            Value::String(name) => Ok(made.field(name)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// The place in a list; none before its start.
fn place(key: &Value<'_>) -> Result<Option<usize>, EvalError> {
    match key {
        Value::Int(at) => Ok(usize::try_from(*at).ok()),
        Value::Uint(at) => Ok(usize::try_from(*at).ok()),
        Value::Double(at) if at.trunc() == *at => Ok((*at >= 0.0).then_some(*at as usize)),
        other => Err(EvalError::Message(format!(
            "unsupported index type '{}' in list",
            other.type_of().runtime_name()
        ))),
    }
}

fn missing(value: &Value<'_>, key: &Value<'_>) -> EvalError {
    match (value, key) {
        (Value::List(_), Value::Int(at)) => EvalError::Index(*at),
        (Value::List(_), Value::Uint(at)) => EvalError::Index(*at as i64),
        (Value::List(_), Value::Double(at)) => EvalError::Index(*at as i64),
        _ => key_error(key),
    }
}
