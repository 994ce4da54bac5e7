//! Certificates that are taken, and those that are not.

use super::*;

fn key(byte: u8) -> SshKey {
    SshKey::generate(&mut Entropy::from_key([byte; 32]))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn claim(kind: SshCertificateKind) -> SshClaim {
    SshClaim {
        kind,
        key: key(1).public(),
        key_id: "tunnel-1".to_owned(),
        principals: vec!["tunnel".to_owned()],
        from: at(1_000),
        until: at(2_000),
        sources: Vec::new(),
    }
}

fn issue(claim: &SshClaim) -> SshCertificate {
    SshCertificate::issue(&key(9), claim, &mut Entropy::from_key([8; 32]))
}

/// The check of a user's certificate at second 1500, from 10.0.0.5.
fn checked(certificate: &SshCertificate) -> Result<(), CertificateRefused> {
    checked_at(certificate, 1_500)
}

fn checked_at(certificate: &SshCertificate, now: i64) -> Result<(), CertificateRefused> {
    certificate.check(&Expected {
        kind: SshCertificateKind::User,
        authorities: &[key(9).public()],
        names: &["tunnel".to_owned()],
        now: at(now),
        source: Some([10, 0, 0, 5].into()),
    })
}

#[test]
fn a_certificate_is_taken_while_it_is_valid_and_by_whom_it_names() {
    let user = issue(&claim(SshCertificateKind::User));
    assert_eq!(checked(&user), Ok(()));
    assert!(user.may_forward());
    for (now, valid) in [(999, false), (1_000, true), (1_999, true), (2_000, false), (-5, false)] {
        assert_eq!(checked_at(&user, now).is_ok(), valid, "at {now}");
    }
    let other = SshClaim { principals: vec!["root".to_owned()], ..claim(SshCertificateKind::User) };
    assert_eq!(checked(&issue(&other)), Err(CertificateRefused::Principal("tunnel".to_owned())));
    let nobody = SshClaim { principals: Vec::new(), ..claim(SshCertificateKind::User) };
    assert_eq!(checked(&issue(&nobody)), Err(CertificateRefused::Principal("tunnel".to_owned())));
    let host = issue(&claim(SshCertificateKind::Host));
    assert_eq!(checked(&host), Err(CertificateRefused::Kind("user")));
}

#[test]
fn another_authority_and_a_changed_certificate_are_refused() {
    let claim = claim(SshCertificateKind::User);
    let foreign = SshCertificate::issue(&key(66), &claim, &mut Entropy::from_key([8; 32]));
    assert_eq!(checked(&foreign), Err(CertificateRefused::Authority(key(66).public().fingerprint())));
    let bytes = issue(&claim).0.to_bytes().unwrap();
    let place = bytes.windows(8).position(|window| window == b"tunnel-1").unwrap();
    let mut changed = bytes.clone();
    changed[place] ^= 1;
    let changed = SshCertificate(Certificate::from_bytes(&changed).unwrap());
    assert_eq!(checked(&changed), Err(CertificateRefused::Signature));
}

#[test]
fn a_source_address_is_kept_and_unknown_options_are_refused() {
    let from = |sources: &[&str]| {
        let sources = sources.iter().map(|range| range.parse().unwrap()).collect();
        checked(&issue(&SshClaim { sources, ..claim(SshCertificateKind::User) }))
    };
    assert_eq!(from(&["192.0.2.0/24", "10.0.0.0/29"]), Ok(()));
    assert_eq!(from(&["192.0.2.0/24"]), Err(CertificateRefused::Source("10.0.0.5".to_owned())));
    for (value, taken) in [("10.0.0.5", true), ("10.0.0.5/40", false), ("", false), ("*", false)] {
        assert_eq!(from_there(value, Some([10, 0, 0, 5].into())).is_ok(), taken, "{value:?}");
    }
    assert!(from_there("10.0.0.0/8", None).is_err());
    assert!(from_there("10.0.0.0/8", Some("::ffff:10.0.0.1".parse().unwrap())).is_ok());
    assert!(from_there(&vec!["10.0.0.5"; MAX_SOURCES + 1].join(","), Some([10, 0, 0, 5].into())).is_err());

    let mut builder = Builder::new([7; 32], key(1).public().key_data().clone(), 1_000, 2_000).unwrap();
    builder.valid_principal("tunnel").unwrap().critical_option("force-command", "true").unwrap();
    let forced = SshCertificate(builder.sign(&*key(9).private()).unwrap());
    assert_eq!(checked(&forced), Err(CertificateRefused::Option("force-command".to_owned())));
    assert!(!forced.may_forward(), "what is not said is not permitted");
}

#[test]
fn certificates_survive_their_files() {
    let certificate = issue(&claim(SshCertificateKind::User));
    assert_eq!(SshCertificate::from_openssh(&certificate.to_openssh()).unwrap(), certificate);
    assert_eq!((certificate.key_id(), certificate.key()), ("tunnel-1", key(1).public()));
    assert!(SshCertificate::from_openssh(&key(1).public().to_openssh()).is_err());
}
