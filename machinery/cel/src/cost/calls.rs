//! What calls cost at most, by function and overload.

use super::estimate::{CallCost, Reckoner, is_equality};
use super::size::{CostEstimate, SizeEstimate, times};
use super::{
    CHECK, FORMAT_MAX, FORMAT_REGEX_MAX, LIST, PER_REQUIREMENT, REGEX, REQUIREMENTS_PER_CHARACTER, TRAVERSAL,
    compares_bytes,
};
use crate::expr::{Id, Literal};
use crate::types::{Library, Type};

fn costs(cost: CostEstimate) -> CallCost {
    CallCost { cost, result: None }
}

fn sized(cost: CostEstimate, result: SizeEstimate) -> CallCost {
    CallCost { cost, result: Some(result) }
}

const ONE: CostEstimate = CostEstimate { min: 1, max: 1 };

impl Reckoner<'_> {
    /// A call without its arguments: what its library says, else what the standard says, else one.
    pub(super) fn estimate_call(
        &self,
        function: &str,
        overload: &str,
        target: Option<Id>,
        args: &[Id],
    ) -> CallCost {
        self.extension_call(overload, target, args)
            .or_else(|| self.library_call(function, overload, target, args))
            .or_else(|| self.standard_call(overload, target, args))
            .unwrap_or(costs(ONE))
    }

    fn library_call(
        &self,
        function: &str,
        overload: &str,
        target: Option<Id>,
        args: &[Id],
    ) -> Option<CallCost> {
        let size = |at: usize| args.get(at).map(|&arg| self.size_or_unknown(arg));
        Some(match function {
            "check" => costs(CostEstimate::fixed(CHECK)),
            "serviceAccount"
            | "path"
            | "group"
            | "resource"
            | "subresource"
            | "namespace"
            | "name"
            | "allowed"
            | "reason"
            | "error"
            | "errored"
            | "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery" => costs(ONE),
            "fieldSelector" | "labelSelector" => {
                let length = size(0)?;
                let requirements = length.by_factor(REQUIREMENTS_PER_CHARACTER).by_factor(PER_REQUIREMENT);
                costs(CostEstimate::fixed(LIST).add(length.by_factor(TRAVERSAL)).add(requirements))
            }
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => self.list_call(target?),
            "url" | "jsonpatch.escapeKey" => sized(size(0)?.by_factor(TRAVERSAL), size(0)?),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                let size = self.size_or_unknown(target?);
                sized(size.by_factor(TRAVERSAL), size)
            }
            "replace" => self.replace_call(target?, size(0)?, size(1)?),
            "split" => self.split_call(target?, args),
            "join" => self.join_call(target?, args),
            "find" | "findAll" => {
                let text = self.size_or_unknown(target?);
                let cost =
                    text.add(SizeEstimate::fixed(1)).by_factor(TRAVERSAL).multiply(size(0)?.by_factor(REGEX));
                sized(cost, SizeEstimate { min: 0, max: text.max })
            }
            "ip" if overload == "cidr_ip" => costs(ONE),
            "ip" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                costs(size(0)?.by_factor(TRAVERSAL))
            }
            "ip.isCanonical" => costs(size(0)?.by_factor(2.0 * TRAVERSAL)),
            "containsIP" | "containsCIDR" => contained(function, overload, size(0)?),
            "validate" => costs(size(0)?.by_factor(TRAVERSAL).by_factor(FORMAT_REGEX_MAX * REGEX)),
            _ if is_equality(function) => self.equality_call(args)?,
            _ => return None,
        })
    }

    /// One for each element, and a walk over each that is text.
    fn list_call(&self, target: Id) -> CallCost {
        let size = self.size_or_unknown(target);
        match self.element(target) {
            Some((ty, element)) => {
                let walk = matches!(ty, Type::String | Type::Bytes).then(|| element.by_factor(TRAVERSAL));
                costs(size.by_cost(walk.map_or(ONE, |walk| walk.add(ONE))))
            }
            None => costs(size.by_factor(TRAVERSAL)),
        }
    }

    fn replace_call(&self, target: Id, old: SizeEstimate, new: SizeEstimate) -> CallCost {
        let size = self.size_or_unknown(target);
        // How often it is replaced, and what is kept; at most and at least.
        let (often, kept) = if old.min == 0 {
            (size.max.saturating_add(1), size.max)
        } else if new.max <= old.min {
            (0, size.max)
        } else {
            ((size.max as f64 / old.min as f64).ceil() as u64, 0)
        };
        let (seldom, kept_least) = if old.max == 0 {
            (size.min.saturating_add(1), size.min)
        } else if old.max <= new.min {
            (0, size.min)
        } else {
            ((size.min as f64 / old.max as f64).ceil() as u64, 0)
        };
        let count = SizeEstimate { min: seldom, max: often };
        let kept = SizeEstimate { min: kept_least, max: kept };
        sized(size.by_factor(2.0 * TRAVERSAL), count.multiply(new).add(kept))
    }

    fn split_call(&self, target: Id, args: &[Id]) -> CallCost {
        let size = self.size_or_unknown(target);
        let max = match args.get(1).and_then(|&limit| self.written(limit)) {
            Some(Literal::Int(limit)) => *limit as u64,
            _ => size.max,
        };
        sized(size.by_factor(2.0 * TRAVERSAL), SizeEstimate { min: 0, max })
    }

    fn join_call(&self, target: Id, args: &[Id]) -> CallCost {
        let list = self.size_or_unknown(target);
        let mut size =
            self.element(target).map_or(SizeEstimate::fixed(0), |(_, element)| list.multiply(element));
        if let Some(&separator) = args.first() {
            let count = SizeEstimate { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
            size = size.add(self.size_or_unknown(separator).multiply(count));
        }
        sized(size.by_factor(TRAVERSAL), size)
    }

    /// Equality of what libraries know.
    fn equality_call(&self, args: &[Id]) -> Option<CallCost> {
        let [a, b] = args else { return None };
        let (left, right) = (&self.checked.types[*a as usize], &self.checked.types[*b as usize]);
        let Type::Library(library) = left else { return None };
        if left != right {
            return None;
        }
        let up_to = |max: u64| costs(CostEstimate { min: times(1, TRAVERSAL), max: times(max, TRAVERSAL) });
        Some(match library {
            Library::Format => up_to(FORMAT_MAX),
            Library::Url => up_to(self.size(*b).map_or(1, |size| size.max)),
            _ => costs(ONE),
        })
    }

    /// The extensions of lists and sets.
    fn extension_call(&self, overload: &str, target: Option<Id>, args: &[Id]) -> Option<CallCost> {
        let size = |id: Id| self.size_or_unknown(id);
        let sets = |factor: f64| {
            let product = size(*args.first()?).multiply(size(*args.get(1)?));
            Some(costs(product.by_factor(factor).add(ONE)))
        };
        let number = |at: usize, otherwise: u64| match args.get(at).and_then(|&arg| self.written(arg)) {
            Some(Literal::Int(n)) => (*n).max(0) as u64,
            _ => otherwise,
        };
        let square = |id: Id, factor: f64| allocating(factor, size(id).multiply(size(id)));
        Some(match overload {
            "list_sets_contains_list" | "list_sets_intersects_list" => sets(1.0)?,
            "list_sets_equivalent_list" => sets(2.0)?,
            "list_slice" => {
                let (start, end) = (number(0, 0), number(1, size(target?).max));
                allocating(1.0, SizeEstimate::fixed(end.wrapping_sub(start)))
            }
            "lists_range" => allocating(1.0, SizeEstimate::fixed(number(0, u64::MAX))),
            "list_reverse" => allocating(1.0, size(target?)),
            "list_flatten" => allocating(1.0, size(target?)),
            "list_flatten_int" => allocating(number(0, u64::MAX) as f64, size(target?)),
            "list_distinct" => square(target?, 2.0),
            "list_string_sort" | "list_bytes_sort" => square(target?, 2.0 + TRAVERSAL),
            "list_string_sortByAssociatedKeys" | "list_bytes_sortByAssociatedKeys" => {
                square(*args.first()?, 2.0 + TRAVERSAL)
            }
            id if id.ends_with("_sort") => square(target?, 2.0),
            id if id.ends_with("_sortByAssociatedKeys") => square(*args.first()?, 2.0),
            _ => return None,
        })
    }

    fn standard_call(&self, overload: &str, target: Option<Id>, args: &[Id]) -> Option<CallCost> {
        let size = |at: usize| args.get(at).map(|&arg| self.size_or_unknown(arg));
        Some(match overload {
            "string_format" => costs(self.size_or_unknown(target?).by_factor(TRAVERSAL)),
            "string_to_bytes" => {
                let size = size(0)?;
                sized(
                    size.by_factor(TRAVERSAL),
                    SizeEstimate { min: size.min, max: size.max.wrapping_mul(4) },
                )
            }
            "bytes_to_string" => {
                let size = size(0)?;
                sized(size.by_factor(TRAVERSAL), SizeEstimate { min: size.min / 4, max: size.max })
            }
            "strings_quote" => {
                let size = size(0)?;
                let quoted = SizeEstimate {
                    min: size.min.wrapping_add(2),
                    max: size.max.wrapping_mul(2).wrapping_add(2),
                };
                sized(size.by_factor(TRAVERSAL), quoted)
            }
            "starts_with_string" | "ends_with_string" => costs(size(0)?.by_factor(TRAVERSAL)),
            "in_list" => costs(size(1)?.by_factor(1.0)),
            "matches_string" => {
                let text = self.size_or_unknown(target?).add(SizeEstimate::fixed(1));
                costs(text.by_factor(TRAVERSAL).multiply(size(0)?.by_factor(REGEX)))
            }
            "contains_string" => {
                let text = self.size_or_unknown(target?).by_factor(TRAVERSAL);
                costs(text.multiply(size(0)?.by_factor(TRAVERSAL)))
            }
            "add_list" => sized(ONE, size(0)?.add(size(1)?)),
            "add_string" | "add_bytes" => {
                let both = size(0)?.add(size(1)?);
                sized(both.by_factor(TRAVERSAL), both)
            }
            id if compares_bytes(id) => {
                let max = size(0)?.max.min(size(1)?.max);
                costs(CostEstimate { min: u64::from(max > 0), max }.by_factor(TRAVERSAL))
            }
            _ => return None,
        })
    }
}

/// A call that makes a list.
fn allocating(factor: f64, size: SizeEstimate) -> CallCost {
    let cost = size.by_factor(factor).add(ONE).add(CostEstimate::fixed(LIST));
    sized(cost, size)
}

fn contained(function: &str, overload: &str, other: SizeEstimate) -> CallCost {
    let address = SizeEstimate { min: 4, max: 16 };
    let mut cost = address.add(address).by_factor(TRAVERSAL);
    if function == "containsCIDR" {
        cost = cost.add(address.by_factor(TRAVERSAL)).add(ONE);
    }
    if matches!(overload, "cidr_contains_ip_string" | "cidr_contains_cidr_string") {
        cost = cost.add(other.by_factor(TRAVERSAL));
    }
    costs(cost)
}
