//! TLS 1.3 (RFC 8446), read from a capture and the key log.

mod handshake;
mod record;

use super::{Secrets, Side};
use handshake::Hello;
use record::{DirectionSecrets, Records, Suite};

/// What a TLS connection held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSession {
    /// The application bytes of the client that could be read.
    pub client: Vec<u8>,
    /// The application bytes of the server that could be read.
    pub server: Vec<u8>,
    /// The server name that the client asked for (always in clear).
    pub server_name: Option<String>,
    /// The name of the cipher suite, once the server chose one that is known here.
    pub suite: Option<&'static str>,
    /// The server's certificate chain, DER, leaf first, where it could be read.
    pub server_certificates: Vec<Vec<u8>>,
    /// The client's certificate chain, DER, leaf first, where it could be read.
    pub client_certificates: Vec<Vec<u8>>,
    /// Could a bystander without secrets see a certificate? (TLS 1.2 and older.)
    pub certificate_in_clear: bool,
    /// The alerts in the order in which each side sent them, the client's first.
    pub alerts: Vec<Alert>,
    /// Did both sides send their Finished?
    pub handshake_complete: bool,
    /// Encrypted records that no secret opened.
    pub sealed_records: usize,
}

/// One alert (RFC 8446 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Who sent it.
    pub from: Side,
    /// 1 warning, 2 fatal.
    pub level: u8,
    /// The number of the description: 48 is `unknown_ca`.
    pub description: u8,
    /// Was it encrypted?
    pub encrypted: bool,
}

impl Alert {
    /// Closing in an orderly way, rather than an error?
    pub fn is_close(&self) -> bool {
        self.description == 0
    }
}

/// Do these bytes start as a TLS connection does: a handshake record or an alert?
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, 0..=4, ..])
}

/// Reads a connection.
pub(super) fn read(client: &[u8], server: &[u8], secrets: &Secrets) -> TlsSession {
    let client_hello = handshake::hello(client, Side::Client);
    let server_hello = handshake::hello(server, Side::Server);
    let suite = server_hello.as_ref().and_then(|hello| Suite::new(hello.suite));
    let random = client_hello.as_ref().map_or([].as_slice(), |hello| &hello.random);
    let read_side = |bytes, side: Side| {
        let prefix = if side == Side::Client { "CLIENT" } else { "SERVER" };
        let keys = suite.map(|suite| DirectionSecrets {
            suite,
            handshake: secrets.tls(&format!("{prefix}_HANDSHAKE_TRAFFIC_SECRET"), random),
            traffic: secrets.tls(&format!("{prefix}_TRAFFIC_SECRET_0"), random),
        });
        Records::read(bytes, side, keys)
    };
    let from_client = read_side(client, Side::Client);
    let from_server = read_side(server, Side::Server);
    TlsSession {
        client: from_client.application,
        server: from_server.application,
        server_name: client_hello.and_then(|hello: Hello| hello.server_name),
        suite: suite.map(Suite::name),
        server_certificates: from_server.certificates,
        client_certificates: from_client.certificates,
        certificate_in_clear: from_client.certificate_in_clear || from_server.certificate_in_clear,
        alerts: [from_client.alerts, from_server.alerts].concat(),
        handshake_complete: from_client.finished && from_server.finished,
        sealed_records: from_client.sealed + from_server.sealed,
    }
}
