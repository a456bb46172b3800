//! The types of CEL as Kubernetes knows them, and declared types ([`Decl`]): a type with the sizes that a schema promises.

use std::fmt;
use std::sync::Arc;

use oarlock_api::table::ListType as ListRule;

/// A type larger than this (counted in its parts) is not built: it can only come from an expression made to hurt.
pub(crate) const TYPE_WEIGHT_MAX: u32 = 4096;

/// The type of an expression. Printed as upstream prints it: `list(string)`.
#[derive(Debug, Clone, Default)]
pub enum Type {
    #[default]
    Dyn,
    /// Of any type, as protobuf's `Any`: used like `dyn`, but no macro goes over it, and it does not print so.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<ListType>),
    Map(Arc<MapType>),
    Object(Object),
    Optional(Arc<Type>),
    /// The type of a type; with nothing inside, of any type.
    Type(Option<Arc<Type>>),
    /// A type of a Kubernetes library.
    Library(Library),
    Param(Param),
    /// Of an expression that did not check.
    Error,
}

/// A type that only its library's functions can look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    Authorizer,
    PathCheck,
    GroupCheck,
    ResourceCheck,
    Decision,
    Url,
    Quantity,
    Semver,
    Format,
    Ip,
    Cidr,
}

/// A type not yet known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    /// A letter of a signature.
    Letter(char),
    /// A variable of the checker.
    Fresh(u32),
}

/// A list and what its schema says of it.
#[derive(Debug)]
pub struct ListType {
    pub element: Decl,
    /// `x-kubernetes-list-type`: how lists of this type compare and add.
    pub rule: ListRule,
    /// The keys of a list of type map, as they stand in JSON.
    pub keys: Vec<Box<str>>,
    weight: u32,
}

/// A map by its keys and values.
#[derive(Debug)]
pub struct MapType {
    pub key: Decl,
    pub value: Decl,
    weight: u32,
}

/// A struct with named fields; two of the same name are the same type.
#[derive(Debug, Clone)]
pub enum Object {
    Shared(Arc<ObjectDecl>),
    /// Of the built-in table.
    Table(oarlock_api::TypeId),
    /// `Object`, `Object.spec` …: any field, of any type.
    Free(Arc<str>),
    /// `JSONPatch`.
    Patch,
}

/// The fields of an [`Object`].
#[derive(Debug, Default)]
pub struct ObjectDecl {
    pub name: Box<str>,
    /// Sorted by name.
    fields: Vec<FieldDecl>,
    /// `namespace` may be written for `__namespace__`.
    keywords: bool,
}

/// One field: its name in expressions, its name in JSON and its type.
#[derive(Debug)]
pub struct FieldDecl {
    pub name: Box<str>,
    pub json: Box<str>,
    pub decl: Decl,
}

/// A type as declared by a schema: with the sizes from which costs are estimated.
#[derive(Debug, Clone, Default)]
pub struct Decl {
    pub ty: Type,
    /// Elements of a list, entries of a map, bytes of a string at most; none where nothing was declared.
    pub(crate) max_elements: Option<u64>,
    /// The smallest size in JSON.
    pub(crate) min_size: u64,
    /// Null is a value of it, not a mistake.
    pub(crate) nullable: bool,
}

impl Type {
    pub fn list(element: impl Into<Decl>) -> Self {
        Self::list_of(element.into(), ListRule::Atomic, Vec::new())
    }

    pub(crate) fn list_of(element: Decl, rule: ListRule, keys: Vec<Box<str>>) -> Self {
        let weight = element.ty.weight().saturating_add(1);
        Self::List(Arc::new(ListType { element, rule, keys, weight }))
    }

    pub fn map(key: impl Into<Decl>, value: impl Into<Decl>) -> Self {
        let (key, value) = (key.into(), value.into());
        let weight = key.ty.weight().saturating_add(value.ty.weight()).saturating_add(1);
        Self::Map(Arc::new(MapType { key, value, weight }))
    }

