//! May they? The configured authorizers, kept in step with the store.

use crate::config::AuthorizationMode;
use crate::server::Server;
use crate::store::{Key, Step, Store, StoreError};
use ravelin_api::object;
use ravelin_auth::node::NodeAuthorizer;
use ravelin_auth::{
    AlwaysAllow, AlwaysDeny, Attributes, Authorizer, Decision, Denied, Permit, SystemMasters, UserInfo,
    authorize, decide, rbac,
};
use ravelin_host::Flaw;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const PODS: &str = "pods";
const VOLUMES: &str = "persistentvolumes";
const ATTACHMENTS: &str = "volumeattachments.storage.k8s.io";

/// The resources from which the authorizers learn.
const SOURCES: [&str; 7] = [
    CLUSTER_ROLES,
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    PODS,
    VOLUMES,
    ATTACHMENTS,
];

/// How often aggregated roles are gathered anew because others that they gather from changed.
const MAX_ROUNDS: usize = 8;

/// Decides, in the order of `--authorization-mode`.
pub(crate) struct Authorization {
    modes: Vec<AuthorizationMode>,
    /// What it learns from.
    store: Arc<Store>,
    known: Mutex<Known>,
}

/// What the authorizers have learnt, and up to which revision of each source.
struct Known {
    start: Start,
    rbac: rbac::Authorizer,
    node: NodeAuthorizer,
    revisions: BTreeMap<&'static str, u64>,
    /// The store's revision up to which nothing is left to learn.
    seen: u64,
}

/// What the authorizers begin with.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// The version whose behaviour they show: major, minor.
    pub(crate) version: (u32, u32),
    /// May every node read what any node may?
    pub(crate) danger_any_node: bool,
}

/// What somebody may do in a namespace, as far as it can be listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RulesOfUser {
    pub(crate) rules: Vec<rbac::Rule>,
    /// May there be more?
    pub(crate) incomplete: bool,
    /// What kept rules from being found.
    pub(crate) errors: Vec<String>,
}

impl Authorization {
    pub(crate) fn new(modes: Vec<AuthorizationMode>, start: Start, store: Arc<Store>) -> Self {
        Self { modes, store, known: Mutex::new(Known::new(start)) }
    }

    /// Gives leave for a request, or refuses it.
    pub(crate) fn authorize(&self, server: &Server, asked: Attributes) -> Result<Permit, Box<Denied>> {
        if server.host.flaws().has(Flaw::ApiserverAllowsEveryone) {
            return Ok(Self::danger_unasked(asked));
        }
        self.with_chain(|chain| authorize(chain, asked))
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
        self.with_chain(|chain| decide(chain, asked))
    }

    /// Looks at roles and bindings, whether or not they decide.
    pub(crate) fn with_rules<T>(&self, look: impl FnOnce(&rbac::Authorizer) -> T) -> T {
        look(&self.caught_up().rbac)
    }

    /// What a user may do in a namespace (`apiserver/pkg/authorization/union`, `RulesFor`).
    pub(crate) fn rules_for(&self, user: &UserInfo, namespace: &str) -> RulesOfUser {
        let known = self.caught_up();
        let mut all = RulesOfUser::default();
        for mode in &self.modes {
            match mode {
                AuthorizationMode::Node if user.node().is_some() => {
                    all.incomplete = true;
                    all.errors.push("node authorizer does not support user rule resolution".to_owned());
                }
                AuthorizationMode::Node | AuthorizationMode::AlwaysDeny => {}
                AuthorizationMode::Rbac => {
                    let held = known.rbac.rules_for(user, namespace);
                    all.rules.extend(held.rules.iter().copied().cloned());
                    all.errors.extend(held.error());
                }
                AuthorizationMode::AlwaysAllow => all.rules.extend(rbac::everything()),
            }
        }
        all
    }

    fn with_chain<T>(&self, ask: impl FnOnce(&[&dyn Authorizer]) -> T) -> T {
        let known = self.caught_up();
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

    fn caught_up(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.catch_up(&self.store);
        known
    }
}

impl Known {
    fn new(start: Start) -> Self {
        let node = NodeAuthorizer::new(start.version).danger_with_any_relation(start.danger_any_node);
        Self { start, rbac: rbac::Authorizer::default(), node, revisions: BTreeMap::new(), seen: 0 }
    }

    fn catch_up(&mut self, store: &Store) {
        for _ in 0..MAX_ROUNDS {
            // Before the sources: what changes meanwhile is then looked for again.
            let newest = store.revision();
            if newest == self.seen {
                return;
            }
            let roles = self.revision_of(CLUSTER_ROLES);
            for source in SOURCES {
                if store.revision_of(source) != self.revision_of(source) && !self.learn_changes(store, source)
                {
                    self.start_over(store);
                    break;
                }
            }
            self.seen = newest;
            if self.revision_of(CLUSTER_ROLES) != roles {
                gather_rules(store);
            }
        }
    }

    fn revision_of(&self, source: &str) -> u64 {
        self.revisions.get(source).copied().unwrap_or(0)
    }

    /// Learns what changed; `false` where too much happened since, so that nothing of what was known
    /// of anything may linger.
    fn learn_changes(&mut self, store: &Store, source: &'static str) -> bool {
        let Ok(changes) = store.changes_after(source, self.revision_of(source)) else { return false };
        for change in changes {
            self.learn(source, &change.after, change.deleted);
            self.revisions.insert(source, change.revision);
        }
        true
    }

    fn start_over(&mut self, store: &Store) {
        *self = Self::new(self.start);
        for source in SOURCES {
            // Before the list: a change in between is then learnt twice, never missed.
            let revision = store.revision_of(source);
            for object in store.list(source, None).0 {
                self.learn(source, &object, false);
            }
            self.revisions.insert(source, revision);
        }
    }

    fn learn(&mut self, source: &str, changed: &Value, deleted: bool) {
        let name = object::name(changed);
        match (source, deleted) {
            (PODS, false) => self.node.graph_mut().set_pod(changed),
            (PODS, true) => self.node.graph_mut().remove_pod(object::namespace(changed), name),
            (VOLUMES, false) => self.node.graph_mut().set_volume(changed),
            (VOLUMES, true) => self.node.graph_mut().remove_volume(name),
            (ATTACHMENTS, false) => self.node.graph_mut().set_attachment(changed),
            (ATTACHMENTS, true) => self.node.graph_mut().remove_attachment(name),
            (_, false) => self.rbac.set(changed),
            (_, true) => self.rbac.remove(changed),
        }
    }
}

/// Gives aggregated ClusterRoles their rules. Upstream a loop of the controller manager does it a
/// moment later (`pkg/controller/clusterroleaggregation`); here it is done before anybody's rights
/// depend on it, so that who reads a role and whom it allows agree.
fn gather_rules(store: &Store) {
    let (roles, _) = store.list(CLUSTER_ROLES, None);
    for gathered in rbac::aggregate(&roles) {
        let key = Key::namespaced(CLUSTER_ROLES, "", object::name(&gathered));
        let done = store.modify(&key, |present| {
            let is_current = object::resource_version(present) == object::resource_version(&gathered);
            Ok::<_, StoreError>(if is_current {
                Step::Store(gathered.clone())
            } else {
                Step::Leave(present.clone())
            })
        });
        // One that was changed or deleted meanwhile is gathered in the next round.
        drop(done);
    }
}
