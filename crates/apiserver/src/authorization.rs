//! May they? The configured authorizers, kept in step with the store.

use crate::config::AuthorizationMode;
use crate::server::Server;
use crate::store::Store;
use ravelin_api::object;
use ravelin_auth::node::NodeAuthorizer;
use ravelin_auth::{
    AlwaysAllow, AlwaysDeny, Attributes, Authorizer, Decision, Denied, Permit, SystemMasters, authorize,
    decide, rbac,
};
use ravelin_host::Flaw;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The resources from which the authorizers learn.
const SOURCES: [&str; 5] = [
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "pods",
];

/// Decides, in the order of `--authorization-mode`.
pub(crate) struct Authorization {
    modes: Vec<AuthorizationMode>,
    known: Mutex<Known>,
}

/// What the authorizers have learnt, and up to which revision of each source.
struct Known {
    version: (u32, u32),
    rbac: rbac::Authorizer,
    node: NodeAuthorizer,
    revisions: BTreeMap<&'static str, u64>,
}

impl Authorization {
    pub(crate) fn new(modes: Vec<AuthorizationMode>, version: (u32, u32)) -> Self {
        Self { modes, known: Mutex::new(Known::new(version)) }
    }

    /// Gives leave for a request, or refuses it.
    pub(crate) fn authorize(&self, server: &Server, asked: Attributes) -> Result<Permit, Box<Denied>> {
        if server.host.flaws().has(Flaw::ApiserverAllowsEveryone) {
            return Ok(Self::danger_unasked(asked));
        }
        self.with_chain(&server.store, |chain| authorize(chain, asked))
    }

    /// Gives leave for a request without asking anybody: for what is served to whoever comes.
    pub(crate) fn danger_unasked(asked: Attributes) -> Permit {
        authorize(&[&AlwaysAllow], asked).expect("AlwaysAllow allows everything")
    }

    /// Answers a question about what somebody may do.
    pub(crate) fn decide(&self, server: &Server, asked: &Attributes) -> Decision {
        if server.host.flaws().has(Flaw::ApiserverAllowsEveryone) {
            return decide(&[&AlwaysAllow], asked);
        }
        self.with_chain(&server.store, |chain| decide(chain, asked))
    }

    fn with_chain<T>(&self, store: &Store, ask: impl FnOnce(&[&dyn Authorizer]) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.catch_up(store);
        let mut chain: Vec<&dyn Authorizer> = vec![&SystemMasters];
        chain.extend(self.modes.iter().map(|mode| -> &dyn Authorizer {
            match mode {
                AuthorizationMode::Node => &known.node,
                AuthorizationMode::Rbac => &known.rbac,
                AuthorizationMode::AlwaysAllow => &AlwaysAllow,
                AuthorizationMode::AlwaysDeny => &AlwaysDeny,
            }
        }));
        ask(&chain)
    }
}

impl Known {
    fn new(version: (u32, u32)) -> Self {
        let (rbac, node) = (rbac::Authorizer::default(), NodeAuthorizer::new(version));
        Self { version, rbac, node, revisions: BTreeMap::new() }
    }

    fn catch_up(&mut self, store: &Store) {
        for source in SOURCES {
            let from = self.revisions.get(source).copied().unwrap_or(0);
            if store.revision_of(source) == from {
                continue;
            }
            match store.changes_after(source, from) {
                Ok(changes) => {
                    for change in changes {
                        self.learn(source, &change.after, change.deleted);
                        self.revisions.insert(source, change.revision);
                    }
                }
                // Too much happened since: nothing of what was known of anything may linger.
                Err(_) => return self.start_over(store),
            }
        }
    }

    fn start_over(&mut self, store: &Store) {
        *self = Self::new(self.version);
        for source in SOURCES {
            // Before the list: a change in between is then learnt twice, never missed.
            let revision = store.revision_of(source);
            for object in store.list(source, None).0 {
                self.learn(source, &object, false);
            }
            self.revisions.insert(source, revision);
        }
    }

    fn learn(&mut self, source: &str, object: &serde_json::Value, deleted: bool) {
        match (source, deleted) {
            ("pods", false) => self.node.graph_mut().set_pod(object),
            ("pods", true) => {
                self.node.graph_mut().remove_pod(object::namespace(object), object::name(object));
            }
            (_, false) => self.rbac.set(object),
            (_, true) => self.rbac.remove(object),
        }
    }
}
