//! The objects of the cluster, in memory: revisions, preconditions, watches.
//!
//! What etcd is to the real server. It knows no kinds and no rules: the REST layer above it does.
//! One lock guards everything and is never held across an await. Observers from outside read it
//! through [`Store::history`].

mod change;
mod history;
mod key;
mod reading;
mod stored;
#[cfg(test)]
mod tests;
mod watch;

pub use change::{Change, EventKind, line};
pub use history::{MAX_STATES_PER_OBJECT, State};
pub use key::{Key, resource_name};
pub(crate) use reading::Reading;
pub use stored::Stored;
pub use watch::{Compacted, Watcher};

use bytes::Bytes;
use change::Log;
use history::History;
use ravelin_api::object::{self, metadata_mut};
use ravelin_api::{Resource, time};
use ravelin_host::HostRef;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The bytes with which every answer carries an object ([`ravelin_api::render`]).
pub fn render(object: &Value) -> Bytes {
    Bytes::from(ravelin_api::render(object))
}

/// Why the store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is such an object already.
    #[error("{0} already exists")]
    AlreadyExists(Key),
    /// There is no such object.
    #[error("{0} not found")]
    NotFound(Key),
    /// The object is not at the resource version that was asked for.
    #[error("{0} has been modified")]
    Modified(Key),
    /// The object has another UID than the one that was asked for.
    #[error("{key} has the UID {actual}, not {asked}")]
    OtherUid {
        /// Which object.
        key: Key,
        /// The UID asked for.
        asked: String,
        /// The UID that it has.
        actual: String,
    },
    /// The object has neither a name nor a `generateName`.
    #[error("name or generateName is required")]
    NameRequired,
    /// The object lives in a namespace and names none.
    #[error("metadata.namespace is required")]
    NamespaceRequired,
    /// The API serves no such kind.
    #[error("no resource serves {0}")]
    UnknownKind(String),
}

/// What a change decided on.
#[derive(Debug)]
pub enum Step {
    /// Store this object.
    Store(Value),
    /// Store nothing, answer with this object (a dry run).
    Leave(Value),
    /// Delete the object; this is its last state.
    Remove(Value),
}

/// What must hold of an object that is to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// Its UID.
    pub uid: Option<String>,
    /// Its resource version.
    pub resource_version: Option<String>,
}

/// All objects of the cluster.
pub struct Store {
    host: HostRef,
    inner: Mutex<Inner>,
}

struct Inner {
    revision: u64,
    objects: BTreeMap<Key, Arc<Stored>>,
    logs: BTreeMap<String, Log>,
    history: History,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store(revision {})", self.revision())
    }
}

impl Store {
    /// An empty store. Times and UIDs come from `host`.
    pub fn new(host: HostRef) -> Arc<Self> {
        let inner = Inner {
            revision: 0,
            objects: BTreeMap::new(),
            logs: BTreeMap::new(),
            history: History::default(),
        };
        Arc::new(Self { host, inner: Mutex::new(inner) })
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// The revision of the newest change of one resource; 0 where there was none.
    pub fn revision_of(&self, resource: &str) -> u64 {
        self.lock().logs.get(resource).map_or(0, Log::newest)
    }

    /// An object.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.stored(key).map(|stored| Arc::clone(stored.value()))
    }

    /// An object with its bytes.
    pub fn stored(&self, key: &Key) -> Option<Arc<Stored>> {
        self.lock().objects.get(key).cloned()
    }

