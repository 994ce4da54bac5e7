//! What certificates, requests and keys are refused for, and that inputs decide them.

use crate::*;
use jiff::{Timestamp, ToSpan};
use ravelin_entropy::Entropy;
use rustls_pki_types::{ServerName, UnixTime};
use std::time::Duration;

const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

fn entropy(seed: u8) -> Entropy {
    Entropy::from_key([seed; 32])
}

fn hours(from_now: i64) -> Timestamp {
    NOW + from_now.hours()
}

fn authority(seed: u8) -> Authority {
    let mut entropy = entropy(seed);
    let key = KeyPair::generate(&mut entropy);
    Authority::new("kubernetes", key, hours(-1), hours(24), &mut entropy)
}

fn profile(usage: Usage) -> Profile {
    Profile {
        subject: Subject::new("system:node:node-1", &["system:nodes", "more"]),
        sans: vec![San::Dns("node-1".to_owned()), San::Ip([10, 0, 0, 5].into())],
        usages: vec![usage],
        not_before: hours(-1),
        not_after: hours(1),
    }
}

fn anchors(authority: &Authority) -> TrustAnchors {
    TrustAnchors::new([authority.certificate()]).unwrap()
}

#[test]
fn client_certificates_are_refused_for_each_fault_and_no_other() {
    let ours = authority(1);
    let trusted = anchors(&ours);
    let judged = |issuer: &Authority, change: &dyn Fn(&mut Profile), at| {
        let mut wanted = profile(Usage::Client);
        change(&mut wanted);
        let identity = issuer.identity(&wanted, &mut entropy(2));
        verify_client(&identity.chain, &trusted, at).map(|peer| peer.common_name().to_owned())
    };
    let same = |_: &mut Profile| {};
    assert_eq!(judged(&ours, &same, NOW).as_deref(), Ok("system:node:node-1"));
    // The same name and another key: what an impostor would make.
    assert_eq!(judged(&authority(9), &same, NOW), Err(PeerRefused::UnknownIssuer));
    assert_eq!(judged(&ours, &same, hours(2)), Err(PeerRefused::Expired));
    assert_eq!(judged(&ours, &same, hours(-2)), Err(PeerRefused::NotYetValid));
    let server = |profile: &mut Profile| profile.usages = vec![Usage::Server];
    assert_eq!(judged(&ours, &server, NOW), Err(PeerRefused::WrongUsage));

    assert_eq!(verify_client(&[], &trusted, NOW), Err(PeerRefused::NoCertificate));
    assert_eq!(verify_client(&[vec![1, 2, 3].into()], &trusted, NOW), Err(PeerRefused::Malformed));
    let own = [ours.certificate()];
    assert_eq!(verify_client(&own, &trusted, NOW), Err(PeerRefused::AuthorityAsClient));
    let itself = self_signed(&profile(Usage::Client), &mut entropy(2));
    assert_eq!(verify_client(&itself.chain, &trusted, NOW), Err(PeerRefused::UnknownIssuer));
    let nobody = TrustAnchors::nobody();
    let good = ours.identity(&profile(Usage::Client), &mut entropy(2));
    assert_eq!(verify_client(&good.chain, &nobody, NOW), Err(PeerRefused::UnknownIssuer));
}

#[test]
fn a_leaf_cannot_issue_certificates() {
    let ours = authority(1);
    let leaf = ours.identity(&profile(Usage::Client), &mut entropy(2));
    let forged = encode::Unsigned {
        profile: &Profile { subject: Subject::new("admin", &[]), ..profile(Usage::Client) },
        public: &SubjectKey::from(leaf.key.own().unwrap().public()),
        issuer: encode::Issuer {
            name: &encode::name(&profile(Usage::Client).subject),
            key: leaf.key.own().unwrap(),
            key_identifier: None,
        },
        is_authority: false,
        serial: [0x41; 16],
    };
    let chain = [forged.sign(), leaf.chain[0].clone()];
    let refused = verify_client(&chain, &anchors(&ours), NOW).unwrap_err();
    assert_ne!(refused, PeerRefused::Malformed);
    assert!(danger_unverified_client(&chain).is_some(), "it can be read, so it was judged");
}

