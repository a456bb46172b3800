//! The objects compiled: schemas in the order in which they are tried, levels with their bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use oarlock_api::GroupResource;
use serde_json::Value;

use crate::level::Level;
use crate::limits::{Bounds, Share, bounds};
use crate::matching::{Digest, Rules};
use crate::metrics::FlowMetrics;
use crate::queues::Shape;

pub static FLOW_SCHEMAS: LazyLock<GroupResource> =
    LazyLock::new(|| GroupResource::new("flowcontrol.apiserver.k8s.io", "flowschemas"));
pub static PRIORITY_LEVELS: LazyLock<GroupResource> =
    LazyLock::new(|| GroupResource::new("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"));

/// Always there, whatever the objects say.
pub(crate) const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distinguisher {
    None,
    User,
    Namespace,
}

/// A FlowSchema as its object has it.
#[derive(Debug, Clone)]
pub(crate) struct SchemaSpec {
    pub(crate) name: Arc<str>,
    pub(crate) uid: Arc<str>,
    pub(crate) level: String,
    pub(crate) precedence: i64,
    pub(crate) distinguisher: Distinguisher,
    pub(crate) rules: Rules,
}

/// A PriorityLevelConfiguration as its object has it.
#[derive(Debug, Clone)]
pub(crate) struct LevelSpec {
    pub(crate) uid: Arc<str>,
    pub(crate) exempt: bool,
    pub(crate) shape: Option<Shape>,
    pub(crate) share: Share,
}

/// What classification answers with.
pub(crate) struct Schema {
    pub(crate) name: Arc<str>,
    pub(crate) uid: Arc<str>,
    pub(crate) level_uid: Arc<str>,
    pub(crate) level: Arc<Level>,
    pub(crate) distinguisher: Distinguisher,
    pub(crate) rules: Rules,
    pub(crate) seats_max: u32,
    pub(crate) metrics: FlowMetrics,
}

impl Schema {
    /// What tells the flows of this schema apart.
    pub(crate) fn flow<'a>(&self, digest: &Digest<'a>) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::User => &digest.user.name,
            Distinguisher::Namespace => digest.namespace,
        }
    }
}

/// All that is known of the objects, ready to make levels from.
pub(crate) struct Specs {
    /// In the order in which they are tried.
    pub(crate) schemas: Vec<SchemaSpec>,
    pub(crate) levels: BTreeMap<String, (LevelSpec, Bounds)>,
}

/// Reads the objects. Before there are any, the bootstrap ones count; what is mandatory always does.
pub(crate) fn read(schemas: &[Arc<Value>], levels: &[Arc<Value>], server: u32) -> Specs {
    let bootstrap = oarlock_api::table::bootstrap_objects();
    let fallback = |plural: &str, all: bool| {
        let objects = bootstrap.get(plural).and_then(Value::as_array).cloned().unwrap_or_default();
        objects.into_iter().filter(move |object| all || MANDATORY.contains(&name(object))).map(Arc::new)
    };
    let merged = |found: &[Arc<Value>], plural: &str| {
        let mut by_name: BTreeMap<String, Arc<Value>> =
            fallback(plural, found.is_empty()).map(|object| (name(&object).to_string(), object)).collect();
        by_name.extend(found.iter().map(|object| (name(object).to_string(), object.clone())));
        by_name
    };
    let levels: Vec<(String, LevelSpec)> = merged(levels, "prioritylevelconfigurations")
        .into_iter()
        .map(|(name, object)| (name, read_level(&object)))
        .collect();
    let shares: Vec<Share> = levels.iter().map(|(_, level)| level.share).collect();
    let bounds = bounds(server, &shares);
    let levels: BTreeMap<_, _> =
        levels.into_iter().zip(bounds).map(|((name, level), bounds)| (name, (level, bounds))).collect();
    let mut schemas: Vec<SchemaSpec> = merged(schemas, "flowschemas")
        .values()
        .map(|object| read_schema(object))
        .filter(|schema| levels.contains_key(&schema.level))
        .collect();
    schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
    Specs { schemas, levels }
}

pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn uid(object: &Value) -> Arc<str> {
    object["metadata"]["uid"].as_str().unwrap_or_default().into()
}

fn read_schema(object: &Value) -> SchemaSpec {
    let spec = &object["spec"];
    SchemaSpec {
        name: name(object).into(),
        uid: uid(object),
        level: spec["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default().to_string(),
        precedence: spec["matchingPrecedence"].as_i64().unwrap_or(1000),
        distinguisher: match spec["distinguisherMethod"]["type"].as_str() {
            Some("ByUser") => Distinguisher::User,
            Some("ByNamespace") => Distinguisher::Namespace,
            _ => Distinguisher::None,
        },
        rules: Rules::read(spec),
    }
}

fn read_level(object: &Value) -> LevelSpec {
    let spec = &object["spec"];
    let exempt = spec["type"] == "Exempt";
    let (part, shares) = if exempt { (&spec["exempt"], 0) } else { (&spec["limited"], 30) };
    let number = |value: &Value| value.as_i64().map(|n| u32::try_from(n).unwrap_or(0));
    let response = &part["limitResponse"];
    let queuing = &response["queuing"];
    let shape = (!exempt && response["type"] == "Queue").then(|| Shape {
        queues: number(&queuing["queues"]).unwrap_or(64).max(1),
        hand: number(&queuing["handSize"]).unwrap_or(8).max(1),
        length: number(&queuing["queueLengthLimit"]).unwrap_or(50).max(1),
    });
    LevelSpec {
        uid: uid(object),
        exempt,
        shape,
        share: Share {
            shares: number(&part["nominalConcurrencyShares"]).unwrap_or(shares),
            lendable_percent: number(&part["lendablePercent"]).unwrap_or(0).min(100),
            borrowing_percent: if exempt { None } else { number(&part["borrowingLimitPercent"]) },
        },
    }
}

/// The part of a level that its widest request may take.
const SEATS_MAX_PART: f64 = 0.15;

/// The widest request of a level; an exempt one has no bound of its own.
pub(crate) fn seats_max(level: &LevelSpec, bounds: &Bounds) -> u32 {
    if level.exempt { u32::MAX } else { ((f64::from(bounds.nominal) * SEATS_MAX_PART).ceil() as u32).max(1) }
}
