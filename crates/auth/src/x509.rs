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

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use ravelin_entropy::Entropy;
    use ravelin_pki::{Authority, KeyPair, Profile, Subject, TrustAnchors, Usage, verify_client};

    fn user_of(subject: Subject) -> Option<UserInfo> {
        let mut entropy = Entropy::from_key([3; 32]);
        let at = |second| Timestamp::from_second(second).unwrap();
        let (from, until) = (at(1_000), at(2_000));
        let authority = Authority::new("ca", KeyPair::generate(&mut entropy), from, until, &mut entropy);
        let profile = Profile {
            subject,
            sans: Vec::new(),
            usages: vec![Usage::Client],
            not_before: from,
            not_after: until,
        };
        let identity = authority.identity(&profile, &mut entropy);
        let anchors = TrustAnchors::new([authority.certificate()]).unwrap();
        user(&verify_client(&identity.chain, &anchors, at(1_500)).unwrap())
    }

    #[test]
    fn a_certificate_names_its_user_and_groups() {
        let found = user_of(Subject::new("system:node:n1", &[names::NODES])).unwrap();
        assert_eq!(found.name, "system:node:n1");
        assert_eq!(found.groups, [names::NODES, names::AUTHENTICATED]);
        assert!(found.extra[names::CREDENTIAL_ID][0].starts_with("X509SHA256="));
    }

    #[test]
    fn a_certificate_without_a_common_name_is_nobodys() {
        assert_eq!(user_of(Subject::new("", &[names::MASTERS])), None);
    }
}
