//! Tables and metadata alone: the shapes of an object that kubectl and metadata clients ask for.

use jiff::Timestamp;
use oarlock_api::table::Column;
use oarlock_api::{Table, TypeId};
use oarlock_apiserver_kinds::human_duration;
use serde_json::{Map, Value, json};

use super::list::ListMeta;
use super::negotiate::{Accepted, RowObject};
use crate::registry::{Custom, Served};

pub(super) const META: &str = "meta.k8s.io/v1";

/// What upstream prints for a kind without columns of its own.
const DEFAULT_COLUMNS: [Column; 2] = [
    Column { name: "Name", data_type: "string", format: "name", priority: 0 },
    Column { name: "Created At", data_type: "date", format: "", priority: 0 },
];

/// Types that belong to no group's table row but appear on the wire.
pub(super) fn meta_type(kind: &str) -> Option<TypeId> {
    Table::builtin().type_named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"))
}

pub(super) fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": META, "metadata": object["metadata"] })
}

/// A table of objects; `columns` are left out of all but the first event of a watch.
pub(super) fn table<'a>(
    accepted: &Accepted,
    served: &Served,
    meta: &ListMeta,
    objects: impl Iterator<Item = &'a Value>,
    columns: bool,
) -> Value {
    let now = Timestamp::now();
    let rows: Vec<Value> = objects.map(|object| row(accepted, served, object, now)).collect();
    let mut table = json!({ "kind": "Table", "apiVersion": META, "metadata": meta.to_value() });
    table["columnDefinitions"] = if columns { definitions(served) } else { json!([]) };
    table["rows"] = rows.into();
    table
}

fn row(accepted: &Accepted, served: &Served, object: &Value, now: Timestamp) -> Value {
    let strategy = served.stored.as_ref().map(|stored| &stored.storage.strategy);
    let stored = served.conversion.map(|conversion| {
        let mut object = object.clone();
        conversion.to_stored(&mut object);
        object
    });
    let told = stored.as_ref().unwrap_or(object);
    let cells = strategy.and_then(|strategy| strategy.table_cells(told, now)).unwrap_or_else(|| {
        let own = &served.api.table_columns;
        let mut cells = vec![object["metadata"]["name"].clone()];
        if own.is_empty() {
            cells.push(object["metadata"]["creationTimestamp"].clone());
        } else {
            cells.extend(
                own.iter().skip(1).map(
                    |column| {
                        if column.name == "Age" { age(object, now) } else { Value::Null }
                    },
                ),
            );
        }
        cells
    });
    let mut row = Map::new();
    row.insert("cells".into(), cells.into());
    match accepted.rows {
        RowObject::None => {}
        RowObject::Metadata => {
            row.insert("object".into(), partial(object));
        }
        RowObject::Object => {
            row.insert("object".into(), object.clone());
        }
    }
    row.into()
}

fn age(object: &Value, now: Timestamp) -> Value {
    let created =
        object["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let Some(created) = created else { return "<unknown>".into() };
    human_duration(now.as_second() - created.as_second()).into()
}

fn definitions(served: &Served) -> Value {
    if let Some(custom) = &served.custom {
        return custom_definitions(custom);
    }
    let own = &served.api.table_columns;
    let columns: &[Column] = if own.is_empty() { &DEFAULT_COLUMNS } else { own };
    let describe = |column: &Column| {
        let description = match column.name {
            "Name" => {
                "Name must be unique within a namespace. Is required when creating resources, although some resources \
                 may allow a client to request the generation of an appropriate name automatically. Name is primarily \
                 intended for creation idempotence and configuration definition. Cannot be updated."
            }
            "Age" | "Created At" => {
                "CreationTimestamp is a timestamp representing the server time when this object was created."
            }
            _ => "",
        };
        json!({
            "name": column.name, "type": column.data_type, "format": column.format, "description": description,
            "priority": column.priority,
        })
    };
    columns.iter().map(describe).collect()
}

/// The columns that a definition names, after the name.
fn custom_definitions(custom: &Custom) -> Value {
    let name = json!({
        "name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "Name must be unique within a namespace. Is required when creating resources, although some \
            resources may allow a client to request the generation of an appropriate name automatically. Name is \
            primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: \
            https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    });
    let own = custom.version.columns.iter().map(|column| {
        json!({
            "name": column.name, "type": column.data_type, "format": column.format,
            "description": column.description, "priority": column.priority,
        })
    });
    std::iter::once(name).chain(own).collect()
}
