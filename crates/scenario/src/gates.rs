//! The attacker's machine at the end of a tunnel: as a node's SSH server, between two SSH peers, or as
//! a Konnectivity agent. What comes by a tunnel is dealt with like a connection.

use crate::attempt::Attempt;
use crate::intercept::{Impostor, Taken, locked};
use crate::terrapin::Splice;
use crate::vocabulary::{Intercept, Presents};
use jiff::ToSpan;
use ravelin_host::{Connection, Endpoint};
use ravelin_pki::{Authority, Identity, KeyPair, Profile, Subject, Usage};
use ravelin_transport::danger as transport;
use ravelin_tunnel::konnectivity::AgentIdentifiers;
use ravelin_tunnel::konnectivity::danger::{Impostor as Agent, Pose, pose};
use ravelin_tunnel::{SshKey, danger};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a Konnectivity server gets to say whether it takes somebody for an agent.
const ANSWER: Duration = Duration::from_secs(5);
/// What agents' certificates and accounts are called in Kubernetes' own documentation.
const AGENT: &str = "system:konnectivity-agent";

impl Impostor {
    /// Stands between two SSH peers who take each other for genuine, and are.
    pub(crate) async fn delete_first_packet(&self, taken: Taken) {
        let fact = self.notebook.fact("ssh-with-attacker").with("from", self.machine(taken.source));
        let fact = fact.with("to", self.name(Some(taken.original)));
        let Ok(genuine) = self.host.connect(&Endpoint::Tcp(taken.original)).await else { return };
        match Splice::begin(taken.connection.stream, genuine.stream).await {
            Ok((splice, deleted)) => {
                let result = if deleted > 0 { "deleted" } else { "passed" };
                self.notebook.note(fact.with("result", result));
                splice.go_on().await;
            }
            Err(error) => {
                let fact = fact.with("result", "refused");
                self.notebook.note(fact.holding(error.to_string().as_bytes()));
            }
        }
    }

    /// Plays the SSH server; what the client wants forwarded is dealt with like a connection.
    pub(crate) async fn log_in(self: &Arc<Self>, taken: Taken, key: &SshKey) {
        let fact = self.notebook.fact("ssh-with-attacker").with("from", self.machine(taken.source));
        let fact = fact.with("to", self.name(Some(taken.original)));
        match danger::accept(&self.host, taken.connection.stream, key).await {
            Ok(mut victim) => {
                self.notebook.note(fact.with("result", "accepted"));
                while let Some(forward) = victim.next_forward().await {
                    let Ok(address) = forward.host.parse() else { continue };
                    let original = SocketAddr::new(address, forward.port);
                    let source = taken.source;
                    let (local, peer) = (original.into(), source.into());
                    let connection = Connection { stream: forward.stream, local, peer };
                    self.begin(Taken { connection, source, original });
                }
            }
            Err(refused) => {
                let fact = fact.with("result", "refused");
                self.notebook.note(fact.holding(refused.to_string().as_bytes()));
            }
        }
    }

    /// Asks a Konnectivity server to be taken for an agent, and stays one where it is.
    pub(crate) async fn pose(
        self: &Arc<Self>,
        attempt: &Attempt,
        plan: &Intercept,
    ) -> Result<String, String> {
        let server = *attempt.sockets(&plan.place)?.first().ok_or("there is no such server")?;
        let claimed = attempt.filled(&plan.claims)?;
        let identifiers = AgentIdentifiers::parse(&claimed).map_err(|error| error.to_string())?;
        let (identity, token) = self.agent_credential(attempt, plan.presents)?;
        let posed = Pose { agent_id: "attacker".to_owned(), identifiers, token };
        let fact = self.notebook.fact("posed-as-agent").with("to", self.name(Some(server)));
        let joining = async {
            let text = |error: &dyn std::fmt::Display| error.to_string();
            let connection = self.host.connect(&Endpoint::Tcp(server)).await.map_err(|error| text(&error))?;
            let name = server.ip().to_string();
            let secured = transport::connect_http2(&self.host, connection.stream, &name, identity).await;
            let stream = secured.map_err(|error| text(&error))?.stream;
            pose(&self.host, stream, &posed).await.map_err(|error| text(&error))
        };
        match timeout(ANSWER, joining).await.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok(agent) => {
                self.notebook.note(fact.with("result", "accepted"));
                let serving = Arc::clone(self);
                let serving = async move { serving.be_agent(agent, server).await };
                locked(&self.tasks).push(self.host.spawn("impostor.agent", Box::pin(serving)));
                Ok("the server took the attacker for an agent".to_owned())
            }
            Err(why) => {
                self.notebook.note(fact.with("result", "refused").holding(why.as_bytes()));
                Ok(format!("the server did not take the attacker for an agent: {why}"))
            }
        }
    }

    async fn be_agent(self: Arc<Self>, mut agent: Agent, server: SocketAddr) {
        while let Some(forward) = agent.next_forward().await {
            let Ok(address) = forward.host.parse() else { continue };
            let original = SocketAddr::new(address, forward.port);
            let fact = self.notebook.fact("sent-to-attacker").with("from", self.machine(server));
            self.notebook.note(fact.with("to", self.name(Some(original))));
            let (local, peer) = (original.into(), server.into());
            let connection = Connection { stream: forward.stream, local, peer };
            self.begin(Taken { connection, source: server, original });
        }
    }

    /// What is shown to a Konnectivity server: a certificate, a token, or neither.
    fn agent_credential(
        &self,
        attempt: &Attempt,
        presents: Presents,
    ) -> Result<(Option<Identity>, Option<String>), String> {
        match presents {
            Presents::Nothing => Ok((None, None)),
            Presents::ForeignAgent => Ok((Some(self.foreign_agent()), None)),
            Presents::RogueAgent => {
                let rogue = attempt.cluster.layout().rogue().ok_or("no node is the attacker's")?;
                let own = attempt.cluster.agent_credential(rogue);
                let own = own.ok_or("the rogue node has no Konnectivity agent")?;
                Ok((own.identity, own.token))
            }
            _ => Err("is shown to no Konnectivity server".to_owned()),
        }
    }

    /// A certificate for an agent, of an authority that bears a well-known name.
    fn foreign_agent(&self) -> Identity {
        let now = self.host.now();
        let hours = |hours: i64| now.saturating_add(hours.hours()).unwrap_or(now);
        let mut entropy = self.host.entropy("forged-agent-certificate");
        let key = KeyPair::generate(&mut entropy);
        let authority = Authority::new("kubernetes", key, hours(-1), hours(24), &mut entropy);
        let profile = Profile {
            subject: Subject::new(AGENT, &[]),
            sans: vec![],
            usages: vec![Usage::Client],
            not_before: hours(-1),
            not_after: hours(24),
        };
        let mut identity = authority.identity(&profile, &mut entropy);
        identity.chain.push(authority.certificate());
        identity
    }
}
