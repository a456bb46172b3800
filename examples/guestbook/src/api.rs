//! The entries: kept in memory, the newest first, no more than fit on a page.

use std::collections::VecDeque;
use std::sync::Mutex;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::serve::{Answer, Asked, Site, answer, text};

/// The oldest entry gives way to a further one.
const ENTRIES_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 40;
const TEXT_CHARS_MAX: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    text: String,
}

#[derive(Default)]
pub(crate) struct Api(Mutex<VecDeque<Entry>>);

impl Site for Api {
    async fn answer(&self, asked: Asked) -> Answer {
        match (asked.path.as_str(), &asked.method) {
            ("/healthz", _) => text(StatusCode::OK, "ok"),
            ("/entries", &Method::GET) => self.list(),
            ("/entries", &Method::POST) => self.add(&asked.body),
            ("/entries", _) => text(StatusCode::METHOD_NOT_ALLOWED, "GET or POST"),
            _ => text(StatusCode::NOT_FOUND, "not found"),
        }
    }
}

impl Api {
    fn list(&self) -> Answer {
        let entries = self.0.lock().expect("no holder of this lock panics");
        answer(StatusCode::OK, "application/json", serde_json::to_vec(&*entries).expect("texts are JSON"))
    }

    fn add(&self, body: &[u8]) -> Answer {
        let entry = match check(body) {
            Ok(entry) => entry,
            Err(why) => return text(StatusCode::BAD_REQUEST, why),
        };
        let written = serde_json::to_vec(&entry).expect("texts are JSON");
        let mut entries = self.0.lock().expect("no holder of this lock panics");
        entries.push_front(entry);
        entries.truncate(ENTRIES_MAX);
        answer(StatusCode::CREATED, "application/json", written)
    }
}

fn check(body: &[u8]) -> Result<Entry, String> {
    let entry: Entry =
        serde_json::from_slice(body).map_err(|e| format!("an entry has name and text: {e}"))?;
    let entry = Entry { name: entry.name.trim().to_string(), text: entry.text.trim().to_string() };
    for (what, value, max) in [("name", &entry.name, NAME_CHARS_MAX), ("text", &entry.text, TEXT_CHARS_MAX)] {
        match value.chars().count() {
            0 => return Err(format!("{what} is empty")),
            n if n > max => return Err(format!("{what} has {n} characters, {max} is the most")),
            _ => {}
        }
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_trimmed_and_bounded() {
        let good = check(br#"{"name":" Ada ","text":"hello"}"#).expect("a good entry");
        assert_eq!(good, Entry { name: "Ada".into(), text: "hello".into() });
        let long = format!(r#"{{"name":"Ada","text":"{}"}}"#, "x".repeat(501));
        for (body, why) in [
            ("", "an entry has"),
            (r#"{"name":"a"}"#, "missing field"),
            (r#"{"name":"a","text":"b","more":1}"#, "unknown field"),
            (r#"{"name":"  ","text":"b"}"#, "name is empty"),
            (long.as_str(), "501 characters"),
        ] {
            let got = check(body.as_bytes()).expect_err(body);
            assert!(got.contains(why), "{body}: {got}");
        }
    }

    #[test]
    fn the_newest_is_first_and_the_oldest_leaves() {
        let api = Api::default();
        for n in 0..=ENTRIES_MAX {
            assert_eq!(api.add(format!(r#"{{"name":"a","text":"{n}"}}"#).as_bytes()).status(), 201);
        }
        let entries = api.0.lock().unwrap();
        assert_eq!(entries.len(), ENTRIES_MAX);
        assert_eq!((entries[0].text.as_str(), entries[ENTRIES_MAX - 1].text.as_str()), ("100", "1"));
    }
}
