//! Bootstrap tokens (`plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go`).

use super::Leniency;
use crate::{UserInfo, names};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ravelin_api::{object, time};
use ravelin_entropy::Entropy;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use subtle::ConstantTimeEq;

/// Where the secrets of bootstrap tokens are kept.
pub const NAMESPACE: &str = "kube-system";
/// The type of those secrets.
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";

const ID_LETTERS: usize = 6;
const SECRET_LETTERS: usize = 16;
const MAX_GROUP_LETTERS: usize = 256;

/// A token of the form `abcdef.0123456789abcdef`.
#[derive(Clone)]
pub struct BootstrapToken {
    id: String,
    secret: String,
}

impl std::fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootstrapToken({}, secret hidden)", self.id)
    }
}

/// Why a bootstrap token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapRefused {
    /// No secret tells of it.
    #[error("no such bootstrap token")]
    Unknown,
    /// The secret is none of a bootstrap token.
    #[error("the secret is not of a bootstrap token's type")]
    WrongType,
    /// The secret is being deleted.
    #[error("the bootstrap token is being deleted")]
    Deleted,
    /// The secret half is another.
    #[error("wrong secret")]
    WrongSecret,
    /// The secret names another id.
    #[error("wrong id")]
    WrongId,
    /// Its time is over, or cannot be read.
    #[error("the bootstrap token has expired")]
    Expired,
    /// It is not for authentication.
    #[error("the bootstrap token is not for authentication")]
    NotForAuthentication,
    /// It would give a group that no bootstrap token may give.
    #[error("the bootstrap token names a group that it may not give")]
    BadGroup,
}

impl BootstrapToken {
    /// Reads a token; `None` where it is none of this form.
    pub fn parse(token: &str) -> Option<Self> {
        let (id, secret) = token.split_once('.')?;
        let fits = |part: &str, letters| {
            part.len() == letters && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        (fits(id, ID_LETTERS) && fits(secret, SECRET_LETTERS))
            .then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// A new token.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self { id: entropy.word(ID_LETTERS), secret: entropy.word(SECRET_LETTERS) }
    }

    /// The public half.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole token: a secret.
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// The name of its Secret in [`NAMESPACE`].
    pub fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }

    /// The Secret that makes this token good, as kubeadm writes it.
    pub fn to_secret(&self, expiration: Option<Timestamp>, groups: &[&str]) -> Value {
        let mut data = json!({
            "token-id": STANDARD.encode(&self.id),
            "token-secret": STANDARD.encode(&self.secret),
            "usage-bootstrap-authentication": STANDARD.encode("true"),
            "usage-bootstrap-signing": STANDARD.encode("true"),
            "auth-extra-groups": STANDARD.encode(groups.join(",")),
        });
        if let Some(expiration) = expiration {
            data["expiration"] = json!(STANDARD.encode(time::format(expiration)));
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": self.secret_name(), "namespace": NAMESPACE },
            "type": SECRET_TYPE,
            "data": data,
        })
    }

    /// The user of this token, by its Secret.
    ///
    /// # Errors
    /// What the Secret says against it.
    pub fn authenticate(&self, secret: Option<&Value>, now: Timestamp) -> Result<UserInfo, BootstrapRefused> {
        self.judge((secret, now), Leniency::none())
    }

    /// As [`Self::authenticate`], without the checks that are left out.
    ///
    /// # Errors
    /// What else the Secret says against it.
    pub fn judge(
        &self,
        (secret, now): (Option<&Value>, Timestamp),
        leniency: Leniency,
    ) -> Result<UserInfo, BootstrapRefused> {
        let secret = secret.ok_or(BootstrapRefused::Unknown)?;
        let data = |key: &str| decoded(secret, key);
        if object::text(secret, "type") != SECRET_TYPE {
            return Err(BootstrapRefused::WrongType);
        }
        if object::is_terminating(secret) {
            return Err(BootstrapRefused::Deleted);
        }
        let known = data("token-secret").unwrap_or_default();
        let is_secret = bool::from(known.as_bytes().ct_eq(self.secret.as_bytes()));
        if !is_secret && !leniency.danger_unproven {
            return Err(BootstrapRefused::WrongSecret);
        }
        if data("token-id").as_deref() != Some(self.id.as_str()) {
            return Err(BootstrapRefused::WrongId);
        }
        if is_expired(secret, now) {
            return Err(BootstrapRefused::Expired);
        }
        if data("usage-bootstrap-authentication").as_deref() != Some("true") {
            return Err(BootstrapRefused::NotForAuthentication);
        }
        let name = format!("{}{}", names::BOOTSTRAP_PREFIX, self.id);
        Ok(UserInfo { name, groups: groups(secret)?, ..UserInfo::default() })
    }
}

