//! Each rule of the file's form, on lines as `ssh-keyscan` and `ssh-keygen -H` write them.

use super::*;
use crate::SshKey;
use ravelin_entropy::Entropy;

fn key(byte: u8) -> SshPublicKey {
    SshKey::generate(&mut Entropy::from_key([byte; 32])).public()
}

fn place(name: &str, port: u16) -> Place<'_> {
    Place { name, address: [10, 0, 0, 1].into(), port }
}

/// The verdict on key 1 for `name` on port 22.
fn judged(lines: &str, name: &str) -> Verdict {
    judged_on(lines, (name, 22))
}

/// As [`judged`]; in `lines`, `K1` and `K2` stand for keys 1 and 2.
fn judged_on(lines: &str, (name, port): (&str, u16)) -> Verdict {
    let lines = lines.replace("K1", &key(1).to_openssh()).replace("K2", &key(2).to_openssh());
    KnownHosts::parse(&lines).unwrap().judge(&place(name, port), &key(1))
}

#[test]
fn names_patterns_and_negations_match_as_in_openssh() {
    for (names, name, expected) in [
        ("node-1", "node-1", Verdict::Known),
        ("node-1", "NODE-1", Verdict::Known),
        ("Node-1", "node-1", Verdict::Known),
        ("node-1", "node-11", Verdict::Unlisted),
        ("node-2,node-1", "node-1", Verdict::Known),
        ("node-?", "node-1", Verdict::Known),
        ("node-?", "node-10", Verdict::Unlisted),
        ("*.example.com", "a.b.example.com", Verdict::Known),
        ("*a*b*", "xxaxxbxx", Verdict::Known),
        ("*a*b*", "xxbxxaxx", Verdict::Unlisted),
        ("*", "anything", Verdict::Known),
        ("node-*,!node-1", "node-1", Verdict::Unlisted),
        ("!node-1,node-*", "node-1", Verdict::Unlisted),
        ("node-*,!node-1", "node-2", Verdict::Known),
        ("!node-1", "node-2", Verdict::Unlisted),
        ("10.0.0.1", "node-1", Verdict::Known),
        ("10.0.0.2", "node-1", Verdict::Unlisted),
    ] {
        assert_eq!(judged(&format!("{names} K1 comment"), name), expected, "{names} for {name}");
    }
}

#[test]
fn another_key_for_the_name_is_a_change_and_the_address_does_not_help() {
    assert_eq!(judged("# of node-1\n\nnode-1 K2\n", "node-1"), Verdict::Changed { line: 3 });
    assert_eq!(judged("node-1 K2\nnode-1 K1\n", "node-1"), Verdict::Known, "several keys are several keys");
    assert_eq!(judged("node-1 K2\n10.0.0.1 K1\n", "node-1"), Verdict::Changed { line: 1 });
}

#[test]
fn another_port_is_another_host() {
    assert_eq!(judged_on("[node-1]:2222 K1", ("node-1", 2222)), Verdict::Known);
    assert_eq!(judged_on("[10.0.0.1]:2222 K1", ("node-1", 2222)), Verdict::Known);
    assert_eq!(judged_on("node-1 K1", ("node-1", 2222)), Verdict::Unlisted);
    assert_eq!(judged_on("[node-1]:2222 K1", ("node-1", 22)), Verdict::Unlisted);
}

/// What `ssh-keygen -H` of OpenSSH 9.2 made of `node-1` and `[node-1]:2222`.
const HASHED_LINES: &str = "\
|1|xyRcU+CVDOciEj5ZW3nBvAzjXBM=|MPfSbDCmJqyugJHlmkscC0TItrQ= K1
|1|0fAKLFf+aoArVtSJsWeOGstCovU=|BN5jJzN4lqkSNnVMWHgwNrc2rOM= K2
";

#[test]
fn hashed_names_are_found_by_their_hash_alone() {
    assert_eq!(judged(HASHED_LINES, "node-1"), Verdict::Known);
    assert_eq!(judged(HASHED_LINES, "node-2"), Verdict::Unlisted);
    assert_eq!(judged_on(HASHED_LINES, ("node-1", 2222)), Verdict::Changed { line: 2 });
}

#[test]
fn a_revoked_key_is_refused_whatever_else_is_said() {
    assert_eq!(judged("node-1 K1\n@revoked * K1\n", "node-1"), Verdict::Revoked { line: 2 });
    assert_eq!(judged("@revoked node-2 K1\nnode-1 K1\n", "node-1"), Verdict::Known);
    assert_eq!(judged("node-1 K1\n@revoked 10.0.0.1 K1\n", "node-1"), Verdict::Revoked { line: 2 });
    assert_eq!(judged("node-1 K1\n@revoked * K2\n", "node-1"), Verdict::Known);
}

#[test]
fn an_authority_vouches_and_is_no_host_key() {
    let lines = format!("@cert-authority node-*,!node-2 {}", key(1).to_openssh());
    let hosts = KnownHosts::parse(&lines).unwrap();
    assert_eq!(hosts.authorities(&place("node-1", 22)), [key(1)]);
    assert_eq!(hosts.authorities(&place("node-2", 22)), []);
    assert_eq!(hosts.judge(&place("node-1", 22), &key(1)), Verdict::Unlisted);
    assert_eq!(hosts.kinds(&place("node-1", 22)), []);
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let good = key(1).to_openssh();
    for bad in [
        "node-1",
        "node-1 ssh-ed25519",
        "node-1 ssh-ed25519 AAAA",
        "@unknown node-1 K1",
        "@revoked K1",
        ",node-1 K1",
        "! K1",
        "|1|not-base64!|x K1",
        "|2|a|b K1",
    ] {
        let text = format!("node-0 {good}\n{}\n", bad.replace("K1", &good));
        assert_eq!(KnownHosts::parse(&text).unwrap_err().line, 2, "{bad}");
    }
}

/// A key of a FIDO token and one of RSA, as `ssh-keygen` writes them.
const OTHER_KINDS: &str = "\
node-1 sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo=
node-1 ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCjrSaJIBxHsaqJfMfbhc/00fJOTTFhReJB7wAcl1pg30Q5sds1ef2YSgrFU3+clWTd323JkBiBXKaqwO4svQp85QuTpmUDTGkzvpfvzPzkZsrNOXm6jyotSp4wm8GliPB5RVjnYPKewsdMFI9zbFIu6TqKIZZiPXDJkKSEepmQoyuKp1OTtGxN0jrPuSQmiHBQ2H9TZU2lIcX5sxZlp9fRI/nlPvuart9NQ7OuFEViB0AiiI8JBGDzjxzRLdvSumsfeuQ3b+4DFk14twD54MxVPS6B0jPaUvgUUdiec595UHp+prpjtcvcLY/SqRksELB12t6n9UdVci3hGXxDIAyt
";

#[test]
fn keys_of_other_kinds_are_kept_and_never_match() {
    assert_eq!(judged(OTHER_KINDS, "node-1"), Verdict::Changed { line: 1 });
    let hosts = KnownHosts::parse(OTHER_KINDS).unwrap();
    assert_eq!(hosts.kinds(&place("node-1", 22)).len(), 2);
}
