//! The formats of strings that schemas may ask for, as upstream checks them. A format that is not known says nothing.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use oarlock_api::selector::dns1123_subdomain_faults;
use regex::Regex;

type Check = fn(&str) -> bool;

/// The check of a format by name; hyphens in names do not count.
pub(crate) fn check_of(format: &str) -> Option<Check> {
    Some(match format.replace('-', "").as_str() {
        "bsonobjectid" => |s| s.len() == 24 && s.bytes().all(|b| b.is_ascii_hexdigit()),
        "uri" => uri,
        "email" => email,
        "hostname" => hostname,
        "ipv4" => |s| s.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => |s| s.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr,
        "mac" => mac,
        "uuid" => |s| uuid(s, None),
        "uuid3" => |s| uuid(s, Some('3')),
        "uuid4" => |s| uuid(s, Some('4')),
        "uuid5" => |s| uuid(s, Some('5')),
        "isbn" => |s| isbn10(s) || isbn13(s),
        "isbn10" => isbn10,
        "isbn13" => isbn13,
        "creditcard" => credit_card,
        "ssn" => |s| SSN.is_match(s),
        "hexcolor" => |s| HEX_COLOR.is_match(s),
        "rgbcolor" => |s| RGB_COLOR.is_match(s),
        "byte" => base64,
        "password" => |_| true,
        "date" => date,
        "duration" => duration,
        "datetime" => date_time,
        "k8sshortname" => dns_label,
        "k8slongname" => |s| dns1123_subdomain_faults(s).is_empty(),
        _ => return None,
    })
}

fn built(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the expression is part of the program")
}

static SSN: LazyLock<Regex> = LazyLock::new(|| built(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static HEX_COLOR: LazyLock<Regex> = LazyLock::new(|| built(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static RGB_COLOR: LazyLock<Regex> = LazyLock::new(|| {
    let part = r"(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])";
    built(&format!(r"^rgb\(\s*{part}\s*,\s*{part}\s*,\s*{part}\s*\)$"))
});
static CARD: LazyLock<Regex> = LazyLock::new(|| {
    built(
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
    )
});
static SCALA_DURATION: LazyLock<Regex> = LazyLock::new(|| built(r"([0-9]+)\s*([A-Za-zµ]+)"));
static CLOCK: LazyLock<Regex> =
    LazyLock::new(|| built(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$"));

/// As `url.ParseRequestURI`: a scheme and anything, or an absolute path.
fn uri(text: &str) -> bool {
    let scheme = text.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    let rest = scheme.map_or(text, |(_, rest)| rest);
    let authority =
        rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let escapes = text
        .split('%')
        .skip(1)
        .all(|part| part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    !text.bytes().any(|b| b < b' ' || b == 0x7f)
        && escapes
        && authority.is_none_or(|host| !host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}']))
        && (scheme.is_some() || rest.starts_with('/'))
}

/// As `mail.ParseAddress`: an address, alone or in angle brackets after a name.
fn email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(head) => match head.rsplit_once('<') {
            Some((_, address)) => address,
            None => return false,
        },
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |part: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        !part.is_empty() && part.chars().all(good)
    };
    let dotted = |text: &str| text.split('.').all(atom);
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.starts_with('[') && domain.ends_with(']');
    (quoted || dotted(local)) && (literal || dotted(domain))
}

fn hostname(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphabetic());
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.starts_with(plain)
            && part.ends_with(plain)
            && part.chars().all(|c| plain(c) || c == '-')
    };
    let top = |part: &str| part.chars().count() >= 2 && part.chars().all(|c| plain(c) && !c.is_ascii_digit());
    let mut labels = text.split('.').rev();
    let last = labels.next().unwrap_or_default();
    let single = !text.contains('.');
    text.len() <= 255 && label(last) && (single || top(last)) && labels.all(label)
}

fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let max = match (address.parse::<Ipv4Addr>().is_ok(), address.parse::<Ipv6Addr>().is_ok()) {
        (true, _) => 32,
        (_, true) => 128,
        _ => return false,
    };
    !bits.is_empty()
        && bits.bytes().all(|b| b.is_ascii_digit())
        && bits.parse::<u16>().is_ok_and(|bits| bits <= max)
}

/// As `net.ParseMAC`: 6, 8 or 20 bytes in one of three notations.
fn mac(text: &str) -> bool {
    let of = |separator: char, digits: usize, groups: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        let good = |part: &&str| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
        groups.contains(&parts.len()) && parts.iter().all(good)
    };
    of(':', 2, &[6, 8, 20]) || of('-', 2, &[6, 8, 20]) || of('.', 4, &[3, 4, 10])
}

/// Hyphens between the groups may be left out.
fn uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    let mut groups = Vec::new();
    for length in [8, 4, 4, 4, 12] {
        if !groups.is_empty() {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        match rest.split_at_checked(length) {
            Some((group, tail)) if group.bytes().all(|b| b.is_ascii_hexdigit()) => {
                groups.push(group);
                rest = tail;
            }
            _ => return false,
        }
    }
    let variant = |c: char| matches!(c.to_ascii_lowercase(), '8' | '9' | 'a' | 'b');
    rest.is_empty()
        && version.is_none_or(|version| groups[2].starts_with(version))
        && (!matches!(version, Some('4' | '5')) || groups[3].starts_with(variant))
}

fn isbn_digits(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !matches!(b, b' ' | b'-')).collect()
}

