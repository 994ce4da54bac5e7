//! OpenID discovery of the service account issuer (`pkg/routes/openidmetadata.go`): with it others
//! judge tokens without asking here. Both documents are public, but RBAC decides who may read them.

use crate::answer;
use crate::server::Server;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use ravelin_auth::token::{DISCOVERY_PATH, KEYS_PATH};
use ravelin_transport::Response;

const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The document at a path; `None` where there is none.
pub(crate) fn document(server: &Server, path: &str) -> Option<Response> {
    let issuer = &server.tokens.service_accounts;
    let (text, media_type) = match path {
        DISCOVERY_PATH => {
            let address = server.config.advertise.to_string();
            (issuer.discovery(&address)?, HeaderValue::from_static("application/json"))
        }
        KEYS_PATH => (issuer.key_set()?, HeaderValue::from_static("application/jwk-set+json")),
        _ => return None,
    };
    let mut answer = answer::json(StatusCode::OK, Bytes::from(text));
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer.headers_mut().insert(CACHE_CONTROL, PUBLIC);
    Some(answer)
}
