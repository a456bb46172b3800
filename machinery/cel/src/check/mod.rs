//! The type checker. It finds what every name and every call means, and the type of every node; messages are upstream's.

mod literals;
mod unify;

use crate::environment::Environment;
use crate::error::{CompileError, Issue};
use crate::expr::{Expr, Fold, Id, Kind, Literal, op};
use crate::functions::{self, Function, Overload};
use crate::types::{Library, Object, Param, Type};
use unify::{Unifier, most_general};

/// A checked expression.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) expr: Expr,
    /// By node.
    pub(crate) types: Vec<Type>,
    pub(crate) references: Vec<Reference>,
}

/// What a node refers to.
#[derive(Debug, Clone, Default)]
pub(crate) enum Reference {
    #[default]
    None,
    /// A declared variable, by index.
    Variable(usize),
    /// A variable of a macro, by its name.
    Local,
    /// The name of a type.
    Type(Type),
    Call(&'static Function, Vec<&'static Overload>),
}

struct Checker<'e> {
    environment: &'e Environment,
    expr: Expr,
    types: Vec<Type>,
    references: Vec<Reference>,
    unifier: Unifier,
    /// Variables of macros, innermost last.
    scopes: Vec<(Box<str>, Type)>,
    issues: Vec<Issue>,
}

pub(crate) fn check(environment: &Environment, source: &str, expr: Expr) -> Result<Checked, CompileError> {
    let count = expr.nodes.len();
    let mut checker = Checker {
        environment,
        expr,
        types: vec![Type::Error; count],
        references: vec![Reference::None; count],
        unifier: Unifier::default(),
        scopes: Vec::new(),
        issues: Vec::new(),
    };
    checker.check(checker.expr.root);
    if checker.unifier.exhausted() {
        checker.issues = vec![Issue { at: None, message: "expression is too complex to check".to_owned() }];
    }
    for index in 0..count {
        let ty = std::mem::take(&mut checker.types[index]);
        checker.types[index] = checker.unifier.substitute(&ty, true);
    }
    let Checker { expr, types, references, mut issues, .. } = checker;
    let checked = Checked { expr, types, references };
    if issues.is_empty() {
        literals::validate(&checked, &mut issues);
    }
    match literals::patterns(&checked) {
        _ if !issues.is_empty() => Err(CompileError::new(source, issues)),
        Some(message) => Err(CompileError::instantiation(message)),
        None => Ok(checked),
    }
}

