//! What every namespace holds: the cluster's root certificate and a default service account.
//!
//! `pkg/controller/certificates/rootcacertpublisher/publisher.go` and
//! `pkg/controller/serviceaccount/serviceaccounts_controller.go`.

use crate::follow::{Controller, Outcome, objects};
use async_trait::async_trait;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, Store};
use serde_json::{Value, json};

/// Where namespaces are.
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
/// The ConfigMap that holds the root certificate.
pub(crate) const ROOT_CA: &str = "kube-root-ca.crt";
/// The service account of pods that name none.
pub(crate) const DEFAULT: &str = "default";

/// Publishes the root certificate.
pub(crate) struct RootCa {
    pub(crate) client: Client,
    pub(crate) namespaces: Store,
    /// The ConfigMaps of this name, in all namespaces.
    pub(crate) published: Store,
    pub(crate) root_ca_pem: String,
}

#[async_trait]
impl Controller for RootCa {
    fn name(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        for namespace in living(&self.namespaces) {
            let path = format!("{NAMESPACES}/{namespace}/configmaps");
            let data = json!({ "ca.crt": self.root_ca_pem });
            match self.published.object(&format!("{namespace}/{ROOT_CA}")) {
                Some(known) if known["data"] == data => {}
                Some(known) => {
                    let mut wanted = Value::clone(&known);
                    wanted["data"] = data;
                    outcome.note(self.client.update(&format!("{path}/{ROOT_CA}"), &wanted).await);
                }
                None => {
                    let wanted = json!({
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata": { "name": ROOT_CA, "namespace": namespace },
                        "data": data,
                    });
                    outcome.note(self.client.create(&path, &wanted).await);
                }
            }
        }
        outcome.result()
    }
}

/// Creates default service accounts.
pub(crate) struct ServiceAccounts {
    pub(crate) client: Client,
    pub(crate) namespaces: Store,
    /// The service accounts of this name, in all namespaces.
    pub(crate) accounts: Store,
}

#[async_trait]
impl Controller for ServiceAccounts {
    fn name(&self) -> &'static str {
        "serviceaccount"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        for namespace in living(&self.namespaces) {
            if self.accounts.object(&format!("{namespace}/{DEFAULT}")).is_some() {
                continue;
            }
            let wanted = json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": { "name": DEFAULT, "namespace": namespace },
            });
            let path = format!("{NAMESPACES}/{namespace}/serviceaccounts");
            outcome.note(self.client.create(&path, &wanted).await);
        }
        outcome.result()
    }
}

/// The names of the namespaces that are not being deleted.
fn living(namespaces: &Store) -> Vec<String> {
    let all = objects(namespaces);
    let living = all.iter().filter(|namespace| !object::is_terminating(namespace));
    living.map(|namespace| object::name(namespace).to_owned()).collect()
}
