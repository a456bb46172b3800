//! Macros beyond the standard ones: two-variable comprehensions, `transformList`, `transformMap`, `transformMapEntry`,
//! `optMap`, `optFlatMap`, `sortBy`, `cel.bind`. Each becomes the loop by which CEL defines it, so checker, costs and evaluator know
//! one kind of loop only.

use super::lower::Lowering;
use crate::expr::{ACCU, Element, Fold, Id, Kind, Literal, UNUSED, op};

/// What the parts of a two-variable loop are.
struct Parts {
    init: Kind,
    condition: Id,
    step: Id,
    result: Id,
}

/// The call, or what it expands to.
pub(super) fn expand(l: &mut Lowering<'_>, at: u32, function: &str, target: Option<Id>, args: Vec<Id>) -> Id {
    let Some(over) = target else {
        return l.expr.push(at, Kind::Call { function: function.into(), target, args });
    };
    match (function, args.len()) {
        ("all" | "exists" | "existsOne" | "exists_one", 3)
        | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
            two_variables(l, at, function, over, &args)
        }
        ("optMap" | "optFlatMap", 2) => optional_map(l, at, function, over, &args),
        ("bind", 3) if l.bindings && matches!(l.expr.kind(over), Kind::Ident(name) if &**name == "cel") => {
            const NAME: &str = "cel.bind() variable names must be simple identifiers";
            match simple_name(l, args[0], NAME) {
                Some(name) => bind(l, at, &name, args[1], args[2]),
                None => null(l, at),
            }
        }
        ("sortBy", 2) => sort_by(l, at, over, &args),
        _ => l.expr.push(at, Kind::Call { function: function.into(), target, args }),
    }
}

fn call(l: &mut Lowering<'_>, at: u32, function: &str, args: Vec<Id>) -> Id {
    l.expr.push(at, Kind::Call { function: function.into(), target: None, args })
}

fn member(l: &mut Lowering<'_>, at: u32, target: Id, function: &str, args: Vec<Id>) -> Id {
    l.expr.push(at, Kind::Call { function: function.into(), target: Some(target), args })
}

fn ident(l: &mut Lowering<'_>, at: u32, name: &str) -> Id {
    l.expr.push(at, Kind::Ident(name.into()))
}

fn literal(l: &mut Lowering<'_>, at: u32, literal: Literal) -> Id {
    l.expr.push(at, Kind::Literal(literal))
}

fn simple_name(l: &mut Lowering<'_>, arg: Id, otherwise: &str) -> Option<Box<str>> {
    if let Kind::Ident(name) = l.expr.kind(arg) {
        return Some(name.clone());
    }
    let at = l.expr.at(arg);
    l.issue(at, otherwise);
    None
}

fn null(l: &mut Lowering<'_>, at: u32) -> Id {
    literal(l, at, Literal::Null)
}

fn two_variables(l: &mut Lowering<'_>, at: u32, function: &str, range: Id, args: &[Id]) -> Id {
    const NAME: &str = "argument must be a simple name";
    let (Some(var), Some(var2)) = (simple_name(l, args[0], NAME), simple_name(l, args[1], NAME)) else {
        return null(l, at);
    };
    if var == var2 {
        let place = l.expr.at(args[1]);
        l.issue(place, format!("duplicate variable name: {var}"));
        return null(l, at);
    }
    for (name, arg) in [(&var, args[0]), (&var2, args[1])] {
        if &**name == "__result__" {
            let place = l.expr.at(arg);
            l.issue(place, "iteration variable overwrites accumulator variable");
            return null(l, at);
        }
    }
    let parts = match function {
        "all" | "exists" => quantifier(l, at, function == "all", args[2]),
        "existsOne" | "exists_one" => exactly_one(l, at, args[2]),
        _ => transform(l, at, function, &var, &args[2..]),
    };
    let Parts { init, condition, step, result } = parts;
    let init = l.expr.push(at, init);
    let fold = Fold { range, var, var2: Some(var2), accu: ACCU.into(), init, condition, step, result };
    l.expr.push(at, Kind::Fold(Box::new(fold)))
}

fn quantifier(l: &mut Lowering<'_>, at: u32, all: bool, predicate: Id) -> Parts {
    let accu = ident(l, at, ACCU);
    let go_on = if all { accu } else { call(l, at, op::LOGICAL_NOT, vec![accu]) };
    let condition = call(l, at, op::NOT_STRICTLY_FALSE, vec![go_on]);
    let accu = ident(l, at, ACCU);
    let step = call(l, at, if all { op::LOGICAL_AND } else { op::LOGICAL_OR }, vec![accu, predicate]);
    let result = ident(l, at, ACCU);
    Parts { init: Kind::Literal(Literal::Bool(all)), condition, step, result }
}

fn exactly_one(l: &mut Lowering<'_>, at: u32, predicate: Id) -> Parts {
    let condition = literal(l, at, Literal::Bool(true));
    let (accu, one) = (ident(l, at, ACCU), literal(l, at, Literal::Int(1)));
    let more = call(l, at, op::ADD, vec![accu, one]);
    let accu = ident(l, at, ACCU);
    let step = call(l, at, op::CONDITIONAL, vec![predicate, more, accu]);
    let (accu, one) = (ident(l, at, ACCU), literal(l, at, Literal::Int(1)));
    let result = call(l, at, op::EQUALS, vec![accu, one]);
    Parts { init: Kind::Literal(Literal::Int(0)), condition, step, result }
}

