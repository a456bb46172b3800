//! `--runtime-config`: which built-in resources are served, beside those that are by default.

use std::collections::{BTreeMap, BTreeSet};

use oarlock_api::{Resource, Table};

/// What is turned on and off, by the keys of the flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Of every version, the one-for-all first: a later one goes over an earlier one.
    maturities: Vec<(Maturity, bool)>,
    /// By group and version.
    versions: BTreeMap<(String, String), bool>,
    /// By group, version and plural.
    resources: BTreeMap<(String, String, String), bool>,
}

/// Kinds of versions: `api/all` and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maturity {
    All,
    Stable,
    Beta,
    Alpha,
}

const MATURITIES: [(&str, Maturity); 4] = [
    ("api/all", Maturity::All),
    ("api/ga", Maturity::Stable),
    ("api/beta", Maturity::Beta),
    ("api/alpha", Maturity::Alpha),
];

impl Maturity {
    fn holds(self, version: &str) -> bool {
        let rest = version.strip_prefix('v').unwrap_or_default();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let between = |word: &str| rest.split_once(word).is_some_and(|(a, b)| digits(a) && digits(b));
        match self {
            Self::All => true,
            Self::Stable => digits(rest),
            Self::Beta => between("beta"),
            Self::Alpha => between("alpha"),
        }
    }
}

impl RuntimeConfig {
    /// Of `key=value` pairs with commas between them, given once or more. All faults, in upstream's words.
    pub fn parse(flags: &[String]) -> Result<Self, Vec<String>> {
        let mut pairs: BTreeMap<&str, &str> = BTreeMap::new();
        for pair in flags.iter().flat_map(|flag| flag.split(',')).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.insert(key.trim(), value.trim());
        }
        if pairs.len() == 1 && pairs.get("api/all") == Some(&"false") {
            return Err(vec!["invalid runtime-config with only api/all=false".into()]);
        }
        let (mut config, mut faults, mut strange) = (Self::default(), Vec::new(), BTreeSet::new());
        for (name, maturity) in MATURITIES {
            match pairs.remove(name) {
                None => {}
                Some("true") => config.maturities.push((maturity, true)),
                Some("false") => config.maturities.push((maturity, false)),
                Some(value) => faults.push(format!("invalid value {name}={value}")),
            }
        }
        for (key, value) in pairs {
            match config.take(key, value) {
                Ok(()) => {}
                Err(Fault::Group(version)) => drop(strange.insert(version)),
                Err(Fault::Told(fault)) => faults.push(fault),
            }
        }
        if !strange.is_empty() {
            let strange: Vec<String> = strange.into_iter().collect();
            faults.push(format!("unknown api groups {}", strange.join(",")));
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// One pair of a version or a resource.
    fn take(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        let told = |fault: String| Err(Fault::Told(fault));
        let parts: Vec<&str> = key.split('/').collect();
        let (group, version, plural) = match *parts.as_slice() {
            [group, version] => (group, version, None),
            [group, version, plural] => (group, version, Some(plural)),
            _ => return told(format!("runtime-config invalid key {key}")),
        };
        let mut of_group =
            Table::builtin().resources().iter().filter(|known| known.group == group).peekable();
        if of_group.peek().is_none() {
            return Err(Fault::Group(group_version(group, version)));
        }
        if !of_group.any(|known| known.version == version) {
            let version = group_version(group, version);
            return told(format!("group version {version} that has not been registered"));
        }
        let Some(on) = truth(value) else {
            return told(format!(
                "invalid value of {key}: {value}, err: strconv.ParseBool: parsing {value:?}: invalid syntax"
            ));
        };
        let (group, version) = (group.to_string(), version.to_string());
        match plural {
            None => drop(self.versions.insert((group, version), on)),
            Some(plural) if plural.to_lowercase() != plural => {
                return told(format!(
                    "invalid key {key}: group/version/resource and resource is always lowercase plural, not {plural:?}"
                ));
            }
            Some(plural) => drop(self.resources.insert((group, version, plural.into()), on)),
        }
        Ok(())
    }

    /// The nearest word counts: of the resource, of its version, of such versions, of the default.
    pub(crate) fn serves(&self, api: &Resource) -> bool {
        let version = (api.group.to_string(), api.version.to_string());
        let resource = (version.0.clone(), version.1.clone(), api.plural.to_string());
        let by_maturity = || self.maturities.iter().rev().find(|(maturity, _)| maturity.holds(api.version));
        let told = self.resources.get(&resource).or_else(|| self.versions.get(&version));
        told.copied().or_else(|| by_maturity().map(|(_, on)| *on)).unwrap_or(api.served_by_default)
    }
}

enum Fault {
    /// Of a group that nobody knows; these are told together.
    Group(String),
    Told(String),
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_string() } else { format!("{group}/{version}") }
}

