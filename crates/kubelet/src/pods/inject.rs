//! What a kubelet puts into a pod: the files of its volumes (its service account's tokens, the
//! cluster's root certificate and its namespace among them), and the environment that names services.

use super::environment;
use super::sources::Sources;
use super::tokens::{Asking, NoToken, Tokens};
use super::volumes::{Piece, volumes_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_client::{Client, ClientError};
use ravelin_host::HostRef;
use ravelin_runtime::PodView;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What was read for one pod serves those that start with it.
const AT_START: Duration = Duration::from_secs(1);
/// A pod that runs is given what is so old at most.
const WHILE_RUNNING: Duration = Duration::from_secs(30);

/// The files of a pod, by absolute path.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Why a pod cannot be given what it needs.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotInjected {
    #[error(transparent)]
    Token(#[from] NoToken),
    #[error("{plural} {name:?} cannot be read: {error}")]
    Unreadable { plural: &'static str, name: String, error: ClientError },
    #[error("{plural} {name:?} not found")]
    Missing { plural: &'static str, name: String },
    #[error("{plural} {name:?} has no usable key {key:?}")]
    NoKey { plural: &'static str, name: String, key: String },
    #[error("services have not yet been read: {0}")]
    Services(ClientError),
    #[error("there is no kubernetes service yet")]
    NoService,
}

/// Asks the apiserver for what pods need.
pub(super) struct Injector {
    host: HostRef,
    client: Client,
    sources: Sources,
}

impl Injector {
    pub(super) fn new(host: &HostRef, client: Client) -> Self {
        Self { host: host.clone(), sources: Sources::new(client.clone()), client }
    }

    /// The environment of a pod that starts now. It stays as it is for the pod's life.
    pub(super) async fn environment(&mut self, pod: &Value) -> Result<BTreeMap<String, String>, NotInjected> {
        let services = self.sources.services(AT_START).await.map_err(NotInjected::Services)?;
        environment::variables(services.iter(), pod).ok_or(NotInjected::NoService)
    }

    /// The files of a pod as they should be now.
    pub(super) async fn files(
        &mut self,
        (pod, view): (&Value, &PodView),
        tokens: &mut Tokens,
        is_running: bool,
    ) -> Result<Files, NotInjected> {
        let oldest = if is_running { WHILE_RUNNING } else { AT_START };
        let mut files = Files::new();
        for volume in volumes_of(pod) {
            let mut content = Files::new();
            for piece in &volume.pieces {
                match piece {
                    Piece::Pod { path, content: said } => {
                        content.insert(path.clone(), said.clone());
                    }
                    Piece::Token { path, key } => {
                        let entropy = self.host.entropy("token refresh");
                        let asking = Asking { client: &self.client, now: self.host.now(), entropy };
                        let token = tokens.token(key, view, asking).await?;
                        content.insert(path.clone(), token.into_bytes());
                    }
                    Piece::Object { .. } => content.extend(self.object(piece, view, oldest).await?),
                }
            }
            for directory in &volume.directories {
                let placed = content.iter().map(|(path, file)| (format!("{directory}/{path}"), file.clone()));
                files.extend(placed);
            }
        }
        Ok(files)
    }

    /// The files that a ConfigMap or Secret gives.
    async fn object(
        &mut self,
        piece: &Piece,
        view: &PodView,
        oldest: Duration,
    ) -> Result<Files, NotInjected> {
        let Piece::Object { of, items, optional } = piece else { return Ok(Files::new()) };
        let (plural, name) = (of.plural, of.name.clone());
        let found = self.sources.object(&view.namespace, of, oldest).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(NotInjected::Unreadable { plural, name, error }),
        };
        let Some(object) = &*found else {
            return if *optional { Ok(Files::new()) } else { Err(NotInjected::Missing { plural, name }) };
        };
        let Some(items) = items else { return Ok(all_keys(plural, object)) };
        let mut files = Files::new();
        for (key, path) in items {
            match value(plural, object, key) {
                Some(content) => {
                    files.insert(path.clone(), content);
                }
                None if *optional => {}
                None => return Err(NotInjected::NoKey { plural, name, key: key.clone() }),
            }
        }
        Ok(files)
    }
}

fn all_keys(plural: &str, object: &Value) -> Files {
    let maps = ["data", "binaryData"].into_iter().filter_map(|map| object[map].as_object());
    let keys = maps.flat_map(|map| map.keys()).filter(|key| !key.contains('/') && *key != "..");
    keys.filter_map(|key| Some((key.clone(), value(plural, object, key)?))).collect()
}

/// A key's content: Secrets and binary data are in base64.
fn value(plural: &str, object: &Value, key: &str) -> Option<Vec<u8>> {
    let text = object["data"][key].as_str();
    match (plural, text) {
        ("configmaps", Some(text)) => Some(text.as_bytes().to_vec()),
        ("configmaps", None) => STANDARD.decode(object["binaryData"][key].as_str()?).ok(),
        (_, text) => STANDARD.decode(text?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_and_binary_data_are_decoded_and_texts_are_not() {
        let map = json!({ "data": { "a": "aGk=" }, "binaryData": { "b": "aGk=", "bad": "!" } });
        let secret = json!({ "data": { "a": "aGk=", "../b": "aGk=" } });
        let shown = |files: Files| -> Vec<(String, String)> {
            files.into_iter().map(|(key, content)| (key, String::from_utf8(content).unwrap())).collect()
        };
        let pair = |key: &str, content: &str| (key.to_owned(), content.to_owned());
        assert_eq!(shown(all_keys("configmaps", &map)), [pair("a", "aGk="), pair("b", "hi")]);
        assert_eq!(shown(all_keys("secrets", &secret)), [pair("a", "hi")]);
    }
}