    pub fn optional(of: Type) -> Self {
        Self::Optional(Arc::new(of))
    }

    /// A struct; field names are used as they are in JSON and in expressions.
    pub fn object<N: Into<Box<str>>>(name: &str, fields: impl IntoIterator<Item = (N, Decl)>) -> Self {
        let fields = fields
            .into_iter()
            .map(|(name, decl)| {
                let name = name.into();
                FieldDecl { json: name.clone(), name, decl }
            })
            .collect();
        Self::Object(Object::Shared(Arc::new(ObjectDecl::new(name.into(), fields, false))))
    }

    pub fn authorizer() -> Self {
        Self::Library(Library::Authorizer)
    }

    /// The type of `authorizer.requestResource`.
    pub fn resource_check() -> Self {
        Self::Library(Library::ResourceCheck)
    }

    pub fn json_patch() -> Self {
        Self::Object(Object::Patch)
    }

    /// The number of parts, as far as it was counted.
    pub(crate) fn weight(&self) -> u32 {
        match self {
            Self::List(list) => list.weight,
            Self::Map(map) => map.weight,
            Self::Optional(of) => of.weight().saturating_add(1),
            Self::Type(Some(of)) => of.weight().saturating_add(1),
            _ => 1,
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any | Self::Error)
    }

    /// Of a size known when compiling.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            Self::Optional(of) => of.is_scalar(),
            _ => false,
        }
    }

    /// The name that `type(x)` compares and prints: without parameters.
    pub fn runtime_name(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Null => "null_type".into(),
            Self::Timestamp => "google.protobuf.Timestamp".into(),
            Self::Duration => "google.protobuf.Duration".into(),
            Self::List(_) => "list".into(),
            Self::Map(_) => "map".into(),
            Self::Optional(_) => "optional_type".into(),
            Self::Type(_) => "type".into(),
            other => other.to_string().into(),
        }
    }
}

impl Library {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authorizer => "kubernetes.authorization.Authorizer",
            Self::PathCheck => "kubernetes.authorization.PathCheck",
            Self::GroupCheck => "kubernetes.authorization.GroupCheck",
            Self::ResourceCheck => "kubernetes.authorization.ResourceCheck",
            Self::Decision => "kubernetes.authorization.Decision",
            Self::Url => "kubernetes.URL",
            Self::Quantity => "kubernetes.Quantity",
            Self::Semver => "kubernetes.Semver",
            Self::Format => "kubernetes.NamedFormat",
            Self::Ip => "net.IP",
            Self::Cidr => "net.CIDR",
        }
    }

    pub(crate) const ALL: [Self; 11] = [
        Self::Authorizer,
        Self::PathCheck,
        Self::GroupCheck,
        Self::ResourceCheck,
        Self::Decision,
        Self::Url,
        Self::Quantity,
        Self::Semver,
        Self::Format,
        Self::Ip,
        Self::Cidr,
    ];

    /// IP and CIDR are opaque, the others are messages without fields.
    pub(crate) fn is_message(self) -> bool {
        !matches!(self, Self::Ip | Self::Cidr)
    }
}

impl ObjectDecl {
    pub(crate) fn new(name: Box<str>, mut fields: Vec<FieldDecl>, keywords: bool) -> Self {
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Self { name, fields, keywords }
    }

    pub fn fields(&self) -> &[FieldDecl] {
        &self.fields
    }

    /// The field of exactly this name.
    pub(crate) fn exact(&self, name: &str) -> Option<&FieldDecl> {
        let at = self.fields.binary_search_by(|f| (*f.name).cmp(name)).ok()?;
        Some(&self.fields[at])
    }

    /// The field that expressions call `name`.
    pub fn field(&self, name: &str) -> Option<&FieldDecl> {
        self.exact(name).or_else(|| {
            let keyword = self.keywords && crate::schema::is_keyword(name);
            keyword.then(|| self.exact(&format!("__{name}__"))).flatten()
        })
    }
}

