//! What each attacker holds in a booted cluster before it begins.

use ravelin_adversary::{Attacker, Holdings, Secret, Stale};
use ravelin_client::Client;
use ravelin_cluster::{Cluster, Layout, Who};
use ravelin_sim::World;
use serde_json::{Value, json};
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
    let mut holdings = Holdings { place: Some(rogue.address), node: Some(rogue.node), ..nothing };
    holdings = holdings.with("its node's client certificate", Secret::Certificate(rogue.client));
    for token in rogue.tokens {
        holdings = holdings.with("a token from its node's disk", Secret::Token(token));
    }
    if let Some(identity) = rogue.proxy {
        holdings = holdings.with("its service proxy's certificate", Secret::Certificate(identity));
    }
    (holdings.serving, holdings.former_serving) = (rogue.serving, rogue.former_serving);
    holdings.host_key = rogue.ssh_host_key;
    let own = cluster.layout().rogue().and_then(|node| cluster.agent_credential(node));
    if let Some(agent) = own {
        let what = "its node's Konnectivity agent's";
        if let Some(identity) = agent.identity {
            holdings = holdings.with(format!("{what} certificate"), Secret::Certificate(identity));
        }
        if let Some(token) = agent.token {
            holdings = holdings.with(format!("{what} token"), Secret::Token(token));
        }
    }
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

/// Tokens of the accounts that the probes use that open nothing any more, or nothing here: issued
/// for another audience, with the shortest life, for a pod or a node that is gone since.
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
        let issuing = Issuing { operator: cluster.operator().fresh(), namespace, name };
        for why in [Stale::Expired, Stale::OtherAudience, Stale::PodGone, Stale::NodeGone] {
            let token = issuing.stale(why).await;
            stale.extend(token.map(|token| StaleToken { account: account.clone(), why, token }));
        }
    }
    stale
}

/// Whose tokens are issued.
struct Issuing<'a> {
    operator: Client,
    namespace: &'a str,
    name: &'a str,
}

impl Issuing<'_> {
    /// A token that is stale, or will be when it has expired; a cluster that issues none has none to
    /// lose.
    async fn stale(&self, why: Stale) -> Option<String> {
        // One that has expired as well would be refused for that.
        let long = SHORTEST_LIFE * 1000;
        match why {
            Stale::Expired => self.token(&[], SHORTEST_LIFE, None).await,
            Stale::OtherAudience => self.token(&["https://elsewhere.ravelin.test"], long, None).await,
            Stale::PodGone => {
                // Nobody schedules it, so it is gone as soon as it is deleted.
                let pod = json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": "departed", "namespace": self.namespace},
                    "spec": {
                        "schedulerName": "nobody", "serviceAccountName": self.name,
                        "containers": [{"name": "main", "image": "ravelin.test/logger"}],
                    },
                });
                self.orphaned(&format!("/api/v1/namespaces/{}/pods", self.namespace), &pod).await
            }
            Stale::NodeGone => {
                let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "departed"}});
                self.orphaned("/api/v1/nodes", &node).await
            }
        }
    }

    /// A token that was bound to an object, which is deleted when this returns.
    async fn orphaned(&self, collection: &str, object: &Value) -> Option<String> {
        let created = self.operator.create(collection, object).await.ok()?;
        let bound = json!({
            "apiVersion": "v1", "kind": object["kind"],
            "name": created["metadata"]["name"], "uid": created["metadata"]["uid"],
        });
        let token = self.token(&[], SHORTEST_LIFE * 1000, Some(bound)).await;
        let path = format!("{collection}/departed?gracePeriodSeconds=0");
        self.operator.delete(&path).await.ok()?;
        token
    }

    async fn token(&self, audiences: &[&str], life: Duration, bound: Option<Value>) -> Option<String> {
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", self.namespace, self.name);
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "audiences": audiences, "expirationSeconds": life.as_secs(), "boundObjectRef": bound,
            },
        });
        let issued = self.operator.create(&path, &request).await.ok()?;
        issued["status"]["token"].as_str().map(str::to_owned)
    }
}
