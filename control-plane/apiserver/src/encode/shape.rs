//! Tables and metadata alone: the shapes of an object that kubectl and metadata clients ask for.

use jiff::Timestamp;
use oarlock_api::openapi::column_description;
use oarlock_api::table::Column;
use oarlock_api::{Status, Table, TypeId};
use oarlock_apiserver_kinds::human_duration;
use serde_json::{Map, Value, json};

use super::list::ListMeta;
use super::negotiate::{Accepted, RowObject};
use crate::registry::{Custom, Served};

/// The version in which tables and metadata are told.
pub(super) fn meta_version(accepted: &Accepted) -> &'static str {
    if accepted.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
}

/// Whoever wants the metadata of one object gets no list.
pub(super) fn is_a_list(served: &Served) -> Status {
    let list = internal_type(served, "List");
    let why = format!("you requested PartialObjectMetadata, but the requested object is a list ({list})");
    Status::not_acceptable(why)
}

/// Whoever wants the metadata of a list gets no single object.
pub(super) fn not_a_list(served: &Served) -> Status {
    let one = internal_type(served, "");
    let why =
        format!("you requested PartialObjectMetadataList, but the requested object is not a list ({one})");
    Status::not_acceptable(why)
}

/// How upstream's messages call the type of an object or a list.
fn internal_type(served: &Served, suffix: &str) -> String {
    if served.custom.is_some() {
        return format!("*unstructured.Unstructured{suffix}");
    }
    let package = crate::decode::internal_package(served.api.group);
    format!("*{package}.{}{suffix}", served.api.kind)
}

/// What upstream prints for a kind without columns of its own.
const DEFAULT_COLUMNS: [Column; 2] = [
    Column { name: "Name", data_type: "string", format: "name", priority: 0 },
    Column { name: "Created At", data_type: "date", format: "", priority: 0 },
];

/// Types that belong to no group's table row but appear on the wire.
pub(super) fn meta_type(kind: &str) -> Option<TypeId> {
    Table::builtin().type_named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"))
}

pub(super) fn partial(accepted: &Accepted, object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": meta_version(accepted), "metadata": object["metadata"] })
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
    let mut table =
        json!({ "kind": "Table", "apiVersion": meta_version(accepted), "metadata": meta.to_value() });
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
        if served.api.plural == "componentstatuses" {
            return component_cells(object);
        }
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
            row.insert("object".into(), partial(accepted, object));
        }
        RowObject::Object => {
            row.insert("object".into(), object.clone());
        }
    }
    row.into()
}

/// A view, for which there is no strategy.
fn component_cells(object: &Value) -> Vec<Value> {
    let healthy = object["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Healthy");
    let text = |field: &str| healthy.and_then(|c| c[field].as_str()).unwrap_or_default().to_string();
    let status = match &*text("status") {
        "True" => "Healthy",
        "False" => "Unhealthy",
        _ => "Unknown",
    };
    vec![object["metadata"]["name"].clone(), status.into(), text("message").into(), text("error").into()]
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
        let description = column_description(served.api.group, served.api.plural, column.name);
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
        "description": column_description("", "", "Name"),
    });
    let own = custom.version.columns.iter().map(|column| {
        json!({
            "name": column.name, "type": column.data_type, "format": column.format,
            "description": column.description, "priority": column.priority,
        })
    });
    std::iter::once(name).chain(own).collect()
}
