//! What authorized writes must still pass.

use super::stage::{As, Stage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_entropy::Entropy;
use ravelin_host::{Flaw, Flaws};
use ravelin_pki::{KeyPair, SigningRequest, Subject};
use serde_json::{Value, json};

const PODS: &str = "POST /api/v1/namespaces/default/pods";
const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

fn account(extra: Value) -> Value {
    let mut account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"}});
    ravelin_api::merge_patch(&mut account, &extra);
    account
}

fn pod(spec: Value) -> Option<Value> {
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    ravelin_api::merge_patch(&mut pod["spec"], &spec);
    Some(pod)
}

#[tokio::test]
async fn a_pod_is_given_what_its_account_has() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let absent = pod(json!({"serviceAccountName": "nope"}));
    assert_eq!(
        stage.refused(&admin, PODS, absent).await,
        (
            403,
            r#"pods "p" is forbidden: error looking up service account default/nope: serviceaccount "nope" not found"#
                .to_owned()
        )
    );
    stage.given(account(json!({"imagePullSecrets": [{"name": "pull"}]})));
    let (code, made) = stage.ask(&admin, PODS, pod(json!({}))).await;
    assert_eq!((code, &made["spec"]["imagePullSecrets"]), (201, &json!([{"name": "pull"}])), "{made}");
    let sources = made["spec"]["volumes"][0]["projected"]["sources"].as_array().unwrap();
    assert_eq!(sources[0], json!({"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}));
    assert_eq!(sources.len(), 3);
    let mut without = pod(json!({"automountServiceAccountToken": false})).unwrap();
    without["metadata"]["name"] = json!("without");
    let (_, made) = stage.ask(&admin, PODS, Some(without)).await;
    assert!(made["spec"].get("volumes").is_none(), "{made}");
}

#[tokio::test]
async fn an_account_may_limit_its_pods_to_its_secrets() {
    let stage = Stage::new().await;
    let enforced = json!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "mine"}]});
    stage.given(account(enforced));
    let volume = |secret: &str| pod(json!({"volumes": [{"name": "v", "secret": {"secretName": secret}}]}));
    assert_eq!(
        stage.refused(&stage.admin(), PODS, volume("yours")).await,
        (
            403,
            r#"pods "p" is forbidden: volume with secret.secretName="yours" is not allowed because service account default does not reference that secret"#
                .to_owned()
        )
    );
    assert_eq!(stage.ask(&stage.admin(), PODS, volume("mine")).await.0, 201);
}

#[tokio::test]
async fn a_mirror_pod_refers_to_nothing() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
    let mut mirror =
        pod(json!({"nodeName": "n1", "volumes": [{"name": "v", "secret": {"secretName": "s"}}]})).unwrap();
    mirror["metadata"] = json!({"name": "m3", "annotations": {"kubernetes.io/config.mirror": "x"}});
    let refused = stage.refused(&node, PODS, Some(mirror)).await;
    assert_eq!(
        refused,
        (403, r#"pods "m3" is forbidden: a mirror pod may not reference secrets"#.to_owned())
    );
}

#[tokio::test]
async fn plugins_run_only_where_they_are_enabled() {
    let stage = Stage::configured(Flaws::none(), |config| config.admission.clear()).await;
    stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n2"}}));
    let (code, made) = stage.ask(&stage.admin(), PODS, pod(json!({}))).await;
    assert_eq!((code, made["spec"].get("serviceAccountName")), (201, None), "{made}");
    let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
    let patch = Some(json!({"status": {"phase": "x"}}));
    assert_eq!(stage.ask(&node, "PATCH /api/v1/nodes/n2/status", patch).await.0, 200);
}

#[tokio::test]
async fn nodes_are_restricted_unless_that_is_the_flaw() {
    for (flaws, code) in [(Flaws::none(), 403), (Flaws::danger([Flaw::ApiserverIgnoresNodeRestriction]), 200)]
    {
        let stage = Stage::with(flaws).await;
        stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n2"}}));
        let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
        let patch = Some(json!({"status": {"phase": "x"}}));
        assert_eq!(stage.ask(&node, "PATCH /api/v1/nodes/n2/status", patch).await.0, code);
    }
}

