//! The least that a run could take: its TLS handshakes and bytes, through rustls in memory.

use crate::work::Work;
use jiff::Timestamp;
use ravelin_entropy::Entropy;
use ravelin_pki::{
    Authority, Identity, KeyPair, Profile, San, ServerTrust, Subject, TrustAnchors, Usage, client_verifier,
    provider, server_verifier,
};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

/// The largest TLS record's content (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// The same work without network and cluster.
pub struct Floor {
    server: Arc<ServerConfig>,
    /// With a client certificate, and without.
    clients: [Arc<ClientConfig>; 2],
    /// How many connections of each kind.
    connections: [usize; 2],
    /// The bytes that each connection carries.
    bytes_each: usize,
}

impl Floor {
    /// The floor of a run.
    ///
    /// # Panics
    /// Where our own certificates do not work.
    pub fn new(work: &Work) -> Self {
        let (server, clients) = configurations();
        let connections = [work.mutual, work.plain];
        let mut floor = Self { server, clients, connections, bytes_each: 0 };
        let handshakes: usize = connections.iter().enumerate().map(|(kind, n)| n * floor.connect(kind)).sum();
        // What was not handshake was the application's, TLS framing included.
        let application = work.payload_bytes.saturating_sub(handshakes);
        floor.bytes_each = application / work.handshakes().max(1);
        floor
    }

    /// How many application bytes it carries in all.
    pub fn application_bytes(&self) -> usize {
        self.bytes_each * self.connections.iter().sum::<usize>()
    }

    /// Does the work once; gives the bytes that it carried.
    ///
    /// # Panics
    /// Where our own handshakes fail.
    pub fn run(&self) -> usize {
        // As many as simulations run at once.
        let workers = ravelin_assess::cores();
        std::thread::scope(|scope| {
            let share = |thread: usize| {
                // Seeded, as in a simulation: the operating system's randomness costs otherwise.
                let _simulated = ravelin_entropy::enter(thread as u64);
                let kinds = self.connections.iter().enumerate();
                let mine = |n: &usize| (n + thread) / workers;
                kinds.map(|(kind, n)| (0..mine(n)).map(|_| self.connect(kind)).sum::<usize>()).sum::<usize>()
            };
            let threads: Vec<_> = (0..workers).map(|thread| scope.spawn(move || share(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("handshakes of our own succeed")).sum()
        })
    }

    /// One connection: handshake and bytes. Gives the bytes on the wire.
    fn connect(&self, kind: usize) -> usize {
        let name = ServerName::try_from("10.0.0.1").expect("it is an address");
        let client = ClientConnection::new(Arc::clone(&self.clients[kind]), name);
        let mut client = client.expect("the configuration is complete");
        let mut server =
            ServerConnection::new(Arc::clone(&self.server)).expect("the configuration is complete");
        let mut wire = 0;
        while client.is_handshaking() || server.is_handshaking() {
            wire += flow(&mut client, &mut server) + flow(&mut server, &mut client);
        }
        wire += flow(&mut client, &mut server) + flow(&mut server, &mut client);
        assert_eq!(server.peer_certificates().is_some(), kind == 0, "the client's certificate was presented");
        let mut left = self.bytes_each;
        let mut content = vec![0x2a; RECORD];
        while left > 0 {
            let length = left.min(RECORD);
            server.writer().write_all(&content[..length]).expect("it buffers");
            wire += flow(&mut server, &mut client);
            client.reader().read_exact(&mut content[..length]).expect("it has arrived");
            left -= length;
        }
        wire
    }
}

/// Moves everything that one side has to say to the other.
pub(crate) fn flow<A, B>(
    from: &mut impl std::ops::DerefMut<Target = rustls::ConnectionCommon<A>>,
    to: &mut impl std::ops::DerefMut<Target = rustls::ConnectionCommon<B>>,
) -> usize
where
    A: rustls::SideData,
    B: rustls::SideData,
{
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).expect("a vector takes everything");
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).expect("a slice can be read");
        to.process_new_packets().expect("both sides are ours");
    }
    bytes.len()
}

/// A server's configuration, and a client's with a certificate and without.
pub(crate) fn configurations() -> (Arc<ServerConfig>, [Arc<ClientConfig>; 2]) {
    let mut entropy = Entropy::from_key([9; 32]);
    let (from, until) = (Timestamp::UNIX_EPOCH, Timestamp::constant(4_102_444_800, 0));
    let key = KeyPair::generate(&mut entropy);
    let authority = Authority::new("kubernetes", key, from, until, &mut entropy);
    let mut identity = |name: &str, usage, sans| -> Identity {
        let subject = Subject::new(name, &[]);
        let profile = Profile { subject, sans, usages: vec![usage], not_before: from, not_after: until };
        authority.identity(&profile, &mut entropy)
    };
    let server = identity("kube-apiserver", Usage::Server, vec![San::Ip(IpAddr::from([10, 0, 0, 1]))]);
    let client = identity("system:node:node-1", Usage::Client, Vec::new());
    let presented = |identity: &Identity| {
        Arc::new(SingleCertAndKey::from(Arc::unwrap_or_clone(identity.certified_key())))
    };
    let tls13 = &[&rustls::version::TLS13];
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(tls13);
    let builder = builder.expect("the provider has TLS 1.3").with_client_cert_verifier(client_verifier());
    let mut accepting = builder.with_cert_resolver(presented(&server));
    accepting.session_storage = Arc::new(NoServerSessionStorage {});
    accepting.send_tls13_tickets = 0;
    let anchors = TrustAnchors::from_pem(&authority.certificate_pem()).expect("it is a certificate");
    let trust = ServerTrust::Anchors(anchors);
    let clients = [true, false].map(|presents| {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(tls13);
        let builder = builder.expect("the provider has TLS 1.3").dangerous();
        let builder = builder.with_custom_certificate_verifier(server_verifier(&trust));
        let mut connecting = match presents {
            true => builder.with_client_cert_resolver(presented(&client)),
            false => builder.with_no_client_auth(),
        };
        connecting.resumption = Resumption::disabled();
        Arc::new(connecting)
    });
    (Arc::new(accepting), clients)
}
