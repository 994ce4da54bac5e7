//! Asks the rows of a section and says where the answers disagree.

use super::compare::{Answer, differences};
use super::rig::Rig;
use super::row::{Forged, Row, Section};
use super::text::{filled, filled_value};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ravelin_entropy::Entropy;
use ravelin_pki::{Identity, KeyPair, San, SigningRequest, Subject};
use ravelin_tests::apiserver::ISSUER;
use ravelin_transport::{Request, body};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What came of a section.
#[derive(Debug, Default)]
pub struct Played {
    /// How many recorded rows there were.
    pub rows: usize,
    /// How many of them we answer differently on purpose.
    pub differ: usize,
    /// What is wrong, one row an entry.
    pub wrong: Vec<String>,
}

/// Asks all rows of one section, in their order.
pub fn play(section: &Section, folder: &Path) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be had").block_on(async {
        let mut player = Player { rig: Rig::new(section, folder).await, saved: BTreeMap::new() };
        let mut played = Played::default();
        for row in &section.rows {
            played.rows += usize::from(!row.setup);
            played.differ += usize::from(row.differs.is_some());
            if let Err(wrong) = player.row(row).await {
                let source = row.source.as_ref().map_or(String::new(), |source| format!(" ({source})"));
                let what = format!("{} [{}] {}{source}", row.case, row.who, row.request);
                played.wrong.push(format!("  {what}\n    {wrong}"));
            }
        }
        played
    })
}

struct Player {
    rig: Rig,
    /// What earlier rows were told to remember.
    saved: BTreeMap<String, String>,
}