fn judge(trust: &ServerTrust, identity: &Identity, name: &str, at: Timestamp) -> Result<(), String> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second() as u64));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    server_verifier(trust)
        .verify_server_cert(&identity.chain[0], &identity.chain[1..], &name, &[], now)
        .map(drop)
        .map_err(|error| error.to_string())
}

#[test]
fn server_certificates_are_good_for_their_alternative_names_only() {
    let ours = authority(1);
    let trust = ServerTrust::Anchors(anchors(&ours));
    let good = ours.identity(&profile(Usage::Server), &mut entropy(2));
    for (name, at, refused) in [
        ("node-1", NOW, ""),
        ("10.0.0.5", NOW, ""),
        ("node-2", NOW, "certificate not valid for name"),
        ("10.0.0.6", NOW, "certificate not valid for name"),
        ("system:node:node-1", NOW, ""),
        ("node-1", hours(2), "certificate expired"),
        ("node-1", hours(-2), "certificate not valid yet"),
    ] {
        // A common name is no DNS name here; Go would not look at it either.
        if name.contains(':') {
            assert!(ServerName::try_from(name).is_err());
            continue;
        }
        let result = judge(&trust, &good, name, at);
        match refused {
            "" => assert_eq!(result, Ok(()), "{name}"),
            text => assert!(result.unwrap_err().contains(text), "{name}"),
        }
    }
    let only_dns = Profile { sans: vec![San::Dns("10.0.0.5".to_owned())], ..profile(Usage::Server) };
    let confused = ours.identity(&only_dns, &mut entropy(2));
    assert!(judge(&trust, &confused, "10.0.0.5", NOW).is_err(), "an address needs an address");
    let no_names = Profile { subject: Subject::new("node-1", &[]), sans: vec![], ..only_dns };
    let nameless = ours.identity(&no_names, &mut entropy(2));
    assert!(judge(&trust, &nameless, "node-1", NOW).is_err(), "the common name counts for nothing");
    let client = ours.identity(&profile(Usage::Client), &mut entropy(2));
    assert!(judge(&trust, &client, "node-1", NOW).is_err(), "a client's is not a server's");
    let foreign = authority(9).identity(&profile(Usage::Server), &mut entropy(2));
    assert!(judge(&trust, &foreign, "node-1", NOW).unwrap_err().contains("UnknownIssuer"));
    assert_eq!(judge(&ServerTrust::DangerAny, &foreign, "other", NOW), Ok(()));
}

#[test]
fn each_check_of_a_server_can_be_added_or_left_out_alone() {
    let (ours, theirs) = (authority(1), authority(2));
    let identity = |authority: &Authority| authority.identity(&profile(Usage::Server), &mut entropy(3));
    let judge = |trust: &ServerTrust, identity: &Identity, name: &str| judge(trust, identity, name, NOW);
    let (good, foreign) = (identity(&ours), identity(&theirs));
    let named = profile(Usage::Server).subject.common_name;
    let strict = ServerTrust::Anchors(anchors(&ours));
    let (nameless, of_holder, of_other) = (
        strict.clone().danger_any_name(),
        strict.clone().with_common_name(named.clone()),
        strict.clone().with_common_name("system:node:other"),
    );
    let own = profile(Usage::Server).sans[0].to_string();
    assert_eq!(judge(&nameless, &good, "elsewhere"), Ok(()));
    assert!(judge(&nameless, &foreign, "elsewhere").unwrap_err().contains("UnknownIssuer"));
    assert_eq!(judge(&of_holder, &good, &own), Ok(()));
    assert!(judge(&of_holder, &good, "elsewhere").unwrap_err().contains("certificate not valid for name"));
    assert!(judge(&of_holder, &foreign, &own).unwrap_err().contains("UnknownIssuer"));
    assert!(judge(&of_other, &good, &own).unwrap_err().contains("WrongCommonName"));
    let holder_alone = nameless.with_common_name("system:node:other");
    assert!(judge(&holder_alone, &good, "elsewhere").unwrap_err().contains("WrongCommonName"));
    let anybody = ServerTrust::DangerAny.with_common_name("system:node:other");
    assert_eq!(judge(&anybody, &foreign, "elsewhere"), Ok(()));
}

#[test]
fn the_same_entropy_makes_the_same_certificates() {
    let make = |seed| {
        let authority = authority(seed);
        let identity = authority.identity(&profile(Usage::Server), &mut entropy(seed));
        (authority.certificate_pem(), identity.chain_pem(), identity.key_pem())
    };
    assert_eq!(make(1), make(1));
    let (one, two) = (make(1), make(2));
    assert!(one.0 != two.0 && one.1 != two.1 && one.2 != two.2);
}

