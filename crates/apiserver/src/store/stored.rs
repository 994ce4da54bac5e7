//! An object as the store holds it, with its bytes once somebody asked for them.

use bytes::Bytes;
use ravelin_api::object;
use serde_json::Value;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// One state of one object. It is rendered once, however many lists and watches carry it.
#[derive(Debug)]
pub struct Stored {
    value: Arc<Value>,
    item: OnceLock<Bytes>,
}

impl Deref for Stored {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl Stored {
    pub(super) fn new(value: Arc<Value>) -> Arc<Self> {
        Arc::new(Self { value, item: OnceLock::new() })
    }

    /// The object itself.
    pub fn value(&self) -> &Arc<Value> {
        &self.value
    }

    /// Its bytes in a list: without `kind` and `apiVersion`.
    pub fn item(&self) -> &Bytes {
        self.item.get_or_init(|| Bytes::from(ravelin_api::render_item(&self.value)))
    }

    /// Its bytes alone, as [`super::render`] writes them but for the newline.
    pub fn whole(&self) -> Vec<u8> {
        let item = self.item();
        let (kind, version) = (object::kind(&self.value), object::api_version(&self.value));
        let mut whole = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",").into_bytes();
        // What is stored has metadata: there is a member behind the comma.
        whole.extend_from_slice(&item[1..]);
        whole
    }
}
