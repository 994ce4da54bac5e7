//! The loop of a controller: reconcile, wait for a change, again; after a failure not at once.

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::select_all;
use ravelin_client::{Client, ClientError, Reflector, Store};
use ravelin_entropy::Entropy;
use ravelin_host::{HostRef, Task, field};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A controller looks at everything again at least this often, also where it is not due: what it
/// asks about may be elsewhere than in what it watches.
const RESYNC: Duration = Duration::from_secs(10 * 60);

/// One controller.
#[async_trait]
pub(crate) trait Controller: Send + 'static {
    /// Its name, for the trace.
    fn name(&self) -> &'static str;

    /// Brings what is in line with what should be. One object's failure should not keep the
    /// others from being handled; the last failure is what is returned.
    async fn reconcile(&mut self) -> Result<(), ClientError>;

    /// When it has something to do next, if nothing changes before.
    fn due(&self) -> Option<Instant> {
        None
    }
}

/// Reflectors of one client, shared by its controllers.
pub(crate) struct Informers {
    client: Client,
    stores: BTreeMap<String, Store>,
    tasks: Vec<Task>,
}

impl Informers {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), stores: BTreeMap::new(), tasks: Vec::new() }
    }

    /// What the collection holds.
    pub(crate) fn all(&mut self, path: &str) -> Store {
        if let Some(store) = self.stores.get(path) {
            return store.clone();
        }
        let reflector = Reflector::new(self.client.clone(), path);
        let store = reflector.store();
        self.tasks.push(reflector.run());
        self.stores.insert(path.to_owned(), store.clone());
        store
    }

    /// The tasks that keep the stores current.
    pub(crate) fn into_tasks(self) -> Vec<Task> {
        self.tasks
    }
}

/// Every object of a store, in the order of their names.
pub(crate) fn objects(store: &Store) -> Vec<Arc<Value>> {
    store.objects().into_values().collect()
}

/// The same as plain values.
pub(crate) fn values(store: &Store) -> Vec<Value> {
    store.objects().into_values().map(|object| Value::clone(&object)).collect()
}

/// Runs a controller over the stores that it reads, until the task is dropped.
pub(crate) fn run(host: &HostRef, controller: impl Controller, stores: Vec<Store>) -> Task {
    let label = format!("controller {}", controller.name());
    host.spawn(&label, Box::pin(follow(host.clone(), controller, stores)))
}

async fn follow(host: HostRef, mut controller: impl Controller, mut stores: Vec<Store>) {
    for store in &mut stores {
        store.synced().await;
    }
    let mut entropy = host.entropy(controller.name());
    let mut pause = FIRST_PAUSE;
    loop {
        match controller.reconcile().await {
            Ok(()) => {
                pause = FIRST_PAUSE;
                let resync = Instant::now() + RESYNC;
                let again = controller.due().map_or(resync, |due| due.min(resync));
                let _ = tokio::time::timeout_at(again, changed(&mut stores)).await;
            }
            Err(error) => {
                let fields = [field("controller", controller.name()), field("error", error)];
                host.observe("controller.failed", &fields);
                tokio::time::sleep(jittered(pause, &mut entropy)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Waits until one of the stores has changed; for ever where none can.
async fn changed(stores: &mut [Store]) {
    let waiting = stores.iter_mut().map(|store| {
        async {
            if !store.changed().await {
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    });
    let waiting: Vec<_> = waiting.collect();
    if waiting.is_empty() {
        return std::future::pending().await;
    }
    select_all(waiting).await;
}

/// Up to a tenth longer, by chance.
pub(crate) fn jittered(pause: Duration, entropy: &mut Entropy) -> Duration {
    let most = u64::try_from(pause.as_millis() / 10).unwrap_or(0);
    pause + Duration::from_millis(entropy.below(most + 1))
}

/// What came of several writes: the last failure, if there was one. That somebody else was faster
/// is none: the change will be seen.
#[derive(Default)]
pub(crate) struct Outcome(Option<ClientError>);

impl Outcome {
    pub(crate) fn note<T>(&mut self, written: Result<T, ClientError>) {
        match written {
            Err(error) if matches!(error.code(), Some(404 | 409)) => {}
            Err(error) => self.0 = Some(error),
            Ok(_) => {}
        }
    }

    pub(crate) fn result(self) -> Result<(), ClientError> {
        self.0.map_or(Ok(()), Err)
    }
}
