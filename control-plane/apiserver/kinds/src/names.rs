//! The syntax of names, numbers and addresses, with upstream's words for what is wrong with them.
//! (`apimachinery/pkg/util/validation`)

use std::net::IpAddr;

pub(crate) use oarlock_api::selector::qualified_name_faults as qualified;
pub(crate) use oarlock_api::selector::{
    dns1123_subdomain_faults as subdomain, label_value_faults as label_value,
};

const LABEL_MAX: usize = 63;
const PORT_NAME_MAX: usize = 15;
const CRON_JOB_NAME_MAX: usize = 52;

const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
     or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

pub(crate) type Faults = Vec<String>;

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

const UNDERSCORED: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' \
     or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";

/// A domain to search in, which may have underscores.
pub(crate) fn subdomain_with_underscore(value: &str) -> Faults {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut faults = Faults::new();
    if value.len() > 253 {
        faults.push(too_long(253));
    }
    let good = value.split('.').all(|label| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|b| plain(*b) || *b == b'_')
            && bytes.last().is_some_and(|b| plain(*b))
            && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'_'))
    });
    if !good {
        faults.push(UNDERSCORED.into());
    }
    faults
}

fn is_label(value: &str, first: fn(&u8) -> bool) -> bool {
    let bytes = value.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(first)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || *b == b'-')
}

fn label_faults(value: &str, good: bool, words: &str) -> Faults {
    let mut faults = Faults::new();
    if value.len() > LABEL_MAX {
        faults.push(too_long(LABEL_MAX));
    }
    if !good {
        faults.push(words.into());
    }
    faults
}

pub(crate) fn dns_label(value: &str) -> Faults {
    label_faults(value, is_label(value, |b| b.is_ascii_lowercase() || b.is_ascii_digit()), DNS_LABEL)
}

pub(crate) fn dns_1035(value: &str) -> Faults {
    label_faults(value, is_label(value, u8::is_ascii_lowercase), DNS_1035)
}

/// A name of a kind whose rules are declared, which are told in other words.
pub(crate) fn long_name(value: &str) -> Faults {
    subdomain(value)
        .into_iter()
        .map(|fault| fault.replace("no more than 253 characters", "no more than 253 bytes"))
        .collect()
}

const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
     alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  \
     or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
     '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// Why a condition is as it is, in one word.
pub(crate) fn condition_reason(reason: &str) -> Faults {
    let bytes = reason.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let good = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || matches!(b, b',' | b':'));
    if good { Faults::new() } else { vec![REASON.into()] }
}

/// Names that need only be segments of a path; the registry has seen to that.
pub(crate) fn anything(_value: &str) -> Faults {
    Faults::new()
}

/// A name that stands between two slashes of a URL. (`path.IsValidPathSegmentName`)
pub(crate) fn path_segment(name: &str) -> Faults {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ['/', '%'].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// An address in the one form that the object of it is named by.
pub(crate) fn canonical_ip(name: &str) -> Faults {
    match name.parse::<IpAddr>() {
        Err(_) => ip(name),
        Ok(ip) if ip.to_string() != name => {
            vec!["must be in canonical form (\"".to_string() + &ip.to_string() + "\")"]
        }
        Ok(_) => Faults::new(),
    }
}

pub(crate) fn cron_job(value: &str) -> Faults {
    let mut faults = subdomain(value);
    if value.len() > CRON_JOB_NAME_MAX {
        // The controller appends eleven characters to it.
        faults.push(format!("must be no more than {CRON_JOB_NAME_MAX} characters"));
    }
    faults
}

pub(crate) fn port_number(port: i64) -> Option<&'static str> {
    (!(1..=65535).contains(&port)).then_some("must be between 1 and 65535, inclusive")
}

pub(crate) fn port_name(name: &str) -> Faults {
    let mut faults = Faults::new();
    if name.len() > PORT_NAME_MAX {
        faults.push(too_long(PORT_NAME_MAX));
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        faults.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        faults.push("must contain at least one letter (a-z)".into());
    }
    if name.contains("--") {
        faults.push("must not contain consecutive hyphens".into());
    }
    if name.starts_with('-') || name.ends_with('-') {
        faults.push("must not begin or end with a hyphen".into());
    }
    faults
}

pub(crate) fn env_name(name: &str) -> Faults {
    let good = name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    if good && !name.is_empty() {
        return Faults::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .into(),
    ]
}

pub(crate) fn config_key(key: &str) -> Faults {
    let mut faults = Faults::new();
    if key.len() > 253 {
        faults.push(too_long(253));
    }
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        faults.push(CONFIG_KEY.into());
    }
    match key {
        "." | ".." => faults.push(format!("must not be '{key}'")),
        _ if key.starts_with("..") => faults.push("must not start with '..'".into()),
        _ => {}
    }
    faults
}

pub(crate) fn ip(value: &str) -> Faults {
    if value.parse::<IpAddr>().is_ok() {
        return Faults::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()]
}

pub(crate) fn cidr(value: &str) -> Faults {
    let good = value.split_once('/').is_some_and(|(address, bits)| {
        let Ok(address) = address.parse::<IpAddr>() else { return false };
        let max = if address.is_ipv4() { 32 } else { 128 };
        !bits.starts_with('+') && bits.parse::<u8>().is_ok_and(|bits| bits <= max)
    });
    if good {
        Faults::new()
    } else {
        vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()]
    }
}

/// A range as it is told, and as it reads when it begins with its first address.
pub(crate) fn masked(cidr: &str) -> Option<(String, String)> {
    let (address, bits) = cidr.split_once('/')?;
    let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
    let first = match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
            IpAddr::from(std::net::Ipv4Addr::from(u32::from(ip) & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
            IpAddr::from(std::net::Ipv6Addr::from(u128::from(ip) & mask))
        }
    };
    Some((format!("{address}/{bits}"), format!("{first}/{bits}")))
}

fn network(cidr: &str) -> Option<(u128, u32, bool)> {
    let (address, bits) = cidr.split_once('/')?;
    Some(match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, bits.parse().ok()?, true),
        IpAddr::V6(ip) => (u128::from(ip), bits.parse().ok()?, false),
    })
}

/// Whether one valid CIDR is a true part of another.
pub(crate) fn strictly_within(inner: &str, outer: &str) -> bool {
    let (Some((part, part_bits, part_v4)), Some((whole, bits, v4))) = (network(inner), network(outer)) else {
        return false;
    };
    let same = bits == 0 || (part ^ whole) >> (128 - bits.min(128)) == 0;
    v4 == part_v4 && part_bits > bits && same
}

/// A name before random characters are appended to it.
pub(crate) fn as_prefix(base: &str) -> String {
    match base.strip_suffix('-') {
        Some(head) => format!("{head}a"),
        None => base.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntaxes_hold() {
        let check = |rule: fn(&str) -> Faults, good: &[&str], bad: &[&str]| {
            good.iter().for_each(|v| assert!(rule(v).is_empty(), "{v}"));
            bad.iter().for_each(|v| assert!(!rule(v).is_empty(), "{v}"));
        };
        check(dns_label, &["a", "1a", "a-b"], &["", "A", "-a", "a.b", &"a".repeat(64)]);
        check(dns_1035, &["a", "a1"], &["1a", "a-", ""]);
        check(port_name, &["http", "a-1"], &["80", "a--b", "-a", "HTTP", "sixteen-letters-x"]);
        check(config_key, &["a.b", "A_b"], &["", "a/b", "..", "..x"]);
        check(cidr, &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "x/8"]);
        check(env_name, &["A", "a.b-c"], &["", "a=b", "é"]);
    }
}