impl Object {
    pub fn name(&self) -> &str {
        match self {
            Self::Shared(decl) => &decl.name,
            Self::Table(id) => oarlock_api::Table::builtin().ty(*id).name,
            Self::Free(name) => name,
            Self::Patch => "JSONPatch",
        }
    }

    pub(crate) fn decl(&self) -> Option<&ObjectDecl> {
        match self {
            Self::Shared(decl) => Some(decl),
            Self::Table(id) => Some(crate::schema::fields_of(*id)),
            Self::Free(_) | Self::Patch => None,
        }
    }

    /// The type of a field, if there is such a field.
    pub(crate) fn field_type(&self, name: &str) -> Option<Type> {
        match self {
            Self::Free(_) => Some(Type::Dyn),
            Self::Patch => match name {
                "op" | "path" | "from" => Some(Type::String),
                "value" => Some(Type::Dyn),
                _ => None,
            },
            declared => declared.decl()?.field(name).map(|f| f.decl.ty.clone()),
        }
    }
}

impl Decl {
    pub(crate) fn sized(ty: Type, max_elements: u64, min_size: u64) -> Self {
        Self { ty, max_elements: Some(max_elements), min_size, nullable: false }
    }

    /// A type of which a value has so many elements, entries or bytes at most.
    pub fn at_most(ty: Type, max_elements: u64) -> Self {
        Self { max_elements: Some(max_elements), ..ty.into() }
    }

    /// The smallest size in JSON, in bytes; for the greatest number that fits a request.
    pub fn min_serialized_size(&self) -> u64 {
        self.min_size
    }

    /// Elements, entries or bytes at most; none where the schema is not known.
    pub fn max_elements(&self) -> Option<u64> {
        self.max_elements
    }

    /// The smallest size of a value in JSON: how often one can be in a request follows from it.
    pub fn min_size(&self) -> u64 {
        self.min_size
    }

    /// The declared type of a field, by its name in JSON.
    pub fn field(&self, json_name: &str) -> Option<&Decl> {
        match &self.ty {
            Type::Object(object) => {
                object.decl()?.fields().iter().find(|f| &*f.json == json_name).map(|f| &f.decl)
            }
            _ => None,
        }
    }

    /// The declared type of the items of a list or the values of a map.
    pub fn element(&self) -> Option<&Decl> {
        match &self.ty {
            Type::List(list) => Some(&list.element),
            Type::Map(map) => Some(&map.value),
            _ => None,
        }
    }

    /// `optional_type` of this: `oldSelf` under `optionalOldSelf`.
    #[must_use]
    pub fn optional(&self) -> Self {
        Self { ty: Type::optional(self.ty.clone()), ..self.clone() }
    }
}

impl From<Type> for Decl {
    fn from(ty: Type) -> Self {
        Self { ty, max_elements: None, min_size: 0, nullable: true }
    }
}

impl PartialEq for Type {
    /// The same type exactly; sizes do not count.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => Arc::ptr_eq(a, b) || a.element.ty == b.element.ty,
            (Self::Map(a), Self::Map(b)) => {
                Arc::ptr_eq(a, b) || (a.key.ty == b.key.ty && a.value.ty == b.value.ty)
            }
            (Self::Object(a), Self::Object(b)) => a.name() == b.name(),
            (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Library(a), Self::Library(b)) => a == b,
            (Self::Param(a), Self::Param(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Any => f.write_str("any"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(list) => write!(f, "list({})", list.element.ty),
            Self::Map(map) => write!(f, "map({}, {})", map.key.ty, map.value.ty),
            Self::Object(object) => f.write_str(object.name()),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::Type(None) => f.write_str("type"),
            Self::Type(Some(of)) => write!(f, "type({of})"),
            Self::Library(library) => f.write_str(library.name()),
            Self::Param(Param::Letter(letter)) => write!(f, "{letter}"),
            Self::Param(Param::Fresh(id)) => write!(f, "_var{id}"),
            Self::Error => f.write_str("!error!"),
        }
    }
}
