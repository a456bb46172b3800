//! The messages of `openapi.v2`.

use serde_json::Value;

use super::{Message, Shape, message, put};
use crate::codec::protobuf::wire::{put_bytes, put_message};

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
        ("parameters", 9, Shape::Each(put_parameter)),
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
        ("parameters", 8, Shape::Each(put_parameter)),
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
        ("additionalProperties", 21, Shape::SchemaOrFlag(&SCHEMA)),
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