impl Player {
    async fn row(&mut self, row: &Row) -> Result<(), String> {
        self.rig.pass(row.after).await;
        if let Some(forged) = &row.jwt {
            self.saved.insert("forged".to_owned(), self.forged(forged));
        }
        let answer = self.asked(row).await?;
        for (name, path) in &row.save {
            let json = answer.json();
            let value = json.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_str);
            let value = value.ok_or_else(|| format!("no {path} in {}", answer.shown()))?;
            self.saved.insert(name.clone(), value.to_owned());
        }
        let wrong = differences(&row.expect, &answer);
        let Some(reason) = &row.differs else { return told(&wrong, &answer) };
        if wrong.is_empty() {
            return Err(format!("agrees now, so that it no longer differs: {reason}"));
        }
        row.ours.as_ref().map_or(Ok(()), |ours| told(&differences(ours, &answer), &answer))
    }

    async fn asked(&self, row: &Row) -> Result<Answer, String> {
        let (method, path) = row.request.split_once(' ').expect("METHOD PATH");
        let path = self.filled(path);
        let (kind, name) = row.who.split_once(':').unwrap_or((&row.who, ""));
        let mut headers = self.headers(&row.headers);
        match kind {
            "token" => authorize(&mut headers, &self.filled(name)),
            "jwt" => authorize(&mut headers, &self.filled("<saved:forged>")),
            _ => {}
        }
        let identity: Option<Identity> = self.rig.authorities.client(kind, &self.filled(name));
        assert!(identity.is_some() || matches!(kind, "none" | "token" | "jwt"), "who is {}?", row.who);
        let content = self.content(row, &path).await?;
        if content.is_some() && !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "none") {
            headers.remove(header::CONTENT_TYPE);
        }
        let request = http::Request::builder().method(method.parse::<Method>().expect("a method")).uri(&path);
        let mut request: Request = request
            .body(content.map_or_else(body::empty, body::full))
            .map_err(|error| format!("cannot be asked: {error}"))?;
        headers.entry(header::HOST).or_insert(HeaderValue::from_static("10.0.0.1:6443"));
        *request.headers_mut() = headers;
        self.rig.ask(identity, request).await
    }

    async fn content(&self, row: &Row, path: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(text) = &row.text {
            return Ok(Some(self.filled(text).into_bytes()));
        }
        if let Some(body) = &row.body {
            return Ok(Some(operations(self.filled_value(body)).to_string().into_bytes()));
        }
        let Some(edit) = &row.edit else { return Ok(None) };
        let path = path.trim_end_matches("/status").trim_end_matches("/approval");
        let path = path.split('?').next().expect("there is always a first").to_owned();
        let get =
            http::Request::builder().uri(path).body(body::empty()).map_err(|error| error.to_string())?;
        let mut object = self.rig.ask(self.rig.authorities.client("cert", "admin"), get).await?.json();
        merge(&mut object, &self.filled_value(edit));
        Ok(Some(object.to_string().into_bytes()))
    }

    fn headers(&self, wanted: &Map<String, Value>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in wanted {
            let name: HeaderName = name.parse().expect("a header's name");
            let values = match value {
                Value::Array(values) => values.iter().collect(),
                value => vec![value],
            };
            for value in values {
                let value = self.filled(value.as_str().expect("a header's value is text"));
                headers.append(name.clone(), value.parse().expect("a header's value"));
            }
        }
        headers
    }

    fn filled(&self, text: &str) -> String {
        filled(text, &|word, argument| self.made(word, argument))
    }

    fn filled_value(&self, value: &Value) -> Value {
        filled_value(value, &|word, argument| self.made(word, argument))
    }

    /// What `<word:argument>` stands for in a request.
    fn made(&self, word: &str, argument: &str) -> Option<String> {
        Some(match word {
            "saved" => self.saved.get(argument).unwrap_or_else(|| panic!("{argument} was not saved")).clone(),
            "uid" => self.rig.object(argument)["metadata"]["uid"].as_str()?.to_owned(),
            "version" => self.rig.object(argument)["metadata"]["resourceVersion"].as_str()?.to_owned(),
            "repeat" => {
                let (piece, times) = argument.split_once(' ')?;
                piece.repeat(times.parse().ok()?)
            }
            "base64" => STANDARD.encode(argument),
            "certificate" => STANDARD.encode(self.rig.authorities.clients.certificate_pem()),
            "csr" => STANDARD.encode(signing_request(argument)),
            _ => return None,
        })
    }

    fn forged(&self, forged: &Forged) -> String {
        let now = self.rig.caller.now().as_second();
        let (namespace, name) = forged.account.split_once('/').expect("NAMESPACE/NAME");
        let uid = forged.uid.clone().unwrap_or_else(|| {
            self.made("uid", &format!("serviceaccounts/{namespace}/{name}")).expect("every object has one")
        });
        let mut claims = json!({
            "iss": forged.issuer.as_deref().unwrap_or(ISSUER),
            "aud": [forged.audience.as_deref().unwrap_or(ISSUER)],
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "iat": now + forged.not_before.min(0),
            "nbf": now + forged.not_before,
            "jti": "00000000-0000-4000-8000-000000000000",
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        });
        if let Some(expires) = forged.expires {
            claims["exp"] = json!(now + expires);
        }
        merge(&mut claims, &self.filled_value(&Value::Object(forged.claims.clone())));
        let other = KeyPair::generate(&mut Entropy::operating_system());
        let (algorithm, key) = match forged.signed_by.as_deref() {
            None | Some("apiserver") => ("ES256", Some(&*self.rig.key)),
            Some("other") => ("ES256", Some(&other)),
            Some("none") => ("none", None),
            Some(who) => panic!("nobody is called {who}"),
        };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": algorithm, "typ": "JWT"})), part(&claims));
        let signature = key.map_or_else(Vec::new, |key| key.sign_raw(signed.as_bytes()).to_vec());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn told(wrong: &[String], answer: &Answer) -> Result<(), String> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n    whole answer: {}", wrong.join("\n    "), answer.shown()))
}

fn authorize(headers: &mut HeaderMap, token: &str) {
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("a token is text"));
}

/// A signing request in PEM; of `CN=…,O=…,DNS=…,IP=…`.
fn signing_request(names: &str) -> String {
    let named = |wanted: &'static str| {
        let names = names.split(',').filter_map(|part| part.split_once('='));
        names.filter(move |(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    let organizations: Vec<&str> = named("O").collect();
    let subject = Subject::new(named("CN").next().unwrap_or_default(), &organizations);
    let addresses = named("IP").map(|address| San::Ip(address.parse().expect("an address")));
    let sans: Vec<San> = named("DNS").map(|name| San::Dns(name.to_owned())).chain(addresses).collect();
    SigningRequest::create(&subject, &sans, &KeyPair::generate(&mut Entropy::operating_system()))
}

/// `{operations: N}` stands for as many operations of a JSON patch.
fn operations(body: Value) -> Value {
    match body["operations"].as_u64() {
        Some(times) => (0..times).map(|_| json!({"op": "add", "path": "/data/a", "value": "1"})).collect(),
        None => body,
    }
}

/// A merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let fields = target.as_object_mut().expect("it is one now");
    for (key, value) in patch {
        match value {
            Value::Null => drop(fields.remove(key)),
            value => merge(fields.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}
