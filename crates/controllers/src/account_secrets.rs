//! Fills the Secrets that ask for a service account's token, and deletes those whose account is gone
//! (`pkg/controller/serviceaccount/tokens_controller.go`).

use crate::follow::{Controller, Outcome, objects};
use crate::garbage::delete_with;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::object;
use ravelin_auth::token::{Reference, secret_token};
use ravelin_client::{Client, ClientError, Store};
use ravelin_pki::KeyPair;
use serde_json::{Value, json};
use std::sync::Arc;

/// The type of these Secrets.
const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// The tokens controller.
pub(crate) struct AccountSecrets {
    pub(crate) client: Client,
    pub(crate) secrets: Store,
    pub(crate) accounts: Store,
    /// What tokens are signed with (`--service-account-private-key-file`).
    pub(crate) key: Arc<KeyPair>,
    pub(crate) root_ca_pem: String,
}

impl AccountSecrets {
    async fn attend(&self, secret: &Value) -> Result<(), ClientError> {
        let (namespace, name) = (object::namespace(secret), object::name(secret));
        let wanted = object::annotations(secret).get(ACCOUNT_NAME).map(|&name| name.to_owned());
        let Some(account) = wanted.filter(|name| !name.is_empty()) else { return Ok(()) };
        let known = self.accounts.object(&format!("{namespace}/{account}"));
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        // What is watched may lag behind: the apiserver decides.
        let account = match known {
            Some(known) => known,
            None => {
                let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}");
                match self.client.get(&path).await {
                    Ok(account) => Arc::new(account),
                    Err(error) if error.code() == Some(404) => Arc::default(),
                    Err(error) => return Err(error),
                }
            }
        };
        let bound = object::annotations(secret).get(ACCOUNT_UID).map_or("", |&uid| uid).to_owned();
        let uid = object::uid(&account);
        if uid.is_empty() || !(bound.is_empty() || bound == uid) {
            let preconditions = json!({ "uid": object::uid(secret) });
            let options =
                json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions });
            return delete_with(&self.client, &path, &options).await;
        }
        match self.filled(secret, &account) {
            Some(filled) => self.client.update(&path, &filled).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// The Secret with all that it should hold; `None` where it does.
    fn filled(&self, secret: &Value, account: &Value) -> Option<Value> {
        let (namespace, name) = (object::namespace(secret), object::name(secret));
        let account =
            Reference { name: object::name(account).to_owned(), uid: object::uid(account).to_owned() };
        let encoded = |text: &str| json!(STANDARD.encode(text));
        let mut filled = secret.clone();
        let data = object::section_mut(&mut filled, "data");
        data.insert("ca.crt".to_owned(), encoded(&self.root_ca_pem));
        let is_set =
            |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if !is_set(data.get("namespace")) {
            data.insert("namespace".to_owned(), encoded(namespace));
        }
        if !is_set(data.get("token")) {
            let token = secret_token(&self.key, (namespace, name), &account);
            data.insert("token".to_owned(), encoded(&token));
        }
        filled["metadata"]["annotations"][ACCOUNT_UID] = json!(account.uid);
        (filled != *secret).then_some(filled)
    }
}

#[async_trait]
impl Controller for AccountSecrets {
    fn name(&self) -> &'static str {
        "serviceaccount-token"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        for secret in objects(&self.secrets) {
            if secret["type"] == TYPE && !object::is_terminating(&secret) {
                outcome.note(self.attend(&secret).await);
            }
        }
        outcome.result()
    }
}
