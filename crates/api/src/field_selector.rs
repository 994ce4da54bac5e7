//! Field selectors (`apimachinery/pkg/fields/selector.go`).

use crate::object;
use serde_json::Value;

/// One requirement of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's dotted path: `metadata.name`.
    pub field: String,
    /// Must the field equal the value (or differ from it)?
    pub equals: bool,
    /// The value.
    pub value: String,
}

/// Requirements on fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<FieldRequirement>);

impl FieldSelector {
    /// Reads `a=b,c!=d`; a backslash escapes a comma, an equals sign or itself.
    ///
    /// # Errors
    /// The text that Kubernetes answers with.
    pub fn parse(selector: &str) -> Result<Self, String> {
        split_terms(selector)
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(|term| {
                requirement(term)
                    .ok_or_else(|| format!("invalid selector: '{selector}'; can't understand '{term}'"))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Every requirement.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.0
    }

    /// Does it require nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that a field must equal, where it must.
    pub fn required(&self, field: &str) -> Option<&str> {
        let wanted = |r: &&FieldRequirement| r.equals && r.field == field;
        self.0.iter().find(wanted).map(|r| r.value.as_str())
    }

    /// Does an object match? A field that it does not have counts as empty.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|r| (field_text(object, &r.field) == r.value) == r.equals)
    }
}

/// The text of a field, as the `ToSelectableFields` of each kind have it.
fn field_text(object: &Value, path: &str) -> String {
    let component = object::text(object, "source.component");
    match object::at(object, path) {
        None if matches!(path, "spec.hostNetwork" | "spec.unschedulable") => "false".to_owned(),
        _ if path == "source" && component.is_empty() => {
            object::text(object, "reportingComponent").to_owned()
        }
        _ if path == "source" => component.to_owned(),
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

fn split_terms(selector: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, letter) in selector.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&selector[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&selector[start..]);
    terms
}

fn requirement(term: &str) -> Option<FieldRequirement> {
    let at = operator_position(term)?;
    let (field, rest) = term.split_at(at);
    let (equals, value) = match rest.strip_prefix("!=") {
        Some(value) => (false, value),
        None => (true, rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?),
    };
    Some(FieldRequirement { field: field.to_owned(), equals, value: unescape(value)? })
}

fn operator_position(term: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, letter) in term.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' => return Some(index),
            '!' if term[index..].starts_with("!=") => return Some(index),
            _ => {}
        }
    }
    None
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.push(letters.next().filter(|next| "\\,=".contains(*next))?),
            '=' => return None,
            _ => plain.push(letter),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_matches_what_it_names_and_nothing_else() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1"}});
        for (selector, matches) in [
            ("", true),
            ("spec.nodeName=n1", true),
            ("spec.nodeName==n1,metadata.name=p", true),
            ("spec.nodeName=n2", false),
            ("spec.nodeName!=n1", false),
            ("spec.nodeName!=n2", true),
            ("spec.absent=", true),
            ("spec.hostNetwork=false", true),
            ("metadata.name=\\,", false),
        ] {
            let parsed = FieldSelector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&pod), matches, "{selector}");
        }
        for bad in ["x", "a=b=c", "a=\\x"] {
            assert!(FieldSelector::parse(bad).is_err(), "{bad}");
        }
    }
}
