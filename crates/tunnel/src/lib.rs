//! Tunnels between the control plane and the nodes.
//!
//! Each is a way behind `Egress`: [`ssh`] as Kubernetes had it before 1.22, and [`konnectivity`], which
//! replaced it. This crate must never know a simulation, nor what is spoken inside a tunnel.

pub mod konnectivity;
pub mod ssh;

pub use ssh::danger;
pub use ssh::{
    CertificateRefused, Forwarding, HostKeyFault, HostKeyPolicy, KnownHosts, KnownHostsError, NodeTargets,
    NotReady, SSH_PORT, SessionError, SshCertificate, SshCertificateKind, SshClaim, SshConfig, SshFileError,
    SshKey, SshKeyError, SshNodeConfig, SshNodeServer, SshPublicKey, SshTunneler, UnknownNode,
};
