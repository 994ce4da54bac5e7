//! In which form an answer is wanted: `Accept` and `pretty`
//! (`apiserver/pkg/endpoints/handlers/negotiation`).
//!
//! Everything is made as JSON; what is wanted otherwise is turned into YAML or protobuf at the end.

use crate::answer;
use crate::table::Tables;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT};
use ravelin_api::{Query, Status, object, to_protobuf, to_yaml};
use ravelin_transport::{Response, body, collect};
use serde_json::{Value, json};

/// What objects are served as, in the order of preference.
pub(crate) const MEDIA_TYPES: &str =
    "application/json, application/yaml, application/vnd.kubernetes.protobuf";
/// What watches are served as.
const STREAM_TYPES: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
/// The longest answer that is turned into another form.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Yaml,
    Protobuf,
}

/// What of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Whole,
    Metadata,
    MetadataList,
    /// As a table of this version.
    Table(&'static str),
}

/// The form that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    pub(crate) view: View,
    pub(crate) pretty: bool,
}

/// One clause of an `Accept` header.
pub(crate) struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f64,
}

impl Wanted {
    /// The form of an error: what is wanted where that can be had, else JSON.
    pub(crate) fn of_error(headers: &HeaderMap, query: Option<&str>) -> Self {
        let wanted = Self::negotiated(&accept(headers), false);
        let plain = Self { form: Form::Json, view: View::Whole, pretty: false };
        let query = query.filter(|query| query.contains("pretty")).map(Query::parse);
        wanted.unwrap_or(plain).with_pretty(headers, &query.unwrap_or_default())
    }

    /// A status in this form.
    pub(crate) fn status(self, status: &Status) -> Response {
        let answer = answer::status(status);
        let bytes = match self.form {
            Form::Json if self.pretty => indented(&status.render()),
            Form::Json => return answer,
            Form::Yaml => Bytes::from(to_yaml(&status.to_value())),
            Form::Protobuf => Bytes::from(to_protobuf(&status.to_value()).unwrap_or_default()),
        };
        let (mut head, _) = answer.into_parts();
        head.headers.insert(CONTENT_TYPE, self.media_type());
        Response::from_parts(head, body::full(bytes))
    }

    fn media_type(self) -> HeaderValue {
        match self.form {
            Form::Json => answer::JSON,
            Form::Yaml => YAML,
            Form::Protobuf => PROTOBUF,
        }
    }

    /// The form of an answer of a route, whose media types are asked first, as go-restful asks. Of
    /// what is not stored there are no tables.
    ///
    /// # Errors
    /// 406.
    pub(crate) fn of_route(
        headers: &HeaderMap,
        query: &Query,
        (verb, tables): (&str, bool),
    ) -> Result<Self, Status> {
        let accept = accept(headers);
        let lists = matches!(verb, "list" | "watch");
        let plain = |range: &str| range.split(';').next().unwrap_or_default().trim() == "*/*";
        let produced = |range: &str| {
            let kind = range.split(';').next().unwrap_or_default().trim();
            MEDIA_TYPES.split(", ").any(|produced| produced == kind)
        };
        if !accept.is_empty() && !accept.split(',').any(|range| plain(range) || produced(range)) {
            let streams = if lists { format!(", {STREAM_TYPES}") } else { String::new() };
            let text = format!("406: Not Acceptable\n\nAvailable representations: {MEDIA_TYPES}{streams}");
            return Err(Status::not_acceptable(&text));
        }
        let refused =
            || Status::not_acceptable(&format!("only the following media types are accepted: {MEDIA_TYPES}"));
        let wanted = Self::negotiated(&accept, tables).ok_or_else(refused)?;
        if verb == "watch" && wanted.form == Form::Yaml {
            let text = format!("only the following media types are accepted: {STREAM_TYPES}");
            return Err(Status::not_acceptable(&text));
        }
        Ok(wanted.with_pretty(headers, query))
    }

    fn negotiated(accept: &str, tables: bool) -> Option<Self> {
        if accept.is_empty() {
            return Some(Self { form: Form::Json, view: View::Whole, pretty: false });
        }
        clauses(accept).iter().find_map(|clause| clause.wanted(tables))
    }

    fn with_pretty(self, headers: &HeaderMap, query: &Query) -> Self {
        let asked = query.first("pretty").filter(|asked| !asked.is_empty());
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let human = ["curl", "Wget", "Mozilla/5.0"].iter().any(|program| agent.starts_with(program));
        let pretty = match asked {
            Some(asked) => matches!(asked, "1" | "t" | "T" | "true" | "TRUE" | "True"),
            None => human,
        };
        Self { pretty: self.pretty || pretty, ..self }
    }

