//! Writes `machinery/cri/src/v1/` from the facts of CRI v1: messages as prost structs, one file per area, and the client
//! and server halves of both services. What a generic function can say is in `oarlock-cri` by hand, not here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

const HEADER: &str = "// Written by `cargo xtask codegen` from the facts of CRI v1. Do not edit.\n";

/// A file of messages may or may not name those of another.
const IMPORTS: &str = "\nuse super::*;\n";

/// Their values are secrets, so their `Debug` is written by hand in `redact.rs`.
const SECRET: [&str; 2] = ["AuthConfig", "KeyValue"];

/// Calls whose deadline depends on the request; the client writes them by hand.
const OWN_DEADLINE: [&str; 3] = ["StopContainer", "ExecSync", "PullImage"];

#[derive(Deserialize)]
struct Protocol {
    package: String,
    messages: BTreeMap<String, BTreeMap<String, Vec<serde_json::Value>>>,
    enums: BTreeMap<String, BTreeMap<String, i32>>,
    services: BTreeMap<String, BTreeMap<String, [String; 2]>>,
}

/// Reads the facts from `$OARLOCK_FACTS` (or `facts/` in the workspace) and writes the generated files.
pub(crate) fn run() -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let facts = std::env::var_os("OARLOCK_FACTS").map_or_else(|| root.join("facts"), PathBuf::from);
    let path = facts.join("node-protocols.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut all: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text)?;
    let cri = all.remove("cri runtime.v1").context("the facts hold no CRI v1")?;
    write_all(&serde_json::from_value(cri)?, &root.join("machinery/cri/src/v1"))
}

fn write_all(protocol: &Protocol, out: &Path) -> Result<()> {
    let mut areas: BTreeMap<&str, String> = BTreeMap::new();
    for (name, fields) in &protocol.messages {
        let text = areas.entry(area(name)).or_insert_with(|| HEADER.to_owned() + IMPORTS);
        message(protocol, name, fields, text)?;
    }
    let mut enums = HEADER.to_owned();
    for (name, values) in &protocol.enums {
        enumeration(name, values, &mut enums);
    }
    areas.insert("enums", enums);
    for (service, methods) in &protocol.services {
        let file = if service == "ImageService" { "image_service" } else { "runtime_service" };
        let mut text = HEADER.to_owned() + "\nuse super::*;\nuse crate::wire::*;\n";
        client(&protocol.package, service, methods, &mut text);
        server(&protocol.package, service, methods, &mut text);
        areas.insert(file, text);
    }
    std::fs::create_dir_all(out)?;
    let mut index = HEADER.replacen("//", "//! The messages and services of CRI v1.\n//!\n//!", 1) + "\n";
    for (area, text) in &areas {
        std::fs::write(out.join(format!("{area}.rs")), text)?;
        writeln!(index, "mod {area};")?;
    }
    index.push('\n');
    for area in areas.keys() {
        writeln!(index, "pub use {area}::*;")?;
    }
    std::fs::write(out.join("mod.rs"), index)?;
    Ok(())
}

/// The file a message lives in: the parts of CRI, told by the words of its name.
fn area(name: &str) -> &'static str {
    let has = |word: &str| name.contains(word);
    if has("Windows") {
        "windows"
    } else if has("Stats")
        || has("Usage")
        || has("Metric")
        || has("Psi")
        || has("Attributes")
        || has("Filesystem")
    {
        "stats"
    } else if has("Image") || has("AuthConfig") {
        "image"
    } else if has("Exec") || has("Attach") || has("PortForward") {
        // A file of their own would name nothing of the others, and its import would be unused.
        "container"
    } else if has("Sandbox") || has("PodIP") || has("DNSConfig") || has("PortMapping") {
        "sandbox"
    } else if has("Container") || has("Mount") || has("Device") || has("KeyValue") || has("HugepageLimit") {
        "container"
    } else if has("Namespace") || has("Security") || has("SELinux") || has("Capability") || has("IDMapping") {
        "security"
    } else {
        "runtime"
    }
}

