//! What changed between two objects, as sets of fields.

use serde_json::{Map, Value};

use super::element::{Element, same};
use super::fields::{Entry, FieldSet};
use super::items;
use super::node::{List, Members, Merge, Node, Shape, empty_object};

/// The difference of two objects. No path is in two of the sets; all are empty where the objects own the same.
#[derive(Debug, Default)]
pub(super) struct Delta<'a> {
    pub(super) added: FieldSet<'a>,
    pub(super) modified: FieldSet<'a>,
    pub(super) removed: FieldSet<'a>,
}

impl Delta<'_> {
    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }
}

/// What one place adds to each set: itself, and what is below it.
#[derive(Default)]
struct Marks<'a> {
    added: bool,
    modified: bool,
    removed: bool,
    below: Delta<'a>,
}

/// Compares two objects of one schema; no object is an empty one.
pub(super) fn compare<'a>(node: Node<'a>, old: Option<&'a Value>, new: Option<&'a Value>) -> Delta<'a> {
    place(node, Some(old.unwrap_or(empty_object())), Some(new.unwrap_or(empty_object()))).below
}

fn place<'a>(node: Node<'a>, old: Option<&'a Value>, new: Option<&'a Value>) -> Marks<'a> {
    let Some(decides) = new.or(old) else { return Marks::default() };
    if let (Some(old), Some(new)) = (old, new)
        && !node.alike(old, new)
    {
        // Of another shape than before: what it was is told first, then what it became.
        let was = shaped(node.shape(Some(old)), Some(old), Some(new));
        return both(was, shaped(node.shape(Some(new)), Some(old), Some(new)));
    }
    let decides = if decides.is_null() { old.unwrap_or(decides) } else { decides };
    shaped(node.shape(Some(decides)), old, new)
}

fn both<'a>(a: Marks<'a>, b: Marks<'a>) -> Marks<'a> {
    Marks {
        added: a.added || b.added,
        modified: a.modified || b.modified,
        removed: a.removed || b.removed,
        below: Delta {
            added: a.below.added.union(b.below.added),
            modified: a.below.modified.union(b.below.modified),
            removed: a.below.removed.union(b.below.removed),
        },
    }
}

fn leaf<'a>(old: Option<&Value>, new: Option<&Value>) -> Marks<'a> {
    match (old, new) {
        (None, _) => Marks { added: true, ..Marks::default() },
        (_, None) => Marks { removed: true, ..Marks::default() },
        (Some(old), Some(new)) => Marks { modified: !same(old, new), ..Marks::default() },
    }
}

fn shaped<'a>(shape: Shape<'a>, old: Option<&'a Value>, new: Option<&'a Value>) -> Marks<'a> {
    let mut marks = Marks::default();
    match shape {
        Shape::Scalar(_) => return leaf(old, new),
        Shape::List(list) => {
            let was = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let is = new.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            if matches!(list.merge, Merge::Atomic) || (was.is_empty() && is.is_empty()) {
                return leaf(old, new);
            }
            list_items(list, was, is, &mut marks.below);
        }
        Shape::Map(members) => {
            let was = Side::of(members, old);
            let is = Side::of(members, new);
            if members.atomic || (was.is_empty() && is.is_empty()) {
                return leaf(old, new);
            }
            map_members(members, was, is, &mut marks.below);
        }
    }
    marks.added = old.is_none();
    marks.removed = new.is_none();
    marks
}

/// The members of one object, with those that are implied.
#[derive(Clone, Copy)]
struct Side<'a> {
    object: Option<&'a Map<String, Value>>,
    implied: &'static [(&'static str, &'static Value)],
}

impl<'a> Side<'a> {
    fn of(members: Members<'a>, value: Option<&'a Value>) -> Self {
        let object = value.and_then(Value::as_object);
        Self { object, implied: if object.is_some() { members.implied() } else { &[] } }
    }

    fn is_empty(self) -> bool {
        self.implied.is_empty() && self.object.is_none_or(Map::is_empty)
    }

    /// The members by name.
    fn iter(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let mut shown = self.object.into_iter().flatten().map(|(k, v)| (k.as_str(), v)).peekable();
        let mut implied = self.implied.iter().copied().peekable();
        std::iter::from_fn(move || match (shown.peek(), implied.peek()) {
            (Some((name, _)), Some((other, _))) if name > other => implied.next(),
            (Some((name, _)), Some((other, _))) => {
                if name == other {
                    implied.next();
                }
                shown.next()
            }
            (Some(_), None) => shown.next(),
            (None, _) => implied.next(),
        })
    }
}