    /// The same form of what is one table already.
    pub(crate) fn of_table(self) -> Self {
        Self { view: View::Whole, ..self }
    }

    /// The answer in this form; tables are made by `tables`. What is no JSON stays as it is.
    ///
    /// # Errors
    /// 406 where a list is wanted of what is none, or the other way round.
    pub(crate) async fn apply(self, answer: Response, tables: Option<&Tables>) -> Result<Response, Status> {
        let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let plain = self.form == Form::Json && self.view == View::Whole && !self.pretty;
        if plain || !is_json {
            return Ok(answer);
        }
        let (mut head, old) = answer.into_parts();
        let lost = |_| Status::internal_error("the answer was lost");
        let bytes = collect(old, MAX_ANSWER_BYTES).await.map_err(lost)?;
        let Ok(mut whole) = serde_json::from_slice::<Value>(&bytes) else {
            return Ok(Response::from_parts(head, body::full(bytes)));
        };
        let viewed = self.view != View::Whole && object::kind(&whole) != "Status";
        if viewed {
            whole = match tables {
                Some(tables) => tables.of_whole(&whole),
                None => self.viewed(&whole)?,
            };
        }
        let bytes = match self.form {
            Form::Yaml => Bytes::from(to_yaml(&whole)),
            Form::Protobuf => match to_protobuf(&whole) {
                Some(bytes) => Bytes::from(bytes),
                None => return Ok(Response::from_parts(head, body::full(bytes))),
            },
            Form::Json => {
                let bytes = if viewed { Bytes::from(ravelin_api::render(&whole)) } else { bytes };
                if self.pretty { indented(&bytes) } else { bytes }
            }
        };
        head.headers.insert(CONTENT_TYPE, self.media_type());
        head.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(head, body::full(bytes)))
    }

    fn viewed(self, whole: &Value) -> Result<Value, Status> {
        let items = whole.get("items").and_then(Value::as_array);
        match (self.view, items) {
            (View::MetadataList, Some(items)) => {
                let items: Vec<Value> = items.iter().map(metadata_of).collect();
                Ok(json!({"kind": "PartialObjectMetadataList", "apiVersion": META,
                    "metadata": whole.get("metadata"), "items": items}))
            }
            (View::Metadata, None) => Ok(metadata_of(whole)),
            (View::Whole | View::Table(_), _) => Ok(whole.clone()),
            (_, None) => Err(Status::not_acceptable(
                "you requested PartialObjectMetadataList, but the requested object is not a list",
            )),
            (_, Some(_)) => Err(Status::not_acceptable(
                "you requested PartialObjectMetadata, but the requested object is a list",
            )),
        }
    }
}

const META: &str = "meta.k8s.io/v1";
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf");

fn metadata_of(whole: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": whole.get("metadata")})
}

fn accept(headers: &HeaderMap) -> String {
    // Go's `Header.Get` sees the first header of a name only.
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The clauses, the most wanted first (`goautoneg.ParseAccept`).
pub(crate) fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::read).collect();
    let generic = |clause: &Clause<'_>| (clause.kind == "*", clause.subtype == "*");
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(generic(a).cmp(&generic(b))));
    clauses
}

