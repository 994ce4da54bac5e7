//! Whom the headers of a request ask for.

use crate::front_proxy::{text, unescaped};
use http::HeaderMap;
use ravelin_api::Status;
use ravelin_auth::{UserInfo, names};
use std::collections::BTreeMap;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUPS: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";

/// The user that headers ask for, as they say it.
pub(super) struct Wanted {
    pub(super) user: UserInfo,
    /// Is there any header of an extra, be it empty?
    has_extra: bool,
    /// Is there a header that is no text?
    unreadable: bool,
}

/// Reads the headers. Of several names or uids the first counts, as in Go's `Header.Get`.
pub(super) fn read(headers: &HeaderMap) -> Wanted {
    let first = |name: &str| headers.get(name).and_then(text).unwrap_or_default();
    let groups = headers.get_all(GROUPS).iter().filter_map(text).collect();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let (Some(key), Some(value)) = (name.as_str().strip_prefix(EXTRA), text(value)) {
            extra.entry(unescaped(key)).or_default().push(value);
        }
    }
    let has_extra = headers.keys().any(|name| name.as_str().starts_with(EXTRA));
    let unreadable = headers.iter().any(|(name, value)| is_ours(name.as_str()) && text(value).is_none());
    let user = UserInfo { name: first(USER), uid: first(UID), groups, extra };
    Wanted { user, has_extra, unreadable }
}

fn is_ours(header: &str) -> bool {
    [USER, UID, GROUPS].contains(&header) || header.starts_with(EXTRA)
}

/// Takes the headers out: nobody further on shall know that there was somebody else.
pub(super) fn clear(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

impl Wanted {
    /// Go takes any bytes; to leave out what is no text here would serve the request under a user that
    /// was not meant.
    pub(super) fn check_readable(&self) -> Result<(), Status> {
        if self.unreadable { Err(Status::bad_request("impersonation headers must be UTF-8")) } else { Ok(()) }
    }

    /// Do the headers ask for anything but a name?
    pub(super) fn asks_for_more(&self) -> bool {
        !self.user.uid.is_empty() || !self.user.groups.is_empty() || self.has_extra
    }

    /// The answer where no name is asked for.
    pub(super) fn without_a_name(&self, constrained: bool) -> Status {
        let asked = if constrained { self.as_user() } else { self.as_references() };
        let nobody = if constrained { "user name" } else { "user" };
        Status::bad_request(format!("requested {asked} without impersonating a {nobody}"))
    }

    /// As Go's `%#v` prints a `user.DefaultInfo`.
    fn as_user(&self) -> String {
        let texts = |texts: &[String]| {
            let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
            format!("[]string{{{}}}", quoted.join(", "))
        };
        let UserInfo { uid, groups, extra, .. } = &self.user;
        let groups = if groups.is_empty() { "[]string(nil)".to_owned() } else { texts(groups) };
        let extra = if extra.is_empty() {
            "map[string][]string(nil)".to_owned()
        } else {
            let members = extra.iter().map(|(key, values)| format!("{key:?}:{}", texts(values)));
            format!("map[string][]string{{{}}}", members.collect::<Vec<_>>().join(", "))
        };
        format!("&user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:{groups}, Extra:{extra}}}")
    }

    /// As Go's `%v` prints the `v1.ObjectReference`s that servers before 1.36 made of the headers.
    fn as_references(&self) -> String {
        let UserInfo { uid, groups, extra, .. } = &self.user;
        let version = "authentication.k8s.io/v1";
        let mut references: Vec<String> = groups.iter().map(|g| format!("{{Group  {g}    }}")).collect();
        for (key, values) in extra {
            references.extend(values.iter().map(|value| format!("{{UserExtra  {value}  {version}  {key}}}")));
        }
        if !uid.is_empty() {
            references.push(format!("{{UID  {uid}  {version}  }}"));
        }
        format!("[{}]", references.join(" "))
    }
}

/// Why extras may not be impersonated but in the legacy way (`validateExtra`).
pub(super) fn bad_extra(extra: &BTreeMap<String, Vec<String>>) -> Option<String> {
    extra.iter().find_map(|(key, values)| {
        let why = if key.is_empty() {
            "impersonating the empty string key in extra is not allowed".to_owned()
        } else if *key != key.to_lowercase() {
            format!("impersonating a non-lowercase key in extra is not allowed: {key:?}")
        } else if values.iter().any(String::is_empty) {
            "impersonating the empty string value in extra is not allowed".to_owned()
        } else {
            return None;
        };
        Some(why)
    })
}

/// The namespace and name of a service account's user name, where both can be such
/// (`serviceaccount.SplitUsername`).
pub(super) fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(names::SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let label = namespace.len() <= 63 && is_part(namespace);
    (label && is_subdomain(name)).then_some((namespace, name))
}

/// The node of a node's user name.
pub(super) fn node_name(user: &str) -> Option<&str> {
    user.strip_prefix(names::NODE_PREFIX).filter(|name| is_subdomain(name))
}

/// Is it a subdomain as of RFC 1123?
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