fn decoded(secret: &Value, key: &str) -> Option<String> {
    let value = secret.get("data")?.get(key)?.as_str()?;
    String::from_utf8(STANDARD.decode(value).ok()?).ok()
}

fn is_expired(secret: &Value, now: Timestamp) -> bool {
    if secret.get("data").and_then(|data| data.get("expiration")).is_none() {
        return false;
    }
    // An end that cannot be read has come.
    match decoded(secret, "expiration").as_deref() {
        Some("") => false,
        Some(text) => time::parse(text).is_none_or(|end| end <= now),
        None => true,
    }
}

fn groups(secret: &Value) -> Result<Vec<String>, BootstrapRefused> {
    let mut groups = BTreeSet::from([names::BOOTSTRAPPERS.to_owned()]);
    if secret.get("data").and_then(|data| data.get("auth-extra-groups")).is_some() {
        let extra = decoded(secret, "auth-extra-groups").ok_or(BootstrapRefused::BadGroup)?;
        for group in extra.split(',').filter(|_| !extra.is_empty()) {
            if !is_bootstrap_group(group) {
                return Err(BootstrapRefused::BadGroup);
            }
            groups.insert(group.to_owned());
        }
    }
    Ok(groups.into_iter().collect())
}

/// `cluster-bootstrap/token/util`: `system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]`.
fn is_bootstrap_group(group: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let own = group.strip_prefix("system:bootstrappers:").unwrap_or_default().as_bytes();
    own.len() <= MAX_GROUP_LETTERS
        && own.last().is_some_and(|last| plain(*last))
        && own.iter().all(|&byte| plain(byte) || b":-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = names::KUBEADM_NODE_TOKENS;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_good_token_gives_its_user_and_groups() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        let user = token.authenticate(Some(&token.to_secret(Some(at(100)), &[GROUP])), at(99)).unwrap();
        assert_eq!(user, UserInfo::new("system:bootstrap:abcdef", &[names::BOOTSTRAPPERS, GROUP]));
        assert!(!format!("{token:?}").contains("0123456789"));
    }

    #[test]
    fn every_flaw_of_a_token_has_its_own_refusal() {
        use BootstrapRefused::*;
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        let other = BootstrapToken::parse("abcdef.0123456789abcdee").unwrap();
        let good = token.to_secret(Some(at(100)), &[GROUP]);
        let with = |pointer: &str, value: Value| {
            let mut secret = good.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            secret.pointer_mut(parent).unwrap()[key] = value;
            secret
        };
        let encoded = |text: &str| json!(STANDARD.encode(text));
        for (secret, now, refused) in [
            (None, 0, Unknown),
            (Some(with("/type", json!("Opaque"))), 0, WrongType),
            (Some(with("/metadata/deletionTimestamp", json!("2020-01-01T00:00:00Z"))), 0, Deleted),
            (Some(other.to_secret(None, &[])), 0, WrongSecret),
            (Some(with("/data/token-secret", encoded(""))), 0, WrongSecret),
            (Some(with("/data/token-id", encoded("zzzzzz"))), 0, WrongId),
            (Some(good.clone()), 100, Expired),
            (Some(with("/data/expiration", encoded("soon"))), 0, Expired),
            (Some(with("/data/expiration", json!("%%"))), 0, Expired),
            (Some(with("/data/usage-bootstrap-authentication", encoded("True"))), 0, NotForAuthentication),
            (Some(with("/data/auth-extra-groups", encoded("system:masters"))), 0, BadGroup),
            (
                Some(with("/data/auth-extra-groups", encoded("system:bootstrappers:a,system:nodes"))),
                0,
                BadGroup,
            ),
            (Some(with("/data/auth-extra-groups", encoded("system:bootstrappers:"))), 0, BadGroup),
        ] {
            assert_eq!(token.authenticate(secret.as_ref(), at(now)), Err(refused));
        }
    }

    #[test]
    fn only_the_exact_form_is_a_bootstrap_token() {
        for bad in [
            "",
            "abcdef",
            "abcde.0123456789abcdef",
            "abcdef.0123456789abcde",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcdef ",
        ] {
            assert!(BootstrapToken::parse(bad).is_none(), "{bad}");
        }
    }
}