/// As upstream reads booleans; a key alone is true.
fn truth(text: &str) -> Option<bool> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<RuntimeConfig, Vec<String>> {
        RuntimeConfig::parse(&[flags.to_string()])
    }

    #[test]
    fn the_nearest_word_counts() {
        let cases = [
            ("", "v1 pods", true),
            ("", "networking.k8s.io/v1beta1 ipaddresses", false),
            ("api/all", "", false),
            ("api/all=true", "networking.k8s.io/v1beta1 ipaddresses", true),
            ("api/all=true", "coordination.k8s.io/v1alpha2 leasecandidates", true),
            ("api/beta=true", "networking.k8s.io/v1beta1 ipaddresses", true),
            ("api/beta=true", "coordination.k8s.io/v1alpha2 leasecandidates", false),
            ("api/alpha=true", "coordination.k8s.io/v1alpha2 leasecandidates", true),
            ("api/all=true,api/beta=false", "networking.k8s.io/v1beta1 ipaddresses", false),
            ("api/all=false,api/ga=true", "apps/v1 deployments", true),
            ("api/all=false,/v1=true", "v1 pods", true),
            ("api/all=false,/v1=true", "apps/v1 deployments", false),
            ("networking.k8s.io/v1beta1=true", "networking.k8s.io/v1beta1 servicecidrs", true),
            ("networking.k8s.io/v1beta1", "networking.k8s.io/v1beta1 servicecidrs", true),
            (
                "networking.k8s.io/v1beta1=true,networking.k8s.io/v1beta1/ipaddresses=false",
                "networking.k8s.io/v1beta1 ipaddresses",
                false,
            ),
            ("networking.k8s.io/v1beta1/ipaddresses=1", "networking.k8s.io/v1beta1 servicecidrs", false),
            ("networking.k8s.io/v1beta1/ipaddresses=1", "networking.k8s.io/v1beta1 ipaddresses", true),
            ("api/all=true,apps/v1/daemonsets=f", "apps/v1 daemonsets", false),
        ];
        for (flags, which, want) in cases {
            let Some((version, plural)) = which.split_once(' ') else {
                assert!(parse(flags).is_err(), "{flags}");
                continue;
            };
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let api = Table::builtin().resource(group, version, plural).expect(which);
            assert_eq!(parse(flags).expect(flags).serves(api), want, "{flags}: {which}");
        }
    }

    #[test]
    fn faults_are_told_in_upstreams_words() {
        let cases = [
            ("api/all=false", "invalid runtime-config with only api/all=false"),
            ("api/all=yes", "invalid value api/all=yes"),
            ("v1=true", "runtime-config invalid key v1"),
            ("a/b/c/d=true", "runtime-config invalid key a/b/c/d"),
            ("none.test/v1=true,gone.test/v2/x=true", "unknown api groups gone.test/v2,none.test/v1"),
            ("apps/v9=true", "group version apps/v9 that has not been registered"),
            (
                "apps/v1=maybe",
                "invalid value of apps/v1: maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "apps/v1/DaemonSets=true",
                "invalid key apps/v1/DaemonSets: group/version/resource and resource is always lowercase plural, not \"DaemonSets\"",
            ),
        ];
        for (flags, want) in cases {
            assert_eq!(parse(flags), Err(vec![want.to_string()]), "{flags}");
        }
        assert_eq!(parse("v1=true,api/ga=2").expect_err("both").len(), 2, "all faults");
    }
}
