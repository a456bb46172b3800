//! Operations: names resolved to places, functions to code, chains of selections gathered, constants worked out.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use super::Meter;
use crate::activation::Activation;
use crate::check::{Checked, Reference};
use crate::expr::{Id, Kind, Literal, op};
use crate::functions::{self, Call, Function, Overload};
use crate::re2;
use crate::types::{Object, Type};
use crate::value::{Key, Map, Value};

/// The index of an operation.
pub(super) type OpId = u32;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) ops: Vec<Op>,
    pub(super) root: OpId,
    /// The places that variables of macros need.
    pub(super) locals: usize,
}

#[derive(Debug)]
pub(super) enum Op {
    Constant(Value<'static>),
    Attribute(Box<Attribute>),
    Call(Box<CallOp>),
    And(OpId, OpId),
    Or(OpId, OpId),
    /// Everything but false, errors included.
    NotStrictlyFalse(OpId),
    OptionalOr(OpId, OpId),
    OptionalOrValue(OpId, OpId),
    Conditional(OpId, OpId, OpId),
    List(Box<[(OpId, bool)]>),
    Map(Box<[(OpId, OpId, bool)]>),
    Struct(Object, Box<[(Arc<str>, OpId, bool)]>),
    Fold(Box<FoldOp>),
    /// A name for a value: place, value, and what is made of it.
    Bind(usize, OpId, OpId),
}

/// A variable, or a computed value, and what is selected of it.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) base: Base,
    pub(super) path: Vec<Qualifier>,
    /// `has()`: whether the last part is there.
    pub(super) test: bool,
}

#[derive(Debug)]
pub(super) enum Base {
    Variable(usize),
    Local(usize),
    Computed(OpId),
}

#[derive(Debug)]
pub(super) enum Qualifier {
    Field { name: Box<str>, optional: bool },
    Index { index: OpId, optional: bool },
}

#[derive(Debug)]
pub(super) struct CallOp {
    pub(super) function: &'static Function,
    /// Where the types left no choice.
    pub(super) overload: Option<&'static Overload>,
    pub(super) args: Box<[OpId]>,
    pub(super) regex: Option<Regex>,
    /// The first argument is an accumulator that nobody reads again before it is set: it is taken, not copied.
    pub(super) takes: Option<usize>,
    /// Membership in a written list of simple values; upstream looks into a set, which it does not charge.
    pub(super) free: bool,
}

#[derive(Debug)]
pub(super) struct FoldOp {
    pub(super) range: OpId,
    pub(super) var: usize,
    pub(super) var2: Option<usize>,
    pub(super) accu: usize,
    pub(super) init: OpId,
    pub(super) condition: OpId,
    pub(super) step: OpId,
    pub(super) result: OpId,
}

struct Planner<'c> {
    checked: &'c Checked,
    /// By declared variable: its place among those that are used.
    slots: &'c [Option<usize>],
    folds: bool,
    ops: Vec<Op>,
    scopes: Vec<(&'c str, usize)>,
    locals: usize,
}

/// `slots`: by declared variable, its place among those that are used. `folds`: what is constant is worked out now.
pub(crate) fn plan(checked: &Checked, slots: &[Option<usize>], folds: bool) -> Plan {
    let mut planner = Planner { checked, slots, folds, ops: Vec::new(), scopes: Vec::new(), locals: 0 };
    let root = planner.node(checked.expr.root);
    Plan { ops: planner.ops, root, locals: planner.locals }
}

impl<'c> Planner<'c> {
    fn push(&mut self, op: Op) -> OpId {
        self.ops.push(op);
        (self.ops.len() - 1) as OpId
    }

