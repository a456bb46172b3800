//! The prose of types and fields, for `kubectl explain`. Packed in the binary, unpacked while a document is written.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;

/// Written by `cargo xtask descriptions`: lines `T name text` and `F json-name text`, parted by tabs.
static PACKED: &[u8] = include_bytes!("../../data/descriptions.txt.gz");

/// Written by `cargo xtask values`: lines of a named string's type, a value, and what it means, parted by tabs.
static VALUES: &[u8] = include_bytes!("../../data/values.txt.gz");

/// Changes with the prose.
pub(super) fn packed() -> [&'static [u8]; 2] {
    [PACKED, VALUES]
}

/// The options of deletions have all that objects have in common, and are described whole.
const OBJECT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/// The one type of an answer that has the metadata of lists.
const LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

pub(super) struct Descriptions {
    values: String,
    text: String,
    /// Where in the text the lines of a type are.
    types: HashMap<String, (usize, usize)>,
}

impl Descriptions {
    pub(super) fn load() -> Self {
        let unpack = |packed: &[u8]| {
            let mut text = String::new();
            GzDecoder::new(packed).read_to_string(&mut text).expect("codegen packed UTF-8");
            text
        };
        let (text, values) = (unpack(PACKED), unpack(VALUES));
        let mut types: HashMap<String, (usize, usize)> = HashMap::new();
        let (mut at, mut current): (usize, Option<(String, usize)>) = (0, None);
        for line in text.split_inclusive('\n') {
            if let Some(rest) = line.strip_prefix("T\t") {
                if let Some((name, start)) = current.take() {
                    types.insert(name, (start, at));
                }
                let name = rest.split(['\t', '\n']).next().unwrap_or_default();
                current = Some((name.to_string(), at));
            }
            at += line.len();
        }
        if let Some((name, start)) = current {
            types.insert(name, (start, at));
        }
        Self { values, text, types }
    }

    fn lines(&self, ty: &str) -> impl Iterator<Item = (&str, &str, &str)> {
        let (start, end) = self.types.get(ty).copied().unwrap_or_default();
        self.text[start..end].lines().filter_map(|line| {
            let (tag, rest) = line.split_once('\t')?;
            let (name, text) = rest.split_once('\t')?;
            Some((tag, name, text))
        })
    }

    pub(super) fn of_type(&self, ty: &str) -> Option<String> {
        self.lines(ty)
            .find(|(tag, ..)| *tag == "T")
            .map(|(.., text)| unescape(text))
            .filter(|text| !text.is_empty())
    }

    /// All fields of a type that are described.
    pub(super) fn of_fields(&self, ty: &str) -> HashMap<&str, String> {
        self.lines(ty).filter(|(tag, ..)| *tag == "F").map(|(_, name, text)| (name, unescape(text))).collect()
    }

    /// Of a kind's fields that are not described there, what every object has.
    pub(super) fn of_every_object(&self, is_list: bool) -> [(&'static str, String); 3] {
        let of = |ty: &str, field: &str| self.of_fields(ty).remove(field).unwrap_or_default();
        let metadata = if is_list { of(LIST, "metadata") } else { "Standard object's metadata.".to_string() };
        [("apiVersion", of(OBJECT, "apiVersion")), ("kind", of(OBJECT, "kind")), ("metadata", metadata)]
    }

    /// What a field's text ends with where only these values may stand in it.
    pub(super) fn of_values<'v>(&self, ty: &str, values: impl Iterator<Item = &'v str>) -> String {
        let told = |value: &str| {
            self.values.lines().find_map(|line| {
                line.strip_prefix(ty)?.strip_prefix('\t')?.strip_prefix(value)?.strip_prefix('\t')
            })
        };
        let mut text = "\n\nPossible enum values:".to_string();
        for value in values {
            text.push_str(&format!("\n - `\"{value}\"`"));
            if let Some(told) = told(value).filter(|told| !told.is_empty()) {
                text.push(' ');
                text.push_str(told);
            }
        }
        text
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n")
}