#[tokio::test]
async fn external_addresses_are_refused_where_that_is_enabled() {
    let service = |ips: &[&str]| {
        Some(json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ips}}))
    };
    let create = "POST /api/v1/namespaces/default/services";
    let denying = |config: &mut crate::ApiserverConfig| {
        config.admission.push("DenyServiceExternalIPs".to_owned());
    };
    let stage = Stage::configured(Flaws::none(), denying).await;
    let admin = stage.admin();
    let refusal =
        (403, r#"services "s" is forbidden: Use of external IPs is denied by admission control"#.to_owned());
    assert_eq!(stage.refused(&admin, create, service(&["192.0.2.1"])).await, refusal);
    assert_eq!(stage.ask(&admin, create, service(&[])).await.0, 201);
    let patch = Some(json!({"spec": {"externalIPs": ["192.0.2.1"]}}));
    let path = "PATCH /api/v1/namespaces/default/services/s";
    assert_eq!(stage.refused(&admin, path, patch).await, refusal);
    for stage in [
        Stage::new().await,
        Stage::configured(Flaws::danger([Flaw::ApiserverAllowsExternalIps]), denying).await,
    ] {
        assert_eq!(stage.ask(&stage.admin(), create, service(&["192.0.2.1"])).await.0, 201);
    }
}

#[tokio::test]
async fn namespaces_that_end_take_nothing_new() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    stage.given(json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "ending"}, "status": {"phase": "Terminating"}}));
    let config = Some(json!({"metadata": {"name": "c"}}));
    let (code, status) = stage.ask(&admin, "POST /api/v1/namespaces/ending/configmaps", config.clone()).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        r#"configmaps "c" is forbidden: unable to create new content in namespace ending because it is being terminated"#
    );
    assert_eq!(
        status["details"]["causes"],
        json!([{"reason": "NamespaceTerminating", "message": "namespace ending is being terminated", "field": "metadata.namespace"}])
    );
    let absent = stage.refused(&admin, "POST /api/v1/namespaces/none/configmaps", config).await;
    assert_eq!(absent, (404, r#"namespaces "none" not found"#.to_owned()));
    let kept = stage.refused(&admin, "DELETE /api/v1/namespaces/kube-system", None).await;
    assert_eq!(
        kept,
        (403, r#"namespaces "kube-system" is forbidden: this namespace may not be deleted"#.to_owned())
    );
}

fn request(name: &str, organization: &str, change: Value) -> Value {
    let key = KeyPair::generate(&mut Entropy::operating_system());
    let subject = Subject { common_name: "u".to_owned(), organizations: vec![organization.to_owned()] };
    let pem = SigningRequest::create(&subject, &[], &key);
    let mut request = json!({"metadata": {"name": name}, "spec": {
        "request": STANDARD.encode(pem),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }});
    ravelin_api::merge_patch(&mut request["spec"], &change);
    request
}

#[tokio::test]
async fn signing_requests_are_checked_as_recorded() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let invalid = "CertificateSigningRequest.certificates.k8s.io \"c\" is invalid: ";
    for (organization, change, code, message) in [
        (
            "system:masters",
            json!({}),
            403,
            "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed".to_owned(),
        ),
        (
            "dev",
            json!({"signerName": "foo"}),
            422,
            format!("{invalid}spec.signerName: Invalid value: \"foo\": must be a fully qualified domain and path of the form 'example.com/signer-name'"),
        ),
        (
            "dev",
            json!({"signerName": "kubernetes.io/legacy-unknown"}),
            422,
            format!("{invalid}spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version"),
        ),
        (
            "dev",
            json!({"request": "aGVsbG8="}),
            422,
            format!("{invalid}spec.request: Invalid value: \"aGVsbG8=\": PEM block type must be CERTIFICATE REQUEST"),
        ),
        (
            "dev",
            json!({"expirationSeconds": 300, "usages": ["client auth", "client auth"]}),
            422,
            format!("{invalid}[spec.usages[1]: Duplicate value: \"client auth\", spec.expirationSeconds: Invalid value: 300: may not specify a duration less than 600 seconds (10 minutes)]"),
        ),
        ("dev", json!({"usages": []}), 422, format!("{invalid}spec.usages: Required value")),
    ] {
        let asked = request("c", organization, change);
        let refused = stage.refused(&admin, &format!("POST {CSRS}"), Some(asked.clone())).await;
        assert_eq!(refused, (code, message), "{asked}");
    }
    let claimed =
        request("c", "dev", json!({"username": "somebody", "groups": ["g"], "expirationSeconds": 600}));
    let (code, made) = stage.ask(&admin, &format!("POST {CSRS}"), Some(claimed)).await;
    assert_eq!((code, &made["spec"]["username"]), (201, &json!("admin")), "{made}");
    assert_eq!(made["spec"]["groups"], json!(["system:masters", "system:authenticated"]));
}

#[tokio::test]
async fn approvals_are_checked_as_recorded() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let asked = request("c", "dev", json!({}));
    let (_, mut csr) = stage.ask(&admin, &format!("POST {CSRS}"), Some(asked)).await;
    let approval = format!("PUT {CSRS}/c/approval");
    let conditions = |mut csr: Value, conditions: Value| {
        csr["status"] = json!({"conditions": conditions});
        csr["metadata"]["resourceVersion"] = json!("");
        Some(csr)
    };
    let invalid = "CertificateSigningRequest.certificates.k8s.io \"c\" is invalid: ";
    let approved = json!({"type": "Approved", "status": "True", "reason": "r"});
    let half = conditions(csr.clone(), json!([{"type": "Approved", "status": "False"}]));
    let message = format!(
        "{invalid}status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\""
    );
    assert_eq!(stage.refused(&admin, &approval, half).await, (422, message));
    let (code, done) = stage.ask(&admin, &approval, conditions(csr.clone(), json!([approved]))).await;
    assert_eq!(code, 200, "{done}");
    csr = done;
    let both = json!([csr["status"]["conditions"][0], {"type": "Denied", "status": "True"}]);
    let message = format!(
        "{invalid}status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"
    );
    assert_eq!(stage.refused(&admin, &approval, conditions(csr.clone(), both)).await, (422, message));
    let message = format!(
        "{invalid}status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""
    );
    assert_eq!(stage.refused(&admin, &approval, conditions(csr.clone(), json!([]))).await, (422, message));
    let mut junk = csr.clone();
    junk["status"]["certificate"] = json!(STANDARD.encode("junk"));
    let message = format!(
        "{invalid}status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block"
    );
    assert_eq!(stage.refused(&admin, &format!("PUT {CSRS}/c/status"), Some(junk)).await, (422, message));
}

