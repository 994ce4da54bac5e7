//! Paths, attackers, tactics and properties in plain words, for readers who know Kubernetes and not
//! this program.

use ravelin_assess::model::Property;

/// What a path is, in a sentence; nothing for one that this table does not know.
pub(crate) fn path(name: &str) -> Option<&'static str> {
    Some(match name {
        "node-bootstrap" => "A new node asks the apiserver for its certificate, with a bootstrap token.",
        "node-to-apiserver" => "A kubelet reads and reports to the apiserver.",
        "pod-to-apiserver" => {
            "A pod asks the apiserver through the `kubernetes` service, with its service account's token."
        }
        "proxy-to-apiserver" => "A node's service proxy watches Services and EndpointSlices.",
        "controller-to-apiserver" => "The controller manager and the scheduler talk to the apiserver.",
        "user-to-apiserver" => "A user (kubectl) asks the apiserver.",
        "apiserver-to-kubelet/logs" => {
            "The apiserver asks a node's kubelet for a container's log (kubectl logs)."
        }
        "apiserver-to-kubelet/exec" => {
            "The apiserver has a node's kubelet run a command in a container (kubectl exec, kubectl cp)."
        }
        "apiserver-to-kubelet/attach" => {
            "The apiserver has a node's kubelet join a container's main process (kubectl attach)."
        }
        "apiserver-to-kubelet/port-forward" => {
            "The apiserver has a node's kubelet connect to a port of a pod (kubectl port-forward)."
        }
        "apiserver-to-node/http" => "The apiserver passes a request on to a server on a node, in plain HTTP.",
        "apiserver-to-node/https" => "The apiserver passes a request on to a server on a node, over TLS.",
        "apiserver-to-pod/http" => "The apiserver passes a request on to a server in a pod, in plain HTTP.",
        "apiserver-to-pod/https" => "The apiserver passes a request on to a server in a pod, over TLS.",
        "apiserver-to-service/http" => {
            "The apiserver passes a request on to a pod behind a service, in plain HTTP."
        }
        "apiserver-to-service/https" => {
            "The apiserver passes a request on to a pod behind a service, over TLS."
        }
        "direct-to-apiserver" => "The attacker itself asks the apiserver's secure port.",
        "direct-to-apiserver-insecure" => "The attacker itself asks the apiserver's old plain HTTP port.",
        "direct-to-kubelet" => "The attacker itself asks a kubelet's HTTPS port.",
        "direct-to-kubelet-read-only" => "The attacker itself asks a kubelet's plain HTTP read-only port.",
        "direct-to-component" => {
            "The attacker itself asks the ports of the controller manager and of the scheduler."
        }
        _ => return None,
    })
}

/// Who an attacker is: position and credentials.
pub(crate) fn attacker(name: &str) -> Option<&'static str> {
    Some(match name {
        "eavesdropper" => {
            "reads every byte on the untrusted segments, and opens connections of its own with what it read. \
             It holds no credential at the start."
        }
        "impostor" => {
            "stands on the untrusted segments: answers in another's name with certificates and host keys of \
             its own making, forges and relays. It holds no credential at the start."
        }
        "rogue-node" => {
            "stands on the untrusted segments, and holds all that a node which joined this cluster holds: its \
             certificates, and the tokens of its pods."
        }
        "rogue-pod" => "is an ordinary pod: it has that pod's token and its place in the pod network.",
        "outsider" => "has an address on the untrusted network, and no credential.",
        "token-thief" => "holds the captured token of an ordinary pod, and uses it from anywhere.",
        _ => return None,
    })
}

