//! Why a text is no IP address, in the words of Go's `netip.ParseAddr`. Only asked once it is known not to be one.

use crate::text::quoted;

/// The whole message.
pub(super) fn explain(text: &str) -> String {
    let fault = match text.find(['.', ':', '%']).map(|at| text.as_bytes()[at]) {
        Some(b'.') => v4(text),
        Some(b':') => v6(text),
        Some(_) => Some(("missing IPv6 address", "")),
        None => None,
    };
    let (what, at) = fault.unwrap_or(("unable to parse IP", ""));
    let place = if at.is_empty() { String::new() } else { format!(" (at {})", quoted(at)) };
    format!("ParseAddr({}): {what}{place}", quoted(text))
}

type Fault<'t> = Option<(&'static str, &'t str)>;

/// `part`: the address, or what is left of it where it ends an IPv6 address.
fn v4(part: &str) -> Fault<'_> {
    let bytes = part.as_bytes();
    let (mut value, mut digits, mut fields) = (0u32, 0, 0);
    for (at, c) in part.char_indices() {
        match c {
            '0'..='9' => {
                if digits == 1 && value == 0 {
                    return Some(("IPv4 field has octet with leading zero", ""));
                }
                value = value * 10 + u32::from(bytes[at] - b'0');
                digits += 1;
                if value > 255 {
                    return Some(("IPv4 field has value >255", ""));
                }
            }
            '.' => {
                if at == 0 || at + 1 == bytes.len() || bytes[at - 1] == b'.' {
                    return Some(("IPv4 field must have at least one digit", &part[at..]));
                }
                if fields == 3 {
                    return Some(("IPv4 address too long", ""));
                }
                (fields, value, digits) = (fields + 1, 0, 0);
            }
            _ => return Some(("unexpected character", &part[at..])),
        }
    }
    (fields < 3).then_some(("IPv4 address too short", ""))
}

fn v6(text: &str) -> Fault<'_> {
    let mut rest = match text.split_once('%') {
        Some((_, "")) => return Some(("zone must be a non-empty string", "")),
        Some((address, _)) => address,
        None => text,
    };
    let mut ellipsis = None;
    if let Some(after) = rest.strip_prefix("::") {
        ellipsis = Some(0);
        rest = after;
        if rest.is_empty() {
            return None;
        }
    }
    let mut filled = 0;
    while filled < 16 {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits > 4 {
            return Some(("each group must have 4 or fewer digits", rest));
        }
        if digits == 0 {
            return Some(("each colon-separated field must have at least one digit", rest));
        }
        if rest.as_bytes().get(digits) == Some(&b'.') {
            if ellipsis.is_none() && filled != 12 {
                return Some(("embedded IPv4 address must replace the final 2 fields of the address", rest));
            }
            if filled + 4 > 16 {
                return Some(("too many hex fields to fit an embedded IPv4 at the end of the address", rest));
            }
            return v4(rest);
        }
        filled += 2;
        rest = &rest[digits..];
        if rest.is_empty() {
            break;
        }
        if !rest.starts_with(':') {
            return Some(("unexpected character, want colon", rest));
        }
        if rest.len() == 1 {
            return Some(("colon must be followed by more characters", rest));
        }
        rest = &rest[1..];
        if let Some(after) = rest.strip_prefix(':') {
            if ellipsis.is_some() {
                return Some(("multiple :: in address", rest));
            }
            ellipsis = Some(filled);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
    }
    match (rest.is_empty(), filled < 16, ellipsis) {
        (false, _, _) => Some(("trailing garbage after address", rest)),
        (true, true, None) => Some(("address string too short", "")),
        (true, false, Some(_)) => Some(("the :: must expand to at least one field of zeros", "")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn faults_are_told_as_go_tells_them() {
        for (text, fault) in [
            ("x", "unable to parse IP"),
            ("192.168.0.1.0", "IPv4 address too long"),
            ("1.2.3", "IPv4 address too short"),
            ("1.2.3.256", "IPv4 field has value >255"),
            ("1.2.3.04", "IPv4 field has octet with leading zero"),
            ("1..2.3", "IPv4 field must have at least one digit (at \".2.3\")"),
            ("1.2.3.x", "unexpected character (at \"x\")"),
            ("2001:db8:::68", "each colon-separated field must have at least one digit (at \":68\")"),
            ("1::2::3", "multiple :: in address (at \":3\")"),
            ("1:2", "address string too short"),
            ("12345::", "each group must have 4 or fewer digits (at \"12345::\")"),
            ("1:2:3:4:5:6:7:8:9", "trailing garbage after address (at \"9\")"),
            ("::1%", "zone must be a non-empty string"),
            ("%eth0", "missing IPv6 address"),
        ] {
            assert_eq!(super::explain(text), format!("ParseAddr({text:?}): {fault}"), "{text}");
        }
    }
}
