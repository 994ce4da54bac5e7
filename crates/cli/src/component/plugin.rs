//! Credentials that a program gives: `exec` in a kubeconfig, KEP-541
//! (`client-go/plugin/pkg/client/auth/exec/exec.go`, `tools/clientcmd/validation.go`).

use ravelin_api::yaml_text::{Node, Value as Yaml};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// The versions of `client.authentication.k8s.io` that a plugin may speak.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
/// How long a plugin may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer of a plugin, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A program that gives credentials, as a kubeconfig's user names it.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    version: String,
    /// What the user is told where the program is missing.
    hint: String,
    /// The cluster, for a plugin that wants to know.
    cluster: Option<Value>,
}

/// What a plugin gave. It is shown nowhere.
pub(super) struct Given {
    pub(super) token: Option<String>,
    /// Certificates and key, in PEM.
    pub(super) certificate: Option<(String, String)>,
    /// Until when it is good.
    pub(super) until: Option<jiff::Timestamp>,
}

impl Plugin {
    /// Reads a user's `exec`. A command with a slash is relative to the kubeconfig's folder, one without is
    /// looked up as a shell would.
    pub(super) fn read(exec: &Node, folder: &Path, cluster: Value) -> Result<Self, String> {
        let text = |key| exec.text_at(&[key]).unwrap_or_default().to_owned();
        let (command, version) = (text("command"), text("apiVersion"));
        if command.is_empty() {
            return Err("exec: command must be specified to use exec authentication plugin".to_owned());
        }
        if !VERSIONS.contains(&version.as_str()) {
            let accepted = VERSIONS.join(", ");
            return Err(format!("exec: apiVersion: {version:?}; accepted: {accepted}"));
        }
        match (text("interactiveMode").as_str(), version == VERSIONS[0]) {
            ("Never" | "IfAvailable", _) | ("", false) => {}
            ("Always", _) => {
                return Err("exec: interactiveMode: Always: nobody is there to be asked; accepted: Never, \
                            IfAvailable"
                    .to_owned());
            }
            (mode, _) => {
                return Err(format!("exec: interactiveMode: {mode:?}; accepted: Never, IfAvailable"));
            }
        }
        let elements = |key| exec.at(&[key]).map(Node::elements).unwrap_or_default();
        let pair = |one: &Node| {
            let part = |key| one.text_at(&[key]).unwrap_or_default().to_owned();
            (part("name"), part("value"))
        };
        let wants_cluster =
            exec.at(&["provideClusterInfo"]).is_some_and(|given| given.value == Yaml::Bool(true));
        let is_path = command.contains('/');
        Ok(Self {
            program: if is_path { folder.join(&command) } else { command.into() },
            arguments: elements("args").iter().filter_map(|one| one.text().map(str::to_owned)).collect(),
            environment: elements("env").iter().map(pair).filter(|(name, _)| !name.is_empty()).collect(),
            version,
            hint: text("installHint"),
            cluster: wants_cluster.then_some(cluster),
        })
    }

