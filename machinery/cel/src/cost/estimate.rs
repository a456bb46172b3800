//! What an expression can cost at most: a walk over the checked tree with the sizes that declarations promise.

use super::size::{CostEstimate, SizeEstimate};
use super::{IDENT, LIST, MAP, STRUCT};
use crate::check::{Checked, Reference};
use crate::environment::Environment;
use crate::expr::{ACCU, Entry, Fold, Id, Kind, Literal, op};
use crate::types::{Decl, Type};

/// The sizes of what is in a list or map: the keys (or indices), and the values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members {
    is_list: bool,
    keys: SizeEstimate,
    values: SizeEstimate,
}

/// What a call costs besides its arguments, and the size of its result.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallCost {
    pub(super) cost: CostEstimate,
    pub(super) result: Option<SizeEstimate>,
}

/// Where a value comes from, as upstream follows it by names.
#[derive(Clone, Copy, Default)]
enum Place<'c> {
    /// Computed: no name leads there. Upstream takes the first name below it for that of the variable, so that what is
    /// below is looked for in the object itself.
    #[default]
    Nowhere,
    /// From a declared variable.
    At(&'c Decl),
    /// Below a declared variable, where nothing is declared.
    Lost,
}

impl<'c> Place<'c> {
    fn decl(self) -> Option<&'c Decl> {
        match self {
            Self::At(decl) => Some(decl),
            Self::Nowhere | Self::Lost => None,
        }
    }
}

impl<'c> From<Option<&'c Decl>> for Place<'c> {
    fn from(decl: Option<&'c Decl>) -> Self {
        decl.map_or(Self::Lost, Self::At)
    }
}

/// What is known of a value before it is there.
#[derive(Clone, Copy, Default)]
struct Known<'c> {
    place: Place<'c>,
    size: Option<SizeEstimate>,
    members: Option<Members>,
}

/// The walk. Costs come up from the leaves; what they say of values stays beside the nodes, for calls ask for it.
pub(super) struct Reckoner<'c> {
    environment: &'c Environment,
    pub(super) checked: &'c Checked,
    /// By node.
    known: Vec<Known<'c>>,
    /// The variables of the macros around, the innermost last.
    locals: Vec<(&'c str, Known<'c>)>,
}

pub(crate) fn estimate(environment: &Environment, checked: &Checked) -> CostEstimate {
    let known = vec![Known::default(); checked.expr.nodes.len()];
    Reckoner { environment, checked, known, locals: Vec::new() }.cost(checked.expr.root)
}

/// The costs of some nodes together.
fn together(costs: impl IntoIterator<Item = CostEstimate>) -> CostEstimate {
    costs.into_iter().fold(CostEstimate::default(), CostEstimate::add)
}

/// The size of any of these; none are of no size.
fn any_of(sizes: impl IntoIterator<Item = SizeEstimate>) -> SizeEstimate {
    sizes.into_iter().reduce(SizeEstimate::union).unwrap_or(SizeEstimate::fixed(0))
}

impl<'c> Reckoner<'c> {
    fn cost(&mut self, id: Id) -> CostEstimate {
        let checked = self.checked;
        match checked.expr.kind(id) {
            Kind::Literal(_) => CostEstimate::default(),
            Kind::Ident(name) => {
                self.tell(id).place = match self.local(name) {
                    Some(local) => local.place,
                    None => self.environment.find(name).map(|(_, decl)| decl).into(),
                };
                CostEstimate::fixed(IDENT)
            }
            Kind::Select { operand, test: true, .. } => self.cost(*operand),
            Kind::Select { operand, field, .. } => {
                let cost = self.cost(*operand);
                self.tell(id).place = self.below(*operand, |decl| field_of(decl, field));
                let is_looked_up = matches!(self.ty(*operand), Type::Map(_) | Type::Object(_));
                cost.add(CostEstimate::fixed(if is_looked_up { IDENT } else { 0 }))
            }
            Kind::Call { function, target, args } => self.call(id, function, *target, args),
            Kind::List(elements) => {
                let cost = together(elements.iter().map(|element| self.cost(element.value)));
                let values = any_of(elements.iter().map(|element| self.size_or_unknown(element.value)));
                self.tell(id).members = Some(Members { is_list: true, keys: SizeEstimate::fixed(1), values });
                cost.add(CostEstimate::fixed(LIST))
            }
            Kind::Map(entries) => self.map(id, entries),
            Kind::Struct { fields, .. } => {
                let cost = together(fields.iter().map(|field| self.cost(field.value)));
                cost.add(CostEstimate::fixed(STRUCT))
            }
            Kind::Fold(fold) if checked.expr.is_bind(fold) => self.bind(id, fold),
            Kind::Fold(fold) => self.fold(id, fold),
        }
    }

