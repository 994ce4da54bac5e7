//! Lists in pages: `limit`, `continue`, and lists as of an earlier revision
//! (`apiserver/pkg/storage/continue.go`, `etcd3/store.go`).

use super::{Target, revision};
use crate::store::Stored;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_api::{Details, ListOptions, Status, object};
use serde_json::{Value, json};
use std::sync::Arc;

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// Which part of a list is wanted, and as of when.
#[derive(Debug)]
pub(super) struct Page {
    /// As of which revision; `None` for the newest.
    pub(super) revision: Option<u64>,
    after: Option<Place>,
    limit: usize,
    /// Is it the continuation of a list?
    continued: bool,
}

/// An object's place in the order of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(String, String);

impl Place {
    pub(super) fn of(target: &Target, item: &Value) -> Self {
        let namespace = if target.namespace.is_empty() { object::namespace(item) } else { "" };
        Self(namespace.to_owned(), object::name(item).to_owned())
    }

    /// The key behind which to go on.
    fn key(&self) -> String {
        if self.0.is_empty() { format!("{}\0", self.1) } else { format!("{}/{}\0", self.0, self.1) }
    }

    fn of_key(key: &str) -> Self {
        let key = key.trim_start_matches('/').trim_end_matches('\0');
        match key.split_once('/') {
            Some((namespace, name)) => Self(namespace.to_owned(), name.to_owned()),
            None => Self(String::new(), key.to_owned()),
        }
    }
}

impl Page {
    /// The page that the options ask for.
    ///
    /// # Errors
    /// 400 for a token or revision that is none, 504 for one that is not yet.
    pub(super) fn of(options: &ListOptions, target: &Target, current: u64) -> Result<Self, Status> {
        let limit = options.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
        if !options.continue_token.is_empty() {
            return Self::continued(options, limit, (target, current));
        }
        let asked = revision::parse(&options.resource_version)
            .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
        revision::not_in_the_future(asked, current)?;
        let exact = match options.resource_version_match.as_str() {
            "Exact" => true,
            // The old meaning of a limit with a revision (`ValidateListOptions` lets it pass).
            "" => limit > 0 && asked > 0,
            _ => false,
        };
        // Revision 0 is answered from the watch cache, which knows no pages.
        let limit = if options.resource_version == "0" { 0 } else { limit };
        Ok(Self { revision: exact.then_some(asked), after: None, limit, continued: false })
    }

    fn continued(options: &ListOptions, limit: usize, (_, current): (&Target, u64)) -> Result<Self, Status> {
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let (after, at) = decode(&options.continue_token)
            .map_err(|why| Status::bad_request(format!("invalid continue token: {why}")))?;
        // A negative revision goes on at the newest (`handleCompactedErrorForPaging`).
        let revision = u64::try_from(at).ok();
        if let Some(revision) = revision {
            revision::not_in_the_future(revision, current)?;
        }
        Ok(Self { revision, after: Some(after), limit, continued: true })
    }

    /// Does the page begin before this place?
    pub(super) fn begins_before(&self, place: &Place) -> bool {
        self.after.as_ref().is_none_or(|after| place > after)
    }

    /// The page's items; and, where there are more, how many (which is told only of lists without
    /// selectors).
    pub(super) fn cut(
        &self,
        mut items: Vec<Arc<Stored>>,
        options: &ListOptions,
    ) -> (Vec<Arc<Stored>>, Option<Option<usize>>) {
        if self.limit == 0 || items.len() <= self.limit {
            return (items, None);
        }
        let remaining = items.len() - self.limit;
        items.truncate(self.limit);
        let told = options.fields.is_empty() && options.labels.is_empty();
        (items, Some(told.then_some(remaining)))
    }

    /// The token for what comes behind a place.
    pub(super) fn token(&self, last: &Place, revision: u64) -> String {
        encode(last, i64::try_from(revision).unwrap_or(i64::MAX))
    }

    /// 410: what was at that revision is no longer known. Who was in the middle of a list can go on,
    /// inconsistently.
    pub(super) fn expired(&self) -> Status {
        match &self.after {
            Some(after) if self.continued => {
                let details = Details { continue_token: encode(after, -1), ..Details::default() };
                Status { details: Some(Box::new(details)), ..Status::expired(INCONSISTENT) }
            }
            _ => Status::expired("The resourceVersion for the provided list is too old."),
        }
    }
}

const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn encode(after: &Place, revision: i64) -> String {
    // In the order of Go's struct.
    let token = format!("{{\"v\":\"{TOKEN_VERSION}\",\"rv\":{revision},\"start\":{}}}", json!(after.key()));
    URL_SAFE_NO_PAD.encode(token)
}

fn decode(token: &str) -> Result<(Place, i64), String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let at = token.bytes().position(|byte| !good(byte)).unwrap_or(token.len() / 4 * 4);
        format!("continue key is not valid: illegal base64 data at input byte {at}")
    })?;
    let given = ravelin_api::Untyped::read(&bytes)
        .map_err(|why| format!("continue key is not valid: {why}"))?
        .into_value();
    let version = object::text(&given, "v");
    if version != TOKEN_VERSION {
        return Err(format!(
            "continue key is not valid: server does not recognize this encoded version {version}"
        ));
    }
    let (revision, start) =
        (given.get("rv").and_then(Value::as_i64).unwrap_or(0), object::text(&given, "start"));
    if revision == 0 {
        return Err(
            "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
                .into(),
        );
    }
    if start.is_empty() {
        return Err("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)".into());
    }
    let key = start.trim_start_matches('/');
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("continue key is not valid: {start}"));
    }
    Ok((Place::of_key(start), revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        for place in [Place(String::new(), "p1".into()), Place("ns".into(), "p1".into())] {
            assert_eq!(decode(&encode(&place, 7)), Ok((place, 7)));
        }
        for (token, why) in [
            ("!", "continue key is not valid: illegal base64 data at input byte 0"),
            ("e30", "continue key is not valid: server does not recognize this encoded version "),
        ] {
            assert_eq!(decode(token), Err(why.to_owned()));
        }
        let escape = URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":7,"start":"../x"}"#);
        assert_eq!(decode(&escape), Err("continue key is not valid: ../x".to_owned()));
    }
}