    /// Runs the program. What it says on standard error goes to this process's.
    pub(super) async fn run(&self) -> Result<Given, String> {
        let name = self.program.display();
        let mut spec = json!({ "interactive": false });
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = cluster.clone();
        }
        let info = json!({ "kind": "ExecCredential", "apiVersion": self.version, "spec": spec });
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        command.env("KUBERNETES_EXEC_INFO", info.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound if self.hint.is_empty() => format!("executable {name} not found"),
            std::io::ErrorKind::NotFound => format!("executable {name} not found: {}", self.hint),
            _ => format!("executable {name}: {error}"),
        })?;
        let mut answer = Vec::new();
        let reading = async {
            let output = child.stdout.take().ok_or("no output")?;
            output.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await.map_err(|_| "unreadable output")?;
            child.wait().await.map_err(|_| "lost")
        };
        let ended = tokio::time::timeout(PATIENCE, reading).await;
        let status = ended
            .map_err(|_| format!("executable {name} did not end within {} s", PATIENCE.as_secs()))?
            .map_err(|why| format!("executable {name}: {why}"))?;
        if !status.success() {
            let how =
                status.code().map_or("was killed".to_owned(), |code| format!("failed with exit code {code}"));
            return Err(format!("executable {name} {how}"));
        }
        self.understood(&answer)
    }

    fn understood(&self, answer: &[u8]) -> Result<Given, String> {
        // Its text may hold a secret: it is not repeated.
        let answer: Value = serde_json::from_slice(answer)
            .map_err(|_| "decoding stdout: the plugin wrote no JSON object".to_owned())?;
        let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
        let version = text(&answer, "apiVersion");
        if text(&answer, "kind") != "ExecCredential" || version != self.version {
            let configured = &self.version;
            return Err(format!(
                "exec plugin is configured to use API version {configured}, plugin returned version {version}"
            ));
        }
        let status = answer.get("status").filter(|status| status.is_object());
        let status = status.ok_or("exec plugin didn't return a status field")?;
        let (token, certificate, key) =
            (text(status, "token"), text(status, "clientCertificateData"), text(status, "clientKeyData"));
        if certificate.is_empty() != key.is_empty() {
            return Err("exec plugin returned only certificate or key, not both".to_owned());
        }
        if token.trim().is_empty() && certificate.is_empty() {
            return Err("exec plugin didn't return a token or cert/key pair".to_owned());
        }
        let until = match text(status, "expirationTimestamp").as_str() {
            "" => None,
            time => Some(time.parse().map_err(|_| "expirationTimestamp: not a time of RFC 3339")?),
        };
        Ok(Given {
            token: Some(token.trim().to_owned()).filter(|token| !token.is_empty()),
            certificate: (!certificate.is_empty()).then_some((certificate, key)),
            until,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(yaml: &str) -> Result<Plugin, String> {
        let documents = ravelin_api::yaml_text::documents(yaml).unwrap();
        Plugin::read(&documents[0], Path::new("/etc/it"), json!({"server": "https://192.0.2.1"}))
    }

    fn shell(script: &str) -> Plugin {
        let yaml = json!({
            "apiVersion": VERSIONS[0], "command": "sh", "args": ["-c", script], "interactiveMode": "Never",
            "provideClusterInfo": true, "env": [{"name": "WHO", "value": "me"}],
        });
        plugin(&yaml.to_string()).unwrap()
    }

    async fn refused(script: &str) -> String {
        shell(script).run().await.err().expect("it is refused")
    }

    #[tokio::test]
    async fn a_plugin_is_told_of_the_cluster_and_gives_a_token_for_a_time() {
        let script = r#"
            test "$WHO" = me || exit 3
            case "$KUBERNETES_EXEC_INFO" in *'"server":"https://192.0.2.1"'*) ;; *) exit 4;; esac
            printf %s '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",
                "status":{"token":"abc\n","expirationTimestamp":"2030-01-01T00:00:00Z"}}'"#;
        let given = shell(script).run().await.map_err(|why| panic!("{why}")).unwrap();
        assert_eq!(given.token.as_deref(), Some("abc"));
        assert_eq!(given.until, Some("2030-01-01T00:00:00Z".parse().unwrap()));
        assert!(given.certificate.is_none());
    }

    #[tokio::test]
    async fn what_is_not_a_credential_is_refused_without_repeating_it() {
        let status = |status: &str| {
            format!(r#"echo '{{"kind":"ExecCredential","apiVersion":"{}",{status}}}'"#, VERSIONS[0])
        };
        for (script, why) in [
            ("exit 7".to_owned(), "failed with exit code 7"),
            ("echo hidden-token".to_owned(), "no JSON object"),
            (status(r#""spec":{}"#), "didn't return a status field"),
            (status(r#""status":{}"#), "didn't return a token or cert/key pair"),
            (status(r#""status":{"clientKeyData":"k"}"#), "only certificate or key"),
            (r#"echo '{"kind":"ExecCredential","apiVersion":"v0"}'"#.to_owned(), "returned version v0"),
        ] {
            let told = refused(&script).await;
            assert!(told.contains(why) && !told.contains("hidden"), "{script}: {told}");
        }
    }

    #[test]
    fn what_is_configured_wrongly_is_said_before_anything_runs() {
        for (yaml, why) in [
            ("apiVersion: client.authentication.k8s.io/v1", "command must be specified"),
            ("command: get\napiVersion: client.authentication.k8s.io/v1alpha1", "accepted: client."),
            ("command: get\napiVersion: client.authentication.k8s.io/v1", "interactiveMode"),
            ("command: get\napiVersion: client.authentication.k8s.io/v1\ninteractiveMode: Always", "nobody"),
        ] {
            let told = plugin(yaml).expect_err(yaml);
            assert!(told.contains(why), "{yaml}: {told}");
        }
        let beta = "apiVersion: client.authentication.k8s.io/v1beta1\ncommand: ./bin/get";
        assert_eq!(plugin(beta).unwrap().program, Path::new("/etc/it/./bin/get"));
    }

    #[tokio::test]
    async fn a_missing_program_is_named_with_its_hint() {
        let exec = "apiVersion: client.authentication.k8s.io/v1beta1\ncommand: no-such-plugin-here\n\
                    installHint: get it from the shop";
        let told = plugin(exec).unwrap().run().await.err().unwrap();
        assert_eq!(told, "executable no-such-plugin-here not found: get it from the shop");
    }
}
