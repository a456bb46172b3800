//! The document of v2 as protobuf: the messages of `openapi.v2` (OpenAPIv2.proto), which client-go's `OpenAPISchema` asks
//! for. What JSON leaves open is text of YAML in them, and JSON is YAML.

use serde_json::Value;

use crate::codec::protobuf::wire::{put_bytes, put_int, put_message, put_number};

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
    /// A message that holds the one at a number: a choice of which the others are not used.
    Within(&'static Message),
    /// A schema or a boolean.
    SchemaOrFlag,
    /// Names with lists of texts.
    Requirements,
    Parameters,
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

static DOCUMENT: Message = message(
    &[
        ("swagger", 1, Shape::Text),
        ("info", 2, Shape::One(&INFO)),
        ("host", 3, Shape::Text),
        ("basePath", 4, Shape::Text),
        ("schemes", 5, Shape::Texts),
        ("consumes", 6, Shape::Texts),
        ("produces", 7, Shape::Texts),
        ("paths", 8, Shape::Named(&PATH_ITEM, 2)),
        ("definitions", 9, Shape::Named(&SCHEMA, 1)),
        ("responses", 11, Shape::Named(&RESPONSE, 1)),
        ("security", 12, Shape::Requirements),
        ("securityDefinitions", 13, Shape::Named(&SECURITY, 1)),
        ("tags", 14, Shape::Many(&TAG)),
        ("externalDocs", 15, Shape::One(&EXTERNAL_DOCS)),
    ],
    16,
);

static INFO: Message = message(
    &[
        ("title", 1, Shape::Text),
        ("version", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("termsOfService", 4, Shape::Text),
    ],
    7,
);

static TAG: Message = message(
    &[
        ("name", 1, Shape::Text),
        ("description", 2, Shape::Text),
        ("externalDocs", 3, Shape::One(&EXTERNAL_DOCS)),
    ],
    4,
);

static EXTERNAL_DOCS: Message = message(&[("description", 1, Shape::Text), ("url", 2, Shape::Text)], 3);

/// Of the choices, a key is all that Kubernetes uses.
static SECURITY: Message = message(&[("", 2, Shape::Within(&API_KEY))], 0);

static API_KEY: Message = message(
    &[
        ("type", 1, Shape::Text),
        ("name", 2, Shape::Text),
        ("in", 3, Shape::Text),
        ("description", 4, Shape::Text),
    ],
    5,
);

static PATH_ITEM: Message = message(
    &[
        ("$ref", 1, Shape::Text),
        ("get", 2, Shape::One(&OPERATION)),
        ("put", 3, Shape::One(&OPERATION)),
        ("post", 4, Shape::One(&OPERATION)),
        ("delete", 5, Shape::One(&OPERATION)),
        ("options", 6, Shape::One(&OPERATION)),
        ("head", 7, Shape::One(&OPERATION)),
        ("patch", 8, Shape::One(&OPERATION)),
        ("parameters", 9, Shape::Parameters),
    ],
    10,
);

static OPERATION: Message = message(
    &[
        ("tags", 1, Shape::Texts),
        ("summary", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("externalDocs", 4, Shape::One(&EXTERNAL_DOCS)),
        ("operationId", 5, Shape::Text),
        ("produces", 6, Shape::Texts),
        ("consumes", 7, Shape::Texts),
        ("parameters", 8, Shape::Parameters),
        ("responses", 9, Shape::Named(&RESPONSE_VALUE, 1)),
        ("schemes", 10, Shape::Texts),
        ("deprecated", 11, Shape::Flag),
        ("security", 12, Shape::Requirements),
    ],
    13,
);

static RESPONSE_VALUE: Message = Message { members: RESPONSE.members, extensions: 5, choice: Some((1, 2)) };

static RESPONSE: Message =
    message(&[("description", 1, Shape::Text), ("schema", 2, Shape::OneOrMany(&SCHEMA))], 5);

static BODY: Message = message(
    &[
        ("description", 1, Shape::Text),
        ("name", 2, Shape::Text),
        ("in", 3, Shape::Text),
        ("required", 4, Shape::Flag),
        ("schema", 5, Shape::One(&SCHEMA)),
    ],
    6,
);

/// Parameters of the query and of forms.
static QUERY: Message = message(
    &[
        ("required", 1, Shape::Flag),
        ("in", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("name", 4, Shape::Text),
        ("allowEmptyValue", 5, Shape::Flag),
        ("type", 6, Shape::Text),
        ("format", 7, Shape::Text),
        ("items", 8, Shape::One(&ITEMS)),
        ("collectionFormat", 9, Shape::Text),
        ("default", 10, Shape::Any),
        ("maximum", 11, Shape::Number),
        ("minimum", 13, Shape::Number),
        ("maxLength", 15, Shape::Integer),
        ("minLength", 16, Shape::Integer),
        ("pattern", 17, Shape::Text),
        ("uniqueItems", 20, Shape::Flag),
        ("enum", 21, Shape::Anys),
    ],
    23,
);

/// Parameters of the path and of headers.
static PATH: Message = message(
    &[
        ("required", 1, Shape::Flag),
        ("in", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("name", 4, Shape::Text),
        ("type", 5, Shape::Text),
        ("format", 6, Shape::Text),
        ("items", 7, Shape::One(&ITEMS)),
        ("collectionFormat", 8, Shape::Text),
        ("default", 9, Shape::Any),
        ("maximum", 10, Shape::Number),
        ("minimum", 12, Shape::Number),
        ("maxLength", 14, Shape::Integer),
        ("minLength", 15, Shape::Integer),
        ("pattern", 16, Shape::Text),
        ("uniqueItems", 19, Shape::Flag),
        ("enum", 20, Shape::Anys),
    ],
    22,
);

/// Items of a parameter.
static ITEMS: Message = message(
    &[
        ("type", 1, Shape::Text),
        ("format", 2, Shape::Text),
        ("items", 3, Shape::One(&ITEMS)),
        ("collectionFormat", 4, Shape::Text),
        ("default", 5, Shape::Any),
        ("pattern", 12, Shape::Text),
        ("enum", 16, Shape::Anys),
    ],
    18,
);

static SCHEMA: Message = message(
    &[
        ("$ref", 1, Shape::Text),
        ("format", 2, Shape::Text),
        ("title", 3, Shape::Text),
        ("description", 4, Shape::Text),
        ("default", 5, Shape::Any),
        ("multipleOf", 6, Shape::Number),
        ("maximum", 7, Shape::Number),
        ("exclusiveMaximum", 8, Shape::Flag),
        ("minimum", 9, Shape::Number),
        ("exclusiveMinimum", 10, Shape::Flag),
        ("maxLength", 11, Shape::Integer),
        ("minLength", 12, Shape::Integer),
        ("pattern", 13, Shape::Text),
        ("maxItems", 14, Shape::Integer),
        ("minItems", 15, Shape::Integer),
        ("uniqueItems", 16, Shape::Flag),
        ("maxProperties", 17, Shape::Integer),
        ("minProperties", 18, Shape::Integer),
        ("required", 19, Shape::Texts),
        ("enum", 20, Shape::Anys),
        ("additionalProperties", 21, Shape::SchemaOrFlag),
        ("type", 22, Shape::TextOrTexts),
        ("items", 23, Shape::OneOrMany(&SCHEMA)),
        ("allOf", 24, Shape::Many(&SCHEMA)),
        ("properties", 25, Shape::Named(&SCHEMA, 1)),
        ("discriminator", 26, Shape::Text),
        ("readOnly", 27, Shape::Flag),
        ("externalDocs", 29, Shape::One(&EXTERNAL_DOCS)),
        ("example", 30, Shape::Any),
    ],
    31,
);

/// A document of v2, given as JSON.
pub fn encode_v2(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    put(&DOCUMENT, document, &mut out);
    out
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
        Shape::Many(message) => {
            items(value).for_each(|item| put_message(out, number, |out| put(message, item, out)));
        }
        Shape::OneOrMany(message) => put_message(out, number, |out| {
            items(value).for_each(|item| put_message(out, 1, |out| put(message, item, out)));
        }),
        Shape::Named(message, at) => put_message(out, number, |out| put_named(message, at, value, out)),
        Shape::SchemaOrFlag => put_message(out, number, |out| match value {
            Value::Bool(flag) => put_int(out, 2, i64::from(*flag)),
            schema => put_message(out, 1, |out| put(&SCHEMA, schema, out)),
        }),
        Shape::Requirements => {
            items(value).for_each(|item| put_message(out, number, |out| put_requirement(item, out)))
        }
        Shape::Parameters => {
            items(value).for_each(|item| put_message(out, number, |out| put_parameter(item, out)))
        }
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

/// A choice of choices: a parameter or a reference to one, of the body or not, and then where it stands.
fn put_parameter(value: &Value, out: &mut Vec<u8>) {
    if let Some(to) = value.get("$ref").and_then(Value::as_str) {
        return put_message(out, 2, |out| put_bytes(out, 1, to.as_bytes()));
    }
    let (number, message) = match value["in"].as_str() {
        Some("body") => return put_message(out, 1, |out| put_message(out, 1, |out| put(&BODY, value, out))),
        Some("header") => (1, &PATH),
        Some("formData") => (2, &QUERY),
        Some("query") => (3, &QUERY),
        _ => (4, &PATH),
    };
    put_message(out, 1, |out| {
        put_message(out, 2, |out| put_message(out, number, |out| put(message, value, out)));
    });
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A message at a number.
    fn part(number: u8, body: &[u8]) -> Vec<u8> {
        let len = u8::try_from(body.len()).expect("it is short");
        assert!(len < 0x80, "it is short");
        [&[number << 3 | 2, len], body].concat()
    }

    /// A document of one member is this.
    #[track_caller]
    fn check(name: &str, member: Value, number: u8, body: &[u8]) {
        let told = encode_v2(&json!({ name: member }));
        assert_eq!(told, part(number, body), "{name}");
    }

    /// What stands behind the numbers below 16 of a name and a value.
    fn named(name: &str, body: &[u8]) -> Vec<u8> {
        [part(1, name.as_bytes()), part(2, body)].concat()
    }

    #[test]
    fn each_form_has_its_message() {
        check("swagger", json!("2.0"), 1, b"2.0");
        check("info", json!({ "title": "t", "x-y": [1] }), 2, &{
            let extension = named("x-y", &part(2, b"[1]\n"));
            [part(1, b"t"), part(7, &extension)].concat()
        });
        let reference = part(1, b"#/definitions/b");
        let schema = |members: Value, body: &[u8]| {
            check("definitions", json!({ "a": members }), 9, &part(1, &named("a", body)));
        };
        schema(json!({ "$ref": "#/definitions/b" }), &reference);
        schema(json!({ "default": {} }), &part(5, &part(2, b"{}\n")));
        schema(
            json!({ "type": "object" }),
            &[&[22 << 3 & 0x7f | 2 | 0x80, 1][..], &[8], &part(1, b"object")].concat(),
        );
        schema(json!({ "maximum": 2.5 }), &[&[7 << 3 | 1][..], &2.5_f64.to_le_bytes()].concat());
        schema(json!({ "exclusiveMaximum": true, "maxLength": 3 }), &[8 << 3, 1, 11 << 3, 3]);

        let body = json!({ "in": "body", "name": "b", "schema": { "$ref": "#/definitions/b" } });
        let query = json!({ "in": "query", "name": "q", "uniqueItems": true });
        let parameters = json!({ "/p": { "parameters": [body, query, { "$ref": "#/definitions/b" }] } });
        let body = [part(2, b"b"), part(3, b"body"), part(5, &reference)].concat();
        let query = [part(2, b"query"), part(4, b"q"), vec![0xa0, 1, 1]].concat();
        let item = [
            part(9, &part(1, &part(1, &body))),
            part(9, &part(1, &part(2, &part(3, &query)))),
            part(9, &part(2, &reference)),
        ];
        check("paths", parameters, 8, &part(2, &named("/p", &item.concat())));

        let responses = json!({ "200": { "description": "OK", "schema": { "$ref": "#/definitions/b" } } });
        let response = part(1, &[part(1, b"OK"), part(2, &part(1, &reference))].concat());
        let operation = part(9, &part(1, &named("200", &response)));
        check(
            "paths",
            json!({ "/p": { "get": { "responses": responses } } }),
            8,
            &part(2, &named("/p", &part(2, &operation))),
        );
        check("security", json!([{ "key": [] }]), 12, &part(1, &named("key", &[])));
        let key = json!({ "token": { "type": "apiKey", "name": "authorization" } });
        let body = part(2, &[part(1, b"apiKey"), part(2, b"authorization")].concat());
        check("securityDefinitions", key, 13, &part(1, &named("token", &body)));
    }
}
