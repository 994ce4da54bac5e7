//! The rows of a file: who asks what, and what a real kube-apiserver answered.

use ravelin_config::yaml;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Rows that are asked of one server, one after the other.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// How the server is set up.
    #[serde(default)]
    pub server: Settings,
    /// Objects that are there besides those of `fixture.yaml`.
    #[serde(default)]
    pub given: Vec<Value>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// How a server is set up.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// `--anonymous-auth`.
    pub anonymous: bool,
    /// Does a controller manager run?
    pub controllers: bool,
    /// Are there kubelets, good ones and bad ones?
    pub kubelets: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { anonymous: true, controllers: false, kubelets: false }
    }
}

/// A request and its answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Row {
    /// What it shows.
    pub case: String,
    /// Is it no recorded row, but what had to be done before one?
    #[serde(default)]
    pub setup: bool,
    /// The line of the Kubernetes source that says so, where no recording does.
    pub source: Option<String>,
    /// How long after the row before, in seconds.
    #[serde(default)]
    pub after: f64,
    /// Who asks (see the README).
    #[serde(default = "nobody", rename = "as")]
    pub who: String,
    /// A service-account token that nobody issued: its claims.
    pub jwt: Option<Forged>,
    /// Method and path.
    pub request: String,
    /// Headers; several of one name as a list.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// The body, sent as JSON.
    pub body: Option<Value>,
    /// The body, sent as it is.
    pub text: Option<String>,
    /// The object at the path as it is now, changed by this merge patch, is the body.
    pub edit: Option<Value>,
    /// What is remembered of the answer: names and paths in it.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// What a real kube-apiserver answered.
    pub expect: Expect,
    /// Why we answer something else, where we do so on purpose.
    pub differs: Option<String>,
    /// What we answer then.
    pub ours: Option<Expect>,
}

fn nobody() -> String {
    "none".to_owned()
}

/// A service-account token to be made up.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Forged {
    /// `NAMESPACE/NAME` of the account.
    pub account: String,
    /// When it ends, in seconds from now; never where this is missing.
    pub expires: Option<i64>,
    /// From when on it is good, in seconds from now.
    pub not_before: i64,
    /// Who is said to have issued it.
    pub issuer: Option<String>,
    /// For whom it is.
    pub audience: Option<String>,
    /// The account's uid; the true one where this is missing.
    pub uid: Option<String>,
    /// Who signs: `apiserver` (also where this is missing), `other` or `none`.
    pub signed_by: Option<String>,
    /// Claims beside these, or instead of them.
    pub claims: Map<String, Value>,
}

/// An answer. What is not named is not compared.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Expect {
    /// The HTTP status code.
    pub code: Option<u16>,
    /// The `reason` of a Status; `none`: it has none.
    pub reason: Option<String>,
    /// The `message` of a Status.
    pub message: Option<String>,
    /// The `details` of a Status, all of them.
    pub details: Option<Value>,
    /// The whole body as text.
    pub body: Option<String>,
    /// The whole body, in base64.
    pub base64: Option<String>,
    /// A piece of the body.
    pub contains: Option<String>,
    /// These fields of the body, each in full (but for `managedFields`).
    pub exact: Option<Map<String, Value>>,
    /// What the body holds, among other things.
    pub has: Option<Value>,
    /// Paths that lead to nothing in the body.
    pub lacks: Vec<String>,
    /// The claims of the token in `status.token`, among others.
    pub claims: Option<Value>,
    /// Headers; `none`: it is not there.
    pub headers: BTreeMap<String, String>,
}

/// Reads a file of rows.
///
/// # Panics
/// Where it is none.
pub fn read(path: &Path) -> Section {
    let value = document(path);
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads the one document of a YAML file.
///
/// # Panics
/// Where it is none.
pub fn document(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = yaml::documents(&text)
        .unwrap_or_else(|error| panic!("{}:{}: {}", path.display(), error.line, error.problem));
    assert_eq!(documents.len(), 1, "{}: one document a file", path.display());
    documents[0].to_json()
}
