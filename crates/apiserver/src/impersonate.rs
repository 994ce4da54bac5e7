//! Acting as somebody else (`apiserver/pkg/endpoints/filters/impersonation`).
//!
//! From 1.36 on there are two ways (KEP-5284). *Constrained*: one must be allowed to impersonate this
//! kind of user, and to do just this request as one. *Legacy*: one must be allowed to impersonate this
//! user (verb `impersonate`), and may then do whatever that user may. The constrained ways are tried
//! first; where none is open, the first that was refused speaks. Headers of requests that are not
//! impersonated stay as they are; of others none goes further.

mod wanted;

use crate::server::Server;
use http::HeaderMap;
use ravelin_api::{RequestInfo, Status};
use ravelin_auth::{Attributes, UserInfo, names};
use ravelin_host::Flaw;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use wanted::{node_name, service_account};

/// The first version that has constrained impersonation (feature gate `ConstrainedImpersonation`).
const CONSTRAINED_SINCE: (u32, u32) = (1, 36);
/// From how many groups or extras on all of them may be allowed at once
/// (`manyAuthorizationChecksInLoop`).
const MANY: usize = 4;
/// Of how many users it is remembered which way they went last.
const MAX_REMEMBERED: usize = 10_000;
const GROUP: &str = "authentication.k8s.io";

/// As whom a request goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Impersonated {
    pub(crate) user: UserInfo,
    /// The verb that allowed it; `None` for legacy impersonation.
    pub(crate) constraint: Option<String>,
}

/// A way to impersonate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A service account's pod as the node it runs on.
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    /// Any other user.
    UserInfo,
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// Which way each user went last: it is tried first, and speaks first where it is refused.
#[derive(Default)]
pub(crate) struct Modes(Mutex<BTreeMap<String, Mode>>);

impl Modes {
    fn last(&self, user: &str) -> Option<Mode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied()
    }

    fn remember(&self, user: &str, mode: Mode) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED && !known.contains_key(user) {
            known.pop_first();
        }
        known.insert(user.to_owned(), mode);
    }
}

/// As whom the request goes on, if its headers ask for somebody else. They are taken out.
///
/// # Errors
/// 400 where they name nobody, 403 where the requestor may not.
pub(crate) fn impersonate(
    server: &Server,
    requestor: &UserInfo,
    (info, headers): (&RequestInfo, &mut HeaderMap),
) -> Result<Option<Impersonated>, Status> {
    let constrained = server.config.kubernetes_version >= CONSTRAINED_SINCE;
    let wanted = wanted::read(headers);
    wanted.check_readable()?;
    if wanted.user.name.is_empty() {
        let asks = wanted.asks_for_more();
        return if asks { Err(wanted.without_a_name(constrained)) } else { Ok(None) };
    }
    wanted::clear(headers);
    let question = Question { server, requestor, wanted: &wanted.user, info };
    let last = server.impersonation.last(&requestor.name).filter(|_| constrained);
    let modes = MODES.into_iter().filter(|mode| constrained || *mode == Mode::Legacy);
    let ordered = last.into_iter().chain(modes.filter(|mode| Some(*mode) != last));
    let mut refused = None;
    for mode in ordered.filter(|mode| question.applies(*mode)) {
        match question.ask(mode) {
            Ok(user) => {
                server.impersonation.remember(&requestor.name, mode);
                let constraint = (mode != Mode::Legacy).then(|| mode.verb());
                return Ok(Some(Impersonated { user, constraint }));
            }
            Err(status) => {
                refused.get_or_insert(status);
            }
        }
    }
    Err(refused.unwrap_or_else(|| Status::internal_error("all impersonation modes failed")))
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn verb(self) -> String {
        if self == Self::Legacy { "impersonate".to_owned() } else { format!("impersonate:{}", self.name()) }
    }

    /// Where users and groups are, to be impersonated.
    fn group(self) -> &'static str {
        if self == Self::Legacy { "" } else { GROUP }
    }
}

/// May somebody make a request as somebody else?
struct Question<'a> {
    server: &'a Server,
    requestor: &'a UserInfo,
    wanted: &'a UserInfo,
    info: &'a RequestInfo,
}