/// What a tactic does.
pub(crate) fn tactic(name: &str) -> Option<&'static str> {
    Some(match name {
        "capture" => "reads along, and uses the bearer tokens that it finds",
        "replay-connection" => "sends what a client sent on a recorded connection to the server again",
        "self-signed-certificate" => {
            "ends the connection itself, with a self-signed certificate for the right names, and answers"
        }
        "own-authority-certificate" => {
            "ends the connection itself, with a certificate of an own CA that bears the genuine one's name, \
             and answers"
        }
        "relay" => {
            "ends the connection itself, passes the request on, changed and without the client's credential, \
             and the answer back, changed"
        }
        "relay-with-credentials" => {
            "ends the connection itself, and passes the request on, changed, with the token that came with it"
        }
        "forge-http" => "answers the plain HTTP request itself",
        "rewrite-http" => "passes the plain HTTP request on, changed, and the answer back, changed",
        "ask-anonymously" => "asks the genuine server itself, without a credential",
        "self-signed-client-certificate" => "asks with a self-signed certificate in the client's name",
        "own-authority-client-certificate" => {
            "asks with a certificate in the client's name, of an own CA that bears the genuine one's name"
        }
        "certificate-without-its-key" => "presents the client's own certificate, with another key",
        "own-node-certificate" => {
            "ends the connection itself, with the genuine serving certificate of its own node, and answers in \
             another node's name"
        }
        "reassigned-address" => {
            "ends the connection itself, with a genuine serving certificate that it was issued when the server's \
             address was its own, and answers"
        }
        "redirect" | "redirect-with-own-certificate" | "redirect-with-former-certificate" => {
            "takes the server's place and answers with a redirect to another server, which the client is to ask \
             with its own credentials"
        }
        "claim-the-address" => {
            "changes the objects that say where the apiserver connects to, so that they lead to the attacker"
        }
        "own-credentials" => "asks with every credential that it holds, its own and those that it gained",
        "forged-token" => "presents bearer tokens of its own making in the client's name",
        "stale-token" => {
            "presents genuine tokens of the client's that have expired, or are for another audience"
        }
        "blind-injection" => {
            "sends resets and segments in the server's name, without seeing the connection's sequence numbers"
        }
        "ask-for-an-upgrade" => {
            "asks with the headers of an upgrade, with every credential that it holds: what passes a check made for \
             plain requests only"
        }
        "front-proxy-headers" => {
            "adds the headers with which a front proxy says who the caller is, in the client's name"
        }
        "between-agent-and-server" => {
            "cuts Konnectivity's agents off, answers them in their server's place and passes on what they say"
        }
        "ask-directly" => "asks the port itself for what is not its own, without and with what it holds",
        "take-credentials" => "asks the port for credentials, and uses what it was given",
        _ => return None,
    })
}

/// The letter of a broken property: what the attacker did.
pub(crate) fn letter(property: Property) -> char {
    match property {
        Property::RequestSecret => 'Q',
        Property::ResponseSecret => 'R',
        Property::ResponseAuthentic => 'F',
        Property::RequestAuthentic => 'X',
        Property::CredentialSafe => 'C',
        Property::AccessControlled => 'A',
    }
}

/// What a broken property means: what follows `the attacker`.
pub(crate) fn meaning(property: Property) -> &'static str {
    match property {
        Property::RequestSecret => "reads the request",
        Property::ResponseSecret => "reads the response",
        Property::ResponseAuthentic => "forges the response",
        Property::RequestAuthentic => "has a request executed",
        Property::CredentialSafe => "uses a credential",
        Property::AccessControlled => "gets more than its rights",
    }
}

/// A broken property, explained to somebody who sees its name for the first time.
pub(crate) fn explanation(property: Property) -> &'static str {
    match property {
        Property::RequestSecret => {
            "What the client sent was read by the attacker: a random secret that the request carried is in \
             bytes that the attacker can read."
        }
        Property::ResponseSecret => {
            "What the genuine server answered was read by the attacker: a random secret that the answer \
             carried is in bytes that the attacker can read."
        }
        Property::ResponseAuthentic => {
            "The caller was handed, as success, something that no genuine server issued to this request: \
             forged, truncated, replayed or swapped."
        }
        Property::RequestAuthentic => {
            "A server executed, as the client's, something that the client did not send, or executed it more \
             often than it was sent."
        }
        Property::CredentialSafe => {
            "The attacker gained a credential that is not its own, and used it with success."
        }
        Property::AccessControlled => {
            "The attacker read, changed or ran something that lies beyond its own rights. An endpoint that \
             the configuration leaves open is such a finding too."
        }
    }
}

/// What the attacker holds or has done once a property is broken.
pub(crate) fn holding(property: Property) -> &'static str {
    match property {
        Property::RequestSecret => "the request",
        Property::ResponseSecret => "the genuine response",
        Property::ResponseAuthentic => "a response of its own making that the caller takes for genuine",
        Property::RequestAuthentic => "the execution of a request that is not the client's",
        Property::CredentialSafe => "a credential of another's that works",
        Property::AccessControlled => "something that lies beyond its rights",
    }
}
