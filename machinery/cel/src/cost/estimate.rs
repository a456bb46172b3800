//! What an expression can cost at most: a walk over the checked tree with the sizes that declarations promise.

use super::size::{CostEstimate, SizeEstimate};
use super::{IDENT, LIST, MAP, STRUCT};
use crate::check::{Checked, Reference};
use crate::environment::Environment;
use crate::expr::{ACCU, Entry, Fold, Id, Kind, Literal, op};
use crate::types::{Decl, Type};

/// The sizes of the keys (or indices) and the values of a list or map.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntrySize {
    list: bool,
    key: SizeEstimate,
    value: SizeEstimate,
}

/// What a call costs besides its arguments, and the size of its result.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallEstimate {
    pub(super) cost: CostEstimate,
    pub(super) result: Option<SizeEstimate>,
}

pub(super) struct Coster<'c> {
    environment: &'c Environment,
    pub(super) checked: &'c Checked,
    /// By node: the declaration that the node's value has, where it comes from a declared variable.
    decls: Vec<Option<&'c Decl>>,
    sizes: Vec<Option<SizeEstimate>>,
    entries: Vec<Option<EntrySize>>,
    locals: Vec<Local<'c>>,
}

/// A variable of a macro.
struct Local<'c> {
    name: &'c str,
    decl: Option<&'c Decl>,
    size: Option<SizeEstimate>,
    entry: Option<EntrySize>,
}

pub(crate) fn estimate(environment: &Environment, checked: &Checked) -> CostEstimate {
    let count = checked.expr.nodes.len();
    let mut coster = Coster {
        environment,
        checked,
        decls: vec![None; count],
        sizes: vec![None; count],
        entries: vec![None; count],
        locals: Vec::new(),
    };
    coster.cost(checked.expr.root)
}

impl<'c> Coster<'c> {
    fn cost(&mut self, id: Id) -> CostEstimate {
        let checked = self.checked;
        match checked.expr.kind(id) {
            Kind::Literal(_) => CostEstimate::default(),
            Kind::Ident(name) => {
                let local = self.local(name).map(|local| local.decl);
                self.decls[id as usize] =
                    local.unwrap_or_else(|| self.environment.find(name).map(|(_, decl)| decl));
                CostEstimate::fixed(IDENT)
            }
            Kind::Select { operand, test: true, .. } => self.cost(*operand),
            Kind::Select { operand, field, .. } => {
                let mut cost = self.cost(*operand);
                if matches!(self.ty(*operand), Type::Map(_) | Type::Object(_)) {
                    cost = cost.add(CostEstimate::fixed(IDENT));
                }
                self.decls[id as usize] =
                    self.decls[*operand as usize].and_then(|decl| field_of(decl, field));
                cost
            }
            Kind::Call { function, target, args } => self.call(id, function, *target, args),
            Kind::List(elements) => {
                let mut sizes = if elements.is_empty() { SizeEstimate::fixed(0) } else { NOTHING };
                let mut cost = CostEstimate::fixed(LIST);
                for element in elements {
                    cost = cost.add(self.cost(element.value));
                    sizes = sizes.union(self.size_or_unknown(element.value));
                }
                self.entries[id as usize] =
                    Some(EntrySize { list: true, key: SizeEstimate::fixed(1), value: sizes });
                cost
            }
            Kind::Map(entries) => self.map(id, entries),
            Kind::Struct { fields, .. } => {
                let mut cost = CostEstimate::fixed(STRUCT);
                for field in fields {
                    cost = cost.add(self.cost(field.value));
                }
                cost
            }
            Kind::Fold(fold) if checked.expr.is_bind(fold) => self.bind(id, fold),
            Kind::Fold(fold) => self.fold(id, fold),
        }
    }

    fn map(&mut self, id: Id, entries: &'c [Entry]) -> CostEstimate {
        let (mut keys, mut values) = if entries.is_empty() {
            (SizeEstimate::fixed(0), SizeEstimate::fixed(0))
        } else {
            (NOTHING, NOTHING)
        };
        let mut cost = CostEstimate::fixed(MAP);
        for entry in entries {
            cost = cost.add(self.cost(entry.key)).add(self.cost(entry.value));
            keys = keys.union(self.size_or_unknown(entry.key));
            values = values.union(self.size_or_unknown(entry.value));
        }
        self.entries[id as usize] = Some(EntrySize { list: false, key: keys, value: values });
        cost
    }

