//! What the schema says of one place of an object, in the terms of server-side apply: a scalar, a list that merges in some
//! way, or a map that merges in some way. Where the schema leaves several open, the value decides.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde_json::Value;

use crate::schema::Schema;
use crate::structural::{Additional, JsonType, Structural};
use crate::table::{Field, FieldKind, ListType, MapType, Table, Type, TypeId};

/// One place of the schema. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'s> {
    Scalar(Scalar),
    /// A field of a built-in type: its kind, and the markers if it is a field and not an item.
    Typed(&'s FieldKind, Option<&'s Field>),
    Struct(TypeId),
    /// A custom resource; `open` says that a schema above preserves unknown fields.
    Custom {
        schema: &'s Structural,
        open: bool,
        object: bool,
    },
    /// Lists are atomic, maps are granular.
    Deduced,
    /// Everything is atomic.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Number,
    Text,
    Bool,
    Any,
}

/// What a place is, once it is known whether it holds a scalar, a list or a map.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape<'s> {
    Scalar(Scalar),
    List(List<'s>),
    Map(Members<'s>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct List<'s> {
    pub(super) item: Node<'s>,
    pub(super) merge: Merge<'s>,
}

/// How a list merges.
#[derive(Debug, Clone, Copy)]
pub(super) enum Merge<'s> {
    Atomic,
    Set,
    Keyed(Keys<'s>),
}

/// The names of the keys of a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keys<'s> {
    Names(&'s [&'static str]),
    One(&'s str),
    Owned(&'s [String]),
}

/// The members of a map or struct.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members<'s> {
    pub(super) atomic: bool,
    kind: MembersKind<'s>,
}

#[derive(Debug, Clone, Copy)]
enum MembersKind<'s> {
    Struct(TypeId),
    Uniform(Node<'s>),
    Custom { schema: &'s Structural, open: bool, object: bool },
}

/// What is known of one member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'s> {
    pub(super) node: Node<'s>,
    /// A field that the schema names, not one of a map.
    pub(super) named: bool,
}

static TEXT: Value = Value::String(String::new());
static NULL: Value = Value::Null;
static FALSE: Value = Value::Bool(false);
static ZERO: LazyLock<Value> = LazyLock::new(|| Value::from(0));
static ZERO_QUANTITY: LazyLock<Value> = LazyLock::new(|| Value::from("0"));
static ZERO_DURATION: LazyLock<Value> = LazyLock::new(|| Value::from("0s"));
static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(serde_json::Map::new()));
static META: LazyLock<Option<TypeId>> =
    LazyLock::new(|| Table::builtin().type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));

/// An object without members.
pub(super) fn empty_object() -> &'static Value {
    &EMPTY
}

impl<'s> Node<'s> {
    /// The place of the whole object.
    pub(super) fn root(schema: &'s Schema) -> Self {
        match schema {
            Schema::Typed(id) => Self::Struct(*id),
            Schema::Structural(schema) => {
                Self::Custom { schema, open: schema.preserve_unknown, object: true }
            }
            Schema::Deduced => Self::Deduced,
        }
    }

    /// What the place is, if it holds `value`. Where the schema admits one shape only, the value does not matter.
    pub(super) fn shape(self, value: Option<&Value>) -> Shape<'s> {
        match self {
            Self::Scalar(scalar) => Shape::Scalar(scalar),
            Self::Struct(id) => Shape::Map(Members { atomic: ty(id).atomic, kind: MembersKind::Struct(id) }),
            Self::Typed(kind, field) => typed(kind, field, value),
            Self::Custom { schema, open, object } => custom(schema, open, object, value),
            Self::Deduced => any_shape(value, Self::Deduced, false),
            Self::Opaque => any_shape(value, Self::Opaque, true),
        }
    }

    /// Whether two values have the same shape here, so that they can be compared; nothing and null fit everything.
    pub(super) fn alike(self, a: &Value, b: &Value) -> bool {
        let several = match self {
            Self::Deduced | Self::Opaque => true,
            Self::Custom { schema, .. } => schema.kind.is_none(),
            Self::Typed(kind, _) => is_open(kind),
            Self::Scalar(_) | Self::Struct(_) => false,
        };
        !several || a.is_null() || b.is_null() || class(a) == class(b)
    }
}

fn ty(id: TypeId) -> &'static Type {
    Table::builtin().ty(id)
}

fn class(value: &Value) -> u8 {
    match value {
        Value::Array(_) => 1,
        Value::Object(_) => 2,
        _ => 0,
    }
}

/// Where a value may be of any shape, maps come first, as upstream asks for them first.
fn any_shape<'s>(value: Option<&Value>, item: Node<'s>, atomic: bool) -> Shape<'s> {
    match value {
        Some(Value::Array(_)) => Shape::List(List { item: Node::Opaque, merge: Merge::Atomic }),
        Some(Value::String(_) | Value::Number(_) | Value::Bool(_)) => Shape::Scalar(Scalar::Any),
        _ => Shape::Map(Members { atomic, kind: MembersKind::Uniform(item) }),
    }
}

