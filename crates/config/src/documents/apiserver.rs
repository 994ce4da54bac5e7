//! The kube-apiserver's own configuration files: authentication and authorization.

use crate::catalogue::paths;
use crate::gathered::{Gathered, Place};
use crate::model::{AuthorizationMode, Component};
use crate::yaml::{Node, Value};

/// An `AuthenticationConfiguration`, as far as it is modelled.
#[derive(Clone, Debug)]
pub(crate) struct Authentication {
    pub place: Place,
    /// What it says of anonymous requests, if there is an `anonymous`.
    pub anonymous: Option<AnonymousFile>,
}

/// `anonymous` of an `AuthenticationConfiguration`.
#[derive(Clone, Debug)]
pub(crate) struct AnonymousFile {
    pub enabled: bool,
    /// Where `enabled` is.
    pub place: Place,
    /// `conditions[].path`; none for everywhere.
    pub conditions: Vec<(String, Place)>,
}

/// An `AuthorizationConfiguration`: who is asked, in order.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub place: Place,
    pub modes: Vec<AuthorizationMode>,
}

pub(super) fn authorization(document: &Node, file: &str, gathered: &mut Gathered) -> Authorization {
    let place = Place::new(file, document.line);
    let mut modes = Vec::new();
    for entry in document.entries() {
        if !matches!(entry.key.as_str(), "kind" | "apiVersion" | "metadata" | "authorizers") {
            gathered.fail(&Place::new(file, entry.line), &entry.key, "is no known key", "authorizers");
        }
    }
    let mut names: Vec<String> = Vec::new();
    for authorizer in document.at(&["authorizers"]).map(Node::elements).unwrap_or_default() {
        names.push(authorizer_name(authorizer, &names, (file, &mut *gathered)));
        modes.extend(authorizer_mode(authorizer, &modes, (file, &mut *gathered)));
    }
    if names.is_empty() {
        gathered.fail(&place, "authorizers", "is missing", "at least one authorizer");
    }
    Authorization { place, modes }
}

/// An authorizer's name: there, unique, and in lower case (a DNS subdomain).
fn authorizer_name(authorizer: &Node, before: &[String], (file, gathered): (&str, &mut Gathered)) -> String {
    let at = Place::new(file, authorizer.line);
    let name = authorizer.text_at(&["name"]).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if name.is_empty() {
        gathered.fail(&at, "authorizers.name", "is missing", "a name, such as rbac");
    } else if !name.chars().all(plain) {
        let problem = format!("{name:?} is no name");
        gathered.fail(&at, "authorizers.name", problem, "lower case letters, digits, - and .");
    } else if before.iter().any(|known| known == name) {
        gathered.fail(&at, "authorizers.name", format!("{name:?} is given twice"), "each name once");
    }
    name.to_owned()
}

/// An authorizer's type, with the `webhook` that belongs to one of them alone.
fn authorizer_mode(
    authorizer: &Node,
    before: &[AuthorizationMode],
    (file, gathered): (&str, &mut Gathered),
) -> Option<AuthorizationMode> {
    let at = Place::new(file, authorizer.line);
    for entry in authorizer.entries() {
        if !matches!(entry.key.as_str(), "type" | "name" | "webhook") {
            let key = format!("authorizers.{}", entry.key);
            gathered.fail(&Place::new(file, entry.line), &key, "is no known key", "type, name, webhook");
        }
    }
    let name = authorizer.text_at(&["type"]).unwrap_or_default();
    let Some(mode) = AuthorizationMode::ALL.into_iter().find(|mode| mode.as_str() == name) else {
        let all = AuthorizationMode::ALL.map(AuthorizationMode::as_str).join(", ");
        gathered.fail(&at, "authorizers.type", format!("{name:?} is not a mode"), all);
        return None;
    };
    let is_webhook = mode == AuthorizationMode::Webhook;
    let has_webhook = authorizer.at(&["webhook"]).is_some_and(|webhook| webhook.value != Value::Null);
    if !is_webhook && before.contains(&mode) {
        gathered.fail(&at, "authorizers.type", format!("{name} is given twice"), "each once");
    } else if !is_webhook && has_webhook {
        gathered.fail(&at, "authorizers.webhook", format!("is given for {name}"), "only for type: Webhook");
    } else if is_webhook && !has_webhook {
        gathered.fail(&at, "authorizers.webhook", "is missing", "how the webhook is asked");
    }
    if matches!(mode, AuthorizationMode::Webhook | AuthorizationMode::Abac) {
        let why = (paths::AUTHORIZED, "somebody else says what is allowed");
        gathered.unknown(Component::Apiserver, &format!("authorizers.type={name}"), &at, why);
    }
    Some(mode)
}

pub(super) fn authentication(document: &Node, file: &str, gathered: &mut Gathered) -> Authentication {
    let place = Place::new(file, document.line);
    let mut anonymous = None;
    for entry in document.entries() {
        let at = Place::new(file, entry.line);
        match entry.key.as_str() {
            "kind" | "apiVersion" | "metadata" => {}
            "jwt" if entry.node.elements().is_empty() => {}
            "jwt" => gathered.unknown(
                Component::Apiserver,
                "jwt",
                &at,
                (paths::USERS, "users may come with tokens of another issuer, which are bearer tokens"),
            ),
            "anonymous" => anonymous = self::anonymous(&entry.node, &at, gathered),
            other => gathered.fail(&at, other, "is no known key", "jwt, anonymous"),
        }
    }
    Authentication { place, anonymous }
}

/// `anonymous`, as `ValidateAuthenticationConfiguration` has it
/// (staging/src/k8s.io/apiserver/pkg/apis/apiserver/validation/validation.go).
fn anonymous(node: &Node, at: &Place, gathered: &mut Gathered) -> Option<AnonymousFile> {
    for entry in node.entries() {
        if !matches!(entry.key.as_str(), "enabled" | "conditions") {
            let key = format!("anonymous.{}", entry.key);
            gathered.fail(&Place::new(&at.file, entry.line), &key, "is no known key", "enabled, conditions");
        }
    }
    let Some((Value::Bool(enabled), line)) = node.at(&["enabled"]).map(|n| (&n.value, n.line)) else {
        gathered.fail(at, "anonymous.enabled", "is missing or no boolean", "true, false");
        return None;
    };
    let conditions = node.entry("conditions");
    let listed = conditions.map(|entry| entry.node.elements()).unwrap_or_default();
    let mut paths = Vec::new();
    for condition in listed {
        let place = Place::new(&at.file, condition.line);
        let others = condition.entries().iter().any(|entry| entry.key != "path");
        match condition.text_at(&["path"]).filter(|path| !path.is_empty() && !others) {
            Some(path) => paths.push((path.to_owned(), place)),
            None => {
                gathered.fail(&place, "anonymous.conditions.path", "is missing or not alone", "path: /livez");
            }
        }
    }
    if let (false, false, Some(entry)) = (*enabled, listed.is_empty(), conditions) {
        let place = Place::new(&at.file, entry.line);
        gathered.fail(&place, "anonymous.conditions", "is given where enabled is false", "enabled: true");
    }
    Some(AnonymousFile { enabled: *enabled, place: Place::new(&at.file, line), conditions: paths })
}
