//! Turns the facts of the Kubernetes API into the compact tables that `machinery/api` carries.
//!
//! Reads `kubernetes-*-types.json`, `-resources.json` and `bootstrap-objects-*.json`; writes `types.txt` (its form is
//! described in `machinery/api/src/table/load.rs`), `resources.json` and `bootstrap.json`. What the facts on resources lack
//! stands in `xtask/supplement.json`, row by row, and is written by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

const FACTS: &str = "../shared/facts";
const DATA: &str = "machinery/api/data";
const SUPPLEMENT: &str = "xtask/supplement.json";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Types that exist in the facts without a kind, though clients name them.
const MORE_KINDS: &[(&str, &str)] = &[
    ("io.k8s.api.admission.v1.AdmissionReview", "admission.k8s.io/v1/AdmissionReview"),
    ("io.k8s.api.apidiscovery.v2.APIGroupDiscovery", "apidiscovery.k8s.io/v2/APIGroupDiscovery"),
    ("io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList", "apidiscovery.k8s.io/v2/APIGroupDiscoveryList"),
    ("io.k8s.api.apidiscovery.v2beta1.APIGroupDiscovery", "apidiscovery.k8s.io/v2beta1/APIGroupDiscovery"),
    (
        "io.k8s.api.apidiscovery.v2beta1.APIGroupDiscoveryList",
        "apidiscovery.k8s.io/v2beta1/APIGroupDiscoveryList",
    ),
    ("io.k8s.api.core.v1.NodeProxyOptions", "/v1/NodeProxyOptions"),
    ("io.k8s.api.core.v1.PodAttachOptions", "/v1/PodAttachOptions"),
    ("io.k8s.api.core.v1.PodExecOptions", "/v1/PodExecOptions"),
    ("io.k8s.api.core.v1.PodLogOptions", "/v1/PodLogOptions"),
    ("io.k8s.api.core.v1.PodPortForwardOptions", "/v1/PodPortForwardOptions"),
    ("io.k8s.api.core.v1.PodProxyOptions", "/v1/PodProxyOptions"),
    ("io.k8s.api.core.v1.ServiceProxyOptions", "/v1/ServiceProxyOptions"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.CreateOptions", "/v1/CreateOptions"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.GetOptions", "/v1/GetOptions"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.List", "/v1/List"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ListOptions", "/v1/ListOptions"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.PatchOptions", "/v1/PatchOptions"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.UpdateOptions", "/v1/UpdateOptions"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata", "meta.k8s.io/v1/PartialObjectMetadata"),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList",
        "meta.k8s.io/v1/PartialObjectMetadataList",
    ),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Table", "meta.k8s.io/v1/Table"),
];

/// Structs without fields, which the facts name but do not list.
const EMPTY: &[&str] = &[
    "io.k8s.api.apiserverinternal.v1alpha1.StorageVersionSpec",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1beta1.CustomResourceSubresourceStatus",
];

/// `cargo xtask codegen [FACTS]`.
pub(crate) fn run() -> Result<()> {
    let facts = PathBuf::from(std::env::args().nth(2).unwrap_or_else(|| FACTS.to_string()));
    let data = Path::new(DATA);
    std::fs::create_dir_all(data).with_context(|| format!("create {}", data.display()))?;
    write(data, "types.txt", &types(&read(&facts, "kubernetes-", "-types.json")?)?)?;
    let mut rows = read(&facts, "kubernetes-", "-resources.json")?;
    supplement(&mut rows, &parse(Path::new(SUPPLEMENT))?)?;
    write(data, "resources.json", &resources(&rows)?)?;
    write(data, "bootstrap.json", &serde_json::to_string(&read(&facts, "bootstrap-objects-", ".json")?)?)
}

/// The newest file with this beginning and end.
fn read(folder: &Path, prefix: &str, suffix: &str) -> Result<Value> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) && name.ends_with(suffix) {
            found.push(entry.path());
        }
    }
    found.sort();
    parse(&found.pop().with_context(|| format!("no {prefix}*{suffix} in {}", folder.display()))?)
}

