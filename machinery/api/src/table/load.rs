//! Reads the committed text of the type table.
//!
//! One record a line, cells parted by tabs; the first cell says what it is:
//! `A name values` a named string; `T name gvk atomic` a type, followed by its members: `F json-name tag kind flags
//! [key=value…]` a field, `I tag type` an inlined struct. Types are sorted by name and refer to each other by index.

use super::field::{INLINED, Markers, OMITEMPTY, OMITZERO, OPENAPI_REQUIRED, OPTIONAL, POINTER, REQUIRED};
use super::*;

const TYPES: &str = include_str!("../../data/types.txt");
const RESOURCES: &str = include_str!("../../data/resources.json");

/// A type as the file has it, before inlined structs are resolved.
#[derive(Default)]
struct Raw {
    name: &'static str,
    gvk: &'static str,
    atomic: bool,
    fields: Vec<Field>,
    inlines: Vec<(u16, TypeId)>,
}

pub(super) fn builtin() -> Table {
    let (raws, enums) = parse(TYPES).expect("codegen wrote a valid table");
    let types: Vec<Type> = (0..raws.len()).map(|at| resolve(&raws, at)).collect();
    let mut kinds = Vec::new();
    for (at, raw) in raws.iter().enumerate() {
        for gvk in raw.gvk.split(',').filter(|g| !g.is_empty()) {
            let (group, version, kind) = split_gvk(gvk).expect("codegen wrote a valid kind");
            kinds.push((group, version, kind, TypeId::at(at)));
        }
    }
    kinds.sort_unstable();
    let mut resources: Vec<Resource> = serde_json::from_str(RESOURCES).expect("codegen wrote valid JSON");
    resources.sort_by_key(|r| (r.group, r.version, r.plural));
    Table { types, enums, kinds, resources }
}

fn parse(text: &'static str) -> Option<(Vec<Raw>, Vec<NamedString>)> {
    let (mut raws, mut enums) = (Vec::<Raw>::with_capacity(1300), Vec::with_capacity(300));
    for line in text.lines() {
        let mut cells = line.split('\t');
        match cells.next()? {
            "A" => {
                let name = cells.next()?;
                let values = cells.next().map(|v| v.split('|').collect()).unwrap_or_default();
                enums.push(NamedString { name, values });
            }
            "T" => raws.push(Raw {
                name: cells.next()?,
                gvk: cells.next()?,
                atomic: cells.next()? == "atomic",
                ..Raw::default()
            }),
            "F" => raws.last_mut()?.fields.push(field(cells)?),
            "I" => {
                let inline = (cells.next()?.parse().ok()?, TypeId(cells.next()?.parse().ok()?));
                raws.last_mut()?.inlines.push(inline);
            }
            _ => return None,
        }
    }
    Some((raws, enums))
}

fn field(mut cells: std::str::Split<'static, char>) -> Option<Field> {
    let json_name = cells.next()?;
    let tag = cells.next()?.parse().ok()?;
    let kind = kind(cells.next()?)?;
    let flags = cells.next()?.bytes().map(flag).fold(0, |all, one| all | one);
    let mut markers = Markers::default();
    let mut marked = false;
    for cell in cells {
        let (key, value) = cell.split_once('=')?;
        marker(&mut markers, key, value)?;
        marked = true;
    }
    Some(Field { json_name, kind, tag, flags, markers: marked.then(|| Box::new(markers)) })
}

fn flag(letter: u8) -> u8 {
    match letter {
        b'p' => POINTER,
        b'e' => OMITEMPTY,
        b'z' => OMITZERO,
        b'o' => OPTIONAL,
        b'r' => REQUIRED,
        b'R' => OPENAPI_REQUIRED,
        _ => 0,
    }
}

fn kind(text: &str) -> Option<FieldKind> {
    let (head, rest) = text.split_at_checked(1)?;
    let id = || rest.parse().ok();
    Some(match head {
        "b" => FieldKind::Bool,
        "i" => FieldKind::Int32,
        "l" => FieldKind::Int64,
        "g" => FieldKind::Float,
        "s" => FieldKind::String,
        "y" => FieldKind::Bytes,
        "t" => FieldKind::Time,
        "m" => FieldKind::MicroTime,
        "d" => FieldKind::Duration,
        "q" => FieldKind::Quantity,
        "o" => FieldKind::IntOrString,
        "r" => FieldKind::RawExtension,
        "f" => FieldKind::FieldsV1,
        "j" => FieldKind::Json,
        "a" => FieldKind::Any,
        "w" => FieldKind::WrappedStrings,
        "E" => FieldKind::Enum(EnumId(id()?)),
        "S" => FieldKind::Struct(TypeId(id()?)),
        "A" => FieldKind::SchemaOrArray(TypeId(id()?)),
        "B" => FieldKind::SchemaOrBool(TypeId(id()?)),
        "C" => FieldKind::SchemaOrStrings(TypeId(id()?)),
        "[" => FieldKind::List(Box::new(kind(rest)?)),
        "{" => FieldKind::Map(Box::new(kind(rest)?)),
        _ => return None,
    })
}

fn marker(markers: &mut Markers, key: &str, value: &'static str) -> Option<()> {
    match key {
        "d" => markers.default = Some(value),
        "l" => {
            markers.list_type = Some(match value {
                "atomic" => ListType::Atomic,
                "set" => ListType::Set,
                "map" => ListType::Map,
                _ => return None,
            });
        }
        "k" => markers.list_map_keys = value.split(',').collect(),
        "m" => {
            markers.map_type = Some(match value {
                "atomic" => MapType::Atomic,
                "granular" => MapType::Granular,
                _ => return None,
            });
        }
        "p" => markers.patch_strategy = value.split(',').collect(),
        "g" => markers.patch_merge_key = Some(value),
        "n" => markers.go_name = Some(value),
        _ => return None,
    }
    Some(())
}

/// Lays the fields of inlined structs beside the type's own.
fn resolve(raws: &[Raw], at: usize) -> Type {
    let raw = &raws[at];
    let mut fields = raw.fields.clone();
    for (tag, inline) in &raw.inlines {
        let inner = resolve(raws, usize::from(inline.0));
        fields.extend(inner.fields.into_iter().map(|mut field| {
            field.flags |= INLINED;
            if *tag == 0 {
                field.tag = 0;
            }
            field
        }));
    }
    fields.sort_by_key(|f| f.json_name);
    let mut members: Vec<(u16, Member)> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        if field.tag > 0 && !field.inlined() {
            let index = u16::try_from(index).expect("a type has few fields");
            members.push((field.tag, Member::Field(index)));
        }
    }
    members.extend(
        raw.inlines
            .iter()
            .filter(|(tag, _)| *tag > 0)
            .map(|(tag, ty)| (*tag, Member::Inline { tag: *tag, ty: *ty })),
    );
    members.sort_by_key(|(tag, _)| *tag);
    let gvk = raw.gvk.split(',').next().and_then(split_gvk);
    Type {
        name: raw.name,
        fields,
        members: members.into_iter().map(|(_, member)| member).collect(),
        gvk: gvk.map(|(group, version, kind)| GroupVersionKind::new(group, version, kind)),
        atomic: raw.atomic,
    }
}

fn split_gvk(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.split('/');
    Some((parts.next()?, parts.next()?, parts.next()?))
}
