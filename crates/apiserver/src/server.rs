//! What every part of the server works with.

use crate::audit::Written;
use crate::authorization::{Authorization, Start};
use crate::config::ApiserverConfig;
use crate::impersonate::Modes;
use crate::proxy::Streams;
use crate::store::{Reading, Store};
use crate::token_cache::TokenCache;
use http::{HeaderMap, Method, Uri};
use ravelin_api::{Query, RequestInfo};
use ravelin_auth::Permit;
use ravelin_auth::token::TokenAuthenticator;
use ravelin_host::{Endpoint, Flaw, HostRef};
use ravelin_pki::TrustAnchors;
use ravelin_transport::{Body, Upgrading, body};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// A running server.
pub(crate) struct Server {
    pub(crate) host: HostRef,
    pub(crate) config: ApiserverConfig,
    /// Reached by [`Self::objects`] and [`Self::reading`] only.
    store: Arc<Store>,
    pub(crate) tokens: TokenAuthenticator,
    pub(crate) token_cache: TokenCache,
    pub(crate) authorization: Authorization,
    pub(crate) impersonation: Modes,
    /// The streams that are open.
    pub(crate) streams: Streams,
    /// Held while addresses are given out.
    allocation: Mutex<()>,
    /// Whom clients' certificates must come from; it may be replaced while the server runs.
    client_ca: RwLock<Option<TrustAnchors>>,
}

impl Server {
    pub(crate) fn new(
        host: HostRef,
        config: ApiserverConfig,
        store: Arc<Store>,
        tokens: TokenAuthenticator,
    ) -> Self {
        let start = Start {
            version: config.kubernetes_version,
            danger_any_node: host.flaws().has(Flaw::ApiserverIgnoresNodeRelations),
        };
        let authorization = Authorization::new(config.authorization.clone(), start, Arc::clone(&store));
        let token_cache = TokenCache::new(config.token_cache);
        let impersonation = Modes::default();
        let (allocation, client_ca) = (Mutex::new(()), RwLock::new(config.client_ca.clone()));
        let streams = Streams::default();
        Self {
            host,
            config,
            store,
            tokens,
            token_cache,
            authorization,
            impersonation,
            streams,
            allocation,
            client_ca,
        }
    }

    /// Whom clients' certificates must come from now.
    pub(crate) fn client_ca(&self) -> Option<TrustAnchors> {
        self.client_ca.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_client_ca(&self, anchors: TrustAnchors) {
        *self.client_ca.write().unwrap_or_else(PoisonError::into_inner) = Some(anchors);
    }

    /// The objects, for a request that was allowed: there is no other way to change one.
    pub(crate) fn objects(&self, _permit: &Permit) -> &Arc<Store> {
        &self.store
    }

    /// The objects, to look at.
    pub(crate) fn reading(&self) -> Reading<'_> {
        Reading(&self.store)
    }

    /// Lets one request at a time give out addresses. Never held across an await.
    pub(crate) fn allocation(&self) -> MutexGuard<'_, ()> {
        self.allocation.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The connection, where an upgrade was asked for.
    pub(crate) upgrading: Option<Upgrading>,
    /// What is told of the object in the body, once it was read.
    pub(crate) written: Written,
}

impl Asked {
    /// The body; it can be taken once.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, body::empty())
    }
}
