//! How a single apiserver reaches the cluster: directly, through SSH tunnels, through a Konnectivity server.

use super::given::{Given, text};
use super::material::{anchors, identity};
use crate::files::Refused;
use ravelin_client::ClientConfig;
use ravelin_config::{
    Egress as Configured, EgressConnection, EgressTls, FileName, SshHostKeys, SshTunnelSettings,
    SshUnknownNode,
};
use ravelin_host::HostRef;
use ravelin_pki::ServerTrust;
use ravelin_transport::egress::{Direct, Egress};
use ravelin_tunnel::konnectivity::{KonnectivityEgress, KonnectivityEgressConfig};
use ravelin_tunnel::{HostKeyPolicy, KnownHosts, SshConfig, SshKey, SshPublicKey, SshTunneler, UnknownNode};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

/// The kubelet's read-only port, where `--kubelet-read-only-port` says no other.
const READ_ONLY_PORT: u16 = 10_255;

/// The way into the cluster. `own` is how this process asks itself: tunnels follow the nodes that it lists.
pub(super) fn egress(given: &Given, host: &HostRef, own: ClientConfig) -> Result<Arc<dyn Egress>, Refused> {
    let apiserver = &given.config.apiserver;
    match (&apiserver.egress, &apiserver.connection) {
        // The server is a program of its own, whose flags are its own affair.
        (_, Some(connection)) => {
            let config = konnectivity(connection)?;
            Ok(Arc::new(KonnectivityEgress::new(host.clone(), config)))
        }
        (Configured::SshTunnels { user, key_file, settings }, None) => {
            let config = ssh(given, host, (user, key_file, settings))?;
            Ok(SshTunneler::start(host.clone(), config, own))
        }
        (Configured::Unmodelled { why }, None) => {
            Err(Refused::usage(format!("this egress is not there: {why}")))
        }
        (Configured::Direct | Configured::Konnectivity(_), None) => Ok(Arc::new(Direct(host.clone()))),
    }
}

/// What people are told of it.
pub(super) fn described(given: &Given) -> String {
    let apiserver = &given.config.apiserver;
    match (&apiserver.egress, &apiserver.connection) {
        (_, Some(connection)) => {
            let at = match connection {
                EgressConnection::GrpcUnix { socket } | EgressConnection::HttpConnectUnix { socket } => {
                    socket.to_string()
                }
                EgressConnection::HttpConnectTcp { host, port, .. } => format!("{host}:{port}"),
            };
            format!("through the tunnel server at {at}")
        }
        (Configured::SshTunnels { user, .. }, None) => format!("through SSH tunnels as {user}"),
        _ => "directly".to_owned(),
    }
}

fn konnectivity(connection: &EgressConnection) -> Result<KonnectivityEgressConfig, Refused> {
    let path = |socket: &FileName| super::tunnel::absolute(socket.as_str());
    Ok(match connection {
        EgressConnection::GrpcUnix { socket } => KonnectivityEgressConfig::Grpc { path: path(socket) },
        EgressConnection::HttpConnectUnix { socket } => {
            KonnectivityEgressConfig::HttpConnectUnix { path: path(socket) }
        }
        EgressConnection::HttpConnectTcp { host, port, tls: None } => {
            KonnectivityEgressConfig::DangerHttpConnect { host: host.clone(), port: *port }
        }
        EgressConnection::HttpConnectTcp { host, port, tls: Some(EgressTls { ca_bundle, client }) } => {
            let bundle = ca_bundle.as_ref().ok_or_else(|| {
                Refused::usage("tlsConfig.caBundle is missing: the system's own authorities are not used")
            })?;
            KonnectivityEgressConfig::HttpConnectTls {
                host: host.clone(),
                port: *port,
                trust: ServerTrust::Anchors(anchors("tlsConfig.caBundle", bundle.as_str())?),
                identity: Some(identity(("tlsConfig.clientCert", "tlsConfig.clientKey"), client)?),
                server_name: None,
            }
        }
    })
}

fn ssh(
    given: &Given,
    host: &HostRef,
    (user, key_file, settings): (&str, &FileName, &SshTunnelSettings),
) -> Result<SshConfig, Refused> {
    let wrong = |flag: &str, error: &dyn std::fmt::Display| Refused::usage(format!("{flag}: {error}"));
    let file = super::tunnel::absolute(key_file.as_str());
    let key = SshKey::from_files(host.disk(), &file, &mut host.entropy("ssh key"))
        .map_err(|error| wrong("--ssh-keyfile", &error))?;
    let mut config = SshConfig::new(user, key, host_keys(&settings.host_keys)?);
    if let Some(named) = &settings.user_certificate_file {
        let named = super::tunnel::absolute(named.as_str());
        let certificate = config.key.certificate_from_file(host.disk(), (&named, &file));
        config.certificate = Some(certificate.map_err(|error| wrong("userCertificateFile", &error))?);
    }
    config.unknown_node = match settings.unknown_node {
        SshUnknownNode::DangerRandom => UnknownNode::DangerRandom,
        SshUnknownNode::Fail => UnknownNode::Fail,
    };
    config.address_types.clone_from(&settings.address_types);
    config.port = settings.port;
    let port = given.flag("kubelet-read-only-port").and_then(|port| port.parse().ok());
    config.health_port = Some(port.unwrap_or(READ_ONLY_PORT)).filter(|port| *port != 0);
    Ok(config)
}

fn host_keys(given: &SshHostKeys) -> Result<HostKeyPolicy, Refused> {
    Ok(match given {
        SshHostKeys::DangerAny => HostKeyPolicy::DangerAny,
        SshHostKeys::TrustOnFirstUse => HostKeyPolicy::TrustOnFirstUse,
        SshHostKeys::KnownHosts(file) => {
            let key = "hostKeys.knownHostsFile";
            let known = KnownHosts::parse(&text(key, Path::new(file.as_str()))?);
            let known = known.map_err(|error| Refused::usage(format!("{key}: {file}: {error}")))?;
            HostKeyPolicy::KnownHosts(Arc::new(known))
        }
        SshHostKeys::CertificateAuthority(files) => {
            let key = "hostKeys.authorityFiles";
            let authority = |file: &FileName| {
                let line = text(key, Path::new(file.as_str()))?;
                let read = SshPublicKey::from_openssh(line.trim());
                read.map_err(|error| Refused::usage(format!("{key}: {file}: {error}")))
            };
            HostKeyPolicy::CertificateAuthority(files.iter().map(authority).collect::<Result<_, _>>()?)
        }
    })
}

/// The address at which this process reaches its own port.
pub(super) fn own_address(secure: IpAddr) -> IpAddr {
    if secure.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { secure }
}
