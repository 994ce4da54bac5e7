//! The columns of each kind (`AddHandlers` of `pkg/printers/internalversion/printers.go`); those
//! without a printer of their own have the two of `apiserver/pkg/registry/rest/table.go`.

use super::Column;
use ravelin_api::Resource;

const NAME: Column = text("Name", "The object's name, unique for its kind in its namespace.");
const AGE: Column = text("Age", "How long ago the object was created.");

const fn column(kind: &'static str, name: &'static str, description: &'static str) -> Column {
    Column { name, kind, description, priority: 0 }
}

const fn text(name: &'static str, description: &'static str) -> Column {
    column("string", name, description)
}

const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

const DEFAULT: &[Column] = &[NAME, column("date", "Created At", "When the object was created.")];

const PODS: &[Column] = &[
    NAME,
    text("Ready", "How many of the pod's containers are ready, of how many."),
    text("Status", "What the pod and its containers are doing."),
    text("Restarts", "How often containers of the pod were started again, and when last."),
    AGE,
    wide(text("IP", "The pod's address.")),
    wide(text("Node", "The node that runs the pod.")),
    wide(text("Nominated Node", "The node on which the pod will get room that others must leave.")),
    wide(text("Readiness Gates", "How many of the pod's further conditions hold, of how many.")),
];

const NODES: &[Column] = &[
    NAME,
    text("Status", "Whether the node is ready, and whether pods are scheduled to it."),
    text("Roles", "The node's roles, from its labels."),
    AGE,
    text("Version", "The version of the node's kubelet."),
    wide(text("Internal-IP", "The node's address inside of the cluster.")),
    wide(text("External-IP", "The node's address for the outside.")),
    wide(text("OS-Image", "The node's operating system.")),
    wide(text("Kernel-Version", "The version of the node's kernel.")),
    wide(text("Container-Runtime", "What runs the node's containers, with its version.")),
];

const SERVICES: &[Column] = &[
    NAME,
    text("Type", "How the service is exposed."),
    text("Cluster-IP", "The service's address inside of the cluster."),
    text("External-IP", "The service's addresses for the outside."),
    text("Port(s)", "The service's ports, with those of the nodes."),
    AGE,
    wide(text("Selector", "The labels of the pods that stand behind the service.")),
];

const ENDPOINTS: &[Column] = &[NAME, text("Endpoints", "The addresses and ports behind the service."), AGE];

const ENDPOINT_SLICES: &[Column] = &[
    NAME,
    text("AddressType", "The kind of all addresses in the slice."),
    text("Ports", "The ports of all endpoints in the slice."),
    text("Endpoints", "The addresses in the slice."),
    AGE,
];

const NAMESPACES: &[Column] = &[NAME, text("Status", "Whether the namespace is in use or going."), AGE];

const SECRETS: &[Column] =
    &[NAME, text("Type", "What the secret is for."), text("Data", "How many entries the secret has."), AGE];

const CONFIG_MAPS: &[Column] = &[NAME, text("Data", "How many entries the map has."), AGE];

const SERVICE_ACCOUNTS: &[Column] =
    &[NAME, text("Secrets", "How many secrets the account's pods may use."), AGE];

const EVENTS: &[Column] = &[
    text("Last Seen", "How long ago it happened last."),
    text("Type", "Whether it is normal or a warning."),
    text("Reason", "Why it happened, in one word."),
    text("Object", "The object that it happened to."),
    wide(text("Subobject", "The part of the object that it happened to.")),
    wide(text("Source", "The component that told it.")),
    text("Message", "What happened."),
    wide(text("First Seen", "How long ago it happened first.")),
    wide(text("Count", "How often it happened.")),
    wide(text("Name", "The event's name.")),
];

const LEASES: &[Column] = &[NAME, text("Holder", "Who holds the lease."), AGE];