fn parse(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

/// Sets fields of rows. What no row takes, or what a row has come to say by itself, is a mistake to be mended there.
fn supplement(rows: &mut Value, additions: &Value) -> Result<()> {
    const NAMES: [&str; 3] = ["group", "version", "resource"];
    for addition in additions.as_array().context("a supplement is a list")? {
        let told = NAMES.map(|name| text(&addition[name])).join("/");
        let mut all = rows.as_array_mut().context("resources")?.iter_mut();
        let row = all.find(|row| NAMES.iter().all(|name| row[*name] == addition[*name]));
        let row = row.with_context(|| format!("{SUPPLEMENT}: the facts have no {told}"))?;
        let fields = addition.as_object().context("an object")?.iter();
        for (field, value) in fields.filter(|(field, _)| !NAMES.contains(&field.as_str())) {
            if row[field] == *value {
                bail!("{SUPPLEMENT}: the facts say {field} of {told} by themselves");
            }
            row[field] = value.clone();
        }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Everything that a type expression may refer to, with its index in the output.
struct Names<'a> {
    aliases: &'a Map<String, Value>,
    types: BTreeMap<&'a str, usize>,
    strings: BTreeMap<&'a str, usize>,
}

fn types(facts: &Value) -> Result<String> {
    let types = facts["types"].as_object().context("types")?;
    let aliases = facts["aliases"].as_object().context("aliases")?;
    let enums = facts["enums"].as_object().context("enums")?;
    let empty = Map::new();
    let mut all: BTreeMap<&str, &Map<String, Value>> = EMPTY.iter().map(|name| (*name, &empty)).collect();
    for (name, ty) in types {
        all.insert(name, ty.as_object().context("type")?);
    }
    let strings: Vec<&str> = aliases
        .iter()
        .filter(|(_, to)| *to == "string")
        .map(|(name, _)| name.as_str())
        .chain(SCALARS.iter().copied())
        .collect();
    let mut strings = strings;
    strings.sort_unstable();
    strings.dedup();
    let names = Names {
        aliases,
        types: all.keys().enumerate().map(|(at, name)| (*name, at)).collect(),
        strings: strings.iter().enumerate().map(|(at, name)| (*name, at)).collect(),
    };
    let mut out = String::new();
    for name in strings {
        let values: Vec<&str> = enums
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if values.is_empty() {
            writeln!(out, "A\t{name}")?
        } else {
            writeln!(out, "A\t{name}\t{}", values.join("|"))?
        }
    }
    for (name, ty) in &all {
        one_type(&mut out, &names, name, ty).with_context(|| name.to_string())?;
    }
    Ok(out)
}

/// Named strings outside the API packages.
const SCALARS: &[&str] = &["io.k8s.apimachinery.pkg.types.NodeName", "io.k8s.apimachinery.pkg.types.UID"];

fn one_type(out: &mut String, names: &Names<'_>, name: &str, ty: &Map<String, Value>) -> Result<()> {
    let mut kinds: Vec<String> = Vec::new();
    for gvk in ty.get("gvk").and_then(Value::as_array).into_iter().flatten() {
        kinds.push(format!("{}/{}/{}", text(&gvk["group"]), text(&gvk["version"]), text(&gvk["kind"])));
    }
    if kinds.is_empty() {
        kinds.extend(MORE_KINDS.iter().filter(|(of, _)| *of == name).map(|(_, gvk)| gvk.to_string()));
    }
    writeln!(out, "T\t{name}\t{}\t{}", kinds.join(","), ty.get("mapType").map(text).unwrap_or_default())?;
    let fields = ty.get("fields").and_then(Value::as_object);
    for (json_name, field) in fields.into_iter().flatten() {
        let expression = text(&field["type"]);
        if expression.starts_with("time.") {
            continue;
        }
        let tag = field["tag"].as_u64().unwrap_or_default();
        if field["inline"] == true {
            let target = names.resolve(expression);
            let index = names.types.get(target).with_context(|| format!("inlined {target}"))?;
            writeln!(out, "I\t{tag}\t{index}")?;
        } else {
            let kind = names.kind(expression).with_context(|| json_name.clone())?;
            let called =
                names.go_name(expression, &kind).map(|name| format!("\tn={name}")).unwrap_or_default();
            writeln!(out, "F\t{json_name}\t{tag}\t{kind}\t{}{}{called}", flags(field), markers(field)?)?;
        }
    }
    Ok(())
}

impl Names<'_> {
    fn resolve<'n>(&'n self, name: &'n str) -> &'n str {
        match self.aliases.get(name).map(text) {
            Some(to) if to.starts_with("io.k8s.") => self.resolve(to),
            _ => name,
        }
    }

    /// What Go calls a list or map that has a name: `v1.ResourceList`.
    fn go_name(&self, expression: &str, kind: &str) -> Option<String> {
        let name = expression.trim_start_matches('*');
        let named = self.aliases.contains_key(name) && kind.starts_with(['[', '{']);
        let mut parts = name.rsplit('.');
        let (last, package) = (parts.next()?, parts.next()?);
        named.then(|| format!("{package}.{last}"))
    }

    /// A Go type expression in the letters of `load.rs`.
    fn kind(&self, expression: &str) -> Result<String> {
        let expression = expression.trim_start_matches('*');
        if let Some(element) = expression.strip_prefix("[]") {
            return Ok(format!("[{}", self.kind(element)?));
        }
        if let Some(value) = expression.strip_prefix("map[string]") {
            return Ok(format!("{{{}", self.kind(value)?));
        }
        let name = self.resolve(expression);
        if let Some(letter) = letter(name) {
            return Ok(letter.to_string());
        }
        if let Some(schema) = name.strip_suffix("OrArray") {
            return self.index("A", schema);
        }
        if let Some(schema) = name.strip_suffix("JSONSchemaPropsOrBool") {
            return self.index("B", &format!("{schema}JSONSchemaProps"));
        }
        if let Some(schema) = name.strip_suffix("OrStringArray") {
            return self.index("C", schema);
        }
        if let Some(index) = self.strings.get(name) {
            return Ok(format!("E{index}"));
        }
        match self.aliases.get(name).map(text) {
            Some(to) => self.kind(to),
            None => self.index("S", name),
        }
    }

    fn index(&self, letter: &str, name: &str) -> Result<String> {
        match self.types.get(name) {
            Some(index) => Ok(format!("{letter}{index}")),
            None => bail!("unknown type {name}"),
        }
    }
}

/// Types with a form of their own.
fn letter(name: &str) -> Option<&'static str> {
    let letter = match name {
        "bool" => "b",
        "int32" => "i",
        "int64" => "l",
        "float64" => "g",
        "string" => "s",
        "bytes" => "y",
        "io.k8s.apimachinery.pkg.api.resource.Quantity" => "q",
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => "o",
        "io.k8s.apimachinery.pkg.runtime.RawExtension" => "r",
        _ => match name.strip_prefix(META).unwrap_or_default() {
            "Time" => "t",
            "MicroTime" => "m",
            "Duration" => "d",
            "FieldsV1" => "f",
            "interface{}" => "a",
            "Verbs" => "w",
            _ if name.ends_with(".ExtraValue") => "w",
            _ if name.ends_with(".JSON") => "j",
            _ => return None,
        },
    };
    Some(letter)
}

