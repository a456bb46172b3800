//! What is checked of literals once types agree: durations, timestamps and regular expressions that are written out must
//! be well formed; the elements of a literal must be of one type.

use super::{Checked, Reference};
use crate::error::Issue;
use crate::expr::{Id, Kind, Literal};
use crate::re2;
use crate::time::{self, Instant};
use crate::types::Type;

pub(super) fn validate(checked: &Checked, issues: &mut Vec<Issue>) {
    let exempt = inside_format(checked);
    for (index, node) in checked.expr.nodes.iter().enumerate() {
        if let (Kind::Call { args, target, .. }, Reference::Call(function, _)) =
            (&node.kind, &checked.references[index])
        {
            let pattern = match (function.name, target, args.as_slice()) {
                ("duration" | "timestamp" | "matches", _, [only]) => Some(*only),
                ("matches", None, [_, pattern]) => Some(*pattern),
                _ => None,
            };
            let Some(arg) = pattern else { continue };
            let wrong = match (function.name, checked.expr.kind(arg)) {
                ("duration", Kind::Literal(Literal::String(text))) => time::parse_duration(text).is_err(),
                ("timestamp", Kind::Literal(Literal::String(text))) => time::parse_timestamp(text).is_err(),
                ("timestamp", Kind::Literal(Literal::Int(seconds))) => {
                    Instant::from_seconds(*seconds).is_none()
                }
                ("matches", Kind::Literal(Literal::String(text))) => re2::compile(text).is_err(),
                _ => false,
            };
            if wrong {
                issues.push(Issue {
                    at: Some(checked.expr.at(arg)),
                    message: format!("invalid {} argument", function.name),
                });
            }
        }
        if !exempt[index] {
            homogeneous(checked, &node.kind, issues);
        }
    }
}

/// A written pattern of `find` and `findAll` must be well formed; upstream finds out when it makes the program.
pub(super) fn patterns(checked: &Checked) -> Option<String> {
    checked.expr.nodes.iter().zip(&checked.references).find_map(|(node, reference)| {
        let (Kind::Call { args, target: Some(_), .. }, Reference::Call(function, _)) =
            (&node.kind, reference)
        else {
            return None;
        };
        let (true, Some(&pattern)) = (matches!(function.name, "find" | "findAll"), args.first()) else {
            return None;
        };
        match checked.expr.kind(pattern) {
            Kind::Literal(Literal::String(text)) => re2::compile(text).err(),
            _ => None,
        }
    })
}

/// Whatever is handed to `format` may be mixed.
fn inside_format(checked: &Checked) -> Vec<bool> {
    let mut inside = vec![false; checked.expr.nodes.len()];
    let mut open: Vec<Id> = Vec::new();
    for node in &checked.expr.nodes {
        if let Kind::Call { function, target, args } = &node.kind
            && &**function == "format"
        {
            open.extend(target.iter().chain(args));
        }
    }
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut inside[id as usize], true) {
            checked.expr.children(id, &mut open);
        }
    }
    inside
}

/// Joining makes dyn of what does not agree; written elements must be of the very same type.
fn homogeneous(checked: &Checked, kind: &Kind, issues: &mut Vec<Issue>) {
    let mut compare = |values: &mut dyn Iterator<Item = (u32, bool)>| {
        let mut first: Option<Type> = None;
        for (id, optional) in values {
            let mut ty = checked.types[id as usize].clone();
            if let (true, Type::Optional(of)) = (optional, &ty) {
                ty = (**of).clone();
            }
            match &first {
                None => first = Some(ty),
                Some(first) if *first == ty => {}
                Some(first) => {
                    let message = format!("expected type '{first}' but found '{ty}'");
                    issues.push(Issue { at: Some(checked.expr.at(id)), message });
                    return;
                }
            }
        }
    };
    match kind {
        Kind::List(elements) => compare(&mut elements.iter().map(|e| (e.value, e.optional))),
        Kind::Map(entries) => {
            compare(&mut entries.iter().map(|e| (e.key, false)));
            compare(&mut entries.iter().map(|e| (e.value, e.optional)));
        }
        _ => {}
    }
}
