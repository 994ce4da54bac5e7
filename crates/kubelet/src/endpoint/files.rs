//! The files of the node's log folder (`/logs/`), as Go's `http.FileServer` shows them: `ServeLogs` of
//! `pkg/kubelet/kubelet.go` with `enableSystemLogQuery` off, which is the default.
//!
//! The folder is the computer's `/var/log`. When files were changed is not known here, so that nothing is
//! answered with 304, and ranges are not served.

use super::answer::{Answer, HTML, TEXT};
use crate::state::Shared;
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use std::fmt::Write;

/// The node's log folder (`nodeLogDir`).
const LOGS: &str = "/var/log";
/// So much of a file is looked at to tell text from other bytes (`sniffLen` of `net/http`).
const SNIFFED_BYTES: usize = 512;
const OTHER: &str = "application/octet-stream";

/// A file or a folder below the log folder, by its path there and the query that it was asked with.
pub(super) fn serve(shared: &Shared, path: &str, query: &str) -> Answer {
    if path.split('/').any(|part| part == "..") {
        return Answer::text(StatusCode::BAD_REQUEST, "invalid URL path\n");
    }
    if path == "index.html" || path.ends_with("/index.html") {
        return moved("./", query);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let name = [LOGS].into_iter().chain(parts.iter().copied()).collect::<Vec<_>>().join("/");
    let is_slashed = path.is_empty() || path.ends_with('/');
    let last = parts.last().copied().unwrap_or_default();
    let disk = shared.host.disk();
    if let Some(entries) = disk.list(&name).or_else(|| parts.is_empty().then(Vec::new)) {
        return if is_slashed { listing(&entries) } else { moved(&format!("{last}/"), query) };
    }
    match disk.read(&name) {
        Some(_) if is_slashed => moved(&format!("../{last}"), query),
        Some(content) => Answer::of(StatusCode::OK, kind(&content), Bytes::from(content)),
        None => Answer::not_found(),
    }
}

/// `localRedirect` of `net/http`: relative, and without a body.
fn moved(to: &str, query: &str) -> Answer {
    let to = if query.is_empty() { to.to_owned() } else { format!("{to}?{query}") };
    let answer = Answer::bare(StatusCode::MOVED_PERMANENTLY);
    match HeaderValue::try_from(to) {
        Ok(to) => answer.with(LOCATION, to),
        Err(_) => Answer::not_found(),
    }
}

/// `dirList` of `net/http`.
fn listing(entries: &[String]) -> Answer {
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for entry in entries {
        let _ = writeln!(page, "<a href=\"{}\">{}</a>", link(entry), escaped(entry));
    }
    page.push_str("</pre>\n");
    Answer::of(StatusCode::OK, HTML, page)
}

/// A name as a relative URL (`url.URL.String`): one with a colon must not look like a scheme.
fn link(name: &str) -> String {
    let mut link = if name.contains(':') { "./".to_owned() } else { String::new() };
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => link.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => {
                link.push(char::from(byte));
            }
            _ => {
                let _ = write!(link, "%{byte:02X}");
            }
        }
    }
    link.replace('&', "&amp;")
}

/// `htmlReplacer` of `net/http`.
fn escaped(name: &str) -> String {
    let name = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    name.replace('"', "&#34;").replace('\'', "&#39;")
}

/// Text where nothing binary is seen (the last step of `http.DetectContentType`; formats with a signature
/// of their own are not told apart).
fn kind(content: &[u8]) -> &'static str {
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    let beginning = &content[..content.len().min(SNIFFED_BYTES)];
    if beginning.iter().any(is_binary) { OTHER } else { TEXT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_listings_cannot_be_markup() {
        assert_eq!(link("a b/"), "a%20b/");
        assert_eq!(link("javascript:x"), "./javascript:x");
        assert_eq!(link("<\"'&>"), "%3C%22%27&amp;%3E");
        assert_eq!(escaped("<\"'&>"), "&lt;&#34;&#39;&amp;&gt;");
    }

    #[test]
    fn bytes_that_no_text_has_are_no_text() {
        assert_eq!((kind(b"a\tline\n"), kind(b"\x00"), kind(b"")), (TEXT, OTHER, TEXT));
    }
}
