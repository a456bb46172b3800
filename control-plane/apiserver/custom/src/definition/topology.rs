//! How a schema says that its lists and maps are merged (`x-kubernetes-list-type`, `-list-map-keys`, `-map-type`), and what
//! that asks of the schema around it. One law a function; [`LAWS`] has them in the order in which they are told.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::spec::Options;
use crate::value::{flag, items, strings, text};

const LIST: &str = "x-kubernetes-list-type";
const KEYS: &str = "x-kubernetes-list-map-keys";
const MAP: &str = "x-kubernetes-map-type";
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

/// The part of a schema that the laws are about.
struct Facet<'s> {
    schema: &'s Value,
    path: &'s Path,
    kind: &'s str,
    list: &'s str,
    map: &'s str,
    keys: Vec<String>,
    /// The schema of the items, where there is one.
    items: Option<&'s Value>,
}

/// A law, and the option that has to ask for it.
type Law = (fn(&Options) -> bool, fn(&Facet<'_>, &mut FieldErrors));

const LAWS: [Law; 11] = [
    (always, preserving_is_not_denied),
    (always, only_objects_have_a_map_type),
    (always, map_types_are_known),
    (always, only_arrays_have_a_list_type),
    (|options| options.atomic_sets, items_of_sets_are_wholes),
    (always, list_types_are_known),
    (always, only_maps_have_keys),
    (always, maps_have_keys_and_objects),
    (always, keys_are_scalars_of_the_items),
    (|options| options.map_keys, items_of_sets_and_maps_are_there),
    (|options| options.map_keys, keys_are_always_given),
];

fn always(_: &Options) -> bool {
    true
}

pub(super) fn validate(schema: &Value, path: &Path, options: &Options, errors: &mut FieldErrors) {
    let facet = Facet::of(schema, path);
    for (is_asked, law) in LAWS {
        if is_asked(options) {
            law(&facet, errors);
        }
    }
}

impl<'s> Facet<'s> {
    fn of(schema: &'s Value, path: &'s Path) -> Self {
        Self {
            schema,
            path,
            kind: text(&schema["type"]),
            list: text(&schema[LIST]),
            map: text(&schema[MAP]),
            keys: strings(&schema[KEYS]),
            items: Some(&schema["items"]).filter(|items| items.is_object()),
        }
    }

    fn at(&self, field: &str) -> Path {
        self.path.child(field)
    }

    /// The schemas of the keys of a list of type map whose items are objects.
    fn of_keys(&self) -> impl Iterator<Item = (&String, Option<&'s Value>)> {
        let properties = self.items.map(|items| &items["properties"]);
        self.keys.iter().map(move |key| (key, properties.and_then(|all| all.get(key))))
    }
}

/// Adds a fault where a word is not the one that another asks for: one of it, or one of its absence.
fn wants(word: &str, wanted: &str, at: Path, detail: &str, errors: &mut FieldErrors) {
    if word.is_empty() {
        errors.push(FieldError::required(at, detail));
    } else if word != wanted {
        errors.push(FieldError::invalid(at, word, detail));
    }
}

fn is_known(word: &str, known: &[&str], at: Path, errors: &mut FieldErrors) {
    if !word.is_empty() && !known.contains(&word) {
        errors.push(FieldError::not_supported(at, word, known));
    }
}

fn preserving_is_not_denied(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if facet.schema.get(PRESERVE) == Some(&Value::Bool(false)) {
        errors.push(FieldError::invalid(facet.at(PRESERVE), false, "must be true or undefined"));
    }
}

fn only_objects_have_a_map_type(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if !facet.map.is_empty() {
        let detail = "must be object if x-kubernetes-map-type is specified";
        wants(facet.kind, "object", facet.at("type"), detail, errors);
    }
}

fn map_types_are_known(facet: &Facet<'_>, errors: &mut FieldErrors) {
    is_known(facet.map, &["atomic", "granular"], facet.at(MAP), errors);
}

fn only_arrays_have_a_list_type(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if !facet.list.is_empty() {
        let detail = "must be array if x-kubernetes-list-type is specified";
        wants(facet.kind, "array", facet.at("type"), detail, errors);
    }
}

/// The type of a list of lists is told, also where it is the map type of the items that is wrong: so upstream does.
fn items_of_sets_are_wholes(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if facet.kind == "array" && has_loose_set(facet.schema) {
        let of_items = &facet.schema["items"];
        let field = if text(&of_items["type"]) == "array" { LIST } else { MAP };
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        errors.push(FieldError::invalid(facet.at("items").child(field), of_items[LIST].clone(), detail));
    }
}

fn list_types_are_known(facet: &Facet<'_>, errors: &mut FieldErrors) {
    let known = ["atomic", "set", "map"];
    // Empty is not absent.
    if !facet.schema[LIST].is_null() && !known.contains(&facet.list) {
        errors.push(FieldError::not_supported(facet.at(LIST), facet.list, &known));
    }
}

fn only_maps_have_keys(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if !items(&facet.schema[KEYS]).is_empty() {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        if facet.schema[LIST] == "" {
            return errors.push(FieldError::invalid(facet.at(LIST), "", detail));
        }
        wants(facet.list, "map", facet.at(LIST), detail, errors);
    }
}

fn maps_have_keys_and_objects(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if facet.list != "map" {
        return;
    }
    if facet.keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(facet.at(KEYS), detail));
    }
    match facet.items.map(|items| text(&items["type"])) {
        None => {
            let detail = "must have a schema if x-kubernetes-list-type is map";
            errors.push(FieldError::required(facet.at("items"), detail));
        }
        Some("object") => {}
        Some(kind) => {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(facet.at("items").child("type"), kind, detail));
        }
    }
}

