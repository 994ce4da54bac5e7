//! OpenSSH's client and a node's SSH server of ours.

use super::{Node, PATIENCE, errors, free_port, program};
use crate::commands::sha256_of;
use ravelin_tunnel::{Forwarding, NodeTargets, SshCertificate};
use std::io::{BufRead, BufReader, Read, Write};
#[allow(clippy::disallowed_types, reason = "what a real ssh forwards is reached as its user would")]
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc;

/// Bytes that do not repeat soon.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn ssh_w_carries_bytes_both_ways() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("w", |_, _| {});
    let sent = bytes(8_000_000);
    let ran = node.ran(&["-W", &Node::at(node.kubelet)], &sent);
    assert!(ran.status.success(), "{}", errors(&ran));
    assert_eq!(sha256_of(&ran.stdout), sha256_of(&sent));
}

/// `ssh` is asked to pause, which it does not know: nothing is lost by that.
#[test]
fn a_target_that_is_late_gets_everything_from_ssh() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("late", |_, _| {});
    let sent = bytes(8_000_000);
    let ran = node.ran(&["-W", &Node::at(node.late)], &sent);
    assert!(ran.status.success(), "{}", errors(&ran));
    assert_eq!(sha256_of(&ran.stdout), sha256_of(&sent));
}

/// `ssh -N -L`, until it is dropped.
struct Forwarder(Child);

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `ssh` says that it forwards.
fn forwards(messages: ChildStderr) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(messages).lines().map_while(Result::ok) {
            if line.contains("Entering interactive session") {
                // Nobody waits for it twice.
                let _ = tell.send(());
            }
        }
    });
    told.recv_timeout(PATIENCE).expect("ssh forwards");
}

#[test]
#[allow(clippy::disallowed_types, reason = "a person's program at a forwarded port")]
fn ssh_l_forwards_many_connections_at_once() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("l", |_, _| {});
    let local = free_port();
    let forward = format!("127.0.0.1:{local}:{}", Node::at(node.kubelet));
    let mut command = node.ssh(&["-N", "-L", &forward, "tunnel@127.0.0.1"]);
    let mut child =
        command.arg("-v").stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("ssh starts");
    let messages = child.stderr.take().expect("it is piped");
    let _forwarder = Forwarder(child);
    forwards(messages);
    let threads: Vec<_> = (0..40_u8)
        .map(|number| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", local)).expect("it is forwarded");
                let sent = vec![number; 300_000];
                let mut writer = stream.try_clone().expect("a socket can be held twice");
                let copy = sent.clone();
                let writing = std::thread::spawn(move || {
                    writer.write_all(&copy).expect("it is read");
                    writer.shutdown(std::net::Shutdown::Write).expect("it is open");
                });
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).expect("it ends well");
                writing.join().expect("it did not panic");
                assert!(heard == sent, "connection {number} heard what it did not say");
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("its bytes are its own");
    }
}

#[test]
fn nothing_but_allowed_targets_is_given() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("refused", |_, _| {});
    for target in
        [Node::at(node.other), Node::at(node.port), "192.0.2.1:443".to_owned(), "localhost:1".to_owned()]
    {
        let ran = node.ran(&["-W", &target], b"");
        assert!(!ran.status.success(), "{target}");
        assert!(errors(&ran).contains("administratively prohibited"), "{target}: {}", errors(&ran));
    }
    let by_name = node.ran(&["-W", &format!("localhost:{}", node.kubelet)], b"hello");
    assert_eq!(by_name.stdout, b"hello", "{}", errors(&by_name));

    for (arguments, command) in [
        (&[][..], &["true"][..]),
        (&["-tt"], &[]),
        (&["-A"], &["true"]),
        (&["-X"], &["true"]),
        (&["-s"], &["sftp"]),
        (&["-o", "SendEnv=LANG"], &["env"]),
    ] {
        let ran = node.executed(arguments, command);
        assert_eq!(ran.status.code(), Some(255), "{arguments:?} {command:?}");
        assert!(ran.stdout.is_empty(), "{arguments:?} {command:?}");
        let said = errors(&ran);
        assert!(said.contains("administratively prohibited") || said.contains("open failed"), "{said}");
    }
    let back = node.ran(&["-N", "-R", &format!("{}:127.0.0.1:{}", free_port(), node.kubelet)], b"");
    assert_eq!(back.status.code(), Some(255));
    assert!(errors(&back).contains("remote port forwarding failed"), "{}", errors(&back));
}

#[test]
fn another_key_and_another_user_are_not_let_in() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("users", |_, _| {});
    let target = Node::at(node.kubelet);
    node.folder.key("stranger");
    let stranger = node.folder.file("stranger");
    let identity = format!("IdentityFile={stranger}");
    let command = &mut node.ssh(&["-W", &target, "-l", "root", "127.0.0.1"]);
    let other_user = super::super::rig::finished(command.stdin(Stdio::null()), b"");
    assert!(errors(&other_user).contains("Permission denied (publickey)"), "{}", errors(&other_user));
    // `-i` adds to it: the right key must be out of the way.
    std::fs::remove_file(node.folder.file("user")).expect("it is there");
    std::fs::remove_file(node.folder.file("user.pub")).expect("it is there");
    let other_key = node.ran(&["-o", &identity, "-W", &target], b"");
    assert!(errors(&other_key).contains("Permission denied (publickey)"), "{}", errors(&other_key));
}

