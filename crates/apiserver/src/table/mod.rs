//! Objects as tables (`meta.k8s.io` `Table`), which is how `kubectl get` asks for them.
//!
//! Which columns a kind has stands in [`columns`], what is in them in [`cells`]. Whether somebody
//! wants a table, [`crate::negotiate`] knows. Ages are those of the moment in which the answer is made.

mod cells;
mod columns;
mod network;
mod pods;
mod storage;

use crate::negotiate::{View, Wanted};
use crate::server::Server;
use jiff::Timestamp;
use ravelin_api::{Query, Resource, Status, object};
use ravelin_host::HostRef;
use serde_json::{Map, Value, json};

/// Makes tables of the objects of one kind.
#[derive(Clone)]
pub(crate) struct Tables {
    host: HostRef,
    resource: &'static Resource,
    /// The version of the table: `v1` or `v1beta1`.
    version: &'static str,
    include: Include,
}

/// What a row carries of its object (`IncludeObjectPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    Nothing,
    Metadata,
    Whole,
}

/// What a column is (`TableColumnDefinition`). With a priority above zero it is for wide tables.
#[derive(Clone, Copy, Debug)]
struct Column {
    name: &'static str,
    kind: &'static str,
    description: &'static str,
    priority: u32,
}

impl Tables {
    /// How tables are to be made, where one is wanted.
    ///
    /// # Errors
    /// 400 for an `includeObject` that is none (`ValidateTableOptions`).
    pub(crate) fn of(
        server: &Server,
        wanted: Wanted,
        (resource, query): (&'static Resource, &Query),
    ) -> Result<Option<Self>, Status> {
        let View::Table(version) = wanted.view else { return Ok(None) };
        let include = match query.first("includeObject").unwrap_or_default() {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::Nothing,
            "Object" => Include::Whole,
            other => {
                return Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
                )));
            }
        };
        Ok(Some(Self { host: server.host.clone(), resource, version, include }))
    }

    /// The table of an object or of a list.
    pub(crate) fn of_whole(&self, whole: &Value) -> Value {
        match whole.get("items").and_then(Value::as_array) {
            Some(items) => self.of_items(&whole["metadata"], items.iter()),
            None => self.of_one(whole, true),
        }
    }

    /// The table of a list's items.
    pub(crate) fn of_items<'a>(&self, metadata: &Value, items: impl Iterator<Item = &'a Value>) -> Value {
        let now = self.host.now();
        let rows: Vec<Value> = items.map(|item| self.row(item, now)).collect();
        self.table(metadata.clone(), true, rows)
    }

    /// The table of one object, which names its columns or leaves that to one before it.
    pub(crate) fn of_one(&self, whole: &Value, with_columns: bool) -> Value {
        let metadata = json!({"resourceVersion": object::resource_version(whole)});
        self.table(metadata, with_columns, vec![self.row(whole, self.host.now())])
    }

    fn table(&self, metadata: Value, with_columns: bool, rows: Vec<Value>) -> Value {
        let columns = with_columns.then(|| self.columns().iter().map(Column::definition).collect::<Vec<_>>());
        json!({
            "kind": "Table",
            "apiVersion": self.api_version(),
            "metadata": metadata,
            "columnDefinitions": columns,
            "rows": rows,
        })
    }

    fn api_version(&self) -> String {
        format!("meta.k8s.io/{}", self.version)
    }

    fn columns(&self) -> &'static [Column] {
        columns::of(self.resource)
    }

    fn row(&self, item: &Value, now: Timestamp) -> Value {
        let (cells, conditions) = cells::of(self.resource, item, now);
        debug_assert_eq!(cells.len(), self.columns().len(), "{}", self.resource.plural);
        let mut row = Map::new();
        row.insert("cells".into(), Value::Array(cells));
        if let Some(conditions) = conditions {
            row.insert("conditions".into(), conditions);
        }
        row.insert("object".into(), self.carried(item));
        Value::Object(row)
    }

    fn carried(&self, item: &Value) -> Value {
        match self.include {
            Include::Nothing => Value::Null,
            Include::Metadata => json!({"kind": "PartialObjectMetadata",
                "apiVersion": self.api_version(), "metadata": item.get("metadata")}),
            Include::Whole => {
                let mut whole = item.clone();
                whole["kind"] = json!(self.resource.kind);
                whole["apiVersion"] = json!(self.resource.api_version());
                whole
            }
        }
    }
}

impl Column {
    fn definition(&self) -> Value {
        let format = if self.name == "Name" && self.priority == 0 { "name" } else { "" };
        json!({
            "name": self.name,
            "type": self.kind,
            "format": format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}