fn keys_are_scalars_of_the_items(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if facet.list != "map" || facet.items.is_none_or(|items| items["type"] != "object") {
        return;
    }
    let about_all = |detail| FieldError::invalid(facet.at(KEYS), facet.schema[KEYS].clone(), detail);
    for (index, (key, property)) in facet.of_keys().enumerate() {
        let is_twice = facet.keys[..index].contains(key);
        match property.map(|property| text(&property["type"])) {
            Some("array" | "object") => {
                let at = facet.at("items").child("properties").key(key).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                // The type that is told is that of the items: so upstream does.
                errors.push(FieldError::invalid(at, "object", detail));
            }
            Some(_) => {}
            None => errors.push(about_all("entries must all be names of item properties")),
        }
        if is_twice {
            errors.push(about_all("must not contain duplicate entries"));
        }
    }
}

fn items_of_sets_and_maps_are_there(facet: &Facet<'_>, errors: &mut FieldErrors) {
    let is_nullable = facet.items.is_some_and(|items| flag(&items["nullable"]));
    if is_nullable && matches!(facet.list, "set" | "map") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {}", facet.list);
        errors.push(FieldError::forbidden(facet.at("items").child("nullable"), detail));
    }
}

fn keys_are_always_given(facet: &Facet<'_>, errors: &mut FieldErrors) {
    if facet.list != "map" {
        return;
    }
    let required = facet.items.map(|items| strings(&items["required"])).unwrap_or_default();
    for (key, property) in facet.of_keys() {
        let Some(property) = property else { continue };
        let at = facet.at("items").child("properties").key(key);
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(at.child("default"), detail));
        }
        if flag(&property["nullable"]) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(at.child("nullable"), detail));
        }
    }
}

/// A set whose items are not compared as wholes.
pub(super) fn has_loose_set(schema: &Value) -> bool {
    let of_items = &schema["items"];
    text(&schema[LIST]) == "set"
        && match text(&of_items["type"]) {
            "array" => !matches!(text(&of_items[LIST]), "" | "atomic"),
            "object" => text(&of_items[MAP]) != "atomic",
            _ => false,
        }
}

/// A set or map whose items or keys may be missing.
pub(super) fn has_loose_keys(schema: &Value) -> bool {
    let (mut errors, root) = (FieldErrors::new(), Path::root());
    let facet = Facet::of(schema, &root);
    items_of_sets_and_maps_are_there(&facet, &mut errors);
    keys_are_always_given(&facet, &mut errors);
    !errors.is_empty()
}
