//! All bearer tokens together.

use super::{
    BootstrapRefused, BootstrapToken, JwtRefused, Leniency, ServiceAccountIssuer, ServiceAccountRefused,
    StaticTokens, bootstrap,
};
use crate::{Lookup, UserInfo};
use jiff::Timestamp;

/// The token of an `Authorization` header; `None` where it bears none
/// (`apiserver/pkg/authentication/request/bearertoken/bearertoken.go`).
pub fn bearer(header: &str) -> Option<&str> {
    let mut words = header.trim().splitn(3, ' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Does more than one space stand before a header's bearer token, so that [`bearer`] does not see it?
pub fn is_behind_spaces(header: &str) -> bool {
    let words: Vec<&str> = header.trim().splitn(3, ' ').collect();
    matches!(words[..], [scheme, "", _] if scheme.eq_ignore_ascii_case("bearer"))
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The user.
    pub user: UserInfo,
    /// For which audiences the token is good.
    pub audiences: Vec<String>,
}

/// Why a token is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefused {
    /// Nobody knows it.
    #[error("invalid bearer token")]
    Unknown,
    /// It is known but not for the audience asked for.
    #[error("invalid bearer token")]
    Audience,
    /// It is a bad service-account token.
    #[error("[invalid bearer token, {0}]")]
    ServiceAccount(ServiceAccountRefused),
    /// It is a bad bootstrap token. Which half is wrong is not for whoever asks.
    #[error("invalid bearer token")]
    Bootstrap(BootstrapRefused),
}

/// Knows tokens: static ones, service accounts', bootstrap ones, in Kubernetes' order
/// (`pkg/kubeapiserver/authenticator/config.go`).
#[derive(Clone, Debug)]
pub struct TokenAuthenticator {
    /// `--token-auth-file`.
    pub static_tokens: Option<StaticTokens>,
    /// Service-account tokens.
    pub service_accounts: ServiceAccountIssuer,
    /// `--enable-bootstrap-token-auth`.
    pub bootstrap_tokens: bool,
    /// Which checks are left out.
    pub leniency: Leniency,
}

impl TokenAuthenticator {
    /// Whose token is it? `wanted` are the audiences that a TokenReview asks for; with none, the
    /// token must be for this API.
    ///
    /// # Errors
    /// Where it is nobody's.
    pub fn authenticate(
        &self,
        token: &str,
        wanted: &[String],
        at: (Timestamp, &dyn Lookup),
    ) -> Result<Authenticated, TokenRefused> {
        if let Some(user) = self.static_tokens.as_ref().and_then(|tokens| tokens.authenticate(token)) {
            return self.for_this_api(user, wanted);
        }
        match self.service_accounts.judge(token, wanted, at, self.leniency) {
            Ok((user, audiences)) => return Ok(Authenticated { user: user.authenticated(), audiences }),
            // What cannot be read, or names an algorithm that is no option, is not even looked at.
            Err(
                ServiceAccountRefused::NotOurs
                | ServiceAccountRefused::Jwt(JwtRefused::Malformed | JwtRefused::Algorithm),
            ) => {}
            Err(refused) => return Err(TokenRefused::ServiceAccount(refused)),
        }
        let bootstrap = BootstrapToken::parse(token).filter(|_| self.bootstrap_tokens);
        let (now, objects) = at;
        match bootstrap {
            None => {
                let anybody = self.static_tokens.as_ref().and_then(StaticTokens::danger_anybody);
                let user = anybody.filter(|_| self.leniency.danger_unproven);
                self.for_this_api(user.ok_or(TokenRefused::Unknown)?, wanted)
            }
            Some(token) => {
                let secret = objects.core("secrets", bootstrap::NAMESPACE, &token.secret_name());
                let user = token.judge((secret.as_deref(), now), self.leniency);
                let user = user.map_err(TokenRefused::Bootstrap)?;
                self.for_this_api(user, wanted)
            }
        }
    }

    /// Tokens that name no audience are for this API's.
    fn for_this_api(&self, user: UserInfo, wanted: &[String]) -> Result<Authenticated, TokenRefused> {
        let own = self.service_accounts.audiences();
        let audiences: Vec<String> =
            own.iter().filter(|a| wanted.is_empty() || wanted.contains(a)).cloned().collect();
        if audiences.is_empty() && !wanted.is_empty() {
            return Err(TokenRefused::Audience);
        }
        Ok(Authenticated { user: user.authenticated(), audiences })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::Objects;
    use crate::token::ServiceAccountKeys;

    #[test]
    fn headers_are_read_as_kubernetes_reads_them() {
        for (header, token) in [
            ("Bearer x", Some("x")),
            ("bearer x", Some("x")),
            (" BEARER x y ", Some("x")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Bearer  x", None),
            ("Basic x", None),
            ("", None),
        ] {
            assert_eq!(bearer(header), token, "{header:?}");
        }
    }

    #[test]
    fn a_token_is_good_only_where_its_kind_is_switched_on_and_asked_for() {
        let keys = ServiceAccountKeys {
            issuers: vec!["i".to_owned()],
            lookup: true,
            jwks_uri: None,
            sign: None,
            verify: Vec::new(),
            audiences: vec!["api".to_owned()],
        };
        let mut tokens = TokenAuthenticator {
            static_tokens: Some(StaticTokens::parse("st,alice,1,dev").unwrap()),
            service_accounts: ServiceAccountIssuer::new(keys),
            bootstrap_tokens: true,
            leniency: Leniency::none(),
        };
        let bootstrap = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        let objects = Objects::default().with("secrets", bootstrap.to_secret(None, &[]));
        let ask = |tokens: &TokenAuthenticator, token: &str, wanted: &[String]| {
            tokens.authenticate(token, wanted, (Timestamp::UNIX_EPOCH, &objects)).map(|a| a.user.name)
        };
        assert_eq!(ask(&tokens, "st", &[]).unwrap(), "alice");
        assert_eq!(ask(&tokens, "st", &["api".to_owned()]).unwrap(), "alice");
        assert_eq!(ask(&tokens, "st", &["vault".to_owned()]), Err(TokenRefused::Audience));
        assert_eq!(ask(&tokens, &bootstrap.reveal(), &[]).unwrap(), "system:bootstrap:abcdef");
        assert_eq!(
            ask(&tokens, "abcdef.0000000000000000", &[]),
            Err(TokenRefused::Bootstrap(BootstrapRefused::WrongSecret))
        );
        assert_eq!(ask(&tokens, "made-up", &[]), Err(TokenRefused::Unknown));
        tokens.leniency.danger_unproven = true;
        assert_eq!(ask(&tokens, "abcdef.0000000000000000", &[]).unwrap(), "system:bootstrap:abcdef");
        assert_eq!(
            ask(&tokens, "fedcba.0000000000000000", &[]),
            Err(TokenRefused::Bootstrap(BootstrapRefused::Unknown)),
            "an id that nobody gave out is nobody's"
        );
        assert_eq!(ask(&tokens, "made-up", &[]).unwrap(), "alice");
        tokens.leniency = Leniency::none();
        tokens.bootstrap_tokens = false;
        tokens.static_tokens = None;
        assert_eq!(ask(&tokens, &bootstrap.reveal(), &[]), Err(TokenRefused::Unknown));
        assert_eq!(ask(&tokens, "st", &[]), Err(TokenRefused::Unknown));
    }
}
