//! HTTP read out of captured bytes.

use crate::danger::{Message, Start, requests, responses};

fn bodies(messages: &[Message]) -> Vec<(&str, bool)> {
    let text = |message: &Message| std::str::from_utf8(&message.body).unwrap().to_owned().leak() as &str;
    messages.iter().map(|message| (text(message), message.complete)).collect()
}

#[test]
fn captured_requests_are_read_in_order() {
    let captured = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
        POST /q HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
        POST /r HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf";
    let found = requests(captured);
    let whole = [("", true), ("hello", true), ("abcde", true), ("half", false)];
    assert_eq!(bodies(&found), whole);
    let start = Start::Request { method: "GET".to_owned(), target: "/a?b=c".to_owned() };
    assert_eq!(found[0].start, start);
    assert_eq!(found[0].header("host"), Some("x"));
    assert!(requests(b"\x16\x03\x01\x00\x05hello").is_empty());
}

#[test]
fn captured_responses_are_read_in_order() {
    let captured = b"HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nt: 1\r\n\r\n\
        HTTP/1.1 200 OK\r\n\r\nuntil the end";
    let found = responses(captured);
    assert_eq!(bodies(&found), [("", true), ("hello", true), ("until the end", false)]);
    // A chunk that claims more than there is, up to the largest number.
    let huge = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\nabc";
    assert_eq!(bodies(&responses(huge)), [("abc", false)]);
}
