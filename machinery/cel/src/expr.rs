//! An expression as a tree in an arena: parsed, macros expanded, not yet checked. A node knows its place in the source.
//!
//! An arena, because a deep tree of boxes would be dropped recursively.

/// The index of a node.
pub(crate) type Id = u32;

#[derive(Debug, Default)]
pub(crate) struct Expr {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: Id,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Code points from the start of the source.
    pub(crate) at: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(Box<str>),
    Select { operand: Id, field: Box<str>, test: bool },
    Call { function: Box<str>, target: Option<Id>, args: Vec<Id> },
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct { name: Box<str>, fields: Vec<Field> },
    Fold(Box<Fold>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Box<str>),
    Bytes(Box<[u8]>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    pub(crate) value: Id,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) key: Id,
    pub(crate) value: Id,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) value: Id,
    pub(crate) optional: bool,
    pub(crate) at: u32,
}

/// A comprehension, as CEL defines macros: `accu = init; for (var, var2) in range while condition { accu = step } result`.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    pub(crate) range: Id,
    pub(crate) var: Box<str>,
    pub(crate) var2: Option<Box<str>>,
    pub(crate) accu: Box<str>,
    pub(crate) init: Id,
    pub(crate) condition: Id,
    pub(crate) step: Id,
    pub(crate) result: Id,
}

/// The accumulator of the standard macros; no source can spell it.
pub(crate) const ACCU: &str = "@result";
/// The variable of a loop that never runs.
pub(crate) const UNUSED: &str = "#unused";

pub(crate) mod op {
    //! The names under which operators are functions.
    pub(crate) use cel::common::ast::operators::{
        ADD, CONDITIONAL, EQUALS, INDEX, LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR, NOT_STRICTLY_FALSE, OPT_INDEX,
        OPT_SELECT,
    };
    pub(crate) const MAP_INSERT: &str = "cel.@mapInsert";
    pub(crate) const SORT_BY_KEYS: &str = "@sortByAssociatedKeys";
}

impl Expr {
    pub(crate) fn push(&mut self, at: u32, kind: Kind) -> Id {
        let id = Id::try_from(self.nodes.len())
            .expect("an expression of bounded size has a bounded number of nodes");
        self.nodes.push(Node { kind, at });
        id
    }

    pub(crate) fn kind(&self, id: Id) -> &Kind {
        &self.nodes[id as usize].kind
    }

    pub(crate) fn at(&self, id: Id) -> u32 {
        self.nodes[id as usize].at
    }

    /// `a.b.c`, if that is all the node is.
    pub(crate) fn qualified_name(&self, id: Id) -> Option<String> {
        match self.kind(id) {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select { operand, field, test: false } => {
                let mut name = self.qualified_name(*operand)?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }

    /// Adds the nodes right under a node.
    pub(crate) fn children(&self, id: Id, into: &mut Vec<Id>) {
        match self.kind(id) {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => into.push(*operand),
            Kind::Call { target, args, .. } => into.extend(target.iter().chain(args)),
            Kind::List(elements) => into.extend(elements.iter().map(|e| e.value)),
            Kind::Map(entries) => into.extend(entries.iter().flat_map(|e| [e.key, e.value])),
            Kind::Struct { fields, .. } => into.extend(fields.iter().map(|f| f.value)),
            Kind::Fold(f) => into.extend([f.range, f.init, f.condition, f.step, f.result]),
        }
    }

    /// A loop that never runs and gives its result a name: `cel.bind`, as macros use it.
    pub(crate) fn is_bind(&self, fold: &Fold) -> bool {
        matches!(self.kind(fold.range), Kind::List(elements) if elements.is_empty())
            && matches!(self.kind(fold.condition), Kind::Literal(Literal::Bool(false)))
            && &*fold.accu != ACCU
    }
}
