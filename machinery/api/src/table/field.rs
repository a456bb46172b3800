//! What a field is: its kind, its place in protobuf and its markers.

use super::{EnumId, TypeId};

/// One field of a type.
#[derive(Debug, Clone)]
pub struct Field {
    pub json_name: &'static str,
    pub kind: FieldKind,
    /// The protobuf field number; 0 where the field does not exist in protobuf.
    pub tag: u16,
    pub(crate) flags: u8,
    pub(crate) markers: Option<Box<Markers>>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    Bool,
    Int32,
    Int64,
    Float,
    String,
    /// A named string type; its values, if it is closed, are in [`Table::named_string`](super::Table::named_string).
    Enum(EnumId),
    /// Base64 in JSON.
    Bytes,
    Struct(TypeId),
    List(Box<FieldKind>),
    /// A list of strings that is a message of its own in protobuf (`ExtraValue`, `Verbs`); a plain list in JSON.
    WrappedStrings,
    /// Keys are strings.
    Map(Box<FieldKind>),
    Quantity,
    IntOrString,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 with six decimals.
    MicroTime,
    /// Go notation: `1m30s`.
    Duration,
    /// Any object, kept as it is (`runtime.RawExtension`).
    RawExtension,
    /// The fields that a manager owns.
    FieldsV1,
    /// Any JSON value (`apiextensions JSON`).
    Json,
    /// Any JSON value that has no protobuf form (cells of a Table).
    Any,
    /// A schema or a list of schemas.
    SchemaOrArray(TypeId),
    /// A schema or a boolean.
    SchemaOrBool(TypeId),
    /// A schema or a list of strings.
    SchemaOrStrings(TypeId),
}

/// How a value is framed in protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Varint,
    Fixed64,
    Bytes,
}

/// How server-side apply merges a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    Map,
}

/// How server-side apply merges a map or a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapType {
    Atomic,
    Granular,
}

/// What only some fields carry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Markers {
    pub(crate) default: Option<&'static str>,
    pub(crate) list_type: Option<ListType>,
    pub(crate) list_map_keys: Vec<&'static str>,
    pub(crate) map_type: Option<MapType>,
    pub(crate) patch_strategy: Vec<&'static str>,
    pub(crate) patch_merge_key: Option<&'static str>,
    pub(crate) go_name: Option<&'static str>,
}

pub(crate) const POINTER: u8 = 1;
pub(crate) const OMITEMPTY: u8 = 2;
pub(crate) const OMITZERO: u8 = 4;
pub(crate) const OPTIONAL: u8 = 8;
pub(crate) const REQUIRED: u8 = 16;
pub(crate) const OPENAPI_REQUIRED: u8 = 32;
pub(crate) const INLINED: u8 = 64;

impl Field {
    /// A pointer upstream: absent and zero differ.
    pub fn pointer(&self) -> bool {
        self.flags & POINTER != 0
    }

    /// Left out of JSON when empty.
    pub fn omitempty(&self) -> bool {
        self.flags & OMITEMPTY != 0
    }

    /// Left out of JSON when it is the zero value of its type.
    pub fn omitzero(&self) -> bool {
        self.flags & OMITZERO != 0
    }

    /// Marked `+optional`.
    pub fn optional(&self) -> bool {
        self.flags & OPTIONAL != 0
    }

    /// Marked `+required`, or required in upstream's OpenAPI.
    pub fn required(&self) -> bool {
        self.flags & (REQUIRED | OPENAPI_REQUIRED) != 0
    }

    /// Listed under `required` in upstream's OpenAPI.
    pub fn openapi_required(&self) -> bool {
        self.flags & OPENAPI_REQUIRED != 0
    }

    /// Belongs to an inlined struct; in protobuf it is found through [`Member::Inline`](super::Member::Inline).
    pub fn inlined(&self) -> bool {
        self.flags & INLINED != 0
    }

    /// The declared default, as JSON text.
    pub fn default(&self) -> Option<&'static str> {
        self.markers.as_ref()?.default
    }

    pub fn list_type(&self) -> Option<ListType> {
        self.markers.as_ref()?.list_type
    }

    /// The keys of a list of type map.
    pub fn list_map_keys(&self) -> &[&'static str] {
        self.markers.as_ref().map_or(&[], |m| &m.list_map_keys)
    }

    /// How a map, or the struct this field holds, is merged.
    pub fn map_type(&self) -> Option<MapType> {
        self.markers.as_ref()?.map_type
    }

    /// The parts of `patchStrategy`: `merge`, `retainKeys`, `replace`.
    pub fn patch_strategy(&self) -> &[&'static str] {
        self.markers.as_ref().map_or(&[], |m| &m.patch_strategy)
    }

    pub fn patch_merge_key(&self) -> Option<&'static str> {
        self.markers.as_ref()?.patch_merge_key
    }

    /// What Go calls the list or map that this is, where it has a name: `v1.ResourceList`.
    pub fn go_name(&self) -> Option<&'static str> {
        self.markers.as_ref()?.go_name
    }

    /// How the field is framed in protobuf.
    pub fn wire(&self) -> Wire {
        match &self.kind {
            FieldKind::List(element) => element.wire(),
            kind => kind.wire(),
        }
    }
}

impl FieldKind {
    /// How one value of this kind is framed in protobuf.
    pub fn wire(&self) -> Wire {
        match self {
            Self::Bool | Self::Int32 | Self::Int64 => Wire::Varint,
            Self::Float => Wire::Fixed64,
            _ => Wire::Bytes,
        }
    }

    /// The struct that this is, or is a list or map of.
    pub fn struct_type(&self) -> Option<TypeId> {
        match self {
            Self::Struct(id) => Some(*id),
            Self::List(inner) | Self::Map(inner) => inner.struct_type(),
            _ => None,
        }
    }
}
