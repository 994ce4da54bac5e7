//! Thirty days with a clock that is off.

use super::stage::{Cast, Pace, Stage, node_address, play};
use ravelin_host::Flaws;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked whether all is well.
const LOOK: Duration = Duration::from_secs(6 * 3600);

/// What came of a month.
#[derive(Debug)]
struct Month {
    looks: u32,
    tokens: usize,
}

/// A month in the life of a node whose clock is off by so many seconds.
fn month(offset_seconds: i64) {
    let cast = Cast { pace: Pace::stretched(), nodes: 1, flaws: Flaws::none() };
    let finished = play((30, 31 * DAY), cast, move |mut stage| {
        Box::pin(async move {
            stage.world.faults().set_clock_offset("node-1", offset_seconds);
            // The signer's clock is not quite the apiserver's either.
            stage.world.faults().set_clock_offset("controllers", -offset_seconds / 8);
            stage.start_kubelet(1).await;
            stage.run_pod(1, "web").await;
            live(&stage).await
        })
    });
    let count = |kind, holds: &str| Stage::count(&finished, kind, holds);
    let client = count("kubelet.rotation", "kube-apiserver-client-kubelet");
    let serving = count("kubelet.rotation", "kubelet-serving");
    // Certificates of a day are replaced after 70 to 90 % of it.
    assert!((33..=43).contains(&client), "{client} client certificates in 30 days");
    assert!((33..=43).contains(&serving), "{serving} serving certificates in 30 days");
    assert_eq!(count("controller.node-lifecycle", ""), 0, "it never was silent");
    assert_eq!(finished.value.looks, 120);
    // A token lives an hour and is replaced after 80 % of it.
    assert!(finished.value.tokens > 100, "{:?}", finished.value);
}

async fn live(stage: &Stage) -> Month {
    let mut month = Month { looks: 0, tokens: 0 };
    let mut last = String::new();
    for look in 1..=30 * DAY.as_secs() / LOOK.as_secs() {
        tokio::time::sleep(LOOK).await;
        let hours = look * LOOK.as_secs() / 3600;
        assert_eq!(stage.ready(1), "True", "after {hours} h");
        assert_eq!(stage.taints(1), Vec::<String>::new(), "after {hours} h");
        assert!(stage.is_pod_ready("web"), "after {hours} h");
        assert!(stage.is_kubelet_known(1).await, "after {hours} h: its certificate");
        assert!(stage.is_token_good(1, "web").await, "after {hours} h: its pod's token");
        assert!(stage.is_endpoint_good(1, &stage.authority).await, "after {hours} h: its endpoint");
        let token = stage.pod_file(1, ("web", "token"));
        month.tokens += usize::from(token != last);
        last = token;
        month.looks += 1;
    }
    assert_eq!(stage.node(1).expect("it is there")["status"]["addresses"][0]["address"], {
        std::net::IpAddr::from(node_address(1)).to_string()
    });
    month
}

#[test]
fn a_node_whose_clock_is_ahead_stays_for_thirty_days() {
    month(240);
}

#[test]
fn a_node_whose_clock_is_behind_stays_for_thirty_days() {
    month(-240);
}