impl Checker<'_> {
    fn issue(&mut self, id: Id, message: String) {
        let at = Some(self.expr.at(id));
        self.issues.push(Issue { at, message });
    }

    fn ty(&self, id: Id) -> Type {
        self.types[id as usize].clone()
    }

    fn set(&mut self, id: Id, ty: Type) {
        self.types[id as usize] = ty;
    }

    fn check(&mut self, id: Id) {
        if self.unifier.exhausted() {
            return;
        }
        match self.expr.kind(id).clone() {
            Kind::Literal(literal) => self.set(id, literal_type(&literal)),
            Kind::Ident(name) => self.check_ident(id, &name),
            Kind::Select { operand, field, test } => self.check_select(id, operand, &field, test),
            Kind::Call { function, target, args } => self.check_call(id, &function, target, &args),
            Kind::List(elements) => {
                let mut joined = None;
                for element in elements {
                    let ty = self.check_element(element.value, element.optional);
                    joined = Some(self.join(joined, ty));
                }
                let element = joined.unwrap_or_else(|| self.unifier.fresh());
                self.set(id, Type::list(element));
            }
            Kind::Map(entries) => {
                let (mut keys, mut values) = (None, None);
                for entry in entries {
                    let key = self.check_element(entry.key, false);
                    keys = Some(self.join(keys, key));
                    let value = self.check_element(entry.value, entry.optional);
                    values = Some(self.join(values, value));
                }
                let key = keys.unwrap_or_else(|| self.unifier.fresh());
                let value = values.unwrap_or_else(|| self.unifier.fresh());
                self.set(id, Type::map(key, value));
            }
            Kind::Struct { name, .. } => self.check_struct(id, &name),
            Kind::Fold(fold) => self.check_fold(id, &fold),
        }
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.set(id, Type::Error);
        self.issue(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    /// What a name means here, if anything.
    fn lookup(&self, name: &str) -> Option<(Reference, Type)> {
        if let Some((_, ty)) = self.scopes.iter().rev().find(|(scoped, _)| **scoped == *name) {
            return Some((Reference::Local, ty.clone()));
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some((index, decl)) = self.environment.find(name) {
            return Some((Reference::Variable(index), decl.ty.clone()));
        }
        let ty = type_named(name)?;
        Some((Reference::Type(ty.clone()), Type::Type(Some(ty.into()))))
    }

    fn check_ident(&mut self, id: Id, name: &str) {
        match self.lookup(name) {
            Some((reference, ty)) => {
                self.set(id, ty);
                self.references[id as usize] = reference;
            }
            None => self.undeclared(id, name),
        }
    }

    fn check_select(&mut self, id: Id, operand: Id, field: &str, test: bool) {
        if !test
            && let Some(name) = self.expr.qualified_name(id)
            && let Some((reference, ty)) = self.lookup(&name)
        {
            self.set(id, ty);
            self.references[id as usize] = reference;
            self.expr.nodes[id as usize].kind = Kind::Ident(name.into());
            return;
        }
        let selected = self.select_type(id, operand, field, false);
        let ty = if test { Type::Bool } else { self.unifier.substitute(&selected, false) };
        self.set(id, ty);
    }

    fn select_type(&mut self, id: Id, operand: Id, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand = self.ty(operand);
        let operand = self.unifier.substitute(&operand, false);
        let (target, was_optional) = match operand {
            Type::Optional(of) => ((*of).clone(), true),
            other => (other, false),
        };
        let ty = match &target {
            Type::Map(map) => map.value.ty.clone(),
            Type::Object(object) => object.field_type(field).unwrap_or_else(|| {
                self.issue(id, format!("undefined field '{field}'"));
                Type::Error
            }),
            Type::Library(library) if library.is_message() => {
                self.issue(id, format!("unexpected failed resolution of '{}'", library.name()));
                Type::Error
            }
            Type::Param(_) => {
                self.unifier.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Any | Type::Error => Type::Dyn,
            other => {
                self.issue(id, format!("type '{other}' does not support field selection"));
                Type::Dyn
            }
        };
        if was_optional || optional { Type::optional(ty) } else { ty }
    }

    fn check_optional_select(&mut self, id: Id, args: &[Id]) {
        let Kind::Literal(Literal::String(field)) = self.expr.kind(args[1]).clone() else {
            return self.issue(id, "unsupported optional field selection".to_owned());
        };
        self.set(args[1], Type::String);
        let ty = self.select_type(id, args[0], &field, true);
        let ty = self.unifier.substitute(&ty, false);
        self.set(id, ty);
        let function = functions::find(op::OPT_SELECT, self.environment).expect("it is in the table");
        self.references[id as usize] = Reference::Call(function, function.overloads.iter().collect());
    }

    fn check_call(&mut self, id: Id, name: &str, target: Option<Id>, args: &[Id]) {
        if name == op::OPT_SELECT && target.is_none() && args.len() == 2 {
            return self.check_optional_select(id, args);
        }
        for &arg in args {
            self.check(arg);
        }
        let Some(target) = target else {
            let plain = name.strip_prefix('.').unwrap_or(name);
            match functions::find(plain, self.environment) {
                Some(function) => self.resolve(id, function, None, args),
                None => self.undeclared(id, name),
            }
            return;
        };
        // `a.b.c()` is the function `a.b.c`, if there is one, and else `c` of `a.b`.
        if let Some(prefix) = self.expr.qualified_name(target)
            && let Some(function) = functions::find(&format!("{prefix}.{name}"), self.environment)
        {
            let args_again = args.to_vec();
            self.expr.nodes[id as usize].kind =
                Kind::Call { function: function.name.into(), target: None, args: args_again };
            return self.resolve(id, function, None, args);
        }
        self.check(target);
        match functions::find(name, self.environment) {
            Some(function) => self.resolve(id, function, Some(target), args),
            None => self.undeclared(id, name),
        }
    }

    fn resolve(&mut self, id: Id, function: &'static Function, target: Option<Id>, args: &[Id]) {
        let given: Vec<Type> = target.iter().chain(args).map(|&arg| self.ty(arg)).collect();
        if matches!(function.name, op::LOGICAL_AND | op::LOGICAL_OR) {
            return self.resolve_logic(id, function, args, &given);
        }
        let mut result: Option<Type> = None;
        let mut matching = Vec::new();
        for overload in function.overloads.iter().filter(|o| o.member == target.is_some()) {
            let (wanted, gives) = self.instantiate(overload);
            if !self.unifier.assignable_list(&given, &wanted) {
                continue;
            }
            matching.push(overload);
            let gives = self.unifier.substitute(&gives, false);
            result = Some(match result {
                None => gives,
                Some(before) if before.is_dyn() || before == gives => before,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(ty) => {
                self.set(id, ty);
                self.references[id as usize] = Reference::Call(function, matching);
            }
            None => {
                let given: Vec<Type> = given.iter().map(|ty| self.unifier.substitute(ty, true)).collect();
                let applied = signature(&given, target.is_some());
                self.issue(
                    id,
                    format!("found no matching overload for '{}' applied to '{applied}'", function.name),
                );
                self.set(id, Type::Error);
            }
        }
    }

    fn resolve_logic(&mut self, id: Id, function: &'static Function, args: &[Id], given: &[Type]) {
        let mut fits = true;
        for (&arg, ty) in args.iter().zip(given) {
            if !self.unifier.assignable(ty, &Type::Bool) {
                self.mismatch(arg, &Type::Bool, ty);
                fits = false;
            }
        }
        self.set(id, if fits { Type::Bool } else { Type::Error });
        self.references[id as usize] = Reference::Call(function, function.overloads.iter().collect());
    }

    /// The arguments and the result of an overload, its letters made into fresh variables.
    fn instantiate(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        let letters: Vec<(char, Type)> =
            overload.letters.iter().map(|&l| (l, self.unifier.fresh())).collect();
        let args = overload.args.iter().map(|arg| replace(arg, &letters)).collect();
        (args, replace(&overload.result, &letters))
    }

    fn mismatch(&mut self, id: Id, expected: &Type, actual: &Type) {
        self.issue(id, format!("expected type '{expected}' but found '{actual}'"));
    }

    /// The type of an element of a literal; `?element` gives what is inside the optional.
    fn check_element(&mut self, id: Id, optional: bool) -> Type {
        self.check(id);
        let ty = self.ty(id);
        if !optional {
            return ty;
        }
        match ty {
            Type::Optional(of) => (*of).clone(),
            Type::Dyn | Type::Any => Type::Dyn,
            other => {
                self.mismatch(id, &Type::optional(other.clone()), &other);
                other
            }
        }
    }

    /// The type of a literal's elements so far; dyn where they do not agree.
    fn join(&mut self, before: Option<Type>, next: Type) -> Type {
        let Some(before) = before else { return next };
        if self.unifier.assignable(&before, &next) {
            return most_general(before, next);
        }
        Type::Dyn
    }

    fn check_struct(&mut self, id: Id, name: &str) {
        let Kind::Struct { fields, .. } = self.expr.kind(id).clone() else { return };
        let plain = name.strip_prefix('.').unwrap_or(name);
        let object = self.environment.object_named(plain);
        match (&object, self.lookup(plain)) {
            (Some(object), _) => self.set(id, Type::Object(object.clone())),
            (None, Some((Reference::Type(ty), _))) => {
                self.issue(id, format!("'{ty}' is not a message type"));
                self.set(id, Type::Error);
            }
            (None, Some((_, ty))) => {
                self.issue(id, format!("'{ty}' is not a type"));
                self.set(id, Type::Error);
            }
            (None, None) => return self.undeclared(id, name),
        }
        for field in fields {
            let value = self.check_element(field.value, field.optional);
            let Some(object) = &object else { continue };
            let Some(wanted) = object.field_type(&field.name) else {
                self.issues
                    .push(Issue { at: Some(field.at), message: format!("undefined field '{}'", field.name) });
                continue;
            };
            if !self.unifier.assignable(&wanted, &value) {
                let value = self.unifier.substitute(&value, true);
                let message = format!(
                    "expected type of field '{}' is '{wanted}' but provided type is '{value}'",
                    field.name
                );
                self.issues.push(Issue { at: Some(field.at), message });
            }
        }
    }

    fn check_fold(&mut self, id: Id, fold: &Fold) {
        self.check(fold.range);
        self.check(fold.init);
        let range = self.ty(fold.range);
        let range = self.unifier.substitute(&range, false);
        let accu = self.ty(fold.init);
        let outside = self.scopes.len();
        self.scopes.push((fold.accu.clone(), accu.clone()));
        let two = fold.var2.is_some();
        let (first, second) = match &range {
            Type::List(list) if two => (Type::Int, list.element.ty.clone()),
            Type::List(list) => (list.element.ty.clone(), Type::Dyn),
            Type::Map(map) => (map.key.ty.clone(), map.value.ty.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.unifier.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(fold.range, message);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((fold.var.clone(), first));
        if let Some(var2) = &fold.var2 {
            self.scopes.push((var2.clone(), second));
        }
        self.check(fold.condition);
        self.expect(fold.condition, &Type::Bool);
        self.check(fold.step);
        self.expect(fold.step, &accu);
        self.scopes.truncate(outside + 1);
        self.check(fold.result);
        self.scopes.truncate(outside);
        let result = self.ty(fold.result);
        let result = self.unifier.substitute(&result, false);
        self.set(id, result);
    }

    fn expect(&mut self, id: Id, wanted: &Type) {
        let ty = self.ty(id);
        if !self.unifier.assignable(wanted, &ty) {
            let (wanted, ty) = (self.unifier.substitute(wanted, false), self.unifier.substitute(&ty, false));
            self.mismatch(id, &wanted, &ty);
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// The types that have a name in expressions.
fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "string" => Type::String,
        "null_type" => Type::Null,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "type" => Type::Type(None),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        other => Type::Library(Library::ALL.into_iter().find(|library| library.name() == other)?),
    })
}

/// `(int, string)`, `string.(int)`
fn signature(args: &[Type], member: bool) -> String {
    let (target, args) = if member { (args.first(), &args[1..]) } else { (None, args) };
    let args: Vec<String> = args.iter().map(Type::to_string).collect();
    let target = target.map(|ty| format!("{ty}.")).unwrap_or_default();
    format!("{target}({})", args.join(", "))
}

fn replace(ty: &Type, letters: &[(char, Type)]) -> Type {
    match ty {
        Type::Param(Param::Letter(letter)) => {
            letters.iter().find(|(l, _)| l == letter).map_or(Type::Dyn, |(_, ty)| ty.clone())
        }
        Type::List(list) => Type::list(replace(&list.element.ty, letters)),
        Type::Map(map) => Type::map(replace(&map.key.ty, letters), replace(&map.value.ty, letters)),
        Type::Optional(of) => Type::optional(replace(of, letters)),
        Type::Type(Some(of)) => Type::Type(Some(replace(of, letters).into())),
        other => other.clone(),
    }
}

/// Fields of the types that expressions may construct.
pub(crate) fn constructible(name: &str) -> Option<Object> {
    match name {
        "JSONPatch" => Some(Object::Patch),
        "Object" => Some(Object::Free(name.into())),
        _ if name.starts_with("Object.") => Some(Object::Free(name.into())),
        _ => None,
    }
}