/// `args`: an optional filter, and the transformation.
fn transform(l: &mut Lowering<'_>, at: u32, function: &str, var: &str, args: &[Id]) -> Parts {
    let (filter, value) = if args.len() == 2 { (Some(args[0]), args[1]) } else { (None, args[0]) };
    let accu = ident(l, at, ACCU);
    let (init, mut step) = match function {
        "transformList" => {
            let list = l.expr.push(at, Kind::List(vec![Element { value, optional: false }]));
            (Kind::List(Vec::new()), call(l, at, op::ADD, vec![accu, list]))
        }
        "transformMap" => {
            let key = ident(l, at, var);
            (Kind::Map(Vec::new()), call(l, at, op::MAP_INSERT, vec![accu, key, value]))
        }
        _ => (Kind::Map(Vec::new()), call(l, at, op::MAP_INSERT, vec![accu, value])),
    };
    if let Some(filter) = filter {
        let accu = ident(l, at, ACCU);
        step = call(l, at, op::CONDITIONAL, vec![filter, step, accu]);
    }
    let condition = literal(l, at, Literal::Bool(true));
    let result = ident(l, at, ACCU);
    Parts { init, condition, step, result }
}

/// `result` with `name` bound to `value`.
fn bind(l: &mut Lowering<'_>, at: u32, name: &str, value: Id, result: Id) -> Id {
    let range = l.expr.push(at, Kind::List(Vec::new()));
    let condition = literal(l, at, Literal::Bool(false));
    let step = ident(l, at, name);
    let accu = name.into();
    let fold = Fold { range, var: UNUSED.into(), var2: None, accu, init: value, condition, step, result };
    l.expr.push(at, Kind::Fold(Box::new(fold)))
}

fn optional_map(l: &mut Lowering<'_>, at: u32, function: &str, target: Id, args: &[Id]) -> Id {
    let wrong = format!("{function}() variable name must be a simple identifier");
    let Some(name) = simple_name(l, args[0], &wrong) else { return null(l, at) };
    let again = copy(l, target);
    let condition = member(l, at, target, "hasValue", Vec::new());
    let value = member(l, at, again, "value", Vec::new());
    let mut some = bind(l, at, &name, value, args[1]);
    let optional = ident(l, at, "optional");
    if function == "optMap" {
        some = member(l, at, optional, "of", vec![some]);
    }
    let optional = ident(l, at, "optional");
    let none = member(l, at, optional, "none", Vec::new());
    call(l, at, op::CONDITIONAL, vec![condition, some, none])
}

fn sort_by(l: &mut Lowering<'_>, at: u32, target: Id, args: &[Id]) -> Id {
    if matches!(l.expr.kind(target), Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }) {
        let place = l.expr.at(target);
        let text =
            "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
        l.issue(place, text);
        return null(l, at);
    }
    const INPUT: &str = "@__sortBy_input__";
    let Some(var) = simple_name(l, args[0], "argument is not an identifier") else { return null(l, at) };
    let range = ident(l, at, INPUT);
    let (init, accu) = (l.expr.push(at, Kind::List(Vec::new())), ident(l, at, ACCU));
    let list = l.expr.push(at, Kind::List(vec![Element { value: args[1], optional: false }]));
    let step = call(l, at, op::ADD, vec![accu, list]);
    let (condition, result) = (literal(l, at, Literal::Bool(true)), ident(l, at, ACCU));
    let keys = Fold { range, var, var2: None, accu: ACCU.into(), init, condition, step, result };
    let keys = l.expr.push(at, Kind::Fold(Box::new(keys)));
    let input = ident(l, at, INPUT);
    let sorted = member(l, at, input, op::SORT_BY_KEYS, vec![keys]);
    bind(l, at, INPUT, target, sorted)
}

/// The same expression again, with nodes of its own.
fn copy(l: &mut Lowering<'_>, id: Id) -> Id {
    if l.full() {
        return id;
    }
    let (at, mut kind) = (l.expr.at(id), l.expr.kind(id).clone());
    match &mut kind {
        Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select { operand, .. } => *operand = copy(l, *operand),
        Kind::Call { target, args, .. } => {
            *target = target.map(|target| copy(l, target));
            args.iter_mut().for_each(|arg| *arg = copy(l, *arg));
        }
        Kind::List(elements) => elements.iter_mut().for_each(|e| e.value = copy(l, e.value)),
        Kind::Map(entries) => entries.iter_mut().for_each(|e| {
            e.key = copy(l, e.key);
            e.value = copy(l, e.value);
        }),
        Kind::Struct { fields, .. } => fields.iter_mut().for_each(|f| f.value = copy(l, f.value)),
        Kind::Fold(fold) => {
            for part in
                [&mut fold.range, &mut fold.init, &mut fold.condition, &mut fold.step, &mut fold.result]
            {
                *part = copy(l, *part);
            }
        }
    }
    l.expr.push(at, kind)
}
