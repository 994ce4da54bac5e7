//! Label selectors (`apimachinery/pkg/labels/selector.go`), as text and as objects.

mod parser;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How a requirement judges a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelOperator {
    /// The label is one of these (`=`, `==`, `in`).
    In(BTreeSet<String>),
    /// The label is absent or none of these (`!=`, `notin`).
    NotIn(BTreeSet<String>),
    /// The label is there.
    Exists,
    /// The label is not there.
    Absent,
    /// The label is a larger number.
    Above(i64),
    /// The label is a smaller number.
    Below(i64),
}

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// What it must be.
    pub operator: LabelOperator,
}

/// Requirements on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<LabelRequirement>);

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1`.
    ///
    /// # Errors
    /// What could not be understood.
    pub fn parse(selector: &str) -> Result<Self, String> {
        parser::parse(selector).map(Self)
    }

    /// The selector of an exact set of labels, as a Service has it.
    pub fn exactly(labels: &BTreeMap<&str, &str>) -> Self {
        let equal = |(key, value): (&&str, &&str)| LabelRequirement {
            key: (*key).to_owned(),
            operator: LabelOperator::In([(*value).to_owned()].into()),
        };
        Self(labels.iter().map(equal).collect())
    }

    /// Reads a `metav1.LabelSelector` object (`matchLabels`, `matchExpressions`).
    ///
    /// # Errors
    /// What could not be understood.
    pub fn from_object(selector: &Value) -> Result<Self, String> {
        let mut requirements = Self::exactly(&crate::object::strings(selector.get("matchLabels"))).0;
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let operator = match text("operator") {
                "In" => LabelOperator::In(values),
                "NotIn" => LabelOperator::NotIn(values),
                "Exists" => LabelOperator::Exists,
                "DoesNotExist" => LabelOperator::Absent,
                other => return Err(format!("\"{other}\" is not a valid label selector operator")),
            };
            requirements.push(LabelRequirement { key: text("key").to_owned(), operator });
        }
        Ok(Self(requirements))
    }

    /// Every requirement.
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.0
    }

    /// Does it require nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Do these labels match?
    pub fn matches(&self, labels: &BTreeMap<&str, &str>) -> bool {
        self.0.iter().all(|r| {
            let value = labels.get(r.key.as_str()).copied();
            let number = || value.and_then(|v| v.parse::<i64>().ok());
            match &r.operator {
                LabelOperator::In(set) => value.is_some_and(|v| set.contains(v)),
                LabelOperator::NotIn(set) => value.is_none_or(|v| !set.contains(v)),
                LabelOperator::Exists => value.is_some(),
                LabelOperator::Absent => value.is_none(),
                LabelOperator::Above(bound) => number().is_some_and(|n| n > *bound),
                LabelOperator::Below(bound) => number().is_some_and(|n| n < *bound),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_judges_presence_and_value() {
        let labels = BTreeMap::from([("a", "1"), ("b/c", "x")]);
        for (selector, matches) in [
            ("", true),
            ("a", true),
            ("z", false),
            ("!z", true),
            ("!a", false),
            ("a=1,b/c==x", true),
            ("a=2", false),
            ("a!=2", true),
            ("z!=2", true),
            ("a in (1, 2)", true),
            ("a in (2,3)", false),
            ("a notin (2,3),b/c in (x)", true),
            ("z notin (2)", true),
            ("a>0", true),
            ("a<1", false),
        ] {
            let parsed = LabelSelector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&labels), matches, "{selector}");
        }
        for bad in ["a in", "a in (x", "=x", "a=b=c", "a~b", "a some (x)", "a>x"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }
}