#[test]
fn a_host_key_is_known_or_the_client_goes() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("known", |_, _| {});
    let target = Node::at(node.kubelet);
    let other = super::new_key();
    let line = format!("[127.0.0.1]:{} {}\n", node.port, other.public().to_openssh());
    node.folder.write("known_hosts", &line);
    let ran = node.ran(&["-W", &target], b"");
    assert!(errors(&ran).contains("Host key verification failed"), "{}", errors(&ran));
}

#[test]
fn a_host_certificate_stands_for_a_known_key() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("host-certificate", |folder, config| {
        folder.key("authority");
        let names = ["-s", "authority", "-I", "node-1", "-h", "-n", "127.0.0.1", "-V", "-1h:+1d", "host.pub"];
        folder.keygen(&names);
        let certificate = SshCertificate::from_openssh(&folder.read("host-cert.pub"));
        config.host_certificate = Some(certificate.expect("ssh-keygen's certificates can be read"));
        let authority = folder.read("authority.pub");
        folder.write("known_hosts", &format!("@cert-authority * {authority}"));
    });
    let ran = node.ran(&["-W", &Node::at(node.kubelet)], b"hello");
    assert_eq!(ran.stdout, b"hello", "{}", errors(&ran));
    node.folder.key("stranger");
    let stranger = node.folder.read("stranger.pub");
    node.folder.write("known_hosts", &format!("@cert-authority * {stranger}"));
    let ran = node.ran(&["-W", &Node::at(node.kubelet)], b"hello");
    assert!(errors(&ran).contains("Host key verification failed"), "{}", errors(&ran));
}

/// What `ssh-keygen` is told of a user's certificate besides name and key, and whether it is let in.
const CERTIFICATES: [(&str, &[&str], bool); 7] = [
    ("good", &["-n", "tunnel", "-V", "-1h:+1h"], true),
    ("from here", &["-n", "tunnel", "-V", "-1h:+1h", "-O", "source-address=127.0.0.0/8"], true),
    ("other name", &["-n", "root", "-V", "-1h:+1h"], false),
    ("over", &["-n", "tunnel", "-V", "-2h:-1h"], false),
    ("not yet", &["-n", "tunnel", "-V", "+1h:+2h"], false),
    ("from elsewhere", &["-n", "tunnel", "-V", "-1h:+1h", "-O", "source-address=192.0.2.0/24"], false),
    ("forced", &["-n", "tunnel", "-V", "-1h:+1h", "-O", "force-command=true"], false),
];

#[test]
fn user_certificates_let_in_whom_they_name() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("user-certificate", |folder, config| {
        config.user_authorities = vec![folder.key("authority").public()];
        config.authorized_keys = Vec::new();
        folder.key("stranger");
    });
    let target = Node::at(node.kubelet);
    let bare = node.ran(&["-W", &target], b"");
    assert!(errors(&bare).contains("Permission denied (publickey)"), "{}", errors(&bare));
    let certified = |authority: &str, options: &[&str]| {
        let _ = std::fs::remove_file(node.folder.file("user-cert.pub"));
        let start = ["-s", authority, "-I", "somebody"];
        node.folder.keygen(&[&start, options, &["user.pub"]].concat());
        let file = format!("CertificateFile={}", node.folder.file("user-cert.pub"));
        node.ran(&["-o", &file, "-W", &target], b"hello")
    };
    for (what, options, taken) in CERTIFICATES {
        let ran = certified("authority", options);
        assert_eq!(ran.stdout == b"hello", taken, "{what}: {}", errors(&ran));
        assert_eq!(
            errors(&ran).contains("Permission denied (publickey)"),
            !taken,
            "{what}: {}",
            errors(&ran)
        );
    }
    let foreign = certified("stranger", &["-n", "tunnel", "-V", "-1h:+1h"]);
    assert!(errors(&foreign).contains("Permission denied (publickey)"), "{}", errors(&foreign));
    let no_forwarding =
        certified("authority", &["-n", "tunnel", "-V", "-1h:+1h", "-O", "no-port-forwarding"]);
    assert!(errors(&no_forwarding).contains("administratively prohibited"), "{}", errors(&no_forwarding));
}

#[test]
fn the_legacy_far_end_leads_anywhere() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("anywhere", |_, config| config.forwarding = Forwarding::DangerAnywhere);
    let ran = node.ran(&["-W", &Node::at(node.other)], b"hello");
    assert_eq!(ran.stdout, b"hello", "{}", errors(&ran));
    let strict = Node::start("somewhere", |_, config| {
        config.forwarding = Forwarding::To(NodeTargets {
            pods: vec!["127.0.0.0/8".parse().unwrap()],
            ..NodeTargets::default()
        });
    });
    let ran = strict.ran(&["-W", &Node::at(strict.other)], b"hello");
    assert!(errors(&ran).contains("administratively prohibited"), "the loopback is the node's, not a pod's");
}

#[test]
fn keys_are_exchanged_anew_while_bytes_flow() {
    if program("ssh").is_none() {
        return;
    }
    let node = Node::start("rekey", |_, _| {});
    let sent = bytes(if crate::is_deep() { 64_000_000 } else { 12_000_000 });
    let ran = node.ran(&["-v", "-o", "RekeyLimit=1M", "-W", &Node::at(node.kubelet)], &sent);
    assert!(ran.status.success(), "{}", errors(&ran));
    assert_eq!(sha256_of(&ran.stdout), sha256_of(&sent));
    let exchanges = errors(&ran).matches("SSH2_MSG_NEWKEYS received").count();
    assert!(exchanges > 5, "{exchanges}");
}