    fn map(&mut self, id: Id, entries: &'c [Entry]) -> CostEstimate {
        let cost = together(entries.iter().map(|entry| self.cost(entry.key).add(self.cost(entry.value))));
        let keys = any_of(entries.iter().map(|entry| self.size_or_unknown(entry.key)));
        let values = any_of(entries.iter().map(|entry| self.size_or_unknown(entry.value)));
        self.tell(id).members = Some(Members { is_list: false, keys, values });
        cost.add(CostEstimate::fixed(MAP))
    }

    fn of(&self, id: Id) -> Known<'c> {
        self.known[id as usize]
    }

    /// One step from where a value comes.
    fn below(&self, id: Id, step: impl FnOnce(&'c Decl) -> Option<&'c Decl>) -> Place<'c> {
        match self.of(id).place {
            Place::Nowhere => self.environment.find(ROOT).map_or(Place::Nowhere, |(_, root)| Place::At(root)),
            Place::At(decl) => step(decl).into(),
            Place::Lost => Place::Lost,
        }
    }

    fn tell(&mut self, id: Id) -> &mut Known<'c> {
        &mut self.known[id as usize]
    }

    fn ty(&self, id: Id) -> &'c Type {
        &self.checked.types[id as usize]
    }

    fn local(&self, name: &str) -> Option<&Known<'c>> {
        self.locals.iter().rev().find(|(local, _)| *local == name).map(|(_, known)| known)
    }

    fn call(&mut self, id: Id, function: &'c str, target: Option<Id>, args: &'c [Id]) -> CostEstimate {
        if let ("dyn", None, [arg]) = (function, target, args) {
            let cost = self.cost(*arg);
            self.copy(id, *arg);
            return cost.add(CostEstimate::fixed(1));
        }
        let arg_costs: Vec<CostEstimate> = args.iter().map(|&arg| self.cost(arg)).collect();
        let Reference::Call(_, overloads) = &self.checked.references[id as usize] else {
            return CostEstimate::default();
        };
        let on = target.map_or(CostEstimate::default(), |target| self.cost(target));
        let mut cost = NOTHING;
        let mut result: Option<SizeEstimate> = None;
        for overload in overloads {
            let call = self.overload_cost(id, function, overload.id, target, args, &arg_costs);
            cost = cost.union(call.cost);
            result = [result, call.result].into_iter().flatten().reduce(SizeEstimate::union);
            if let ("index_list" | "index_map", Some(&of)) = (overload.id, args.first()) {
                result = self.members(of).map(|members| members.values);
                self.tell(id).place = self.below(of, Decl::element);
            }
            result = result.or_else(|| self.size(id));
        }
        let known = self.tell(id);
        known.size = result.or(known.size);
        on.add(cost)
    }

    /// A node has the size and the members of another.
    fn copy(&mut self, id: Id, from: Id) {
        let (size, members) = (self.size(from), self.members(from));
        let known = self.tell(id);
        (known.size, known.members) = (size, members);
    }

    /// An overload with its arguments.
    fn overload_cost(
        &mut self,
        id: Id,
        function: &str,
        overload: &str,
        target: Option<Id>,
        args: &[Id],
        arg_costs: &[CostEstimate],
    ) -> CallCost {
        let sum = together(arg_costs.iter().copied());
        match (overload, args, arg_costs) {
            ("logical_and" | "logical_or", [_, _], [a, b]) => {
                return CallCost { cost: CostEstimate { min: a.min, max: a.add(*b).max }, result: None };
            }
            ("conditional", [_, a, b], [condition, yes, no]) => {
                let size = self.size_or_unknown(*a).union(self.size_or_unknown(*b));
                self.tell(id).members = both(self.members(*a), self.members(*b));
                return CallCost { cost: condition.add(yes.union(*no)), result: Some(size) };
            }
            ("add_string" | "add_bytes" | "add_list", [a, b], _) => {
                let added = both(self.members(*a), self.members(*b));
                let known = self.tell(id);
                known.members = added.or(known.members);
            }
            _ => {}
        }
        let call = self.estimate_call(function, overload, target, args);
        CallCost { cost: call.cost.add(sum), result: call.result }
    }

    fn bind(&mut self, id: Id, fold: &'c Fold) -> CostEstimate {
        let mut cost = self.cost(fold.range).add(self.cost(fold.init));
        self.push_accu(fold);
        cost = cost.add(self.cost(fold.result));
        self.locals.pop();
        self.copy(id, fold.result);
        cost
    }

    fn push_accu(&mut self, fold: &'c Fold) {
        let place = if &*fold.accu == ACCU { Place::Nowhere } else { self.of(fold.init).place };
        let (size, members) = (self.size(fold.init), self.members(fold.init));
        self.locals.push((&fold.accu, Known { place, size, members }));
    }

    /// Binds the variables of a loop: one sees the values of a list or the keys of a map, two see both.
    fn push_variables(&mut self, fold: &'c Fold) {
        let members = self.members(fold.range);
        let is_list = members.map_or(matches!(self.ty(fold.range), Type::List(_)), |members| members.is_list);
        let key = Known {
            place: self.below(fold.range, |decl| key_of(decl).filter(|_| !is_list)),
            size: members.map(|members| members.keys),
            members: None,
        };
        let value = Known {
            place: self.below(fold.range, Decl::element),
            size: members.map(|members| members.values),
            members: None,
        };
        match &fold.var2 {
            Some(second) => self.locals.extend([(&*fold.var, key), (&**second, value)]),
            None => self.locals.push((&fold.var, if is_list { value } else { key })),
        }
    }

    fn fold(&mut self, id: Id, fold: &'c Fold) -> CostEstimate {
        let before = together([fold.range, fold.init].map(|id| self.cost(id)));
        self.push_accu(fold);
        let outside = self.locals.len();
        self.push_variables(fold);
        let turn = together([fold.condition, fold.step].map(|id| self.cost(id)));
        self.locals.truncate(outside);
        let after = self.cost(fold.result);
        self.locals.pop();
        let turns = self.size_or_unknown(fold.range);
        match self.checked.expr.kind(fold.init) {
            Kind::Literal(_) => self.tell(id).size = self.size(fold.init),
            Kind::List(_) | Kind::Map(_) => {
                let members = self.members(fold.step).or(self.of(id).members);
                let known = self.tell(id);
                (known.size, known.members) = (Some(turns), members);
            }
            _ => {}
        }
        together([before, after, turns.by_cost(turn)])
    }

    pub(super) fn size_or_unknown(&self, id: Id) -> SizeEstimate {
        self.size(id).unwrap_or(SizeEstimate::UNKNOWN)
    }

    /// The size of a node's value: computed, written, declared, of its type, or of what a macro binds; in this order.
    pub(super) fn size(&self, id: Id) -> Option<SizeEstimate> {
        let kind = self.checked.expr.kind(id);
        let local = match kind {
            Kind::Ident(name) => self.local(name),
            _ => None,
        };
        let written = || match kind {
            Kind::Literal(literal) => Some(written_size(literal)),
            Kind::List(elements) => Some(elements.len() as u64),
            Kind::Map(entries) => Some(entries.len() as u64),
            _ => None,
        };
        let declared = || {
            let place = local.map_or(self.of(id).place, |local| local.place);
            place.decl().and_then(Decl::max_elements).map(|max| SizeEstimate { min: 0, max })
        };
        self.of(id)
            .size
            .or_else(|| written().map(SizeEstimate::fixed))
            .or_else(declared)
            .or_else(|| self.ty(id).is_scalar().then_some(SizeEstimate::fixed(1)))
            .or_else(|| local?.size)
    }

    fn members(&self, id: Id) -> Option<Members> {
        self.of(id).members.or_else(|| match self.checked.expr.kind(id) {
            Kind::Ident(name) => self.local(name)?.members,
            _ => None,
        })
    }

    /// The type and the size of a list's elements; none of what is no list.
    pub(super) fn element(&self, id: Id) -> Option<(&'c Type, SizeEstimate)> {
        let ty = match self.ty(id) {
            Type::List(list) => &list.element.ty,
            Type::Map(map) => &map.key.ty,
            Type::Optional(of) => of,
            _ => return None,
        };
        let max = self.of(id).place.decl().and_then(Decl::element).and_then(Decl::max_elements);
        Some((ty, max.map_or(SizeEstimate::UNKNOWN, |max| SizeEstimate { min: 0, max })))
    }

    /// The number that an argument is, if it is written.
    pub(super) fn written(&self, id: Id) -> Option<&'c Literal> {
        match self.checked.expr.kind(id) {
            Kind::Literal(literal) => Some(literal),
            _ => None,
        }
    }
}