fn message(
    protocol: &Protocol,
    name: &str,
    fields: &BTreeMap<String, Vec<serde_json::Value>>,
    out: &mut String,
) -> Result<()> {
    let secret = SECRET.contains(&name);
    writeln!(out, "\n#[derive(Clone, PartialEq, ::prost::Message)]")?;
    if secret {
        writeln!(out, "#[prost(skip_debug)]")?;
    }
    let mut numbered: Vec<(u64, &str, &str, bool)> = Vec::new();
    for (field, facts) in fields {
        let number = facts.first().and_then(serde_json::Value::as_u64).context("a field without a number")?;
        let kind = facts.get(1).and_then(serde_json::Value::as_str).context("a field without a type")?;
        numbered.push((number, field, kind, facts.get(2).is_some_and(|label| label == "repeated")));
    }
    numbered.sort_unstable();
    if numbered.is_empty() {
        writeln!(out, "pub struct {} {{}}", camel(name))?;
        return Ok(());
    }
    writeln!(out, "pub struct {} {{", camel(name))?;
    for (number, field, kind, repeated) in numbered {
        let (attribute, rust) = field_type(protocol, kind, repeated)?;
        writeln!(out, "    #[prost({attribute}, tag = \"{number}\")]\n    pub {}: {rust},", snake(field))?;
    }
    writeln!(out, "}}")?;
    Ok(())
}

/// The prost attribute and the Rust type of a field.
fn field_type(protocol: &Protocol, kind: &str, repeated: bool) -> Result<(String, String)> {
    if kind == "map<string,string>" {
        return Ok((
            "btree_map = \"string, string\"".into(),
            "std::collections::BTreeMap<String, String>".into(),
        ));
    }
    let scalar = match kind {
        "string" => Some(("string", "String")),
        "bytes" => Some(("bytes = \"vec\"", "Vec<u8>")),
        "bool" => Some(("bool", "bool")),
        "int32" => Some(("int32", "i32")),
        "int64" => Some(("int64", "i64")),
        "uint32" => Some(("uint32", "u32")),
        "uint64" => Some(("uint64", "u64")),
        "double" => Some(("double", "f64")),
        _ => None,
    };
    let (attribute, rust, message) = if let Some((attribute, rust)) = scalar {
        (attribute.to_owned(), rust.to_owned(), false)
    } else if protocol.enums.contains_key(kind) {
        (format!("enumeration = \"{}\"", camel(kind)), "i32".to_owned(), false)
    } else if protocol.messages.contains_key(kind) {
        ("message".to_owned(), camel(kind), true)
    } else {
        bail!("unknown type {kind}");
    };
    Ok(match (repeated, message) {
        (true, _) => (format!("{attribute}, repeated"), format!("Vec<{rust}>")),
        (false, true) => (format!("{attribute}, optional"), format!("Option<{rust}>")),
        (false, false) => (attribute, rust),
    })
}

fn enumeration(name: &str, values: &BTreeMap<String, i32>, out: &mut String) {
    let mut sorted: Vec<(i32, &str)> = values.iter().map(|(name, value)| (*value, name.as_str())).collect();
    sorted.sort_unstable();
    out.push_str(
        "\n#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]\n",
    );
    let _ = writeln!(out, "#[repr(i32)]\npub enum {} {{", camel(name)); // writing to a String cannot fail
    for (value, variant) in &sorted {
        let _ = writeln!(out, "    {} = {value},", camel(variant));
    }
    let _ = writeln!(out, "}}\n\nimpl {} {{", camel(name));
    out.push_str("    /// The name on the wire.\n    pub fn as_str_name(&self) -> &'static str {\n        match self {\n");
    for (_, variant) in &sorted {
        let _ = writeln!(out, "            Self::{} => \"{variant}\",", camel(variant));
    }
    out.push_str("        }\n    }\n}\n");
}

/// The methods of one service on `crate::Client`.
fn client(package: &str, service: &str, methods: &BTreeMap<String, [String; 2]>, out: &mut String) {
    out.push_str("\nimpl crate::Client {\n");
    for (method, [request, response]) in methods {
        let path = format!("/{package}.{service}/{method}");
        if OWN_DEADLINE.contains(&method.as_str()) {
            continue;
        }
        let (call, result) = match response.strip_prefix("stream ") {
            Some(item) => ("streaming", format!("tonic::Streaming<{}>", camel(item))),
            None => ("unary", camel(response)),
        };
        let _ = writeln!(
            out,
            "    pub async fn {}(&self, request: {}) -> Result<{result}, crate::CallError> {{\n        \
             self.{call}(\"{method}\", \"{path}\", request).await\n    }}\n",
            snake(method),
            camel(request)
        );
    }
    out.push_str("}\n");
}

