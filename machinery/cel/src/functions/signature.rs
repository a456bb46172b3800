//! Signatures as text. Only our own tables are read, so mistakes are bugs.

use super::Overload;
use crate::types::{Library, Param, Type};

pub(super) fn parse(id: &'static str, text: &str) -> Overload {
    let (member, text) = text.strip_prefix('.').map_or((false, text), |rest| (true, rest));
    let (args, result) = text.split_once("->").expect("a signature has a result");
    let args: Vec<Type> = split(args.trim()).into_iter().map(ty).collect();
    let result = ty(result.trim());
    let mut letters = Vec::new();
    args.iter().chain([&result]).for_each(|ty| collect(ty, &mut letters));
    Overload { id, member, args, result, letters }
}

/// At the commas outside brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

fn ty(text: &str) -> Type {
    if let Some((name, inside)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let inside = split(inside);
        return match (name, inside.as_slice()) {
            ("list", [element]) => Type::list(ty(element)),
            ("map", [key, value]) => Type::map(ty(key), ty(value)),
            ("optional", [of]) => Type::optional(ty(of)),
            ("type", [of]) => Type::Type(Some(ty(of).into())),
            _ => unreachable!("no type is written {text}"),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "Authorizer" => Type::Library(Library::Authorizer),
        "PathCheck" => Type::Library(Library::PathCheck),
        "GroupCheck" => Type::Library(Library::GroupCheck),
        "ResourceCheck" => Type::Library(Library::ResourceCheck),
        "Decision" => Type::Library(Library::Decision),
        "URL" => Type::Library(Library::Url),
        "Quantity" => Type::Library(Library::Quantity),
        "Semver" => Type::Library(Library::Semver),
        "Format" => Type::Library(Library::Format),
        "IP" => Type::Library(Library::Ip),
        "CIDR" => Type::Library(Library::Cidr),
        _ => Type::Param(Param::Letter(text.chars().next().expect("a type has a name"))),
    }
}

fn collect(ty: &Type, letters: &mut Vec<char>) {
    match ty {
        Type::Param(Param::Letter(letter)) if !letters.contains(letter) => letters.push(*letter),
        Type::List(list) => collect(&list.element.ty, letters),
        Type::Map(map) => {
            collect(&map.key.ty, letters);
            collect(&map.value.ty, letters);
        }
        Type::Optional(of) | Type::Type(Some(of)) => collect(of, letters),
        _ => {}
    }
}
