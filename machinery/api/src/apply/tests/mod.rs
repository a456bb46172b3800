//! Tables of what upstream does: its own test cases, and what its clusters show.

mod applying;
mod custom;
mod fields;
mod properties;
mod tracking;

use serde_json::{Value, json};

use crate::apply::{self, Applied, ApplyError, OneVersion, Request, Reset};
use crate::{Schema, Table};

/// An object and who writes to it, a second apart.
struct Bed {
    schema: Schema,
    api_version: &'static str,
    kind: &'static str,
    live: Option<Value>,
    second: i64,
    reset: Reset,
}

impl Bed {
    fn of(group: &str, api_version: &'static str, kind: &'static str) -> Self {
        let version = api_version.rsplit('/').next().expect("split gives one part at least");
        let ty = Table::builtin().type_of(group, version, kind).expect("the kind is built in");
        Self::with(Schema::Typed(ty), api_version, kind)
    }

    fn with(schema: Schema, api_version: &'static str, kind: &'static str) -> Self {
        Self { schema, api_version, kind, live: None, second: 0, reset: Reset::Nothing }
    }

    fn config_map() -> Self {
        Self::of("", "v1", "ConfigMap")
    }

    fn deployment() -> Self {
        Self::of("apps", "apps/v1", "Deployment")
    }

    fn request<'a>(&'a self, manager: &'a str, subresource: &'a str) -> Request<'a> {
        Request {
            schema: &self.schema,
            api_version: self.api_version,
            kind: self.kind,
            manager,
            subresource,
            reset: &self.reset,
            versions: &OneVersion,
            now: jiff::Timestamp::from_second(self.second).expect("small seconds are in range"),
        }
    }

    /// The body with type and name.
    fn object(&self, body: Value) -> Value {
        let mut object =
            json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": "x"}});
        merge(&mut object, body);
        object
    }

    fn normal(&self, object: Value) -> Value {
        match &self.schema {
            Schema::Typed(ty) => {
                crate::codec::json::decode_value(Table::builtin(), *ty, &object)
                    .expect("the object fits")
                    .value
            }
            _ => object,
        }
    }

    fn store(&mut self, mut object: Value) {
        object["metadata"]["uid"] = "u".into();
        self.live = Some(self.normal(object));
    }

    /// A create or an update that puts `body` in place of what is there.
    fn put(&mut self, manager: &str, body: Value) -> &mut Self {
        self.put_to(manager, "", body)
    }

    fn put_to(&mut self, manager: &str, subresource: &str, body: Value) -> &mut Self {
        self.second += 1;
        let mut object = self.normal(self.object(body));
        if self.live.is_some() {
            object["metadata"]["uid"] = "u".into();
        }
        apply::track(&self.request(manager, subresource), self.live.as_ref(), &mut object);
        self.store(object);
        self
    }

    fn try_apply(&mut self, manager: &str, body: Value, force: bool) -> Result<Applied, ApplyError> {
        self.second += 1;
        let config = self.object(body);
        let applied = apply::apply(&self.request(manager, ""), self.live.as_ref(), &config, force)?;
        self.store(applied.object.clone());
        Ok(applied)
    }

    fn apply(&mut self, manager: &str, body: Value) -> &mut Self {
        self.try_apply(manager, body, false).expect("nobody is in conflict");
        self
    }

    fn force(&mut self, manager: &str, body: Value) -> &mut Self {
        self.try_apply(manager, body, true).expect("forced");
        self
    }

    fn refused(&mut self, manager: &str, body: Value) -> String {
        self.try_apply(manager, body, false).expect_err("it must be refused").to_string()
    }

    /// The object without type, name and owners.
    fn body(&self) -> Value {
        let mut object = self.live.clone().expect("it was written");
        for field in ["apiVersion", "kind"] {
            object.as_object_mut().expect("objects are objects").remove(field);
        }
        let meta = object["metadata"].as_object_mut().expect("objects have metadata");
        for field in ["name", "uid", "managedFields"] {
            meta.remove(field);
        }
        if meta.is_empty() {
            object.as_object_mut().expect("objects are objects").remove("metadata");
        }
        object
    }

    /// `manager operation version second paths…`, one a line.
    fn owners(&self) -> Vec<String> {
        let live = self.live.as_ref().expect("it was written");
        let owners = apply::decode(crate::meta::managed_fields(live)).expect("what was written can be read");
        let line = |owner: &apply::Owner<'_>| {
            let (m, time) = (&owner.manager, &owner.time);
            let time = time.get(17..19).unwrap_or("--");
            let sub = if m.subresource.is_empty() { String::new() } else { format!("/{}", m.subresource) };
            format!("{}{sub} {} {time} {}", m.name, m.operation.as_str(), owner.fields.paths().join(" "))
        };
        owners.iter().map(line).collect()
    }

    #[track_caller]
    fn expect_owners(&self, expected: &[&str]) -> &Self {
        assert_eq!(self.owners(), expected);
        self
    }

    #[track_caller]
    fn expect_body(&self, expected: Value) -> &Self {
        assert_eq!(self.body(), expected);
        self
    }
}

/// Lays one object over another; lists are replaced.
fn merge(object: &mut Value, over: Value) {
    match (object, over) {
        (Value::Object(object), Value::Object(over)) => {
            for (name, value) in over {
                merge(object.entry(name).or_insert(Value::Null), value);
            }
        }
        (object, over) => *object = over,
    }
}
