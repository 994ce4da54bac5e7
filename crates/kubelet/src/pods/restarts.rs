//! When containers that ended are started anew (`doBackOff` of `pkg/kubelet/kuberuntime`, and
//! `client-go/util/flowcontrol/backoff.go`); pure.

use ravelin_api::object;
use ravelin_runtime::{ContainerState, PodState, Terminated};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The first wait (`containerBackOffPeriod`); it doubles up to the longest (`MaxContainerBackOff`).
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Who ran for so long begins with the first wait again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Which containers are started anew (`spec.restartPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    OnFailure,
    Never,
}

impl Policy {
    /// The policy of a pod.
    pub(crate) fn of(pod: &Value) -> Self {
        match object::text(pod, "spec.restartPolicy") {
            "OnFailure" => Self::OnFailure,
            "Never" => Self::Never,
            _ => Self::Always,
        }
    }

    fn restarts(self, ended: &Terminated) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => ended.exit_code != 0,
            Self::Never => false,
        }
    }
}

/// What is known of a container besides how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// How often it was started anew.
    pub(crate) restarts: u32,
    /// How its run before this one ended.
    pub(crate) last: Option<Terminated>,
    /// The wait before the next start, and since when.
    wait: Option<(Duration, Instant)>,
    /// When its end was seen.
    ended: Option<Instant>,
}

/// The containers of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restarts(BTreeMap<String, Past>);

/// What is to be done about a container that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it stays as it is.
    Stay,
    /// It is started anew.
    Restart,
    /// It is started anew at this moment, after this wait.
    Wait(Instant, Duration),
}

impl Restarts {
    /// What is to be done about a container that ended.
    pub(crate) fn next(&mut self, policy: Policy, name: &str, (end, now): (&Terminated, Instant)) -> Next {
        let past = self.0.entry(name.to_owned()).or_default();
        let ended = *past.ended.get_or_insert(now);
        if !policy.restarts(end) {
            return Next::Stay;
        }
        match past.wait {
            Some((wait, since)) if ended.duration_since(since) <= FORGIVEN_AFTER && ended + wait > now => {
                Next::Wait(ended + wait, wait)
            }
            _ => Next::Restart,
        }
    }

    /// A container was started anew after this end.
    pub(crate) fn restarted(&mut self, name: &str, (end, now): (Terminated, Instant)) {
        let past = self.0.entry(name.to_owned()).or_default();
        let ended = past.ended.take().unwrap_or(now);
        let wait = match past.wait {
            Some((wait, since)) if ended.duration_since(since) <= FORGIVEN_AFTER => {
                (wait * 2).min(LONGEST_WAIT)
            }
            _ => FIRST_WAIT,
        };
        past.wait = Some((wait, now));
        past.restarts += 1;
        past.last = Some(end);
    }

    /// What is known of a container.
    pub(crate) fn past(&self, name: &str) -> Past {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// The pod as it is shown: a container that waits for its restart waits.
    pub(crate) fn shown(
        &self,
        state: &PodState,
        policy: Policy,
        (namespace, pod, uid): (&str, &str, &str),
    ) -> (PodState, Self) {
        let (mut shown, mut pasts) = (state.clone(), self.clone());
        for (name, container) in &mut shown.containers {
            let ContainerState::Terminated(end) = container else { continue };
            if !policy.restarts(end) {
                continue;
            }
            let past = pasts.0.entry(name.clone()).or_default();
            past.last = Some(end.clone());
            let wait = past.wait.map_or(FIRST_WAIT, |(wait, _)| wait);
            let message = format!(
                "back-off {} restarting failed container={name} pod={pod}_{namespace}({uid})",
                in_go(wait)
            );
            *container = ContainerState::Waiting { reason: "CrashLoopBackOff", message };
        }
        (shown, pasts)
    }
}

/// A duration as Go writes it.
fn in_go(wait: Duration) -> String {
    match (wait.as_secs() / 60, wait.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn end(exit_code: i32) -> Terminated {
        Terminated {
            exit_code,
            reason: "Error",
            message: String::new(),
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_five_minutes_and_are_forgiven_after_ten() {
        let mut restarts = Restarts::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let next = restarts.next(Policy::Always, "c", (&end(1), now));
            match next {
                Next::Restart => waits.push(0),
                Next::Wait(until, wait) => {
                    assert_eq!(until, now + wait);
                    waits.push(wait.as_secs());
                    now = until;
                    assert_eq!(restarts.next(Policy::Always, "c", (&end(1), now)), Next::Restart);
                }
                Next::Stay => panic!("it restarts"),
            }
            restarts.restarted("c", (end(1), now));
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(restarts.past("c").restarts, 8);
        now += Duration::from_secs(601);
        assert_eq!(restarts.next(Policy::Always, "c", (&end(1), now)), Next::Restart);
        restarts.restarted("c", (end(1), now));
        assert_eq!(
            restarts.next(Policy::Always, "c", (&end(1), now)),
            Next::Wait(now + FIRST_WAIT, FIRST_WAIT)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_says_which_ends_are_final() {
        let now = Instant::now();
        for (policy, code, restarts) in [
            (Policy::Always, 0, true),
            (Policy::OnFailure, 0, false),
            (Policy::OnFailure, 3, true),
            (Policy::Never, 3, false),
        ] {
            let next = Restarts::default().next(policy, "c", (&end(code), now));
            assert_eq!(next == Next::Restart, restarts, "{policy:?} {code}");
        }
    }
}
