//! What each attacker holds in a booted cluster before it begins.

use ravelin_adversary::{Attacker, Holdings, Secret, Stale};
use ravelin_cluster::{Cluster, Layout, Who};
use ravelin_sim::World;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// The shortest life of a token that can be asked for (`TokenRequest`: 10 minutes).
const SHORTEST_LIFE: Duration = Duration::from_secs(600);

/// How long after the boot an attacker waits until all that it holds is what it should be: a stolen
/// token has to expire first.
pub fn ripening(attacker: Attacker) -> Duration {
    if attacker == Attacker::TokenThief { SHORTEST_LIFE } else { Duration::ZERO }
}

/// A token of a probe's service account that is no longer, or nowhere here, good.
pub struct StaleToken {
    /// The account, as the apiserver calls it.
    pub account: String,
    /// What is wrong with it.
    pub why: Stale,
    /// The token.
    pub token: String,
}

/// What an attacker holds.
///
/// # Errors
/// Why the cluster has nothing of the kind, in a sentence.
pub fn of(world: &World, cluster: &Cluster, attacker: Attacker) -> Result<Holdings, String> {
    let nothing = Holdings::nothing(world.host("attacker"));
    Ok(match attacker {
        Attacker::RogueNode => rogue_node(nothing, cluster)?,
        Attacker::RoguePod => {
            let tenant = cluster.tenant()?;
            Holdings::nothing(tenant.host).with("its own token", Secret::Token(tenant.token))
        }
        Attacker::TokenThief => {
            nothing.with("the captured token of a pod", Secret::Token(cluster.tenant()?.token))
        }
        _ => nothing,
    })
}

fn rogue_node(nothing: Holdings, cluster: &Cluster) -> Result<Holdings, String> {
    let rogue = cluster.rogue()?;
    let mut holdings = Holdings { place: Some(rogue.address), ..nothing };
    holdings = holdings.with("its node's client certificate", Secret::Certificate(rogue.client));
    for token in rogue.tokens {
        holdings = holdings.with("a token from its node's disk", Secret::Token(token));
    }
    if let Some(identity) = rogue.proxy {
        holdings = holdings.with("its service proxy's certificate", Secret::Certificate(identity));
    }
    (holdings.serving, holdings.former_serving) = (rogue.serving, rogue.former_serving);
    Ok(holdings)
}

/// The machines that an attacker owns besides its own, by name: all of their packets are its own.
pub fn owned(layout: &Layout, attacker: Attacker) -> BTreeSet<String> {
    match attacker {
        Attacker::RogueNode => {
            layout.rogue().map(|node| layout.members()[node].machine.name.clone()).into_iter().collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Tokens of the accounts that the probes use, issued for another audience, and with the shortest
/// life: whoever holds them holds nothing that opens anything once that is over.
pub async fn stale_tokens(cluster: &Cluster, attacker: Attacker) -> Vec<StaleToken> {
    if attacker != Attacker::TokenThief {
        return Vec::new();
    }
    let mut stale = Vec::new();
    for who in [Who::Pod(0), Who::Proxy(0)] {
        let account = cluster.subject(who).common_name;
        let Some((namespace, name)) =
            account.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
        else {
            continue;
        };
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let kinds: [(Stale, &[&str]); 2] =
            [(Stale::Expired, &[]), (Stale::OtherAudience, &["https://elsewhere.ravelin.test"])];
        for (why, audiences) in kinds {
            // One that has expired as well would be refused for that.
            let life = if why == Stale::Expired { SHORTEST_LIFE } else { SHORTEST_LIFE * 1000 };
            let request = json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {"audiences": audiences, "expirationSeconds": life.as_secs()},
            });
            // A cluster that issues no tokens has none to lose.
            let Ok(issued) = cluster.operator().fresh().create(&path, &request).await else { continue };
            let token = issued["status"]["token"].as_str().map(str::to_owned);
            stale.extend(token.map(|token| StaleToken { account: account.clone(), why, token }));
        }
    }
    stale
}