fn flags(field: &Value) -> String {
    let mut flags = String::new();
    if text(&field["type"]).starts_with('*') {
        flags.push('p');
    }
    let named = [
        ("omitempty", 'e'),
        ("omitzero", 'z'),
        ("optional", 'o'),
        ("required", 'r'),
        ("openapiRequired", 'R'),
    ];
    flags.extend(named.iter().filter(|(key, _)| field[*key] == true).map(|(_, letter)| *letter));
    flags
}

fn markers(field: &Value) -> Result<String> {
    let mut out = String::new();
    let default = match (&field["openapiDefault"], &field["default"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, marker) => Some(text(marker).to_string()),
        (value, _) => Some(serde_json::to_string(value)?),
    };
    if let Some(default) = default {
        write!(out, "\td={default}")?;
    }
    for (letter, keys) in [
        ('l', ["listType", "list-type"]),
        ('m', ["mapType", "map-type"]),
        ('m', ["structType", "structType"]),
        ('p', ["patchStrategy", "patchStrategy"]),
        ('g', ["patchMergeKey", "patchMergeKey"]),
    ] {
        if let Some(value) = keys.iter().find_map(|key| field[*key].as_str()) {
            write!(out, "\t{letter}={value}")?;
        }
    }
    if let Some(keys) = field["listMapKeys"].as_array() {
        let keys: Vec<&str> = keys.iter().map(text).collect();
        write!(out, "\tk={}", keys.join(","))?;
    }
    Ok(out)
}

fn resources(facts: &Value) -> Result<String> {
    let mut out = Vec::new();
    for resource in facts.as_array().context("resources")? {
        let mut one = resource.as_object().context("resource")?.clone();
        let plural = one.remove("resource").context("resource")?;
        let namespaced = one.remove("scope") == Some(json!("Namespaced"));
        one.insert("plural".into(), plural);
        one.insert("namespaced".into(), json!(namespaced));
        let (group, version) = (one["group"].clone(), one["version"].clone());
        for sub in one.get_mut("subresources").and_then(Value::as_array_mut).into_iter().flatten() {
            let kind = &mut sub["kind"];
            if kind["version"] == "" {
                kind["group"] = group.clone();
                kind["version"] = version.clone();
            }
        }
        for column in one.get_mut("tableColumns").and_then(Value::as_array_mut).into_iter().flatten() {
            let cells = column.as_array().context("column")?;
            *column = json!({"name": cells[0], "type": cells[1], "format": cells[2], "priority": cells[3]});
        }
        out.push(Value::Object(one));
    }
    Ok(serde_json::to_string(&out)?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
