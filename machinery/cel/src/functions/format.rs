//! Named formats: `format.dns1123Label().validate("x")`.

use super::{Outcome, Row, no_overload, row, url};
use crate::time;
use crate::value::{Opaque, Value};

/// A format of strings.
#[derive(Debug)]
pub struct NamedFormat {
    /// As expressions call it.
    call: &'static str,
    pub(crate) name: &'static str,
    faults: fn(&str) -> Vec<String>,
    /// The length of the regular expression by which upstream checks, for costs.
    pub(crate) regex_size: u64,
}

const FORMATS: [NamedFormat; 13] = [
    NamedFormat { call: "dns1123Label", name: "DNS1123Label", faults: |s| label_1123(s), regex_size: 30 },
    NamedFormat {
        call: "dns1123Subdomain",
        name: "DNS1123Subdomain",
        faults: |s| subdomain(s),
        regex_size: 60,
    },
    NamedFormat { call: "dns1035Label", name: "DNS1035Label", faults: |s| label_1035(s), regex_size: 30 },
    NamedFormat { call: "qualifiedName", name: "QualifiedName", faults: qualified_name, regex_size: 60 },
    NamedFormat {
        call: "dns1123LabelPrefix",
        name: "DNS1123LabelPrefix",
        faults: |s| label_1123(&masked(s)),
        regex_size: 30,
    },
    NamedFormat {
        call: "dns1123SubdomainPrefix",
        name: "DNS1123SubdomainPrefix",
        faults: |s| subdomain(&masked(s)),
        regex_size: 60,
    },
    NamedFormat {
        call: "dns1035LabelPrefix",
        name: "DNS1035LabelPrefix",
        faults: |s| label_1035(&masked(s)),
        regex_size: 30,
    },
    NamedFormat { call: "labelValue", name: "LabelValue", faults: label_value, regex_size: 40 },
    NamedFormat {
        call: "uri",
        name: "URI",
        faults: |s| url::request_uri(s).err().into_iter().collect(),
        regex_size: 1103,
    },
    NamedFormat {
        call: "uuid",
        name: "uuid",
        faults: |s| unless(is_uuid(s), "does not match the UUID format"),
        regex_size: 84,
    },
    NamedFormat {
        call: "byte",
        name: "byte",
        faults: |s| unless(is_base64(s), "invalid base64"),
        regex_size: 84,
    },
    NamedFormat {
        call: "date",
        name: "date",
        faults: |s| unless(time::parse_date(s).is_ok(), "invalid date"),
        regex_size: 216,
    },
    NamedFormat {
        call: "datetime",
        name: "datetime",
        faults: |s| unless(!s.is_empty() && time::parse_date_time(s).is_ok(), "invalid datetime"),
        regex_size: 216,
    },
];

static TABLE: [NamedFormat; 13] = FORMATS;

macro_rules! named {
    ($name:literal) => {
        row(concat!("format.", $name), &[(concat!("format.", $name), "-> Format")], |_, _| Ok(find($name)))
    };
}

pub(super) const ROWS: &[Row] =
    &[
        named!("dns1123Label"),
        named!("dns1123Subdomain"),
        named!("dns1035Label"),
        named!("qualifiedName"),
        named!("dns1123LabelPrefix"),
        named!("dns1123SubdomainPrefix"),
        named!("dns1035LabelPrefix"),
        named!("labelValue"),
        named!("uri"),
        named!("uuid"),
        named!("byte"),
        named!("date"),
        named!("datetime"),
        row("format.named", &[("format-named", "string -> optional(Format)")], |_, args| match &args[0] {
            Value::String(name) => Ok(Value::optional(TABLE.iter().find(|f| f.call == &**name).map(of))),
            _ => no_overload(),
        }),
        row("validate", &[("format-validate", ".Format, string -> optional(list(string))")], |_, args| {
            match args {
                [Value::Library(Opaque::Format(format)), Value::String(text)] => validate(format, text),
                _ => no_overload(),
            }
        }),
    ];

fn of<'a>(format: &'static NamedFormat) -> Value<'a> {
    Value::Library(Opaque::Format(format))
}

fn find<'a>(call: &str) -> Value<'a> {
    of(TABLE.iter().find(|f| f.call == call).expect("every named function has its format"))
}

fn validate<'a>(format: &NamedFormat, text: &str) -> Outcome<'a> {
    let faults = (format.faults)(text);
    Ok(Value::optional(
        (!faults.is_empty()).then(|| Value::list(faults.into_iter().map(Value::from).collect())),
    ))
}

fn unless(holds: bool, fault: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![fault.to_owned()] }
}

/// A prefix may end with a dash, since more will follow. Upstream looks away from the byte before it, too.
fn masked(text: &str) -> String {
    let kept = text.len().saturating_sub(2);
    match text.get(..kept) {
        Some(rest) if text.ends_with('-') && text.len() > 1 => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

const LABEL_MAX: usize = 63;

fn too_long(text: &str, max: usize) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} bytes"))
}

fn is_label(text: &str, inside: impl Fn(u8) -> bool, edge: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    edge(*first) && edge(*last) && bytes.iter().all(|b| edge(*b) || inside(*b))
}

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn label_1123(text: &str) -> Vec<String> {
    const FAULT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let fits = is_label(text, |b| b == b'-', lower);
    too_long(text, LABEL_MAX).into_iter().chain(unless(fits, FAULT)).collect()
}

fn label_1035(text: &str) -> Vec<String> {
    const FAULT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let fits = is_label(text, |b| b == b'-', lower) && text.as_bytes()[0].is_ascii_lowercase();
    too_long(text, LABEL_MAX).into_iter().chain(unless(fits, FAULT)).collect()
}

fn subdomain(text: &str) -> Vec<String> {
    oarlock_api::selector::dns1123_subdomain_faults(text)
}

fn qualified_name(text: &str) -> Vec<String> {
    oarlock_api::selector::qualified_name_faults(text)
}

fn label_value(text: &str) -> Vec<String> {
    const FAULT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let fits = text.is_empty() || is_label(text, |b| b"-_.".contains(&b), |b| b.is_ascii_alphanumeric());
    too_long(text, LABEL_MAX).into_iter().chain(unless(fits, FAULT)).collect()
}

fn is_uuid(text: &str) -> bool {
    let bare: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let dashes = [8, 13, 18, 23];
    let shape =
        text.len() == 32 || (text.len() == 36 && dashes.iter().all(|at| text.as_bytes()[*at] == b'-'));
    shape && bare.len() == 32 && bare.iter().all(u8::is_ascii_hexdigit)
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}
