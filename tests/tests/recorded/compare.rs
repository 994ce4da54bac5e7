//! An answer beside the recorded one: what disagrees, line by line.

use super::row::Expect;
use super::text::matches;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use serde_json::{Map, Value};

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// No line about a body is longer.
const SHOWN: usize = 1_000;

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first JSON value of the body; nothing where there is none.
    pub fn json(&self) -> Value {
        let mut values = serde_json::Deserializer::from_slice(&self.body).into_iter();
        values.next().and_then(Result::ok).unwrap_or(Value::Null)
    }

    /// It in one line, for whoever reads of a disagreement.
    pub fn shown(&self) -> String {
        let text = self.text();
        let end = text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
        format!("{} {:?}", self.code, &text[..end])
    }
}

/// Everything in which an answer is not as expected.
pub fn differences(expect: &Expect, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, wanted: String, came: String| {
        if !matches(&wanted, &came) {
            wrong.push(format!("{what}\n      expected {wanted}\n      answered {came}"));
        }
    };
    let (json, text) = (answer.json(), answer.text());
    if let Some(code) = expect.code {
        check("code", code.to_string(), answer.code.to_string());
    }
    if let Some(reason) = &expect.reason {
        check("reason", reason.clone(), json["reason"].as_str().unwrap_or("none").to_owned());
    }
    if let Some(message) = &expect.message {
        check("message", message.clone(), json["message"].as_str().unwrap_or(&text).to_owned());
    }
    if let Some(body) = &expect.body {
        check("body", body.clone(), text.clone());
    }
    if let Some(body) = &expect.base64 {
        check("body (base64)", body.clone(), STANDARD.encode(&answer.body));
    }
    if let Some(piece) = expect.contains.as_ref().filter(|piece| !text.contains(*piece)) {
        check("body contains", piece.clone(), text.clone());
    }
    for (name, wanted) in &expect.headers {
        let values = answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("(no text)"));
        let came = values.collect::<Vec<_>>().join(" & ");
        let came = if answer.headers.contains_key(name) { came } else { "none".to_owned() };
        check(&format!("header {name}"), wanted.clone(), came);
    }
    for path in &expect.lacks {
        let found = json.pointer(&format!("/{}", path.replace('.', "/")));
        check(path, "nothing".to_owned(), found.map_or("nothing".to_owned(), Value::to_string));
    }
    wrong.extend(in_the_body(expect, &json));
    wrong
}

fn in_the_body(expect: &Expect, json: &Value) -> Vec<String> {
    let mut exactly = Comparison { whole: true, wrong: Vec::new() };
    if let Some(details) = &expect.details {
        exactly.walk(details, json.get("details"), "details");
    }
    for (key, wanted) in expect.exact.iter().flatten() {
        exactly.walk(wanted, json.get(key), key);
    }
    let mut among_others = Comparison { whole: false, wrong: exactly.wrong };
    if let Some(wanted) = &expect.has {
        among_others.walk(wanted, Some(json), "");
    }
    if let Some(wanted) = &expect.claims {
        let claims = claims(json["status"]["token"].as_str().unwrap_or_default());
        among_others.walk(wanted, claims.as_ref(), "claims");
    }
    among_others.wrong
}

/// The claims of a token, whoever signed it.
pub fn claims(token: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}

/// Two values, field by field.
struct Comparison {
    /// May there be no other fields?
    whole: bool,
    wrong: Vec<String>,
}

impl Comparison {
    fn walk(&mut self, wanted: &Value, came: Option<&Value>, at: &str) {
        match (wanted, came) {
            (Value::Object(wanted), Some(Value::Object(came))) => self.fields(wanted, came, at),
            (Value::Array(wanted), Some(Value::Array(came))) if wanted.len() == came.len() => {
                for (index, (wanted, came)) in wanted.iter().zip(came).enumerate() {
                    self.walk(wanted, Some(came), &format!("{at}[{index}]"));
                }
            }
            (Value::String(wanted), Some(Value::String(came))) if matches(wanted, came) => {}
            (Value::String(wanted), Some(_)) if wanted == "<ANY>" => {}
            (wanted, Some(came)) if wanted == came => {}
            (wanted, came) => {
                let came = came.map_or("nothing".to_owned(), Value::to_string);
                self.wrong.push(format!("{at}\n      expected {wanted}\n      answered {came}"));
            }
        }
    }

    fn fields(&mut self, wanted: &Map<String, Value>, came: &Map<String, Value>, at: &str) {
        for (key, value) in wanted {
            self.walk(value, came.get(key), &format!("{at}.{key}"));
        }
        // The recording left these out of all objects.
        let more = |key: &&String| *key != "managedFields" && !wanted.contains_key(*key);
        for key in came.keys().filter(more).filter(|_| self.whole) {
            let line = format!("{at}.{key}\n      expected nothing\n      answered {}", came[key]);
            self.wrong.push(line);
        }
    }
}
