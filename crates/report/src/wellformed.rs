//! A check, for tests, that text is well-formed XML, or HTML written like it: every element is
//! closed in its order, attributes are quoted and different, nothing is unescaped.

/// An element, with its attributes as written.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// HTML's elements without an end.
const VOID: [&str; 3] = ["meta", "br", "hr"];

/// Every element in the order of its beginning.
pub(crate) fn elements(text: &str) -> Result<Vec<Element>, String> {
    let (mut found, mut open, mut rest) = (Vec::new(), Vec::<String>::new(), text);
    if text.chars().any(|c| c.is_control() && c != '\n' || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err("a character that XML cannot have".into());
    }
    while let Some(at) = rest.find('<') {
        escapes(&rest[..at])?;
        let end = rest[at..].find('>').ok_or("a tag that does not end")? + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last.as_deref() != Some(name) {
                return Err(format!("</{name}> closes {last:?}"));
            }
        } else if !tag.starts_with('?') && !tag.starts_with('!') {
            let element = element(tag.trim_end_matches('/'))?;
            if element.name == "style" {
                rest = rest.split_once("</style>").ok_or("a style that does not end")?.1;
            } else if !tag.ends_with('/') && !VOID.contains(&element.name.as_str()) {
                open.push(element.name.clone());
            }
            found.push(element);
        }
    }
    escapes(rest)?;
    if open.is_empty() { Ok(found) } else { Err(format!("still open: {open:?}")) }
}

fn element(tag: &str) -> Result<Element, String> {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(format!("<{tag}>"));
    }
    let mut attributes: Vec<(String, String)> = Vec::new();
    while !rest.trim().is_empty() {
        let (key, after) = rest.trim_start().split_once("=\"").ok_or(format!("<{tag}>"))?;
        let (value, after) = after.split_once('"').ok_or(format!("<{tag}>"))?;
        escapes(value)?;
        if attributes.iter().any(|(known, _)| known == key) {
            return Err(format!("{key} twice in <{tag}>"));
        }
        attributes.push((key.to_owned(), value.to_owned()));
        rest = after;
    }
    Ok(Element { name: name.to_owned(), attributes })
}

fn escapes(text: &str) -> Result<(), String> {
    let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
    let wrong = |at: usize| !known.iter().any(|escape| text[at..].starts_with(escape));
    if text.contains('>') || text.match_indices('&').any(|(at, _)| wrong(at)) {
        return Err(format!("not escaped: {text}"));
    }
    Ok(())
}

#[test]
fn what_is_not_well_formed_is_found() {
    assert!(elements("<a b=\"1\"><c/>&lt;</a>").is_ok());
    for wrong in
        ["<a>", "<a></b>", "<a b=\"1\" b=\"2\"/>", "<a b=1/>", "<a>&</a>", "<a>></a>", "<a>\u{1}</a>"]
    {
        assert!(elements(wrong).is_err(), "{wrong}");
    }
}
