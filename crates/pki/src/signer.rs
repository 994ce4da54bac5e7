//! Our keys in the shape that rustls signs with.

use crate::KeyPair;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::PrivateKeyDer;
use std::sync::Arc;

/// The rustls key of one of ours.
pub(crate) fn tls_key(key: Arc<KeyPair>) -> Arc<dyn SigningKey> {
    Arc::new(TlsKey(key))
}

#[derive(Clone, Debug)]
struct TlsKey(Arc<KeyPair>);

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign_der(message))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// Loads private keys for rustls: PKCS#8 of P-256, so that every signature repeats.
#[derive(Debug)]
pub(crate) struct KeyProvider;

impl rustls::crypto::KeyProvider for KeyProvider {
    fn load_private_key(&self, der: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        match der {
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8_der(der.secret_pkcs8_der())
                .map(|key| tls_key(Arc::new(key)))
                .map_err(|error| Error::General(error.to_string())),
            _ => Err(Error::General("only PKCS#8 keys can be loaded".to_owned())),
        }
    }
}
