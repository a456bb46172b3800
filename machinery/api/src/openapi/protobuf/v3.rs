//! The messages of `openapi.v3`, as far as the documents use them.

use serde_json::Value;

use super::{Message, Shape, message, put};

/// A choice between a message and a reference, as most of them are.
const fn or_reference(members: &'static [super::Member], extensions: u16) -> Message {
    Message { members, extensions, choice: Some((1, 2)) }
}

static DOCUMENT: Message = message(
    &[
        ("openapi", 1, Shape::Text),
        ("info", 2, Shape::One(&INFO)),
        ("paths", 4, Shape::Named(&PATH_ITEM, 1)),
        ("components", 5, Shape::One(&COMPONENTS)),
        ("security", 6, Shape::Requirements),
        ("externalDocs", 8, Shape::One(&EXTERNAL_DOCS)),
    ],
    9,
);

static INFO: Message = message(
    &[
        ("title", 1, Shape::Text),
        ("description", 2, Shape::Text),
        ("termsOfService", 3, Shape::Text),
        ("version", 6, Shape::Text),
    ],
    7,
);

static EXTERNAL_DOCS: Message = message(&[("description", 1, Shape::Text), ("url", 2, Shape::Text)], 3);

static COMPONENTS: Message = message(
    &[("schemas", 1, Shape::Named(&SCHEMA, 1)), ("securitySchemes", 7, Shape::Named(&SECURITY, 1))],
    10,
);

static SECURITY: Message = or_reference(
    &[
        ("type", 1, Shape::Text),
        ("description", 2, Shape::Text),
        ("name", 3, Shape::Text),
        ("in", 4, Shape::Text),
        ("scheme", 5, Shape::Text),
        ("bearerFormat", 6, Shape::Text),
        ("openIdConnectUrl", 8, Shape::Text),
    ],
    9,
);

