//! The files of the tunnels' key: `--ssh-keyfile`, the same with `.pub`, and a certificate.
//!
//! The order is Kubernetes' (`pkg/master/tunneler/ssh.go`): where the public file is missing, a new
//! pair is made; a private key without its public half is half of an attempt and goes first, and the
//! public file comes last. The key is ed25519 where the original made RSA of 2048 bits: it is what
//! current OpenSSH makes, and RSA is not spoken here (the only library for it leaks by timing,
//! RUSTSEC-2023-0071). The public file is a line of `authorized_keys`, ready for the nodes, where the
//! original's was PEM for a cloud provider. Each file is replaced as a whole, for its owner alone.

use super::{SshCertificate, SshKey, SshKeyError};
use ravelin_entropy::Entropy;
use ravelin_host::Disk;

/// Why a key or certificate could not be had from its files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SshFileError {
    /// A file is not there.
    #[error("{0} cannot be read")]
    Missing(String),
    /// A file cannot be written.
    #[error("{file} cannot be written: {reason}")]
    Unwritable {
        /// The file.
        file: String,
        /// The error.
        reason: String,
    },
    /// A file does not hold what it should.
    #[error("{file}: {fault}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong with it.
        fault: SshKeyError,
    },
    /// The two do not belong together.
    #[error("{file} is of another key than {key_file}")]
    OtherKey {
        /// The file.
        file: String,
        /// The private key's.
        key_file: String,
    },
}

impl SshKey {
    /// The key of `--ssh-keyfile`; a new one where there is no `.pub` file beside it.
    ///
    /// # Errors
    /// Where what is there cannot be used, or a new one cannot be written.
    pub fn from_files(disk: &dyn Disk, key_file: &str, entropy: &mut Entropy) -> Result<Self, SshFileError> {
        let public_file = format!("{key_file}.pub");
        if disk.read(&public_file).is_none() {
            return Self::make_files(disk, key_file, entropy);
        }
        let text = text_of(disk, key_file)?;
        let malformed = |fault| SshFileError::Malformed { file: key_file.to_owned(), fault };
        Self::from_openssh(&text).map_err(malformed)
    }

    fn make_files(disk: &dyn Disk, key_file: &str, entropy: &mut Entropy) -> Result<Self, SshFileError> {
        let unwritable = |file: &str| {
            let file = file.to_owned();
            move |error: std::io::Error| SshFileError::Unwritable { file, reason: error.to_string() }
        };
        let public_file = format!("{key_file}.pub");
        let key = Self::generate(entropy);
        disk.remove(key_file).map_err(unwritable(key_file))?;
        disk.write(key_file, key.to_openssh().as_bytes()).map_err(unwritable(key_file))?;
        let line = format!("{}\n", key.public().to_openssh());
        disk.write(&public_file, line.as_bytes()).map_err(unwritable(&public_file))?;
        Ok(key)
    }

    /// The certificate in a `-cert.pub` file, which must be this key's.
    ///
    /// # Errors
    /// Where there is none, or it is another key's.
    pub fn certificate_from_file(
        &self,
        disk: &dyn Disk,
        (file, key_file): (&str, &str),
    ) -> Result<SshCertificate, SshFileError> {
        let malformed = |fault| SshFileError::Malformed { file: file.to_owned(), fault };
        let certificate = SshCertificate::from_openssh(&text_of(disk, file)?).map_err(malformed)?;
        if certificate.key() != self.public() {
            let (file, key_file) = (file.to_owned(), key_file.to_owned());
            return Err(SshFileError::OtherKey { file, key_file });
        }
        Ok(certificate)
    }
}

fn text_of(disk: &dyn Disk, file: &str) -> Result<String, SshFileError> {
    let content = disk.read(file).ok_or_else(|| SshFileError::Missing(file.to_owned()))?;
    let malformed = |_| SshFileError::Malformed {
        file: file.to_owned(),
        fault: SshKeyError::Malformed("it is not text".to_owned()),
    };
    String::from_utf8(content).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_host::MemoryDisk;

    const FILE: &str = "/srv/sshproxy/.sshkeyfile";
    const PUBLIC: &str = "/srv/sshproxy/.sshkeyfile.pub";

    fn entropy(seed: u8) -> Entropy {
        Entropy::from_key([seed; 32])
    }

    #[test]
    fn a_pair_is_made_once_and_read_afterwards() {
        let disk = MemoryDisk::default();
        let made = SshKey::from_files(&disk, FILE, &mut entropy(1)).unwrap();
        let again = SshKey::from_files(&disk, FILE, &mut entropy(2)).unwrap();
        assert_eq!(again.public(), made.public());
        let line = String::from_utf8(disk.read(PUBLIC).unwrap()).unwrap();
        assert_eq!(line, format!("{}\n", made.public().to_openssh()));
    }

    #[test]
    fn half_of_an_attempt_is_begun_anew() {
        let disk = MemoryDisk::default();
        let stale = SshKey::from_files(&disk, FILE, &mut entropy(1)).unwrap();
        disk.remove(PUBLIC).unwrap();
        let made = SshKey::from_files(&disk, FILE, &mut entropy(2)).unwrap();
        assert_ne!(made.public(), stale.public());
        assert_eq!(SshKey::from_files(&disk, FILE, &mut entropy(3)).unwrap().public(), made.public());
    }

    #[test]
    fn what_cannot_be_used_is_named_and_its_content_is_not() {
        let disk = MemoryDisk::default();
        disk.write(PUBLIC, b"x").unwrap();
        assert_eq!(
            SshKey::from_files(&disk, FILE, &mut entropy(1)).unwrap_err(),
            SshFileError::Missing(FILE.to_owned())
        );
        for content in [&b"secret words"[..], b"\xff\xfe"] {
            disk.write(FILE, content).unwrap();
            let error = SshKey::from_files(&disk, FILE, &mut entropy(1)).unwrap_err().to_string();
            assert!(error.starts_with(FILE) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        use super::super::{SshCertificateKind, SshClaim};
        let (disk, now) = (MemoryDisk::default(), jiff::Timestamp::from_second(1_000).unwrap());
        let key = SshKey::from_files(&disk, FILE, &mut entropy(1)).unwrap();
        let file = "/srv/sshproxy/.sshkeyfile-cert.pub";
        let issue = |of: &SshKey| {
            let claim = SshClaim {
                kind: SshCertificateKind::User,
                key: of.public(),
                key_id: "tunnel".to_owned(),
                principals: vec!["tunnel".to_owned()],
                from: now,
                until: now,
                sources: Vec::new(),
            };
            SshCertificate::issue(&SshKey::generate(&mut entropy(9)), &claim, &mut entropy(8)).to_openssh()
        };
        disk.write(file, issue(&key).as_bytes()).unwrap();
        assert_eq!(key.certificate_from_file(&disk, (file, FILE)).unwrap().key(), key.public());
        disk.write(file, issue(&SshKey::generate(&mut entropy(5))).as_bytes()).unwrap();
        let other = key.certificate_from_file(&disk, (file, FILE)).unwrap_err();
        assert_eq!(other.to_string(), format!("{file} is of another key than {FILE}"));
    }
}