/// The variable whose declaration has the sizes.
const ROOT: &str = "self";

/// The union of no costs.
const NOTHING: CostEstimate = CostEstimate { min: u64::MAX, max: 0 };

fn both(a: Option<Members>, b: Option<Members>) -> Option<Members> {
    let (a, b) = (a?, b?);
    Some(Members { is_list: a.is_list, keys: a.keys.union(b.keys), values: a.values.union(b.values) })
}

fn key_of(decl: &Decl) -> Option<&Decl> {
    match &decl.ty {
        Type::Map(map) => Some(&map.key),
        _ => None,
    }
}

/// The declaration of a field, as expressions call it. Of a map only where it is said that all values are alike, whatever
/// they are; of other maps upstream knows no sizes by a field's name.
fn field_of<'c>(decl: &'c Decl, name: &str) -> Option<&'c Decl> {
    match &decl.ty {
        Type::Object(object) => object.decl()?.exact(name).map(|field| &field.decl),
        Type::Map(map) if map.value.ty == Type::Any => Some(&map.value),
        _ => None,
    }
}

fn written_size(literal: &Literal) -> u64 {
    match literal {
        Literal::String(text) => text.chars().count() as u64,
        Literal::Bytes(bytes) => bytes.len() as u64,
        _ => 1,
    }
}

/// Operators whose names the estimate of calls knows.
pub(super) fn is_equality(function: &str) -> bool {
    function == op::EQUALS
}
