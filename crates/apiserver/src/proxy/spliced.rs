//! The flaw of CVE-2018-1002105, and nothing that is used without it: a connection to a backend whose
//! upgrade was refused stays joined with the client's. What the client sends next on its own goes to
//! the backend, with the server's credentials, and no request of it is authorized or written down.

use super::dial;
use super::splice::{Onward, Way, switched, unreached};
use crate::server::{Asked, Server};
use ravelin_api::Status;
use ravelin_host::Endpoint;
use ravelin_transport::{HttpConnection, Request, Response, Upgraded};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Mutex as AsyncMutex;

/// The most clients that are joined so; the next take the place of others.
const MAX_JOINED: usize = 64;

/// Connections to backends, by the client's end of the connection that each is joined with.
#[derive(Default)]
pub(crate) struct Joined(Mutex<BTreeMap<Endpoint, Arc<AsyncMutex<HttpConnection>>>>);

impl Joined {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Endpoint, Arc<AsyncMutex<HttpConnection>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is this client joined with a backend?
    pub(crate) fn has(&self, client: &Endpoint) -> bool {
        self.lock().contains_key(client)
    }
}

/// Passes an upgrade on. If it is refused, the connections stay joined.
pub(super) async fn begin(
    server: &Arc<Server>,
    (user, mut asked): (&str, Asked),
    (way, onward): (Way, Onward),
) -> Result<Response, Status> {
    let connection = dial::connection(server, &way.target).await;
    let mut connection = connection.map_err(|unanswered| unreached(&unanswered))?;
    let upgraded = dial::danger_try_upgrade(&mut connection, onward.request()?).await;
    match upgraded.map_err(|unanswered| unreached(&unanswered))? {
        Upgraded::Switched { head, stream } => switched(server, user, &mut asked, (head, stream)),
        Upgraded::Refused(answer) => {
            let mut joined = server.joined.lock();
            if joined.len() >= MAX_JOINED {
                joined.pop_first();
            }
            joined.insert(asked.peer, Arc::new(AsyncMutex::new(connection)));
            Ok(answer)
        }
    }
}

/// What comes on a client's connection that is joined with a backend's goes there as it is.
pub(crate) async fn pass_on(server: &Server, client: &Endpoint, request: Request) -> Option<Response> {
    let connection = server.joined.lock().get(client).cloned()?;
    let answer = connection.lock().await.send(request).await;
    if answer.is_err() {
        server.joined.lock().remove(client);
    }
    answer.ok()
}
