//! The packets of a run in tshark: nothing malformed, no complaint that the simulation does not
//! explain, HTTP in the clear, names, and evidence where it arose.

use super::has;
use ravelin_adversary::Attacker;
use ravelin_assess::Simulated;
use ravelin_assess::model::CapturedPacket;
use ravelin_tests::{Run, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

const SEED: u64 = 42;
const PSH: u8 = 8;
const SYN: u8 = 2;
const ACK: u8 = 16;
const OPENS: &str = "the attacker opens this connection";
const FORGED: &str = "forged by the attacker";

/// A cluster whose apiserver takes any certificate of a kubelet, under two attackers.
static KUBEADM: LazyLock<Written> = LazyLock::new(|| {
    let run = Run::of(Sample::KubeadmDefault.config(), SEED);
    Written::of("interop-kubeadm.pcapng", run.paths(&["apiserver-to-kubelet/logs", "apiserver-to-pod/*"]))
});

/// A run whose packets were written to a file.
struct Written {
    simulated: Simulated,
    file: PathBuf,
}

impl Written {
    fn of(name: &str, run: Run) -> Self {
        let attackers = [Attacker::Eavesdropper, Attacker::Impostor];
        Self::again(name, run.attackers(&attackers).captured().simulate())
    }

    fn again(name: &str, simulated: Simulated) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let bytes = ravelin_report::pcapng(&simulated.report, &simulated.captures);
        std::fs::write(&file, bytes).expect("the tests' own folder can be written");
        Self { simulated, file }
    }

    /// The fields of the packets that a display filter chooses.
    fn fields(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(["-N", "n", "-T", "fields", "-Y", filter]);
        for field in fields {
            command.args(["-e", field]);
        }
        let ran = command.output().expect("tshark starts");
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{errors}");
        let text = String::from_utf8(ran.stdout).expect("tshark writes UTF-8");
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// Every packet, in the order of the file.
    fn packets(&self) -> Vec<&CapturedPacket> {
        self.simulated.captures.iter().flat_map(|capture| &capture.packets).collect()
    }

    /// By their numbers in the file, the SYNs whose ends an earlier connection had: honest
    /// components begin every simulation with the same ports.
    fn of_known_ends(&self) -> BTreeSet<usize> {
        let (mut seen, mut known) = (BTreeSet::new(), BTreeSet::new());
        for (index, packet) in self.packets().into_iter().enumerate() {
            let mut ends = [packet.source, packet.destination];
            ends.sort();
            if packet.flags & SYN != 0 && !seen.insert((ends, packet.flags)) {
                known.insert(index + 1);
            }
        }
        known
    }

    fn numbers_of_noted(&self, note: &str) -> BTreeSet<usize> {
        let noted = self.packets().into_iter().enumerate().filter(|(_, packet)| packet.note == Some(note));
        noted.map(|(index, _)| index + 1).collect()
    }

    /// Nothing is malformed, and TCP's complaints are about what the attacker forged or about ports
    /// that were used before. Gives the numbers of the packets with complaints.
    fn must_be_sound(&self) -> BTreeSet<usize> {
        // Wireshark 4.0 decrypts SSH with a key of zeros where it has none, and finds the result
        // malformed. The key that it wants is the exchange's private one, which nobody logs.
        let malformed = self.fields("_ws.malformed && !ssh", &["frame.number", "frame.protocols"]);
        assert_eq!(malformed, Vec::<Vec<String>>::new());
        let (known, forged) = (self.of_known_ends(), self.numbers_of_noted(FORGED));
        // A reader that was slow says that it has room again: that is no complaint.
        let filter = "tcp.analysis.flags && !tcp.analysis.window_update";
        let complaints = self.fields(filter, &["frame.number", "_ws.col.Info"]);
        let number = |line: &Vec<String>| line[0].parse::<usize>().expect("a frame's number");
        for line in &complaints {
            let number = number(line);
            assert!(known.contains(&number) || forged.contains(&number), "{}: {line:?}", self.file.display());
        }
        complaints.iter().map(number).collect()
    }
}

#[test]
fn tshark_decrypts_what_was_encrypted_and_finds_nothing_wrong() {
    if !has("tshark") {
        return;
    }
    let written = &*KUBEADM;
    written.must_be_sound();
    let captures = &written.simulated.captures;
    let simulations: BTreeSet<&str> = captures.iter().map(|capture| capture.simulation.as_str()).collect();
    assert_eq!(simulations.len(), 2);

    let fields = ["frame.interface_name", "http.request.method", "http.request.uri", "ip.src_host"];
    let asked = written.fields("tls && http.request && tcp.dstport == 10250", &fields);
    for simulation in &simulations {
        let of_it = asked.iter().filter(|line| line[0] == format!("{simulation}/access"));
        let logs = |line: &&Vec<String>| {
            line[1] == "GET" && line[2].starts_with("/containerLogs/") && line[3] == "control-plane"
        };
        assert!(of_it.clone().any(|line| logs(&line)), "{simulation}: {:?}", of_it.collect::<Vec<_>>());
    }
    let answered =
        written.fields("tls && http.response.code == 200 && tcp.srcport == 6443", &["frame.number"]);
    assert!(answered.len() > 100, "{} answers of the apiserver", answered.len());

    let known: BTreeSet<&str> =
        captures.iter().flat_map(|capture| &capture.names).map(|(_, name)| name.as_str()).collect();
    let hosts = written.fields("ip", &["ip.src_host", "ip.dst_host"]);
    assert_eq!(hosts.len(), written.packets().len());
    let unnamed: BTreeSet<_> = hosts.iter().flatten().filter(|host| !known.contains(host.as_str())).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    for name in ["control-plane", "node-1", "web-node-1", "attacker"] {
        assert!(hosts.iter().flatten().any(|host| host == name), "{name}");
    }
}

/// Without the secrets tshark reads nothing, and it misses a segment that is left out.
#[test]
fn what_is_not_in_the_file_tshark_does_not_show() {
    if !has("tshark") {
        return;
    }
    let mut simulated = KUBEADM.simulated.clone();
    simulated.captures.truncate(1);
    let capture = &mut simulated.captures[0];
    capture.secrets.clear();
    let data: Vec<usize> =
        (0..capture.packets.len()).filter(|index| capture.packets[*index].payload.len() > 1000).collect();
    let gone = capture.packets.remove(data[data.len() / 2]);
    let written = Written::again("interop-without.pcapng", simulated);
    assert_eq!(written.fields("tls && http", &["frame.number"]), Vec::<Vec<String>>::new());
    let complaints = written.fields("tcp.analysis.flags", &["tcp.srcport", "tcp.dstport"]);
    let ports = [gone.source.port().to_string(), gone.destination.port().to_string()];
    assert!(complaints.iter().any(|line| ports.iter().all(|port| line.contains(port))), "{complaints:?}");
}

/// Every piece of evidence whose flow was captured is the comment of a packet of its simulation,
/// no later than the evidence.
#[test]
fn evidence_is_the_comment_of_a_packet() {
    if !has("tshark") {
        return;
    }
    let written = &*KUBEADM;
    let fields = ["frame.interface_name", "frame.time_epoch", "frame.comment"];
    let commented = written.fields("frame.comment", &fields);
    let began = written.simulated.captures[0].began_unix_ns / 1_000_000_000;
    let (mut found, mut broken) = (0, 0);
    for verdict in &written.simulated.report.verdicts {
        for (property, of_it) in &verdict.properties {
            for evidence in &of_it.evidence {
                let (tactic, text) = (&evidence.tactic, &evidence.text);
                let state = of_it.state;
                let comment = format!("evidence: {property} {state}");
                let is_it = |line: &&Vec<String>| {
                    let at: f64 = line[1].parse().expect("seconds");
                    let noticed = began as f64 + (evidence.at_ms + 1) as f64 / 1000.0;
                    line[0].starts_with(&format!("{}/", verdict.attacker))
                        && at <= noticed
                        && line[2].contains(&comment)
                        && line[2].contains(&format!("{tactic}: {text} ({})", verdict.name()))
                };
                let there = commented.iter().any(|line| is_it(&line));
                assert!(there, "{} {property} {evidence:?}", verdict.name());
                found += 1;
                broken += usize::from(state == ravelin_oracle::State::Broken);
            }
        }
    }
    assert!(found > 20 && broken > 5, "{found} pieces of evidence, {broken} of what was broken");
    let opened = commented.iter().filter(|line| line[2].contains(OPENS)).count();
    assert_eq!(opened, written.numbers_of_noted(OPENS).len());
}

/// Segments that were forged are the only ones that tshark complains about, and it does.
#[test]
fn tshark_complains_about_forged_segments_and_nothing_else() {
    if !has("tshark") {
        return;
    }
    let run = Run::of(Sample::LegacySshTunnels.config(), SEED)
        .paths(&["apiserver-to-kubelet/logs", "apiserver-to-pod/http"]);
    let written = Written::of("interop-tunnels.pcapng", run);
    written.must_be_sound();
    let forged = written.numbers_of_noted(FORGED);
    assert!(!forged.is_empty(), "the tunnels are cut");
    let told = written.fields(&format!("frame.comment contains \"{FORGED}\""), &["frame.number"]);
    assert_eq!(told.len(), forged.len());
    let http = written.fields("http.request && tcp.dstport == 8080 && !tls", &["http.request.uri"]);
    assert!(!http.is_empty(), "what goes from a tunnel's end to a pod is not encrypted");
}

/// What the victim of a diverted connection hears is one stream with the address it asked.
#[test]
fn a_diverted_connection_is_one_stream_between_victim_and_genuine_address() {
    if !has("tshark") {
        return;
    }
    let written = &*KUBEADM;
    let led = "this connection is led to the attacker, who answers in the server's name";
    let numbers = written.numbers_of_noted(led);
    let streams = written.fields("frame.comment contains \"is led to the attacker\"", &["tcp.stream"]);
    assert!(!streams.is_empty() && streams.len() == numbers.len());
    let chosen: BTreeSet<&str> = streams.iter().map(|line| line[0].as_str()).collect();
    let chosen = chosen.into_iter().collect::<Vec<_>>().join(",");
    let filter = format!("tcp.stream in {{{chosen}}}");
    let lines = written.fields(&filter, &["tcp.stream", "ip.src_host", "tcp.flags", "http.request.uri"]);
    let mut of_stream: BTreeMap<&str, (BTreeSet<&str>, bool, bool)> = BTreeMap::new();
    for line in &lines {
        let (hosts, answered, asked) = of_stream.entry(&line[0]).or_default();
        hosts.insert(&line[1]);
        let flags = u32::from_str_radix(line[2].trim_start_matches("0x"), 16).expect("flags") as u8;
        *answered |= flags & (SYN | ACK) == SYN | ACK || flags & PSH != 0 && line[1] != "control-plane";
        *asked |= line.get(3).is_some_and(|uri| uri.starts_with("/containerLogs/"));
    }
    assert_eq!(of_stream.len(), streams.len());
    for (stream, (hosts, answered, _)) in &of_stream {
        assert!(!hosts.contains("attacker") && hosts.len() == 2 && *answered, "{stream}: {hosts:?}");
    }
    assert!(of_stream.values().any(|(_, _, asked)| *asked), "the apiserver fell for one of them");
}

#[test]
fn the_command_writes_the_file_that_was_asked_for() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("interop-command.pcapng");
    std::fs::write(&file, "what was there before, and is longer than nothing").expect("our own folder");
    let name = file.to_str().expect("the repository's path is text");
    let one = ["simulate", "--path", "user-to-apiserver", "--attacker", "eavesdropper", "--pcap", name];
    let ran = crate::commands::ravelin(&one).output().expect("the binary starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let written = std::fs::read(&file).expect("it was written");
    assert_eq!(written[..4], [0x0a, 0x0d, 0x0d, 0x0a], "a section header");
    assert!(written.len() > 100_000);
    let text = "CLIENT_TRAFFIC_SECRET_0 ";
    assert!(!String::from_utf8_lossy(&ran.stdout).contains(text), "secrets are in the file only");
    assert!(written.windows(text.len()).any(|window| window == text.as_bytes()));
}
