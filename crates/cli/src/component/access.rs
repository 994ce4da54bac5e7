//! A kubeconfig: where the apiserver is, whom to take for it, and what to prove oneself with
//! (`client-go/tools/clientcmd`).

use super::given::text;
use super::material;
use super::plugin::Plugin;
use crate::files::Refused;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::yaml_text::{self as yaml, Node, Value};
use ravelin_client::{ClientConfig, Credential, TokenRenewal, TokenSource};
use ravelin_host::HostRef;
use ravelin_pki::{Identity, ServerTrust, TrustAnchors};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a component's requests may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The least time between two calls of a plugin, so that a refused token does not spin.
const PLUGIN_PAUSE: Duration = Duration::from_secs(30);

/// What a kubeconfig's current context says.
pub(super) struct Access {
    /// The apiserver's host, a name or an address.
    host: String,
    port: u16,
    /// The name that its certificate must be for.
    pub(super) server_name: String,
    /// Who may have signed that.
    pub(super) trust: ServerTrust,
    /// The user's client certificate.
    pub(super) identity: Option<Identity>,
    /// The user's bearer token.
    pub(super) token: Option<String>,
    /// The program that gives either, and until when what it gave is good.
    plugin: Option<(Plugin, Option<jiff::Timestamp>)>,
}

impl Access {
    /// Reads a kubeconfig, and asks the program that it names for credentials where it has none itself. A
    /// certificate from there is used until it ends; a token is asked for again in time.
    pub(super) async fn load(flag: &str, path: &Path) -> Result<Self, Refused> {
        let mut access = Self::read(flag, path)?;
        let Some((plugin, until)) = &mut access.plugin else { return Ok(access) };
        let file = path.display();
        let failed = |why| Refused::failed(format!("{flag}: {file}: getting credentials: {why}"));
        let given = plugin.run().await.map_err(failed)?;
        *until = given.until;
        if let Some((chain, key)) = &given.certificate {
            let what = format!("{flag}: {file}: the plugin's clientCertificateData");
            access.identity = Some(material::identity_of((chain, key), &what)?);
        }
        access.token = given.token;
        Ok(access)
    }

    /// A client of the apiserver as this user.
    pub(super) async fn client(&self, flag: &str, host: &HostRef) -> Result<ClientConfig, Refused> {
        let credential = match (&self.identity, &self.token, &self.plugin) {
            (Some(identity), ..) => Credential::Certificate(identity.clone()),
            (None, Some(token), Some((plugin, until))) => {
                let (source, renewal) = TokenSource::renewed(token.clone());
                let renewing = renew(host.clone(), plugin.clone(), (*until, renewal));
                host.spawn("credential plugin", Box::pin(renewing)).detach();
                Credential::Token(source)
            }
            (None, Some(token), None) => Credential::Token(TokenSource::fixed(token.clone())),
            (None, None, _) => {
                return Err(Refused::usage(format!(
                    "{flag}: its user has neither a certificate nor a token"
                )));
            }
        };
        Ok(ClientConfig {
            server: self.resolved(host).await?,
            server_name: self.server_name.clone(),
            trust: self.trust.clone(),
            credential,
            request_timeout: REQUEST_TIMEOUT,
        })
    }

    /// Reads a kubeconfig.
    fn read(flag: &str, path: &Path) -> Result<Self, Refused> {
        let content = text(flag, path)?;
        let file = path.display().to_string();
        let wrong = |line: usize, what: &str| Refused::usage(format!("{flag}: {file}:{line}: {what}"));
        let documents = yaml::documents(&content).map_err(|error| wrong(error.line, &error.problem))?;
        let config = documents.first().ok_or_else(|| wrong(1, "an empty kubeconfig"))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let reader = Reader { config, folder, file: format!("{flag}: {file}") };
        let context = reader.named("contexts", "context", config.text_at(&["current-context"]))?;
        let cluster = reader.named("clusters", "cluster", context.text_at(&["cluster"]))?;
        let user = match context.text_at(&["user"]) {
            Some(name) => reader.named("users", "user", Some(name))?,
            None => context,
        };
        let server = cluster.text_at(&["server"]).unwrap_or_default();
        let (host, port) = address(server)
            .ok_or_else(|| wrong(cluster.line, "server: accepted: https://HOST or https://HOST:PORT"))?;
        let server_name = cluster.text_at(&["tls-server-name"]).unwrap_or(&host).to_owned();
        let (trust, identity) = (reader.trust(cluster)?, reader.identity(user)?);
        let token = reader.token(user)?;
        let plugin = match user.at(&["exec"]) {
            Some(exec) if identity.is_none() && token.is_none() => {
                let plugin = Plugin::read(exec, &reader.folder, told(server, &trust));
                Some((plugin.map_err(|why| reader.wrong(exec.line, &why))?, None))
            }
            _ => None,
        };
        Ok(Self { host, port, server_name, trust, identity, token, plugin })
    }

    /// The address to dial.
    pub(super) async fn resolved(&self, host: &HostRef) -> Result<SocketAddr, Refused> {
        let found = host.resolve(&self.host).await.ok().and_then(|found| found.first().copied());
        let found = found
            .ok_or_else(|| Refused::failed(format!("the apiserver's name {} is not known", self.host)))?;
        Ok(SocketAddr::new(found, self.port))
    }
}

