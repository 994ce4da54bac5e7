//! Annotations of Ravelin's own, which more than one crate must know.

/// Of a Node: the host key of its SSH server (a line of `authorized_keys` without comment), as it was
/// recorded at first contact. The apiserver's tunneler writes it; no node may, not even its own.
pub const SSH_HOST_KEY_ANNOTATION: &str = "ravelin.dev/ssh-host-key";
