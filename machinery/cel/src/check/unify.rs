//! Which types agree: unification with type variables, as CEL's checker defines it.

use std::sync::Arc;

use crate::types::{Decl, Param, TYPE_WEIGHT_MAX, Type};

/// Steps that checking one expression may take; only expressions made to hurt need more.
const STEPS_MAX: u64 = 20_000_000;

/// What is known of the type variables.
#[derive(Debug, Default)]
pub(super) struct Unifier {
    known: Vec<Option<Type>>,
    /// What was known before, newest last; a failed attempt is undone.
    trail: Vec<(u32, Option<Type>)>,
    steps: u64,
}

impl Unifier {
    pub(super) fn fresh(&mut self) -> Type {
        let id = self.known.len() as u32;
        self.known.push(None);
        Type::Param(Param::Fresh(id))
    }

    /// The expression takes more than checking may take.
    pub(super) fn exhausted(&self) -> bool {
        self.steps > STEPS_MAX
    }

    /// One more step; false when there were too many.
    fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps <= STEPS_MAX
    }

    /// Whether `a` may stand where `b` is wanted. What is learnt about variables is kept if so.
    pub(super) fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        self.attempt(|u| u.agree(a, b))
    }

    pub(super) fn assignable_list(&mut self, a: &[Type], b: &[Type]) -> bool {
        a.len() == b.len() && self.attempt(|u| a.iter().zip(b).all(|(a, b)| u.agree(a, b)))
    }

    fn attempt(&mut self, try_: impl FnOnce(&mut Self) -> bool) -> bool {
        let mark = self.trail.len();
        let agreed = try_(self);
        if !agreed {
            while self.trail.len() > mark {
                let (id, before) = self.trail.pop().expect("it is longer than the mark");
                self.known[id as usize] = before;
            }
        }
        self.trail.truncate(if agreed { mark } else { self.trail.len() });
        agreed
    }

    fn find(&self, ty: &Type) -> Option<&Type> {
        match ty {
            Type::Param(Param::Fresh(id)) => self.known.get(*id as usize)?.as_ref(),
            _ => None,
        }
    }

    fn learn(&mut self, variable: &Type, ty: Type) {
        if let Type::Param(Param::Fresh(id)) = variable {
            let before = self.known[*id as usize].replace(ty);
            self.trail.push((*id, before));
        }
    }

    fn agree(&mut self, a: &Type, b: &Type) -> bool {
        if !self.step() {
            return false;
        }
        if matches!(b, Type::Param(_)) {
            match self.substitutes(a, b) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if matches!(a, Type::Param(_)) {
            return self.substitutes(b, a).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => Arc::ptr_eq(a, b) || self.agree(&a.element.ty, &b.element.ty),
            (Type::Map(a), Type::Map(b)) => {
                Arc::ptr_eq(a, b)
                    || (self.agree(&a.key.ty, &b.key.ty) && self.agree(&a.value.ty, &b.value.ty))
            }
            (Type::Optional(a), Type::Optional(b)) => self.agree(a, b),
            (a, b) => a == b,
        }
    }

    /// Whether `ty` may be what `variable` stands for, and whether something was known of `variable`.
    fn substitutes(&mut self, ty: &Type, variable: &Type) -> (bool, bool) {
        if ty == variable {
            return (true, true);
        }
        if let Some(known) = self.find(variable).cloned() {
            if *ty == known {
                return (true, true);
            }
            if self.agree(ty, &known) {
                let general = if less_specific(ty, &known) { ty.clone() } else { known };
                if self.free_of(variable, &general) {
                    self.learn(variable, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.free_of(variable, ty) {
            self.learn(variable, ty.clone());
            return (true, false);
        }
        (false, false)
    }

    /// The variable does not occur within the type.
    fn free_of(&mut self, variable: &Type, within: &Type) -> bool {
        if variable == within || !self.step() {
            return false;
        }
        match within {
            Type::Param(_) => match self.find(within).cloned() {
                Some(known) => self.free_of(variable, &known),
                None => true,
            },
            Type::List(list) => self.free_of(variable, &list.element.ty),
            Type::Map(map) => self.free_of(variable, &map.key.ty) && self.free_of(variable, &map.value.ty),
            Type::Optional(of) | Type::Type(Some(of)) => self.free_of(variable, of),
            _ => true,
        }
    }

    /// The type with all that is known put in; `to_dyn`: what is not known is dyn.
    pub(super) fn substitute(&mut self, ty: &Type, to_dyn: bool) -> Type {
        if !self.step() || ty.weight() > TYPE_WEIGHT_MAX {
            self.steps = self.steps.max(STEPS_MAX + 1);
            return Type::Error;
        }
        if let Some(known) = self.find(ty).cloned() {
            return self.substitute(&known, to_dyn);
        }
        match ty {
            Type::Param(_) if to_dyn => Type::Dyn,
            Type::List(list) if has_variables(&list.element.ty) => {
                let element = self.substitute(&list.element.ty, to_dyn);
                Type::list_of(Decl { ty: element, ..list.element.clone() }, list.rule, list.keys.clone())
            }
            Type::Map(map) if has_variables(&map.key.ty) || has_variables(&map.value.ty) => {
                Type::map(self.substitute(&map.key.ty, to_dyn), self.substitute(&map.value.ty, to_dyn))
            }
            Type::Optional(of) => Type::optional(self.substitute(of, to_dyn)),
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(self.substitute(of, to_dyn)))),
            other => other.clone(),
        }
    }
}

/// Declared types have none, so their trees are shared, not copied.
fn has_variables(ty: &Type) -> bool {
    match ty {
        Type::Param(_) => true,
        Type::List(list) => has_variables(&list.element.ty),
        Type::Map(map) => has_variables(&map.key.ty) || has_variables(&map.value.ty),
        Type::Optional(of) | Type::Type(Some(of)) => has_variables(of),
        _ => false,
    }
}

/// Null may stand for a value of it.
fn is_nullable(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Null
            | Type::Object(_)
            | Type::Library(_)
            | Type::Optional(_)
            | Type::Duration
            | Type::Timestamp
    )
}

/// As general as the other, or more.
fn less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Any | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Any | Type::Param(_)) => false,
        (Type::Optional(a), Type::Optional(b)) => less_specific(a, b),
        (Type::List(a), Type::List(b)) => less_specific(&a.element.ty, &b.element.ty),
        (Type::Map(a), Type::Map(b)) => {
            less_specific(&a.key.ty, &b.key.ty) && less_specific(&a.value.ty, &b.value.ty)
        }
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}

/// The more general of two types that agree.
pub(super) fn most_general(a: Type, b: Type) -> Type {
    if less_specific(&a, &b) { a } else { b }
}
