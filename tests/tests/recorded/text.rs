//! What stands between `<` and `>` in a row: made up in requests, wildcards in answers.

use serde_json::Value;

/// Does a text have this form? `<UUID>`, `<TIME>`, `<DATE>`, `<JWT>`, `<HEX>` and `<INT>` stand for
/// one such, `<ANY>` for anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((literal, class, rest)) = first_wildcard(pattern) else { return pattern == text };
    let Some(text) = text.strip_prefix(literal) else { return false };
    // From the longest to the shortest, so that a class may end with what the pattern goes on with.
    let mut ends: Vec<usize> = vec![0];
    for (at, letter) in text.char_indices() {
        if !class(letter) {
            break;
        }
        ends.push(at + letter.len_utf8());
    }
    ends.into_iter().rev().any(|end| matches(rest, &text[end..]))
}

type Class = fn(char) -> bool;

const CLASSES: [(&str, Class); 7] = [
    ("<UUID>", |letter| letter.is_ascii_hexdigit() || letter == '-'),
    ("<TIME>", |letter| letter.is_ascii_digit() || "-:.TZ".contains(letter)),
    ("<DATE>", |letter| letter.is_ascii_alphanumeric() || " ,:".contains(letter)),
    ("<JWT>", |letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)),
    ("<HEX>", |letter| letter.is_ascii_hexdigit()),
    ("<INT>", |letter| letter.is_ascii_digit()),
    ("<ANY>", |_| true),
];

/// What is before the first wildcard, what that matches, and what is after it.
fn first_wildcard(pattern: &str) -> Option<(&str, Class, &str)> {
    let found = CLASSES.iter().filter_map(|(name, class)| Some((pattern.find(name)?, name, class)));
    let (at, name, class) = found.min_by_key(|(at, ..)| *at)?;
    Some((&pattern[..at], *class, &pattern[at + name.len()..]))
}

/// Replaces `<word:argument>` wherever `made` knows the word.
pub fn filled(text: &str, made: &dyn Fn(&str, &str) -> Option<String>) -> String {
    let Some(open) = text.find('<') else { return text.to_owned() };
    let (before, rest) = text.split_at(open);
    let made_up = rest[1..].split_once('>').and_then(|(inside, after)| {
        let (word, argument) = inside.split_once(':')?;
        Some((made(word, argument)?, after))
    });
    match made_up {
        Some((value, after)) => format!("{before}{value}{}", filled(after, made)),
        None => format!("{before}<{}", filled(&rest[1..], made)),
    }
}

/// As [`filled`], in every string of a value.
pub fn filled_value(value: &Value, made: &dyn Fn(&str, &str) -> Option<String>) -> Value {
    match value {
        Value::String(text) => Value::String(filled(text, made)),
        Value::Array(values) => values.iter().map(|value| filled_value(value, made)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (filled(key, made), filled_value(value, made)));
            Value::Object(fields.collect())
        }
        value => value.clone(),
    }
}

#[test]
fn wildcards_match_what_they_are_named_for() {
    assert!(matches("a <UUID> b", "a 0f-9 b") && !matches("a <UUID> b", "a xyz b"));
    assert!(matches("<ANY>\"x\"<ANY>", "{\"x\"}") && !matches("<INT>!", "12"));
    assert!(matches("<TIME>", "2026-01-01T00:00:00Z") && matches("plain", "plain"));
    assert_eq!(
        filled("<a:1> <UUID> <b:", &|word, argument| Some(format!("{word}{argument}"))),
        "a1 <UUID> <b:"
    );
}
