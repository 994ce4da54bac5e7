//! Counting the packets of a path on the segments that an attacker touches.

use crate::stage::Stage;
use ravelin_adversary::Target;
use ravelin_sim::Untrusted;
use std::time::Duration;

/// How many packets of the path crossed an untrusted segment since `since`. The attacker's own are
/// not the path's.
pub fn count(stage: &Stage, target: &Target, untrusted: &Untrusted, since: Duration) -> u64 {
    let packets = stage.world.wire().packets();
    let ours = packets.iter().rev().take_while(|packet| packet.at >= since).filter(|packet| {
        packet.segment.is_untrusted(untrusted)
            && target.joins(packet.source.ip(), packet.destination.ip())
    });
    ours.count() as u64
}
