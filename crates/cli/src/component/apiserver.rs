//! `ravelin apiserver`.

use super::egress;
use super::given::{Given, text};
use super::material::{self, identity, optional_anchors};
use super::observer;
use crate::console::Console;
use crate::files::Refused;
use crate::outcome::Status;
use crate::up::stop::Stop;
use jiff::ToSpan;
use ravelin_apiserver::{Apiserver, ApiserverConfig};
use ravelin_client::{ClientConfig, Credential, TokenSource};
use ravelin_cluster::ApiserverParts;
use ravelin_config::FileName;
use ravelin_controllers::{KubernetesService, KubernetesServiceConfig};
use ravelin_host::HostRef;
use ravelin_host::os::{Computer, computer, own_address_towards};
use ravelin_pki::{Identity, Profile, San, ServerTrust, Subject, Usage, self_signed};
use ravelin_transport::egress::Egress;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long its own requests to itself may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// An address that is only looked up: which of this computer's leads out (RFC 5737).
const SOMEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

pub(super) async fn run(given: &Given, mut stop: Stop, console: &mut Console<'_>) -> Result<Status, Refused> {
    let address = advertised(given);
    let host = computer(Computer {
        name: "apiserver".to_owned(),
        address,
        files: "/".into(),
        places: Vec::new(),
        observer: observer(given.verbose),
    });
    let token = host.entropy("loopback token").word(48);
    let egress = egress::egress(given, &host, own_client(given, &token))?;
    let config = config(given, &host, (&token, egress))?;
    let (secure, advertise) = (config.secure, config.advertise);
    let running = Apiserver::start(host.clone(), config).await.map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Refused::failed(format!("{error}{cause}"))
    })?;
    let service = KubernetesService::start(host, service(given, advertise, own_client(given, &token)));
    console.say(&format!(
        "apiserver at https://{secure}, advertised as {advertise}; nodes are reached {}; objects are kept in memory",
        egress::described(given)
    ));
    if advertise.ip().is_loopback() {
        console
            .say("no `kubernetes` service: endpoints cannot be loopback addresses; give --advertise-address");
    }
    let signal = stop.wait().await;
    drop((service, running));
    console.say(&format!("{signal}: stopped"));
    Ok(Status::Ran)
}

/// `--advertise-address`, the bind address, or this computer's own where that one is none that others can
/// use (`ResolveBindAddress` in apimachinery's `util/net`).
fn advertised(given: &Given) -> IpAddr {
    let apiserver = &given.config.apiserver;
    let bound =
        Some(apiserver.bind_address).filter(|address| !address.is_unspecified() && !address.is_loopback());
    let own = || own_address_towards(SOMEWHERE).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    apiserver.advertise_address.or(bound).unwrap_or_else(own)
}

fn config(
    given: &Given,
    host: &HostRef,
    (token, egress): (&str, Arc<dyn Egress>),
) -> Result<ApiserverConfig, Refused> {
    let apiserver = &given.config.apiserver;
    let accounts = &apiserver.service_accounts;
    let verify: Result<Vec<_>, _> = accounts
        .key_files
        .iter()
        .map(|file| material::public_key("--service-account-key-file", file.as_str()))
        .collect();
    let sign = accounts.signing_key_file.as_ref();
    let sign = sign.map(|file| material::private_key("--service-account-signing-key-file", file.as_str()));
    let front_proxy = apiserver.request_header.as_ref().map(|header| &header.client_ca_file);
    let kubelet = &apiserver.kubelet;
    let client = kubelet.client.as_ref();
    let parts = ApiserverParts {
        machine: host.addresses()[0],
        tls: match &apiserver.serving {
            Some(pair) => identity(("--tls-cert-file", "--tls-private-key-file"), pair)?,
            None => own_certificate(given, host),
        },
        client_ca: optional_anchors("--client-ca-file", apiserver.client_ca_file.as_ref())?,
        front_proxy_ca: optional_anchors("--requestheader-client-ca-file", front_proxy)?,
        static_tokens: Some(static_tokens(apiserver.token_auth_file.as_ref(), token)?),
        verify: verify?,
        sign: sign.transpose()?.map(Arc::new),
        kubelet_identity: client
            .map(|pair| identity(("--kubelet-client-certificate", "--kubelet-client-key"), pair))
            .transpose()?,
        kubelet_trust: match &kubelet.certificate_authority {
            Some(file) => {
                ServerTrust::Anchors(material::anchors("--kubelet-certificate-authority", file.as_str())?)
            }
            None => ServerTrust::DangerAny,
        },
        egress,
    };
    let mut config = ravelin_cluster::apiserver(&given.config, parts);
    if let Some(bind) = given.flag("bind-address").and_then(|bind| bind.parse().ok()) {
        // Addresses are as given, also where others are advertised.
        config.secure.set_ip(bind);
    }
    config.insecure = apiserver.insecure.map(|listener| listener.address);
    if let Some(audit) = &mut config.audit
        && let Ok(path) = std::path::absolute(&audit.path)
    {
        audit.path = path.display().to_string();
    }
    Ok(config)
}

/// The file's tokens, and one that this process alone knows (as `system:apiserver` in
/// `staging/src/k8s.io/apiserver/pkg/server/config_selfclient.go`).
fn static_tokens(file: Option<&FileName>, token: &str) -> Result<String, Refused> {
    let given = file.map(|file| text("--token-auth-file", Path::new(file.as_str()))).transpose()?;
    Ok(format!("{}\n{token},system:apiserver,system:apiserver,system:masters\n", given.unwrap_or_default()))
}

/// What it signs itself where no certificate is given.
fn own_certificate(given: &Given, host: &HostRef) -> Identity {
    let domain = &given.config.network.dns_domain;
    let service = format!("kubernetes.default.svc.{domain}");
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", service.as_str()];
    let range = given.config.apiserver.service_cluster_ip_range;
    let first = range.hosts().next().unwrap_or_else(|| range.addr());
    let mut sans: Vec<San> = names.into_iter().map(San::parse).collect();
    sans.extend([host.addresses()[0], first, IpAddr::V4(Ipv4Addr::LOCALHOST)].map(San::Ip));
    let now = host.now();
    let profile = Profile {
        subject: Subject::new(format!("apiserver@{}", now.as_second()), &[]),
        sans,
        usages: vec![Usage::Server],
        not_before: now,
        not_after: now.saturating_add((365 * 24).hours()).unwrap_or(jiff::Timestamp::MAX),
    };
    self_signed(&profile, &mut host.entropy("serving certificate"))
}

/// What it says of itself in the `kubernetes` service.
fn service(given: &Given, advertise: SocketAddr, client: ClientConfig) -> KubernetesServiceConfig {
    let range = given.config.apiserver.service_cluster_ip_range;
    KubernetesServiceConfig {
        client,
        cluster_ip: range.hosts().next().unwrap_or_else(|| range.addr()),
        apiserver: advertise,
        alone: true,
    }
}

/// How this process asks itself.
fn own_client(given: &Given, token: &str) -> ClientConfig {
    let apiserver = &given.config.apiserver;
    let bound = given.flag("bind-address").and_then(|bind| bind.parse().ok());
    let own = egress::own_address(bound.unwrap_or(apiserver.bind_address));
    ClientConfig {
        server: SocketAddr::new(own, apiserver.secure_port),
        server_name: own.to_string(),
        // It is the port that this process listens on, on this computer.
        trust: ServerTrust::DangerAny,
        credential: Credential::Token(TokenSource::fixed(token.to_owned())),
        request_timeout: REQUEST_TIMEOUT,
    }
}
