//! The documents as protobuf, which client-go asks for: the messages of `openapi.v2` and `openapi.v3` (OpenAPIv2.proto,
//! OpenAPIv3.proto). What JSON leaves open is text of YAML in them, and JSON is YAML. The messages are tables; here is what
//! writes them.

mod v2;
mod v3;

use serde_json::Value;

use crate::codec::protobuf::wire::{put_bytes, put_int, put_message, put_number};
pub use v2::encode_v2;
pub use v3::encode_v3;

/// How a member of a message is written.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Texts,
    Flag,
    Integer,
    Number,
    /// Anything: a message that holds text.
    Any,
    Anys,
    /// A message of texts, from one or many.
    TextOrTexts,
    One(&'static Message),
    Many(&'static Message),
    /// A message of one or many messages.
    OneOrMany(&'static Message),
    /// A message of named messages; where names are numbered 1, or another way.
    Named(&'static Message, u16),
    /// A message, also where it is part of a choice.
    Bare(&'static Message),
    /// A message that holds the one at a number: a choice of which the others are not used.
    Within(&'static Message),
    /// A schema or a boolean.
    SchemaOrFlag(&'static Message),
    /// A scalar: a choice by its type.
    Scalar,
    /// Names with lists of texts.
    Requirements,
    /// A list of what has a way of its own.
    Each(fn(&Value, &mut Vec<u8>)),
}

type Member = (&'static str, u16, Shape);

/// A message: its members by their names in JSON, and where `x-…` go.
struct Message {
    members: &'static [Member],
    extensions: u16,
    /// A reference is another message; the numbers of both in the choice between them.
    choice: Option<(u16, u16)>,
}

const fn message(members: &'static [Member], extensions: u16) -> Message {
    Message { members, extensions, choice: None }
}

fn put(message: &Message, value: &Value, out: &mut Vec<u8>) {
    match (message.choice, value.get("$ref").and_then(Value::as_str)) {
        (Some((_, reference)), Some(to)) => {
            put_message(out, reference, |out| put_bytes(out, 1, to.as_bytes()))
        }
        (Some((direct, _)), None) => put_message(out, direct, |out| put_members(message, value, out)),
        (None, _) => put_members(message, value, out),
    }
}

fn put_members(message: &Message, value: &Value, out: &mut Vec<u8>) {
    for (name, number, shape) in message.members {
        // A choice is a message whose only member is the value itself.
        let member = if name.is_empty() { Some(value) } else { value.get(name) };
        if let Some(member) = member {
            put_member(*number, *shape, member, out);
        }
    }
    if message.extensions > 0 {
        for (name, extension) in entries(value).filter(|(name, _)| name.starts_with("x-")) {
            put_message(out, message.extensions, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_any(2, extension, out);
            });
        }
    }
}

fn put_member(number: u16, shape: Shape, value: &Value, out: &mut Vec<u8>) {
    match shape {
        Shape::Text => put_text(number, value, out),
        Shape::Texts => items(value).for_each(|item| put_text(number, item, out)),
        Shape::Flag => {
            if value == true {
                put_int(out, number, 1);
            }
        }
        Shape::Integer => put_int(out, number, value.as_i64().unwrap_or_default()),
        Shape::Number => put_number(out, number, value.as_f64().unwrap_or_default()),
        Shape::Any => put_any(number, value, out),
        Shape::Anys => items(value).for_each(|item| put_any(number, item, out)),
        Shape::TextOrTexts => {
            put_message(out, number, |out| items(value).for_each(|item| put_text(1, item, out)))
        }
        Shape::One(message) | Shape::Within(message) => {
            put_message(out, number, |out| put(message, value, out))
        }
        Shape::Bare(message) => put_message(out, number, |out| put_members(message, value, out)),
        Shape::Many(message) => {
            items(value).for_each(|item| put_message(out, number, |out| put(message, item, out)));
        }
        Shape::OneOrMany(message) => put_message(out, number, |out| {
            items(value).for_each(|item| put_message(out, 1, |out| put(message, item, out)));
        }),
        Shape::Named(message, at) => put_message(out, number, |out| put_named(message, at, value, out)),
        Shape::SchemaOrFlag(message) => put_message(out, number, |out| match value {
            Value::Bool(flag) => put_int(out, 2, i64::from(*flag)),
            schema => put_message(out, 1, |out| put(message, schema, out)),
        }),
        Shape::Scalar => put_message(out, number, |out| match value {
            Value::Number(n) => put_number(out, 1, n.as_f64().unwrap_or_default()),
            Value::Bool(flag) => put_int(out, 2, i64::from(*flag)),
            Value::String(text) => put_bytes(out, 3, text.as_bytes()),
            // Upstream's reader of JSON keeps nothing of others.
            _ => {}
        }),
        Shape::Requirements => {
            items(value).for_each(|item| put_message(out, number, |out| put_requirement(item, out)))
        }
        Shape::Each(put) => items(value).for_each(|item| put_message(out, number, |out| put(item, out))),
    }
}

fn put_named(message: &Message, at: u16, value: &Value, out: &mut Vec<u8>) {
    for (name, entry) in entries(value) {
        put_message(out, at, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_message(out, 2, |out| put(message, entry, out));
        });
    }
}

fn put_requirement(value: &Value, out: &mut Vec<u8>) {
    for (name, scopes) in entries(value) {
        put_message(out, 1, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_message(out, 2, |out| items(scopes).for_each(|scope| put_text(1, scope, out)));
        });
    }
}

fn put_any(number: u16, value: &Value, out: &mut Vec<u8>) {
    let mut text = value.to_string();
    text.push('\n');
    put_message(out, number, |out| put_bytes(out, 2, text.as_bytes()));
}

fn put_text(number: u16, value: &Value, out: &mut Vec<u8>) {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        put_bytes(out, number, text.as_bytes());
    }
}

/// The items of a list, or the one value.
fn items(value: &Value) -> std::slice::Iter<'_, Value> {
    match value {
        Value::Array(items) => items.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
