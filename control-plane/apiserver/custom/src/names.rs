//! The syntax of names, in upstream's words.

const LABEL_MAX: usize = 63;

pub(crate) const MIXED_CASE: &str = "may have mixed case, but should otherwise match: ";

const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

fn faults(value: &str, first: fn(u8) -> bool, words: &str) -> Vec<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = value.as_bytes();
    let good = bytes.first().is_some_and(|b| first(*b))
        && bytes.last().is_some_and(|b| plain(*b))
        && bytes.iter().all(|b| plain(*b) || *b == b'-');
    let mut faults = Vec::new();
    if value.len() > LABEL_MAX {
        faults.push(format!("must be no more than {LABEL_MAX} characters"));
    }
    if !good {
        faults.push(words.to_string());
    }
    faults
}

pub(crate) fn dns_label(value: &str) -> Vec<String> {
    faults(value, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), DNS_LABEL)
}

pub(crate) fn dns_1035(value: &str) -> Vec<String> {
    faults(value, |b| b.is_ascii_lowercase(), DNS_1035)
}