impl<'a> Clause<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let range = parts.next()?;
        let (kind, subtype) = match range.split_once('/') {
            Some((kind, subtype)) => (kind.trim(), subtype.trim()),
            None if range == "*" => ("*", "*"),
            None => return None,
        };
        let mut quality = 1.0;
        let mut parameters = Vec::new();
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if name.trim() == "q" {
                quality = value.trim().parse().unwrap_or(1.0);
            } else {
                parameters.push((name.trim(), value.trim()));
            }
        }
        Some(Self { kind, subtype, parameters, quality })
    }

    /// Does it name this media type?
    pub(crate) fn is(&self, kind: &str, subtype: &str) -> bool {
        (self.kind, self.subtype) == (kind, subtype)
    }

    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    fn wanted(&self, tables: bool) -> Option<Wanted> {
        let form = match (self.kind, self.subtype) {
            ("application", "json" | "*") | ("*", "*") => Form::Json,
            ("application", "yaml") => Form::Yaml,
            ("application", "vnd.kubernetes.protobuf") => Form::Protobuf,
            _ => return None,
        };
        let parameter = |name| self.parameter(name);
        if parameter("stream").is_some_and(|stream| !stream.is_empty() && stream != "watch")
            || parameter("sv").is_some_and(|version| !version.is_empty())
        {
            return None;
        }
        // There is no protobuf of tables (`AllowsMediaTypeTransform`): the next clause will do.
        let tables = tables && form != Form::Protobuf;
        let view = match (parameter("as"), parameter("g"), parameter("v")) {
            (None, None, None) => View::Whole,
            (Some("PartialObjectMetadata"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => View::Metadata,
            (Some("PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => {
                View::MetadataList
            }
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) if tables => View::Table("v1"),
            (Some("Table"), Some("meta.k8s.io"), Some("v1beta1")) if tables => View::Table("v1beta1"),
            _ => return None,
        };
        Some(Wanted { form, view, pretty: parameter("pretty") == Some("1") })
    }
}

/// The same JSON with two blanks for each level, in its own order.
pub(crate) fn indented(json: &[u8]) -> Bytes {
    let mut text: Vec<u8> = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |text: &mut Vec<u8>, depth: usize| {
        text.push(b'\n');
        text.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    for (index, &byte) in json.trim_ascii_end().iter().enumerate() {
        if in_string {
            text.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        let closes_empty = matches!(byte, b'}' | b']') && matches!(json[index - 1], b'{' | b'[');
        match byte {
            b'{' | b'[' => {
                text.push(byte);
                depth += 1;
                if !matches!(json.get(index + 1), Some(b'}' | b']')) {
                    line(&mut text, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !closes_empty {
                    line(&mut text, depth);
                }
                text.push(byte);
            }
            b',' => {
                text.push(byte);
                line(&mut text, depth);
            }
            b':' => text.extend_from_slice(b": "),
            _ => {
                in_string = byte == b'"';
                text.push(byte);
            }
        }
    }
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        headers
    }

    #[test]
    fn a_form_is_chosen_as_kubernetes_chooses_it() {
        let json = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
        for (accept, chosen) in [
            ("application/json", Ok(Form::Json)),
            ("*/*", Ok(Form::Json)),
            ("application/yaml", Ok(Form::Yaml)),
            ("application/vnd.kubernetes.protobuf,application/json", Ok(Form::Protobuf)),
            ("application/json;q=0.5,application/yaml", Ok(Form::Yaml)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Ok(Form::Json)),
            ("text/html", Err(format!("406: Not Acceptable\n\nAvailable representations: {json}"))),
            ("application/*", Err(format!("406: Not Acceptable\n\nAvailable representations: {json}"))),
            (
                "application/json;as=Bogus;g=meta.k8s.io;v=v1",
                Err(format!("only the following media types are accepted: {json}")),
            ),
        ] {
            let wanted = Wanted::of_route(&headers(accept), &Query::default(), ("get", true));
            assert_eq!(wanted.map(|w| w.form).map_err(|status| status.message), chosen, "{accept}");
        }
        let error = Wanted::of_error(&headers("text/plain"), None);
        assert_eq!(error.form, Form::Json);
    }

    #[test]
    fn tables_are_made_of_what_is_stored_and_in_json() {
        let (table, beta) = (View::Table("v1"), "application/json;as=Table;v=v1beta1;g=meta.k8s.io");
        for (accept, stored, view) in [
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", true, table),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", false, View::Whole),
            ("application/json;as=Table;v=v7;g=meta.k8s.io,application/json", true, View::Whole),
            ("application/yaml;as=Table;v=v1;g=meta.k8s.io", true, table),
            (beta, true, View::Table("v1beta1")),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,*/*", true, View::Whole),
        ] {
            let wanted = Wanted::of_route(&headers(accept), &Query::default(), ("list", stored));
            assert_eq!(wanted.unwrap().view, view, "{accept}");
        }
        assert!(Wanted::of_route(&headers(beta), &Query::default(), ("get", false)).is_err());
        assert_eq!(Wanted::of_error(&headers(beta), None).view, View::Whole);
    }

    #[test]
    fn human_readers_get_lines() {
        let text = indented(br#"{"a":{},"b":[1,{"c":"x\"{,}"}],"d":[]}"#);
        let expected = "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": \"x\\\"{,}\"\n    }\n  ],\n  \"d\": []\n}";
        assert_eq!(String::from_utf8(text.to_vec()).unwrap(), expected);
    }
}
