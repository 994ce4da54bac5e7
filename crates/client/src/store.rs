//! What a reflector has seen, shared with whoever needs it.

use ravelin_api::object;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

type Objects = BTreeMap<String, Arc<Value>>;

/// The objects of a collection as they were last seen, by `namespace/name` (`name` for objects
/// without a namespace). Clones see the same objects; each waits for changes on its own.
#[derive(Clone)]
pub struct Store {
    objects: Arc<Mutex<Objects>>,
    /// Counts changes; 0 until the first list has come.
    changes: watch::Receiver<u64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({} objects)", lock(&self.objects).len())
    }
}

impl Store {
    /// Has the collection been read once?
    pub fn is_synced(&self) -> bool {
        *self.changes.borrow() > 0
    }

    /// The object of a key, if there is one.
    pub fn object(&self, key: &str) -> Option<Arc<Value>> {
        lock(&self.objects).get(key).cloned()
    }

    /// Every object, by key.
    pub fn objects(&self) -> BTreeMap<String, Arc<Value>> {
        lock(&self.objects).clone()
    }

    /// Waits until something changed since this was last asked (or since this handle was made);
    /// false once nothing will change any more because the reflector has ended.
    pub async fn changed(&mut self) -> bool {
        self.changes.changed().await.is_ok()
    }

    /// Waits for the first list; false where the reflector ended before.
    pub async fn synced(&mut self) -> bool {
        self.changes.wait_for(|&count| count > 0).await.is_ok()
    }

    /// An empty store and the end that fills it.
    pub(crate) fn new() -> (Self, Filling) {
        let (count, changes) = watch::channel(0);
        let objects = Arc::new(Mutex::new(Objects::new()));
        (Self { objects: Arc::clone(&objects), changes }, Filling { objects, count })
    }
}

/// The writing end of a store.
pub(crate) struct Filling {
    objects: Arc<Mutex<Objects>>,
    count: watch::Sender<u64>,
}

impl Filling {
    pub(crate) fn replace(&self, objects: Vec<Value>) {
        let objects = objects.into_iter().map(|object| (key(&object), Arc::new(object))).collect();
        *lock(&self.objects) = objects;
        self.tell();
    }

    pub(crate) fn set(&self, object: Value) {
        lock(&self.objects).insert(key(&object), Arc::new(object));
        self.tell();
    }

    pub(crate) fn remove(&self, object: &Value) {
        lock(&self.objects).remove(&key(object));
        self.tell();
    }

    fn tell(&self) {
        self.count.send_modify(|count| *count += 1);
    }
}

fn key(value: &Value) -> String {
    match object::namespace(value) {
        "" => object::name(value).to_owned(),
        namespace => format!("{namespace}/{}", object::name(value)),
    }
}

fn lock(objects: &Mutex<Objects>) -> MutexGuard<'_, Objects> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}