const SIGNING_REQUESTS: &[Column] = &[
    NAME,
    AGE,
    text("SignerName", "Which signer is asked."),
    text("Requestor", "Who asked."),
    text("RequestedDuration", "How long the certificate is to be valid."),
    text("Condition", "What became of the request."),
];

const BINDINGS: &[Column] = &[
    NAME,
    text("Role", "The role that is granted."),
    AGE,
    wide(text("Users", "The users to whom it is granted.")),
    wide(text("Groups", "The groups to whom it is granted.")),
    wide(text("ServiceAccounts", "The service accounts to whom it is granted.")),
];

const VOLUMES: &[Column] = &[
    NAME,
    text("Capacity", "How much the volume holds."),
    text("Access Modes", "How the volume can be mounted."),
    text("Reclaim Policy", "What becomes of the volume when its claim is gone."),
    text("Status", "Whether the volume is bound."),
    text("Claim", "The claim that has the volume."),
    text("StorageClass", "The volume's storage class."),
    text("VolumeAttributesClass", "The volume's class of attributes."),
    text("Reason", "Why the volume is in its state."),
    AGE,
    wide(text("VolumeMode", "Whether it is a file system or a block device.")),
];

const CLAIMS: &[Column] = &[
    NAME,
    text("Status", "Whether the claim has a volume."),
    text("Volume", "The volume that the claim has."),
    text("Capacity", "How much that volume holds."),
    text("Access Modes", "How that volume can be mounted."),
    text("StorageClass", "The claim's storage class."),
    text("VolumeAttributesClass", "The claim's class of attributes."),
    AGE,
    wide(text("VolumeMode", "Whether it is a file system or a block device.")),
];

const STORAGE_CLASSES: &[Column] = &[
    NAME,
    text("Provisioner", "Who makes the volumes."),
    text("ReclaimPolicy", "What becomes of a volume when its claim is gone."),
    text("VolumeBindingMode", "When claims get their volumes."),
    text("AllowVolumeExpansion", "Whether volumes may grow."),
    AGE,
];

const CSI_DRIVERS: &[Column] = &[
    NAME,
    column("boolean", "AttachRequired", "Whether volumes must be attached to nodes."),
    column("boolean", "PodInfoOnMount", "Whether the driver is told whose volume it mounts."),
    column("boolean", "StorageCapacity", "Whether pods are scheduled by the capacity that is left."),
    text("TokenRequests", "For which audiences the driver gets tokens."),
    column("boolean", "RequiresRepublish", "Whether the driver is called again and again."),
    text("Modes", "The kinds of volumes that the driver has."),
    AGE,
];

const CSI_NODES: &[Column] = &[NAME, column("integer", "Drivers", "How many drivers the node has."), AGE];

const ATTACHMENTS: &[Column] = &[
    NAME,
    text("Attacher", "Who attaches the volume."),
    text("PV", "The volume."),
    text("Node", "The node that it is attached to."),
    column("boolean", "Attached", "Whether it is attached."),
    AGE,
];

/// The columns of a kind.
pub(super) fn of(resource: &Resource) -> &'static [Column] {
    match resource.plural {
        "pods" => PODS,
        "nodes" => NODES,
        "services" => SERVICES,
        "endpoints" => ENDPOINTS,
        "endpointslices" => ENDPOINT_SLICES,
        "namespaces" => NAMESPACES,
        "secrets" => SECRETS,
        "configmaps" => CONFIG_MAPS,
        "serviceaccounts" => SERVICE_ACCOUNTS,
        "events" => EVENTS,
        "leases" => LEASES,
        "certificatesigningrequests" => SIGNING_REQUESTS,
        "rolebindings" | "clusterrolebindings" => BINDINGS,
        "persistentvolumes" => VOLUMES,
        "persistentvolumeclaims" => CLAIMS,
        "storageclasses" => STORAGE_CLASSES,
        "csidrivers" => CSI_DRIVERS,
        "csinodes" => CSI_NODES,
        "volumeattachments" => ATTACHMENTS,
        _ => DEFAULT,
    }
}