fn is_open(kind: &FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::RawExtension
            | FieldKind::Json
            | FieldKind::Any
            | FieldKind::SchemaOrArray(_)
            | FieldKind::SchemaOrBool(_)
            | FieldKind::SchemaOrStrings(_)
    )
}

fn typed<'s>(kind: &'s FieldKind, field: Option<&'s Field>, value: Option<&Value>) -> Shape<'s> {
    let map_type = field.and_then(Field::map_type);
    let atomic = |default: bool| map_type.map_or(default, |m| m == MapType::Atomic);
    match kind {
        FieldKind::Bool => Shape::Scalar(Scalar::Bool),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float => Shape::Scalar(Scalar::Number),
        FieldKind::String | FieldKind::Enum(_) | FieldKind::Bytes | FieldKind::Duration => {
            Shape::Scalar(Scalar::Text)
        }
        FieldKind::Quantity | FieldKind::IntOrString | FieldKind::Time | FieldKind::MicroTime => {
            Shape::Scalar(Scalar::Any)
        }
        FieldKind::Struct(id) => {
            Shape::Map(Members { atomic: atomic(ty(*id).atomic), kind: MembersKind::Struct(*id) })
        }
        FieldKind::Map(inner) => Shape::Map(Members {
            atomic: atomic(false),
            kind: MembersKind::Uniform(Node::Typed(inner, None)),
        }),
        FieldKind::List(item) => {
            let merge = field.map_or(Merge::Atomic, list_merge);
            Shape::List(List { item: Node::Typed(item, None), merge })
        }
        FieldKind::WrappedStrings => {
            Shape::List(List { item: Node::Scalar(Scalar::Text), merge: Merge::Atomic })
        }
        FieldKind::FieldsV1 => {
            Shape::Map(Members { atomic: false, kind: MembersKind::Uniform(Node::Deduced) })
        }
        FieldKind::RawExtension => any_shape(value, Node::Opaque, true),
        FieldKind::Json
        | FieldKind::Any
        | FieldKind::SchemaOrArray(_)
        | FieldKind::SchemaOrBool(_)
        | FieldKind::SchemaOrStrings(_) => any_shape(value, Node::Deduced, false),
    }
}

/// The list type, or what the patch strategy says where there is none.
fn list_merge(field: &Field) -> Merge<'_> {
    match field.list_type() {
        Some(ListType::Atomic) => Merge::Atomic,
        Some(ListType::Set) => Merge::Set,
        Some(ListType::Map) => Merge::Keyed(Keys::Names(field.list_map_keys())),
        None if field.patch_strategy().contains(&"merge") => match field.patch_merge_key() {
            Some(key) => Merge::Keyed(Keys::One(key)),
            None => Merge::Set,
        },
        None => Merge::Atomic,
    }
}

fn custom<'s>(schema: &'s Structural, open: bool, object: bool, value: Option<&Value>) -> Shape<'s> {
    let open = open || schema.preserve_unknown;
    let kind = match schema.kind {
        Some(kind) => kind,
        None if object => JsonType::Object,
        None => match value {
            Some(Value::Array(_)) => JsonType::Array,
            Some(Value::String(_) | Value::Number(_) | Value::Bool(_)) => return Shape::Scalar(Scalar::Any),
            _ => JsonType::Object,
        },
    };
    match kind {
        JsonType::Boolean => Shape::Scalar(Scalar::Bool),
        JsonType::Integer | JsonType::Number => Shape::Scalar(Scalar::Number),
        JsonType::String => match schema.validation.get("format").and_then(Value::as_str) {
            None | Some("byte") => Shape::Scalar(Scalar::Text),
            Some(_) => Shape::Scalar(Scalar::Any),
        },
        JsonType::Array => {
            let item = schema.items.as_deref().map_or(Node::Opaque, |item| Node::Custom {
                schema: item,
                open,
                object: false,
            });
            let merge = match schema.list_type {
                Some(ListType::Set) => Merge::Set,
                Some(ListType::Map) => Merge::Keyed(Keys::Owned(&schema.list_map_keys)),
                Some(ListType::Atomic) | None => Merge::Atomic,
            };
            Shape::List(List { item, merge })
        }
        JsonType::Object => Shape::Map(Members {
            atomic: schema.map_type == Some(MapType::Atomic),
            kind: MembersKind::Custom { schema, open, object: object || schema.embedded },
        }),
    }
}

