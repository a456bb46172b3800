//! The syntax of label keys and values, with upstream's words for what is wrong with them.

const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
     for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const NAME_LENGTH_MAX: usize = 63;
const SUBDOMAIN_LENGTH_MAX: usize = 253;

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn is_qualified(name: &str) -> bool {
    let bytes = name.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_subdomain(name: &str) -> bool {
    name.split('.').all(|part| {
        let bytes = part.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        bytes.first().is_some_and(plain)
            && bytes.last().is_some_and(plain)
            && bytes.iter().all(|b| plain(b) || *b == b'-')
    })
}

/// What is wrong with a label key, an annotation key, a taint key, …; empty means nothing.
pub fn qualified_name_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a valid label key {QUALIFIED_NAME} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            faults.push("prefix part must be non-empty".to_string());
            name
        }
        Some((prefix, name)) => {
            let wrong = subdomain_faults(prefix, too_long(SUBDOMAIN_LENGTH_MAX));
            faults.extend(wrong.into_iter().map(|fault| format!("prefix part {fault}")));
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_string());
    } else if name.len() > NAME_LENGTH_MAX {
        faults.push(format!("name part {}", too_long(NAME_LENGTH_MAX)));
    }
    if !is_qualified(name) {
        faults.push(format!("name part {QUALIFIED_NAME}"));
    }
    faults
}

/// What is wrong with a label value; empty means nothing.
pub fn label_value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > NAME_LENGTH_MAX {
        faults.push(too_long(NAME_LENGTH_MAX));
    }
    if !value.is_empty() && !is_qualified(value) {
        faults.push(LABEL_VALUE.to_string());
    }
    faults
}

/// What is wrong with a DNS subdomain (most objects' names); empty means nothing.
pub fn dns1123_subdomain_faults(name: &str) -> Vec<String> {
    subdomain_faults(name, format!("must be no more than {SUBDOMAIN_LENGTH_MAX} characters"))
}

fn subdomain_faults(name: &str, too_long: String) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > SUBDOMAIN_LENGTH_MAX {
        faults.push(too_long);
    }
    if !is_subdomain(name) {
        faults.push(SUBDOMAIN.to_string());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_follow_the_syntax() {
        for good in ["a", "a/b", "app.kubernetes.io/name", "A_b.c-9"] {
            assert!(qualified_name_faults(good).is_empty(), "{good}");
        }
        for bad in ["", "/a", "a/", "A/b", "-a", "a b", "a/b/c", "é"] {
            assert!(!qualified_name_faults(bad).is_empty(), "{bad}");
        }
        assert!(label_value_faults("").is_empty());
        assert!(label_value_faults("v1.2_x").is_empty());
        assert!(!label_value_faults("a/b").is_empty());
        assert_eq!(label_value_faults(&"a".repeat(64)), ["must be no more than 63 bytes"]);
    }
}