/// The trait that a runtime implements, and the tower service that routes calls to it.
fn server(package: &str, service: &str, methods: &BTreeMap<String, [String; 2]>, out: &mut String) {
    let _ = writeln!(
        out,
        "\n/// `{package}.{service}`. A call that a runtime leaves out answers Unimplemented, as the protocol has it.\n\
         #[tonic::async_trait]\npub trait {service}: Send + Sync + 'static {{"
    );
    for (method, [request, response]) in methods {
        let result = match response.strip_prefix("stream ") {
            Some(item) => format!("ResponseStream<{}>", camel(item)),
            None => camel(response),
        };
        let _ = writeln!(
            out,
            "    async fn {}(&self, request: {}) -> Result<{result}, Status> {{\n        \
             let _ = request; // nothing to look at in a call that is not served\n        \
             Err(unserved(\"{method}\"))\n    }}\n",
            snake(method),
            camel(request)
        );
    }
    let _ = writeln!(
        out,
        "}}\n\n/// Serves a [`{service}`] over gRPC.\npub struct {service}Server<S>(std::sync::Arc<S>);\n\n\
         impl<S> {service}Server<S> {{\n    pub fn new(inner: std::sync::Arc<S>) -> Self {{\n        Self(inner)\n    }}\n}}\n\n\
         impl<S> Clone for {service}Server<S> {{\n    fn clone(&self) -> Self {{\n        Self(self.0.clone())\n    }}\n}}\n\n\
         impl<S> tonic::server::NamedService for {service}Server<S> {{\n    \
         const NAME: &'static str = \"{package}.{service}\";\n}}\n\n\
         impl<S: {service}> tower::Service<HttpRequest> for {service}Server<S> {{\n    \
         type Response = HttpResponse;\n    type Error = std::convert::Infallible;\n    \
         type Future = HttpFuture;\n\n    \
         fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {{\n        \
         std::task::Poll::Ready(Ok(()))\n    }}\n\n    \
         fn call(&mut self, request: HttpRequest) -> Self::Future {{\n        let inner = self.0.clone();\n        \
         match request.uri().path() {{"
    );
    for (method, [_, response]) in methods {
        let serve = if response.starts_with("stream ") { "serve_stream" } else { "serve_unary" };
        let name = snake(method);
        let _ = writeln!(
            out,
            "            \"/{package}.{service}/{method}\" => {serve}(request, async move |message| inner.{name}(message).await),"
        );
    }
    out.push_str("            _ => unknown_method(),\n        }\n    }\n}\n");
}

/// `DNSConfig` → `DnsConfig`, `CONTAINER_EXITED` → `ContainerExited`, `SecurityProfile.ProfileType` → `ProfileType`.
fn camel(name: &str) -> String {
    words(name.rsplit('.').next().unwrap_or(name))
        .iter()
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + &rest.to_lowercase()
        })
        .collect()
}

/// `uidMappings` → `uid_mappings`; Rust's own words get `r#`.
fn snake(name: &str) -> String {
    let joined = words(name).join("_").to_lowercase();
    if joined == "type" { "r#type".into() } else { joined }
}

/// Splits at underscores, before an upper-case letter that follows a lower-case one, and before the last capital of a
/// run that a lower-case letter follows.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| letters[j]);
        let after = letters.get(i + 1);
        let starts = letter.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase()
                    || b.is_numeric()
                    || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if (starts || letter == '_') && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if letter != '_'
            && let Some(word) = words.last_mut()
        {
            word.push(letter);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_habits_of_prost() {
        for (name, expected) in [
            ("DNSConfig", "DnsConfig"),
            ("SELinuxOption", "SeLinuxOption"),
            ("UInt64Value", "UInt64Value"),
            ("CONTAINER_EXITED", "ContainerExited"),
            ("SecurityProfile.ProfileType", "ProfileType"),
            ("PodIP", "PodIp"),
        ] {
            assert_eq!(camel(name), expected);
        }
        for (name, expected) in
            [("uidMappings", "uid_mappings"), ("CDI_devices", "cdi_devices"), ("type", "r#type")]
        {
            assert_eq!(snake(name), expected);
        }
    }
}