#[test]
fn a_certificate_says_what_it_was_issued_for() {
    let ours = authority(1);
    let identity = ours.identity(&profile(Usage::Client), &mut entropy(2));
    let seen = inspect(&identity.chain[0]).unwrap();
    assert_eq!(seen.subject, profile(Usage::Client).subject, "every organization is there");
    assert_eq!(seen.sans, profile(Usage::Client).sans);
    assert_eq!((seen.not_before, seen.not_after), (hours(-1), hours(1)));
    assert_eq!(seen.issuer, "CN=kubernetes");
    assert!(!seen.is_ca && inspect(&ours.certificate()).unwrap().is_ca);
    let peer = verify_client(&identity.chain, &anchors(&ours), NOW).unwrap();
    assert_eq!(peer.organizations(), ["system:nodes", "more"]);
    assert_eq!(peer.serial(), seen.serial);
}

#[test]
fn keys_and_identities_survive_pem() {
    let key = KeyPair::generate(&mut entropy(1));
    let back = KeyPair::from_pem(&key.to_pem()).unwrap();
    let signature = back.sign_raw(b"message");
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    assert!(public.verify_raw(b"message", &signature));
    assert!(!public.verify_raw(b"messagf", &signature));
    assert!(!public.verify_raw(b"message", &signature[..63]));
    assert!(KeyPair::from_pem(&key.public_pem()).is_err());
    assert!(!format!("{key:?}").contains("PRIVATE") && !key.to_pem().is_empty());

    let ours = authority(1);
    let identity = ours.identity(&profile(Usage::Client), &mut entropy(2));
    let (chain, pem) = (identity.chain_pem(), identity.key_pem());
    assert_eq!(Identity::from_pem(&chain, &pem).unwrap().chain, identity.chain);
    let again = Authority::from_pem(&ours.certificate_pem(), &ours.key().to_pem()).unwrap();
    let issued = again.identity(&profile(Usage::Client), &mut entropy(2));
    assert_eq!(issued.chain, identity.chain);
    let leaf = Authority::from_pem(&chain, &pem).map(drop);
    assert_eq!(leaf, Err(MaterialError::NoAuthority));
    let mismatch = Identity::from_pem(&chain, &key.to_pem()).map(drop);
    assert_eq!(mismatch, Err(MaterialError::KeyMismatch));
    assert!(TrustAnchors::from_pem("").is_err(), "an empty bundle is an error, not nobody");
}

#[test]
fn signing_requests_ask_for_a_subject_and_names_only() {
    let key = KeyPair::generate(&mut entropy(1));
    let wanted = profile(Usage::Server);
    let pem = SigningRequest::create(&wanted.subject, &wanted.sans, &key);
    let request = SigningRequest::parse(&pem).unwrap();
    assert_eq!((&request.subject, &request.sans), (&wanted.subject, &wanted.sans));
    assert_eq!(request.public_key, *key.public());

    let tampered = pem.replacen("MIIB", "MIIC", 1);
    assert!(tampered != pem && SigningRequest::parse(&tampered).is_err());
    assert_eq!(SigningRequest::parse("hello"), Err(RequestRefused::Malformed));
    let empty = Subject::new("x", &[]);
    assert_eq!(SigningRequest::parse(&SigningRequest::create(&empty, &[], &key)).unwrap().sans, []);
}

#[test]
fn what_else_a_signing_request_asks_for_is_seen_and_never_granted() {
    use x509_cert::ext::ToExtension;
    use x509_cert::ext::pkix::name::GeneralName;
    use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName};
    let key = KeyPair::generate(&mut entropy(1));
    let subject = Subject::new("x", &[]);
    let name = encode::name(&subject);
    let ca = BasicConstraints { ca: true, path_len_constraint: None };
    let signs = KeyUsage(KeyUsages::KeyCertSign.into());
    let mail = GeneralName::Rfc822Name(x509_cert::der::asn1::Ia5String::new("a@example.com").unwrap());
    let extensions = vec![
        (true, &ca).to_extension(&name, &[]).unwrap(),
        (true, &signs).to_extension(&name, &[]).unwrap(),
        (false, &SubjectAltName(vec![mail])).to_extension(&name, &[]).unwrap(),
    ];
    let pem = request::signed(&subject, extensions, (key.public(), &key));
    let request = SigningRequest::parse(&pem).unwrap();
    assert!(request.asks_for_authority && request.has_emails && !request.has_uris);
    assert_eq!(request.sans, []);
    let (authority, profile) = (authority(1), profile(Usage::Client));
    let issued = authority.issue(&profile, &request.public_key, &mut entropy(2));
    assert!(!inspect(&issued).unwrap().is_ca);
    assert!(
        inspect(&authority.danger_issue_authority(&profile, &request.public_key, &mut entropy(2)))
            .unwrap()
            .is_ca
    );
}

