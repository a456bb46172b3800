//! The targets: one file a parser. Each is a plain function of bytes.

mod access;
mod apply;
mod cel;
mod json;
mod parameters;
mod patches;
mod protobuf;
mod quantity;
mod selectors;
mod streaming;
mod yaml;

use oarlock_api::table::{Table, TypeId};
use serde_json::Value;

use crate::{Shape, Target};

/// Words of the API that matter to more than one parser.
const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "status",
    "name",
    "containers",
    "image",
    "ports",
    "containerPort",
    "protocol",
    "TCP",
    "env",
    "value",
    "resources",
    "limits",
    "cpu",
    "100m",
    "labels",
    "annotations",
    "finalizers",
    "managedFields",
    "template",
    "replicas",
    "selector",
    "matchLabels",
    "data",
    "conditions",
    "type",
    "Ready",
    "2024-01-02T03:04:05Z",
    "2024-01-02T03:04:05.123456Z",
    "ownerReferences",
    "uid",
    "volumes",
    "emptyDir",
    "tolerations",
    "openAPIV3Schema",
    "properties",
    "items",
    "additionalProperties",
];

pub static ALL: &[Target] = &[
    Target { name: "json", run: json::run, shape: Shape::Json, words: FIELDS },
    Target { name: "yaml", run: yaml::run, shape: Shape::Text, words: yaml::WORDS },
    Target { name: "protobuf", run: protobuf::run, shape: Shape::Bytes, words: protobuf::WORDS },
    Target { name: "quantity", run: quantity::run, shape: Shape::Text, words: quantity::WORDS },
    Target { name: "label-selector", run: selectors::label, shape: Shape::Text, words: selectors::WORDS },
    Target { name: "field-selector", run: selectors::field, shape: Shape::Text, words: selectors::WORDS },
    Target { name: "list-parameters", run: parameters::run, shape: Shape::Text, words: parameters::WORDS },
    Target { name: "json-patch", run: patches::json, shape: Shape::Json, words: patches::JSON_WORDS },
    Target { name: "merge-patch", run: patches::merge, shape: Shape::Json, words: FIELDS },
    Target {
        name: "strategic-patch",
        run: patches::strategic,
        shape: Shape::Json,
        words: patches::STRATEGIC_WORDS,
    },
    Target { name: "fields", run: apply::fields, shape: Shape::Json, words: apply::WORDS },
    Target { name: "apply", run: apply::apply, shape: Shape::Json, words: apply::WORDS },
    Target { name: "cel", run: cel::run, shape: Shape::Text, words: cel::WORDS },
    Target { name: "spdy", run: streaming::spdy, shape: Shape::Bytes, words: &[] },
    Target {
        name: "websocket",
        run: streaming::websocket,
        shape: Shape::Bytes,
        words: &["\u{81}", "\u{82}"],
    },
    Target {
        name: "remote-command",
        run: streaming::remote_command,
        shape: Shape::Json,
        words: streaming::WORDS,
    },
    Target { name: "token", run: access::token, shape: Shape::Text, words: access::WORDS },
    Target { name: "jwt", run: access::jwt, shape: Shape::Json, words: access::CLAIMS },
    Target {
        name: "bootstrap-token",
        run: access::bootstrap_token,
        shape: Shape::Text,
        words: &["abcdef", ".", "0123456789abcdef"],
    },
    Target {
        name: "token-file",
        run: access::token_file,
        shape: Shape::Text,
        words: &["\"", ",", "\n", "\r\n", "token1", "\"a,b\""],
    },
    Target { name: "certificate", run: access::certificate, shape: Shape::Bytes, words: &[] },
    Target { name: "key", run: access::key, shape: Shape::Text, words: access::PEM_WORDS },
];

/// The type that an object says it is of; pods where it says none that exists.
fn type_of(value: &Value) -> TypeId {
    let table = Table::builtin();
    let gvk = oarlock_api::meta::gvk(value);
    let pod = || table.type_of("", "v1", "Pod").expect("pods exist");
    table.type_for(&gvk).unwrap_or_else(pod)
}

/// Runs a future that waits for nothing outside.
fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers starts")
        .block_on(future)
}
