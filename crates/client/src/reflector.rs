//! Follows a collection: lists it, watches it from there, lists it again after an error.

use crate::store::{Filling, Store};
use crate::{Client, ClientError, WatchEventKind};
use ravelin_api::object;
use ravelin_entropy::Entropy;
use ravelin_host::{Task, field};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The first pause after an error; it doubles up to [`MAX_PAUSE`] (client-go's reflector:
/// 800 ms to 30 s, plus up to as much again at random).
const MIN_PAUSE: Duration = Duration::from_millis(800);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Keeps a [`Store`] like a collection of the API.
#[derive(Debug)]
pub struct Reflector {
    client: Client,
    path: String,
    parameters: Vec<(String, String)>,
    store: Store,
    filling: Filling,
}

impl std::fmt::Debug for Filling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filling")
    }
}

impl Reflector {
    /// A reflector of the collection at `path`; it begins with [`Reflector::run`].
    pub fn new(client: Client, path: impl Into<String>) -> Self {
        let (store, filling) = Store::new();
        Self { client, path: path.into(), parameters: Vec::new(), store, filling }
    }

    /// Follows only what these parameters select (`fieldSelector`, `labelSelector`).
    pub fn with_parameters(mut self, parameters: &[(&str, &str)]) -> Self {
        let owned = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        self.parameters = owned.collect();
        self
    }

    /// What it keeps.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Runs until the task is dropped.
    pub fn run(self) -> Task {
        let host = Arc::clone(self.client.host());
        host.spawn("reflector", Box::pin(self.follow()))
    }

    async fn follow(self) {
        let mut entropy = self.client.host().entropy(&format!("reflector {}", self.path));
        let mut pause = MIN_PAUSE;
        loop {
            let Err(error) = self.list_and_watch(&mut pause).await;
            self.client
                .host()
                .observe("reflector.failed", &[field("path", &self.path), field("error", &error)]);
            // The server's history does not reach back far enough: list again at once.
            if error.code() == Some(410) {
                tokio::time::sleep(jitter(&mut entropy, MIN_PAUSE / 8)).await;
                continue;
            }
            tokio::time::sleep(pause + jitter(&mut entropy, pause)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn list_and_watch(&self, pause: &mut Duration) -> Result<std::convert::Infallible, ClientError> {
        let selected: Vec<(&str, &str)> =
            self.parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut list = self.client.list(&self.path, &selected).await?;
        let mut version = object::resource_version(&list).to_owned();
        let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) else {
            return Err(ClientError::Malformed("a list without items".to_owned()));
        };
        self.filling.replace(items);
        *pause = MIN_PAUSE;
        let watches = self.client.watches();
        let seconds = watches.timeout.as_secs().to_string();
        let mut parameters = selected;
        if watches.bookmarks {
            parameters.push(("allowWatchBookmarks", "true"));
        }
        parameters.push(("timeoutSeconds", &seconds));
        loop {
            let started = tokio::time::Instant::now();
            let mut watch = self.client.watch(&self.path, &version, &parameters).await?;
            while let Some(event) = watch.next().await {
                let event = event?;
                version = object::resource_version(&event.object).to_owned();
                match event.kind {
                    WatchEventKind::Added | WatchEventKind::Modified => {
                        self.filling.set(event.object);
                    }
                    WatchEventKind::Deleted => self.filling.remove(&event.object),
                    WatchEventKind::Bookmark => {}
                }
            }
            // A server that ends watches at once must not be asked in a tight loop.
            tokio::time::sleep_until(started + MIN_PAUSE).await;
        }
    }
}

fn jitter(entropy: &mut Entropy, up_to: Duration) -> Duration {
    let millis = u64::try_from(up_to.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(entropy.below(millis.max(1)))
}
