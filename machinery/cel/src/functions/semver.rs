//! Semantic versions: `semver("1.2.3-rc.1+x")`. What is accepted and how errors read is as in blang/semver, which upstream
//! uses.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Outcome, Row, no_overload, row};
use crate::error::EvalError;
use crate::value::{Opaque, Value};

/// A version; build metadata does not order.
#[derive(Debug, Clone)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Identifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

pub(super) const ROWS: &[Row] = &[
    row(
        "semver",
        &[("string_to_semver", "string -> Semver"), ("string_bool_to_semver", "string, bool -> Semver")],
        |_, args| {
            let version = parse_args(args)?.map_err(EvalError::Message)?;
            Ok(Value::Library(Opaque::Semver(Arc::new(version))))
        },
    ),
    row(
        "isSemver",
        &[("is_semver_string", "string -> bool"), ("is_semver_string_bool", "string, bool -> bool")],
        |_, args| Ok(Value::Bool(parse_args(args)?.is_ok())),
    ),
    row("major", &[("semver_major", ".Semver -> int")], |_, args| number(args, 0)),
    row("minor", &[("semver_minor", ".Semver -> int")], |_, args| number(args, 1)),
    row("patch", &[("semver_patch", ".Semver -> int")], |_, args| number(args, 2)),
];

fn parse_args(args: &[Value<'_>]) -> Result<Result<Semver, String>, EvalError> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Semver::parse(text)),
        [Value::String(text), Value::Bool(true)] => {
            Ok(normalized(text).and_then(|text| Semver::parse(&text)))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn number<'a>(args: &[Value<'a>], at: usize) -> Outcome<'a> {
    match args {
        [Value::Library(Opaque::Semver(version))] => Ok(Value::Int(version.numbers[at] as i64)),
        _ => no_overload(),
    }
}

/// Without a leading `v`, without leading zeros, with all three numbers.
fn normalized(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
    for part in parts.iter_mut().filter(|part| part.len() > 1) {
        let trimmed = part.trim_start_matches('0');
        *part = if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
            trimmed.to_owned()
        } else {
            format!("0{trimmed}")
        };
    }
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".to_owned());
    }
    parts.resize(3, "0".to_owned());
    Ok(parts.join("."))
}

impl Semver {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let numbers = [plain(major, "Major")?, plain(minor, "Minor")?, plain(patch, "Patch")?];
        let pre = pre.map_or(Ok(Vec::new()), |pre| pre.split('.').map(identifier).collect())?;
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !is_plain(part) {
                return Err(format!(
                    "Invalid character(s) found in build meta data {}",
                    crate::text::quoted(part)
                ));
            }
        }
        Ok(Self { numbers, pre })
    }

    /// By precedence; a pre-release comes before its release.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn plain(text: &str, what: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "Invalid character(s) found in {} number {}",
            what.to_lowercase(),
            crate::text::quoted(text)
        ));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{what} number must not contain leading zeroes {}", crate::text::quoted(text)));
    }
    text.parse()
        .map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", crate::text::quoted(text)))
}

fn identifier(text: &str) -> Result<Identifier, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!(
                "Numeric PreRelease version must not contain leading zeroes {}",
                crate::text::quoted(text)
            ));
        }
        let number = text.parse();
        return number.map(Identifier::Number).map_err(|_| {
            format!("strconv.ParseUint: parsing {}: value out of range", crate::text::quoted(text))
        });
    }
    if !is_plain(text) {
        return Err(format!("Invalid character(s) found in prerelease {}", crate::text::quoted(text)));
    }
    Ok(Identifier::Text(text.to_owned()))
}