/// What a plugin is told of the cluster (`execClusterToExecInfo`).
fn told(server: &str, trust: &ServerTrust) -> serde_json::Value {
    match trust {
        ServerTrust::Anchors(anchors) => serde_json::json!({
            "server": server, "certificate-authority-data": STANDARD.encode(anchors.to_pem()),
        }),
        _ => serde_json::json!({ "server": server, "insecure-skip-tls-verify": true }),
    }
}

/// Asks a plugin for a new token when the last one has ended, or was not known to the apiserver. One that
/// is not given leaves the last one, and is asked for again.
async fn renew(host: HostRef, plugin: Plugin, (mut until, renewal): (Option<jiff::Timestamp>, TokenRenewal)) {
    loop {
        let left =
            until.map(|until| Duration::try_from(until.duration_since(host.now())).unwrap_or_default());
        let over = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = renewal.refused() => {}
            () = over => {}
        }
        match plugin.run().await {
            Ok(given) => {
                until = given.until;
                if let Some(token) = given.token {
                    renewal.set(token);
                }
            }
            Err(why) => host.observe("credential.failed", &[ravelin_host::field("why", why)]),
        }
        tokio::time::sleep(PLUGIN_PAUSE).await;
    }
}

/// Host and port of a URL with the scheme https.
fn address(url: &str) -> Option<(String, u16)> {
    let rest = url.strip_prefix("https://")?.trim_end_matches('/');
    if rest.is_empty() || rest.contains(['/', '?', '#', '@']) {
        return None;
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (rest, 443),
    };
    Some((host.trim_matches(['[', ']']).to_owned(), port))
}

struct Reader<'a> {
    config: &'a Node,
    folder: PathBuf,
    file: String,
}

impl<'a> Reader<'a> {
    fn wrong(&self, line: usize, what: &str) -> Refused {
        Refused::usage(format!("{}:{line}: {what}", self.file))
    }

    /// The entry of a list that has this name.
    fn named(&self, list: &str, kind: &str, name: Option<&str>) -> Result<&'a Node, Refused> {
        let config: &'a Node = self.config;
        let name = name.ok_or_else(|| self.wrong(1, &format!("names no {kind} to use")))?;
        let entries = config.entry(list).map(|entry| entry.node.elements()).unwrap_or_default();
        let found = entries.iter().find(|entry| entry.text_at(&["name"]) == Some(name));
        let found = found.and_then(|entry| entry.at(&[kind]));
        found.ok_or_else(|| self.wrong(1, &format!("{list} has no {name:?}")))
    }

    /// What stands in `KEY-data`, or in the file that `KEY` names.
    fn data(&self, of: &Node, key: &str) -> Result<Option<String>, Refused> {
        if let Some(encoded) = of.text_at(&[&format!("{key}-data")]).filter(|text| !text.is_empty()) {
            let decoded =
                STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let wrong = || self.wrong(of.line, &format!("{key}-data: accepted: PEM in base64"));
            return decoded.map(Some).ok_or_else(wrong);
        }
        let named = of.text_at(&[key]).filter(|name| !name.is_empty());
        named.map(|name| text(&format!("{}: {key}", self.file), &self.folder.join(name))).transpose()
    }

    fn trust(&self, cluster: &Node) -> Result<ServerTrust, Refused> {
        if matches!(
            cluster.at(&["insecure-skip-tls-verify"]).map(|node| &node.value),
            Some(Value::Bool(true))
        ) {
            return Ok(ServerTrust::DangerAny);
        }
        let bundle = self.data(cluster, "certificate-authority")?.ok_or_else(|| {
            self.wrong(cluster.line, "no certificate-authority: the system's own authorities are not used")
        })?;
        let anchors = TrustAnchors::from_pem(&bundle);
        let anchors =
            anchors.map_err(|error| self.wrong(cluster.line, &format!("certificate-authority: {error}")));
        Ok(ServerTrust::Anchors(anchors?))
    }

    fn identity(&self, user: &Node) -> Result<Option<Identity>, Refused> {
        let Some(chain) = self.data(user, "client-certificate")? else { return Ok(None) };
        let key = self.data(user, "client-key")?.unwrap_or_else(|| chain.clone());
        material::identity_of((&chain, &key), &format!("{}: client-certificate", self.file)).map(Some)
    }

    fn token(&self, user: &Node) -> Result<Option<String>, Refused> {
        if let Some(unsupported) = ["auth-provider", "username"].iter().find(|key| user.at(&[key]).is_some())
        {
            return Err(self.wrong(
                user.line,
                &format!("{unsupported}: accepted: a client certificate, a token or exec"),
            ));
        }
        if let Some(token) = user.text_at(&["token"]).filter(|token| !token.is_empty()) {
            return Ok(Some(token.trim().to_owned()));
        }
        let file = user.text_at(&["tokenFile"]).map(|name| self.folder.join(name));
        let token = file.map(|file| text(&format!("{}: tokenFile", self.file), &file)).transpose()?;
        Ok(token.map(|token| token.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn servers_are_urls_with_a_host() {
        let known = |url, host: &str, port| assert_eq!(address(url), Some((host.to_owned(), port)), "{url}");
        known("https://192.0.2.1:6443", "192.0.2.1", 6443);
        known("https://kubernetes.default.svc/", "kubernetes.default.svc", 443);
        known("https://[2001:db8::1]:6443", "2001:db8::1", 6443);
        known("https://[2001:db8::1]", "2001:db8::1", 443);
        for wrong in ["http://a", "192.0.2.1:6443", "https://", "https://a/b", "https://a:b", "https://u@a"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
