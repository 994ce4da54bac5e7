//! The keys of kubeadm's files, v1beta1 to v1beta4. kubeadm only warns of others, and they do nothing: here they are
//! mistakes, because somebody meant something by them.

use crate::gathered::{Gathered, Place};
use crate::suggest::closest;
use crate::yaml::Node;

/// Keys under a dotted path; the empty path is the document itself.
type Table = &'static [(&'static str, &'static [&'static str])];

const COMPONENT: &[&str] = &["extraArgs", "extraEnvs", "extraVolumes"];
const REGISTRATION: &[&str] = &[
    "criSocket",
    "ignorePreflightErrors",
    "imagePullPolicy",
    "imagePullSerial",
    "kubeletExtraArgs",
    "name",
    "taints",
];
const ENDPOINT: &[&str] = &["advertiseAddress", "bindPort"];

pub(super) const CLUSTER: Table = &[
    (
        "",
        &[
            "apiServer",
            "caCertificateValidityPeriod",
            "certificateValidityPeriod",
            "certificatesDir",
            "clusterName",
            "controlPlaneEndpoint",
            "controllerManager",
            "dns",
            "encryptionAlgorithm",
            "etcd",
            "featureGates",
            "imageRepository",
            "kubernetesVersion",
            "networking",
            "proxy",
            "scheduler",
            "useHyperKubeImage",
        ],
    ),
    ("apiServer", &["certSANs", "extraArgs", "extraEnvs", "extraVolumes", "timeoutForControlPlane"]),
    ("controllerManager", COMPONENT),
    ("scheduler", COMPONENT),
    ("networking", &["dnsDomain", "podSubnet", "serviceSubnet"]),
];

pub(super) const INIT: Table = &[
    (
        "",
        &[
            "bootstrapTokens",
            "certificateKey",
            "dryRun",
            "localAPIEndpoint",
            "nodeRegistration",
            "patches",
            "skipPhases",
            "timeouts",
        ],
    ),
    ("localAPIEndpoint", ENDPOINT),
    ("nodeRegistration", REGISTRATION),
];

pub(super) const JOIN: Table = &[
    (
        "",
        &[
            "caCertPath",
            "controlPlane",
            "discovery",
            "dryRun",
            "nodeRegistration",
            "patches",
            "skipPhases",
            "timeouts",
        ],
    ),
    ("controlPlane", &["certificateKey", "localAPIEndpoint"]),
    ("controlPlane.localAPIEndpoint", ENDPOINT),
    ("nodeRegistration", REGISTRATION),
];

/// Reports every key that the table does not have.
pub(super) fn check(document: &Node, table: Table, of: (&str, &str), gathered: &mut Gathered) {
    let (kind, file) = of;
    for (path, known) in table {
        let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
        let Some(node) = document.at(&parts) else { continue };
        for entry in node.entries() {
            let key = entry.key.as_str();
            if known.contains(&key) || parts.is_empty() && matches!(key, "kind" | "apiVersion" | "metadata") {
                continue;
            }
            let accepted = closest(key, known.iter().copied()).map_or_else(
                || format!("the keys of {kind}: {}", known.join(", ")),
                |hint| format!("did you mean {hint}?"),
            );
            let full = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let problem = "is no known key (they are case-sensitive)";
            gathered.fail(&Place::new(file, entry.line), &full, problem, accepted);
        }
    }
}