/// Leave to change a request is not leave to approve what its signer signs.
#[tokio::test]
async fn approving_needs_leave_for_the_signer() {
    let stage = Stage::new().await;
    let (_, csr) =
        stage.ask(&stage.admin(), &format!("POST {CSRS}"), Some(request("c", "dev", json!({})))).await;
    let rbac = "rbac.authorization.k8s.io";
    let rule = json!({"verbs": ["*"], "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"]});
    stage.given(json!({"kind": "ClusterRole", "apiVersion": format!("{rbac}/v1"), "metadata": {"name": "r"}, "rules": [rule]}));
    let bind = |role: &str| {
        json!({"kind": "ClusterRoleBinding", "apiVersion": format!("{rbac}/v1"), "metadata": {"name": role.replace(':', "-")},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": "bob"}]})
    };
    stage.given(bind("r"));
    let bob = As::Token("stat1c".to_owned());
    let approval = format!("PUT {CSRS}/c/approval");
    let mut approved = csr.clone();
    approved["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    let refused = |verb: &str| {
        (
            403,
            format!(
                "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: user not permitted to {verb} requests with signerName \"kubernetes.io/kube-apiserver-client\""
            ),
        )
    };
    assert_eq!(stage.refused(&bob, &approval, Some(approved.clone())).await, refused("approve"));
    let mut failed = csr;
    failed["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    assert_eq!(stage.refused(&bob, &format!("PUT {CSRS}/c/status"), Some(failed)).await, refused("sign"));
    stage.given(bind("system:certificates.k8s.io:kube-apiserver-client-approver"));
    assert_eq!(stage.ask(&bob, &approval, Some(approved)).await.0, 200);
}