fn map_members<'a>(members: Members<'a>, old: Side<'a>, new: Side<'a>, out: &mut Delta<'a>) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let name = match (old.peek(), new.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((a, _)), None) => *a,
            (None, Some((b, _))) => *b,
            (None, None) => return,
        };
        let was = old.next_if(|(n, _)| *n == name).map(|(_, v)| v);
        let is = new.next_if(|(n, _)| *n == name).map(|(_, v)| v);
        attach(out, Element::field(name), place(members.node(name), was, is));
    }
}

/// Hangs what a place gave under its element.
fn attach<'a>(out: &mut Delta<'a>, element: Element<'a>, marks: Marks<'a>) {
    let Marks { added, modified, removed, below } = marks;
    let parts = [
        (&mut out.added, added, below.added),
        (&mut out.modified, modified, below.modified),
        (&mut out.removed, removed, below.removed),
    ];
    for (set, member, below) in parts {
        if member || !below.is_empty() {
            set.put(Entry { element: element.clone(), member, below });
        }
    }
}

fn list_items<'a>(list: List<'a>, old: &'a [Value], new: &'a [Value], out: &mut Delta<'a>) {
    let (old, new) = (items::sorted(list, old), items::sorted(list, new));
    let (mut old, mut new) = (old.as_slice(), new.as_slice());
    loop {
        let element = match (old.first(), new.first()) {
            (Some((a, _)), Some((b, _))) => a.min(b),
            (Some((a, _)), None) => a,
            (None, Some((b, _))) => b,
            (None, None) => return,
        }
        .clone();
        let (was, is) = (group(&mut old, &element), group(&mut new, &element));
        let marks = item(list, was, is);
        attach(out, element, marks);
    }
}

/// Takes the items of one element off the front.
fn group<'l, 'a>(
    items: &mut &'l [(Element<'a>, &'a Value)],
    element: &Element<'a>,
) -> &'l [(Element<'a>, &'a Value)] {
    let count = items.iter().take_while(|(other, _)| other == element).count();
    let (group, rest) = items.split_at(count);
    *items = rest;
    group
}

/// One item, or several of one element: duplicates count as one atomic thing.
fn item<'a>(list: List<'a>, was: &[(Element<'a>, &'a Value)], is: &[(Element<'a>, &'a Value)]) -> Marks<'a> {
    match (was, is) {
        ([] | [_], [] | [_]) => place(list.item, was.first().map(|i| i.1), is.first().map(|i| i.1)),
        ([_, _, ..], [_, _, ..]) => {
            let equal = was.len() == is.len() && was.iter().zip(is).all(|(a, b)| same(a.1, b.1));
            Marks { modified: !equal, ..Marks::default() }
        }
        ([_, _, ..], _) => {
            let mut marks = is.first().map_or_else(Marks::default, |i| place(list.item, None, Some(i.1)));
            marks.removed = true;
            marks
        }
        (_, [_, _, ..]) => {
            let mut marks = was.first().map_or_else(Marks::default, |i| place(list.item, Some(i.1), None));
            marks.added = true;
            marks
        }
    }
}

/// The fields that an object, given as a configuration, wants to own.
pub(super) fn fields_of<'a>(node: Node<'a>, value: &'a Value) -> FieldSet<'a> {
    collect(node, value).1
}

/// Whether the place itself is owned, and what is owned below it.
fn collect<'a>(node: Node<'a>, value: &'a Value) -> (bool, FieldSet<'a>) {
    let mut below = FieldSet::new();
    match node.shape(Some(value)) {
        Shape::Scalar(_) => return (true, below),
        Shape::List(list) => {
            let Value::Array(values) = value else {
                return (matches!(list.merge, Merge::Atomic), below);
            };
            if matches!(list.merge, Merge::Atomic) {
                return (true, below);
            }
            let sorted = items::sorted(list, values);
            let mut rest = sorted.as_slice();
            while let Some((element, first)) = rest.first() {
                let several = group(&mut rest, element).len() > 1;
                let inner = if several { FieldSet::new() } else { collect(list.item, first).1 };
                below.put(Entry { element: element.clone(), member: true, below: inner });
            }
        }
        Shape::Map(members) => {
            if members.atomic {
                return (true, below);
            }
            for (name, value) in value.as_object().into_iter().flatten() {
                let known = members.member(name);
                let (mut member, inner) = collect(known.map_or(Node::Deduced, |m| m.node), value);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                member = member || empty || known.is_none_or(|m| !m.named);
                below.put(Entry { element: Element::field(name), member, below: inner });
            }
        }
    }
    (false, below)
}
