//! What the kubelet's tasks share.

use crate::config::KubeletConfig;
use crate::journal::Journal;
use ravelin_client::{Client, ClientConfig, Credential};
use ravelin_host::HostRef;
use ravelin_pki::Identity;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A node that has its identity.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) config: ClientConfig,
    pub(crate) identity: Identity,
}

/// Shared by all tasks of one kubelet.
pub(crate) struct Shared {
    pub(crate) host: HostRef,
    pub(crate) config: KubeletConfig,
    pub(crate) journal: Arc<Journal>,
    /// When it was started.
    pub(crate) started: jiff::Timestamp,
    /// Why it has not joined yet.
    trouble: Mutex<Option<String>>,
    /// What its HTTPS endpoint proves itself by.
    serving: Mutex<Option<Identity>>,
    member: watch::Sender<Option<Member>>,
    registered: watch::Sender<bool>,
    pods: Mutex<BTreeMap<(String, String), Value>>,
}

impl Shared {
    pub(crate) fn new(host: HostRef, config: KubeletConfig) -> Self {
        Self {
            started: host.now(),
            host,
            config,
            journal: Arc::default(),
            trouble: Mutex::default(),
            serving: Mutex::default(),
            member: watch::Sender::new(None),
            registered: watch::Sender::new(false),
            pods: Mutex::default(),
        }
    }

    /// Its version: major, minor. One that cannot be read is the oldest.
    pub(crate) fn version(&self) -> (u32, u32) {
        self.config.version()
    }

    /// Why it has not joined yet, as far as it was told.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_trouble(&self, why: &dyn std::fmt::Display) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
    }

    /// What its HTTPS endpoint proves itself by, once it has a certificate.
    pub(crate) fn serving(&self) -> Option<Identity> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn serves_as(&self, identity: &Identity) {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
    }

    /// The client of the apiserver, once there is one.
    pub(crate) fn member(&self) -> Option<Member> {
        self.member.borrow().clone()
    }

    /// Waits for the client of the apiserver.
    pub(crate) async fn joined(&self) -> Member {
        let mut member = self.member.subscribe();
        let member = member.wait_for(Option::is_some).await.expect("the sender is in self");
        member.clone().expect("it was waited for")
    }

    pub(crate) fn join(&self, member: Member) {
        self.member.send_replace(Some(member));
    }

    /// From now on the node proves itself by this, on new connections.
    pub(crate) fn renew(&self, identity: Identity) {
        self.member.send_modify(|member| {
            if let Some(member) = member {
                member.client.replace_certificate(identity.clone());
                member.config.credential = Credential::Certificate(identity.clone());
                member.identity = identity;
            }
        });
    }

    /// Is the node registered?
    pub(crate) fn is_registered(&self) -> bool {
        *self.registered.borrow()
    }

    pub(crate) fn registered(&self) {
        self.registered.send_replace(true);
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<(String, String), Value>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pods of this node, by namespace and name.
    pub(crate) fn pods(&self) -> Vec<Value> {
        self.book().values().cloned().collect()
    }

    /// The pod of this name.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<Value> {
        self.book().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn replace_pods(&self, pods: BTreeMap<(String, String), Value>) {
        *self.book() = pods;
    }
}