    fn constant(&self, id: OpId) -> Option<&Value<'static>> {
        match &self.ops[id as usize] {
            Op::Constant(value) => Some(value),
            _ => None,
        }
    }

    fn node(&mut self, id: Id) -> OpId {
        let checked = self.checked;
        match checked.expr.kind(id) {
            Kind::Literal(literal) => self.push(Op::Constant(value_of(literal))),
            Kind::Ident(name) => self.ident(id, name),
            Kind::Select { operand, field, test } => {
                self.select(*operand, Qualifier::Field { name: field.clone(), optional: false }, *test)
            }
            Kind::Call { function, target, args } => self.call(id, function, *target, args),
            Kind::List(elements) => {
                let elements: Box<[(OpId, bool)]> =
                    elements.iter().map(|e| (self.node(e.value), e.optional)).collect();
                self.list(elements)
            }
            Kind::Map(entries) => {
                let entries =
                    entries.iter().map(|e| (self.node(e.key), self.node(e.value), e.optional)).collect();
                self.map(entries)
            }
            Kind::Struct { fields, .. } => {
                let Type::Object(object) = &checked.types[id as usize] else {
                    return self.push(Op::Constant(Value::Null));
                };
                let fields =
                    fields.iter().map(|f| ((&*f.name).into(), self.node(f.value), f.optional)).collect();
                self.push(Op::Struct(object.clone(), fields))
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&mut self, id: Id, name: &'c str) -> OpId {
        let base = match &self.checked.references[id as usize] {
            Reference::Variable(index) => {
                Base::Variable(self.slots[*index].expect("a variable that is used has a place"))
            }
            Reference::Type(ty) => return self.push(Op::Constant(Value::Type(ty.clone()))),
            _ => {
                let place =
                    self.scopes.iter().rev().find(|(scoped, _)| *scoped == name).map(|(_, place)| *place);
                Base::Local(place.expect("a checked name is in scope"))
            }
        };
        self.push(Op::Attribute(Box::new(Attribute { base, path: Vec::new(), test: false })))
    }

    /// One more selection, on the attribute that the operand is, or on its value.
    fn select(&mut self, operand: Id, qualifier: Qualifier, test: bool) -> OpId {
        let operand = self.node(operand);
        self.qualify(operand, qualifier, test)
    }

    fn qualify(&mut self, operand: OpId, qualifier: Qualifier, test: bool) -> OpId {
        if let Op::Attribute(attribute) = &mut self.ops[operand as usize]
            && !attribute.test
        {
            attribute.path.push(qualifier);
            attribute.test = test;
            return operand;
        }
        self.push(Op::Attribute(Box::new(Attribute {
            base: Base::Computed(operand),
            path: vec![qualifier],
            test,
        })))
    }

    fn call(&mut self, id: Id, name: &str, target: Option<Id>, args: &[Id]) -> OpId {
        let Reference::Call(function, overloads) = &self.checked.references[id as usize] else {
            return self.push(Op::Constant(Value::Null));
        };
        match (name, target, args) {
            (op::OPT_SELECT, None, [operand, field]) => {
                let Kind::Literal(Literal::String(field)) = self.checked.expr.kind(*field) else {
                    return self.push(Op::Constant(Value::Null));
                };
                return self.select(
                    *operand,
                    Qualifier::Field { name: field.clone(), optional: true },
                    false,
                );
            }
            (op::INDEX | op::OPT_INDEX, None, [operand, index]) => {
                let operand = self.node(*operand);
                let index = self.node(*index);
                let optional = name == op::OPT_INDEX;
                return self.qualify(operand, Qualifier::Index { index, optional }, false);
            }
            _ => {}
        }
        let args: Vec<OpId> = target.iter().chain(args).map(|&arg| self.node(arg)).collect();
        let special = match (name, args.as_slice()) {
            (op::LOGICAL_AND, &[a, b]) => Some(Op::And(a, b)),
            (op::LOGICAL_OR, &[a, b]) => Some(Op::Or(a, b)),
            (op::CONDITIONAL, &[c, a, b]) => Some(Op::Conditional(c, a, b)),
            (op::NOT_STRICTLY_FALSE, &[a]) => Some(Op::NotStrictlyFalse(a)),
            ("or", &[a, b]) => Some(Op::OptionalOr(a, b)),
            ("orValue", &[a, b]) => Some(Op::OptionalOrValue(a, b)),
            _ => None,
        };
        match special {
            Some(op) => self.push(op),
            None => {
                let overload = if overloads.len() == 1 { overloads.first().copied() } else { None };
                self.plain_call(function, overload, args)
            }
        }
    }

    fn plain_call(
        &mut self,
        function: &'static Function,
        overload: Option<&'static Overload>,
        args: Vec<OpId>,
    ) -> OpId {
        if self.folds
            && functions::is_conversion(function.name)
            && let [Some(value)] = args.iter().map(|&arg| self.constant(arg)).collect::<Vec<_>>()[..]
        {
            let (activation, meter) = (Activation::new(), Meter::unlimited());
            let call = Call { activation: &activation, meter: &meter, overload, regex: None };
            let args = [value.clone()];
            if let Ok(value) = (function.run.0)(&call, &args) {
                return self.push(Op::Constant(value));
            }
        }
        let pattern = match (function.name, args.as_slice()) {
            ("matches" | "find" | "findAll", [_, pattern, ..]) => {
                self.constant(*pattern).and_then(Value::as_str)
            }
            _ => None,
        };
        let regex = pattern.and_then(|pattern| re2::compile(pattern).ok());
        let takes = match (function.name, args.first().map(|&first| &self.ops[first as usize])) {
            (op::ADD | op::MAP_INSERT, Some(Op::Attribute(first))) if first.path.is_empty() => {
                match first.base {
                    Base::Local(place) => self
                        .scopes
                        .iter()
                        .any(|(name, p)| *p == place && *name == crate::expr::ACCU)
                        .then_some(place),
                    _ => None,
                }
            }
            _ => None,
        };
        let free = self.folds
            && overload.is_some_and(|overload| overload.id == "in_list")
            && matches!(self.constant(args[1]), Some(Value::List(list)) if list.iter().all(|item| item.is_ok_and(is_simple)));
        self.push(Op::Call(Box::new(CallOp { function, overload, args: args.into(), regex, takes, free })))
    }

    fn list(&mut self, elements: Box<[(OpId, bool)]>) -> OpId {
        if self.folds && elements.iter().all(|(_, optional)| !optional) {
            let constants: Option<Vec<Value<'static>>> =
                elements.iter().map(|(id, _)| self.constant(*id).cloned()).collect();
            if let Some(values) = constants {
                return self.push(Op::Constant(Value::list(values)));
            }
        }
        self.push(Op::List(elements))
    }

    fn map(&mut self, entries: Box<[(OpId, OpId, bool)]>) -> OpId {
        if self.folds && entries.iter().all(|(_, _, optional)| !optional) {
            let constants: Option<Vec<(Key<'static>, Value<'static>)>> = entries
                .iter()
                .map(|(key, value, _)| Some((Key::of(self.constant(*key)?)?, self.constant(*value)?.clone())))
                .collect();
            let map: Option<BTreeMap<Key<'static>, Value<'static>>> =
                constants.map(|list| list.into_iter().collect());
            // A key that comes twice is an error when it runs.
            if let Some(map) = map.filter(|map| map.len() == entries.len()) {
                return self.push(Op::Constant(Value::Map(Map::Made(Arc::new(map)))));
            }
        }
        self.push(Op::Map(entries))
    }

    fn fold(&mut self, fold: &'c crate::expr::Fold) -> OpId {
        let outside = self.scopes.len();
        let range = self.node(fold.range);
        let init = self.node(fold.init);
        let accu = self.place(&fold.accu);
        if self.checked.expr.is_bind(fold) {
            let result = self.node(fold.result);
            self.scopes.truncate(outside);
            return self.push(Op::Bind(accu, init, result));
        }
        let var = self.place(&fold.var);
        let var2 = fold.var2.as_deref().map(|name| self.place(name));
        let condition = self.node(fold.condition);
        let step = self.node(fold.step);
        self.scopes.truncate(outside + 1);
        let result = self.node(fold.result);
        self.scopes.truncate(outside);
        self.push(Op::Fold(Box::new(FoldOp { range, var, var2, accu, init, condition, step, result })))
    }

    fn place(&mut self, name: &'c str) -> usize {
        self.scopes.push((name, self.locals));
        self.locals += 1;
        self.locals - 1
    }
}

fn is_simple(value: Value<'_>) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_))
}

fn value_of(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(i) => Value::Int(*i),
        Literal::Uint(u) => Value::Uint(*u),
        Literal::Double(d) => Value::Double(*d),
        Literal::String(text) => Value::text(&**text),
        Literal::Bytes(bytes) => Value::Bytes((&**bytes).into()),
    }
}