/// Made with `openssl req -new -newkey …`.
#[test]
fn requests_for_other_kinds_of_keys_are_read() {
    for (kind, pem) in [
        ("rsa", include_str!("tests/rsa-2048.csr")),
        ("p384", include_str!("tests/p384.csr")),
        ("ed25519", include_str!("tests/ed25519.csr")),
    ] {
        let request = SigningRequest::parse(pem).unwrap_or_else(|refused| panic!("{kind}: {refused}"));
        assert_eq!(request.subject, Subject::new("alice", &["dev"]), "{kind}");
        let issued = authority(1).issue(&profile(Usage::Client), &request.public_key, &mut entropy(2));
        let info = inspect(&issued).unwrap().public_key_der;
        assert!(pem_holds(pem, &info), "{kind}: the certificate is for another key");
    }
}

fn pem_holds(pem: &str, part: &[u8]) -> bool {
    use rustls_pki_types::pem::PemObject;
    let der = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
    der.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_request_signed_by_another_key_is_refused() {
    let (key, other) = (KeyPair::generate(&mut entropy(1)), KeyPair::generate(&mut entropy(2)));
    let subject = Subject::new("system:node:node-1", &["system:nodes"]);
    let stolen = request::signed(&subject, vec![], (key.public(), &other));
    assert_eq!(SigningRequest::parse(&stolen), Err(RequestRefused::Signature));
    let own = request::signed(&subject, vec![], (key.public(), &key));
    assert!(SigningRequest::parse(&own).is_ok());
}

#[test]
fn a_key_share_of_small_order_is_refused() {
    let group = provider().kx_groups[0];
    let refused = |peer: &[u8]| group.start().unwrap().complete(peer).is_err();
    assert!(refused(&[0; 32]));
    assert!(refused(&[9; 31]));
    let peer = group.start().unwrap();
    assert!(!refused(peer.pub_key()));
}

/// A key as kubeadm makes them, for tests alone.
const RSA_KEY: &str = include_str!("tests/rsa.key");
const RSA_PUBLIC: &str = include_str!("tests/rsa.pub");

#[test]
fn an_rsa_key_of_others_is_an_identitys_and_signs_nothing_else() {
    let (ours, entropy) = (authority(1), &mut entropy(2));
    let public = PublicKey::from_pem(RSA_PUBLIC).unwrap();
    let chain = certificates_to_pem(&[ours.issue(&profile(Usage::Client), &public, entropy)]);
    let identity = Identity::from_pem(&chain, RSA_KEY).unwrap();
    assert!(identity.key.own().is_none());
    assert_eq!(identity.key_pem(), RSA_KEY);
    assert_eq!(verify_client(&identity.chain, &anchors(&ours), NOW).map(drop), Ok(()));
    let offered = [rustls::SignatureScheme::RSA_PSS_SHA256];
    let signer = identity.certified_key().key.choose_scheme(&offered);
    assert!(signer.is_some_and(|signer| signer.sign(b"message").is_ok()));

    let another = ours.identity(&profile(Usage::Client), entropy);
    let mismatch = |chain: &str, key: &str| Identity::from_pem(chain, key).err();
    assert_eq!(mismatch(&another.chain_pem(), RSA_KEY), Some(MaterialError::KeyMismatch));
    assert_eq!(mismatch(&chain, &another.key_pem()), Some(MaterialError::KeyMismatch));
    assert!(KeyPair::from_pem(RSA_KEY).is_err());
    assert!(Authority::from_pem(&chain, RSA_KEY).is_err());
    assert!(!format!("{identity:?} {:?}", identity.key).contains("PRIVATE"));
}
