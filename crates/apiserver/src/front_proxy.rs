//! Users by a front proxy's word (`apiserver/pkg/authentication/request/headerrequest`): whoever
//! shows a certificate of the front proxies' authority says in headers whose request it is.
//!
//! Where that authority is also the clients' and no names are listed, every client may say so.

use http::{HeaderMap, HeaderValue};
use ravelin_api::percent_decode;
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
    /// Where the user's uid is; the first that is there counts (`--requestheader-uid-headers`).
    pub uid_headers: Vec<String>,
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
        said([&self.username_headers, &self.uid_headers, &self.group_headers], headers, |name| {
            self.extra_headers_prefixes.iter().find_map(|prefix| strip(name, prefix))
        })
    }

    fn reads(&self, header: &str) -> bool {
        let named = self.username_headers.iter().chain(&self.uid_headers).chain(&self.group_headers);
        named.into_iter().any(|name| name.eq_ignore_ascii_case(header))
            || self.extra_headers_prefixes.iter().any(|prefix| strip(header, prefix).is_some())
    }
}

/// Whom the headers name, whoever sent them: for what simulates a missing check.
pub(crate) fn danger_said_by_anybody(
    config: Option<&FrontProxyConfig>,
    headers: &HeaderMap,
) -> Option<UserInfo> {
    let standard = || {
        let named = STANDARD.map(|name| vec![name.to_owned()]);
        said(named.each_ref(), headers, |name| name.strip_prefix(STANDARD_EXTRA))
    };
    config.map_or_else(standard, |config| config.user(headers))
}

/// The user by headers: name, uid, groups, and what is extra by the key that a header's name holds.
fn said<'a>(
    [name, uid, groups]: [&Vec<String>; 3],
    headers: &'a HeaderMap,
    key: impl Fn(&'a str) -> Option<&'a str>,
) -> Option<UserInfo> {
    // Of several headers of a name the first counts, even where it is empty (Go's `Header.Get`).
    let first = |name: &String| headers.get(name.as_str()).and_then(text).filter(|value| !value.is_empty());
    let name = name.iter().find_map(first)?;
    let groups = groups.iter().flat_map(|name| headers.get_all(name.as_str()).iter().filter_map(text));
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (header, value) in headers {
        if let (Some(key), Some(value)) = (key(header.as_str()), text(value)) {
            extra.entry(unescaped(key)).or_default().push(value);
        }
    }
    let groups = groups.filter(|group| !group.is_empty()).collect();
    let uid = uid.iter().find_map(first).unwrap_or_default();
    Some(UserInfo { name, uid, groups, extra }.authenticated())
}

/// The key of an extra, from the rest of a header's name: percent-decoded where that is possible
/// (`unescapeExtraKey`). Header names are in lower case here.
pub(crate) fn unescaped(key: &str) -> String {
    percent_decode(key).unwrap_or_else(|| key.to_owned())
}

/// A header's value, which may be UTF-8.
pub(crate) fn text(value: &HeaderValue) -> Option<String> {
    String::from_utf8(value.as_bytes().to_vec()).ok()
}

/// The rest of a header's name (in lower case) behind a prefix.
fn strip<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix.trim().to_ascii_lowercase().as_str())
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
