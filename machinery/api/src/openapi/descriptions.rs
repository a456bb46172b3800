//! The prose of types and fields, for `kubectl explain`. Packed in the binary, unpacked while a document is written.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;

/// Written by `cargo xtask descriptions`: lines `T name text` and `F json-name text`, parted by tabs.
static PACKED: &[u8] = include_bytes!("../../data/descriptions.txt.gz");

/// Changes with the prose.
pub(super) fn packed() -> &'static [u8] {
    PACKED
}

pub(super) struct Descriptions {
    text: String,
    /// Where in the text the lines of a type are.
    types: HashMap<String, (usize, usize)>,
}

impl Descriptions {
    pub(super) fn load() -> Self {
        let mut text = String::new();
        GzDecoder::new(PACKED).read_to_string(&mut text).expect("codegen packed UTF-8");
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
        Self { text, types }
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
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n")
}
