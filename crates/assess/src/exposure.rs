//! Counting the packets of a path that an attacker touches.

use crate::stage::Stage;
use ravelin_adversary::{Attacker, Target};

/// How many packets of the path the attacker touched, of those that came after the first `before`.
/// Its own are not the path's, unless it is the path's client: then those count that it was
/// answered.
pub fn count(stage: &Stage, target: &Target, attacker: Attacker, before: usize) -> u64 {
    let own = stage.attackers_addresses();
    let packets = stage.world.wire().packets_since(before);
    let ours = packets.iter().filter(|packet| {
        let (from, to) = (packet.source, packet.destination);
        if target.is_asked_directly {
            return target.servers.contains(&from) && own.contains(&to.ip());
        }
        if attacker.is_on_the_path() {
            return packet.touched && !packet.by_attacker && target.joins(from.ip(), to.ip());
        }
        // Who is not on the path has only what comes to its own addresses.
        target.ends.0.contains(&from.ip()) && own.contains(&to.ip()) && packet.flags.syn && !packet.flags.ack
    });
    ours.count() as u64
}
