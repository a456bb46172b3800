//! A set of fields of an object: what a manager owns.
//!
//! A sorted tree. An entry is a member of the set, has members below it, or both. An entry that is neither does not exist.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::element::Element;

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet<'a> {
    /// Sorted by element.
    pub(super) entries: Vec<Entry<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) element: Element<'a>,
    pub(super) member: bool,
    pub(super) below: FieldSet<'a>,
}

impl Entry<'_> {
    fn is_empty(&self) -> bool {
        !self.member && self.below.entries.is_empty()
    }
}

impl<'a> FieldSet<'a> {
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many paths are in the set.
    pub fn len(&self) -> usize {
        self.entries.iter().map(|entry| usize::from(entry.member) + entry.below.len()).sum()
    }

    /// The set of these paths of plain fields.
    pub fn of_fields(paths: &[&[&'a str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            set.insert(path.iter().map(|name| Element::Field(Cow::Borrowed(*name))));
        }
        set
    }

    /// Adds one path. An empty path adds nothing: nobody owns the whole object.
    pub fn insert(&mut self, path: impl IntoIterator<Item = Element<'a>>) {
        let mut path = path.into_iter().peekable();
        let mut at = self;
        while let Some(element) = path.next() {
            let index = match at.find(&element) {
                Ok(index) => index,
                Err(index) => {
                    at.entries.insert(index, Entry { element, member: false, below: Self::new() });
                    index
                }
            };
            if path.peek().is_none() {
                at.entries[index].member = true;
                return;
            }
            at = &mut at.entries[index].below;
        }
    }

    pub fn contains(&self, path: &[Element<'_>]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let mut at = self;
        for element in parents {
            let Some(entry) = at.get(element) else { return false };
            at = &entry.below;
        }
        at.get(last).is_some_and(|entry| entry.member)
    }

    pub(super) fn find(&self, element: &Element<'_>) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.element.cmp(element))
    }

    pub(super) fn get(&self, element: &Element<'_>) -> Option<&Entry<'a>> {
        self.find(element).ok().map(|at| &self.entries[at])
    }

    /// Puts an entry at its place; one that is there already is joined with it.
    pub(super) fn put(&mut self, entry: Entry<'a>) {
        if entry.is_empty() {
            return;
        }
        match self.entries.last() {
            Some(last) if last.element >= entry.element => match self.find(&entry.element) {
                Ok(at) => {
                    let there = &mut self.entries[at];
                    there.member |= entry.member;
                    there.below = std::mem::take(&mut there.below).union(entry.below);
                }
                Err(at) => self.entries.insert(at, entry),
            },
            _ => self.entries.push(entry),
        }
    }

    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut out = Vec::with_capacity(self.entries.len().max(other.entries.len()));
        let (mut left, mut right) =
            (self.entries.into_iter().peekable(), other.entries.into_iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(l), Some(r)) => l.element.cmp(&r.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self { entries: out },
            };
            match next {
                Ordering::Less => out.extend(left.next()),
                Ordering::Greater => out.extend(right.next()),
                Ordering::Equal => {
                    if let (Some(l), Some(r)) = (left.next(), right.next()) {
                        let (member, below) = (l.member || r.member, l.below.union(r.below));
                        out.push(Entry { element: l.element, member, below });
                    }
                }
            }
        }
    }

    /// The paths that are in both.
    pub fn intersection(&self, other: &FieldSet<'_>) -> Self {
        let mut out = Self::new();
        self.join(other, |entry, there| {
            let Some(there) = there else { return };
            let member = entry.member && there.member;
            let below = entry.below.intersection(&there.below);
            if member || !below.is_empty() {
                out.entries.push(Entry { element: entry.element.clone(), member, below });
            }
        });
        out
    }

    /// Whether a path is in both.
    pub fn intersects(&self, other: &FieldSet<'_>) -> bool {
        let mut found = false;
        self.join(other, |entry, there| {
            if let Some(there) = there {
                found = found || (entry.member && there.member) || entry.below.intersects(&there.below);
            }
        });
        found
    }

    /// Walks this set's entries with the entry of the other at the same element.
    fn join<'b, 'o>(
        &'b self,
        other: &'b FieldSet<'o>,
        mut f: impl FnMut(&'b Entry<'a>, Option<&'b Entry<'o>>),
    ) {
        let mut rest = other.entries.iter().peekable();
        for entry in &self.entries {
            while rest.next_if(|there| there.element.cmp(&entry.element).is_lt()).is_some() {}
            f(entry, rest.next_if(|there| there.element.cmp(&entry.element).is_eq()));
        }
    }

    /// Takes the other's paths out.
    pub fn subtract(&mut self, other: &FieldSet<'_>) {
        self.take_out(other, false);
    }

    /// Takes the other's paths out and everything below them.
    pub fn subtract_below(&mut self, other: &FieldSet<'_>) {
        self.take_out(other, true);
    }

    fn take_out(&mut self, other: &FieldSet<'_>, with_below: bool) {
        if self.is_empty() || other.is_empty() {
            return;
        }
        let mut rest = other.entries.iter().peekable();
        self.entries.retain_mut(|entry| {
            while rest.next_if(|there| there.element.cmp(&entry.element).is_lt()).is_some() {}
            let Some(there) = rest.next_if(|there| there.element.cmp(&entry.element).is_eq()) else {
                return true;
            };
            if there.member {
                entry.member = false;
                if with_below {
                    return false;
                }
            }
            entry.below.take_out(&there.below, with_below);
            !entry.is_empty()
        });
    }

    /// Calls `f` for each path: at each level first the members, then what lies below.
    pub fn each(&self, f: &mut impl FnMut(&[Element<'a>])) {
        fn walk<'a>(set: &FieldSet<'a>, path: &mut Vec<Element<'a>>, f: &mut impl FnMut(&[Element<'a>])) {
            for entry in set.entries.iter().filter(|entry| entry.member) {
                path.push(entry.element.clone());
                f(path);
                path.pop();
            }
            for entry in set.entries.iter().filter(|entry| !entry.below.is_empty()) {
                path.push(entry.element.clone());
                walk(&entry.below, path, f);
                path.pop();
            }
        }
        walk(self, &mut Vec::new(), f);
    }

    /// The paths as users read them.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.each(&mut |path| out.push(path_text(path)));
        out
    }

    pub fn into_owned(self) -> FieldSet<'static> {
        let entries = self.entries.into_iter().map(|entry| Entry {
            element: entry.element.into_owned(),
            member: entry.member,
            below: entry.below.into_owned(),
        });
        FieldSet { entries: entries.collect() }
    }
}

/// `.spec.ports[port=80].name`
pub(super) fn path_text(path: &[Element<'_>]) -> String {
    path.iter().map(ToString::to_string).collect()
}
