//! A label selector's text, read as `Parser` in `apimachinery/pkg/labels/selector.go` reads it, with
//! its errors.

use super::{LabelOperator, LabelRequirement};
use crate::names;
use std::collections::BTreeSet;

/// What the errors call the operators between a key and values.
const BINARY: &str = "in, notin, =, ==, !=, gt, lt";

/// Reads a whole selector.
pub(super) fn parse(selector: &str) -> Result<Vec<LabelRequirement>, String> {
    let mut parser = Parser { tokens: tokens(selector), at: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            "" => return Ok(requirements),
            token if token == "!" || is_identifier(token) => {}
            token => return Err(format!("found '{token}', expected: !, identifier, or 'end of string'")),
        }
        let requirement = parser.requirement();
        requirements.push(requirement.map_err(|wrong| format!("unable to parse requirement: {wrong}"))?);
        match parser.next() {
            "" => return Ok(requirements),
            "," => match parser.peek() {
                token if token == "!" || is_identifier(token) => {}
                token => return Err(format!("found '{token}', expected: identifier after ','")),
            },
            token => return Err(format!("found '{token}', expected: ',' or 'end of string'")),
        }
    }
}

/// The words and signs of a selector.
fn tokens(selector: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = selector.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if !is_sign(first) => rest.find(|c| is_sign(c) || is_space(c)).unwrap_or(rest.len()),
            '=' | '!' if rest[1..].starts_with('=') => 2,
            _ => 1,
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start_matches(is_space);
    }
    tokens
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn is_sign(letter: char) -> bool {
    "=!(),><".contains(letter)
}

fn is_identifier(token: &str) -> bool {
    token.chars().next().is_some_and(|first| !is_sign(first))
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    /// The next token; an empty one at the end.
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<LabelRequirement, String> {
        let mut key = self.next();
        let absent = key == "!";
        if absent {
            key = self.next();
        }
        if !is_identifier(key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let faults = names::qualified(key);
        if !faults.is_empty() {
            return Err(format!("<nil>: Invalid value: {key:?}: {}", faults.join("; ")));
        }
        let of = |operator| Ok(LabelRequirement { key: key.to_owned(), operator });
        if absent {
            return of(LabelOperator::Absent);
        }
        if matches!(self.peek(), "" | ",") {
            return of(LabelOperator::Exists);
        }
        match self.next() {
            "in" => of(LabelOperator::In(self.values(key)?)),
            "notin" => of(LabelOperator::NotIn(self.values(key)?)),
            "=" | "==" => of(LabelOperator::In([self.value(key)?].into())),
            "!=" => of(LabelOperator::NotIn([self.value(key)?].into())),
            ">" => of(LabelOperator::Above(self.number()?)),
            "<" => of(LabelOperator::Below(self.number()?)),
            token => Err(format!("found '{token}', expected: {BINARY}")),
        }
    }

    fn exact(&mut self) -> Result<&'a str, String> {
        if matches!(self.peek(), "" | ",") {
            return Ok("");
        }
        let token = self.next();
        if is_identifier(token) { Ok(token) } else { Err(format!("found '{token}', expected: identifier")) }
    }

    fn value(&mut self, key: &str) -> Result<String, String> {
        let value = self.exact()?;
        checked(key, (0, value))?;
        Ok(value.to_owned())
    }

    fn number(&mut self) -> Result<i64, String> {
        let value = self.exact()?;
        value.parse().map_err(|_| {
            format!(
                "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
            )
        })
    }

    fn values(&mut self, key: &str) -> Result<BTreeSet<String>, String> {
        match self.next() {
            "(" => {}
            token => return Err(format!("found '{token}' expected: '('")),
        }
        let values = match self.peek() {
            ")" => BTreeSet::from([""]),
            token if token == "," || is_identifier(token) => self.listed()?,
            token => return Err(format!("found '{token}', expected: ',', ')' or identifier")),
        };
        // What `listed` stops at, and what an empty list ends with.
        self.next();
        for value in values.iter().enumerate() {
            checked(key, (value.0, value.1))?;
        }
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    /// The values up to the closing parenthesis; a comma without a value stands for an empty one.
    fn listed(&mut self) -> Result<BTreeSet<&'a str>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                "," => {
                    if values.is_empty() {
                        values.insert("");
                    }
                    match self.peek() {
                        ")" => {
                            values.insert("");
                            return Ok(values);
                        }
                        "," => {
                            self.next();
                            values.insert("");
                        }
                        _ => {}
                    }
                }
                token if is_identifier(token) => {
                    values.insert(token);
                    match self.peek() {
                        "," => {}
                        ")" => return Ok(values),
                        token => return Err(format!("found '{token}', expected: ',' or ')'")),
                    }
                }
                token => return Err(format!("found '{token}', expected: ',', or identifier")),
            }
        }
    }
}

fn checked(key: &str, (index, value): (usize, &str)) -> Result<(), String> {
    let faults = names::label_value(value);
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {}", faults.join("; ")))
}

#[test]
fn what_cannot_be_read_is_told_as_kubernetes_tells_it() {
    for (selector, wrong) in [
        ("!!", "unable to parse requirement: found '!', expected: identifier"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ] {
        assert_eq!(parse(selector).unwrap_err(), wrong, "{selector}");
    }
    assert!(parse("a$=b").unwrap_err().contains("<nil>: Invalid value: \"a$\": name part must consist"));
    assert!(parse("a=b$").unwrap_err().contains("values[0][a]: Invalid value: \"b$\": a valid label must"));
    let empty = LabelOperator::In([String::new()].into());
    for selector in ["a in ()", "a=", "a in (,)"] {
        assert_eq!(parse(selector).unwrap()[0].operator, empty, "{selector}");
    }
}
