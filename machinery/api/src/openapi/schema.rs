//! Definitions: one schema for each type that the paths lead to.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::Version;
use super::custom::{self, CustomApi};
use super::descriptions::Descriptions;
use super::paths::Writer;
use crate::table::{Field, FieldKind, ListType, MapType, Resource, Table, Type, TypeId};

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
/// What `/version` tells; it is in no group.
pub(super) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";
const APIEXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";
/// Options and events that every group version has a name for.
const EVERYWHERE: [&str; 2] = ["DeleteOptions", "WatchEvent"];
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

pub(super) struct Schemas<'d> {
    table: &'static Table,
    version: Version,
    prose: &'d Descriptions,
    /// Definitions of custom resources, and whether they are of lists.
    custom: HashMap<String, (&'d dyn CustomApi, bool)>,
    group_versions: BTreeSet<(&'static str, &'static str)>,
    wanted: BTreeSet<String>,
    /// Whether closed sets of strings are told.
    enums: bool,
}

impl<'d> Schemas<'d> {
    pub(super) fn new(
        table: &'static Table,
        version: Version,
        prose: &'d Descriptions,
        served: impl Iterator<Item = &'static Resource>,
        enums: bool,
    ) -> Self {
        let group_versions = served.map(|r| (r.group, r.version)).collect();
        Self { table, version, prose, custom: HashMap::new(), group_versions, wanted: BTreeSet::new(), enums }
    }

    /// Knows the definitions of a custom resource from now on.
    pub(super) fn add_custom(&mut self, api: &'d dyn CustomApi) {
        for (kind, list) in [(api.kind(), false), (api.list_kind(), true)] {
            self.custom.insert(custom::model_name(api.group(), api.version(), kind), (api, list));
        }
    }

    /// A reference with a text of its own beside it.
    pub(super) fn described(&mut self, name: &str, text: &str) -> Value {
        let mut reference = self.reference(name);
        if self.version == Version::V3 {
            reference = json!({"allOf": [reference]});
        }
        reference["description"] = text.into();
        reference
    }

    /// A reference to a definition, which will be written.
    pub(super) fn reference(&mut self, name: &str) -> Value {
        if !self.wanted.contains(name) {
            self.wanted.insert(name.to_string());
        }
        let root = if self.version == Version::V2 { "#/definitions/" } else { "#/components/schemas/" };
        json!({"$ref": format!("{root}{name}")})
    }

    /// Writes the definitions wanted so far and all that they refer to, sorted by name.
    pub(super) fn write(&mut self, writer: &mut Writer) {
        let mut done: HashMap<String, Vec<u8>> = HashMap::new();
        while let Some(name) = self.wanted.iter().find(|name| !done.contains_key(*name)).cloned() {
            let schema = self.definition(&name);
            done.insert(name, serde_json::to_vec(&schema).expect("values always serialise"));
        }
        for name in &self.wanted {
            writer.raw_member(name, &done[name]);
        }
    }

    fn definition(&mut self, name: &str) -> Value {
        if let Some((api, list)) = self.custom.get(name).copied() {
            let version = self.version;
            return if list { custom::list(api, self) } else { custom::object(api, version, self) };
        }
        let mut schema = match self.special(name) {
            Some(schema) => schema,
            None => match self.table.type_named(name) {
                Some(id) => self.of_type(id),
                None => json!({"type": "object"}),
            },
        };
        let prose = self.prose;
        if let (Some(text), Some(members)) = (prose.of_type(name), schema.as_object_mut()) {
            members.insert("description".to_string(), text.into());
        }
        self.name_kinds(name, &mut schema);
        schema
    }