static PATH_ITEM: Message = message(
    &[
        ("$ref", 1, Shape::Text),
        ("summary", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("get", 4, Shape::One(&OPERATION)),
        ("put", 5, Shape::One(&OPERATION)),
        ("post", 6, Shape::One(&OPERATION)),
        ("delete", 7, Shape::One(&OPERATION)),
        ("options", 8, Shape::One(&OPERATION)),
        ("head", 9, Shape::One(&OPERATION)),
        ("patch", 10, Shape::One(&OPERATION)),
        ("trace", 11, Shape::One(&OPERATION)),
        ("parameters", 13, Shape::Many(&PARAMETER)),
    ],
    14,
);

static OPERATION: Message = message(
    &[
        ("tags", 1, Shape::Texts),
        ("summary", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("externalDocs", 4, Shape::One(&EXTERNAL_DOCS)),
        ("operationId", 5, Shape::Text),
        ("parameters", 6, Shape::Many(&PARAMETER)),
        ("requestBody", 7, Shape::One(&REQUEST_BODY)),
        ("responses", 8, Shape::Named(&RESPONSE, 2)),
        ("deprecated", 10, Shape::Flag),
        ("security", 11, Shape::Requirements),
    ],
    13,
);

static PARAMETER: Message = or_reference(
    &[
        ("name", 1, Shape::Text),
        ("in", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("required", 4, Shape::Flag),
        ("deprecated", 5, Shape::Flag),
        ("allowEmptyValue", 6, Shape::Flag),
        ("style", 7, Shape::Text),
        ("explode", 8, Shape::Flag),
        ("allowReserved", 9, Shape::Flag),
        ("schema", 10, Shape::One(&SCHEMA)),
        ("example", 11, Shape::Any),
        ("content", 13, Shape::Named(&MEDIA_TYPE, 1)),
    ],
    14,
);

static REQUEST_BODY: Message = or_reference(
    &[
        ("description", 1, Shape::Text),
        ("content", 2, Shape::Named(&MEDIA_TYPE, 1)),
        ("required", 3, Shape::Flag),
    ],
    4,
);

static RESPONSE: Message =
    or_reference(&[("description", 1, Shape::Text), ("content", 3, Shape::Named(&MEDIA_TYPE, 1))], 5);

static MEDIA_TYPE: Message = message(&[("schema", 1, Shape::One(&SCHEMA)), ("example", 2, Shape::Any)], 5);

static SCHEMA: Message = or_reference(
    &[
        ("nullable", 1, Shape::Flag),
        ("readOnly", 3, Shape::Flag),
        ("writeOnly", 4, Shape::Flag),
        ("externalDocs", 6, Shape::One(&EXTERNAL_DOCS)),
        ("example", 7, Shape::Any),
        ("deprecated", 8, Shape::Flag),
        ("title", 9, Shape::Text),
        ("multipleOf", 10, Shape::Number),
        ("maximum", 11, Shape::Number),
        ("exclusiveMaximum", 12, Shape::Flag),
        ("minimum", 13, Shape::Number),
        ("exclusiveMinimum", 14, Shape::Flag),
        ("maxLength", 15, Shape::Integer),
        ("minLength", 16, Shape::Integer),
        ("pattern", 17, Shape::Text),
        ("maxItems", 18, Shape::Integer),
        ("minItems", 19, Shape::Integer),
        ("uniqueItems", 20, Shape::Flag),
        ("maxProperties", 21, Shape::Integer),
        ("minProperties", 22, Shape::Integer),
        ("required", 23, Shape::Texts),
        ("enum", 24, Shape::Anys),
        ("type", 25, Shape::Text),
        ("allOf", 26, Shape::Many(&SCHEMA)),
        ("oneOf", 27, Shape::Many(&SCHEMA)),
        ("anyOf", 28, Shape::Many(&SCHEMA)),
        ("not", 29, Shape::Bare(&SCHEMA)),
        ("items", 30, Shape::OneOrMany(&SCHEMA)),
        ("properties", 31, Shape::Named(&SCHEMA, 1)),
        ("additionalProperties", 32, Shape::SchemaOrFlag(&SCHEMA)),
        ("default", 33, Shape::Scalar),
        ("description", 34, Shape::Text),
        ("format", 35, Shape::Text),
    ],
    36,
);

/// A document of v3, given as JSON.
pub fn encode_v3(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 19);
    put(&DOCUMENT, document, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A message at a number below 16.
    fn part(number: u8, body: &[u8]) -> Vec<u8> {
        [&head(number, body.len())[..], body].concat()
    }

    /// The key and the length of what is delimited.
    fn head(number: u8, len: usize) -> Vec<u8> {
        let len = u8::try_from(len).ok().filter(|len| *len < 0x80).expect("it is short");
        match number {
            ..16 => vec![number << 3 | 2, len],
            _ => vec![number << 3 & 0x7f | 2 | 0x80, number >> 4, len],
        }
    }

    fn named(name: &str, body: &[u8]) -> Vec<u8> {
        [part(1, name.as_bytes()), part(2, body)].concat()
    }

    #[test]
    fn each_form_of_a_schema_has_its_message() {
        let reference = part(2, &part(1, b"#/b"));
        let number = [&[1 << 3 | 1][..], &2.0_f64.to_le_bytes()].concat();
        let cases = [
            (json!({ "$ref": "#/b" }), reference.clone()),
            (json!({ "type": "object" }), part(1, &part(25, b"object"))),
            (json!({ "allOf": [{ "$ref": "#/b" }] }), part(1, &part(26, &reference))),
            (json!({ "default": {} }), part(1, &part(33, &[]))),
            (json!({ "default": "a" }), part(1, &part(33, &part(3, b"a")))),
            (json!({ "default": 2 }), part(1, &part(33, &number))),
            (json!({ "default": false }), part(1, &part(33, &[2 << 3, 0]))),
            (json!({ "items": { "$ref": "#/b" } }), part(1, &part(30, &part(1, &reference)))),
            (
                json!({ "properties": { "p": { "$ref": "#/b" } } }),
                part(1, &part(31, &part(1, &named("p", &reference)))),
            ),
            (json!({ "additionalProperties": { "$ref": "#/b" } }), part(1, &part(32, &part(1, &reference)))),
            (json!({ "additionalProperties": true }), part(1, &part(32, &[2 << 3, 1]))),
            (json!({ "not": { "type": "a" } }), part(1, &part(29, &part(25, b"a")))),
            (json!({ "enum": ["a"] }), part(1, &part(24, &part(2, b"\"a\"\n")))),
            (json!({ "x-y": 1 }), part(1, &part(36, &named("x-y", &part(2, b"1\n"))))),
        ];
        for (schema, body) in cases {
            let told = encode_v3(&json!({ "components": { "schemas": { "s": schema } } }));
            assert_eq!(told, part(5, &part(1, &part(1, &named("s", &body)))), "{schema}");
        }
    }

    #[test]
    fn an_operation_has_its_message() {
        let schema = json!({ "$ref": "#/b" });
        let content = json!({ "*/*": { "schema": schema } });
        let get = json!({
            "operationId": "o", "parameters": [{ "name": "q", "in": "query", "schema": schema }],
            "requestBody": { "content": content, "required": true }, "responses": { "200": { "content": content } },
        });
        let schema = part(1, &part(2, &part(1, b"#/b")));
        let content = part(1, &named("*/*", &schema));
        let parameter = [part(1, b"q"), part(2, b"query"), part(10, &part(2, &part(1, b"#/b")))].concat();
        let request = [part(2, &content), vec![3 << 3, 1]].concat();
        let operation = [
            part(5, b"o"),
            part(6, &part(1, &parameter)),
            part(7, &part(1, &request)),
            part(8, &part(2, &named("200", &part(1, &part(3, &content))))),
        ]
        .concat();
        let told = encode_v3(&json!({ "openapi": "3.0.0", "paths": { "/p": { "get": get } } }));
        assert_eq!(told, [part(1, b"3.0.0"), part(4, &part(1, &named("/p", &part(4, &operation))))].concat());
    }
}
