//! The certificates and keys that a kubelet keeps across restarts
//! (`staging/src/k8s.io/client-go/util/certificate/certificate_store.go`).

use jiff::Timestamp;
use ravelin_entropy::Entropy;
use ravelin_host::{Disk, HostRef};
use ravelin_pki::{Identity, Inspected, KeyPair, inspect};

/// The client certificate with its key.
pub(crate) const CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// The certificate of the HTTPS endpoint with its key, where it was asked for.
pub(crate) const SERVER: &str = "/var/lib/kubelet/pki/kubelet-server-current.pem";
/// The key of the first request, until a certificate is there
/// (`pkg/kubelet/certificate/bootstrap/bootstrap.go`).
pub(crate) const FIRST_KEY: &str = "/var/lib/kubelet/pki/kubelet-client.key.tmp";

const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

/// Keeps a certificate and its key in one file.
pub(crate) fn keep(disk: &dyn Disk, name: &str, identity: &Identity) {
    let content = format!("{}{}", identity.chain_pem(), identity.key_pem());
    // A disk that refuses costs another request at the next start, nothing now.
    let _ = disk.write(name, content.as_bytes());
}

/// What was kept, if it is whole and has not expired.
pub(crate) fn kept(host: &HostRef, name: &str) -> Option<Identity> {
    let content = String::from_utf8(host.disk().read(name)?).ok()?;
    let (chain, key) = content.split_at(content.find(KEY_BEGINS)?);
    let identity = Identity::from_pem(chain, key).ok()?;
    (host.now() < certificate(&identity)?.not_after).then_some(identity)
}

/// The key of the first request: the one from before a restart, or a new one that is kept.
pub(crate) fn first_key(disk: &dyn Disk, entropy: &mut Entropy) -> KeyPair {
    let known = disk.read(FIRST_KEY).and_then(|pem| KeyPair::from_pem(&String::from_utf8(pem).ok()?).ok());
    known.unwrap_or_else(|| {
        let key = KeyPair::generate(entropy);
        let _ = disk.write(FIRST_KEY, key.to_pem().as_bytes());
        key
    })
}

/// Forgets the key of the first request.
pub(crate) fn forget_first_key(disk: &dyn Disk) {
    let _ = disk.remove(FIRST_KEY);
}

/// What an identity's own certificate says.
pub(crate) fn certificate(identity: &Identity) -> Option<Inspected> {
    inspect(identity.chain.first()?)
}

/// When to ask for the next certificate: after 70 to 90 % of this one's life, by chance, so that
/// the nodes of a cluster do not all ask at once (`nextRotationDeadline` in client-go's
/// certificate_manager.go). What cannot be read is replaced at once.
pub(crate) fn rotation_due(identity: &Identity, entropy: &mut Entropy) -> Timestamp {
    let Some(read) = certificate(identity) else { return Timestamp::MIN };
    let life = read.not_after.as_second() - read.not_before.as_second();
    let per_mille = 700 + i64::try_from(entropy.below(201)).unwrap_or(0);
    let after = life.max(0) / 1000 * per_mille + life.max(0) % 1000 * per_mille / 1000;
    Timestamp::from_second(read.not_before.as_second() + after).unwrap_or(Timestamp::MIN)
}
