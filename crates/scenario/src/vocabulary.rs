//! The words of steps: who asks, from where, whom, and what an attacker does in a server's place.

use std::time::Duration;

/// In whose name a request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// `nobody`: without any credential.
    Nobody,
    /// `kubernetes-admin`: the certificate of kubeadm's administrator.
    Admin,
    /// `service-account NAMESPACE/NAME`: a token of that account, issued by the apiserver.
    ServiceAccount(String, String),
    /// `token NAME`: one that an earlier step kept under this name.
    Kept(String),
    /// `rogue-node`: the client certificate on the rogue node's disk.
    RogueNode,
}

/// The computer from which a request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// `attacker`: verifies nobody.
    Attacker,
    /// A machine by its name: `user`, `operator`, `node-1`.
    Machine(String),
    /// `pod NAMESPACE/NAME`.
    Pod(String, String),
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `apiserver`: its secure port.
    Apiserver,
    /// `kubernetes-service`: the service address of the API.
    KubernetesService,
    /// `apiserver-insecure`: its plain port.
    ApiserverInsecure,
    /// `kubelet NODE`.
    Kubelet(String),
    /// `read-only-kubelet NODE`: the plain port without authentication.
    ReadOnlyKubelet(String),
    /// `pod NAMESPACE/NAME PORT`, in the clear.
    Pod(String, String, u16),
    /// `pod-tls NAMESPACE/NAME PORT`.
    PodTls(String, String, u16),
    /// `ssh-tunnels`: the SSH server of every node.
    SshTunnels,
    /// `ssh-tunnel NODE`: that of one node.
    SshTunnel(String),
    /// `loopback NODE PORT`: a port of a node that only the node itself reaches.
    Loopback(String, u16),
    /// `konnectivity-agents`: where Konnectivity's servers await agents.
    KonnectivityAgents,
}

/// What a request goes through, where it does not go straight to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    /// `ssh NODE`: that node's SSH server, with the apiserver's own key.
    Ssh(String),
    /// `konnectivity-frontend`: the port where Konnectivity's server awaits the apiserver.
    KonnectivityFrontend,
}

/// What an attacker presents who takes a server's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presents {
    /// `nothing`: it speaks plain HTTP, as the server does.
    Nothing,
    /// `self-signed-certificate`: for the server's address.
    SelfSigned,
    /// `rogue-node-certificate`: the serving certificate on the rogue node's disk.
    Rogue,
    /// `rogue-node-former-certificate`: the one that the rogue node was issued while it had the
    /// first node's address.
    RogueFormer,
    /// `own-host-key`: an SSH host key that it has just made.
    HostKey,
    /// `rogue-node-host-key`: the host key of the rogue node's own SSH server.
    RogueHostKey,
    /// `foreign-certificate`: a certificate for an agent, of an authority of its own.
    ForeignAgent,
    /// `rogue-node-agent-credential`: what the rogue node's own Konnectivity agent shows.
    RogueAgent,
}

/// What it does with the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Answers by itself, with this status and body.
    Answer(u16, String),
    /// Asks the genuine server and passes its answer on; each text is replaced where it stands.
    Relay {
        /// In the request.
        request: Vec<(String, String)>,
        /// In the answer.
        answer: Vec<(String, String)>,
    },
    /// Sends the client elsewhere.
    Redirect(String),
    /// Passes an SSH session on and deletes the first packet that its server sends encrypted.
    DeleteFirstPacket,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What evidence calls it.
    pub name: String,
    /// In whose name.
    pub actor: Actor,
    /// From where.
    pub seat: Seat,
    /// Whom.
    pub place: Place,
    /// By which way, if not straight.
    pub through: Option<Through>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// More headers, by name.
    pub headers: Vec<(String, String)>,
    /// The content type and the body; an empty body is none.
    pub body: (String, String),
    /// The name of a connection that requests have in common, one after the other.
    pub connection: Option<String>,
    /// Is it a command in a container, asked for over SPDY?
    pub stream: bool,
    /// Are redirects followed, as old kubectls did?
    pub follows: bool,
    /// Under which name to keep the answer's body (or what is at a JSON pointer in it) as a token.
    pub keep: Option<(String, String)>,
}

/// An attacker in a server's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercept {
    /// Whose place.
    pub place: Place,
    /// What it presents.
    pub presents: Presents,
    /// What it says that it leads to, as an agent does (`agentIdentifiers`).
    pub claims: String,
    /// What it does.
    pub then: Then,
}

/// Something to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// How long at most.
    pub within: Duration,
}

/// `NAMESPACE/NAME`.
fn namespaced(text: &str) -> Option<(String, String)> {
    let (namespace, name) = text.split_once('/')?;
    let plain = |part: &str| !part.is_empty() && !part.contains('/');
    (plain(namespace) && plain(name)).then(|| (namespace.to_owned(), name.to_owned()))
}

