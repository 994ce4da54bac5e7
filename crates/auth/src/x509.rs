//! Users by client certificate (`apiserver/pkg/authentication/request/x509/x509.go`).

use crate::{UserInfo, names};
use ravelin_pki::VerifiedPeer;

/// The user of a verified certificate: the common name is the name, the organizations are the
/// groups. `None` where it has no common name: it is then nobody's.
pub fn user(peer: &VerifiedPeer) -> Option<UserInfo> {
    if peer.common_name().is_empty() {
        return None;
    }
    let credential = format!("X509SHA256={}", peer.fingerprint_sha256());
    let user = UserInfo {
        name: peer.common_name().to_owned(),
        uid: String::new(),
        groups: peer.organizations().to_vec(),
        extra: [(names::CREDENTIAL_ID.to_owned(), vec![credential])].into(),
    };
    Some(user.authenticated())
}
