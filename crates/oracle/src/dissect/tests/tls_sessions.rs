//! TLS 1.3 sessions of rustls.

use super::super::*;
use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite,
};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

/// What both sides put on the wire, and the key log.
#[derive(Debug, Default)]
struct Log(Mutex<Secrets>);

impl rustls::KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line =
            KeyLogLine { label: label.into(), client_random: client_random.into(), secret: secret.into() };
        self.0.lock().unwrap().add_tls(line);
    }
}

struct Session {
    client: ClientConnection,
    server: ServerConnection,
    wire: (Vec<u8>, Vec<u8>),
    log: Arc<Log>,
    certificate: CertificateDer<'static>,
}

impl Session {
    fn new(suite: SupportedCipherSuite, trusting: bool) -> Self {
        let issued = rcgen::generate_simple_self_signed(["node.test".to_owned()]).unwrap();
        let certificate = issued.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites = vec![suite];
        let provider = Arc::new(provider);
        let log = Arc::new(Log::default());
        let mut roots = RootCertStore::empty();
        if trusting {
            roots.add(certificate.clone()).unwrap();
        }
        let client =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let mut client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
        client.key_log = Arc::clone(&log) as Arc<dyn rustls::KeyLog>;
        let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
        let name = ServerName::try_from("node.test").unwrap();
        Self {
            client: ClientConnection::new(Arc::new(client), name).unwrap(),
            server: ServerConnection::new(Arc::new(server.unwrap())).unwrap(),
            wire: Default::default(),
            log,
            certificate,
        }
    }

    /// Carries bytes until neither side has more to say.
    fn carry(&mut self) -> Result<(), rustls::Error> {
        loop {
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            while self.client.wants_write() {
                self.client.write_tls(&mut to_server).unwrap();
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut to_client).unwrap();
            }
            if to_server.is_empty() && to_client.is_empty() {
                return Ok(());
            }
            self.wire.0.extend_from_slice(&to_server);
            self.wire.1.extend_from_slice(&to_client);
            let mut rest = to_server.as_slice();
            while !rest.is_empty() {
                self.server.read_tls(&mut rest).unwrap();
                self.server.process_new_packets()?;
                let _ = self.server.reader().read_to_end(&mut Vec::new());
            }
            let mut rest = to_client.as_slice();
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).unwrap();
                let read = self.client.process_new_packets();
                if read.is_err() {
                    let alert_from = self.wire.0.len();
                    self.client.write_tls(&mut self.wire.0).unwrap();
                    assert!(self.wire.0.len() > alert_from, "the refusal was told to the server");
                }
                read?;
                let _ = self.client.reader().read_to_end(&mut Vec::new());
            }
        }
    }

    fn read(&self, secrets: &Secrets) -> TlsSession {
        match dissect(&self.wire.0, &self.wire.1, secrets) {
            Dissected::Tls(session) => session,
            other => panic!("{other:?}"),
        }
    }
}

fn talk(session: &mut Session) -> (Vec<u8>, Vec<u8>) {
    session.carry().unwrap();
    let (request, response) = (vec![b'q'; 40_000], vec![b'r'; 70_000]);
    session.client.writer().write_all(&request).unwrap();
    session.server.writer().write_all(&response[..30_000]).unwrap();
    session.carry().unwrap();
    session.server.refresh_traffic_keys().unwrap();
    session.server.writer().write_all(&response[30_000..]).unwrap();
    session.client.send_close_notify();
    session.carry().unwrap();
    (request, response)
}

#[test]
fn every_suite_is_read_with_its_secrets() {
    for suite in rustls::crypto::ring::ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some()) {
        let mut session = Session::new(*suite, true);
        let (request, response) = talk(&mut session);
        let read = session.read(&session.log.0.lock().unwrap());
        assert!(read.client == request && read.server == response, "{suite:?}");
        assert_eq!(read.server_name.as_deref(), Some("node.test"));
        assert_eq!(read.server_certificates, [session.certificate.to_vec()]);
        assert!(read.handshake_complete && !read.certificate_in_clear && read.sealed_records == 0);
        assert_eq!(read.alerts, [Alert { from: Side::Client, level: 1, description: 0, encrypted: true }]);
    }
}

#[test]
fn traffic_secrets_alone_give_the_application_data() {
    let mut session = Session::new(rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256, true);
    let (request, response) = talk(&mut session);
    let mut partly = session.log.0.lock().unwrap().clone();
    partly.tls.retain(|line| line.label.contains("_TRAFFIC_SECRET_0"));
    let read = session.read(&partly);
    assert!(read.client == request && read.server == response && read.sealed_records > 0);
}

#[test]
fn without_secrets_nothing_is_read() {
    let mut session = Session::new(rustls::crypto::ring::cipher_suite::TLS13_AES_256_GCM_SHA384, true);
    talk(&mut session);
    let mut others = Session::new(rustls::crypto::ring::cipher_suite::TLS13_AES_256_GCM_SHA384, true);
    talk(&mut others);
    for secrets in [Secrets::default(), others.log.0.lock().unwrap().clone()] {
        let read = session.read(&secrets);
        assert!(read.client.is_empty() && read.server.is_empty() && read.server_certificates.is_empty());
        assert!(read.sealed_records > 5 && !read.handshake_complete);
        assert_eq!(plain_streams(&session.wire.0, &session.wire.1, &secrets), []);
    }
}

#[test]
fn a_refused_certificate_shows_as_the_clients_alert() {
    const UNKNOWN_CA: u8 = 48;
    let mut session = Session::new(rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256, false);
    session.carry().unwrap_err();
    let read = session.read(&session.log.0.lock().unwrap());
    assert_eq!(
        read.alerts,
        [Alert { from: Side::Client, level: 2, description: UNKNOWN_CA, encrypted: true }]
    );
    assert!(!read.handshake_complete);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn a_damaged_session_is_read_without_panic(at in 0.0..1.0_f64, byte: u8, side: bool, cut in 0.0..1.0_f64) {
        let mut session = Session::new(rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256, true);
        session.carry().unwrap();
        session.client.writer().write_all(b"request").unwrap();
        session.carry().unwrap();
        let wire = if side { &mut session.wire.0 } else { &mut session.wire.1 };
        let (at, cut) = ((at * wire.len() as f64) as usize, (cut * wire.len() as f64) as usize);
        wire[at] ^= byte;
        wire.truncate(cut);
        let _ = dissect(&session.wire.0, &session.wire.1, &session.log.0.lock().unwrap());
    }
}
