//! Bytes of WebSockets, as in RFC 6455 or made up.