    fn ty(&self, id: Id) -> &'c Type {
        &self.checked.types[id as usize]
    }

    fn local(&self, name: &str) -> Option<&Local<'c>> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn call(&mut self, id: Id, function: &'c str, target: Option<Id>, args: &'c [Id]) -> CostEstimate {
        if function == "dyn" && target.is_none() && args.len() == 1 {
            let cost = self.cost(args[0]);
            self.sizes[id as usize] = self.size(args[0]);
            self.entries[id as usize] = self.entry(args[0]);
            return cost.add(CostEstimate::fixed(1));
        }
        let arg_costs: Vec<CostEstimate> = args.iter().map(|&arg| self.cost(arg)).collect();
        let Reference::Call(_, overloads) = &self.checked.references[id as usize] else {
            return CostEstimate::default();
        };
        let sum = target.map_or(CostEstimate::default(), |target| self.cost(target));
        let mut cost = CostEstimate { min: u64::MAX, max: 0 };
        let mut result: Option<SizeEstimate> = None;
        for overload in overloads {
            let call = self.overload_cost(id, function, overload.id, target, args, &arg_costs);
            cost = cost.union(call.cost);
            if let Some(size) = call.result {
                result = Some(result.map_or(size, |known| known.union(size)));
            }
            if matches!(overload.id, "index_list" | "index_map") && !args.is_empty() {
                result = self.entry(args[0]).map(|entry| entry.value);
                self.decls[id as usize] = self.decls[args[0] as usize].and_then(Decl::element);
            }
            if result.is_none() {
                result = self.size(id);
            }
        }
        if result.is_some() {
            self.sizes[id as usize] = result;
        }
        sum.add(cost)
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
    ) -> CallEstimate {
        let sum = arg_costs.iter().fold(CostEstimate::default(), |sum, cost| sum.add(*cost));
        match (overload, args, arg_costs) {
            ("logical_and" | "logical_or", [_, _], [a, b]) => {
                return CallEstimate { cost: CostEstimate { min: a.min, max: a.add(*b).max }, result: None };
            }
            ("conditional", [_, a, b], [condition, yes, no]) => {
                let size = self.size_or_unknown(*a).union(self.size_or_unknown(*b));
                self.entries[id as usize] = both(self.entry(*a), self.entry(*b));
                return CallEstimate { cost: condition.add(yes.union(*no)), result: Some(size) };
            }
            ("add_string" | "add_bytes" | "add_list", [a, b], _) => {
                if let Some(entry) = both(self.entry(*a), self.entry(*b)) {
                    self.entries[id as usize] = Some(entry);
                }
            }
            _ => {}
        }
        let call = self.estimate_call(function, overload, target, args);
        CallEstimate { cost: call.cost.add(sum), result: call.result }
    }

    fn bind(&mut self, id: Id, fold: &'c Fold) -> CostEstimate {
        let mut cost = self.cost(fold.range).add(self.cost(fold.init));
        self.push_accu(fold);
        cost = cost.add(self.cost(fold.result));
        self.locals.pop();
        self.sizes[id as usize] = self.size(fold.result);
        self.entries[id as usize] = self.entry(fold.result);
        cost
    }

    fn push_accu(&mut self, fold: &'c Fold) {
        let (size, entry) = (self.size(fold.init), self.entry(fold.init));
        let decl = if &*fold.accu == ACCU { None } else { self.decls[fold.init as usize] };
        self.locals.push(Local { name: &fold.accu, decl, size, entry });
    }

    fn fold(&mut self, id: Id, fold: &'c Fold) -> CostEstimate {
        let mut cost = self.cost(fold.range).add(self.cost(fold.init));
        self.push_accu(fold);
        let outside = self.locals.len();
        let entry = self.entry(fold.range);
        let list = entry.map_or(matches!(self.ty(fold.range), Type::List(_)), |entry| entry.list);
        let decl = self.decls[fold.range as usize];
        let keys = (key_of(decl).filter(|_| !list), entry.map(|entry| entry.key));
        let values = (decl.and_then(Decl::element), entry.map(|entry| entry.value));
        let (first, second) = if fold.var2.is_some() || !list { (keys, values) } else { (values, keys) };
        self.locals.push(Local { name: &fold.var, decl: first.0, size: first.1, entry: None });
        if let Some(var2) = &fold.var2 {
            self.locals.push(Local { name: var2, decl: second.0, size: second.1, entry: None });
        }
        let turn = self.cost(fold.condition).add(self.cost(fold.step));
        self.locals.truncate(outside);
        cost = cost.add(self.cost(fold.result));
        self.locals.pop();
        let count = self.size_or_unknown(fold.range);
        cost = cost.add(count.by_cost(turn));
        match self.checked.expr.kind(fold.init) {
            Kind::Literal(_) => self.sizes[id as usize] = self.size(fold.init),
            Kind::List(_) | Kind::Map(_) => {
                self.sizes[id as usize] = Some(count);
                if let Some(entry) = self.entry(fold.step) {
                    self.entries[id as usize] = Some(entry);
                }
            }
            _ => {}
        }
        cost
    }

    pub(super) fn size_or_unknown(&self, id: Id) -> SizeEstimate {
        self.size(id).unwrap_or(SizeEstimate::UNKNOWN)
    }

    /// The size of a node's value: computed, written, declared, of its type, or of what a macro binds; in this order.
    pub(super) fn size(&self, id: Id) -> Option<SizeEstimate> {
        if let Some(size) = self.sizes[id as usize] {
            return Some(size);
        }
        match self.checked.expr.kind(id) {
            Kind::Literal(literal) => return Some(SizeEstimate::fixed(written_size(literal))),
            Kind::List(elements) => return Some(SizeEstimate::fixed(elements.len() as u64)),
            Kind::Map(entries) => return Some(SizeEstimate::fixed(entries.len() as u64)),
            _ => {}
        }
        let kind = self.checked.expr.kind(id);
        let decl = match kind {
            Kind::Ident(name) => match self.local(name) {
                Some(local) => local.decl,
                None => self.decls[id as usize],
            },
            _ => self.decls[id as usize],
        };
        if let Some(max) = decl.and_then(Decl::max_elements) {
            return Some(SizeEstimate { min: 0, max });
        }
        if self.ty(id).is_scalar() {
            return Some(SizeEstimate::fixed(1));
        }
        match kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn entry(&self, id: Id) -> Option<EntrySize> {
        if let Some(entry) = self.entries[id as usize] {
            return Some(entry);
        }
        match self.checked.expr.kind(id) {
            Kind::Ident(name) => self.local(name).and_then(|local| local.entry),
            _ => None,
        }
    }

    /// The type and the size of a list's elements; none of what is no list.
    pub(super) fn element(&self, id: Id) -> Option<(&'c Type, SizeEstimate)> {
        let ty = match self.ty(id) {
            Type::List(list) => &list.element.ty,
            Type::Map(map) => &map.key.ty,
            Type::Optional(of) => of,
            _ => return None,
        };
        let max = self.decls[id as usize].and_then(Decl::element).and_then(Decl::max_elements);
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

/// The union of no sizes.
const NOTHING: SizeEstimate = SizeEstimate { min: u64::MAX, max: 0 };

fn both(a: Option<EntrySize>, b: Option<EntrySize>) -> Option<EntrySize> {
    let (a, b) = (a?, b?);
    Some(EntrySize { list: a.list, key: a.key.union(b.key), value: a.value.union(b.value) })
}

fn key_of(decl: Option<&Decl>) -> Option<&Decl> {
    match &decl?.ty {
        Type::Map(map) => Some(&map.key),
        _ => None,
    }
}

/// The declaration of a field, as expressions call it.
fn field_of<'c>(decl: &'c Decl, name: &str) -> Option<&'c Decl> {
    match &decl.ty {
        Type::Object(object) => object.decl()?.exact(name).map(|field| &field.decl),
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
