//! kube-scheduler's flags, besides those it shares with the controller manager. It decides where pods run; the
//! simulation places its own.

use super::{Effect, Kind::*, NOW, Section};

pub(super) const FLAGS: &[Section] = &[Section {
    effect: Effect::None,
    rows: &[
        ("algorithm-provider", Text, 8, 22),
        ("config", File, 8, NOW),
        ("enable-equivalence-cache", Bool, 8, 11),
        ("failure-domains", Text, 8, 11),
        ("hard-pod-affinity-symmetric-weight", Int, 8, 22),
        ("lock-object-name", Text, 8, 22),
        ("lock-object-namespace", Text, 8, 22),
        ("pod-max-in-unschedulable-pods-duration", Duration, 23, NOW),
        ("policy-config-file", File, 8, 22),
        ("policy-configmap", Text, 8, 22),
        ("policy-configmap-namespace", Text, 8, 22),
        ("scheduler-name", Text, 8, 22),
        ("use-legacy-policy-config", Bool, 8, 22),
        ("write-config-to", File, 9, NOW),
    ],
}];