    /// The objects of a resource, of one namespace or of all (`None`), by namespace and name; and
    /// the revision at which this is all of them.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        let inner = self.lock();
        let found = inner.range(resource, namespace);
        (found.map(|(_, stored)| Arc::clone(stored.value())).collect(), inner.revision)
    }

    /// The same with their bytes.
    pub fn list_stored(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Stored>>, u64) {
        let inner = self.lock();
        (inner.range(resource, namespace).map(|(_, stored)| Arc::clone(stored)).collect(), inner.revision)
    }

    /// The objects as they were at an earlier revision.
    ///
    /// # Errors
    /// Where the log no longer holds all that happened since.
    pub fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Arc<Stored>>, Compacted> {
        let inner = self.lock();
        let Some(log) = inner.logs.get(resource) else { return Ok(Vec::new()) };
        let since = log.all_after(revision).map_err(|oldest| Compacted { asked: revision, oldest })?;
        let mut objects: BTreeMap<&Key, &Arc<Stored>> = inner.range(resource, namespace).collect();
        for change in since.rev().filter(|change| namespace.is_none_or(|name| name == change.key.namespace)) {
            match &change.before {
                Some(before) => objects.insert(&change.key, before),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects.into_values().map(Arc::clone).collect())
    }

    /// Creates an object of any kind that the API serves, in the namespace that it names: for
    /// whoever sets up a cluster. No admission is asked.
    ///
    /// # Errors
    /// As [`Store::create`]; `UnknownKind` where the API serves no such kind.
    pub fn seed(&self, object: Value) -> Result<Arc<Value>, StoreError> {
        let (version, kind) = (object::api_version(&object), object::kind(&object));
        let resource = Resource::of_kind(version, kind).filter(|resource| resource.stored);
        let resource = resource.ok_or_else(|| StoreError::UnknownKind(format!("{version}, Kind={kind}")))?;
        let namespace =
            if resource.namespaced { object::namespace(&object).to_owned() } else { String::new() };
        if resource.namespaced && namespace.is_empty() {
            return Err(StoreError::NamespaceRequired);
        }
        self.create(&resource_name(resource.plural, resource.group), &namespace, object)
    }

    /// Creates an object; its name comes from `metadata.name` or `metadata.generateName`.
    ///
    /// # Errors
    /// `AlreadyExists`, `NameRequired`.
    pub fn create(&self, resource: &str, namespace: &str, object: Value) -> Result<Arc<Value>, StoreError> {
        let mut inner = self.lock();
        let (key, mut object) = self.born(&inner, (resource, namespace), object)?;
        let revision = inner.revision + 1;
        set_version(&mut object, revision);
        Ok(inner.commit(key, (None, object), false))
    }

    /// The object that [`Store::create`] would store, without storing it.
    ///
    /// # Errors
    /// As `create`.
    pub fn would_create(
        &self,
        resource: &str,
        namespace: &str,
        object: Value,
    ) -> Result<Arc<Value>, StoreError> {
        self.born(&self.lock(), (resource, namespace), object).map(|(_, object)| Arc::new(object))
    }

    /// Replaces an object. Where the new one names a resource version, it must be the present one.
    ///
    /// # Errors
    /// `NotFound`, `Modified`.
    pub fn update(&self, key: &Key, object: Value) -> Result<Arc<Value>, StoreError> {
        self.modify(key, |present| {
            let asked = text(&object, "resourceVersion");
            if asked.is_some_and(|asked| !asked.is_empty() && Some(asked) != text(present, "resourceVersion"))
            {
                return Err(StoreError::Modified(key.clone()));
            }
            Ok(Step::Store(object))
        })
    }

    /// Changes an object by a function of its present state; nobody else changes it meanwhile.
    /// Its name, namespace, UID and creation time stay. A change that changes nothing makes no
    /// revision.
    ///
    /// # Errors
    /// `NotFound`, and what the function says.
    pub fn modify<E: From<StoreError>>(
        &self,
        key: &Key,
        change: impl FnOnce(&Value) -> Result<Step, E>,
    ) -> Result<Arc<Value>, E> {
        let mut inner = self.lock();
        let stored = inner.objects.get(key).cloned().ok_or_else(|| StoreError::NotFound(key.clone()))?;
        let before = Arc::clone(stored.value());
        let (mut object, deleted) = match change(&before)? {
            Step::Leave(mut object) => {
                keep_identity(&mut object, &before);
                return Ok(Arc::new(object));
            }
            Step::Store(object) => (object, false),
            Step::Remove(object) => (object, true),
        };
        keep_identity(&mut object, &before);
        if !deleted && object == *before {
            return Ok(before);
        }
        let revision = inner.revision + 1;
        set_version(&mut object, revision);
        Ok(inner.commit(key.clone(), (Some(stored), object), deleted))
    }

    /// Deletes an object and gives back its last state.
    ///
    /// # Errors
    /// `NotFound`, and `Modified` or `OtherUid` where the precondition does not hold.
    pub fn delete(&self, key: &Key, precondition: &Precondition) -> Result<Arc<Value>, StoreError> {
        self.modify(key, |present| {
            precondition.check(key, present)?;
            Ok(Step::Remove(present.clone()))
        })
    }

    /// Follows the changes of a resource after a revision.
    ///
    /// # Errors
    /// Where the log no longer holds them all.
    pub fn watch(self: &Arc<Self>, resource: &str, after: u64) -> Result<Watcher, Compacted> {
        let news = {
            let mut inner = self.lock();
            let log = inner.logs.entry(resource.to_owned()).or_insert_with(Log::new);
            log.after(after).map_err(|oldest| Compacted { asked: after, oldest })?;
            log.subscribe()
        };
        Ok(Watcher { store: Arc::clone(self), resource: resource.to_owned(), revision: after, news })
    }

    /// Forgets the changes up to a revision, as etcd's compaction does: who watches from before it
    /// has to list again. The history for observers stays.
    pub fn compact(&self, revision: u64) {
        let mut inner = self.lock();
        let revision = revision.min(inner.revision);
        for log in inner.logs.values_mut() {
            log.compact(revision);
        }
    }

    /// Every state that an object has had, oldest first (the newest
    /// [`MAX_STATES_PER_OBJECT`]).
    pub fn history(&self, key: &Key) -> Vec<State> {
        self.lock().history.of(key)
    }

    /// The keys of all objects that the history knows, deleted ones included.
    pub fn history_keys(&self) -> Vec<Key> {
        self.lock().history.keys()
    }

    /// All changes of a resource after a revision.
    ///
    /// # Errors
    /// Where the log no longer holds them all.
    pub(crate) fn changes_after(&self, resource: &str, revision: u64) -> Result<Vec<Arc<Change>>, Compacted> {
        let inner = self.lock();
        let Some(log) = inner.logs.get(resource) else { return Ok(Vec::new()) };
        let changes = log.all_after(revision).map_err(|oldest| Compacted { asked: revision, oldest })?;
        Ok(changes.cloned().collect())
    }

    fn change_after(&self, resource: &str, revision: u64) -> Result<Option<Arc<Change>>, Compacted> {
        let inner = self.lock();
        let Some(log) = inner.logs.get(resource) else { return Ok(None) };
        let change = log.after(revision).map_err(|oldest| Compacted { asked: revision, oldest })?;
        Ok(change.cloned())
    }

    /// Gives a new object its name, UID and creation time.
    fn born(
        &self,
        inner: &Inner,
        (resource, namespace): (&str, &str),
        mut object: Value,
    ) -> Result<(Key, Value), StoreError> {
        // A stream of its own, so that no object's draws depend on how many there were before.
        let mut entropy = self.host.entropy("apiserver/object");
        let name = match (text(&object, "name"), text(&object, "generateName")) {
            (Some(name), _) if !name.is_empty() => name.to_owned(),
            (_, Some(prefix)) if !prefix.is_empty() => format!("{prefix}{}", entropy.word(5)),
            _ => return Err(StoreError::NameRequired),
        };
        let key = Key::namespaced(resource, namespace, &name);
        if inner.objects.contains_key(&key) {
            return Err(StoreError::AlreadyExists(key));
        }
        let uid = entropy.uuid();
        let metadata = metadata_mut(&mut object);
        metadata.insert("name".into(), json!(name));
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".into(), json!(namespace));
        }
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("creationTimestamp".into(), json!(time::format(self.host.now())));
        for set_by_server in
            ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
        {
            metadata.remove(set_by_server);
        }
        Ok((key, object))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Precondition {
    /// Does it hold of this object?
    pub(crate) fn check(&self, key: &Key, present: &Value) -> Result<(), StoreError> {
        let actual = text(present, "uid").unwrap_or_default();
        if let Some(asked) = self.uid.as_deref().filter(|asked| *asked != actual) {
            let (asked, actual) = (asked.to_owned(), actual.to_owned());
            return Err(StoreError::OtherUid { key: key.clone(), asked, actual });
        }
        match self.resource_version.as_deref() {
            Some(asked) if Some(asked) != text(present, "resourceVersion") => {
                Err(StoreError::Modified(key.clone()))
            }
            _ => Ok(()),
        }
    }
}

impl Inner {
    /// The objects of a resource, of one namespace or of all, by namespace and name.
    fn range<'a>(
        &'a self,
        resource: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Stored>)> {
        let from = Key::namespaced(resource, namespace.unwrap_or_default(), "");
        self.objects.range(from..).take_while(move |(key, _)| {
            key.resource == resource && namespace.is_none_or(|namespace| key.namespace == namespace)
        })
    }

    fn commit(
        &mut self,
        key: Key,
        (before, object): (Option<Arc<Stored>>, Value),
        deleted: bool,
    ) -> Arc<Value> {
        let value = Arc::new(object);
        let after = Stored::new(Arc::clone(&value));
        self.revision += 1;
        if deleted {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key.clone(), Arc::clone(&after));
        }
        let log = key.resource.clone();
        let change =
            Change { revision: self.revision, key, before, after, deleted, lines: Default::default() };
        self.history.record(&change);
        let log = self.logs.entry(log).or_insert_with(Log::new);
        if let Some(forgotten) = log.push(Arc::new(change)) {
            self.history.forget(&forgotten);
        }
        value
    }
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str()
}

fn set_version(object: &mut Value, revision: u64) {
    metadata_mut(object).insert("resourceVersion".into(), json!(revision.to_string()));
}

fn keep_identity(object: &mut Value, before: &Value) {
    let metadata = metadata_mut(object);
    for field in ["name", "namespace", "uid", "creationTimestamp", "generateName", "resourceVersion"] {
        match before.get("metadata").and_then(|old| old.get(field)) {
            Some(old) => metadata.insert(field.into(), old.clone()),
            None => metadata.remove(field),
        };
    }
}
