//! What a list or watch asks for (`metav1.ListOptions`).

use crate::{FieldSelector, LabelSelector, Query};

/// The options of a list or watch. `RequestInfo` and whoever answers read them through the same
/// parser, so that a request is authorized by what it will be answered by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Which labels.
    pub labels: LabelSelector,
    /// Which fields.
    pub fields: FieldSelector,
    /// Is it a watch?
    pub watch: bool,
    /// Does the watcher want bookmarks?
    pub bookmarks: bool,
    /// From which revision; empty for the newest.
    pub resource_version: String,
    /// How the revision is meant.
    pub resource_version_match: String,
    /// How long a watch may last, in seconds.
    pub timeout_seconds: Option<i64>,
    /// At most how many objects.
    pub limit: Option<i64>,
    /// Where an earlier list ended.
    pub continue_token: String,
    /// Should a watch begin with what there is?
    pub initial_events: Option<bool>,
}

/// A list option that cannot be read; its text is Kubernetes' own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadListOption(pub String);

impl std::fmt::Display for BadListOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadListOption {}

impl ListOptions {
    /// Reads the options from a query.
    ///
    /// # Errors
    /// Where a number or a selector cannot be read.
    pub fn parse(query: &Query) -> Result<Self, BadListOption> {
        let text = |name| query.first(name).unwrap_or_default();
        Ok(Self {
            labels: LabelSelector::parse(text("labelSelector")).map_err(BadListOption)?,
            fields: FieldSelector::parse(text("fieldSelector")).map_err(BadListOption)?,
            watch: query.flag("watch"),
            bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: text("resourceVersion").to_owned(),
            resource_version_match: text("resourceVersionMatch").to_owned(),
            timeout_seconds: number(query, "timeoutSeconds")?,
            limit: number(query, "limit")?,
            continue_token: text("continue").to_owned(),
            initial_events: query.first("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
        })
    }
}

fn number(query: &Query, name: &str) -> Result<Option<i64>, BadListOption> {
    let Some(text) = query.first(name) else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(BadListOption(bad_number(text))),
    }
}

/// What Go says of a text that is no 64-bit number.
pub fn bad_number(text: &str) -> String {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let a_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let why = if a_number { "value out of range" } else { "invalid syntax" };
    format!("strconv.ParseInt: parsing {text:?}: {why}")
}
