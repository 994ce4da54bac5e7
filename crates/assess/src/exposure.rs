//! Counting the packets of a path on the segments that an attacker touches.

use crate::stage::Stage;
use ravelin_adversary::Target;
use ravelin_sim::Untrusted;

/// How many packets of the path crossed an untrusted segment, of those that came after the first
/// `before`. The attacker's own are not the path's.
pub fn count(stage: &Stage, target: &Target, untrusted: &Untrusted, before: usize) -> u64 {
    let packets = stage.world.wire().packets_since(before);
    let ours = packets.iter().filter(|packet| {
        packet.segment.is_untrusted(untrusted) && target.joins(packet.source.ip(), packet.destination.ip())
    });
    ours.count() as u64
}