impl Question<'_> {
    /// Is this a way to that user at all? Nodes and service accounts have ways of their own, by which
    /// nothing but their name can be chosen.
    fn applies(&self, mode: Mode) -> bool {
        let wanted = self.wanted;
        let name_only = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_name(&wanted.name);
        let account = service_account(&wanted.name);
        match mode {
            Mode::AssociatedNode => {
                let own = self.requestor.extra.get("authentication.kubernetes.io/node-name");
                let own = own.and_then(|names| if let [one] = names.as_slice() { Some(one) } else { None });
                let of_pod = service_account(&self.requestor.name).is_some();
                name_only && of_pod && node.is_some() && own.map(String::as_str) == node
            }
            Mode::ArbitraryNode => name_only && node.is_some(),
            Mode::ServiceAccount => name_only && account.is_some(),
            Mode::UserInfo => node.is_none() && account.is_none(),
            Mode::Legacy => true,
        }
    }

    /// The user as whom the request goes on by this way.
    fn ask(&self, mode: Mode) -> Result<UserInfo, Status> {
        if mode != Mode::Legacy {
            let mut on_request = Attributes::of_request(self.asking(mode), self.info);
            on_request.verb = format!("impersonate-on:{}:{}", mode.name(), self.info.verb);
            self.check(&on_request)?;
        }
        let mut user = self.wanted.clone();
        self.check_name(mode, &mut user)?;
        if !self.wanted.uid.is_empty() {
            self.check(&self.about(mode, (GROUP, "uids"), &self.wanted.uid))?;
        }
        self.check_groups(mode)?;
        self.check_extra(mode)?;
        let (authenticated, unauthenticated) = (names::AUTHENTICATED, names::UNAUTHENTICATED);
        let implied = match (user.name == names::ANONYMOUS, user.is_in(unauthenticated)) {
            (true, _) => Some(unauthenticated),
            (false, false) => Some(authenticated),
            (false, true) => None,
        };
        if let Some(group) = implied.filter(|group| !user.is_in(group)) {
            user.groups.push(group.to_owned());
        }
        Ok(user)
    }

    /// Whoever asks, as authorizers are told of them: by the way from a pod to its node nothing that
    /// differs from pod to pod counts (`associatedNodeImpersonationRequestorUserInfo`).
    fn asking(&self, mode: Mode) -> UserInfo {
        let mut asking = self.requestor.clone();
        if mode == Mode::AssociatedNode {
            let keys = asking.extra.into_keys().collect();
            asking.extra = [("authentication.kubernetes.io/associated-node-keys".to_owned(), keys)].into();
        }
        asking
    }

    fn about(&self, mode: Mode, (group, resource): (&str, &str), name: &str) -> Attributes {
        let attributes = Attributes::of_resource(self.asking(mode), &mode.verb(), group, resource);
        Attributes { name: name.to_owned(), ..attributes }
    }

    fn check_name(&self, mode: Mode, user: &mut UserInfo) -> Result<(), Status> {
        let name = self.wanted.name.as_str();
        let constrained = mode != Mode::Legacy;
        let mut about = self.about(mode, (mode.group(), "users"), name);
        if let Some(node) = node_name(name).filter(|_| constrained) {
            about.resource = "nodes".to_owned();
            // What allows one node to a pod allows its own to every pod of that account.
            about.name = if mode == Mode::AssociatedNode { "*".to_owned() } else { node.to_owned() };
            user.groups = vec![names::NODES.to_owned()];
        }
        if let Some((namespace, account)) = service_account(name) {
            about.resource = "serviceaccounts".to_owned();
            about.namespace = namespace.to_owned();
            about.name = account.to_owned();
            if self.wanted.groups.is_empty() {
                user.groups = UserInfo::service_account(namespace, account, "").groups;
            }
        }
        self.check(&about)
    }

    fn check_groups(&self, mode: Mode) -> Result<(), Status> {
        let groups = &self.wanted.groups;
        let about = |name: &str| self.about(mode, (mode.group(), "groups"), name);
        if mode != Mode::Legacy {
            if groups.iter().any(String::is_empty) {
                return Err(about("").forbidden("impersonating the empty string group is not allowed"));
            }
            if self.wanted.is_in(names::MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(about(names::MASTERS).forbidden(why));
            }
            if groups.len() >= MANY && self.check(&about("*")).is_ok() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|group| self.check(&about(group)))
    }

    fn check_extra(&self, mode: Mode) -> Result<(), Status> {
        let extra = &self.wanted.extra;
        let about = |key: &str, value: &str| Attributes {
            subresource: key.to_owned(),
            ..self.about(mode, (GROUP, "userextras"), value)
        };
        if mode != Mode::Legacy {
            if let Some(why) = wanted::bad_extra(extra) {
                return Err(about("", "").forbidden(&why));
            }
            let values: usize = extra.values().map(Vec::len).sum();
            if (extra.len() >= MANY || values >= MANY) && self.check(&about("*", "*")).is_ok() {
                return Ok(());
            }
        }
        let mut each = extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        each.try_for_each(|(key, value)| self.check(&about(key, value)))
    }

    fn check(&self, about: &Attributes) -> Result<(), Status> {
        if self.server.host.flaws().has(Flaw::ApiserverIgnoresImpersonationRights) {
            return Ok(());
        }
        let decision = self.server.authorization.decide(self.server, about);
        if decision.is_allowed() { Ok(()) } else { Err(about.forbidden(decision.reason())) }
    }
}
