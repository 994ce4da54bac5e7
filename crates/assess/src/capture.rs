//! What a simulation's wire carried, as [`Capture`] holds it.

use crate::model::{Capture, CapturedPacket};
use crate::stage::Stage;
use ravelin_cluster::Demo;
use ravelin_host::SessionSecret;
use ravelin_sim::{Flags, PacketRecord, Segment, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The names of the pods that run, by address: only the cluster knows them.
pub fn pod_names(stage: &Stage) -> Vec<(IpAddr, String)> {
    let pods = [Demo::Web, Demo::Logger, Demo::Client, Demo::Shell].map(|demo| stage.all_pods(demo));
    let demo = pods.into_iter().flatten().map(|pod| (pod.address, pod.name));
    let tenant = stage.cluster.tenant().map(|tenant| (tenant.address, tenant.name));
    demo.chain(tenant).collect()
}

/// All packets so far.
pub fn of(world: &World, simulation: &str, pods: Vec<(IpAddr, String)>) -> Capture {
    let mut names = BTreeMap::new();
    for machine in world.machines() {
        for address in world.host(machine).addresses() {
            names.insert(address, machine.to_owned());
        }
    }
    names.extend(pods);
    let records = world.wire().packets();
    let segments: Vec<Segment> =
        records.iter().map(|packet| packet.segment).collect::<BTreeSet<_>>().into_iter().collect();
    let diverted: BTreeSet<u64> =
        world.wire().flows().iter().filter(|flow| flow.diverted).map(|flow| flow.id).collect();
    let packets = records.into_iter().map(|packet| {
        let segment = segments.binary_search(&packet.segment).expect("it is one of the packets' segments");
        captured(packet, segment, &diverted)
    });
    let began = world.now().as_nanosecond() - i128::try_from(world.elapsed().as_nanos()).unwrap_or(0);
    Capture {
        simulation: simulation.to_owned(),
        began_unix_ns: u64::try_from(began).unwrap_or(0),
        names: names.into_iter().collect(),
        packets: packets.collect(),
        segments: segments.iter().map(ToString::to_string).collect(),
        secrets: key_log(&world.secrets()),
    }
}

fn captured(packet: PacketRecord, segment: usize, diverted: &BTreeSet<u64>) -> CapturedPacket {
    let opens = packet.flags.syn && !packet.flags.ack;
    let note = match packet.flow {
        0 => Some("forged by the attacker"),
        _ if opens && packet.by_attacker => Some("the attacker opens this connection"),
        flow if opens && diverted.contains(&flow) => {
            Some("this connection is led to the attacker, who answers in the server's name")
        }
        _ => None,
    };
    CapturedPacket {
        at: packet.at,
        segment,
        source: packet.source,
        destination: packet.destination,
        flags: bits(packet.flags),
        seq: packet.seq,
        ack: packet.ack,
        window: packet.window,
        payload: packet.payload,
        note,
    }
}

/// The flags as they stand in a header (RFC 9293 section 3.1).
fn bits(flags: Flags) -> u8 {
    let Flags { syn, ack, fin, rst, psh } = flags;
    let all = [fin, syn, rst, psh, ack];
    all.iter().enumerate().fold(0, |bits, (place, set)| bits | u8::from(*set) << place)
}

/// Lines of a key log, each once: both ends of a session log the same.
fn key_log(secrets: &[SessionSecret]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let lines = secrets.iter().filter_map(|secret| match secret {
        SessionSecret::Tls { label, client_random, secret } => {
            Some(format!("{label} {} {}", hex(client_random), hex(secret)))
        }
        _ => None,
    });
    lines.filter(|line| known.insert(line.clone())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