impl<'s> Members<'s> {
    /// The member of this name; none where the schema does not know it.
    pub(super) fn member(self, name: &str) -> Option<Member<'s>> {
        match self.kind {
            MembersKind::Uniform(node) => Some(Member { node, named: false }),
            MembersKind::Struct(id) if ty(id).fields.is_empty() => {
                Some(Member { node: Node::Deduced, named: false })
            }
            MembersKind::Struct(id) => {
                let field = ty(id).field(name)?;
                Some(Member { node: Node::Typed(&field.kind, Some(field)), named: true })
            }
            MembersKind::Custom { schema, open, object } => {
                if object && let Some(node) = object_member(name) {
                    return Some(Member { node, named: true });
                }
                if let Some(schema) = schema.properties.get(name) {
                    return Some(Member { node: Node::Custom { schema, open, object: false }, named: true });
                }
                let node = match &schema.additional {
                    Additional::Schema(schema) => Node::Custom { schema, open, object: false },
                    Additional::Any => Node::Deduced,
                    Additional::None if open || schema.properties.is_empty() => Node::Deduced,
                    Additional::None => return None,
                };
                Some(Member { node, named: false })
            }
        }
    }

    /// The member's node, anything for members that the schema does not know.
    pub(super) fn node(self, name: &str) -> Node<'s> {
        self.member(name).map_or(Node::Deduced, |member| member.node)
    }

    /// The fields that a struct of upstream has though the object does not show them, and what they hold, by name.
    pub(super) fn implied(self) -> &'static [(&'static str, &'static Value)] {
        match self.kind {
            MembersKind::Struct(id) => implied(id),
            _ => &[],
        }
    }

    /// The default of a key field.
    pub(super) fn key_default(self, name: &str) -> Option<Cow<'s, Value>> {
        match self.kind {
            MembersKind::Struct(id) => {
                let text = ty(id).field(name)?.default()?;
                serde_json::from_str(text).ok().map(Cow::Owned)
            }
            MembersKind::Custom { schema, .. } => {
                schema.properties.get(name)?.default.as_ref().map(Cow::Borrowed)
            }
            MembersKind::Uniform(_) => None,
        }
    }

    /// Nothing is known of the members but that they may be anything.
    pub(super) fn is_untyped(self) -> bool {
        match self.kind {
            MembersKind::Uniform(node) => matches!(node, Node::Deduced),
            MembersKind::Struct(id) => ty(id).fields.is_empty(),
            MembersKind::Custom { schema, open, object } => {
                !object
                    && schema.properties.is_empty()
                    && match schema.additional {
                        Additional::Any => true,
                        Additional::None => open || schema.properties.is_empty(),
                        Additional::Schema(_) => false,
                    }
            }
        }
    }
}

fn object_member(name: &str) -> Option<Node<'static>> {
    match name {
        "apiVersion" | "kind" => Some(Node::Scalar(Scalar::Text)),
        "metadata" => Some(META.map_or(Node::Deduced, Node::Struct)),
        _ => None,
    }
}

impl<'s> Keys<'s> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Names(names) => names.len(),
            Self::One(_) => 1,
            Self::Owned(names) => names.len(),
        }
    }

    pub(super) fn name(self, at: usize) -> &'s str {
        match self {
            Self::Names(names) => names[at],
            Self::One(name) => name,
            Self::Owned(names) => &names[at],
        }
    }
}

type Implied = Box<[(&'static str, &'static Value)]>;

/// Upstream compares Go structs. Their fields without `omitempty`, and structs in any case, are there even when empty, and
/// so they are owned: `f:resources` of every container.
fn implied(id: TypeId) -> &'static [(&'static str, &'static Value)] {
    static ALL: LazyLock<Vec<Implied>> = LazyLock::new(|| {
        let shown =
            |ty: &Type| ty.fields.iter().filter_map(|f| Some((f.json_name, implied_value(f)?))).collect();
        Table::builtin().types().map(|(_, ty)| shown(ty)).collect()
    });
    ALL.get(usize::from(id.0)).map_or(&[], |shown| shown)
}

fn implied_value(field: &Field) -> Option<&'static Value> {
    if field.omitzero() {
        return None;
    }
    if field.pointer() {
        return (!field.omitempty()).then_some(&NULL);
    }
    let value: &'static Value = match &field.kind {
        // Structs are never empty to Go.
        FieldKind::Struct(_) => &EMPTY,
        FieldKind::Time
        | FieldKind::MicroTime
        | FieldKind::RawExtension
        | FieldKind::FieldsV1
        | FieldKind::Json => &NULL,
        FieldKind::Duration => &ZERO_DURATION,
        FieldKind::Quantity => &ZERO_QUANTITY,
        FieldKind::IntOrString => &ZERO,
        _ if field.omitempty() => return None,
        FieldKind::Bool => &FALSE,
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Float => &ZERO,
        FieldKind::String | FieldKind::Enum(_) => &TEXT,
        _ => &NULL,
    };
    Some(value)
}
