//! TLS and HTTP between two hosts in memory.

mod http2_calls;
mod http_messages;
mod stage;
mod tls_handshakes;