    /// Types with a form of their own.
    fn special(&mut self, name: &str) -> Option<Value> {
        let v3 = self.version == Version::V3;
        let short = name.strip_prefix(META).or_else(|| name.strip_prefix(APIEXTENSIONS));
        Some(match (name, short.unwrap_or_default()) {
            (QUANTITY, _) if v3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            (QUANTITY, _) => json!({"type": "string"}),
            (INT_OR_STRING, _) if v3 => {
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            (INT_OR_STRING, _) => json!({"type": "string", "format": "int-or-string"}),
            (RAW_EXTENSION, _) | (_, "FieldsV1" | "Patch") => json!({"type": "object"}),
            (_, "Time" | "MicroTime") => json!({"type": "string", "format": "date-time"}),
            (_, "Duration") => json!({"type": "string"}),
            (
                _,
                "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray",
            ) => json!({}),
            (VERSION_INFO, _) => version_info(v3),
            (_, "WatchEvent") => {
                let object = self.reference(RAW_EXTENSION);
                let mut kind = json!({"type": "string"});
                if v3 {
                    kind["default"] = "".into();
                }
                json!({"type": "object", "required": ["type", "object"],
                    "properties": {"type": kind, "object": object}})
            }
            _ => return None,
        })
    }

    fn of_type(&mut self, id: TypeId) -> Value {
        let ty: &'static Type = self.table.ty(id);
        let mut prose = self.prose.of_fields(ty.name);
        if ty.gvk.is_some() {
            for (field, text) in self.prose.of_every_object(self.is_list(ty)) {
                prose.entry(field).or_insert(text);
            }
        }
        let mut properties = Map::new();
        for field in &ty.fields {
            properties
                .insert(field.json_name.to_string(), self.property(field, prose.remove(field.json_name)));
        }
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() {
            schema["properties"] = Value::Object(properties);
        }
        let required: Vec<&str> =
            ty.fields.iter().filter(|f| f.openapi_required()).map(|f| f.json_name).collect();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if ty.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        schema
    }

    fn property(&mut self, field: &Field, prose: Option<String>) -> Value {
        let mut schema = self.of_kind(&field.kind);
        let default = self.default(field);
        let annotated = prose.is_some() || default.is_some();
        if schema.get("$ref").is_some() && annotated && self.version == Version::V3 {
            schema = json!({"allOf": [schema]});
        }
        if let Some(mut text) = prose {
            if let (FieldKind::Enum(id), Some(values)) = (&field.kind, schema["enum"].as_array()) {
                let values = values.iter().filter_map(Value::as_str);
                text.push_str(&self.prose.of_values(self.table.named_string(*id).name, values));
            }
            schema["description"] = text.into();
        }
        if let Some(default) = default {
            schema["default"] = default;
        }
        if let Some(kind) = field.list_type() {
            schema["x-kubernetes-list-type"] = match kind {
                ListType::Atomic => "atomic",
                ListType::Set => "set",
                ListType::Map => "map",
            }
            .into();
            if !field.list_map_keys().is_empty() {
                schema["x-kubernetes-list-map-keys"] = json!(field.list_map_keys());
            }
        }
        if let Some(kind) = field.map_type() {
            schema["x-kubernetes-map-type"] =
                if kind == MapType::Atomic { "atomic" } else { "granular" }.into();
        }
        if let Some(key) = field.patch_merge_key() {
            schema["x-kubernetes-patch-merge-key"] = key.into();
        }
        if !field.patch_strategy().is_empty() {
            schema["x-kubernetes-patch-strategy"] = field.patch_strategy().join(",").into();
        }
        schema
    }

    /// Only v3 tells defaults: the declared one, or what Go makes of an absent field that is no pointer.
    fn default(&self, field: &Field) -> Option<Value> {
        if self.version == Version::V2 {
            return None;
        }
        if let Some(declared) = field.default().and_then(|json| serde_json::from_str(json).ok()) {
            return Some(declared);
        }
        match &field.kind {
            _ if field.pointer() => None,
            FieldKind::Struct(_) | FieldKind::Duration => zero(&field.kind),
            FieldKind::Time | FieldKind::MicroTime | FieldKind::RawExtension => None,
            kind if !field.omitempty() => zero(kind),
            _ => None,
        }
    }

    fn of_kind(&mut self, kind: &FieldKind) -> Value {
        match kind {
            FieldKind::Bool => json!({"type": "boolean"}),
            FieldKind::Int32 => json!({"type": "integer", "format": "int32"}),
            FieldKind::Int64 => json!({"type": "integer", "format": "int64"}),
            FieldKind::Float => json!({"type": "number", "format": "double"}),
            FieldKind::String => json!({"type": "string"}),
            FieldKind::Enum(id) => {
                let named = self.table.named_string(*id);
                let values: BTreeSet<&str> =
                    named.values.iter().chain(super::enums::further_values(named.name)).copied().collect();
                let mut schema = json!({"type": "string"});
                if self.enums && !values.is_empty() && super::enums::is_closed(named.name) {
                    schema["enum"] = json!(values);
                }
                schema
            }
            FieldKind::Bytes => json!({"type": "string", "format": "byte"}),
            FieldKind::Struct(id) => self.reference(self.table.ty(*id).name),
            FieldKind::List(inner) => {
                let items = self.of_kind(inner);
                json!({"type": "array", "items": items})
            }
            FieldKind::WrappedStrings => {
                let items = self.of_kind(&FieldKind::String);
                json!({"type": "array", "items": items})
            }
            FieldKind::Map(inner) => {
                let values = self.of_kind(inner);
                json!({"type": "object", "additionalProperties": values})
            }
            FieldKind::Quantity => self.reference(QUANTITY),
            FieldKind::IntOrString => self.reference(INT_OR_STRING),
            FieldKind::Time => self.reference(&format!("{META}Time")),
            FieldKind::MicroTime => self.reference(&format!("{META}MicroTime")),
            FieldKind::Duration => self.reference(&format!("{META}Duration")),
            FieldKind::RawExtension => self.reference(RAW_EXTENSION),
            FieldKind::FieldsV1 => self.reference(&format!("{META}FieldsV1")),
            FieldKind::Json => self.reference(&format!("{APIEXTENSIONS}JSON")),
            FieldKind::Any => json!({"type": "object"}),
            FieldKind::SchemaOrArray(_) => self.reference(&format!("{APIEXTENSIONS}JSONSchemaPropsOrArray")),
            FieldKind::SchemaOrBool(_) => self.reference(&format!("{APIEXTENSIONS}JSONSchemaPropsOrBool")),
            FieldKind::SchemaOrStrings(_) => {
                self.reference(&format!("{APIEXTENSIONS}JSONSchemaPropsOrStringArray"))
            }
        }
    }

    /// Whether objects of this kind are lists of objects.
    fn is_list(&self, ty: &Type) -> bool {
        let meta = ty.field("metadata").and_then(|field| field.kind.struct_type());
        ty.gvk.is_some() && meta.is_some_and(|meta| self.table.ty(meta).name == LIST_META)
    }

    fn name_kinds(&self, name: &str, schema: &mut Value) {
        let named = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
        let everywhere = name.strip_prefix(META).filter(|kind| EVERYWHERE.contains(kind));
        let kinds: Vec<Value> = if let Some(kind) = everywhere {
            self.group_versions.iter().map(|(group, version)| named(group, version, kind)).collect()
        } else {
            let id = self.table.type_named(name);
            let gvk = id.and_then(|id| self.table.ty(id).gvk.as_ref());
            gvk.map(|gvk| vec![named(&gvk.group, &gvk.version, &gvk.kind)]).unwrap_or_default()
        };
        if !kinds.is_empty() {
            schema["x-kubernetes-group-version-kind"] = Value::Array(kinds);
        }
    }
}

/// Texts, of which those about emulation may be missing.
fn version_info(v3: bool) -> Value {
    let always = [
        "major",
        "minor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ];
    let sometimes = ["emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
    let mut properties = Map::new();
    for name in always {
        let text = if v3 { json!({"type": "string", "default": ""}) } else { json!({"type": "string"}) };
        properties.insert(name.to_string(), text);
    }
    properties.extend(sometimes.map(|name| (name.to_string(), json!({"type": "string"}))));
    json!({"type": "object", "required": always, "properties": properties})
}

/// Go's zero value as upstream's documents tell it; `None` where they tell none.
fn zero(kind: &FieldKind) -> Option<Value> {
    Some(match kind {
        FieldKind::Bool => json!(false),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float => json!(0),
        FieldKind::String | FieldKind::Enum(_) => json!(""),
        FieldKind::Struct(_) => json!({}),
        FieldKind::Duration => json!(0),
        _ => return None,
    })
}
