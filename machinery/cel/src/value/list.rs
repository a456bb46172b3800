//! Lists: of JSON, or made.

use std::sync::{Arc, LazyLock};

use oarlock_api::table::ListType as Rule;
use serde_json::Value as Json;

use super::{Value, equal, read};
use crate::error::EvalError;
use crate::eval::Meter;
use crate::types::{ListType, Type};

/// A list. Those of a schema's set or map type keep its rules of equality and addition, also as sums.
#[derive(Debug, Clone)]
pub enum List<'a> {
    Json { items: &'a [Json], ty: &'a ListType },
    Made { items: Arc<Vec<Value<'a>>>, ty: Option<&'a ListType> },
}

/// The type of a list of which nothing is known.
pub(super) fn any() -> &'static ListType {
    static ANY: LazyLock<Arc<ListType>> = LazyLock::new(|| match Type::list(Type::Dyn) {
        Type::List(list) => list,
        _ => unreachable!("a list is a list"),
    });
    &ANY
}

impl<'a> From<Vec<Value<'a>>> for List<'a> {
    fn from(items: Vec<Value<'a>>) -> Self {
        Self::Made { items: Arc::new(items), ty: None }
    }
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Json { items, .. } => items.len(),
            Self::Made { items, .. } => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at a place; none beyond the end. Fails where the JSON is not of the list's type.
    pub fn get(&self, index: usize) -> Option<Result<Value<'a>, EvalError>> {
        match self {
            Self::Json { items, ty } => Some(read(items.get(index)?, &ty.element)),
            Self::Made { items, .. } => items.get(index).cloned().map(Ok),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// All elements.
    pub(crate) fn values(&self, meter: &Meter) -> Result<Vec<Value<'a>>, EvalError> {
        meter.step(self.len())?;
        self.iter().collect()
    }

    /// The elements of a list that was made; nothing of one that was read.
    pub(super) fn made(&self) -> &[Value<'a>] {
        match self {
            Self::Json { .. } => &[],
            Self::Made { items, .. } => items,
        }
    }

    fn ty(&self) -> Option<&'a ListType> {
        match self {
            Self::Json { ty, .. } => Some(ty),
            Self::Made { ty, .. } => *ty,
        }
    }

    pub(crate) fn contains(&self, value: &Value<'a>, meter: &Meter) -> Result<bool, EvalError> {
        for item in self.iter() {
            if equal(&item?, value, meter)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The sum of two lists: a union for sets, a merge by keys for lists of type map, and else one after the other. The
    /// list itself grows where nobody else holds it.
    pub(crate) fn plus(self, other: &List<'a>, meter: &Meter) -> Result<List<'a>, EvalError> {
        let ty = self.ty();
        let mut builder = ListBuilder::from(self, meter)?;
        match ty.map_or(Rule::Atomic, |ty| ty.rule) {
            Rule::Atomic => builder.extend(other, meter)?,
            Rule::Set => builder.unite(other, meter)?,
            Rule::Map => builder.merge(other, &ty.expect("its rule is known").keys, meter)?,
        }
        Ok(List::Made { items: builder.items, ty })
    }

    pub(super) fn equals(&self, other: &List<'a>, meter: &Meter) -> Result<bool, EvalError> {
        if self.len() != other.len() {
            return Ok(false);
        }
        let ty = self.ty();
        match ty.map_or(Rule::Atomic, |ty| ty.rule) {
            Rule::Atomic => {
                for (a, b) in self.iter().zip(other.iter()) {
                    if !equal(&a?, &b?, meter)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Rule::Set => {
                for item in other.iter() {
                    if !self.contains(&item?, meter)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Rule::Map => self.equals_keyed(other, &ty.expect("its rule is known").keys, meter),
        }
    }

    fn equals_keyed(&self, other: &List<'a>, keys: &[Box<str>], meter: &Meter) -> Result<bool, EvalError> {
        let mine = self.values(meter)?;
        for item in other.iter() {
            let item = item?;
            let found = find_keyed(&mine, &item, keys, meter)?;
            match found {
                Some(at) if equal(&mine[at], &item, meter)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// The place of the element whose keys are those of `item`.
fn find_keyed<'a>(
    items: &[Value<'a>],
    item: &Value<'a>,
    keys: &[Box<str>],
    meter: &Meter,
) -> Result<Option<usize>, EvalError> {
    'items: for (at, candidate) in items.iter().enumerate() {
        for key in keys {
            let same = match (candidate.keyed(key)?, item.keyed(key)?) {
                (None, None) => true,
                (Some(a), Some(b)) => equal(&a, &b, meter)?,
                _ => false,
            };
            if !same {
                continue 'items;
            }
        }
        return Ok(Some(at));
    }
    Ok(None)
}

impl<'a> Value<'a> {
    /// The field of a list-map's element, by its name in JSON.
    fn keyed(&self, key: &str) -> Result<Option<Value<'a>>, EvalError> {
        match self {
            Value::Map(map) => map.json_field(key),
            _ => Err(EvalError::message(
                "unexpected data format for element of array with x-kubernetes-list-type=map",
            )),
        }
    }
}

/// A list under construction.
struct ListBuilder<'a> {
    items: Arc<Vec<Value<'a>>>,
}

impl<'a> ListBuilder<'a> {
    fn from(list: List<'a>, meter: &Meter) -> Result<Self, EvalError> {
        let items = match list {
            List::Made { items, .. } => items,
            json @ List::Json { .. } => Arc::new(json.values(meter)?),
        };
        Ok(Self { items })
    }

    /// The elements, copied if somebody else holds them.
    fn own(&mut self, meter: &Meter) -> Result<&mut Vec<Value<'a>>, EvalError> {
        if Arc::get_mut(&mut self.items).is_none() {
            meter.step(self.items.len())?;
        }
        Ok(Arc::make_mut(&mut self.items))
    }

    fn extend(&mut self, other: &List<'a>, meter: &Meter) -> Result<(), EvalError> {
        meter.step(other.len())?;
        let items = self.own(meter)?;
        for item in other.iter() {
            items.push(item?);
        }
        meter.hold(items.len())
    }

    fn unite(&mut self, other: &List<'a>, meter: &Meter) -> Result<(), EvalError> {
        let items = self.own(meter)?;
        for item in other.iter() {
            let item = item?;
            let mut known = false;
            for existing in items.iter() {
                if equal(existing, &item, meter)? {
                    known = true;
                    break;
                }
            }
            if !known {
                items.push(item);
            }
        }
        meter.hold(items.len())
    }

    fn merge(&mut self, other: &List<'a>, keys: &[Box<str>], meter: &Meter) -> Result<(), EvalError> {
        let items = self.own(meter)?;
        for item in other.iter() {
            let item = item?;
            match find_keyed(items, &item, keys, meter)? {
                Some(at) => items[at] = item,
                None => items.push(item),
            }
        }
        meter.hold(items.len())
    }
}