fn isbn10(text: &str) -> bool {
    let digits = isbn_digits(text);
    let value = |(index, byte): (usize, &u8)| match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'X' if index == 9 => Some(10),
        _ => None,
    };
    let values: Option<Vec<u32>> = digits.iter().enumerate().map(value).collect();
    digits.len() == 10
        && values.is_some_and(|v| v.iter().zip(1..).map(|(v, at)| v * at).sum::<u32>() % 11 == 0)
}

fn isbn13(text: &str) -> bool {
    let digits = isbn_digits(text);
    let sum = digits
        .iter()
        .zip([1_u32, 3].into_iter().cycle())
        .map(|(b, weight)| u32::from(b.wrapping_sub(b'0')) * weight);
    digits.len() == 13 && digits.iter().all(u8::is_ascii_digit) && sum.sum::<u32>() % 10 == 0
}

/// The number's form and its check digit (Luhn).
fn credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let doubled = |(index, byte): (usize, u8)| {
        let digit = u32::from(byte - b'0');
        let twice = digit * 2;
        if index % 2 == 0 { digit } else { twice / 10 + twice % 10 }
    };
    CARD.is_match(&digits) && digits.bytes().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

fn base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    let body = &bytes[..bytes.len() - padding];
    bytes.len().is_multiple_of(4)
        && padding <= 2
        && body.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some((day, clock)) = lower.split_once('t') else { return false };
    let Some(found) = CLOCK.captures(clock) else { return false };
    let at_most = |group: usize, max: u32| found[group].parse::<u32>().is_ok_and(|n| n <= max);
    date(day) && at_most(1, 23) && at_most(2, 59) && at_most(3, 59)
}

/// As Go writes durations, or as Scala does: somewhere in the text a whole number and a unit by name.
fn duration(text: &str) -> bool {
    go_duration(text) || scala_duration(text)
}

/// The short names of units, and the starts of the long ones: `3 days`, `2 weeks`.
const UNITS: [(&[&str], &str); 8] = [
    (&["ns"], "nano"),
    (&["us", "µs"], "micro"),
    (&["ms"], "milli"),
    (&["s"], "sec"),
    (&["m"], "min"),
    (&["h", "hr"], "hour"),
    (&["d"], "day"),
    (&["w", "wk"], "week"),
];

fn scala_duration(text: &str) -> bool {
    let mut is_known = false;
    for found in SCALA_DURATION.captures_iter(text) {
        if found[1].parse::<i64>().is_err() {
            return false;
        }
        let unit = found[2].to_lowercase();
        is_known |= UNITS.iter().any(|(short, long)| short.contains(&&*unit) || unit.starts_with(long));
    }
    is_known
}

/// Numbers with units, together less than 2⁶³ ns.
fn go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut total = 0.0;
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, tail) = rest.split_at(number);
        let unit = tail.len() - tail.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.').len();
        let (unit, tail) = tail.split_at(unit);
        let nanoseconds = match unit {
            "ns" => 1e0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return false,
        };
        let Ok(number) = digits.parse::<f64>() else { return false };
        total += number * nanoseconds;
        rest = tail;
    }
    // The first float beyond is 2⁶³ itself.
    total < 9_223_372_036_854_775_808.0
}

fn dns_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| plain(b) || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("ipv4", &["10.0.0.1"], &["10.0.0.256", "::1", ""]),
            ("ipv6", &["::1", "fe80::1"], &["10.0.0.1", "::g"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "x/8"]),
            ("mac", &["00:00:5e:00:53:01", "0000.5e00.5301"], &["00:00:5e:00:53", "zz:00:5e:00:53:01"]),
            (
                "uuid",
                &["123e4567-e89b-12d3-a456-426614174000", "123E4567e89b12d3a456426614174000"],
                &["123e4567"],
            ),
            ("uuid4", &["123e4567-e89b-42d3-a456-426614174000"], &["123e4567-e89b-12d3-a456-426614174000"]),
            ("date", &["2024-02-29"], &["2023-02-29", "2024-2-1"]),
            (
                "date-time",
                &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00"],
                &["2014-12-15", "2014-12-15T25:00:00Z"],
            ),
            (
                "duration",
                &[
                    "22 ns",
                    "1h30m",
                    "-1.5s",
                    "3 days",
                    "0",
                    "1h30min",
                    "2 WEEKS",
                    "every 3 hours",
                    "99999999h",
                ],
                &["", "1", "1x", "h", ".", ".s", "1 sunday", "99999999999999999999h"],
            ),
            ("byte", &["", "aGk=", "aGVsbG8="], &["aGk", "a$k="]),
            ("email", &["a@b.c", "A B <a@b>"], &["a", "a@", "a b@c"]),
            ("hostname", &["localhost", "a-b.example.com"], &["-a", "a..b", "a_b"]),
            ("uri", &["https://a/b?c", "/path", "urn:x"], &["a b", "", "http://a b/", "/%zz"]),
            ("isbn10", &["0321751043", "0-321-75104-3"], &["0321751044"]),
            ("isbn13", &["978-0321751041"], &["978-0321751042"]),
            ("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112"]),
            ("hexcolor", &["#fff", "FFFFFF"], &["#ff"]),
            ("rgbcolor", &["rgb(0,100,255)"], &["rgb(0,0,256)"]),
            ("ssn", &["111-22-3333"], &["11-22-3333"]),
            ("k8s-short-name", &["a-b"], &["A", "a.b"]),
            ("k8s-long-name", &["a.b-c"], &["a..b"]),
        ];
        for (format, good, bad) in cases {
            let check = check_of(format).expect("the format is known");
            good.iter().for_each(|text| assert!(check(text), "{format}: {text}"));
            bad.iter().for_each(|text| assert!(!check(text), "{format}: {text}"));
        }
        assert!(check_of("int-or-string").is_none());
    }
}
