//! Feature gates: upstream's names, stages and defaults (`gates.txt`), what `--feature-gates` says, and what of it this
//! program can do. A gate may leave its default only where a component names it as a switch; to be told of any other
//! is refused rather than overheard.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use thiserror::Error;

/// What upstream says of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    pub name: &'static str,
    pub stage: Stage,
    pub default: bool,
    /// It cannot be anything else any more.
    pub locked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Alpha,
    Beta,
    Stable,
    Deprecated,
}

impl Stage {
    /// As `kubernetes_feature_enabled` tells it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Stable => "",
            Self::Deprecated => "DEPRECATED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FeatureError {
    #[error("missing bool value for {name}")]
    NoValue { name: String },
    #[error("invalid value of {name}={value}, err: strconv.ParseBool: parsing {value:?}: invalid syntax")]
    BadValue { name: String, value: String },
    #[error("component not registered: {component}")]
    Component { component: String },
    #[error("unrecognized feature gate: {name}")]
    Unknown { name: String },
    #[error("cannot set feature gate {name} to {value}, feature is locked to {default}")]
    Locked { name: String, value: bool, default: bool },
    #[error("cannot set feature gate {name} to {value}: this component only knows it as {default}")]
    NoSwitch { name: String, value: bool, default: bool },
}

/// Which features are on: the defaults, and what was said of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    changed: BTreeMap<&'static str, bool>,
}

impl Features {
    /// Reads `Name=bool,kube:Other=bool` of a component that can do with and without `switches`; all faults together.
    pub fn parse(told: &[String], switches: &[&str]) -> Result<Self, Vec<FeatureError>> {
        let (mut features, mut faults) = (Self::default(), Vec::new());
        for pair in told.iter().flat_map(|pairs| pairs.split(',')).map(str::trim).filter(|p| !p.is_empty()) {
            match read(pair).and_then(|(gate, value)| allowed(gate, value, switches)) {
                // Said twice, the later counts.
                Ok((gate, value)) => drop(features.changed.insert(gate.name, value)),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(features) } else { Err(faults) }
    }

    /// Whether a feature is on; one that nobody knows is not.
    pub fn is_on(&self, name: &str) -> bool {
        self.changed.get(name).copied().unwrap_or_else(|| find(name).is_some_and(|gate| gate.default))
    }

    /// Every gate, and whether it is on.
    pub fn all(&self) -> impl Iterator<Item = (&'static Gate, bool)> + '_ {
        gates().iter().map(|gate| (gate, self.is_on(gate.name)))
    }
}

/// `[kube:]Name=bool`
fn read(pair: &str) -> Result<(&'static Gate, bool), FeatureError> {
    let (component, pair) = pair.split_once(':').unwrap_or(("kube", pair));
    if component != "kube" {
        return Err(FeatureError::Component { component: component.to_string() });
    }
    let Some((name, value)) = pair.split_once('=') else {
        return Err(FeatureError::NoValue { name: pair.to_string() });
    };
    let (name, value) = (name.trim(), value.trim());
    let on = match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(FeatureError::BadValue { name: name.to_string(), value: value.to_string() }),
    };
    let gate = find(name).ok_or_else(|| FeatureError::Unknown { name: name.to_string() })?;
    Ok((gate, on))
}

fn allowed(
    gate: &'static Gate,
    value: bool,
    switches: &[&str],
) -> Result<(&'static Gate, bool), FeatureError> {
    let (name, default) = (gate.name.to_string(), gate.default);
    if value == default || (switches.contains(&gate.name) && !gate.locked) {
        Ok((gate, value))
    } else if gate.locked {
        Err(FeatureError::Locked { name, value, default })
    } else {
        Err(FeatureError::NoSwitch { name, value, default })
    }
}

fn find(name: &str) -> Option<&'static Gate> {
    let gates = gates();
    gates.binary_search_by(|gate| gate.name.cmp(name)).ok().map(|at| &gates[at])
}

/// By name.
fn gates() -> &'static [Gate] {
    static GATES: OnceLock<Vec<Gate>> = OnceLock::new();
    GATES.get_or_init(|| include_str!("gates.txt").lines().filter_map(gate).collect())
}

/// `Name stage on|off [locked]`
fn gate(line: &'static str) -> Option<Gate> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let stage = match words.next()? {
        "alpha" => Stage::Alpha,
        "beta" => Stage::Beta,
        "ga" => Stage::Stable,
        "deprecated" => Stage::Deprecated,
        _ => return None,
    };
    Some(Gate { name, stage, default: words.next()? == "on", locked: words.next() == Some("locked") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_gate_and_they_are_in_order() {
        assert_eq!(gates().len(), include_str!("gates.txt").lines().count());
        assert!(gates().windows(2).all(|two| two[0].name < two[1].name));
        for (name, stage, default, locked) in [
            ("APIResponseCompression", Stage::Beta, true, false),
            ("AllAlpha", Stage::Alpha, false, false),
            ("CRDValidationRatcheting", Stage::Stable, true, true),
            ("CBORServingAndStorage", Stage::Alpha, false, false),
        ] {
            assert_eq!(find(name), Some(&Gate { name, stage, default, locked }));
        }
    }

    #[test]
    fn what_is_told_is_taken_or_refused_in_upstreams_words() {
        let check = |told: &str, want: &str| {
            let got = match Features::parse(&[told.to_string()], &["WatchList", "CRDValidationRatcheting"]) {
                Ok(features) => features.changed.iter().map(|(name, on)| format!("{name}={on} ")).collect(),
                Err(faults) => faults.iter().map(|fault| format!("{fault}; ")).collect::<String>(),
            };
            assert_eq!(got, want, "{told}");
        };
        check("", "");
        check("WatchList=false", "WatchList=false ");
        check("kube:WatchList=0, WatchList=T", "WatchList=true ");
        check("CBORServingAndStorage=false", "CBORServingAndStorage=false ");
        check("Odd=true", "unrecognized feature gate: Odd; ");
        check("WatchList", "missing bool value for WatchList; ");
        check(
            "WatchList=x,sample:A=true",
            "invalid value of WatchList=x, err: strconv.ParseBool: parsing \"x\": invalid syntax; \
             component not registered: sample; ",
        );
        check(
            "CRDValidationRatcheting=false",
            "cannot set feature gate CRDValidationRatcheting to false, feature is locked to true; ",
        );
        check(
            "AllAlpha=true",
            "cannot set feature gate AllAlpha to true: this component only knows it as false; ",
        );
    }

    #[test]
    fn what_is_not_told_is_as_upstream_has_it() {
        let told = |pair: &str| Features::parse(&[pair.to_string()], &["WatchList"]).expect("good");
        assert!(told("").is_on("WatchList") && !told("WatchList=false").is_on("WatchList"));
        assert!(!told("").is_on("AllAlpha") && !told("").is_on("NoSuchThing"));
        let off = told("WatchList=false");
        assert_eq!(off.all().filter(|(gate, on)| gate.default != *on).count(), 1);
    }
}
