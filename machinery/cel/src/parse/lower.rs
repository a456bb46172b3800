//! The parser's tree into the arena. Macros that the parser left as calls are expanded here.

use cel::common::ast::{EntryExpr, Expr as Parsed, IdedEntryExpr, IdedExpr, LiteralValue, SourceInfo};

use super::macros;
use crate::error::Issue;
use crate::expr::{Element, Entry, Expr, Field, Fold, Id, Kind, Literal};

pub(super) struct Lowering<'s> {
    pub(super) expr: Expr,
    pub(super) issues: Vec<Issue>,
    info: &'s SourceInfo,
    /// By byte of the source, the code points before it; nothing where they are the same.
    places: Vec<u32>,
    /// `cel.bind` is a macro.
    pub(super) bindings: bool,
}

/// More nodes than an expression of the permitted length can spell; macros copy their target, so nesting them multiplies.
const NODES_MAX: usize = 200_000;

pub(super) fn lower(
    source: &str,
    tree: IdedExpr,
    info: &SourceInfo,
    bindings: bool,
) -> Result<Expr, Vec<Issue>> {
    debug_assert!(info.source.len() == source.len());
    let places = if source.is_ascii() { Vec::new() } else { code_points(source) };
    let mut lowering = Lowering { expr: Expr::default(), issues: Vec::new(), info, places, bindings };
    lowering.expr.root = lowering.node(tree);
    if lowering.expr.nodes.len() > NODES_MAX {
        lowering
            .issues
            .push(Issue { at: None, message: "expression is too large when macros are expanded".to_owned() });
    }
    if lowering.issues.is_empty() { Ok(lowering.expr) } else { Err(lowering.issues) }
}

fn code_points(source: &str) -> Vec<u32> {
    let mut places = Vec::with_capacity(source.len() + 1);
    for (index, c) in source.chars().enumerate() {
        places.extend(std::iter::repeat_n(index as u32, c.len_utf8()));
    }
    places.push(source.chars().count() as u32);
    places
}

impl Lowering<'_> {
    pub(super) fn full(&self) -> bool {
        self.expr.nodes.len() > NODES_MAX
    }

    /// A negative number starts with its sign; the parser tells where its digits are.
    fn number_at(&self, id: u64) -> u32 {
        let byte = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        let before = self.info.source.get(..byte).unwrap_or_default().trim_end();
        let byte = if before.ends_with('-') { before.len() - 1 } else { byte };
        self.places.get(byte).copied().unwrap_or(byte as u32)
    }

    fn at(&self, id: u64) -> u32 {
        let byte = self.info.offset_for(id).map_or(0, |(start, _)| start);
        self.places.get(byte as usize).copied().unwrap_or(byte)
    }

    pub(super) fn issue(&mut self, at: u32, message: impl Into<String>) {
        self.issues.push(Issue { at: Some(at), message: message.into() });
    }

    fn node(&mut self, tree: IdedExpr) -> Id {
        let at = match &tree.expr {
            Parsed::Literal(LiteralValue::Int(number)) if *number.inner() < 0 => self.number_at(tree.id),
            Parsed::Literal(LiteralValue::Double(number)) if number.inner().is_sign_negative() => {
                self.number_at(tree.id)
            }
            _ => self.at(tree.id),
        };
        let kind = match tree.expr {
            // The parser reports an error with each of these.
            Parsed::Unspecified => {
                self.issue(at, "unsupported expression");
                Kind::Literal(Literal::Null)
            }
            Parsed::Literal(value) => Kind::Literal(literal(value)),
            Parsed::Ident(name) => Kind::Ident(name.into()),
            Parsed::Select(select) => {
                let operand = self.node(*select.operand);
                Kind::Select { operand, field: select.field.into(), test: select.test }
            }
            Parsed::Call(call) => {
                let target = call.target.map(|target| self.node(*target));
                let args: Vec<Id> = call.args.into_iter().map(|arg| self.node(arg)).collect();
                return macros::expand(self, at, &call.func_name, target, args);
            }
            Parsed::List(list) => {
                let mut elements: Vec<Element> = Vec::with_capacity(list.elements.len());
                for value in list.elements {
                    elements.push(Element { value: self.node(value), optional: false });
                }
                for index in list.optional_indices {
                    if let Some(element) = elements.get_mut(index) {
                        element.optional = true;
                    }
                }
                Kind::List(elements)
            }
            Parsed::Map(map) => {
                Kind::Map(map.entries.into_iter().filter_map(|entry| self.entry(entry)).collect())
            }
            Parsed::Struct(object) => {
                let fields = object.entries.into_iter().filter_map(|field| self.field(field)).collect();
                Kind::Struct { name: object.type_name.into(), fields }
            }
            Parsed::Comprehension(fold) => Kind::Fold(Box::new(Fold {
                range: self.node(fold.iter_range),
                var: fold.iter_var.into(),
                var2: fold.iter_var2.map(Into::into),
                accu: fold.accu_var.into(),
                init: self.node(fold.accu_init),
                condition: self.node(fold.loop_cond),
                step: self.node(fold.loop_step),
                result: self.node(fold.result),
            })),
        };
        self.expr.push(at, kind)
    }

    fn entry(&mut self, entry: IdedEntryExpr) -> Option<Entry> {
        let EntryExpr::MapEntry(entry) = entry.expr else { return None };
        Some(Entry { key: self.node(entry.key), value: self.node(entry.value), optional: entry.optional })
    }

    fn field(&mut self, field: IdedEntryExpr) -> Option<Field> {
        let at = self.at(field.id);
        let EntryExpr::StructField(field) = field.expr else { return None };
        Some(Field { name: field.field.into(), value: self.node(field.value), optional: field.optional, at })
    }
}

fn literal(value: LiteralValue) -> Literal {
    match value {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(b) => Literal::Bool(*b.inner()),
        LiteralValue::Int(i) => Literal::Int(*i.inner()),
        LiteralValue::UInt(u) => Literal::Uint(*u.inner()),
        LiteralValue::Double(d) => Literal::Double(*d.inner()),
        LiteralValue::String(s) => Literal::String(s.into_inner().into()),
        LiteralValue::Bytes(b) => Literal::Bytes(b.into_inner().into()),
    }
}
