//! One charge against the quotas of its namespace: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oarlock_api::GroupResource;
use oarlock_api::quantity::Quantity;
use oarlock_quota::amounts::{self, Amounts, add, amounts as read, growth, mask};
use oarlock_quota::{Facts, Selector, Tracked};
use serde_json::Value;

use super::limited::LimitedResource;
use crate::value::name;

/// A quota as it stands.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    pub(super) name: String,
    object: Arc<Value>,
    hard: Amounts,
    pub(super) used: Amounts,
    scopes: Vec<Selector>,
}

impl Quota {
    pub(super) fn read(object: &Arc<Value>) -> Self {
        Self {
            name: name(object).to_string(),
            object: object.clone(),
            hard: read(&object["status"]["hard"]),
            used: read(&object["status"]["used"]),
            scopes: Selector::all_of(&object["spec"]),
        }
    }

    /// The object with what is used now.
    pub(super) fn to_value(&self) -> Value {
        let mut object = (*self.object).clone();
        crate::value::map_mut(&mut object, "status").insert("used".into(), amounts::to_value(&self.used));
        object
    }
}

/// What a write uses, and what the object used before it.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) resource: GroupResource,
    pub(super) tracked: Tracked,
    pub(super) now: Facts,
    pub(super) before: Option<Facts>,
    /// For each resource that a quota may require to be told: the containers that do not.
    pub(super) missing: BTreeMap<String, BTreeSet<String>>,
    /// What a controller reports of an object is noted, never refused.
    pub(super) status: bool,
    pub(super) dry_run: bool,
}

impl Charge {
    fn counts(&self, name: &str) -> bool {
        self.tracked.counts(&self.resource, name)
    }

    /// A quota concerns a thing if it limits any of what the thing uses, and all its scopes fit.
    fn concerns(&self, quota: &Quota, facts: &Facts) -> bool {
        quota.hard.keys().any(|name| self.counts(name)) && quota.scopes.iter().all(|s| facts.is_in(s))
    }
}

/// The new usage of each quota that changes, by index, or why the charge is refused.
pub(super) fn check(
    quotas: &[Quota],
    charge: &Charge,
    limited: &[LimitedResource],
) -> Result<Vec<(usize, Amounts)>, String> {
    let concerned = concerned(quotas, charge)?;
    let usage = &charge.now.usage;
    let negative: Vec<&str> =
        usage.iter().filter(|(_, quantity)| quantity.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let delta = match &charge.before {
        Some(before) => growth(usage, &before.usage),
        None => usage.clone(),
    };
    // An object that only now comes under a quota is charged in full.
    let charged = |quota: &Quota| {
        let was_under = charge.before.as_ref().is_some_and(|before| charge.concerns(quota, before));
        let amount = if was_under || charge.before.is_none() { &delta } else { usage };
        without_zeros(amount)
    };
    let charges: Vec<(usize, Amounts)> = concerned
        .iter()
        .map(|index| (*index, charged(&quotas[*index])))
        .filter(|(_, amount)| !amount.is_empty())
        .collect();
    let nothing = if concerned.is_empty() { without_zeros(&delta).is_empty() } else { charges.is_empty() };
    if nothing {
        return Ok(Vec::new());
    }
    uncovered(quotas, &concerned, charge, limited)?;
    charges
        .into_iter()
        .map(|(index, amount)| Ok((index, charge_quota(&quotas[index], &amount, charge.status)?)))
        .collect()
}

/// The quotas that the charge comes under; refuses what they require and it lacks.
fn concerned(quotas: &[Quota], charge: &Charge) -> Result<Vec<usize>, String> {
    let mut concerned = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        if !charge.concerns(quota, &charge.now) {
            continue;
        }
        let limits: Vec<&str> = quota.hard.keys().map(String::as_str).filter(|n| charge.counts(n)).collect();
        let missing: Vec<String> = charge
            .missing
            .iter()
            .filter(|(name, _)| limits.contains(&name.as_str()))
            .map(|(name, containers)| {
                let containers: Vec<&str> = containers.iter().map(String::as_str).collect();
                format!("{name} for: {}", containers.join(","))
            })
            .collect();
        if !missing.is_empty() {
            return Err(format!("failed quota: {}: must specify {}", quota.name, missing.join("; ")));
        }
        if limits.iter().any(|name| !quota.used.contains_key(*name)) {
            return Err(format!("status unknown for quota: {}, resources: {}", quota.name, limits.join(",")));
        }
        concerned.push(index);
    }
    Ok(concerned)
}

/// What the configuration allows only where a quota limits it.
fn uncovered(
    quotas: &[Quota],
    concerned: &[usize],
    charge: &Charge,
    limited: &[LimitedResource],
) -> Result<(), String> {
    if limited.is_empty() {
        return Ok(());
    }
    let covered = |name: &str| {
        charge.counts(name) && concerned.iter().any(|index| quotas[*index].hard.contains_key(name))
    };
    let of_resource = || limited.iter().filter(|limited| limited.resource == charge.resource);
    let used = charge.now.usage.iter().filter(|(_, quantity)| !quantity.is_zero() && !quantity.is_negative());
    let bare: BTreeSet<&str> = used
        .map(|(name, _)| name.as_str())
        .filter(|name| {
            of_resource().any(|l| l.match_contains.iter().any(|part| name.contains(part.as_str())))
        })
        .filter(|name| !covered(name))
        .collect();
    if !bare.is_empty() {
        let bare: Vec<&str> = bare.into_iter().collect();
        return Err(format!("insufficient quota to consume: {}", bare.join(",")));
    }
    let fits = |selector: &&Selector| charge.now.is_in(selector);
    let held: Vec<&str> = quotas
        .iter()
        .flat_map(|quota| quota.scopes.iter().filter(fits))
        .map(|selector| selector.scope.as_str())
        .collect();
    let bare: Vec<String> = limited
        .iter()
        .flat_map(|limited| limited.match_scopes.iter().filter(fits))
        .filter(|selector| !held.contains(&selector.scope.as_str()))
        .map(|s| format!("{{{} {} [{}]}}", s.scope, s.operator, s.values.join(" ")))
        .collect();
    if bare.is_empty() {
        Ok(())
    } else {
        Err(format!("insufficient quota to match these scopes: [{}]", bare.join(" ")))
    }
}

/// The quota's usage with the charge, or that it is too much.
fn charge_quota(quota: &Quota, amount: &Amounts, never_refuse: bool) -> Result<Amounts, String> {
    let requested = mask(amount, |name| quota.hard.contains_key(name));
    let mut used = quota.used.clone();
    add(&mut used, &requested);
    let zero = Quantity::ZERO;
    let over = |name: &str| {
        requested.contains_key(name)
            && quota.hard.get(name).is_some_and(|hard| used.get(name).unwrap_or(&zero) > hard)
    };
    if !never_refuse && requested.keys().any(|name| over(name)) {
        return Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name,
            amounts::print(&mask(&requested, over)),
            amounts::print(&mask(&quota.used, over)),
            amounts::print(&mask(&quota.hard, over)),
        ));
    }
    Ok(used)
}

fn without_zeros(amounts: &Amounts) -> Amounts {
    amounts.iter().filter(|(_, quantity)| !quantity.is_zero()).map(|(n, q)| (n.clone(), *q)).collect()
}
