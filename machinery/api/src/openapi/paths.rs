//! Writes one JSON object piece by piece, so that a document of megabytes is never a tree in memory.

use serde_json::Value;

pub(super) struct Writer {
    bytes: Vec<u8>,
    /// For each open object, whether it has members.
    open: Vec<bool>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(1 << 20), open: Vec::new() }
    }

    /// Begins the document with its first members.
    pub(super) fn open(&mut self, members: &[(&str, Value)]) {
        self.bytes.push(b'{');
        self.open.push(false);
        for (name, value) in members {
            self.member(name, value);
        }
    }

    pub(super) fn member(&mut self, name: &str, value: &Value) {
        self.name(name);
        serde_json::to_writer(&mut self.bytes, value).expect("values always serialise, and a Vec takes all");
    }

    pub(super) fn raw_member(&mut self, name: &str, json: &[u8]) {
        self.name(name);
        self.bytes.extend_from_slice(json);
    }

    /// Begins a member that is an object.
    pub(super) fn begin(&mut self, name: &str) {
        self.name(name);
        self.bytes.push(b'{');
        self.open.push(false);
    }

    pub(super) fn end(&mut self) {
        self.bytes.push(b'}');
        self.open.pop();
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end();
        self.bytes.shrink_to_fit();
        self.bytes
    }

    fn name(&mut self, name: &str) {
        if let Some(has_members) = self.open.last_mut()
            && std::mem::replace(has_members, true)
        {
            self.bytes.push(b',');
        }
        serde_json::to_writer(&mut self.bytes, name).expect("strings always serialise, and a Vec takes all");
        self.bytes.push(b':');
    }
}
