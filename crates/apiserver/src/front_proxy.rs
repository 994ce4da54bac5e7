//! Users by a front proxy's word (`apiserver/pkg/authentication/request/headerrequest`): whoever
//! shows a certificate of the front proxies' authority says in headers whose request it is.
//!
//! Where that authority is also the clients' and no names are listed, every client may say so.

use http::HeaderMap;
use ravelin_auth::UserInfo;
use ravelin_pki::{TrustAnchors, VerifiedPeer};
use std::collections::BTreeMap;

/// Whose word counts, and where it stands.
#[derive(Clone, Debug)]
pub struct FrontProxyConfig {
    /// Who issues front proxies' certificates (`--requestheader-client-ca-file`).
    pub client_ca: TrustAnchors,
    /// Which common names are front proxies' (`--requestheader-allowed-names`); with none, every
    /// one is.
    pub allowed_names: Vec<String>,
    /// Where the user's name is; the first that is there counts
    /// (`--requestheader-username-headers`).
    pub username_headers: Vec<String>,
    /// Where the groups are (`--requestheader-group-headers`).
    pub group_headers: Vec<String>,
    /// What the names of all else begin with (`--requestheader-extra-headers-prefix`).
    pub extra_headers_prefixes: Vec<String>,
}

/// The headers of Kubernetes' own choice, which are never passed on.
const STANDARD: [&str; 3] = ["x-remote-user", "x-remote-uid", "x-remote-group"];
const STANDARD_EXTRA: &str = "x-remote-extra-";

impl FrontProxyConfig {
    /// Is this a front proxy?
    pub(crate) fn allows(&self, peer: &VerifiedPeer) -> bool {
        self.allowed_names.is_empty() || self.allowed_names.iter().any(|name| name == peer.common_name())
    }

    /// Whose request a front proxy says it is; `None` where it says nothing.
    pub(crate) fn user(&self, headers: &HeaderMap) -> Option<UserInfo> {
        let first = |name: &String| values(headers, name).next().filter(|value| !value.is_empty());
        let name = self.username_headers.iter().find_map(first)?.to_owned();
        let groups = self.group_headers.iter().flat_map(|name| values(headers, name));
        let groups = groups.filter(|group| !group.is_empty()).map(str::to_owned).collect();
        let user = UserInfo { name, uid: String::new(), groups, extra: self.extra(headers) };
        Some(user.authenticated())
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in self.extra_headers_prefixes.iter().map(|prefix| prefix.to_ascii_lowercase()) {
            for (name, value) in headers {
                if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(&prefix), value.to_str()) {
                    extra.entry(key.to_owned()).or_default().push(value.to_owned());
                }
            }
        }
        extra
    }

    fn reads(&self, header: &str) -> bool {
        let named = self.username_headers.iter().chain(&self.group_headers);
        named.into_iter().any(|name| name.eq_ignore_ascii_case(header))
            || self
                .extra_headers_prefixes
                .iter()
                .any(|prefix| header.starts_with(&prefix.to_ascii_lowercase()))
    }
}

/// Takes out what front proxies say, once it was read: no other server shall take it for this
/// server's word (`ClearAuthenticationHeaders`).
pub(crate) fn clear(headers: &mut HeaderMap, config: Option<&FrontProxyConfig>) {
    let spoken = |name: &str| {
        STANDARD.contains(&name)
            || name.starts_with(STANDARD_EXTRA)
            || config.is_some_and(|config| config.reads(name))
    };
    let names: Vec<_> = headers.keys().filter(|name| spoken(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}
