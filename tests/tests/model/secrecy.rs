//! Nothing that opens anything crosses an untrusted segment in clear, and no probe's secret does,
//! unless the model calls that path clear. Whole runs are looked at, from the first packet on.

use async_trait::async_trait;
use ravelin_adversary::{Attacker, Field, Holdings, Probe, Tactic, Target};
use ravelin_assess::model::PathOutcome;
use ravelin_assess::{Path, Tampering, UnitPlan, UnitRun, run_tampered};
use ravelin_host::Flaws;
use ravelin_oracle::Attempt;
use ravelin_oracle::dissect::plain_streams;
use ravelin_pki::KeyPair;
use ravelin_tests::model::{self, Facts, Property, Rules, State, Way};
use ravelin_tests::{Sample, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// What there is to read on untrusted segments: as it crossed, and decrypted with the run's own keys.
#[derive(Clone, Default)]
struct Heard {
    wire: Vec<u8>,
    inside: Vec<u8>,
}

/// Keeps what was heard, at each path all since the beginning.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Heard>>);

impl Tampering for Listener {
    fn tactics(&self, _: Attacker, _: &Holdings, _: &Target) -> Vec<Box<dyn Tactic>> {
        vec![Box::new(self.clone())]
    }
}

#[async_trait(?Send)]
impl Tactic for Listener {
    fn name(&self) -> &'static str {
        "listen"
    }

    async fn run(&self, field: &Field, _: &Target, probe: Probe<'_>) -> Attempt {
        probe.await;
        let (mut heard, keys) = (Heard::default(), field.referee_secrets());
        for flow in field.wire().flows() {
            heard.wire.extend(flow.from_client.iter().chain(&flow.from_server));
            for stream in plain_streams(&flow.from_client, &flow.from_server, &keys) {
                heard.inside.extend(stream.client.iter().chain(&stream.server));
            }
        }
        *self.0.lock().expect("nobody else holds it") = heard;
        Attempt::default()
    }
}

/// The kinds of secrets in some bytes, and how many of each.
fn secrets_in(bytes: &[u8]) -> BTreeMap<&'static str, usize> {
    /// PKCS #8 of a P-256 key (RFC 5958, RFC 5915), from its algorithm to where the secret begins.
    const DER: &[u8] = &[
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01,
        0x04, 0x20,
    ];
    let needles: [(&'static str, &[u8]); 5] = [
        ("private key in PEM", b"PRIVATE KEY-----"),
        // The same in a Secret: base64 of `-----BEGIN PRIVATE KEY`, and of `-----BEGIN EC PRIV`.
        ("private key in PEM", b"LS0tLS1CRUdJTiBQUklWQVRF"),
        ("private key in PEM", b"LS0tLS1CRUdJTiBFQyBQUklW"),
        ("private key in DER", DER),
        ("private key of SSH", b"openssh-key-v1"),
    ];
    let mut found = BTreeMap::new();
    for (kind, needle) in needles {
        let count = bytes.windows(needle.len()).filter(|window| *window == needle).count();
        if count > 0 {
            *found.entry(kind).or_default() += count;
        }
    }
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    for word in bytes.split(|byte| !is_word(byte)) {
        let parts: Vec<&[u8]> = word.split(|byte| *byte == b'.').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let plain = |part: &&[u8]| part.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let kind = match lengths[..] {
            [head, claims, _] if word.starts_with(b"eyJ") && head > 10 && claims > 10 => "JSON web token",
            [6, 16] if parts.iter().all(plain) => "bootstrap token",
            _ => continue,
        };
        *found.entry(kind).or_default() += 1;
    }
    found
}

/// An ordinary run with a listener on every path.
fn listened(sample: Sample) -> (UnitRun, Heard) {
    let plan = plan(&sample.config(), Attacker::Eavesdropper, (Flaws::none(), 71));
    let paths = Path::ALL.into_iter().filter(|path| !path.is_asked_directly()).collect();
    let listener = Listener::default();
    let run = run_tampered(UnitPlan { paths, ..plan }, listener.clone()).expect("the simulation ends");
    let heard = listener.0.lock().expect("the simulation has ended").clone();
    (run, heard)
}

#[test]
fn nothing_secret_crosses_in_clear_where_the_model_does_not_say_so() {
    let (rules, mut clear, mut hidden) = (Rules::read(), BTreeSet::new(), BTreeSet::new());
    for sample in Sample::ALL {
        let (run, heard) = listened(sample);
        no_credential_in_clear(sample, &heard);
        let facts = Facts::of(&sample.config(), 3, (true, true));
        for path in run.paths.iter().filter(|path| path.state == PathOutcome::Works) {
            let way = Way::named(path.path.name()).expect("the model knows every path");
            let seen = &path.rounds[0].seen;
            let secrets =
                [(Property::RequestSecret, &seen.request), (Property::ResponseSecret, &seen.response)];
            for (property, secret) in secrets {
                let said = rules.state(&facts, (way, model::Attacker::Eavesdropper, property)).then;
                let found = secret.is_in(&heard.wire);
                assert_eq!(found, said == State::Broken, "{} {way} {property}", sample.name());
                (if found { &mut clear } else { &mut hidden }).insert((sample, way, property));
            }
        }
    }
    assert!(clear.len() >= 12 && hidden.len() >= 40, "{} in clear, {} hidden", clear.len(), hidden.len());
}

/// No token and no key can be read. That there were some, and that they would have been found,
/// shows inside of what was encrypted.
fn no_credential_in_clear(sample: Sample, heard: &Heard) {
    assert!(heard.wire.len() > 100_000, "{}: only {} bytes", sample.name(), heard.wire.len());
    assert_eq!(secrets_in(&heard.wire), BTreeMap::new(), "{}", sample.name());
    let inside = secrets_in(&heard.inside);
    for kind in ["JSON web token", "bootstrap token"] {
        assert!(inside.contains_key(kind), "{}: no {kind} travelled: {inside:?}", sample.name());
    }
}

#[test]
fn every_kind_of_secret_is_recognized() {
    let pem = KeyPair::generate(&mut ravelin_entropy::stream(&["recognized"])).to_pem();
    let der: Vec<u8> = {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        base64(&body)
    };
    let table: [(&[u8], &str); 6] = [
        (pem.as_bytes(), "private key in PEM"),
        (&der, "private key in DER"),
        (b"\"data\": \"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t\"", "private key in PEM"),
        (b"\0openssh-key-v1\0", "private key of SSH"),
        (b"Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJrIn0abc.c2ln\r\n", "JSON web token"),
        (b"Bearer abcdef.0123456789abcdef\r\n", "bootstrap token"),
    ];
    for (bytes, kind) in table {
        assert_eq!(secrets_in(bytes).into_keys().collect::<Vec<_>>(), [kind]);
    }
    assert_eq!(
        secrets_in(b"GET /api/v1/namespaces/ravelin/pods HTTP/1.1\r\nhost: kubernetes.default\r\n"),
        BTreeMap::new()
    );
}

/// Reads base64 (RFC 4648 section 4).
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut bytes) = (0_u32, Vec::new());
    let digits = text.bytes().filter_map(|digit| ALPHABET.iter().position(|known| *known == digit));
    for (number, digit) in digits.enumerate() {
        bits = bits << 6 | u32::try_from(digit).expect("there are 64 digits");
        if number % 4 > 0 {
            bytes.push((bits >> (6 - 2 * (number % 4))) as u8);
        }
    }
    bytes
}
