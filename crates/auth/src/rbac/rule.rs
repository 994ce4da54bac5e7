//! Rules (`pkg/apis/rbac/v1/evaluation_helpers.go`).

use crate::Attributes;
use ravelin_api::object;
use serde_json::{Value, json};

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What may be done.
    pub verbs: Vec<String>,
    /// In which API groups; empty text for the core group.
    pub groups: Vec<String>,
    /// To which resources: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// To which objects; to all where it is empty.
    pub names: Vec<String>,
    /// On which paths.
    pub urls: Vec<String>,
}

impl Rule {
    /// Reads a `PolicyRule`. `None` where a part of it cannot be read: a rule that is not
    /// understood allows nothing.
    pub fn read(rule: &Value) -> Option<Self> {
        let texts = |name: &str| match rule.get(name) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        Some(Self {
            verbs: texts("verbs")?,
            groups: texts("apiGroups")?,
            resources: texts("resources")?,
            names: texts("resourceNames")?,
            urls: texts("nonResourceURLs")?,
        })
    }

    /// The rule as a `PolicyRule`.
    pub fn write(&self) -> Value {
        let mut rule = json!({"verbs": self.verbs});
        for (name, texts) in [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !texts.is_empty() {
                rule[name] = json!(texts);
            }
        }
        rule
    }

    /// The rules of a role, without those that cannot be read.
    pub fn of_role(role: &Value) -> Vec<Self> {
        object::list(role, "rules").iter().filter_map(Self::read).collect()
    }

    /// Does the rule allow this?
    pub fn allows(&self, asked: &Attributes) -> bool {
        if !has(&self.verbs, &asked.verb) {
            return false;
        }
        if !asked.resource_request {
            return self.urls.iter().any(|url| url_matches(url, &asked.path));
        }
        let named = self.names.is_empty() || self.names.contains(&asked.name);
        named
            && has(&self.groups, &asked.group)
            && self.resources.iter().any(|of| resource_matches(of, asked))
    }
}

/// Does any of the rules allow this?
pub fn rules_allow(rules: &[Rule], asked: &Attributes) -> bool {
    rules.iter().any(|rule| rule.allows(asked))
}

fn has(listed: &[String], wanted: &str) -> bool {
    listed.iter().any(|one| one == "*" || one == wanted)
}

fn resource_matches(listed: &str, asked: &Attributes) -> bool {
    if listed == "*" {
        return true;
    }
    if asked.subresource.is_empty() {
        return listed == asked.resource;
    }
    let Some(resource) = listed.strip_suffix(&asked.subresource).and_then(|rest| rest.strip_suffix('/'))
    else {
        return false;
    };
    resource == "*" || resource == asked.resource
}

fn url_matches(listed: &str, path: &str) -> bool {
    match listed.strip_suffix('*') {
        Some(_) => path.starts_with(listed.trim_end_matches('*')),
        None => listed == path,
    }
}