impl Actor {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let actor = match words.as_slice() {
            ["nobody"] => Some(Self::Nobody),
            ["kubernetes-admin"] => Some(Self::Admin),
            ["rogue-node"] => Some(Self::RogueNode),
            ["token", name] => Some(Self::Kept((*name).to_owned())),
            ["service-account", name] => namespaced(name).map(|(ns, name)| Self::ServiceAccount(ns, name)),
            _ => None,
        };
        actor.ok_or_else(|| {
            "nobody, kubernetes-admin, rogue-node, token NAME, service-account NAMESPACE/NAME".to_owned()
        })
    }
}

impl Seat {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let seat = match words.as_slice() {
            ["attacker"] => Some(Self::Attacker),
            [machine] => Some(Self::Machine((*machine).to_owned())),
            ["pod", name] => namespaced(name).map(|(ns, name)| Self::Pod(ns, name)),
            _ => None,
        };
        seat.ok_or_else(|| "attacker, user, operator, a node's name, pod NAMESPACE/NAME".to_owned())
    }
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let place = match words.as_slice() {
            ["apiserver"] => Some(Self::Apiserver),
            ["kubernetes-service"] => Some(Self::KubernetesService),
            ["apiserver-insecure"] => Some(Self::ApiserverInsecure),
            ["ssh-tunnels"] => Some(Self::SshTunnels),
            ["ssh-tunnel", node] => Some(Self::SshTunnel((*node).to_owned())),
            ["konnectivity-agents"] => Some(Self::KonnectivityAgents),
            ["loopback", node, port] => {
                let port = port.parse::<u16>().ok().filter(|port| *port != 0);
                port.map(|port| Self::Loopback((*node).to_owned(), port))
            }
            ["kubelet", node] => Some(Self::Kubelet((*node).to_owned())),
            ["read-only-kubelet", node] => Some(Self::ReadOnlyKubelet((*node).to_owned())),
            [kind @ ("pod" | "pod-tls"), name, port] => {
                let port = port.parse::<u16>().ok().filter(|port| *port != 0);
                namespaced(name).zip(port).map(|((ns, name), port)| match *kind {
                    "pod" => Self::Pod(ns, name, port),
                    _ => Self::PodTls(ns, name, port),
                })
            }
            _ => None,
        };
        place.ok_or_else(|| {
            "apiserver, kubernetes-service, apiserver-insecure, kubelet NODE, read-only-kubelet NODE, \
             pod NAMESPACE/NAME PORT, pod-tls NAMESPACE/NAME PORT, loopback NODE PORT, ssh-tunnels, ssh-tunnel NODE, \
             konnectivity-agents"
                .to_owned()
        })
    }

    /// Does a client speak TLS there?
    pub(crate) fn is_tls(&self) -> bool {
        self.is_api() || matches!(self, Self::Kubelet(_) | Self::PodTls(..))
    }

    /// Does the apiserver answer there, over TLS?
    pub(crate) fn is_api(&self) -> bool {
        matches!(self, Self::Apiserver | Self::KubernetesService)
    }
}

impl Through {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["ssh", node] => Ok(Self::Ssh((*node).to_owned())),
            ["konnectivity-frontend"] => Ok(Self::KonnectivityFrontend),
            _ => Err("ssh NODE, konnectivity-frontend".to_owned()),
        }
    }
}

impl Presents {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "nothing" => Self::Nothing,
            "self-signed-certificate" => Self::SelfSigned,
            "rogue-node-certificate" => Self::Rogue,
            "rogue-node-former-certificate" => Self::RogueFormer,
            "own-host-key" => Self::HostKey,
            "rogue-node-host-key" => Self::RogueHostKey,
            "foreign-certificate" => Self::ForeignAgent,
            "rogue-node-agent-credential" => Self::RogueAgent,
            _ => {
                let accepted = "nothing, self-signed-certificate, rogue-node-certificate, \
                                rogue-node-former-certificate, own-host-key, rogue-node-host-key, foreign-certificate, \
                                rogue-node-agent-credential";
                return Err(accepted.to_owned());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_mean_nothing_are_refused_with_what_would_be_accepted() {
        assert_eq!(Place::parse("kubelet node-1"), Ok(Place::Kubelet("node-1".into())));
        assert_eq!(Place::parse("pod a/b 80"), Ok(Place::Pod("a".into(), "b".into(), 80)));
        assert_eq!(Place::parse("loopback a 80"), Ok(Place::Loopback("a".into(), 80)));
        assert_eq!(Place::parse("ssh-tunnel a"), Ok(Place::SshTunnel("a".into())));
        assert_eq!(Through::parse("ssh a"), Ok(Through::Ssh("a".into())));
        assert_eq!(Actor::parse("token t"), Ok(Actor::Kept("t".into())));
        assert_eq!(Seat::parse("pod a/b"), Ok(Seat::Pod("a".into(), "b".into())));
        for wrong in
            ["", "kubelet", "pod a/b", "pod a 80", "pod a/b 0", "pod a/b/c 80", "etcd", "loopback a 0"]
        {
            assert!(Place::parse(wrong).is_err_and(|accepted| accepted.contains("kubelet NODE")), "{wrong}");
        }
        assert!(Actor::parse("root").is_err() && Seat::parse("pod x").is_err());
        assert!(Presents::parse("certificate").is_err());
        assert!(Through::parse("ssh").is_err_and(|accepted| accepted.contains("konnectivity-frontend")));
    }
}
