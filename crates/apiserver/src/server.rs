//! What every part of the server works with.

use crate::authorization::Authorization;
use crate::config::ApiserverConfig;
use crate::store::{Key, Store, resource_name};
use http::{HeaderMap, Method, Uri};
use ravelin_api::{GroupResource, Query, RequestInfo};
use ravelin_auth::Lookup;
use ravelin_auth::token::TokenAuthenticator;
use ravelin_host::{Endpoint, HostRef};
use ravelin_transport::{Body, body};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A running server.
pub(crate) struct Server {
    pub(crate) host: HostRef,
    pub(crate) config: ApiserverConfig,
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: TokenAuthenticator,
    pub(crate) authorization: Authorization,
    /// Held while addresses are given out.
    allocation: Mutex<()>,
}

impl Server {
    pub(crate) fn new(
        host: HostRef,
        config: ApiserverConfig,
        store: Arc<Store>,
        tokens: TokenAuthenticator,
    ) -> Self {
        let authorization = Authorization::new(config.authorization.clone(), config.kubernetes_version);
        Self { host, config, store, tokens, authorization, allocation: Mutex::new(()) }
    }

    /// Lets one request at a time give out addresses. Never held across an await.
    pub(crate) fn allocation(&self) -> MutexGuard<'_, ()> {
        self.allocation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup for Store {
    fn find(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get(&Key::namespaced(&resource_name(resource.resource, resource.group), namespace, name))
    }
}

/// A request, read but for its body.
pub(crate) struct Asked {
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Where it comes from.
    pub(crate) peer: Endpoint,
    pub(crate) body: Body,
}

impl Asked {
    /// The body; it can be taken once.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, body::empty())
    }
}
